"""Evaluation of a model by evaluators on its frozen features, after a run or later."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras import config as configuration
from ssl_keras import pictures
from ssl_keras.config import Config
from ssl_keras.datasets import DataSet
from ssl_keras.errors import UserError
from ssl_keras.evaluators import Baseline, Evaluator
from ssl_keras.evaluators.base import FrozenFeatures, FrozenLocations, measured
from ssl_keras.evaluators.decoder import reconstruction_errors
from ssl_keras.evaluators.extraction import extract, extract_local, extract_pixels, build_inputs
from ssl_keras.methods.autoencoder import Autoencoder
from ssl_keras.networks import block_outputs
from ssl_keras.run import environment, messages, run_directory, tables
from ssl_keras.run.checkpoints import weights_digest
from ssl_keras.run.devices import Engine
from ssl_keras.run.fitting import finish, fit
from ssl_keras.run.restore import FrozenEncoder, load_saved_model, restored
from ssl_keras.run.setup import (
    TrainingSetup,
    build,
    build_engine,
    check_evaluators,
    load_data,
    to_measure,
)

# Most training images of the control with shuffled labels.
SHUFFLED_EXAMPLES = 2000


@dataclass(frozen=True)
class EncoderFeatures:
    """What the evaluators measure of one encoder.

    Attributes:
        layers: name of the layer -> features.
        values: what is known of it without evaluators: "name/layer/measure" -> value.
        local: name of the block -> features of its locations, if a head wants them.
    """

    layers: Mapping[str, FrozenFeatures]
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)
    local: Mapping[str, FrozenLocations] = dataclasses.field(default_factory=dict)

    def seen_by(self, evaluator: Evaluator) -> Mapping[str, FrozenFeatures]:
        """What a head measures."""
        return self.local if evaluator.num_local_images else self.layers


def encoder_features(
    frozen: FrozenEncoder,
    evaluators: Mapping[str, Evaluator],
    layers: Sequence[str],
    pixels: bool = False,
) -> EncoderFeatures:
    """The features of an encoder at `layers`, with those of views and locations if a head wants
    them; and with `pixels` those of the pixels at the locations, a control."""
    features = extract(
        frozen.representations,
        frozen.data,
        layers,
        augmenter=frozen.augmenter,
        num_views=max((evaluator.num_views for evaluator in evaluators.values()), default=0),
        num_train_views=max(
            (evaluator.num_train_views for evaluator in evaluators.values()), default=0
        ),
    )
    local: dict[str, FrozenLocations] = {}
    if num_images := max(
        (evaluator.num_local_images for evaluator in evaluators.values()), default=0
    ):
        blocks = block_outputs(frozen.encoder)
        local = extract_local(
            lambda images: blocks(images, training=False), frozen.data, frozen.grids, num_images
        )
        if pixels:
            local |= extract_pixels(frozen.data, frozen.grids, num_images)
    return EncoderFeatures(features, local=local)


def trained_features(
    setup: TrainingSetup, evaluators: Mapping[str, Evaluator], seed: int, pixels: bool = True
) -> EncoderFeatures:
    """The `EncoderFeatures` of a trained model, with what its own parts say on frozen features.

    These are the online probe, which has learnt from augmented views during the training, and
    the reconstructions of an autoencoder. `pixels`: see `encoder_features`.
    """
    setup = to_measure(setup)
    model, data = setup.model, setup.data
    subject = encoder_features(FrozenEncoder.of(setup), evaluators, setup.layers, pixels)
    features = subject.layers["features"]
    values: dict[str, float] = {}
    if model.linear_probe is not None:
        logits = model.linear_probe(features.test, training=False)
        for name, target in data.targets.items():
            found = measured(target, features.test_labels[name], logits[name].numpy(), seed)
            values |= {f"{tables.ONLINE}/features/{name}/{k}": v for k, v in found.items()}
    if isinstance(model, Autoencoder):
        counts = (data.train.num_examples, data.test.num_examples)
        errors = reconstruction_errors(model.reconstruct, build_inputs(data), *counts)
        values |= {f"reconstruction/features/{name}": value for name, value in errors.items()}
    return dataclasses.replace(subject, values=values)


def untrained_features(
    config: Config, data: DataSet, evaluators: Mapping[str, Evaluator]
) -> EncoderFeatures:
    """The first layer of the encoder of a configuration as it is before training."""
    setup = build(config, data, Engine())
    return encoder_features(FrozenEncoder.of(setup), evaluators, setup.layers[:1])


def measure(
    evaluators: Mapping[str, Evaluator], seed: int, subjects: Mapping[str, EncoderFeatures]
) -> dict[str, float]:
    """What every evaluator says of every encoder.

    Args:
        evaluators: the evaluators, by name.
        seed: chooses whatever is random in them.
        subjects: "" is the model that was trained; others are controls and baselines, by name.

    Returns:
        "head/layer/measure" -> value; the same below the names of the other encoders, as in
        "untrained/head/layer/measure"; and "shuffled_labels/head/layer/measure", of the model
        at its first layer with classes of training images that say nothing: what is above chance
        there, leaks.
    """
    frozen = subjects[""].layers
    first = next(iter(frozen), None)
    learning = {name: evaluator for name, evaluator in evaluators.items() if evaluator.needs_labels}
    compared = [(name, subject, evaluators) for name, subject in subjects.items()]
    if first is not None and learning:
        count = max(SHUFFLED_EXAMPLES, *(evaluator.least_train for evaluator in learning.values()))
        shuffled = EncoderFeatures({first: with_shuffled_labels(frozen[first], count, seed)})
        compared.append((tables.SHUFFLED, shuffled, learning))
    found: dict[str, float] = {}
    for subject_name, subject, chosen in compared:
        prefix = subject_name and f"{subject_name}/"
        found |= {f"{prefix}{name}": value for name, value in subject.values.items()}
        found |= {
            f"{prefix}{name}/{layer}/{key}": float(value)
            for layer in (*subject.layers, *subject.local)
            for name, evaluator in chosen.items()
            if (features := subject.seen_by(evaluator).get(layer))
            and (features.targets or not evaluator.needs_labels)
            for key, value in evaluator.evaluate(features, seed)
        }
    return found


def draw(
    evaluators: Mapping[str, Evaluator], seed: int, subjects: Mapping[str, EncoderFeatures]
) -> Iterator[tuple[str, np.ndarray]]:
    """("head/name", picture) of what `measure` has found before, of the same subjects."""
    spoken = {"": "", tables.CONTROL: "untrained "}
    for name, evaluator in evaluators.items():
        shown = {
            f"{spoken.get(subject_name, f'{subject_name} ')}{layer}": features
            for subject_name, subject in subjects.items()
            for layer, features in subject.seen_by(evaluator).items()
        }
        for title, picture in evaluator.draw(shown, seed):
            yield f"{name}/{title}", picture


def with_shuffled_labels(frozen: FrozenFeatures, count: int, seed: int) -> FrozenFeatures:
    """The same features, with the classes of `count` training images dealt out among them anew.

    Vectors are left out: where features form few clusters, as with a few bits, a decision that
    knows nothing is right or wrong for whole clusters at once, and one shuffle says nothing.
    """
    generator = np.random.default_rng([seed, 1])
    rows = generator.permutation(len(frozen.train))[:count]
    labels = {
        name: generator.permutation(values[rows], axis=0)
        for name, values in frozen.train_labels.items()
    }
    return dataclasses.replace(
        frozen,
        train=frozen.train[rows],
        train_labels=labels,
        targets={n: target for n, target in frozen.targets.items() if not target.is_vector},
        views=None,
        train_views=None,
        inputs=None,
        cache={},
    )


def protocols(evaluators: Mapping[str, Evaluator]) -> dict[str, str]:
    """What each evaluator does, in words."""
    return {
        name: " ".join(str(type(evaluator).__doc__).split())
        for name, evaluator in evaluators.items()
    }


def write_pictures(
    directory: Path, drawn: Iterator[tuple[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Write pictures as PNG; returns them by name."""
    found = dict(drawn)
    for name, picture in found.items():
        directory.mkdir(exist_ok=True)
        pictures.write_png(directory / f"{name.replace('/', '-').replace(' ', '_')}.png", picture)
    return found


