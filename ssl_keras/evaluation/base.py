"""The contract of a head, and the arrays that it reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ssl_keras.datasets.base import Feature
from ssl_keras.registry import Options


@dataclass(frozen=True)
class ViewFeatures:
    """Features of two views of some test images.

    Attributes:
        rows: int (images,), which test images.
        first, second: float32 (images, dim).
    """

    rows: np.ndarray
    first: np.ndarray
    second: np.ndarray


@dataclass(frozen=True)
class FrozenFeatures:
    """Features of one depth of a frozen network, with the labels of every declared feature.

    Attributes:
        train, test: float32 (examples, dim).
        train_labels, test_labels: feature name -> int32, (examples,) or (examples, size).
        features: feature name -> `Feature`.
        views: features of views of some test images, if they were asked for.
    """

    train: np.ndarray
    test: np.ndarray
    train_labels: Mapping[str, np.ndarray]
    test_labels: Mapping[str, np.ndarray]
    features: Mapping[str, Feature]
    views: ViewFeatures | None = None


class Head(Options):
    """A way to measure frozen features. Its fields are its options."""

    # Whether there is anything to measure without labels.
    needs_labels: ClassVar[bool] = True

    @property
    def num_views(self) -> int:
        """Of how many test images the head wants features of views."""
        return 0

    def check(self, num_train: int) -> None:
        """Refuse options that do not fit `num_train` training images, before anything is trained.

        Raises:
            UserError: they do not fit.
        """

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        """Measure every declared feature.

        Args:
            frozen: what to measure.
            seed: chooses whatever is random (such as a validation split).

        Yields:
            (name, value), such as ("class/accuracy", 0.97) or ("bits/all_right", 0.5).
        """
        raise NotImplementedError(f"{type(self).__name__} does not evaluate")


def accuracies(feature: Feature, labels: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """The accuracies of predicted labels.

    Args:
        feature: what is predicted.
        labels, predictions: integers (examples,) for a class, 0 and 1 (examples, size) for vectors.

    Returns:
        {"accuracy"}, and for vectors (where "accuracy" is the mean over entries) also
        {"all_right"}, the share of images of which every entry is right.
    """
    right = predictions == labels
    result = {"accuracy": float(np.mean(right))}
    if feature.is_vector:
        result["all_right"] = float(np.mean(np.all(right, axis=1)))
    return result
