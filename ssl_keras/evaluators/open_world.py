"""Verification and few-shot tasks, on classes that were not trained on if there are any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ssl_keras import pictures
from ssl_keras.evaluators.base import Evaluator, FrozenFeatures
from ssl_keras.neighbours import unit_rows
from ssl_keras.options import option


def measured_classes(frozen: FrozenFeatures) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, unit features, labels) of the unseen classes, or, if none are held out, of every
    target of classes on the test examples. Classes of a single example are left out."""
    if frozen.unseen is not None and frozen.unseen_target is not None:
        assert frozen.unseen_labels is not None
        parts = [(frozen.unseen_target, frozen.unseen, frozen.unseen_labels)]
    else:
        parts = [
            (target, frozen.test, frozen.test_labels[name])
            for name, target in frozen.targets.items()
            if target.kind == "class"
        ]
    for target, features, labels in parts:
        several = np.bincount(labels, minlength=target.size)[labels] > 1
        if len(set(labels[several])) > 1:
            yield target.name, unit_rows(features[several]), labels[several]


@dataclass(frozen=True)
class Verification(Evaluator):
    """Whether two examples are of one class, by a threshold on their cosine similarity.

    All pairs of at most `verification_images` examples: of the classes held out of the training, or
    of the test examples if none are. Half of the examples, drawn by the seed, are for validation:
    the threshold of `accuracy` is the best one there; all else is of pairs of the other half.

        accuracy               mean of the shares of right answers for same and different pairs
        auc                    area under true acceptance against false acceptance (ROC)
        equal_error_rate       where false acceptance = false rejection
        true_accept_at_0.001   true acceptance where one of 1,000 different pairs is accepted

    Chance: 0.5, 0.5, 0.5, 0.001. Schroff et al. 2015, "FaceNet" (section 4), who measure LFW by
    thresholds from validation folds. The picture has the ROC of every representation.
    """

    needs_labels: ClassVar[bool] = False  # nothing is fitted to the labels of training

    verification_images: int = option(
        4000, minimum=8, maximum=20_000, help="most examples whose pairs verification compares"
    )

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        for name, validation, test in self._pairs(frozen, seed):
            thresholds, accepted, falsely = roc(*validation)
            threshold = thresholds[np.argmax(accepted - falsely)]
            similarities, same = test
            right = np.mean(similarities[same] >= threshold)
            right_different = np.mean(similarities[~same] < threshold)
            yield f"{name}/accuracy", float((right + right_different) / 2)
            _, accepted, falsely = roc(similarities, same)
            yield f"{name}/auc", float(np.trapezoid(accepted, falsely))
            place = int(np.argmin(np.abs(falsely - (1 - accepted))))
            yield f"{name}/equal_error_rate", float((falsely[place] + 1 - accepted[place]) / 2)
            allowed = accepted[falsely <= 1e-3]
            yield f"{name}/true_accept_at_0.001", float(allowed.max())

    def draw(
        self, subjects: Mapping[str, FrozenFeatures], seed: int
    ) -> Iterator[tuple[str, np.ndarray]]:
        curves: dict[str, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
        for title, frozen in subjects.items():
            for name, _, test in self._pairs(frozen, seed):
                _, accepted, falsely = roc(*test)
                curves.setdefault(name, {})[title] = falsely, accepted
        for name, lines in curves.items():
            yield (
                name,
                pictures.curves(
                    lines,
                    f"verification of {name}",
                    "false acceptance",
                    "true acceptance",
                    logarithmic=(1e-4, 1.0),
                ),
            )

    def _pairs(
        self, frozen: FrozenFeatures, seed: int
    ) -> Iterator[tuple[str, tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]]:
        """(name, validation pairs, test pairs); pairs are (similarities, whether they are of one
        class). A half without both kinds of pairs is left out."""
        for name, features, labels in measured_classes(frozen):
            order = np.random.default_rng([seed, 7]).permutation(len(labels))
            order = order[: self.verification_images]
            halves = [pairs(features[rows], labels[rows]) for rows in (order[::2], order[1::2])]
            if all(same.any() and not same.all() for _, same in halves):
                yield name, halves[0], halves[1]


def pairs(features: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(similarities, whether of one class) of all pairs of rows of unit length."""
    first, second = np.triu_indices(len(labels), 1)
    similarities = (features @ features.T)[first, second]
    return similarities, labels[first] == labels[second]


def roc(similarities: np.ndarray, same: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The receiver operating characteristic: (thresholds, true acceptance, false acceptance).

    Accepted are pairs of at least the threshold; the first threshold, infinity, accepts none.
    Equal similarities are accepted together.
    """
    from sklearn.metrics import roc_curve

    falsely, accepted, thresholds = roc_curve(same, similarities, drop_intermediate=False)
    return thresholds, accepted, falsely


@dataclass(frozen=True)
class FewShot(Evaluator):
    """Classification by the nearest class mean of a few examples, in many small tasks.

    A task draws `few_shot_ways` classes, `few_shot_shots` examples of each to learn from, and up to
    15 others of each to tell apart: of the classes held out of the training, or of the test
    examples if none are. An example is of the class whose mean, of features of unit length, is
    nearest. `1_shot` is the same with one example. Values are means over `few_shot_tasks` tasks,
    with 95% intervals over tasks. Chance: 1 / ways.

    Snell et al. 2017, "Prototypical networks" (arXiv 1703.05175), for the tasks; nearest class mean
    as in Arora et al. 2019.
    """

    needs_labels: ClassVar[bool] = False  # nothing is fitted to the labels of training

    few_shot_ways: int = option(5, minimum=2, help="classes of a task of few_shot")
    few_shot_shots: int = option(5, minimum=1, help="examples of each class to learn from")
    few_shot_tasks: int = option(600, minimum=2, help="number of tasks of few_shot")

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        for name, features, labels in measured_classes(frozen):
            for shots in dict.fromkeys((1, self.few_shot_shots)):
                rows_of = [np.flatnonzero(labels == label) for label in np.unique(labels)]
                rows_of = [rows for rows in rows_of if len(rows) > shots]
                ways = min(self.few_shot_ways, len(rows_of))
                if ways < 2:
                    continue
                generator = np.random.default_rng([seed, 8, shots])
                right = np.array(
                    [
                        few_shot_accuracy(features, rows_of, ways, shots, generator)
                        for _ in range(self.few_shot_tasks)
                    ]
                )
                half = 1.96 * float(right.std(ddof=1)) / np.sqrt(len(right))
                key, mean = f"{name}/{ways}_way_{shots}_shot", float(right.mean())
                yield key, mean
                yield f"{key}_low", mean - half
                yield f"{key}_high", mean + half


def few_shot_accuracy(
    features: np.ndarray,
    rows_of: list[np.ndarray],
    ways: int,
    shots: int,
    generator: np.random.Generator,
    queries: int = 15,
) -> float:
    """The accuracy of one task, see `FewShot`: the mean over its classes.

    Args:
        features: (examples, dim).
        rows_of: of each class, the rows of its examples; more than `shots`.
        ways, shots, queries: numbers of classes, of examples to learn from, and, at most, to tell
            apart.
        generator: draws the task.
    """
    chosen = generator.permutation(len(rows_of))[:ways]
    drawn = [generator.permutation(rows_of[label])[: shots + queries] for label in chosen]
    means = np.stack([features[rows[:shots]].mean(axis=0) for rows in drawn])
    squares = np.sum(means**2, axis=1) / 2
    return float(
        np.mean(
            [
                np.mean((features[rows[shots:]] @ means.T - squares).argmax(axis=1) == place)
                for place, rows in enumerate(drawn)
            ]
        )
    )
