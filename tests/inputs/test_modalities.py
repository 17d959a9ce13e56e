"""What training promises, for every kind of example: images, vectors, and pairs of vectors."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import datasets
from ssl_keras.config import Config
from ssl_keras.datasets import DataSet
from ssl_keras.evaluators.linear import Linear
from ssl_keras.networks import in_order
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

KINDS = ("images", "vectors", "pairs")
STEPS, BATCH = 4, 16


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
        self.settings: dict[str, Any] = {"dataset": "table"}
        if kind == "images":
            self.settings = {"dataset": "bit_concat", "num_bits": 2, "max_train_images": 200}
        elif kind == "pairs":
            x = np.random.default_rng(0).normal(3.0, 2.0, (200, 5))
            np.savez(folder / "pairs.npz", x=x, y=np.arange(200) % 2, partner=x[:, ::-1] ** 2)
            self.settings["source"] = f"npz:{folder / 'pairs.npz'}"
            self.settings |= {"views": "given", "method": "two_towers"}
        self.data = load(self.settings)
        save_encoder(self.data.input_shape, folder / "encoder.keras")
        self.settings |= {
            "encoder": "keras",
            "encoder_file": str(folder / "encoder.keras"),
            "projection_batch_norm": "none",
            "projection_dim": 8,
            "projection_hidden_dim": 16,
            "loss": "nt_xent",
            "optimizer": "sgd",
            "learning_rate": 0.1,
            "steps": STEPS,
            "batch_size": BATCH,
            "heads": "",
            "jit": "off",
        }

    def build(self, engine: Engine | None = None, **settings: Any) -> TrainingSetup:
        return build(Config.make(**{**self.settings, **settings}), self.data, engine)


def load(settings: dict[str, Any]) -> DataSet:
    options = {name: value for name, value in settings.items() if name not in ("views", "method")}
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


def test_a_step_changes_every_network_by_the_loss_of_its_projections(rung: Rung) -> None:
    setup = rung.build()
    model, modality = setup.model, setup.data.modality
    batch = next(iter(batches(setup, 0)))
    example, _ = model.augmenter.two_views(batch, 0)
    views = modality.compose(example).numpy()
    assert views.shape == (2 * BATCH, *rung.data.input_shape)
    towers = [(model.encoder, model.projection_head)] * 2
    if "partner" in batch:
        towers[1] = (model.partner_encoder, model.partner_projection_head)
        np.testing.assert_allclose(
            views[BATCH:], modality.inputs(batch["partner"]), rtol=1e-6, atol=1e-6
        )
    projections = [
        in_order(head(encoder(half)))[-1].numpy()
        for (encoder, head), half in zip(towers, np.split(views, 2), strict=True)
    ]
    expected = oracles.nt_xent(*projections, temperature=setup.config.loss.temperature)
    before = [[v.numpy() for v in network.trainable_variables] for network in model.networks]
    metrics = train(setup, last=1)
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-4)
    for network, values in zip(model.networks, before, strict=True):
        assert values
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
    # Corruption takes entries of examples of the replica, so it differs, as documented.
    settings = {"corruption_rate": 0.0} if rung.data.modality.name == "vectors" else {}
    settings = {} if "views" in rung.settings else settings
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
    np.testing.assert_allclose(metrics["loss"], expected["loss"], rtol=1e-4)


@pytest.mark.full
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
    served = loaded.signatures["projections"](**{n: tf.constant(a) for n, a in arguments.items()})
    np.testing.assert_allclose(served["projection_2"], expected[2], rtol=1e-5, atol=1e-5)
    for layer, values in zip(model.layer_names, expected, strict=True):
        encoder = load_encoder(tmp_path / "export", layer)
        np.testing.assert_allclose(encoder(inputs), values, rtol=1e-5, atol=1e-5)


def labelled(kind: str, rung: Rung, folder: Path) -> DataSet:
    """Data of the kind whose labels are a function of the input: bits, or the sign of an entry."""
    if kind == "images":
        return rung.data
    x = np.random.default_rng(1).normal(size=(500, rung.data.input_shape[0]))
    x[:, 0] += 2 * np.sign(x[:, 0])
    np.savez(folder / "x.npz", x=x, y=(x[:, 0] > 0).astype(int), partner=x[:, ::-1])
    return datasets.load("table", source=f"npz:{folder / 'x.npz'}")


@pytest.mark.full
@pytest.mark.parametrize("kind", KINDS)
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
