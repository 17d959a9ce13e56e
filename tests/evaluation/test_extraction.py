"""Features are those of the model, in order, for every image; and the model stays as it was."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from ssl_keras import networks
from ssl_keras.datasets import DataSet, compose_images
from ssl_keras.evaluation.extraction import depth_names, extract, weights_digest


def test_depth_names() -> None:
    assert depth_names(0) == ["features"]
    assert depth_names(2) == ["features", "projection_1", "projection_2"]


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
    images = compose_images(bit_data.test.images, bit_data.test.planes)
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
