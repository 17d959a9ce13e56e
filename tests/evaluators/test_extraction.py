"""Features are those of the model, in order, for every image; and the model stays as it was."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import networks
from ssl_keras.datasets import DataSet, MemorySplit, Target
from ssl_keras.evaluators import extraction
from ssl_keras.evaluators.extraction import extract, layer_names
from ssl_keras.evaluators.knn import KNN
from ssl_keras.inputs import Vectors
from ssl_keras.run.checkpoints import weights_digest
from ssl_keras.views.augmenter import Augmenter


def test_layer_names() -> None:
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
    images = bit_data.modality.inputs(bit_data.test.example)
    np.testing.assert_allclose(test, encoder(images, training=False), atol=1e-4)
    np.testing.assert_allclose(found["projection_1"].test, 2 * test, rtol=1e-6)
    np.testing.assert_array_equal(
        found["features"].test_labels["bits"], bit_data.test.labels["bits"]
    )


def test_labels_are_in_the_order_of_the_targets() -> None:
    # Shuffled labels are drawn in it: another process, which hashes otherwise, has the same.
    names = [f"target_{letter}" for letter in "hgfedcba"]
    split = MemorySplit({"x": np.eye(4)}, {name: np.arange(4) % 2 for name in names})
    targets = {name: Target(name, "class", 2, 0.5, 0.5) for name in names}
    data = DataSet("rows", split, split, targets, Vectors.standardizing(np.eye(4)))
    found = extract(lambda inputs: [inputs], data, ["features"])["features"]
    assert list(found.train_labels) == list(found.test_labels) == names


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
    operations = {**few.modality.defaults, "crop_area_min": 0.5}
    transform = few.modality.transform(operations, compiled=False)
    augmenter = Augmenter(few.modality.prepare, transform, seed=3)

    def representations(images: tf.Tensor) -> list[tf.Tensor]:
        return [tf.reduce_sum(images, axis=(1, 2))]

    features = extract(
        representations, few, ["features"], 20, augmenter=augmenter, num_train_views=3
    )["features"]
    views = features.train_views
    assert views is not None
    assert views.shape == (3, 30, 4)
    # All in one batch of the extraction, so the draws are those of one batch.
    for first, step in ((0, 0), (2, 1)):
        examples, _ = augmenter.two_views({"example": few.train.example}, step)
        sums = tf.reduce_sum(few.modality.compose(examples), axis=(1, 2)).numpy()
        np.testing.assert_allclose(views[first], sums[:30], rtol=1e-4)
    assert np.abs(views[0, :, 0] - views[1, :, 0]).max() > 1
    np.testing.assert_allclose(views[0, :, 1:], views[2, :, 1:])


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
    chosen = {name: array[rows] for name, array in bit_data.test.example.items()}
    np.testing.assert_array_equal(inputs.test(rows), bit_data.modality.inputs(chosen))
    assert inputs.modality.main_channels == 1
