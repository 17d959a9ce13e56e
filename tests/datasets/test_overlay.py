"""Overlay: exact pixels, the official geometry, pools without leaks, controls, and refusals."""

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
from ssl_keras.datasets import MemorySplit, load_source
from ssl_keras.datasets.base import Source
from ssl_keras.datasets.digits import DigitPool, digit_pool
from ssl_keras.datasets.examples import ArrayExamples
from ssl_keras.datasets.overlay import CELL_ORDER, blend, corners, draw, locator
from ssl_keras.errors import UserError


@pytest.fixture(scope="module", autouse=True)
def _sources_are_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load_source", functools.cache(load_source))
        yield


def load(data_dir: str, **options: Any) -> datasets.DataSet:
    return datasets.load("overlay", data_dir=data_dir, **options)


def test_official_offsets_at_224_pixels() -> None:
    expected = [(top, left) for top in (33, 100, 168) for left in (33, 100, 168)]
    assert corners((224, 224), 9) == expected
    assert corners((224, 224), 1) == [(100, 100)]
    assert corners((32, 32), 9) == [(y, x) for y in (4, 14, 24) for x in (4, 14, 24)]
    assert sorted(CELL_ORDER) == list(range(9))
    for copies in range(1, 9):
        assert set(corners((224, 224), copies)) < set(corners((224, 224), copies + 1))


def test_hand_made_pixels() -> None:
    background = np.array([[[[10], [200]], [[30], [40]]]], np.uint8)
    mask = np.array([[[[20], [100]], [[0], [255]]]], np.uint8)
    np.testing.assert_array_equal(blend(background, mask, "max")[..., 0], [[[20, 200], [30, 255]]])
    np.testing.assert_array_equal(blend(background, mask, "add")[..., 0], [[[30, 255], [30, 255]]])
    # 10 + 0.5 * 20/255 * 245 = 19.6; 200 + 0.5 * 100/255 * 55 = 210.8; 30; 40 + 0.5 * 215 = 147.5
    alpha = blend(background, mask, "alpha", 0.5).numpy()[..., 0]
    np.testing.assert_array_equal(alpha, [[[20, 211], [30, 148]]])


def test_drawing_puts_copies_where_they_belong() -> None:
    digits = np.array([[[[1], [2]], [[3], [4]]]], np.uint8)
    mask = draw(tf.constant(digits), (4, 5), [(0, 0), (2, 3)]).numpy()[0, :, :, 0]
    np.testing.assert_array_equal(
        mask, [[1, 2, 0, 0, 0], [3, 4, 0, 0, 0], [0, 0, 0, 1, 2], [0, 0, 0, 3, 4]]
    )
    overlapping = draw(tf.constant(digits), (2, 3), [(0, 0), (0, 1)]).numpy()[0, :, :, 0]
    np.testing.assert_array_equal(overlapping, [[1, 2, 2], [3, 4, 4]])


@pytest.mark.full
def test_at_224_pixels_the_digit_is_drawn_unscaled_nine_times(
    data_dir: str, tmp_path: Path
) -> None:
    labels = np.arange(20) % 2
    np.savez(tmp_path / "large.npz", images=np.ones((20, 224, 224, 3), np.uint8), labels=labels)
    source = f"npz:{tmp_path / 'large.npz'}"
    data = load(data_dir, source=source, overlay_content="digits")
    digits = load_source("mnist_5k", data_dir)
    originals = {
        image.tobytes(): label
        for image, label in zip(digits.train.columns["image"], digits.train.labels, strict=True)
    }
    batch = next(iter(data.train.batches(3)))
    for image, label in zip(
        batch["example"]["image"].numpy(), batch["labels"]["digit"].numpy(), strict=True
    ):
        copies = [image[y : y + 28, x : x + 28, 0] for y in (33, 100, 168) for x in (33, 100, 168)]
        for copy in copies:
            assert originals[np.ascontiguousarray(copy).tobytes()] == label
        assert image.sum() == 3 * 9 * copies[0].sum(dtype=np.int64)
        assert np.all(image == image[..., :1])


def test_max_blend_of_background_and_digits(data_dir: str) -> None:
    both = load(data_dir)
    background = load(data_dir, overlay_content="background")
    digits = load(data_dir, overlay_content="digits")
    for name in ("train", "test"):
        parts = [getattr(data, name).example["image"] for data in (both, background, digits)]
        np.testing.assert_array_equal(parts[0], np.maximum(parts[1], parts[2]))
    plain = datasets.load("plain", source="photos", data_dir=data_dir)
    np.testing.assert_array_equal(background.train.example["image"], plain.train.example["image"])
    assert list(both.targets) == ["class", "digit"]
    assert list(background.targets) == ["class"]
    assert list(digits.targets) == ["digit"]


