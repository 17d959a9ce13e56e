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

from ssl_keras import pictures
from ssl_keras.config import Config
from ssl_keras.datasets import DataSet
from ssl_keras.errors import Interrupted, UserError
from ssl_keras.inputs.composing import compose_images
from ssl_keras.methods.simclr import SimCLR
from ssl_keras.run import environment, messages, run_directory, tables, tensorboard, workers
from ssl_keras.run.callbacks import (
    History,
    JsonLines,
    Listener,
    NonFiniteGuard,
    Profiler,
    Progress,
    Saver,
    TensorBoardScalars,
)
from ssl_keras.run.checkpoints import Checkpoints, weights_digest
from ssl_keras.run.devices import Engine
from ssl_keras.run.geometry import MEASUREMENTS, GeometryLog, build_measure, diagnosis
from ssl_keras.run.interruption import Interruption
from ssl_keras.run.looping import check_services, train
from ssl_keras.run.saved_models import compare_export, export_encoder
from ssl_keras.run.setup import TrainingSetup, build, build_head, to_measure

# Images on which the SavedModel is compared with the model.
_COMPARED_IMAGES = 16
# The picture of the views: how many images, and about how many pixels high each is.
_SHOWN_VIEWS, _SHOWN_PIXELS = 10, 96


@dataclass
class TrainedRun:
    """A run after its training.

    Attributes:
        setup: what was trained.
        workdir: the directory of the run.
        results: what results.json will hold, the measurements excepted.
        board: TensorBoard's scalars and pictures of the run.
        started: when this process began with it, by `time.perf_counter`.
        claimed: keeps other processes out of the directory.
    """

    setup: TrainingSetup
    workdir: Path
    results: dict[str, Any]
    board: TensorBoardScalars
    started: float
    claimed: run_directory.ClaimedDirectory


def fit(
    config: Config,
    data: DataSet | None = None,
    brief: bool = False,
    engine: Engine | None = None,
) -> TrainedRun:
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
        setup = build(config, data, engine)
    check_services(config)
    claimed = run_directory.claim(config)
    try:
        return _fit(setup, claimed, times, started, brief)
    except BaseException:
        claimed.release()
        raise


def _fit(
    setup: TrainingSetup,
    claimed: run_directory.ClaimedDirectory,
    times: dict[str, Any],
    started: float,
    brief: bool,
) -> TrainedRun:
    config, workdir = setup.config, claimed.workdir
    description = messages.banner(setup)
    if not brief:
        print(tables.banner({**description, "workdir": str(workdir)}) + "\n", flush=True)
        for notice in (*config.notices, *setup.data.notices):
            print(f"Note: {notice}.", flush=True)

    model, data, total_steps = setup.model, setup.data, setup.total_steps
    kept = Checkpoints(workdir / "checkpoints", model.state_groups, config.run.checkpoint_keep)
    restored = kept.restore() if claimed.resumes else None
    first_step, before, notices = restored or (0, {}, [])
    if restored is not None:
        _check_engine(setup, before)
    workers.start(setup.engine, model, config, first_step)
    # Whatever could be refused has been: from here on what was there may go.
    claimed.begin()
    for notice in notices:
        text = f"Note: {notice}, so training goes on from the one before."
        print(text, file=sys.stderr, flush=True)
    history = History()
    board = TensorBoardScalars(
        workdir / "tensorboard",
        setup.schedules,
        setup.chance_levels,
        config.optimization.batch_size,
        first_step if restored else None,
    )
    geometry = build_geometry_log(setup, board)
    guard = NonFiniteGuard(model.non_finite_step, _non_finite(setup, workdir, kept))
    remembering = {"history": history} | ({} if geometry is None else {"geometry": geometry})
    resumed_at = [*before.get("resumed_at", []), *([first_step] if restored else [])]
    seconds = before.get("seconds", 0.0)
    for name, listener in remembering.items():
        if name in before:
            listener.restore(before[name])
    if restored is None:
        _write_panel(setup, board, workdir, description)
        _write_views(setup, board, workdir)
    else:
        print(f"Going on after step {first_step} of {total_steps}.", flush=True)

    def save(step: int) -> None:
        guard.check()
        state = {name: listener.state() for name, listener in remembering.items()}
        elapsed = seconds + time.perf_counter() - training_started
        about = {"seconds": elapsed, "resumed_at": resumed_at}
        kept.save(step, {**state, **about, "engine": setup.engine.described()})

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
        listeners = [guard, *remembering.values(), board, _progress(setup, brief), saver]
        if config.run.profile_steps is not None and not brief:
            listeners.append(Profiler(workdir / "tensorboard", config.run.profile_steps))
        try:
            with workers.together(setup.engine):
                wait = train(setup, listeners, first_step)
        except Interrupted as stopped:
            how = "" if brief else f"; {messages.going_on(workdir)}"
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
        "steps": setup.total_steps,
        "seed": config.run.seed,
        "setup": description,
        "weights_sha256": weights_digest(model.variables),
        "saved_model_relative_difference": None,
        "data": {
            "name": data.name,
            "version": config.builder.version,
            "notices": list(data.notices),
            "train_images": data.train.num_examples,
            "test_images": data.test.num_examples,
            "targets": {name: dataclasses.asdict(f) for name, f in data.targets.items()},
        },
        "config": config.determining(),
        "engine": setup.engine.described(),
        "versions": environment.versions(),
        "hardware": environment.hardware(),
        "times": times,
        "paths": {"workdir": str(workdir), "data_dir": config.data.data_dir},
    }
    return TrainedRun(setup, workdir, results, board, started, claimed)