def averaged(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The means of repeated measurements; of more than one also the standard deviations, as
    "NAME_sd"."""
    columns = {name: [each[name] for each in found] for name in found[0]}
    values = {name: float(np.mean(column)) for name, column in columns.items()}
    if len(found) > 1:
        values |= {f"{name}_sd": float(np.std(c, ddof=1)) for name, c in columns.items()}
    return values


def evaluate_run(
    directory: Path | str,
    evaluators: Mapping[str, Evaluator],
    seed: int = 0,
    repeats: int = 1,
    config: Config | None = None,
) -> dict[str, Any]:
    """Evaluate a finished run, or a SavedModel, with other evaluators; print the tables, keep all.

    Args:
        directory: of the run, or of the SavedModel. For a run, baselines that it has not trained
            yet are trained.
        evaluators: the evaluators, by name.
        seed: chooses whatever is random in them; repetition r has seed + r.
        repeats: how often everything is measured; values are then means, with their standard
            deviations as "NAME_sd".
        config: the data of a SavedModel that does not lie in the directory of its run.

    Returns:
        What is written to `evaluations/` in the run's directory, or beside the SavedModel to
        `NAME-evaluations/`; pictures lie beside it.

    Raises:
        UserError: it is neither, its data is not what it was trained on, or a head does not fit.
    """
    start = time.perf_counter()
    directory = Path(directory)
    if run_directory.is_saved_model(directory):
        frozen, subjects = _of_saved_model(directory, evaluators, config)
        place = directory.with_name(f"{directory.name}-evaluations")
    else:
        frozen, subjects = _of_run(directory, evaluators, seed)
        place = directory / "evaluations"
    before = weights_digest(frozen.variables)
    found = [measure(evaluators, seed + repeat, subjects) for repeat in range(repeats)]
    values = averaged(found)
    if weights_digest(frozen.variables) != before:
        raise RuntimeError("evaluation changed the weights or batch-norm statistics")
    options = {name: evaluator.options() for name, evaluator in evaluators.items()}
    settings = {"heads": options, "seed": seed, "repeats": repeats}
    record: dict[str, Any] = {
        "results": values,
        **settings,
        "data": frozen.data.name,
        "weights_sha256": before,
        "protocol": protocols(evaluators),
        "versions": environment.versions(),
        "hardware": environment.hardware(),
        "times": {"total": time.perf_counter() - start},
    }
    path = run_directory.evaluation_path(place, settings)
    run_directory.write_json(path, record)
    drawn = write_pictures(path.with_suffix(""), draw(evaluators, seed, subjects))
    layers = list(subjects[""].layers)
    for line in messages.evaluation_tables(frozen.data, evaluators, layers, values):
        print(line)
    print(f"Weights and batch-norm statistics unchanged. Written: {path}", flush=True)
    if drawn:
        print(f"Pictures: {path.with_suffix('')}", flush=True)
    return record


def _of_run(
    workdir: Path, evaluators: Mapping[str, Evaluator], seed: int
) -> tuple[FrozenEncoder, dict[str, EncoderFeatures]]:
    config, results = run_directory.read(workdir)
    data = load_data(config)
    check_evaluators(evaluators, config, data)
    setup = restored(config, results, workdir, data)
    subjects = {
        "": trained_features(setup, evaluators, seed),
        tables.CONTROL: untrained_features(config, setup.data, evaluators),
        **baseline_features(setup, evaluators, workdir, seed, build_engine(config, alone=True)),
    }
    return FrozenEncoder.of(setup), subjects


def _of_saved_model(
    directory: Path, evaluators: Mapping[str, Evaluator], config: Config | None
) -> tuple[FrozenEncoder, dict[str, EncoderFeatures]]:
    frozen = load_saved_model(directory, config)
    for name, evaluator in evaluators.items():
        evaluator.check(frozen.data.train.num_examples)
        if evaluator.num_local_images:
            raise UserError(
                f"The head {name} looks into the blocks of the encoder, which a SavedModel does "
                "not show: leave it out of --heads, or give the directory of the run."
            )
    return frozen, {"": encoder_features(frozen, evaluators, frozen.layers)}


def baseline_features(
    setup: TrainingSetup,
    evaluators: Mapping[str, Evaluator],
    workdir: Path,
    seed: int,
    engine: Engine,
) -> dict[str, EncoderFeatures]:
    """Method -> features of each baseline among the evaluators, trained where it is not yet.

    Each is a run of its own in `baselines/METHOD` of the run's directory; `engine` is what it is
    trained on.
    """
    found = {}
    others = {
        name: evaluator
        for name, evaluator in evaluators.items()
        if not isinstance(evaluator, Baseline)
    }
    for method in configuration.baselines(evaluators):
        directory = workdir / "baselines" / method
        config = setup.config.baseline(method)
        if not run_directory.holds(directory, config):
            print(f"\nBaseline: {method}", flush=True)
            finish(fit(config.in_directory(directory), setup.data, True, engine))
        results = run_directory.read(directory)[1]
        baseline = restored(config, results, directory, setup.data)
        found[method] = trained_features(baseline, others, seed, pixels=False)
    return found
