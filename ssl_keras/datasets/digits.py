"""Pools of digit images that data sets draw from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ssl_keras.datasets import hashing
from ssl_keras.datasets.base import Source
from ssl_keras.datasets.examples import ArrayExamples, resize_many
from ssl_keras.errors import UserError


@dataclass(frozen=True)
class DigitPool:
    """Digit images of one size: `images` uint8 (count, side, side, 1), `labels` int32 (count,)."""

    images: np.ndarray
    labels: np.ndarray

    @property
    def count(self) -> int:
        """Number of digits."""
        return len(self.images)


def digit_pool(
    source: Source, split: str, size: int, seed: int, num_unique: int | None = None
) -> DigitPool:
    """Digits of one split of a source, in an order drawn by the seed.

    Args:
        source: in memory, labelled, of one channel.
        split: "train" or "test".
        size: side that the digits are scaled to (28 leaves MNIST digits as they are).
        seed: seed of the order; a pool of n digits is the first n of it.
        num_unique: n; None for all.

    Raises:
        UserError: the source is not in memory, labelled and grey, or has fewer digits.
    """
    examples = source.train if split == "train" else source.test
    if not isinstance(examples, ArrayExamples) or examples.labels is None:
        raise UserError(f"The digit source {source.name!r} must be labelled and fit in memory.")
    if source.image_shape[2] != 1:
        raise UserError(
            f"The digits of {source.name!r} have {source.image_shape[2]} channels; grey ones are "
            "needed, such as mnist_5k or idx:FOLDER."
        )
    if num_unique is not None and num_unique > examples.count:
        raise UserError(
            f"num_unique_digits is {num_unique}, but {source.name!r} has {examples.count} digits "
            "for training: choose fewer."
        )
    order = hashing.random_order(seed, f"digits/{split}", examples.count)[:num_unique]
    images = resize_many(examples.columns["image"][order], (size, size))
    return DigitPool(images, examples.labels[order])
