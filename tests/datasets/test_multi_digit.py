"""Several digits: exact pixels from the plan, cells, sizes, repeats, labels and refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ssl_keras import datasets
from ssl_keras.datasets import load_source
from ssl_keras.errors import UserError

COUNTS = {"num_train_images": 300, "num_test_images": 60}


def load(data_dir: str, **options: Any) -> datasets.DataSet:
    return datasets.load("multi_digit", data_dir=data_dir, **{**COUNTS, **options})


def cells(image: np.ndarray) -> list[np.ndarray]:
    """The cells of the 4x4 grid that hold something."""
    side = image.shape[0] // 4
    parts = [
        image[y * side : (y + 1) * side, x * side : (x + 1) * side, 0]
        for y in range(4)
        for x in range(4)
    ]
    return [part for part in parts if part.any()]


@pytest.mark.parametrize("num_digits", [1, 2, 6])
def test_grid_holds_that_many_real_digits_and_the_presence_vector_says_which(
    data_dir: str, num_digits: int
) -> None:
    data = load(data_dir, num_digits=num_digits)
    assert data.image_shape == (112, 112, 1)
    for name in ("train", "test"):
        digits = getattr(load_source("mnist_5k", data_dir), name)
        known = {
            image[..., 0].tobytes(): label
            for image, label in zip(digits.images, digits.labels, strict=True)
        }
        part = getattr(data, name)
        for image, presence in zip(part.images[:40], part.labels["presence"][:40], strict=True):
            found = cells(image)
            assert len(found) == num_digits
            classes = {known[np.ascontiguousarray(cell).tobytes()] for cell in found}
            np.testing.assert_array_equal(presence, [int(c in classes) for c in range(10)])


def test_without_repeats_all_classes_differ(data_dir: str) -> None:
    data = load(data_dir, num_digits=5, digit_repeats=False)
    np.testing.assert_array_equal(data.train.labels["presence"].sum(axis=1), 5)
    means = data.train.labels["presence"].mean(axis=0)
    np.testing.assert_allclose(means, 0.5, atol=0.12)
    repeated = load(data_dir, num_digits=5)
    assert repeated.train.labels["presence"].sum(axis=1).min() < 5


def test_positions_are_spread_over_the_grid(data_dir: str) -> None:
    images = load(data_dir, num_digits=1).train.images[..., 0]
    taken = images.reshape(300, 4, 28, 4, 28).any(axis=(2, 4)).mean(axis=0)
    np.testing.assert_allclose(taken, 1 / 16, atol=0.05)


def test_two_sizes(data_dir: str) -> None:
    data = load(data_dir, digit_sizes="20,80")
    assert list(data.features) == ["small_digit", "large_digit"]
    assert all(feature.kind == "class" for feature in data.features.values())
    large_only = load(data_dir, digit_sizes="80,20")
    np.testing.assert_array_equal(
        large_only.train.labels["small_digit"], data.train.labels["small_digit"]
    )
    # The digits of 80 pixels reach far, but never beyond 80.
    for image in data.train.images[:50, ..., 0]:
        rows = np.flatnonzero(image.any(axis=1))
        assert 40 < rows[-1] - rows[0] + 1 <= 112


def test_random_positions_stay_inside_and_reach_the_borders(data_dir: str) -> None:
    data = load(data_dir, num_digits=1, placement="random", image_size=32, num_train_images=2000)
    images = data.train.images[..., 0]
    assert images.shape[1:] == (32, 32)
    sums = images.any(axis=0)
    assert sums[0].any()
    assert sums[-1].any()
    assert all(image.any() for image in images)


def test_determinism_and_seeds(data_dir: str) -> None:
    first, again, other = load(data_dir), load(data_dir), load(data_dir, seed=1)
    np.testing.assert_array_equal(first.train.images, again.train.images)
    assert np.any(first.train.images != other.train.images)
    longer = load(data_dir, num_train_images=400)
    np.testing.assert_array_equal(longer.train.labels["presence"].shape, (400, 10))


def test_chance_levels_are_counted(data_dir: str) -> None:
    data = load(data_dir, num_digits=3)
    feature = data.features["presence"]
    means = data.train.labels["presence"].mean(axis=0)
    np.testing.assert_allclose(feature.chance, np.maximum(means, 1 - means).mean())
    assert 0 < feature.all_right_chance < 0.1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"digit_sizes": "20"}, "digit_sizes must be two whole numbers above 0, such as 20,80"),
        ({"digit_sizes": "20,-3"}, "digit_sizes must be two whole numbers above 0"),
        ({"digit_sizes": "20,113"}, "Digits of 113 pixels do not fit on a canvas of 112"),
        ({"digit_sizes": "20,30", "num_digits": 3}, "num_digits has no effect with digit_sizes"),
        ({"num_digits": 17}, "num_digits must be at least 1 and at most 16"),
        ({"num_digits": 11, "digit_repeats": False}, "without repeats there are only 10 classes"),
        ({"source": "photos"}, "leave --source out; its digits come from --digit_source"),
        ({"digit_source": "mnist_6k"}, "Did you mean 'mnist_5k'?"),
    ],
)
def test_what_does_not_fit_is_refused(data_dir: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        load(data_dir, **options)
    assert message in str(caught.value)
