"""The contract of an evaluator, and the arrays that it reads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, ClassVar

import numpy as np

from ssl_keras.datasets.base import DataSet, LocalTarget, Target
from ssl_keras.inputs import Modality
from ssl_keras.networks import Grid
from ssl_keras.options import Options


@dataclass(frozen=True)
class ViewFeatures:
    """Features of two views of some test images.

    Attributes:
        rows: int (images,), indices of the test images.
        first, second: float32 (images, dim).
    """

    rows: np.ndarray
    first: np.ndarray
    second: np.ndarray


@dataclass(frozen=True)
class Inputs:
    """The un-augmented inputs of the encoder.

    Attributes:
        train, test: rows (integers) -> network inputs, float32 (rows, ...).
        modality: what they are made of.
        unseen: the same for the examples of classes that are not trained on, if there are any.
    """

    train: Callable[[np.ndarray], np.ndarray]
    test: Callable[[np.ndarray], np.ndarray]
    modality: Modality
    unseen: Callable[[np.ndarray], np.ndarray] | None = None


@dataclass(frozen=True)
class FrozenFeatures:
    """Features of one layer of a frozen network, with the labels of every declared target.

    Attributes:
        train, test: float32 (examples, dim).
        train_labels, test_labels: target name -> int32, (examples,) or (examples, size).
        targets: target name -> `Target`.
        views: features of views of some test images, if an evaluator needs them.
        train_views: float32 (copies, examples, dim), features of views of the training images, if
            an evaluator needs them.
        inputs: the encoder's inputs, if they are available.
        cache: results that evaluators share.
        unseen, unseen_labels, unseen_target: features, labels and target of test examples of
            classes that are not trained on, if there are any.
    """

    train: np.ndarray
    test: np.ndarray
    train_labels: Mapping[str, np.ndarray]
    test_labels: Mapping[str, np.ndarray]
    targets: Mapping[str, Target]
    views: ViewFeatures | None = None
    train_views: np.ndarray | None = None
    inputs: Inputs | None = None
    cache: dict[str, Any] = field(default_factory=dict)
    unseen: np.ndarray | None = None
    unseen_labels: np.ndarray | None = None
    unseen_target: Target | None = None


@dataclass(frozen=True, kw_only=True)
class FrozenLocations(FrozenFeatures):
    """Features of the locations of one block of a frozen encoder: an example is a location.

    Training examples are some locations of some images; test examples are all locations of some
    images, image by image and row by row. Labels are those of the pixel at the centre.

    Attributes:
        grid: positions of the locations in the image.
        test_rows: int (images,), indices of the test images.
        local_targets: name -> `LocalTarget`, with the names of its values.
    """

    grid: Grid
    test_rows: np.ndarray
    local_targets: Mapping[str, LocalTarget]

    def maps(self, values: np.ndarray) -> np.ndarray:
        """Values of all test locations (locations, ...) as (images, height, width, ...)."""
        return values.reshape(len(self.test_rows), *self.grid.shape, *values.shape[1:])


class Evaluator(Options):
    """A way to measure frozen features. Its fields are its options."""

    required: ClassVar[tuple[str, ...]] = ("evaluate",)

    # False if there is something to measure without the labels of training examples.
    needs_labels: ClassVar[bool] = True
    # Whether its values depend on the data alone; they are then measured once, not for each layer.
    reads_data: ClassVar[bool] = False
    # Whether it needs examples that people can look at, see `inputs.Modality`.
    needs_pictures: ClassVar[bool] = False
    # Targets that the data must have.
    needs_targets: ClassVar[tuple[str, ...]] = ()

    @property
    def num_views(self) -> int:
        """Number of test images whose view features this evaluator needs."""
        return 0

    @property
    def num_train_views(self) -> int:
        """Number of views of each training image whose features this evaluator needs."""
        return 0

    @property
    def num_local_images(self) -> int:
        """Number of images of each split whose location features this evaluator needs. Above 0,
        `evaluate` is called with `FrozenLocations` of every block instead of `FrozenFeatures`."""
        return 0

    @property
    def least_train(self) -> int:
        """Least number of training images."""
        return 1

    def check(self, num_train: int) -> None:
        """Refuse options that do not fit `num_train` training images, before the training.

        Raises:
            UserError: they do not fit.
        """

    def check_data(self, data: DataSet) -> None:
        """Refuse data that this evaluator cannot read, before the training.

        Raises:
            UserError: they do not fit.
        """

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        """Measure every declared target.

        Args:
            frozen: the features to measure.
            seed: of random choices, such as a validation split.

        Yields:
            (name, value), such as ("class/accuracy", 0.97) or ("bits/all_right", 0.5).
        """
        raise NotImplementedError(f"{type(self).__name__} does not evaluate")

    def draw(
        self, subjects: Mapping[str, FrozenFeatures], seed: int
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Pictures of measured features.

        Args:
            subjects: name to show, such as "features" or "supervised features" -> features that
                `evaluate` has measured before.
            seed: as in `evaluate`.

        Yields:
            (name, picture): (height, width, 3) in [0, 1].
        """
        yield from ()