def occurrences(images: np.ndarray) -> Counter[bytes]:
    return Counter(image.tobytes() for image in images)


@pytest.mark.full
def test_pool_of_unique_digits(data_dir: str) -> None:
    few = load(data_dir, num_unique_digits=3, overlay_content="digits")
    seen = occurrences(few.train.example["image"])
    assert len(seen) == 3
    # Each of 4,000 images shows one of three digits: five deviations.
    assert max(abs(count - 4000 / 3) for count in seen.values()) < 5 * np.sqrt(4000 * 2 / 9)
    more = load(data_dir, num_unique_digits=5, overlay_content="digits")
    assert set(seen) < set(occurrences(more.train.example["image"]))
    # Test digits come from the whole test split, whatever the pool.
    np.testing.assert_array_equal(few.test.example["image"], more.test.example["image"])
    pool = digit_pool(load_source("mnist_5k", data_dir), "test", 4, seed=0)
    unlike = len(occurrences(pool.images))
    # 1,000 draws of 1,000 digits leave out 1/e of them, with a deviation of ten.
    shown = len(occurrences(few.test.example["image"]))
    assert abs(shown - unlike * (1 - 1 / np.e)) < 50


@pytest.mark.exhaustive
def test_heads_are_fitted_on_all_digits_whatever_the_pool(data_dir: str) -> None:
    every, few = (
        load(data_dir, overlay_content="digits"),
        load(data_dir, num_unique_digits=3, overlay_content="digits"),
    )
    assert every.probing is every.train
    for part in ("example", "labels"):
        for value, other in zip(
            tf.nest.flatten(getattr(few.probing, part)),
            tf.nest.flatten(getattr(every.train, part)),
            strict=True,
        ):
            np.testing.assert_array_equal(value, other)
    counts = np.bincount(few.test.labels["digit"], minlength=10)
    assert few.targets["digit"].chance == counts.max() / 1000
    shown = np.bincount(few.train.labels["digit"], minlength=10)
    assert few.training_chances == {"digit": shown.max() / 4000}
    shown = np.bincount(every.train.labels["digit"], minlength=10)
    assert every.training_chances == {"digit": shown.max() / 4000}
    (notice,) = set(few.notices) - set(every.notices)
    assert notice == (
        "evaluators are fitted on images with 4000 different digits; the training shows 3"
    )


@pytest.mark.exhaustive
def test_heads_are_fitted_on_the_backgrounds_of_the_training(data_dir: str) -> None:
    some = load(data_dir, num_unique_digits=3, max_train_images=50, image_size=64, digit_size=14)
    assert some.train.num_examples == some.probing.num_examples == 50
    np.testing.assert_array_equal(some.train.labels["class"], some.probing.labels["class"])
    rows = np.arange(5)
    for split in (some.train, some.probing):
        digits = some.locations(split, rows)["digit"].max(axis=(1, 2)) - 1
        np.testing.assert_array_equal(digits, split.labels["digit"][:5])


def test_no_digit_is_in_both_splits(data_dir: str) -> None:
    digits = load_source("mnist_5k", data_dir)
    train, test = (digit_pool(digits, split, 28, seed=0) for split in ("train", "test"))
    shared = {i.tobytes() for i in train.images} & {i.tobytes() for i in test.images}
    assert train.count == 4000
    assert test.count == 1000
    assert not shared


@pytest.mark.exhaustive
def test_digits_do_not_depend_on_the_background(data_dir: str) -> None:
    data = load(data_dir)
    labels = data.train.labels
    table = np.zeros((10, 10))
    np.add.at(table, (labels["class"], labels["digit"]), 1)
    np.testing.assert_allclose(table / 40, 1.0, atol=0.6)
    again, other = load(data_dir), load(data_dir, seed=1)
    np.testing.assert_array_equal(again.train.example["image"], data.train.example["image"])
    assert np.any(other.train.labels["digit"] != labels["digit"])


