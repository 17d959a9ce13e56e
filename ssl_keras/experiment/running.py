"""A whole run: train, evaluate, export, write."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from ssl_keras import environment, pictures, report, run_directory, training
from ssl_keras.callbacks import History, NonFiniteGuard, Progress, TensorBoardScalars
from ssl_keras.config import Config
from ssl_keras.datasets.base import compose_images
from ssl_keras.evaluation.base import FrozenFeatures
from ssl_keras.evaluation.extraction import extract, weights_digest
from ssl_keras.experiment import texts
from ssl_keras.experiment.building import Experiment, build, build_networks
from ssl_keras.export import compare_export, export_encoder

# The picture of the views: how many images, and about how many pixels high each is.
_SHOWN_VIEWS, _SHOWN_PIXELS = 10, 96


def run(config: Config) -> dict[str, Any]:
    """The whole run: train, evaluate, export, write the run directory, print the table.

    Returns:
        What results.json holds.

    Raises:
        UserError: something that the user can mend; the directory is left as it was, or, once
            training has started, with what there is.
    """
    times: dict[str, float] = {}
    started = time.perf_counter()
    workdir = run_directory.choose(config)
    with _timed(times, "build"):
        experiment = build(config)
    run_directory.prepare(workdir, config)
    print(report.banner(texts.banner(experiment, workdir)) + "\n", flush=True)

    model, data, depths = experiment.model, experiment.data, experiment.depths
    with _timed(times, "features of the untrained encoder"):
        control = extract(model.representations, data, depths[:1])
    history = History()
    board = TensorBoardScalars(workdir / "tensorboard", experiment.schedule)
    _write_views(experiment, board, workdir)
    with _timed(times, "training"):
        print(f"Training: {experiment.total_steps} steps", flush=True)
        _train(experiment, [NonFiniteGuard(), history, board])
    checkpoint = tf.train.Checkpoint(model=model)
    manager = tf.train.CheckpointManager(checkpoint, str(workdir / "checkpoints"), max_to_keep=1)
    manager.save(checkpoint_number=experiment.total_steps)

    values: dict[str, float] = {}
    with _timed(times, "evaluation"):
        print("Evaluating frozen features", flush=True)
        before = weights_digest(model.variables)
        frozen = extract(model.representations, data, depths)
        if weights_digest(model.variables) != before:
            raise RuntimeError("extracting features changed the weights or batch-norm statistics")
        values |= _evaluate(config, frozen, "")
        values |= _evaluate(config, control, f"{report.CONTROL}/")
    with _timed(times, "export"):
        difference = _export(experiment, workdir / "saved_model", frozen["features"])
    board.scalars({f"evaluation/{k}": v for k, v in values.items()}, experiment.total_steps)
    board.on_end()

    times["total"] = time.perf_counter() - started
    results = {
        "results": values,
        "training": history.records[-1],
        "steps": experiment.total_steps,
        "seed": config.run.seed,
        "weights_sha256": before,
        "saved_model_relative_difference": difference,
        "data": {
            "name": data.name,
            "train_images": data.train.num_examples,
            "test_images": data.test.num_examples,
            "features": {
                name: {"kind": f.kind, "size": f.size, "chance": f.chance}
                for name, f in data.features.items()
            },
        },
        "protocol": {
            name: " ".join(str(type(head).__doc__).split()) for name, head in config.heads.items()
        },
        "config": config.replayable(),
        "versions": environment.versions(),
        "hardware": environment.hardware(),
        "times": {name: round(seconds, 3) for name, seconds in times.items()},
        "paths": {"workdir": str(workdir)},
    }
    run_directory.write_json(workdir / "results.json", results)
    print("\n" + texts.closing(experiment, workdir, values, results), flush=True)
    return results


@contextmanager
def _timed(times: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    times[name] = time.perf_counter() - start


def _train(experiment: Experiment, listeners: list[Any]) -> None:
    config = experiment.config
    batch = config.optimization.batch_size
    shown = {"loss": "loss", "contrastive_accuracy": "contrastive"}
    shown |= {f"linear_probe/{name}/accuracy": name for name in experiment.data.features}
    batches = experiment.data.train.training_batches(
        batch, seed=config.run.seed, num_steps=experiment.total_steps
    )
    training.train(
        experiment.model,
        batches,
        total_steps=experiment.total_steps,
        steps_per_execution=config.run.steps_per_execution,
        log_every=config.run.log_every or experiment.steps_per_epoch,
        listeners=[*listeners, Progress(batch, shown)],
    )


def _evaluate(
    config: Config, frozen: Mapping[str, FrozenFeatures], prefix: str
) -> dict[str, float]:
    return {
        f"{prefix}{name}/{depth}/{key}": float(value)
        for depth, features in frozen.items()
        for name, head in config.heads.items()
        for key, value in head.evaluate(features, config.run.seed)
    }


def _export(experiment: Experiment, directory: Path, frozen: FrozenFeatures) -> float:
    """Export in float32 and compare with the features of the model."""
    config, model = experiment.config, experiment.model
    encoder, head = model.encoder, model.projection_head
    expected = frozen.test[:16]
    images = next(iter(experiment.data.test.batches(len(expected))))
    images = compose_images(images["image"], images.get("planes"))
    if config.run.mixed_precision != "off":
        encoder, head = build_networks(config, experiment.data, "float32")
        encoder.set_weights(model.encoder.get_weights())
        head.set_weights(model.projection_head.get_weights())
        expected = encoder(images, training=False).numpy()
    export_encoder(encoder, head, config.network.projection_layers, directory)
    return compare_export(directory, images, expected)


def _write_views(experiment: Experiment, board: TensorBoardScalars, workdir: Path) -> None:
    """The picture of some images and their views, for TensorBoard and as a PNG."""
    batch = next(iter(experiment.data.train.batches(_SHOWN_VIEWS)))
    images = compose_images(batch["image"])
    views = experiment.model.augmenter.two_views(batch["image"], tf.constant(0, tf.int64))
    planes = batch.get("planes")
    grid = pictures.view_grid(
        images.numpy(),
        views[: len(images)].numpy(),
        views[len(images) :].numpy(),
        None if planes is None else planes.numpy(),
    )
    board.image("views", grid, step=0)
    factor = max(1, _SHOWN_PIXELS // images.shape[1])
    pixels = np.round(pictures.enlarge(grid, factor) * 255.0).astype(np.uint8)
    encoded = tf.io.encode_png(pixels)
    (workdir / "views.png").write_bytes(encoded.numpy())
