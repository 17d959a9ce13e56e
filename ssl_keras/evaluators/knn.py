"""Weighted nearest neighbours on frozen features."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ssl_keras.errors import UserError
from ssl_keras.evaluators.base import Evaluator, FrozenFeatures, measured
from ssl_keras.neighbours import nearest
from ssl_keras.options import option


@dataclass(frozen=True)
class KNN(Evaluator):
    """k nearest training images by cosine similarity, votes weighted by exp(cosine / temperature).

    Wu et al. 2018, "Unsupervised Target Learning via Non-Parametric Instance Discrimination",
    section 3.4 (k = 200, temperature 0.07 for ImageNet). Each bit is voted on separately. On a tie
    the lower label wins. Computed in blocks of test images, so memory grows with the number of
    training images only.
    """

    knn_k: int = option(20, minimum=1, help="neighbours of the knn head")
    knn_temperature: float = option(0.07, above=0, help="temperature of the votes of the knn head")

    @property
    def least_train(self) -> int:
        return self.knn_k

    def check(self, num_train: int) -> None:
        check_neighbours("knn_k", self.knn_k, num_train)

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        self.check(len(frozen.train))
        neighbours, cosines = nearest(frozen.train, frozen.test, self.knn_k)
        # Relative to the nearest neighbour: the same votes, without overflow.
        weights = np.exp((cosines - cosines[:, :1]) / self.knn_temperature)
        for name, target in frozen.targets.items():
            labels = frozen.train_labels[name]
            if target.kind == "class":
                scores = np.zeros((len(frozen.test), target.size))
                rows = np.repeat(np.arange(len(scores)), self.knn_k)
                np.add.at(scores, (rows, labels[neighbours].ravel()), weights.ravel())
            else:
                signs = 2.0 * labels[neighbours] - 1.0
                scores = (weights[:, :, None] * signs).sum(axis=1)
            for key, value in measured(target, frozen.test_labels[name], scores, seed).items():
                yield f"{name}/{key}", value


def check_neighbours(option: str, number: int, num_train: int) -> None:
    """Refuse more neighbours than there are training images.

    Raises:
        UserError: `number`, the value of `option`, is too large.
    """
    if number > num_train:
        raise UserError(
            f"{option} is {number}, but there are {num_train} training images: choose a smaller "
            f"--{option}."
        )
