"""The same training on one device and on several; run as a program for a number of devices, since
collectives cannot be grouped anew in one process:

    python -m tests.distribution.parity 4
"""

from __future__ import annotations

import sys
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from ssl_keras import losses, networks, randomness
from ssl_keras.cli import startup
from ssl_keras.datasets import Target
from ssl_keras.inputs import Images
from ssl_keras.methods.simclr import SimCLR
from ssl_keras.networks.dropout import KeyedDropout
from ssl_keras.networks.normalization import build_batch_norm
from ssl_keras.run import devices
from ssl_keras.views.augmenter import Augmenter

TARGETS = {"class": Target("class", "class", 3, 1 / 3, 1 / 3)}
MODALITY = Images((8, 8, 1), 1)
BATCH, STEPS = 8, 3
# Largest difference that is allowed, relative to the largest movement of a variable: sums in
# float32 in another order, which batch norm over few images and the third step enlarge.
TOLERANCE = 5e-3


class Noise(keras.layers.Layer):
    """Views by noise: a function of step and position in the global batch, as cheap as can be."""

    def two_views(
        self, batch: Any, step: Any, *, first_row: Any, num_replicas: int
    ) -> tuple[Any, Any]:
        images = batch["example"]["image"]
        count = tf.shape(images)[0]
        key = randomness.fold(randomness.key(0, "noise"), step)
        noise = randomness.uniform(key, (2, count * num_replicas, *images.shape[1:]))
        rows = tf.reshape(noise[:, first_row : first_row + count], [-1, *images.shape[1:]])
        views = tf.cast(tf.concat([images, images], axis=0), tf.float32) / 255.0 + rows
        return {"image": views}, tf.zeros([2 * count], tf.uint32)


def make(loss: str, full: bool = False, batch_norm: bool = True, **compiling: Any) -> SimCLR:
    """A model with batch norm; `full` adds views, convolutions, a probe and a penalty."""
    keras.utils.set_random_seed(0)
    images = x = keras.Input((8, 8, 1))
    if full:
        x = keras.layers.Conv2D(4, 3, strides=2, use_bias=False)(x)
        x = build_batch_norm()(x) if batch_norm else x
        x = keras.layers.Activation("tanh")(x)
    x = keras.layers.Dense(12, activation="tanh")(keras.layers.Flatten()(x))
    x = KeyedDropout(0.2, number=1)(x) if full else x
    encoder = keras.Model(images, build_batch_norm()(x) if batch_norm else x)
    operations = MODALITY.operations("none", {"crop_area_min": 0.5, "flip": True})
    transform = MODALITY.transform(operations, compiled=False)
    model = SimCLR(
        encoder,
        networks.build_projection_head(12, num_layers=1, hidden_dim=10, dim=6),
        networks.build_linear_probe(12, {"class": 3}) if full else None,
        augmenter=Augmenter(MODALITY.prepare, transform) if full else Noise(),
        modality=MODALITY,
        targets=TARGETS,
        kernel_l2=1e-3 if full else 0.0,
    )
    optimizers = [keras.optimizers.SGD(0.05) for _ in range(2)]
    model.compile(optimizers[0], losses.get(loss), optimizers[1], total_steps=STEPS, **compiling)
    return model


def one_of_each_kind() -> list[str]:
    """The first loss of every module of losses."""
    first: dict[str, str] = {}
    for name, loss in losses.LOSSES.items():
        first.setdefault(loss.__module__, name)
    return list(first.values())


def batches() -> dict[str, Any]:
    """The batches of all steps: (step, image, ...)."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (STEPS, BATCH, 8, 8, 1)).astype(np.uint8)
    labels = np.tile([0, 1, 2, 0], (STEPS, 2)).astype(np.int32)
    return {"example": {"image": images}, "labels": {"class": labels}}


def trained(model: SimCLR, strategy: Any) -> dict[str, np.ndarray]:
    """Train; how far every variable has moved, and the last metrics, by name."""
    start = [variable.numpy() for variable in model.variables]
    data = tf.data.Dataset.from_tensor_slices(batches())
    if strategy is not None:
        data = strategy.experimental_distribute_dataset(data)
    model.make_train_function()
    iterator = iter(data)
    for _ in range(STEPS):
        logs = model.train_function(iterator)
    moved = {
        f"{k} {v.path}": v.numpy() - old
        for k, (v, old) in enumerate(zip(model.variables, start, strict=True))
    }
    if model.average is not None:
        moved |= {f"average {k}": v.numpy() for k, v in enumerate(model.average.averages)}
    return moved | {name: np.asarray(value) for name, value in logs.items()}


def compare(loss: str, strategy: Any, **compiling: Any) -> None:
    """Train on one device and on those of `strategy`.

    Raises:
        AssertionError: the models differ.
    """
    alone = trained(make(loss, **compiling), None)
    with strategy.scope():
        model = make(loss, **compiling)
    shared = trained(model, strategy)
    agree(shared, alone, loss)


def agree(shared: dict[str, np.ndarray], alone: dict[str, np.ndarray], loss: str) -> None:
    """Compare what `trained` has returned, each relative to the largest movement in its array.

    Raises:
        AssertionError: they differ, or nothing has moved.
    """
    moved = 0.0
    for (name, expected), value in zip(alone.items(), shared.values(), strict=True):
        largest = float(np.abs(expected).max())
        moved = max(moved, largest if "kernel" in name else 0.0)
        np.testing.assert_allclose(
            value, expected, rtol=0, atol=TOLERANCE * largest + 1e-6, err_msg=f"{loss}: {name}"
        )
    assert moved > 1e-3


if __name__ == "__main__":
    count = int(sys.argv[1])
    startup.start_tensorflow(num_devices=count)
    # Half of the time would go into making graphs faster that are run three times.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    strategy = devices.resolve("off", "off", "mirrored", count).strategy
    assert strategy.num_replicas_in_sync == count
    for name in one_of_each_kind():
        compare(name, strategy)
        print(f"{name}: {count} devices equal one", flush=True)
