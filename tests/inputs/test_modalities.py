"""What training promises, for every kind of example: images, vectors, pairs of vectors, sentences,
and pairs of words."""

from __future__ import annotations

import collections
import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import datasets, randomness
from ssl_keras.config import Config
from ssl_keras.datasets import DataSet
from ssl_keras.evaluators.linear import Linear
from ssl_keras.networks import in_order
from ssl_keras.networks.dropout import dropout_keys
from ssl_keras.run import build
from ssl_keras.run.checkpoints import Checkpoints
from ssl_keras.run.devices import Engine
from ssl_keras.run.export import export_setup
from ssl_keras.run.loop import batches
from ssl_keras.run.measure import trained_features
from ssl_keras.run.saved_models import load_encoder
from ssl_keras.run.setup import TrainingSetup
from tests import oracles
from tests.distribution.parity import TOLERANCE
from tests.losses.test_sgns import NOISE, loop, places
from tests.tiers import first_in_check

KINDS = ("images", "vectors", "pairs", "sentences", "words")
STEPS, BATCH = 4, 16


def save_texts(folder: Path) -> None:
    """Two texts that share no word: what a sentence is from, each of its words tells."""
    generator = np.random.default_rng(0)
    for letter in "ab":
        sizes = generator.integers(2, 9, 200)
        drawn = [" ".join(f"{letter}{k}" for k in generator.integers(0, 8, n)) for n in sizes]
        (folder / f"{letter}.txt").write_text("\n".join(drawn))


def save_encoder(shape: tuple[int, ...], file: Path) -> None:
    """A small encoder without batch norm, which parts of a batch would normalise by themselves,
    and without kinks, which rounding could cross."""
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input(shape)
    if len(shape) == 3:
        x = keras.layers.Conv2D(6, 5, strides=4, activation="tanh")(x)
        x = keras.layers.Flatten()(x)
    keras.Model(inputs, keras.layers.Dense(64, activation="tanh")(x)).save(file)


class Rung:
    """One kind of example: its data, and setups of the same training.

    Args:
        kind: one of `KINDS`.
        folder: where files are written.
    """

    def __init__(self, kind: str, folder: Path):
        dataset: dict[str, Any] = {"dataset": "table"}
        self.settings: dict[str, Any] = {"loss": "nt_xent", "learning_rate": 0.1}
        if kind == "images":
            dataset = {"dataset": "bit_concat", "num_bits": 2, "max_train_images": 200}
        elif kind == "pairs":
            x = np.random.default_rng(0).normal(3.0, 2.0, (200, 5))
            np.savez(folder / "pairs.npz", x=x, y=np.arange(200) % 2, partner=x[:, ::-1] ** 2)
            dataset["source"] = f"npz:{folder / 'pairs.npz'}"
            self.settings |= {"views": "given", "method": "two_towers"}
        elif kind in ("sentences", "words"):
            save_texts(folder)
            dataset = {"dataset": "sentences", "source": f"text:{folder}", "min_count": 1}
        if kind == "sentences":
            dataset["max_words"] = 8
            self.settings |= {"views": "dropout", "encoder": "transformer", "embedding_dim": 32}
            self.settings |= {"transformer_layers": 1, "transformer_heads": 2}
        elif kind == "words":
            dataset["dataset"] = "skip_gram"
            self.settings |= {"views": "given", "method": "two_towers", "projection_layers": 0}
            # The gradient of a word is that of its few pairs.
            self.settings |= {"loss": "sgns", "noise_views": NOISE, "learning_rate": 5.0}
            self.settings |= {"encoder": "embedding", "embedding_dim": 8}
        else:
            self.settings |= {"encoder": "keras"}
        if kind != "words":
            self.settings |= {"projection_batch_norm": "none", "projection_dim": 8}
            self.settings |= {"projection_hidden_dim": 16}
        self.data = load(dataset)
        if self.settings["encoder"] == "keras":
            save_encoder(self.data.input_shape, folder / "encoder.keras")
            self.settings["encoder_file"] = str(folder / "encoder.keras")
        self.settings |= {
            **dataset,
            "optimizer": "sgd",
            "steps": STEPS,
            "batch_size": BATCH,
            "heads": "",
            "jit": "off",
        }

    def build(self, engine: Engine | None = None, **settings: Any) -> TrainingSetup:
        return build(Config.make(**{**self.settings, **settings}), self.data, engine)


