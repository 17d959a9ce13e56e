"""A whole run: train, evaluate, export, write."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ssl_keras import environment, pictures, report, run_directory, training
from ssl_keras.callbacks import History, NonFiniteGuard, Progress, TensorBoardScalars
from ssl_keras.config import Config
from ssl_keras.datasets.composing import compose_images
from ssl_keras.evaluation.extraction import weights_digest
from ssl_keras.experiment import texts
from ssl_keras.experiment.building import Experiment, build, build_encoder, build_head
from ssl_keras.experiment.evaluating import frozen_features, measure, protocols
from ssl_keras.experiment.measuring import MEASUREMENTS, GeometryLog, build_measure, diagnosis
from ssl_keras.export import compare_export, export_encoder
from ssl_keras.models.simclr import SimCLR

# Images on which the SavedModel is compared with the model.
_COMPARED_IMAGES = 16
# The picture of the views: how many images, and about how many pixels high each is.
_SHOWN_VIEWS, _SHOWN_PIXELS = 10, 96


def run(config: Config) -> dict[str, Any]:
    """The whole run: train, evaluate, export, write the run directory, print the table.

    Returns:
        What results.json holds.

    Raises:
        UserError: something that the user can mend. Before training starts nothing is written;
            after, what there is stays.
    """
    times: dict[str, Any] = {}
    started = time.perf_counter()
    run_directory.check(config)
    with _timed(times, "build"):
        experiment = build(config)
    workdir = run_directory.claim(config)
    setup = texts.banner(experiment)
    print(report.banner({**setup, "workdir": str(workdir)}) + "\n", flush=True)
    for notice in (*config.notices, *experiment.data.notices):
        print(f"Note: {notice}.", flush=True)

    model, data, depths = experiment.model, experiment.data, experiment.depths
    with _timed(times, "features of the untrained encoder"):
        control = frozen_features(experiment, config.heads, depths[:1])
    history = History()
    board = TensorBoardScalars(workdir / "tensorboard", experiment.schedules)
    _write_views(experiment, board, workdir)
    listeners: list[Any] = [NonFiniteGuard(texts.advice(config)), history, board]
    geometry = _geometry(experiment, board)
    listeners += [] if geometry is None else [geometry]
    with _timed(times, "training"):
        print(f"Training: {experiment.total_steps} steps", flush=True)
        wait = _train(experiment, listeners)
    times["input_wait_share"] = wait
    checkpoint = tf.train.Checkpoint(model=model)
    manager = tf.train.CheckpointManager(checkpoint, str(workdir / "checkpoints"), max_to_keep=1)
    manager.save(checkpoint_number=experiment.total_steps)

    values: dict[str, float] = {}
    before = weights_digest(model.variables)
    with _timed(times, "evaluation"):
        if any(data.features or not head.needs_labels for head in config.heads.values()):
            print("Evaluating frozen features", flush=True)
            frozen = frozen_features(experiment, config.heads, depths)
            values |= measure(config.heads, config.run.seed, frozen, control)
    board.scalars({f"evaluation/{k}": v for k, v in values.items()}, experiment.total_steps)
    board.on_end()

    results: dict[str, Any] = {
        "results": values,
        "training": history.records[-1],
        "history": history.records,
        "geometry_history": [] if geometry is None else geometry.records,
        "warning": None if geometry is None else geometry.warning,
        "steps": experiment.total_steps,
        "seed": config.run.seed,
        "setup": setup,
        "weights_sha256": before,
        "saved_model_relative_difference": None,
        "data": {
            "name": data.name,
            "train_images": data.train.num_examples,
            "test_images": data.test.num_examples,
            "features": {name: dataclasses.asdict(f) for name, f in data.features.items()},
        },
        "protocol": protocols(config.heads),
        "config": config.determining(),
        "versions": environment.versions(),
        "hardware": environment.hardware(),
        "times": times,
        "paths": {"workdir": str(workdir), "data_dir": config.data.data_dir},
    }
    # What was measured is safe before the export, which may fail, begins.
    run_directory.write_json(workdir / "results.json", results)
    with _timed(times, "export"):
        results["saved_model_relative_difference"] = _export(experiment, workdir / "saved_model")
    if weights_digest(model.variables) != before:
        raise RuntimeError("evaluation or export changed the weights or batch-norm statistics")
    times["total"] = time.perf_counter() - started
    run_directory.write_json(workdir / "results.json", results)
    print("\n" + texts.closing(experiment, workdir, values, results), flush=True)
    return results


@contextmanager
def _timed(times: dict[str, Any], name: str) -> Iterator[None]:
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
    pixels = np.round(pictures.enlarge(grid, factor) * 255.0).astype(np.uint8)
    encoded = tf.io.encode_png(pixels)
    (workdir / "views.png").write_bytes(encoded.numpy())
