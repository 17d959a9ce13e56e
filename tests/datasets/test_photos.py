"""Crops of photographs: real pixels, labels, and regions that no two splits share."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from ssl_keras import train
from ssl_keras.datasets import load_source
from ssl_keras.datasets.sources import photos
from ssl_keras.errors import UserError


def test_without_scikit_image_a_sentence_names_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "skimage" else find(name)
    )
    with pytest.raises(UserError, match=r"source=photos needs scikit-image.*: pip install scik"):
        load_source("photos")
    for line in ("--dataset=plain --source=photos", "--flagfile=overlay"):
        assert train.main(["program", *line.split(), "--only_check_args"]) == 2
        assert ": pip install scikit-image.\n" in capsys.readouterr().err


@pytest.mark.full
def test_crops_are_real_colour_images_with_balanced_labels() -> None:
    source = load_source("photos", image_size=24)
    assert source.train.columns["image"].shape == (4000, 24, 24, 3)
    assert source.test.columns["image"].shape == (1000, 24, 24, 3)
    assert source.num_classes == 10
    assert source.class_names[0] == "china"
    np.testing.assert_array_equal(np.bincount(source.train.labels), [400] * 10)
    means = [
        source.train.columns["image"][source.train.labels == label].mean(axis=(0, 1, 2))
        for label in range(10)
    ]
    assert len({tuple(mean.round()) for mean in means}) == 10
    assert source.augmentation == "small_rgb"


@pytest.mark.exhaustive
def test_large_crops_are_augmented_as_photographs() -> None:
    assert load_source("photos", image_size=96).augmentation == "large_rgb"


@pytest.mark.parametrize("shape", [(300, 451), (512, 512), (1411, 1411), (427, 640)])
@pytest.mark.parametrize("seed", [0, 1])
def test_regions_of_the_splits_are_disjoint(shape: tuple[int, int], seed: int) -> None:
    train = photos.crop_boxes(shape, "train", "a", seed)
    test = photos.crop_boxes(shape, "test", "a", seed)
    for left, top, right, bottom in (*train, *test):
        assert 0 <= left < right <= shape[1]
        assert 0 <= top < bottom <= shape[0]
        assert right - left == bottom - top
    assert max(box[2] for box in train) < min(box[0] for box in test)
    assert len(set(train)) > 350


@pytest.mark.exhaustive
def test_the_seed_chooses_the_crops() -> None:
    first, again = load_source("photos", seed=3), load_source("photos", seed=3)
    other = load_source("photos", seed=4)
    np.testing.assert_array_equal(first.train.columns["image"], again.train.columns["image"])
    assert np.any(first.train.columns["image"] != other.train.columns["image"])