def load(dataset: dict[str, Any]) -> DataSet:
    options = dict(dataset)
    return datasets.load(options.pop("dataset"), **options)


@pytest.fixture(scope="module")
def rungs(tmp_path_factory: pytest.TempPathFactory, data_dir: str) -> dict[str, Rung]:
    return {kind: Rung(kind, tmp_path_factory.mktemp(kind)) for kind in KINDS}


@pytest.fixture(params=KINDS)
def rung(request: pytest.FixtureRequest, rungs: dict[str, Rung]) -> Rung:
    return rungs[request.param]


def for_kinds(*chosen: str) -> Any:
    """A test that `make check` runs for some kinds of examples; for the others it is exhaustive."""
    params = [
        pytest.param(kind, marks=pytest.mark.full if kind in chosen else pytest.mark.exhaustive)
        for kind in KINDS
    ]
    return pytest.mark.parametrize("rung", params, indirect=True)


def train(setup: TrainingSetup, first: int = 0, last: int = STEPS) -> dict[str, float]:
    """Train the steps [first, last); the metrics of the last one, averaged over all of them."""
    setup.model.make_train_function()
    iterator = iter(batches(setup, first))
    for _ in range(first, last):
        metrics = setup.model.train_function(iterator)
    return {name: float(value) for name, value in metrics.items()}


def weights(setup: TrainingSetup) -> list[np.ndarray]:
    return [variable.numpy() for variable in setup.model.variables]


def agree(
    setup: TrainingSetup, other: TrainingSetup, start: list[np.ndarray], tolerance: float
) -> None:
    """Movements of all weights are equal, relative to the largest of each, and there are some."""
    largest_of_all = 0.0
    for variable, theirs, before in zip(
        setup.model.variables, other.model.variables, start, strict=True
    ):
        moved = theirs.numpy() - before
        largest = float(np.abs(moved).max())
        largest_of_all = max(largest_of_all, largest)
        np.testing.assert_allclose(
            variable.numpy() - before,
            moved,
            rtol=0,
            atol=tolerance * largest + 1e-6,
            err_msg=variable.path,
        )
    assert largest_of_all > 1e-3


@for_kinds("images", "pairs")
def test_a_step_changes_every_network_by_the_loss_of_its_projections(rung: Rung) -> None:
    setup = rung.build()
    model, modality = setup.model, setup.data.modality
    batch = next(iter(batches(setup, 0)))
    example, keys = model.augmenter.two_views(batch, 0)
    views = modality.compose(example).numpy()
    assert views.shape == (2 * BATCH, *rung.data.input_shape)
    towers = [(model.encoder, model.projection_head)] * 2
    if "partner" in batch:
        towers[1] = (model.partner_encoder, model.partner_projection_head)
        np.testing.assert_allclose(
            views[BATCH:], modality.inputs(batch["partner"]), rtol=1e-6, atol=1e-6
        )
    projections = []
    for k, (encoder, head) in enumerate(towers):
        with dropout_keys(tf.split(keys, 2)[k]):
            features = encoder(np.split(views, 2)[k], training=True)
            projections.append(in_order(head(features, training=True))[-1].numpy())
    if rung.settings["loss"] == "sgns":
        labels = {name: values.numpy() for name, values in batch["labels"].items()}
        seed = randomness.fold(randomness.key(setup.config.run.seed, "loss"), 0)
        noise = places(labels, BATCH, seed, 0.75)
        expected = loop(projections[0], projections[1], labels, noise)
    else:
        expected = oracles.nt_xent(*projections, temperature=setup.config.loss.temperature)
    before = [[v.numpy() for v in network.trainable_variables] for network in model.networks]
    metrics = train(setup, last=1)
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-4)
    assert before[0]
    for network, values in zip(model.networks, before, strict=True):
        # Without layers the projection head of words has no weights.
        assert values or rung.settings.get("projection_layers") == 0
        moved = [
            np.any(variable.numpy() != value)
            for variable, value in zip(network.trainable_variables, values, strict=True)
        ]
        assert all(moved), network.name


