"""Evaluation of a finished run, or of a SavedModel, with other evaluators."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_keras import files, log
from ssl_keras.config import Config
from ssl_keras.errors import UserError
from ssl_keras.evaluators import Evaluator
from ssl_keras.run import environment, messages, run_directory, tables
from ssl_keras.run.checkpoints import weights_digest
from ssl_keras.run.measure import (
    EncoderFeatures,
    averaged,
    draw,
    encoder_features,
    measure,
    protocols,
    trained_features,
    untrained_features,
    write_pictures,
)
from ssl_keras.run.restore import FrozenEncoder, load_saved_model, load_weights, recorded_engine
from ssl_keras.run.run import baseline_features
from ssl_keras.run.setup import build, build_engine, check_evaluators, in_float32, load_data


def evaluate_run(
    directory: Path | str,
    evaluators: Mapping[str, Evaluator],
    seed: int = 0,
    repeats: int = 1,
    config: Config | None = None,
) -> dict[str, Any]:
    """Evaluate a finished run or a SavedModel with other evaluators; print tables, write a record.

    Args:
        directory: directory of the run or of the SavedModel. Missing baselines of a run are
            trained.
        evaluators: the evaluators, by name.
        seed: seed of the evaluators; repetition r has seed + r.
        repeats: number of repetitions. With more than one, values are means, with standard
            deviations as "NAME_sd".
        config: configuration of the data for a SavedModel outside the directory of its run.

    Returns:
        The record. It is written to `evaluations/` in the run's directory, or to
        `NAME-evaluations/` beside the SavedModel, with the pictures.

    Raises:
        UserError: it is neither, the data differ from those it was trained on, or an evaluator does
            not fit.
    """
    directory = Path(directory)
    is_model = run_directory.is_saved_model(directory)
    with run_directory.used(directory.parent if is_model else directory):
        return _evaluate(directory, is_model, evaluators, seed, repeats, config)


def _evaluate(
    directory: Path,
    is_model: bool,
    evaluators: Mapping[str, Evaluator],
    seed: int,
    repeats: int,
    config: Config | None,
) -> dict[str, Any]:
    """`evaluate_run` of a run that is locked, or of a SavedModel."""
    start = time.perf_counter()
    if is_model:
        frozen, encoders, before = _saved_model_features(directory, evaluators, config)
        place = directory.with_name(f"{directory.name}-evaluations")
    else:
        frozen, encoders, before = _run_features(directory, evaluators, seed)
        place = directory / "evaluations"
    measurements = [measure(evaluators, seed + repeat, encoders) for repeat in range(repeats)]
    values = averaged(measurements)
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
    files.write_json(path, record)
    pictures = write_pictures(path.with_suffix(""), draw(evaluators, seed, encoders))
    layers = list(encoders[""].layers)
    for line in messages.evaluation_tables(frozen.data, evaluators, layers, values):
        log.info(line)
    log.info(f"Weights and batch-norm statistics unchanged. Written: {path}")
    if pictures:
        log.info(f"Pictures: {path.with_suffix('')}")
    return record


def _run_features(
    workdir: Path, evaluators: Mapping[str, Evaluator], seed: int
) -> tuple[FrozenEncoder, dict[str, EncoderFeatures], str]:
    """(encoder, features of all encoders, digest of its weights before they were computed)."""
    config, results = run_directory.read(workdir, with_data=True)
    data = load_data(config)
    check_evaluators(evaluators, config, data)
    setup = build(config, data, recorded_engine(results))
    untrained = untrained_features(setup, evaluators)
    load_weights(setup, workdir, results)
    setup = in_float32(setup)
    before = weights_digest(setup.model.variables)
    encoders = {
        "": trained_features(setup, evaluators, seed),
        tables.CONTROL: untrained,
        **baseline_features(setup, evaluators, workdir, build_engine(config, alone=True)),
    }
    return FrozenEncoder.from_setup(setup), encoders, before


def _saved_model_features(
    directory: Path, evaluators: Mapping[str, Evaluator], config: Config | None
) -> tuple[FrozenEncoder, dict[str, EncoderFeatures], str]:
    """`_run_features` for a SavedModel."""
    frozen = load_saved_model(directory, config)
    before = weights_digest(frozen.variables)
    for name, evaluator in evaluators.items():
        evaluator.check(frozen.data.train.num_examples)
        if evaluator.num_local_images:
            raise UserError(
                f"The evaluator {name} reads the blocks of the encoder, which a SavedModel does "
                "not show: leave it out of --heads, or give the directory of the run."
            )
    return frozen, {"": encoder_features(frozen, evaluators)}, before
