"""Nearest neighbours against a loop, with blocks, ties and every kind of target."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ssl_keras import neighbours
from ssl_keras.datasets import Target
from ssl_keras.errors import UserError
from ssl_keras.evaluators import FrozenFeatures
from ssl_keras.evaluators.knn import KNN
from ssl_keras.neighbours import nearest

TARGETS = {
    "class": Target("class", "class", 4, 0.25, 0.25),
    "bits": Target("bits", "bits", 3, 0.5, 0.125),
}


def sample(train: int = 60, test: int = 25) -> FrozenFeatures:
    generator = np.random.default_rng(0)

    def labels(count: int) -> dict[str, np.ndarray]:
        return {
            "class": generator.integers(0, 4, count).astype(np.int32),
            "bits": generator.integers(0, 2, (count, 3)).astype(np.int32),
        }

    rows = generator.normal(size=(train + test, 5)).astype(np.float32)
    return FrozenFeatures(rows[:train], rows[train:], labels(train), labels(test), TARGETS)


def loop(frozen: FrozenFeatures, k: int, temperature: float) -> tuple[float, float, float]:
    right_class = right_bits = right_all = 0.0
    for row, label, bits in zip(
        frozen.test, frozen.test_labels["class"], frozen.test_labels["bits"], strict=True
    ):
        similar = []
        for index, other in enumerate(frozen.train):
            cosine = float(row @ other) / (np.linalg.norm(row) * np.linalg.norm(other))
            similar.append((-cosine, index))
        votes, bit_votes = [0.0] * 4, [0.0] * 3
        for negative, index in sorted(similar)[:k]:
            weight = math.exp(-negative / temperature)
            votes[frozen.train_labels["class"][index]] += weight
            for bit in range(3):
                bit_votes[bit] += weight * (1 if frozen.train_labels["bits"][index, bit] else -1)
        right_class += votes.index(max(votes)) == label
        correct = [(vote > 0) == bool(bit) for vote, bit in zip(bit_votes, bits, strict=True)]
        right_bits += sum(correct) / 3
        right_all += all(correct)
    count = len(frozen.test)
    return right_class / count, right_bits / count, right_all / count


@pytest.mark.parametrize("k", [1, 5, 60])
@pytest.mark.parametrize("temperature", [0.01, 0.07, 1.0])
def test_equals_the_loop(k: int, temperature: float) -> None:
    frozen = sample()
    result = dict(KNN(knn_k=k, knn_temperature=temperature).evaluate(frozen, seed=0))
    found = (result["class/accuracy"], result["bits/accuracy"], result["bits/all_right"])
    np.testing.assert_allclose(found, loop(frozen, k, temperature), atol=1e-12)


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen, head = sample(), KNN(knn_k=7)
    whole = nearest(frozen.train, frozen.test, head.knn_k)
    monkeypatch.setattr(neighbours, "_BLOCK_ELEMENTS", 200)
    blocked = nearest(frozen.train, frozen.test, head.knn_k)
    np.testing.assert_array_equal(whole[0], blocked[0])
    np.testing.assert_allclose(whole[1], blocked[1], rtol=1e-4)


def test_equal_similarities_go_to_the_first_training_image() -> None:
    train = np.ones((4, 2), np.float32)
    indices, weights = nearest(train, train[:1], 3)
    np.testing.assert_array_equal(indices, [[0, 1, 2]])
    np.testing.assert_allclose(weights, 1.0)


def test_zero_features_are_similar_to_nothing() -> None:
    train = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], np.float32)
    indices, _ = nearest(train, np.array([[2.0, 0.0]], np.float32), 1)
    assert indices[0, 0] == 1


def test_more_neighbours_than_images_is_refused() -> None:
    with pytest.raises(UserError, match="knn_k is 61, but there are 60 training images"):
        dict(KNN(knn_k=61).evaluate(sample(), seed=0))
