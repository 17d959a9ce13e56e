"""Training and what surrounds it: the directory, the listeners, the checkpoint, the export."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf

from ssl_keras import environment, pictures, report, run_directory, training
from ssl_keras.callbacks import History, NonFiniteGuard, Progress, TensorBoardScalars
from ssl_keras.config import Config
from ssl_keras.datasets import DataSet
from ssl_keras.datasets.composing import compose_images
from ssl_keras.evaluation.extraction import weights_digest
from ssl_keras.experiment import texts
from ssl_keras.experiment.building import Experiment, build, build_encoder, build_head
from ssl_keras.experiment.measuring import MEASUREMENTS, GeometryLog, build_measure, diagnosis
from ssl_keras.export import compare_export, export_encoder
from ssl_keras.models.simclr import SimCLR

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
        started: when the run began, by `time.perf_counter`.
    """

    experiment: Experiment
    workdir: Path
    results: dict[str, Any]
    board: TensorBoardScalars
    started: float


def fit(config: Config, data: DataSet | None = None, brief: bool = False) -> Trained:
    """Train, and keep the weights in the run's directory.

    Args:
        config: the configuration.
        data: its data set, if it is loaded already.
        brief: whether to leave out the banner.

    Raises:
        UserError: something that the user can mend. Before training starts nothing is written;
            after, what there is stays.
    """
    times: dict[str, Any] = {}
    started = time.perf_counter()
    run_directory.check(config)
    with timed(times, "build"):
        experiment = build(config, data)
    workdir = run_directory.claim(config)
    setup = texts.banner(experiment)
    if not brief:
        print(report.banner({**setup, "workdir": str(workdir)}) + "\n", flush=True)
        for notice in (*config.notices, *experiment.data.notices):
            print(f"Note: {notice}.", flush=True)

    model, data = experiment.model, experiment.data
    history = History()
    board = TensorBoardScalars(workdir / "tensorboard", experiment.schedules)
    _write_views(experiment, board, workdir)
    listeners: list[Any] = [NonFiniteGuard(texts.advice(config)), history, board]
    geometry = _geometry(experiment, board)
    listeners += [] if geometry is None else [geometry]
    with timed(times, "training"):
        print(f"Training: {experiment.total_steps} steps", flush=True)
        wait = _train(experiment, listeners)
    times["input_wait_share"] = wait
    checkpoint = tf.train.Checkpoint(model=model)
    manager = tf.train.CheckpointManager(checkpoint, str(workdir / "checkpoints"), max_to_keep=1)
    manager.save(checkpoint_number=experiment.total_steps)
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
            "train_images": data.train.num_examples,
            "test_images": data.test.num_examples,
            "features": {name: dataclasses.asdict(f) for name, f in data.features.items()},
        },
        "config": config.determining(),
        "versions": environment.versions(),
        "hardware": environment.hardware(),
        "times": times,
        "paths": {"workdir": str(workdir), "data_dir": config.data.data_dir},
    }
    return Trained(experiment, workdir, results, board, started)


def finish(trained: Trained) -> dict[str, Any]:
    """Write results.json, export the encoder, and write it again with the outcome.

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
        difference = _export(trained.experiment, workdir / "saved_model")
    results["saved_model_relative_difference"] = difference
    if weights_digest(trained.experiment.model.variables) != results["weights_sha256"]:
        raise RuntimeError("evaluation or export changed the weights or batch-norm statistics")
    results["times"]["total"] = time.perf_counter() - trained.started
    run_directory.write_json(workdir / "results.json", results)
    return results


@contextmanager
def timed(times: dict[str, Any], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    times[name] = time.perf_counter() - start


def _train(experiment: Experiment, listeners: list[Any]) -> float | None:
    config = experiment.config
    batch = config.optimization.batch_size
    shown = {"loss": "loss", "alignment": "align", "distribution": "distr"}
    shown |= {"contrastive_accuracy": "contrastive"}
    shown |= {"image_error": "image", "planes_error": "planes"}
    shown |= {f"supervised/{name}/accuracy": f"learned {name}" for name in experiment.data.features}
    shown |= {f"linear_probe/{name}/accuracy": name for name in experiment.data.features}
    batches = experiment.data.train.training_batches(
        batch, seed=config.run.seed, num_steps=experiment.total_steps
    )
    return training.train(
        experiment.model,
        batches,
        total_steps=experiment.total_steps,
        steps_per_execution=config.run.steps_per_execution,
        log_every=config.run.log_every or experiment.steps_per_epoch,
        listeners=[*listeners, Progress(batch, shown)],
    )


def _geometry(experiment: Experiment, board: TensorBoardScalars) -> GeometryLog | None:
    """The listener that measures geometry while training, unless it is switched off."""
    settings = experiment.config.run
    if not settings.measure_images:
        return None
    every = settings.measure_every or max(1, experiment.total_steps // MEASUREMENTS)
    measure = build_measure(experiment, settings.measure_images)
    advice = texts.advice(experiment.config)
    return GeometryLog(measure, board, every, diagnosis(experiment), advice)


def _export(experiment: Experiment, directory: Path) -> float:
    """Export in float32 and compare with the features of the model."""
    config, model = experiment.config, experiment.model
    encoder = model.encoder
    if config.run.mixed_precision != "off":
        encoder = build_encoder(config, experiment.data, "float32")
        encoder.set_weights(model.encoder.get_weights())
    head = build_head(config, encoder, "float32")
    if isinstance(model, SimCLR):
        head.set_weights(model.projection_head.get_weights())
    export_encoder(encoder, head, config.network.projection_layers or 0, directory)
    batch = next(iter(experiment.data.test.batches(_COMPARED_IMAGES)))
    images = experiment.data.inputs(batch)
    return compare_export(directory, images, encoder(images, training=False))


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