def spread(count: int, number: int) -> np.ndarray:
    """At most `number` of the indices below `count`, evenly spaced, the first and last included."""
    return np.linspace(0, count - 1, min(number, count)).round().astype(np.int64)


def measured(target: Target, labels: np.ndarray, scores: np.ndarray, seed: int) -> dict[str, float]:
    """Accuracies of the decisions of a classifier.

    Args:
        target: what is predicted.
        labels: integers (examples,) for a class, 0 and 1 (examples, size) for vectors.
        scores: (examples, size). The class with the highest one is predicted, the first of equal
            ones; of a vector the entries with a score above 0.
        seed: of the bootstrap samples.

    Returns:
        {"accuracy"}, for vectors the mean over entries, and then also {"all_right"}, the share of
        images of which every entry is right; each with the ends of its 95% interval (see
        `interval`), as "accuracy_low" and "accuracy_high". For presence vectors also
        {"mean_average_precision"}: the area under precision against recall, the mean over classes
        that occur.
    """
    predictions = scores > 0 if target.is_vector else scores.argmax(axis=1)
    right = np.asarray(predictions == labels, np.float64)
    samples = {"accuracy": right.mean(axis=1) if target.is_vector else right}
    if target.is_vector:
        samples["all_right"] = right.min(axis=1)
    result: dict[str, float] = {}
    for name, values in samples.items():
        low, high = interval(values, seed)
        result |= {name: float(values.mean()), f"{name}_low": low, f"{name}_high": high}
    if target.kind == "presence":
        from sklearn.metrics import average_precision_score

        occurs = labels.any(axis=0)
        result["mean_average_precision"] = float(
            average_precision_score(labels[:, occurs], scores[:, occurs], average="macro")
        )
    return result


# The 97.5% quantile of the normal distribution.
_Z = NormalDist().inv_cdf(0.975)


def interval(values: np.ndarray, seed: int, replicates: int = 1000) -> tuple[float, float]:
    """The 95% interval of the mean of `values` (examples,), each in [0, 1].

    Wilson's score interval (Wilson 1927) if every value is 0 or 1, so that 1000 right answers of
    1000 give a lower end of 0.996; otherwise the 2.5% and 97.5% quantiles of the mean over
    `replicates` bootstrap samples. It covers the choice of the test images, not that of the
    training images or the seed.
    """
    distinct, counts = np.unique(values, return_counts=True)
    if set(distinct) <= {0.0, 1.0}:
        # By hand: scipy.stats, which has it too, takes longer to import than an evaluation.
        share, count = float(np.mean(values)), len(values)
        scale = 1 + _Z**2 / count
        centre = (share + _Z**2 / (2 * count)) / scale
        half = _Z * math.sqrt(share * (1 - share) / count + (_Z / (2 * count)) ** 2) / scale
        return centre - half if share > 0 else 0.0, centre + half if share < 1 else 1.0
    # Multinomial counts of the distinct values: there are few of them, however many examples.
    resampled = np.random.default_rng(seed).multinomial(
        len(values), counts / len(values), size=replicates
    )
    low, high = np.quantile(resampled @ distinct / len(values), (0.025, 0.975))
    return float(low), float(high)
