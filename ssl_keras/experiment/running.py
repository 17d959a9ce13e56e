"""A whole run: train, evaluate, export, write."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ssl_keras import panel, report
from ssl_keras.callbacks import TensorBoardScalars
from ssl_keras.config import Config
from ssl_keras.errors import Interrupted
from ssl_keras.evaluation.base import spread
from ssl_keras.experiment import texts, workers
from ssl_keras.experiment.building import build_engine
from ssl_keras.experiment.evaluating import (
    Subject,
    baseline_subjects,
    control_subject,
    draw,
    measure,
    protocols,
    trained_subject,
    write_pictures,
)
from ssl_keras.experiment.fitting import Trained, finish, fit, timed


def run(config: Config) -> dict[str, Any]:
    """The whole run: train, evaluate, export, write the run directory, print the table.

    Returns:
        What results.json holds; nothing in a process that follows another, see `workers`.

    Raises:
        UserError: something that the user can mend. Before training starts nothing is written;
            after, what there is stays.
    """
    with texts.spoken(config):
        return _run(config)


def _run(config: Config) -> dict[str, Any]:
    engine = build_engine(config)
    if not engine.is_chief:
        return workers.follow(config, engine)
    trained = fit(config, engine=engine)
    try:
        results = _evaluate_and_finish(trained)
        texts.outcome(config, trained.workdir, results)
        workers.dismiss(engine)
        return results
    except KeyboardInterrupt as interruption:
        how = texts.going_on(trained.workdir)
        raise Interrupted(f"{str(interruption) or ' after the training'}; {how}") from None
    finally:
        trained.claimed.release()


def _evaluate_and_finish(trained: Trained) -> dict[str, Any]:
    config = trained.experiment.config
    experiment, workdir, results = trained.experiment, trained.workdir, trained.results
    heads, seed = config.heads, config.run.seed
    data = experiment.data
    if any(data.features or not head.needs_labels for head in heads.values()):
        with timed(results["times"], "baselines"):
            baselines = baseline_subjects(experiment, heads, workdir, seed, experiment.engine)
        with timed(results["times"], "evaluation"):
            print("Evaluating frozen features", flush=True)
            subjects = {
                "": trained_subject(experiment, heads, seed),
                report.CONTROL: control_subject(config, data, heads),
                **baselines,
            }
            results["results"] = measure(heads, seed, subjects)
            drawn = write_pictures(workdir / "pictures", draw(heads, seed, subjects))
        _show(trained, drawn)
        _write_embedding(trained, subjects[""])
    results["protocol"] = protocols(heads)
    finish(trained)
    print("\n" + texts.closing(experiment, workdir, results), flush=True)
    return results


def _show(trained: Trained, drawn: Mapping[str, np.ndarray]) -> None:
    """What was measured, in TensorBoard: of each baseline under the same names, as its own run."""
    experiment, board = trained.experiment, trained.board
    step, names = experiment.total_steps, experiment.config.baselines
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
    settings = experiment.config.determining()
    accuracies = [n for n in own if n.endswith(("/accuracy", "/all_right", "/information"))]
    for content in panel.hyperparameters(settings, accuracies, trained.workdir.name):
        board.summary(content, step)


def _write_embedding(trained: Trained, subject: Subject) -> None:
    """Some test images in the space of the features and of the projections, for TensorBoard."""
    depths = subject.depths
    features = depths["features"]
    if features.inputs is None:
        return
    rows = spread(len(features.test), panel.MAX_POINTS)
    channels = features.inputs.image_channels
    chosen = {"features": features, list(depths)[-1]: depths[list(depths)[-1]]}
    panel.write_embedding(
        trained.workdir / "tensorboard",
        {name: frozen.test[rows] for name, frozen in chosen.items()},
        {name: labels[rows] for name, labels in features.test_labels.items()},
        features.inputs.test(rows)[..., :channels],
    )
