"""Keyed dropout: its rate, its keys, and that it is off wherever it should be."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from ssl_keras import randomness
from ssl_keras.networks import ENCODERS
from ssl_keras.networks.dropout import KeyedDropout, dropout_keys


def keys(count: int, seed: int = 0) -> tf.Tensor:
    return randomness.row_keys(randomness.uniform(randomness.key(seed, "test"), (count,)))


def test_masks_have_the_rate_and_are_independent() -> None:
    rate = tf.fill([2000], 0.1)
    mask = randomness.keep_mask(keys(2000), 0, (10, 10), rate).numpy().reshape(2000, 100)
    np.testing.assert_allclose(mask.mean(), 0.9, atol=0.003)
    np.testing.assert_allclose(mask.mean(axis=0), 0.9, atol=0.03)
    correlations = np.corrcoef(mask.T.astype(float)) - np.eye(100)
    assert np.abs(correlations).max() < 0.12
    other = randomness.keep_mask(keys(2000), 1, (10, 10), rate).numpy().reshape(2000, 100)
    np.testing.assert_allclose(np.mean(mask == other), 0.82, atol=0.01)


def test_a_row_keeps_its_mask_wherever_it_is() -> None:
    rate = tf.fill([8], 0.5)
    whole = randomness.keep_mask(keys(8), 3, (7,), rate).numpy()
    part = randomness.keep_mask(keys(8)[5:], 3, (7,), rate[5:]).numpy()
    np.testing.assert_array_equal(whole[5:], part)
    compiled = tf.function(lambda k: randomness.keep_mask(k, 3, (7,), rate), jit_compile=True)
    np.testing.assert_array_equal(whole, compiled(keys(8)))


def test_layer_scales_what_it_keeps_and_only_in_training_with_keys() -> None:
    layer = KeyedDropout(0.25, 0)
    ones = tf.ones((4, 1000))
    with dropout_keys(keys(4)):
        trained = layer(ones, training=True).numpy()
        np.testing.assert_array_equal(layer(ones, training=False), ones)
    np.testing.assert_array_equal(layer(ones, training=True), ones)
    np.testing.assert_allclose(np.unique(trained), [0.0, 1 / 0.75], rtol=1e-6)
    np.testing.assert_allclose(trained.mean(), 1.0, atol=0.05)
    config = layer.get_config()
    assert KeyedDropout.from_config(config).rate == 0.25


def test_an_encoder_with_dropout_gives_two_views_of_one_image() -> None:
    keras.utils.set_random_seed(0)
    encoder = ENCODERS.get("convnet", width_multiplier=0.5).build((16, 16, 1), "float32", 0.1)
    plain = ENCODERS.get("convnet", width_multiplier=0.5).build((16, 16, 1))
    assert encoder.count_params() == plain.count_params()
    images = tf.repeat(tf.random.stateless_uniform((1, 16, 16, 1), (0, 0)), 6, axis=0)
    with dropout_keys(keys(6)):
        features = encoder(images, training=True).numpy()
        again = encoder(images, training=True).numpy()
    np.testing.assert_array_equal(features, again)
    assert len(np.unique(features, axis=0)) == 6
    still = encoder(images, training=False).numpy()
    np.testing.assert_allclose(still, np.repeat(still[:1], 6, axis=0), atol=1e-6)


def test_keys_for_inference_drop_there_too() -> None:
    layer, inputs = KeyedDropout(0.5, 0), tf.ones([4, 32])
    with dropout_keys(keys(4)):
        trained = layer(inputs, training=True)
        np.testing.assert_array_equal(layer(inputs, training=False), inputs)
    with dropout_keys(keys(4), in_inference=True):
        np.testing.assert_array_equal(layer(inputs, training=False), trained)
    np.testing.assert_array_equal(layer(inputs, training=False), inputs)