# Of images it is tested in methods/test_micro_batch.py.
@for_kinds("pairs")
def test_parts_of_a_batch_give_the_step_of_the_whole(rung: Rung) -> None:
    whole, parts = rung.build(), rung.build(micro_batch=4)
    start = weights(whole)
    metrics, expected = train(parts), train(whole)
    agree(parts, whole, start, tolerance=1e-3)
    np.testing.assert_allclose(metrics["loss"], expected["loss"], rtol=1e-4)


# Of images it is tested in run/test_resume.py.
@for_kinds("vectors")
def test_going_on_in_the_middle_equals_no_interruption(rung: Rung, tmp_path: Path) -> None:
    settings = {"optimizer": "adam", "ema_decay": 0.9}
    whole = rung.build(**settings)
    expected = train(whole)
    stopped = rung.build(**settings)
    train(stopped, last=2)
    Checkpoints(tmp_path, stopped.model.state_groups).save(2, {})
    resumed = rung.build(**settings)
    restored = Checkpoints(tmp_path, resumed.model.state_groups).restore()
    assert restored is not None
    assert restored[0] == 2
    assert train(resumed, first=2) == expected
    for group, variables in whole.model.state_groups.items():
        for variable, theirs in zip(variables, resumed.model.state_groups[group], strict=True):
            np.testing.assert_array_equal(variable.numpy(), theirs.numpy(), err_msg=group)


# Of images it is tested in distribution/test_replicas.py.
@for_kinds("pairs")
@pytest.mark.long
def test_two_replicas_equal_one(rung: Rung, two_replicas: Any) -> None:
    settings: dict[str, Any] = {}
    if rung.data.modality.name == "vectors" and "views" not in rung.settings:
        # Corruption takes entries of examples of the replica, so it differs, as documented.
        settings["corruption_rate"] = 0.0
    if rung.settings["loss"] == "sgns":
        # More rows than a word's context is looked for among.
        settings["batch_size"] = 32
    alone = rung.build(**settings)
    shared = rung.build(
        Engine(kind="mirrored", strategy=two_replicas, replicas=2),
        **settings,
        strategy="mirrored",
        devices=2,
    )
    start = weights(alone)
    metrics, expected = train(shared), train(alone)
    agree(shared, alone, start, TOLERANCE)
    for name in ("loss", "contrastive_accuracy"):
        np.testing.assert_allclose(metrics[name], expected[name], rtol=1e-4, err_msg=name)


@for_kinds("vectors", "words")
def test_the_export_gives_the_same_features(rung: Rung, tmp_path: Path) -> None:
    setup = rung.build()
    train(setup)
    model, data = setup.model, setup.data
    assert export_setup(setup, tmp_path / "export", collections.defaultdict(str)) <= 1e-5
    batch = next(iter(data.test.batches(10)))
    inputs = data.inputs(batch)
    expected = [layer.numpy() for layer in model.representations(inputs)]
    arguments = data.modality.arguments(batch["example"])
    loaded = tf.saved_model.load(str(tmp_path / "export"))
    served = loaded.signatures["features"](**{n: tf.constant(a) for n, a in arguments.items()})
    np.testing.assert_allclose(served["features"], expected[0], rtol=1e-5, atol=1e-5)
    projected = rung.settings.get("projection_layers") != 0
    assert ("projections" in loaded.signatures) == projected
    if projected:
        served = loaded.signatures["projections"](
            **{n: tf.constant(a) for n, a in arguments.items()}
        )
        last = model.layer_names[-1]
        np.testing.assert_allclose(served[last], expected[-1], rtol=1e-5, atol=1e-5)
    for layer, values in zip(model.layer_names, expected, strict=projected):
        encoder = load_encoder(tmp_path / "export", layer)
        np.testing.assert_allclose(encoder(inputs), values, rtol=1e-5, atol=1e-5)


