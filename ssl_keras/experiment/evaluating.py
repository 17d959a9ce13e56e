"""Evaluation of a model by heads on its frozen features, after a run or later."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras import config as configuration
from ssl_keras import environment, pictures, report, run_directory
from ssl_keras.checkpoints import weights_digest
from ssl_keras.config import Config
from ssl_keras.datasets import DataSet
from ssl_keras.devices import Engine
from ssl_keras.errors import UserError
from ssl_keras.evaluation import Baseline, Head
from ssl_keras.evaluation.base import FrozenFeatures, FrozenLocations, measured
from ssl_keras.evaluation.decoder import reconstruction_errors
from ssl_keras.evaluation.extraction import extract, extract_local, extract_pixels, inputs_of
from ssl_keras.experiment import texts
from ssl_keras.experiment.building import (
    Experiment,
    build,
    build_engine,
    check_heads,
    load_data,
    to_measure,
)
from ssl_keras.experiment.fitting import finish, fit
from ssl_keras.experiment.restoring import Frozen, load_saved_model, restored
from ssl_keras.models.autoencoder import Autoencoder
from ssl_keras.networks import block_outputs

# Most training images of the control with shuffled labels.
SHUFFLED_EXAMPLES = 2000


@dataclass(frozen=True)
class Subject:
    """What the heads measure of one encoder.

    Attributes:
        depths: name of the depth -> features.
        values: what is known of it without heads: "name/depth/measure" -> value.
        local: name of the block -> features of its locations, if a head wants them.
    """

    depths: Mapping[str, FrozenFeatures]
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)
    local: Mapping[str, FrozenLocations] = dataclasses.field(default_factory=dict)

    def seen_by(self, head: Head) -> Mapping[str, FrozenFeatures]:
        """What a head measures."""
        return self.local if head.num_local_images else self.depths


def subject_of(
    frozen: Frozen, heads: Mapping[str, Head], depths: Sequence[str], pixels: bool = False
) -> Subject:
    """The features of an encoder at `depths`, with those of views and locations if a head wants
    them; and with `pixels` those of the pixels at the locations, a control."""
    features = extract(
        frozen.representations,
        frozen.data,
        depths,
        augmenter=frozen.augmenter,
        num_views=max((head.num_views for head in heads.values()), default=0),
        num_train_views=max((head.num_train_views for head in heads.values()), default=0),
    )
    local: dict[str, FrozenLocations] = {}
    if num_images := max((head.num_local_images for head in heads.values()), default=0):
        blocks = block_outputs(frozen.encoder)
        local = extract_local(
            lambda images: blocks(images, training=False), frozen.data, frozen.grids, num_images
        )
        if pixels:
            local |= extract_pixels(frozen.data, frozen.grids, num_images)
    return Subject(features, local=local)


def trained_subject(
    experiment: Experiment, heads: Mapping[str, Head], seed: int, pixels: bool = True
) -> Subject:
    """The `Subject` of a trained model, with what its own parts say on frozen features.

    These are the online probe, which has learnt from augmented views during the training, and
    the reconstructions of an autoencoder. `pixels`: see `subject_of`.
    """
    experiment = to_measure(experiment)
    model, data = experiment.model, experiment.data
    subject = subject_of(Frozen.of(experiment), heads, experiment.depths, pixels)
    features = subject.depths["features"]
    values: dict[str, float] = {}
    if model.linear_probe is not None:
        logits = model.linear_probe(features.test, training=False)
        for name, feature in data.features.items():
            found = measured(feature, features.test_labels[name], logits[name].numpy(), seed)
            values |= {f"{report.ONLINE}/features/{name}/{k}": v for k, v in found.items()}
    if isinstance(model, Autoencoder):
        counts = (data.train.num_examples, data.test.num_examples)
        errors = reconstruction_errors(model.reconstruct, inputs_of(data), *counts)
        values |= {f"reconstruction/features/{name}": value for name, value in errors.items()}
    return dataclasses.replace(subject, values=values)


def control_subject(config: Config, data: DataSet, heads: Mapping[str, Head]) -> Subject:
    """The first depth of the encoder of a configuration as it is before training."""
    experiment = build(config, data, Engine())
    return subject_of(Frozen.of(experiment), heads, experiment.depths[:1])


def measure(
    heads: Mapping[str, Head], seed: int, subjects: Mapping[str, Subject]
) -> dict[str, float]:
    """What every head says of every encoder.

    Args:
        heads: the heads, by name.
        seed: chooses whatever is random in them.
        subjects: "" is the model that was trained; others are controls and baselines, by name.

    Returns:
        "head/depth/measure" -> value; the same below the names of the other encoders, as in
        "random_encoder/head/depth/measure"; and "shuffled_labels/head/depth/measure", of the model
        at its first depth with classes of training images that say nothing: what is above chance
        there, leaks.
    """
    frozen = subjects[""].depths
    first = next(iter(frozen), None)
    learning = {name: head for name, head in heads.items() if head.needs_labels}
    compared = [(name, subject, heads) for name, subject in subjects.items()]
    if first is not None and learning:
        count = max(SHUFFLED_EXAMPLES, *(head.least_train for head in learning.values()))
        shuffled = Subject({first: with_shuffled_labels(frozen[first], count, seed)})
        compared.append((report.SHUFFLED, shuffled, learning))
    found: dict[str, float] = {}
    for subject_name, subject, chosen in compared:
        prefix = subject_name and f"{subject_name}/"
        found |= {f"{prefix}{name}": value for name, value in subject.values.items()}
        found |= {
            f"{prefix}{name}/{depth}/{key}": float(value)
            for depth in (*subject.depths, *subject.local)
            for name, head in chosen.items()
            if (features := subject.seen_by(head).get(depth))
            and (features.features or not head.needs_labels)
            for key, value in head.evaluate(features, seed)
        }
    return found


def draw(
    heads: Mapping[str, Head], seed: int, subjects: Mapping[str, Subject]
) -> Iterator[tuple[str, np.ndarray]]:
    """("head/name", picture) of what `measure` has found before, of the same subjects."""
    spoken = {"": "", report.CONTROL: "untrained "}
    for name, head in heads.items():
        shown = {
            f"{spoken.get(subject_name, f'{subject_name} ')}{depth}": features
            for subject_name, subject in subjects.items()
            for depth, features in subject.seen_by(head).items()
        }
        for title, picture in head.draw(shown, seed):
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
        features={n: feature for n, feature in frozen.features.items() if not feature.is_vector},
        views=None,
        train_views=None,
        inputs=None,
        cache={},
    )


def protocols(heads: Mapping[str, Head]) -> dict[str, str]:
    """What each head does, in words."""
    return {name: " ".join(str(type(head).__doc__).split()) for name, head in heads.items()}


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


def evaluate(
    directory: Path | str,
    heads: Mapping[str, Head],
    seed: int = 0,
    repeats: int = 1,
    config: Config | None = None,
) -> dict[str, Any]:
    """Evaluate a finished run, or a SavedModel, with other heads; print the tables, keep all.

    Args:
        directory: of the run, or of the SavedModel. For a run, baselines that it has not trained
            yet are trained.
        heads: the heads, by name.
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
        frozen, subjects = _of_saved_model(directory, heads, config)
        place = directory.with_name(f"{directory.name}-evaluations")
    else:
        frozen, subjects = _of_run(directory, heads, seed)
        place = directory / "evaluations"
    before = weights_digest(frozen.variables)
    found = [measure(heads, seed + repeat, subjects) for repeat in range(repeats)]
    values = averaged(found)
    if weights_digest(frozen.variables) != before:
        raise RuntimeError("evaluation changed the weights or batch-norm statistics")
    options = {name: head.options() for name, head in heads.items()}
    settings = {"heads": options, "seed": seed, "repeats": repeats}
    record: dict[str, Any] = {
        "results": values,
        **settings,
        "data": frozen.data.name,
        "weights_sha256": before,
        "protocol": protocols(heads),
        "versions": environment.versions(),
        "hardware": environment.hardware(),
        "times": {"total": time.perf_counter() - start},
    }
    path = run_directory.evaluation_path(place, settings)
    run_directory.write_json(path, record)
    drawn = write_pictures(path.with_suffix(""), draw(heads, seed, subjects))
    depths = list(subjects[""].depths)
    for line in texts.tables(frozen.data, heads, depths, values):
        print(line)
    print(f"Weights and batch-norm statistics unchanged. Written: {path}", flush=True)
    if drawn:
        print(f"Pictures: {path.with_suffix('')}", flush=True)
    return record


