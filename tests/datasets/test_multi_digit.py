"""Several digits: exact pixels from the plan, cells, sizes, repeats, labels and refusals."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import datasets
from ssl_keras.config import Config
from ssl_keras.datasets import load_source
from ssl_keras.datasets.base import BuildContext
from ssl_keras.datasets.digits import digit_pool
from ssl_keras.datasets.multi_digit import _Plan
from ssl_keras.datasets.sources.vectors import load_vectors
from ssl_keras.errors import UserError

COUNTS = {"num_train_images": 300, "num_test_images": 60}


@pytest.fixture(scope="module", autouse=True)
def _sources_are_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load_source", functools.cache(load_source))
        yield


@pytest.mark.exhaustive
def test_pools_of_full_size_sources_stay_out_of_the_graph(data_dir: str) -> None:
    data = load(data_dir, num_digits=16, placement="random", image_size=32)
    examples = data.train.examples
    lazy = datasets.DATASETS.get("multi_digit", num_digits=16, placement="random", **COUNTS)
    made = lazy.build(
        BuildContext(
            0, 32, lambda name, size: load_source(name, data_dir, image_size=size), load_vectors
        )
    )
    traced = tf.function(made.train.examples.example).get_concrete_function(
        tf.TensorSpec((), tf.int64)
    )
    assert traced.graph.as_graph_def().ByteSize() < 300_000
    assert examples.count == 300


def load(data_dir: str, **options: Any) -> datasets.DataSet:
    return datasets.load("multi_digit", data_dir=data_dir, **{**COUNTS, **options})


def pictures(data: datasets.DataSet, count: int) -> np.ndarray:
    """The first test images."""
    images: np.ndarray = next(iter(data.test.batches(count)))["example"]["image"].numpy()
    return images


def cells(image: np.ndarray) -> list[np.ndarray]:
    """The cells of the 4x4 grid that hold something."""
    side = image.shape[0] // 4
    parts = [
        image[y * side : (y + 1) * side, x * side : (x + 1) * side, 0]
        for y in range(4)
        for x in range(4)
    ]
    return [part for part in parts if part.any()]


@pytest.mark.parametrize(
    "num_digits",
    [2, pytest.param(1, marks=pytest.mark.full), pytest.param(6, marks=pytest.mark.full)],
)
def test_grid_holds_that_many_real_digits_and_the_presence_vector_says_which(
    data_dir: str, num_digits: int
) -> None:
    data = load(data_dir, num_digits=num_digits)
    assert data.input_shape == (112, 112, 1)
    for name in ("train", "test"):
        digits = getattr(load_source("mnist_5k", data_dir), name)
        known = {
            image[..., 0].tobytes(): label
            for image, label in zip(digits.columns["image"], digits.labels, strict=True)
        }
        part = getattr(data, name)
        for image, presence in zip(
            part.example["image"][:40], part.labels["presence"][:40], strict=True
        ):
            shown = cells(image)
            assert len(shown) == num_digits
            classes = {known[np.ascontiguousarray(cell).tobytes()] for cell in shown}
            np.testing.assert_array_equal(presence, [int(c in classes) for c in range(10)])


@pytest.mark.full
def test_without_repeats_all_classes_differ(data_dir: str) -> None:
    data = load(data_dir, num_digits=5, digit_repeats=False)
    np.testing.assert_array_equal(data.train.labels["presence"].sum(axis=1), 5)
    means = data.train.labels["presence"].mean(axis=0)
    np.testing.assert_allclose(means, 0.5, atol=0.12)
    repeated = load(data_dir, num_digits=5)
    assert repeated.train.labels["presence"].sum(axis=1).min() < 5


def test_positions_are_spread_over_the_grid(data_dir: str) -> None:
    images = load(data_dir, num_digits=1).train.example["image"][..., 0]
    taken = images.reshape(300, 4, 28, 4, 28).any(axis=(2, 4)).mean(axis=0)
    np.testing.assert_allclose(taken, 1 / 16, atol=0.05)


def coded_digits(root: Path) -> str:
    """A digit source in which every pixel of a digit of class c has the value 20 * (c + 1)."""
    labels = np.arange(40) % 10
    images = np.repeat(np.repeat((20 * (labels + 1))[:, None, None], 28, 1), 28, 2)
    np.savez(root / "coded.npz", images=images.astype(np.uint8), labels=labels)
    return f"npz:{root / 'coded.npz'}"


@pytest.mark.full
def test_two_sizes_and_which_label_is_whose(data_dir: str, tmp_path: Path) -> None:
    source = coded_digits(tmp_path)
    data = load(data_dir, digit_sizes="9,30", digit_source=source, image_size=64)
    assert list(data.targets) == ["small_digit", "large_digit"]
    swapped = load(data_dir, digit_sizes="30,9", digit_source=source, image_size=64)
    np.testing.assert_array_equal(swapped.train.example["image"], data.train.example["image"])
    whole = 0
    for index, image in enumerate(data.train.example["image"][..., 0]):
        small, large = (
            20 * (data.train.labels[name][index] + 1) for name in ("small_digit", "large_digit")
        )
        assert set(np.unique(image)) <= {0, small, large}
        rows, columns = np.nonzero(image == large)
        if small != large:
            # The bounding box of the large one is 30 pixels, unless the small one covers an edge.
            whole += np.ptp(rows) == 29 and np.ptp(columns) == 29
            # What the small one shows is at most 9 by 9 (nothing, under a brighter digit).
            rows, columns = np.nonzero(image == small)
            if len(rows):
                assert np.ptp(rows) <= 8
                assert np.ptp(columns) <= 8
    assert whole > 200


def test_random_positions_stay_inside_and_reach_the_borders(data_dir: str) -> None:
    data = load(data_dir, num_digits=1, placement="random", image_size=32, num_train_images=2000)
    images = data.train.example["image"][..., 0]
    assert images.shape[1:] == (32, 32)
    sums = images.any(axis=0)
    assert sums[0].any()
    assert sums[-1].any()
    assert all(image.any() for image in images)


@pytest.mark.exhaustive
def test_determinism_and_seeds(data_dir: str) -> None:
    first, again, other = load(data_dir), load(data_dir), load(data_dir, seed=1)
    np.testing.assert_array_equal(first.train.example["image"], again.train.example["image"])
    assert np.any(first.train.example["image"] != other.train.example["image"])
    single = load(data_dir, num_digits=1)
    longer = load(data_dir, num_digits=1, num_train_images=400)
    assert len(longer.train.example["image"]) == 400
    np.testing.assert_array_equal(
        longer.train.example["image"][:300], single.train.example["image"]
    )


def test_chance_levels_are_counted(data_dir: str) -> None:
    data = load(data_dir, num_digits=3)
    target = data.targets["presence"]
    labels = data.test.labels["presence"]
    means = labels.mean(axis=0)
    np.testing.assert_allclose(target.chance, np.maximum(means, 1 - means).mean())
    vectors = Counter(row.tobytes() for row in labels)
    assert target.all_right_chance == max(vectors.values()) / len(labels)


def test_locations_of_a_hand_made_plan() -> None:
    plan = _Plan(
        sizes=(3, 2),
        pools={},
        members=np.zeros((2, 2), np.int64),
        labels=np.array([[9, 9], [4, 0]]),
        tops=np.array([[0, 0], [0, 2]]),
        lefts=np.array([[0, 0], [1, 0]]),
    )
    large, small = [0, 1, 1, 1], [2, 2, 1, 1]
    region = [[large, large, small, [2, 2, 0, 0]]]
    locations = plan.locations(np.array([1]), 4, sizes_differ=True)
    np.testing.assert_array_equal(locations["region"], region)
    np.testing.assert_array_equal(locations["digit"], np.array([0, 5, 1])[region])
    same = plan.locations(np.array([1]), 4, sizes_differ=False)
    np.testing.assert_array_equal(same["region"], np.sign(region))


@pytest.mark.full
def test_locations_lie_over_the_digits(data_dir: str, tmp_path: Path) -> None:
    source = coded_digits(tmp_path)
    data = load(data_dir, num_digits=3, digit_source=source, max_train_images=100)
    assert data.local_targets["region"].values == ("nothing", "digit")
    rows = np.array([7, 99])
    locations = data.locations(data.train, rows)
    # A digit of class c has the value 20 * (c + 1) everywhere.
    np.testing.assert_array_equal(
        20 * locations["digit"], data.train.example["image"][rows][..., 0]
    )
    np.testing.assert_array_equal(locations["region"], locations["digit"] > 0)
    sizes = load(data_dir, digit_sizes="9,30", digit_source=source, image_size=64)
    assert sizes.local_targets["region"].values == ("nothing", "large", "small")
    counts = np.bincount(sizes.locations(sizes.test, np.arange(1))["region"].ravel())
    assert counts[2] == 9 * 9  # the small one is drawn later
    assert 30 * 30 - 9 * 9 <= counts[1] <= 30 * 30


@pytest.mark.full
def test_a_digit_alone_is_one_of_the_test_digits_with_its_label(data_dir: str) -> None:
    alone = load(data_dir, digit_sizes="20", image_size=40)
    assert list(alone.targets) == ["digit"]
    assert alone.local_targets["region"].values == ("nothing", "digit")
    places = alone.locations(alone.test, np.arange(1))
    np.testing.assert_array_equal(np.bincount(places["region"].ravel())[1:], [20 * 20])
    known = load(data_dir, digit_sizes="20", image_size=20)
    images = pictures(known, 60)
    pool = digit_pool(load_source("mnist_5k", data_dir), "test", 20, 0)
    labels = {i.tobytes(): label for i, label in zip(pool.images, pool.labels, strict=True)}
    found = [labels[image.tobytes()] for image in images]
    assert found == list(known.test.read_labels("digit"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"digit_sizes": "20,8,9"},
            "digit_sizes must be one or two whole numbers above 0, such as",
        ),
        ({"digit_sizes": "20,-3"}, "digit_sizes must be one or two whole numbers above 0"),
        ({"digit_sizes": "20,113"}, "Digits of 113 pixels do not fit on a canvas of 112"),
        ({"num_digits": 17}, "num_digits must be at least 1 and at most 16"),
        ({"num_digits": 11, "digit_repeats": False}, "without repeats there are only 10 classes"),
        ({"source": "photos"}, "'multi_digit' has no source: it has num_digits"),
        ({"digit_source": "mnist_6k"}, "Did you mean 'mnist_5k'?"),
    ],
)
def test_what_does_not_fit_is_refused(data_dir: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        load(data_dir, **options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "option", [{"num_digits": 3}, {"placement": "random"}, {"digit_repeats": False}], ids=str
)
def test_what_has_no_effect_with_two_sizes_is_refused(option: dict[str, Any]) -> None:
    (name,) = option
    message = f"{name} has no effect with digit_sizes=20,30: it needs"
    with pytest.raises(UserError, match=message) as caught:
        Config.make(dataset="multi_digit", digit_sizes="20,30", **option)
    assert str(caught.value).endswith("leave one of the two out.")
