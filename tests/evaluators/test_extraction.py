"""Features are those of the model, in order, for every image; and the model stays as it was."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import networks
from ssl_keras.datasets import DataSet, compose_images
from ssl_keras.evaluators import extraction
from ssl_keras.evaluators.extraction import extract, layer_names
from ssl_keras.evaluators.knn import KNN
from ssl_keras.run.checkpoints import weights_digest
from ssl_keras.views import build_augmenter


def test_depth_names() -> None:
    assert layer_names(0) == ["features"]
    assert layer_names(2) == ["features", "projection_1", "projection_2"]


def test_features_of_every_image_in_order(bit_data: DataSet) -> None:
    encoder = networks.ENCODERS.get("convnet", width_multiplier=0.25).build(bit_data.input_shape)

    def representations(images: tf.Tensor) -> list[tf.Tensor]:
        features = encoder(images, training=False)
        return [features, 2 * features]

    before = weights_digest(encoder.variables)
    found = extract(representations, bit_data, ["features", "projection_1"], batch_size=300)
    assert weights_digest(encoder.variables) == before
    test = found["features"].test
    assert test.shape == (1000, 32)
    assert found["features"].train.shape == (4000, 32)
    images = compose_images(bit_data.test.images, bit_data.test.bits)
    np.testing.assert_allclose(test, encoder(images, training=False), atol=1e-4)
    np.testing.assert_allclose(found["projection_1"].test, 2 * test, rtol=1e-6)
    np.testing.assert_array_equal(
        found["features"].test_labels["bits"], bit_data.test.labels["bits"]
    )


def test_digest_sees_weights_and_statistics() -> None:
    encoder = networks.ENCODERS.get("convnet", width_multiplier=0.25).build((16, 16, 1))
    images = tf.random.stateless_uniform((4, 16, 16, 1), (0, 0))
    before = weights_digest(encoder.variables)
    encoder(images, training=False)
    assert weights_digest(encoder.variables) == before
    encoder(images, training=True)  # moves the statistics of batch norm only
    moved = weights_digest(encoder.variables)
    assert moved != before
    kernel = encoder.trainable_variables[0]
    kernel.assign(kernel + 1e-3)
    assert weights_digest(encoder.variables) != moved


def test_views_of_training_images_are_those_of_the_augmenter(bit_data: DataSet) -> None:
    few = dataclasses.replace(bit_data, train=bit_data.train.at_most(30, 0).in_memory())
    augmenter = build_augmenter(
        channels=1,
        crop_area_min=0.5,
        flip=False,
        color_strength=0.0,
        grayscale=0.0,
        blur=0.0,
        seed=3,
    )

    def representations(images: tf.Tensor) -> list[tf.Tensor]:
        return [tf.reduce_sum(images, axis=(1, 2))]

    found = extract(representations, few, ["features"], 20, augmenter=augmenter, num_train_views=3)[
        "features"
    ].train_views
    assert found is not None
    assert found.shape == (3, 30, 4)
    # All in one batch of the extraction, so the draws are those of one batch.
    for first, step in ((0, 0), (2, 1)):
        views, bits, _ = augmenter.two_views(few.train.images, step, few.train.bits)
        sums = tf.reduce_sum(compose_images(views, bits), axis=(1, 2)).numpy()
        np.testing.assert_allclose(found[first], sums[:30], rtol=1e-4)
    assert np.abs(found[0, :, 0] - found[1, :, 0]).max() > 1
    np.testing.assert_allclose(found[0, :, 1:], found[2, :, 1:])


def test_large_features_are_kept_in_a_file(
    bit_data: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def representations(images: tf.Tensor) -> list[tf.Tensor]:
        return [tf.reduce_sum(images, axis=(1, 2))]

    small = extract(representations, bit_data, ["features"])["features"]
    monkeypatch.setattr(extraction, "IN_MEMORY_BYTES", 1000)
    large = extract(representations, bit_data, ["features"])["features"]
    assert isinstance(large.train, np.memmap)
    assert not isinstance(small.train, np.memmap)
    np.testing.assert_array_equal(large.train, small.train)
    assert dict(KNN().evaluate(large, 0)) == dict(KNN().evaluate(small, 0))


def test_inputs_are_the_composed_images(bit_data: DataSet) -> None:
    inputs = extraction.build_inputs(bit_data, batch_size=3)
    rows = np.array([7, 0, 999, 3])
    expected = compose_images(bit_data.test.images[rows], bit_data.test.bits[rows])
    np.testing.assert_array_equal(inputs.test(rows), expected)
    assert inputs.image_channels == 1