def _of_run(
    workdir: Path, heads: Mapping[str, Head], seed: int
) -> tuple[Frozen, dict[str, Subject]]:
    config, results = run_directory.read(workdir)
    data = load_data(config)
    check_heads(heads, config, data)
    experiment = restored(config, results, workdir, data)
    subjects = {
        "": trained_subject(experiment, heads, seed),
        report.CONTROL: control_subject(config, experiment.data, heads),
        **baseline_subjects(experiment, heads, workdir, seed, build_engine(config, alone=True)),
    }
    return Frozen.of(experiment), subjects


def _of_saved_model(
    directory: Path, heads: Mapping[str, Head], config: Config | None
) -> tuple[Frozen, dict[str, Subject]]:
    frozen = load_saved_model(directory, config)
    for name, head in heads.items():
        head.check(frozen.data.train.num_examples)
        if head.num_local_images:
            raise UserError(
                f"The head {name} looks into the blocks of the encoder, which a SavedModel does "
                "not show: leave it out of --heads, or give the directory of the run."
            )
    return frozen, {"": subject_of(frozen, heads, frozen.depths)}


def baseline_subjects(
    experiment: Experiment, heads: Mapping[str, Head], workdir: Path, seed: int, engine: Engine
) -> dict[str, Subject]:
    """The baselines among the heads, trained where they are not yet: method -> `Subject`.

    Each is a run of its own in `baselines/METHOD` of the run's directory; `engine` is what it is
    trained on.
    """
    found = {}
    others = {name: head for name, head in heads.items() if not isinstance(head, Baseline)}
    for method in configuration.baselines(heads):
        directory = workdir / "baselines" / method
        config = experiment.config.baseline(method)
        if not run_directory.holds(directory, config):
            print(f"\nBaseline: {method}", flush=True)
            finish(fit(config.in_directory(directory), experiment.data, True, engine))
        results = run_directory.read(directory)[1]
        baseline = restored(config, results, directory, experiment.data)
        found[method] = trained_subject(baseline, others, seed, pixels=False)
    return found