def test_lazy_composition_equals_composition_in_memory(
    data_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load(data_dir)
    monkeypatch.setattr(datasets, "IN_MEMORY_BYTES", 0)
    lazy = load(data_dir)
    assert isinstance(whole.train, MemorySplit)
    assert not isinstance(lazy.train, MemorySplit)
    for one, other in zip(
        whole.train.training_batches(32, seed=0, num_steps=3),
        lazy.train.training_batches(32, seed=0, num_steps=3),
        strict=True,
    ):
        np.testing.assert_array_equal(one["example"]["image"], other["example"]["image"])
        for name in ("class", "digit"):
            np.testing.assert_array_equal(one["labels"][name], other["labels"][name])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_unique_digits": 4001}, "num_unique_digits is 4001, but 'mnist_5k' has 4000 digits"),
        ({"digit_size": 20}, "Digits of 20 pixels do not fit on a canvas of 32x32"),
        (
            {"digit_source": "photos"},
            "The digits of 'photos' have 3 channels; grey ones are needed",
        ),
        ({"overlay_copies": 10}, "overlay_copies must be at least 1 and at most 9"),
        ({"blend": "mix"}, "Unknown blend 'mix'. Did you mean 'max'?"),
        (
            {"source": "photos", "resize": "crop"},
            "resize=crop has no effect on the source 'photos'",
        ),
        ({"image_size": 1000}, "crops of the embedded photographs go up to 256 pixels"),
    ],
)
def test_what_does_not_fit_is_refused(data_dir: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        load(data_dir, **options)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blend_alpha": 0.3}, "blend_alpha has no effect with blend=max: it needs blend=alpha"),
        (
            {"overlay_content": "background", "blend": "add"},
            "blend has no effect with overlay_content=background: it needs overlay_content=both",
        ),
        (
            {"overlay_content": "digits", "blend": "add"},
            "blend has no effect with overlay_content=digits: it needs overlay_content=both",
        ),
        (
            {"overlay_content": "background", "num_unique_digits": 2},
            "num_unique_digits has no effect with overlay_content=background: it needs "
            "overlay_content=both or digits",
        ),
    ],
)
def test_what_has_no_effect_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        Config.make(dataset="overlay", **options)
    assert str(caught.value) == f"{message}; leave one of the two out."


def test_digits_must_be_labelled() -> None:
    images = ArrayExamples({"image": np.zeros((3, 4, 4, 1), np.uint8)}, None)
    with pytest.raises(UserError, match="must be labelled"):
        digit_pool(Source("mine", images, images, 0), "train", 4, seed=0)


def test_locations_of_hand_made_digits() -> None:
    digits = np.array([[[[127], [128]], [[0], [255]]], [[[200], [0]], [[0], [0]]]], np.uint8)
    pool = DigitPool(digits, np.array([0, 7]))
    locations = locator(pool, np.array([1, 0, 1]), [(0, 0), (1, 2)], (3, 4))(np.array([1, 2]))
    first = [[0, 1, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]]
    second = [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(locations["region"], [first, second])
    np.testing.assert_array_equal(locations["digit"], np.array([first, second]) * [[[1]], [[8]]])


def test_locations_are_where_digits_are_drawn_and_survive(
    data_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"digit_size": 8, "max_train_images": 300}
    digits = load(data_dir, overlay_content="digits", **options)
    both = load(data_dir, **options)
    assert both.local_targets["region"].values == ("background", "digit")
    assert both.local_targets["digit"].values == ("nothing", *"0123456789")
    rows = np.array([5, 299, 0])
    drawn = digits.train.example["image"][rows][..., 0] > 127
    assert drawn.any(axis=(1, 2)).all()
    labels = both.train.labels["digit"][rows]
    for data in (digits, both):
        locations = data.locations(data.train, rows)
        np.testing.assert_array_equal(locations["region"], drawn)
        np.testing.assert_array_equal(locations["digit"], drawn * (labels[:, None, None] + 1))
    monkeypatch.setattr(datasets, "IN_MEMORY_BYTES", 0)
    lazy = load(data_dir, **options)
    np.testing.assert_array_equal(lazy.locations(lazy.train, rows)["region"], drawn)
    assert not load(data_dir, overlay_content="background").local_targets
    for name in ("plain", "bit_concat"):
        other = datasets.load(name, data_dir=data_dir)
        assert not other.local_targets
        assert not other.locations(other.test, rows)


def test_locations_are_scaled_with_the_images(
    data_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "IN_MEMORY_BYTES", 0)
    whole, half = load(data_dir, digit_size=8), load(data_dir, digit_size=8, view_size=16)
    rows = np.arange(4)
    full = whole.locations(whole.test, rows)["digit"]
    assert full.shape == (4, 32, 32)
    assert full.any()
    # The centre of a pixel of half the size lies at the corner of the second of its two pixels.
    np.testing.assert_array_equal(half.locations(half.test, rows)["digit"], full[:, 1::2, 1::2])
