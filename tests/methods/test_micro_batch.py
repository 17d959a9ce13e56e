"""The loss of a whole batch in the memory of a part; moving averages of the weights."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import losses, networks
from ssl_keras.datasets import Target
from ssl_keras.inputs import Images
from ssl_keras.methods.autoencoder import Autoencoder
from ssl_keras.methods.learner import Learner
from ssl_keras.methods.simclr import SimCLR
from ssl_keras.methods.supervised import Supervised
from ssl_keras.networks.dropout import KeyedDropout
from ssl_keras.views.augmenter import Augmenter
from ssl_keras.views.mixup import Mixup
from tests.tiers import first_in_test

TARGETS = {"class": Target("class", "class", 3, 1 / 3, 1 / 3)}
MODALITY = Images((8, 8, 1), 1, num_bits=2)
IMAGES = Images((8, 8, 1), 1, num_bits=2)
COUNT = 6


def batch(seed: int = 0) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    return {
        "example": {
            "image": tf.constant(generator.integers(0, 256, (COUNT, 8, 8, 1)), tf.uint8),
            "bits": tf.constant(generator.integers(0, 2, (COUNT, 2)), tf.float32),
        },
        "labels": {"class": tf.constant(generator.integers(0, 3, COUNT), tf.int32)},
    }


def make(kind: str, batch_norm: bool = False, **compiling: Any) -> Learner:
    """A small learner with dropout, mixup and a penalty of the kernels."""
    keras.utils.set_random_seed(0)
    images = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, strides=2, activation="tanh")(images)
    if batch_norm:
        x = keras.layers.BatchNormalization(momentum=0.5)(x)
    x = KeyedDropout(0.3, number=1)(keras.layers.Flatten()(x))
    encoder = keras.Model(images, keras.layers.Dense(10)(x))
    transform = MODALITY.transform(MODALITY.operations("digits", {"flip": True}), True)
    augmenter = Augmenter(
        MODALITY.prepare, transform, mixup=Mixup("linear", 0.8, MODALITY.mix, extra_channels=True)
    )
    common: dict[str, Any] = {"modality": MODALITY, "targets": TARGETS, "kernel_l2": 0.01}
    common["augmenter"] = augmenter
    probe = networks.build_linear_probe(10, {"class": 3})
    model: Learner
    if kind == "supervised":
        classifier = networks.build_linear_probe(10, {"class": 3})
        model = Supervised(encoder, classifier, probe, learned=TARGETS, **common)
    elif kind == "autoencoder":
        decoder = keras.Sequential([keras.Input((10,)), keras.layers.Dense(192)])
        decoder.add(keras.layers.Reshape((8, 8, 3)))
        model = Autoencoder(
            encoder,
            decoder,
            probe,
            extra_channels_weight=0.5,
            **common,
        )
    else:
        head = networks.build_projection_head(
            10, num_layers=2, hidden_dim=8, dim=6, batch_norm="none"
        )
        model = SimCLR(encoder, head, probe, **common)
    loss = losses.get(kind) if kind in losses.LOSSES else None
    model.compile(
        keras.optimizers.SGD(0.1), loss, keras.optimizers.SGD(0.1), total_steps=3, **compiling
    )
    return model


def trained(model: Learner, steps: int = 3) -> dict[str, np.ndarray]:
    data = tf.data.Dataset.from_tensor_slices(
        tf.nest.map_structure(lambda *parts: tf.stack(parts), *(batch(s) for s in range(steps)))
    )
    history = model.fit(data, verbose=0).history
    weights = {f"{k} {v.path}": v.numpy() for k, v in enumerate(model.variables)}
    return weights | {name: np.asarray(value) for name, value in history.items()}


@functools.cache
def whole(kind: str) -> dict[str, np.ndarray]:
    """Trained on whole batches."""
    return trained(make(kind))


def compare(whole: dict[str, np.ndarray], parts: dict[str, np.ndarray]) -> None:
    for (name, expected), value in zip(whole.items(), parts.values(), strict=True):
        if "accuracy" not in name:  # the last digits decide which of two neighbours is nearer
            np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.full
@pytest.mark.parametrize("micro_batch", [pytest.param(1, marks=pytest.mark.exhaustive), 2])
@pytest.mark.parametrize(
    "kind",
    first_in_test(
        ["nt_xent", "uniform_prior", "autoencoder", "supcon", "triplet", "supervised"], 3
    ),
)
def test_parts_give_the_step_of_the_whole_batch(kind: str, micro_batch: int) -> None:
    compare(whole(kind), trained(make(kind, micro_batch=micro_batch)))


@pytest.mark.exhaustive
def test_parts_can_be_compiled_by_xla() -> None:
    compiled = trained(make("nt_xent", jit_compile=True))
    parts = trained(make("nt_xent", micro_batch=3, jit_compile=True))
    compare(compiled, parts)


def test_batch_norm_normalises_each_part_and_averages_once_a_part() -> None:
    model = make("nt_xent", batch_norm=True, micro_batch=2)
    norm = next(x for x in model.encoder.layers if isinstance(x, keras.layers.BatchNormalization))
    seen: list[np.ndarray] = []
    call = norm.call

    def watched(inputs: Any, **arguments: Any) -> Any:
        seen.append(np.asarray(inputs))
        return call(inputs, **arguments)

    norm.call = watched
    tf.config.run_functions_eagerly(True)
    try:
        model.train_step(batch())
    finally:
        tf.config.run_functions_eagerly(False)
    assert [len(inputs) for inputs in seen] == [4] * 6  # two views of 2 images, in two passes
    for first, second in zip(seen[:3], seen[3:], strict=True):
        np.testing.assert_allclose(first, second, atol=1e-6)
    mean = np.zeros(4)
    for inputs in seen[:3]:
        mean = 0.5 * mean + 0.5 * inputs.mean((0, 1, 2))
    np.testing.assert_allclose(norm.moving_mean.numpy(), mean, rtol=1e-4, atol=1e-6)


def test_moving_averages_follow_their_definition_and_replace_the_weights() -> None:
    model = make("nt_xent", batch_norm=True, ema_decay=0.3)
    assert model.average is not None
    tracked = [*model.encoder.variables, *model.projection_head.variables]
    expected = [variable.numpy() for variable in tracked]
    for step in range(6):
        model.train_step(batch(step))
        decay = min(0.3, (1 + step) / (10 + step))
        expected = [
            decay * old + (1 - decay) * v.numpy() for old, v in zip(expected, tracked, strict=True)
        ]
    averages = [average.numpy() for average in model.average.averages]
    for value, average in zip(averages, expected, strict=True):
        np.testing.assert_allclose(value, average, rtol=1e-5, atol=1e-6)
    assert any("moving_mean" in variable.path for variable in tracked)
    probe = model.linear_probe.get_weights()
    model.adopt_average()
    for variable, value in zip(tracked, averages, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    for before, after in zip(probe, model.linear_probe.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.exhaustive
def test_averages_are_kept_beside_the_weights() -> None:
    plain, averaged = make("nt_xent"), make("nt_xent", ema_decay=0.9)
    assert "average" not in plain.state_groups
    assert len(averaged.state_groups["average"]) == len(averaged.learned_variables)
    assert len(averaged.variables) == len(plain.variables)
    first, second = trained(plain), trained(averaged)
    for (name, expected), value in zip(first.items(), second.values(), strict=True):
        np.testing.assert_array_equal(value, expected, err_msg=name)