def finish(trained: TrainedRun) -> dict[str, Any]:
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
        difference = export(trained.setup, workdir / "saved_model", results)
    results["saved_model_relative_difference"] = difference
    if weights_digest(trained.setup.model.variables) != results["weights_sha256"]:
        raise RuntimeError("evaluation or export changed the weights or batch-norm statistics")
    results["times"]["total"] = time.perf_counter() - trained.started
    run_directory.write_json(workdir / "results.json", results)
    trained.claimed.release()
    return results


def _check_engine(setup: TrainingSetup, before: Mapping[str, Any]) -> None:
    """Refuse to go on with other hardware where that changes what the settings mean.

    Raises:
        UserError: it does.
    """
    here = setup.engine.described()
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


def _non_finite(setup: TrainingSetup, workdir: Path, kept: Checkpoints) -> Callable[[int], str]:
    """From a step whose loss was not finite to what the user should know; writes its batch."""
    config, train = setup.config, setup.data.train

    def report_on(step: int) -> str:
        rows = train.rows_of_step(step, config.optimization.batch_size, config.run.seed)
        path = workdir / "non_finite.json"
        run_directory.write_json(path, {"step": step, "images": rows.numpy().tolist()})
        steps = kept.steps()
        last = f"that of step {steps[-1]}" if steps else "there is none"
        return (
            f"The last good checkpoint: {last}. The images of the batch are listed in {path}. "
            f"{messages.advice(setup)}"
        )

    return report_on


def _progress(setup: TrainingSetup, brief: bool) -> Listener:
    """What tells of the training while it goes on."""
    settings, batch = setup.config.run, setup.config.optimization.batch_size
    if settings.quiet or (settings.log_json and brief):
        return Listener()
    if settings.log_json:
        return JsonLines(batch, messages.console())
    shown = {"loss": "loss", "alignment": "align", "distribution": "distr"}
    shown |= {"contrastive_accuracy": "contrastive"}
    shown |= {"image_error": "image", "extra_channels_error": "bits"}
    shown |= {f"supervised/{name}/accuracy": f"learned {name}" for name in setup.data.targets}
    shown |= {f"linear_probe/{name}/accuracy": name for name in setup.data.targets}
    return Progress(batch, shown)


def build_geometry_log(setup: TrainingSetup, board: TensorBoardScalars) -> GeometryLog | None:
    """The listener that measures geometry while training, unless it is switched off."""
    settings = setup.config.run
    if not settings.measure_images:
        return None
    every = settings.measure_every or max(1, setup.total_steps // MEASUREMENTS)
    measure = build_measure(setup, settings.measure_images)
    advice = messages.advice(setup)
    return GeometryLog(measure, board, every, diagnosis(setup), advice)


def export(setup: TrainingSetup, directory: Path, results: Mapping[str, Any]) -> float:
    """Export in float32, with a card, and compare with the features of the model.

    Args:
        setup: after its training.
        directory: is replaced as a whole.
        results: what results.json holds.

    Returns:
        The largest relative difference, see `compare_export`.
    """
    config, data = setup.config, setup.data
    model = to_measure(setup).model
    encoder = model.encoder
    evaluator = model.projection_head if isinstance(model, SimCLR) else build_head(config, encoder)
    kept = ("setup", "results", "steps", "seed", "weights_sha256", "data", "config", "versions")
    card = {name: results[name] for name in kept}
    layers = config.network.projection_layers or 0
    batch = next(iter(data.test.batches(_COMPARED_IMAGES)))
    images = data.inputs(batch)
    with run_directory.whole_directory(directory) as place:
        export_encoder(encoder, evaluator, layers, place, num_bits=data.num_bits, card=card)
        return compare_export(place, images, encoder(images, training=False))


def _write_panel(
    setup: TrainingSetup, board: TensorBoardScalars, workdir: Path, description: Mapping[str, str]
) -> None:
    """The card of the run and the arrangement of its charts, for TensorBoard."""
    command = f"python -m ssl_keras.train --flagfile={workdir / 'flags.txt'}"
    board.text("run", tensorboard.card(command, description), step=0)
    arranged = tensorboard.charts(setup.data.targets, setup.config.loss is not None)
    board.summary(tensorboard.layout(arranged), step=0)


def _write_views(setup: TrainingSetup, board: TensorBoardScalars, workdir: Path) -> None:
    """The picture of some images and their views, for TensorBoard and as a PNG."""
    train = setup.data.train
    count = min(_SHOWN_VIEWS, train.num_examples)
    batch = next(iter(train.training_batches(count, seed=setup.config.run.seed, num_steps=1)))
    images = compose_images(batch["image"], size=setup.data.view_size)
    step = tf.constant(0, tf.int64)
    views, _, _ = setup.model.augmenter.two_views(batch["image"], step)
    bits = batch.get("bits")
    grid = pictures.view_grid(
        images.numpy(),
        views[: len(images)].numpy(),
        views[len(images) :].numpy(),
        None if bits is None else bits.numpy(),
    )
    board.image("views", grid, step=0)
    labels = {name: values.numpy().tolist() for name, values in batch["labels"].items()}
    board.text("views/labels", "\n".join(f"    {k}: {v}" for k, v in labels.items()), step=0)
    factor = max(1, _SHOWN_PIXELS // images.shape[1])
    pictures.write_png(workdir / "views.png", pictures.enlarge(grid, factor))
