"""A whole run: train, evaluate, export, write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ssl_keras.config import Config
from ssl_keras.errors import Interrupted
from ssl_keras.evaluators.base import spread
from ssl_keras.run import messages, tables, tensorboard, workers
from ssl_keras.run.callbacks import TensorBoardScalars
from ssl_keras.run.evaluate import (
    EncoderFeatures,
    baseline_features,
    draw,
    measure,
    protocols,
    trained_features,
    untrained_features,
    write_pictures,
)
from ssl_keras.run.fitting import TrainedRun, finish, fit, timed
from ssl_keras.run.setup import build_engine


def train_and_evaluate(config: Config) -> dict[str, Any]:
    """The whole run: train, evaluate, export, write the run directory, print the table.

    Returns:
        What results.json holds; nothing in a process that follows another, see `workers`.

    Raises:
        UserError: something that the user can mend. Before training starts nothing is written;
            after, what there is stays.
    """
    with messages.spoken(config):
        return _run(config)


def _run(config: Config) -> dict[str, Any]:
    engine = build_engine(config)
    if not engine.is_chief:
        return workers.follow(config, engine)
    trained = fit(config, engine=engine)
    try:
        results = _evaluate_and_finish(trained)
        messages.outcome(config, trained.workdir, results)
        workers.dismiss(engine)
        return results
    except KeyboardInterrupt as interruption:
        how = messages.going_on(trained.workdir)
        raise Interrupted(f"{str(interruption) or ' after the training'}; {how}") from None
    finally:
        trained.claimed.release()


def _evaluate_and_finish(trained: TrainedRun) -> dict[str, Any]:
    config = trained.setup.config
    setup, workdir, results = trained.setup, trained.workdir, trained.results
    evaluators, seed = config.evaluators, config.run.seed
    data = setup.data
    if any(data.targets or not evaluator.needs_labels for evaluator in evaluators.values()):
        with timed(results["times"], "baselines"):
            baselines = baseline_features(setup, evaluators, workdir, seed, setup.engine)
        with timed(results["times"], "evaluation"):
            print("Evaluating frozen features", flush=True)
            subjects = {
                "": trained_features(setup, evaluators, seed),
                tables.CONTROL: untrained_features(config, data, evaluators),
                **baselines,
            }
            results["results"] = measure(evaluators, seed, subjects)
            drawn = write_pictures(workdir / "pictures", draw(evaluators, seed, subjects))
        _show(trained, drawn)
        _write_embedding(trained, subjects[""])
    results["protocol"] = protocols(evaluators)
    finish(trained)
    print("\n" + messages.closing(setup, workdir, results), flush=True)
    return results


def _show(trained: TrainedRun, drawn: Mapping[str, np.ndarray]) -> None:
    """What was measured, in TensorBoard: of each baseline under the same names, as its own run."""
    setup, board = trained.setup, trained.board
    step, names = setup.total_steps, setup.config.baselines
    values = trained.results["results"]
    of_others = tuple(f"{name}/" for name in names)
    own = {f"evaluation/{n}": v for n, v in values.items() if not n.startswith(of_others)}
    board.scalars(own, step)
    for name, prefix in zip(names, of_others, strict=True):
        other = TensorBoardScalars(trained.workdir / "baselines" / name / "tensorboard")
        found = {n.removeprefix(prefix): v for n, v in values.items() if n.startswith(prefix)}
        other.scalars({f"evaluation/{n}": v for n, v in found.items()}, step)
        other.on_end()
    for name, picture in drawn.items():
        board.image(f"pictures/{name}", picture, step)
    settings = setup.config.determining()
    accuracies = [n for n in own if n.endswith(("/accuracy", "/all_right", "/information"))]
    for content in tensorboard.hyperparameters(settings, accuracies, trained.workdir.name):
        board.summary(content, step)


def _write_embedding(trained: TrainedRun, subject: EncoderFeatures) -> None:
    """Some test images in the space of the features and of the projections, for TensorBoard."""
    layers = subject.layers
    features = layers["features"]
    if features.inputs is None:
        return
    rows = spread(len(features.test), tensorboard.MAX_POINTS)
    channels = features.inputs.image_channels
    chosen = {"features": features, list(layers)[-1]: layers[list(layers)[-1]]}
    tensorboard.write_embedding(
        trained.workdir / "tensorboard",
        {name: frozen.test[rows] for name, frozen in chosen.items()},
        {name: labels[rows] for name, labels in features.test_labels.items()},
        features.inputs.test(rows)[..., :channels],
    )