# A user's program, without this package.
PROGRAM = """
import json, sys
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
served = loaded.signatures["serving_default"](text=tf.constant(json.loads(sys.argv[2])))
print(json.dumps(served["features"].numpy().tolist()))
assert not any(name.startswith("ssl_keras") for name in sys.modules)
"""


@pytest.mark.parametrize("kind", first_in_check(["words", "sentences"]))
def test_the_export_takes_raw_text_in_a_fresh_process(
    kind: str, rungs: dict[str, Rung], tmp_path: Path
) -> None:
    setup = rungs[kind].build()
    train(setup)
    export_setup(setup, tmp_path / "export", collections.defaultdict(str))
    modality = setup.data.modality
    number = {word: 2 + row for row, word in enumerate(modality.vocabulary)}
    if kind == "sentences":
        texts = ["A1, a2 -- B3!", "b1 nobody b2", "", "\u2026", " ".join(["a3"] * 20)]
        words = [["a1", "a2", "b3"], ["b1", "", "b2"], [""], [""], ["a3"] * 8]
    else:
        texts, words = ["A1", " b2.", "nobody", ""], [["a1"], ["b2"], [""], [""]]
    ids = np.zeros((len(texts), modality.length), np.float32)
    for row, found in enumerate(words):
        ids[row, : len(found)] = [number.get(word, 1) for word in found]
    arguments = ["-c", PROGRAM, str(tmp_path / "export"), json.dumps(texts)]
    process = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, cwd=tmp_path
    )
    assert process.returncode == 0, process.stderr
    features = json.loads(process.stdout.splitlines()[-1])
    np.testing.assert_allclose(features, setup.model.encoder(ids), rtol=1e-5, atol=1e-5)


def labelled(kind: str, rung: Rung, folder: Path) -> DataSet:
    """Data of the kind whose labels are a function of the input: bits, the sign of an entry, or
    the text that has the words."""
    if kind in ("images", "sentences"):
        return rung.data
    x = np.random.default_rng(1).normal(size=(500, rung.data.input_shape[0]))
    x[:, 0] += 2 * np.sign(x[:, 0])
    np.savez(folder / "x.npz", x=x, y=(x[:, 0] > 0).astype(int), partner=x[:, ::-1])
    return datasets.load("table", source=f"npz:{folder / 'x.npz'}")


# Words have no targets.
@pytest.mark.parametrize("kind", first_in_check(["pairs", "images", "vectors", "sentences"]))
def test_what_the_input_tells_is_read_and_what_it_does_not_tell_is_not(
    kind: str, rungs: dict[str, Rung], tmp_path: Path
) -> None:
    data = labelled(kind, rungs[kind], tmp_path)
    setup = build(Config.make(**rungs[kind].settings), data)
    train(setup)
    frozen = trained_features(setup, {"linear": Linear()}, 0).layers["features"]
    name = "bits" if kind == "images" else "class"
    targets = {name: frozen.targets[name]}

    def accuracy(arrange: Callable[[np.ndarray], np.ndarray]) -> float:
        labels = [
            {name: arrange(labels[name])} for labels in (frozen.train_labels, frozen.test_labels)
        ]
        changed = dataclasses.replace(
            frozen, train_labels=labels[0], test_labels=labels[1], targets=targets, cache={}
        )
        return dict(Linear().evaluate(changed, 0))[f"{name}/accuracy"]

    assert accuracy(lambda labels: labels) == 1.0
    generator = np.random.default_rng(2)
    decisions = frozen.test_labels[name].size
    shuffled = accuracy(lambda labels: generator.permutation(labels))
    assert abs(shuffled - 0.5) < 4 * np.sqrt(0.25 / decisions)
