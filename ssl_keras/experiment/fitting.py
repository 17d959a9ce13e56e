"""Training and what surrounds it: the directory, the listeners, the checkpoint, the export."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from ssl_keras import environment, panel, pictures, report, run_directory
from ssl_keras.callbacks import (
    History,
    JsonLines,
    Listener,
    NonFiniteGuard,
    Profiler,
    Progress,
    Saver,
    TensorBoardScalars,
)
from ssl_keras.checkpoints import Checkpoints, weights_digest
from ssl_keras.config import Config
from ssl_keras.datasets import DataSet
from ssl_keras.datasets.composing import compose_images
from ssl_keras.devices import Engine
from ssl_keras.errors import Interrupted, UserError
from ssl_keras.experiment import texts, workers
from ssl_keras.experiment.building import Experiment, build, build_head, to_measure
from ssl_keras.experiment.looping import check_services, train
from ssl_keras.experiment.measuring import MEASUREMENTS, GeometryLog, build_measure, diagnosis
from ssl_keras.interruption import Interruption
from ssl_keras.models.simclr import SimCLR
from ssl_keras.saved_models import compare_export, export_encoder

# Images on which the SavedModel is compared with the model.
_COMPARED_IMAGES = 16
# The picture of the views: how many images, and about how many pixels high each is.
_SHOWN_VIEWS, _SHOWN_PIXELS = 10, 96


@dataclass
class Trained:
    """A run after its training.

    Attributes:
        experiment: what was trained.
        workdir: the directory of the run.
        results: what results.json will hold, the measurements excepted.
        board: TensorBoard's scalars and pictures of the run.
        started: when this process began with it, by `time.perf_counter`.
        claimed: keeps other processes out of the directory.
    """

    experiment: Experiment
    workdir: Path
    results: dict[str, Any]
    board: TensorBoardScalars
    started: float
    claimed: run_directory.Claimed


def fit(
    config: Config,
    data: DataSet | None = None,
    brief: bool = False,
    engine: Engine | None = None,
) -> Trained:
    """Train, and keep the weights in the run's directory.

    Args:
        config: the configuration.
        data: its data set, if it is loaded already.
        brief: whether to leave out the banner, and lines of JSON.
        engine: what it is to run on. Default: what the configuration asks for.

    Raises:
        UserError: something that the user can mend. Before training starts nothing is written;
            after, what there is stays.
    """
    times: dict[str, Any] = {}
    started = time.perf_counter()
    run_directory.check(config)
    with timed(times, "build"):
        experiment = build(config, data, engine)
    check_services(config)
    claimed = run_directory.claim(config)
    try:
        return _fit(experiment, claimed, times, started, brief)
    except BaseException:
        claimed.release()
        raise


def _fit(
    experiment: Experiment,
    claimed: run_directory.Claimed,
    times: dict[str, Any],
    started: float,
    brief: bool,
) -> Trained:
    config, workdir = experiment.config, claimed.workdir
    setup = texts.banner(experiment)
    if not brief:
        print(report.banner({**setup, "workdir": str(workdir)}) + "\n", flush=True)
        for notice in (*config.notices, *experiment.data.notices):
            print(f"Note: {notice}.", flush=True)

    model, data, total_steps = experiment.model, experiment.data, experiment.total_steps
    kept = Checkpoints(workdir / "checkpoints", model.state_groups, config.run.checkpoint_keep)
    restored = kept.restore() if claimed.resumes else None
    first_step, before, notices = restored or (0, {}, [])
    if restored is not None:
        _check_engine(experiment, before)
    workers.start(experiment.engine, model, config, first_step)
    # Whatever could be refused has been: from here on what was there may go.
    claimed.begin()
    for notice in notices:
        text = f"Note: {notice}, so training goes on from the one before."
        print(text, file=sys.stderr, flush=True)
    history = History()
    board = TensorBoardScalars(
        workdir / "tensorboard",
        experiment.schedules,
        experiment.levels,
        config.optimization.batch_size,
        first_step if restored else None,
    )
    geometry = build_geometry_log(experiment, board)
    guard = NonFiniteGuard(model.non_finite_step, _non_finite(experiment, workdir, kept))
    remembering = {"history": history} | ({} if geometry is None else {"geometry": geometry})
    resumed_at = [*before.get("resumed_at", []), *([first_step] if restored else [])]
    seconds = before.get("seconds", 0.0)
    for name, listener in remembering.items():
        if name in before:
            listener.restore(before[name])
    if restored is None:
        _write_panel(experiment, board, workdir, setup)
        _write_views(experiment, board, workdir)
    else:
        print(f"Going on after step {first_step} of {total_steps}.", flush=True)

    def save(step: int) -> None:
        guard.check()
        state = {name: listener.state() for name, listener in remembering.items()}
        elapsed = seconds + time.perf_counter() - training_started
        about = {"seconds": elapsed, "resumed_at": resumed_at}
        kept.save(step, {**state, **about, "engine": experiment.engine.described()})

    with Interruption() as interruption:
        saver = Saver(
            save,
            config.run.checkpoint_every,
            config.run.checkpoint_minutes,
            lambda: interruption.asked,
        )
        training_started = time.perf_counter()
        print(f"Training: {total_steps - first_step} steps", flush=True)
        # The saver comes last: what it keeps is what everybody knows after the step.
        listeners = [guard, *remembering.values(), board, _progress(experiment, brief), saver]
        if config.run.profile_steps is not None and not brief:
            listeners.append(Profiler(workdir / "tensorboard", config.run.profile_steps))
        try:
            with workers.together(experiment.engine):
                wait = train(experiment, listeners, first_step)
        except Interrupted as stopped:
            how = "" if brief else f"; {texts.going_on(workdir)}"
            raise Interrupted(f"{stopped}{how}") from None
    model.adopt_average()
    times["training"] = seconds + time.perf_counter() - training_started
    times["resumed_at"] = resumed_at
    times["input_wait_share"] = wait
    results: dict[str, Any] = {
        "results": {},
        "training": history.records[-1],
        "history": history.records,
        "geometry_history": [] if geometry is None else geometry.records,
        "warning": None if geometry is None else geometry.warning,
        "steps": experiment.total_steps,
        "seed": config.run.seed,
        "setup": setup,
        "weights_sha256": weights_digest(model.variables),
        "saved_model_relative_difference": None,
        "data": {
            "name": data.name,
            "version": config.recipe.version,
            "notices": list(data.notices),
            "train_images": data.train.num_examples,
            "test_images": data.test.num_examples,
            "features": {name: dataclasses.asdict(f) for name, f in data.features.items()},
        },
        "config": config.determining(),
        "engine": experiment.engine.described(),
        "versions": environment.versions(),
        "hardware": environment.hardware(),
        "times": times,
        "paths": {"workdir": str(workdir), "data_dir": config.data.data_dir},
    }
    return Trained(experiment, workdir, results, board, started, claimed)


def finish(trained: Trained) -> dict[str, Any]:
    """Write results.json, export the encoder, write it again with the outcome; leave the directory.

    Returns:
        What results.json holds.

    Raises:
        RuntimeError: the weights are not those at the end of the training, or the SavedModel gives
            other features.
    """
    results, workdir = trained.results, trained.workdir
    trained.board.on_end()
    # What was measured is safe before the export, which may fail, begins.
    run_directory.write_json(workdir / "results.json", results)
    with timed(results["times"], "export"):
        difference = export(trained.experiment, workdir / "saved_model", results)
    results["saved_model_relative_difference"] = difference
    if weights_digest(trained.experiment.model.variables) != results["weights_sha256"]:
        raise RuntimeError("evaluation or export changed the weights or batch-norm statistics")
    results["times"]["total"] = time.perf_counter() - trained.started
    run_directory.write_json(workdir / "results.json", results)
    trained.claimed.release()
    return results


def _check_engine(experiment: Experiment, before: Mapping[str, Any]) -> None:
    """Refuse to go on with other hardware where that changes what the settings mean.

    Raises:
        UserError: it does.
    """
    here = experiment.engine.described()
    there = before.get("engine", here)
    for name, value in here.items():
        if value != there[name]:
            raise UserError(
                f"The run was begun with {name}={there[name]}, but on this machine it would go on "
                f"with {name}={value}: go on where it was begun, or begin again with --overwrite."
            )


@contextmanager
def timed(times: dict[str, Any], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    times[name] = time.perf_counter() - start


def _non_finite(experiment: Experiment, workdir: Path, kept: Checkpoints) -> Callable[[int], str]:
    """From a step whose loss was not finite to what the user should know; writes its batch."""
    config, train = experiment.config, experiment.data.train

    def report_on(step: int) -> str:
        rows = train.rows_of_step(step, config.optimization.batch_size, config.run.seed)
        path = workdir / "non_finite.json"
        run_directory.write_json(path, {"step": step, "images": rows.numpy().tolist()})
        steps = kept.steps()
        last = f"that of step {steps[-1]}" if steps else "there is none"
        return (
            f"The last good checkpoint: {last}. The images of the batch are listed in {path}. "
            f"{texts.advice(experiment)}"
        )

    return report_on


def _progress(experiment: Experiment, brief: bool) -> Listener:
    """What tells of the training while it goes on."""
    settings, batch = experiment.config.run, experiment.config.optimization.batch_size
    if settings.quiet or (settings.log_json and brief):
        return Listener()
    if settings.log_json:
        return JsonLines(batch, texts.console())
    shown = {"loss": "loss", "alignment": "align", "distribution": "distr"}
    shown |= {"contrastive_accuracy": "contrastive"}
    shown |= {"image_error": "image", "planes_error": "planes"}
    shown |= {f"supervised/{name}/accuracy": f"learned {name}" for name in experiment.data.features}
    shown |= {f"linear_probe/{name}/accuracy": name for name in experiment.data.features}
    return Progress(batch, shown)


def build_geometry_log(experiment: Experiment, board: TensorBoardScalars) -> GeometryLog | None:
    """The listener that measures geometry while training, unless it is switched off."""
    settings = experiment.config.run
    if not settings.measure_images:
        return None
    every = settings.measure_every or max(1, experiment.total_steps // MEASUREMENTS)
    measure = build_measure(experiment, settings.measure_images)
    advice = texts.advice(experiment)
    return GeometryLog(measure, board, every, diagnosis(experiment), advice)


def export(experiment: Experiment, directory: Path, results: Mapping[str, Any]) -> float:
    """Export in float32, with a card, and compare with the features of the model.

    Args:
        experiment: after its training.
        directory: is replaced as a whole.
        results: what results.json holds.

    Returns:
        The largest relative difference, see `compare_export`.
    """
    config, data = experiment.config, experiment.data
    model = to_measure(experiment).model
    encoder = model.encoder
    head = model.projection_head if isinstance(model, SimCLR) else build_head(config, encoder)
    kept = ("setup", "results", "steps", "seed", "weights_sha256", "data", "config", "versions")
    card = {name: results[name] for name in kept}
    layers = config.network.projection_layers or 0
    batch = next(iter(data.test.batches(_COMPARED_IMAGES)))
    images = data.inputs(batch)
    with run_directory.whole_directory(directory) as place:
        export_encoder(encoder, head, layers, place, num_bits=data.num_bits, card=card)
        return compare_export(place, images, encoder(images, training=False))


def _write_panel(
    experiment: Experiment, board: TensorBoardScalars, workdir: Path, setup: Mapping[str, str]
) -> None:
    """The card of the run and the arrangement of its charts, for TensorBoard."""
    command = f"python -m ssl_keras.train --flagfile={workdir / 'flags.txt'}"
    board.text("run", panel.card(command, setup), step=0)
    arranged = panel.charts(experiment.data.features, experiment.config.loss is not None)
    board.summary(panel.layout(arranged), step=0)


def _write_views(experiment: Experiment, board: TensorBoardScalars, workdir: Path) -> None:
    """The picture of some images and their views, for TensorBoard and as a PNG."""
    train = experiment.data.train
    count = min(_SHOWN_VIEWS, train.num_examples)
    batch = next(iter(train.training_batches(count, seed=experiment.config.run.seed, num_steps=1)))
    images = compose_images(batch["image"], size=experiment.data.view_size)
    step = tf.constant(0, tf.int64)
    views, _, _ = experiment.model.augmenter.two_views(batch["image"], step)
    planes = batch.get("planes")
    grid = pictures.view_grid(
        images.numpy(),
        views[: len(images)].numpy(),
        views[len(images) :].numpy(),
        None if planes is None else planes.numpy(),
    )
    board.image("views", grid, step=0)
    labels = {name: values.numpy().tolist() for name, values in batch["labels"].items()}
    board.text("views/labels", "\n".join(f"    {k}: {v}" for k, v in labels.items()), step=0)
    factor = max(1, _SHOWN_PIXELS // images.shape[1])
    pictures.write_png(workdir / "views.png", pictures.enlarge(grid, factor))
