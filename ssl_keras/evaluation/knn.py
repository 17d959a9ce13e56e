"""Weighted nearest neighbours on frozen features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ssl_keras.errors import UserError
from ssl_keras.evaluation.base import FrozenFeatures, Head, measured
from ssl_keras.lazy import tf
from ssl_keras.registry import option

_BLOCK_ELEMENTS = 2**24


@dataclass(frozen=True)
class KNN(Head):
    """k nearest training images by cosine similarity, votes weighted by exp(cosine / temperature).

    Wu et al. 2018, "Unsupervised Feature Learning via Non-Parametric Instance Discrimination",
    section 3.4 (k = 200, temperature 0.07 for ImageNet). Every bit has a vote of its own. Equal
    votes go to the lower label. Computed in blocks of test images, so memory grows with the number
    of training images only.
    """

    knn_k: int = option(20, minimum=1, help="neighbours of the knn head")
    knn_temperature: float = option(0.07, above=0, help="temperature of the votes of the knn head")

    @property
    def least_train(self) -> int:
        return self.knn_k

    def check(self, num_train: int) -> None:
        if self.knn_k > num_train:
            raise UserError(
                f"knn_k is {self.knn_k}, but there are {num_train} training images: choose a "
                "smaller --knn_k."
            )

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        self.check(len(frozen.train))
        neighbours, weights = self.neighbours(frozen.train, frozen.test)
        for name, feature in frozen.features.items():
            labels = frozen.train_labels[name]
            if feature.kind == "class":
                votes = np.zeros((len(frozen.test), feature.size))
                rows = np.repeat(np.arange(len(votes)), self.knn_k)
                np.add.at(votes, (rows, labels[neighbours].ravel()), weights.ravel())
                predictions, scores = votes.argmax(axis=1), None
            else:
                signs = 2.0 * labels[neighbours] - 1.0
                scores = (weights[:, :, None] * signs).sum(axis=1)
                predictions = scores > 0
            found = measured(feature, frozen.test_labels[name], predictions, seed, scores)
            for key, value in found.items():
                yield f"{name}/{key}", value

    def neighbours(self, train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest training rows of each test row: (indices, weights), (test rows, k).

        Nearest first; equal similarities in the order of the training rows.
        """
        keys, queries = _unit_rows(train), _unit_rows(test)
        block = max(1, _BLOCK_ELEMENTS // len(keys))
        indices = np.empty((len(queries), self.knn_k), np.int64)
        weights = np.empty((len(queries), self.knn_k), np.float64)
        all_keys = tf.constant(keys)
        for first in range(0, len(queries), block):
            similarities = tf.matmul(queries[first : first + block], all_keys, transpose_b=True)
            top = tf.math.top_k(similarities, self.knn_k)  # of equal ones the first row
            cosines = top.values.numpy().astype(np.float64)
            indices[first : first + block] = top.indices.numpy()
            # Relative to the nearest neighbour: the same votes, without overflow.
            weights[first : first + block] = np.exp(
                (cosines - cosines[:, :1]) / self.knn_temperature
            )
        return indices, weights


def _unit_rows(features: np.ndarray) -> np.ndarray:
    features = np.asarray(features, np.float32)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(lengths, 1e-12)
