"""The geometry head: measures of the right images, at every layer, with and without labels."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from ssl_keras import metrics
from ssl_keras.datasets import DataSet
from ssl_keras.datasets.base import Target
from ssl_keras.evaluators import EVALUATORS, FrozenFeatures
from ssl_keras.evaluators.base import ViewFeatures
from ssl_keras.evaluators.extraction import extract
from ssl_keras.views.augmenter import Augmenter

GENERATOR = np.random.default_rng(0)


def frozen(labels: dict[str, np.ndarray], targets: dict[str, Target]) -> FrozenFeatures:
    test = GENERATOR.normal(size=(40, 6)).astype(np.float32)
    rows = np.arange(0, 40, 2)
    views = ViewFeatures(rows, test[rows] + 0.1, test[rows] - 0.1)
    return FrozenFeatures(test, test, labels, labels, targets, views)


def test_measures_are_those_of_the_chosen_images_and_views() -> None:
    labels = {"class": np.arange(40) % 4, "bits": GENERATOR.integers(0, 2, (40, 2))}
    declared = {
        "class": Target("class", "class", 4, 0.25, 0.25),
        "bits": Target("bits", "bits", 2, 0.5, 0.25),
    }
    arrays = frozen(labels, declared)
    values = dict(EVALUATORS.get("geometry", geometry_temperature=0.5).evaluate(arrays, 3))
    images, views = arrays.test[::2], arrays.views
    assert views is not None
    expected = {
        "uniformity": metrics.uniformity(images),
        "effective_rank": metrics.effective_rank(images),
        "alignment": metrics.alignment(views.first, views.second),
        "tolerance/class": metrics.tolerance(images, labels["class"][::2]),
        "tolerance/bits": metrics.tolerance(images, labels["bits"][::2]),
        "mutual_information_bound": metrics.mutual_information_bound(
            views.first, views.second, 0.5
        )[0],
    }
    for name, value in expected.items():
        np.testing.assert_allclose(values[name], value, rtol=1e-6)
    assert "mean_classifier_loss/class" in values
    assert "mean_classifier_loss/bits" not in values
    again = dict(EVALUATORS.get("geometry", geometry_temperature=0.5).evaluate(arrays, 3))
    assert again == values


def test_tolerance_without_a_pair_is_left_out_and_labels_are_not_needed() -> None:
    head = EVALUATORS.get("geometry")
    assert not head.needs_labels
    unique = {"class": np.arange(40)}
    one = frozen(unique, {"class": Target("class", "class", 40, 0.025, 0.025)})
    assert "tolerance/class" not in dict(head.evaluate(one, 0))
    unlabelled = frozen({}, {})
    rank = float(metrics.effective_rank(unlabelled.test[::2]))
    assert dict(head.evaluate(unlabelled, 0))["effective_rank"] == rank


def test_extraction_gives_views_of_evenly_spread_test_images(bit_data: DataSet) -> None:
    modality = bit_data.modality
    transform = modality.transform({**modality.defaults, "crop_area_min": 0.5}, compiled=False)
    augmenter = Augmenter(modality.prepare, transform)

    def pixels(images: tf.Tensor) -> list[tf.Tensor]:
        return [tf.reshape(images, [tf.shape(images)[0], -1])]

    views = extract(pixels, bit_data, ["features"], 64, augmenter, num_views=100)["features"].views
    assert views is not None
    assert views.rows[0] == 0
    assert views.rows[-1] == 999
    assert len(np.unique(views.rows)) == 100
    assert views.first.shape == views.second.shape == (100, 28 * 28 * 4)
    # The first batch are the views of step 0 of those images; bits are never augmented.
    chosen = {"image": bit_data.test.example["image"][views.rows[:64]]}
    expected, _ = augmenter.two_views({"example": chosen}, 0)
    first = views.first.reshape(100, 28, 28, 4)
    np.testing.assert_allclose(first[:64, :, :, :1], expected["image"][:64], atol=1e-5)
    np.testing.assert_array_equal(first[:, 3, 3, 1:], bit_data.test.example["bits"][views.rows])
    assert extract(pixels, bit_data, ["features"])["features"].views is None
