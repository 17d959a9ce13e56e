"""Bits given as numbers: the same features and gradients as bits written into every pixel."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import networks
from ssl_keras.inputs import first_convolution
from ssl_keras.inputs.first_convolution import encoding
from ssl_keras.inputs.images import compose_images
from ssl_keras.networks.dropout import dropout_keys


def examples(channels: int = 1, bits: int = 4, side: int = 17) -> tuple[Any, Any]:
    generator = np.random.default_rng(0)
    images = tf.constant(generator.uniform(size=(6, side, side, channels)), tf.float32)
    return images, tf.constant(generator.normal(size=(6, bits)), tf.float32)


def encoder_of(name: str, channels: int, **arguments: Any) -> Any:
    keras.utils.set_random_seed(0)
    encoder = networks.ENCODERS.get(name, width_multiplier=0.25)
    return encoder.build((17, 17, channels), **arguments)


def with_gradients(function: Any, encoder: Any) -> tuple[np.ndarray, list[np.ndarray]]:
    weight = tf.constant(np.random.default_rng(1).normal(size=(6, 1)), tf.float32)
    with tf.GradientTape() as tape:
        features = tf.cast(function(), tf.float32)
        value = tf.reduce_sum(weight * features**2)
    return features.numpy(), [
        tf.convert_to_tensor(g).numpy() for g in tape.gradient(value, encoder.trainable_variables)
    ]


def never_composed(monkeypatch: pytest.MonkeyPatch) -> None:
    def composed(*_: Any) -> Any:
        raise AssertionError("bits were written into the pixels")

    monkeypatch.setattr(first_convolution, "compose_images", composed)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("channels", [1, 3])
def test_bits_as_numbers_give_the_features_of_composed_images(
    monkeypatch: pytest.MonkeyPatch, channels: int, training: bool
) -> None:
    images, bits = examples(channels)
    encoder = encoder_of("convnet", channels + 4)
    composed = compose_images(images, bits)
    expected = with_gradients(lambda: encoder(composed, training=training), encoder)
    never_composed(monkeypatch)
    encode = encoding(encoder)
    features = with_gradients(lambda: encode(images, bits, training=training), encoder)
    np.testing.assert_allclose(features[0], expected[0], rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(features[1], expected[1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4 * np.abs(theirs).max())


def test_moving_averages_are_those_of_composed_images() -> None:
    images, bits = examples()
    ours, theirs = encoder_of("convnet", 5), encoder_of("convnet", 5)
    encoding(ours)(images, bits, training=True)
    theirs(compose_images(images, bits), training=True)
    assert ours.non_trainable_variables
    for value, other in zip(
        ours.non_trainable_variables, theirs.non_trainable_variables, strict=True
    ):
        np.testing.assert_allclose(value, other, rtol=1e-4, atol=1e-6)


def test_dropout_masks_are_those_of_composed_images(monkeypatch: pytest.MonkeyPatch) -> None:
    images, bits = examples()
    encoder = encoder_of("convnet", 5, dropout_rate=0.5)
    keys = tf.constant(range(6), tf.uint32)
    with dropout_keys(keys):
        expected = encoder(compose_images(images, bits), training=True).numpy()
        never_composed(monkeypatch)
        features = encoding(encoder)(images, bits, training=True).numpy()
    np.testing.assert_array_equal(features == 0, expected == 0)
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)


def test_in_bfloat16_the_features_are_as_close_as_its_precision() -> None:
    images, bits = examples()
    exact = encoder_of("convnet", 5)(compose_images(images, bits), training=True).numpy()
    rough = encoder_of("convnet", 5, dtype="mixed_bfloat16")
    features = encoding(rough)(images, bits, training=True)
    assert features.dtype == tf.bfloat16
    assert np.abs(tf.cast(features, tf.float32) - exact).mean() < 0.05 * np.abs(exact).mean() + 0.02


@pytest.mark.parametrize("compiled", [False, True])
def test_it_works_in_a_graph_and_under_xla(compiled: bool) -> None:
    images, bits = examples()
    encoder = encoder_of("convnet", 5)
    encode = encoding(encoder)
    eager = encode(images, bits).numpy()
    graph = tf.function(encode, jit_compile=compiled)
    np.testing.assert_allclose(graph(images, bits), eager, rtol=1e-4, atol=1e-5)


def bordered() -> Any:
    """A first convolution that pads: a plane's share at the border differs."""
    images = keras.Input((17, 17, 5))
    x = keras.layers.Conv2D(3, 3, padding="same", use_bias=False)(images)
    return keras.Model(images, keras.layers.Flatten()(x))


def branching() -> Any:
    """A first convolution without padding that not everything passes through."""
    images = keras.Input((17, 17, 5))
    x = keras.layers.Conv2D(3, 3, use_bias=False)(images)
    x = keras.layers.Add()([x, keras.layers.Cropping2D(1)(images[..., :3])])
    return keras.Model(images, keras.layers.Flatten()(x))


def biased() -> Any:
    """A first layer that does more than convolve."""
    images = keras.Input((17, 17, 5))
    x = keras.layers.Conv2D(3, 3, activation="relu", bias_initializer="ones")(images)
    return keras.Model(images, keras.layers.Flatten()(x))


class Normalized(keras.layers.Layer):
    """A layer that takes no argument `training`, around one that depends on it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = keras.layers.BatchNormalization()

    def build(self, shape: Any) -> None:
        self.inner.build(shape)

    def call(self, x: Any) -> Any:
        return self.inner(x)


def test_layers_within_layers_are_told_that_it_is_training() -> None:
    given_images = keras.Input((17, 17, 5))
    x = keras.layers.Conv2D(3, 3, use_bias=False)(given_images)
    encoder = keras.Model(given_images, keras.layers.Flatten()(Normalized()(x)))
    images, bits = examples()
    expected = encoder(compose_images(images, bits), training=True)
    features = encoding(encoder)(images, bits, training=True)
    np.testing.assert_allclose(features, expected, rtol=1e-3, atol=1e-4)


def test_encoders_of_several_outputs_get_composed_images() -> None:
    given_images = keras.Input((17, 17, 5))
    x = keras.layers.Conv2D(3, 3, use_bias=False)(given_images)
    encoder = keras.Model(given_images, {"map": x, "flat": keras.layers.Flatten()(x)})
    images, bits = examples()
    expected, features = encoder(compose_images(images, bits)), encoding(encoder)(images, bits)
    assert set(features) == {"map", "flat"}
    for name, values in expected.items():
        np.testing.assert_array_equal(features[name], values)


@pytest.mark.parametrize("make", [bordered, branching, biased, lambda: encoder_of("resnet18", 5)])
def test_other_beginnings_get_composed_images(make: Any) -> None:
    images, bits = examples()
    encoder = make()
    expected = encoder(compose_images(images, bits), training=False).numpy()
    np.testing.assert_array_equal(encoding(encoder)(images, bits), expected)


def test_without_bits_images_are_enough() -> None:
    images, _ = examples(5)
    encoder = encoder_of("convnet", 5)
    np.testing.assert_array_equal(encoding(encoder)(images), encoder(images, training=False))
