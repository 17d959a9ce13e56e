"""The nearest training images of test images in a representation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ssl_keras import pictures
from ssl_keras.evaluators.base import Evaluator, FrozenFeatures, spread
from ssl_keras.evaluators.knn import check_neighbours
from ssl_keras.neighbours import nearest
from ssl_keras.options import option

_SHOWN_NEIGHBOURS = 5


@dataclass(frozen=True)
class Retrieval(Evaluator):
    """Precision of the nearest training images by cosine similarity.

    `precision` of a target is the mean share of the `retrieval_k` nearest training images of a
    test image that have its label; for vectors, the share of equal entries. `chance` is that of
    random training images. The picture shows test images, evenly spaced, with their nearest
    training images, for each representation.
    """

    retrieval_k: int = option(10, minimum=1, help="nearest images of the retrieval head")
    retrieval_images: int = option(
        8, minimum=1, maximum=64, help="test images in the picture of the retrieval head"
    )

    @property
    def least_train(self) -> int:
        return self.retrieval_k

    def check(self, num_train: int) -> None:
        check_neighbours("retrieval_k", self.retrieval_k, num_train)

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        self.check(len(frozen.train))
        neighbours, _ = nearest(frozen.train, frozen.test, self.retrieval_k)
        for name in frozen.targets:
            labels, expected = frozen.train_labels[name], frozen.test_labels[name]
            yield f"{name}/precision", float(np.mean(labels[neighbours] == expected[:, None]))
            yield f"{name}/chance", _agreement(labels, expected)

    def draw(
        self, subjects: Mapping[str, FrozenFeatures], seed: int
    ) -> Iterator[tuple[str, np.ndarray]]:
        for name, frozen in subjects.items():
            if frozen.inputs is None or not frozen.inputs.modality.has_pictures:
                continue
            rows = spread(len(frozen.test), self.retrieval_images)
            count = min(_SHOWN_NEIGHBOURS, len(frozen.train))
            neighbours, _ = nearest(frozen.train, frozen.test[rows], count)
            images = {"test image": frozen.inputs.test(rows)}
            for place in range(count):
                images[f"nearest {place + 1}"] = frozen.inputs.train(neighbours[:, place])
            yield (
                name,
                pictures.labelled_rows(images, frozen.inputs.modality.main_channels),
            )


def _agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Probability that random rows of both have the same label; for vectors, the mean over entries.

    Args:
        first, second: integers (examples,), or vectors (examples, size).
    """
    size = int(max(first.max(), second.max())) + 1
    columns = [labels.reshape(len(labels), -1) for labels in (first, second)]
    shares = [
        np.stack([np.bincount(column, minlength=size) / len(column) for column in labels.T])
        for labels in columns
    ]
    return float(np.mean(np.sum(shares[0] * shares[1], axis=1)))
