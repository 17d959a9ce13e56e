"""Evaluation of a model by heads on its frozen features, after a run or later."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras import environment, report, run_directory
from ssl_keras.evaluation import Head
from ssl_keras.evaluation.base import FrozenFeatures
from ssl_keras.evaluation.extraction import extract, weights_digest
from ssl_keras.experiment import texts
from ssl_keras.experiment.building import Experiment, build
from ssl_keras.experiment.restoring import load_weights

# Most training images of the control with shuffled labels.
SHUFFLED_EXAMPLES = 2000


def frozen_features(
    experiment: Experiment, heads: Mapping[str, Head], depths: Sequence[str]
) -> dict[str, FrozenFeatures]:
    """Features at `depths`, with those of views if a head wants them."""
    return extract(
        experiment.model.representations,
        experiment.data,
        depths,
        augmenter=experiment.model.augmenter,
        num_views=max((head.num_views for head in heads.values()), default=0),
    )


def measure(
    heads: Mapping[str, Head],
    seed: int,
    frozen: Mapping[str, FrozenFeatures],
    control: Mapping[str, FrozenFeatures],
) -> dict[str, float]:
    """What every head says of features and of two controls.

    Args:
        heads: the heads, by name.
        seed: chooses whatever is random in them.
        frozen: depth -> features.
        control: the features of the untrained encoder.

    Returns:
        "head/depth/measure" -> value; "random_encoder/head/depth/measure" of the untrained encoder;
        and "shuffled_labels/head/depth/measure", at the first depth, with classes of training
        images that say nothing: what is above chance there, leaks.
    """
    first = next(iter(frozen), None)
    learning = {name: head for name, head in heads.items() if head.needs_labels}
    shuffled = {}
    if first is not None and learning:
        count = max(SHUFFLED_EXAMPLES, *(head.least_train for head in learning.values()))
        shuffled = {first: with_shuffled_labels(frozen[first], count, seed)}
    return {
        f"{prefix}{name}/{depth}/{key}": float(value)
        for prefix, depths, chosen in (
            ("", frozen, heads),
            (f"{report.CONTROL}/", control, heads),
            (f"{report.SHUFFLED}/", shuffled, learning),
        )
        for depth, features in depths.items()
        for name, head in chosen.items()
        if features.features or not head.needs_labels
        for key, value in head.evaluate(features, seed)
    }


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
        cache={},
    )


def protocols(heads: Mapping[str, Head]) -> dict[str, str]:
    """What each head does, in words."""
    return {name: " ".join(str(type(head).__doc__).split()) for name, head in heads.items()}


def averaged(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The means of repeated measurements; of more than one also the standard deviations, as
    "NAME_sd"."""
    columns = {name: [each[name] for each in found] for name in found[0]}
    values = {name: float(np.mean(column)) for name, column in columns.items()}
    if len(found) > 1:
        values |= {f"{name}_sd": float(np.std(c, ddof=1)) for name, c in columns.items()}
    return values


def evaluate(
    workdir: Path | str, heads: Mapping[str, Head], seed: int = 0, repeats: int = 1
) -> dict[str, Any]:
    """Evaluate a finished run with other heads; print the tables and keep the numbers.

    Args:
        workdir: directory of the run.
        heads: the heads, by name.
        seed: chooses whatever is random in them; repetition r has seed + r.
        repeats: how often everything is measured; values are then means, with their standard
            deviations as "NAME_sd".

    Returns:
        What is written to `evaluations/` in the run's directory.

    Raises:
        UserError: it is not a finished run, or a head does not fit its data.
    """
    start = time.perf_counter()
    workdir = Path(workdir)
    config, results = run_directory.read(workdir)
    experiment = build(config)
    for head in heads.values():
        head.check(experiment.data.train.num_examples)
    control = frozen_features(experiment, heads, experiment.depths[:1])
    load_weights(experiment, workdir, results)
    frozen = frozen_features(experiment, heads, experiment.depths)
    found = [measure(heads, seed + repeat, frozen, control) for repeat in range(repeats)]
    values = averaged(found)
    if weights_digest(experiment.model.variables) != results["weights_sha256"]:
        raise RuntimeError("evaluation changed the weights or batch-norm statistics")
    options = {name: head.options() for name, head in heads.items()}
    record: dict[str, Any] = {
        "results": values,
        "heads": options,
        "seed": seed,
        "repeats": repeats,
        "weights_sha256": results["weights_sha256"],
        "protocol": protocols(heads),
        "versions": environment.versions(),
        "hardware": environment.hardware(),
        "times": {"total": time.perf_counter() - start},
    }
    path = run_directory.evaluation_path(
        workdir, {"heads": options, "seed": seed, "repeats": repeats}
    )
    run_directory.write_json(path, record)
    for line in texts.tables(experiment.data, heads, experiment.depths, values):
        print(line)
    print(f"Weights and batch-norm statistics unchanged. Written: {path}", flush=True)
    return record
