"""The mean classifier of Arora et al.: the weights of a class are its mean feature vector."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ssl_keras.evaluators.base import Evaluator, FrozenFeatures, measured
from ssl_keras.options import option


@dataclass(frozen=True)
class MeanClassifier(Evaluator):
    """Classification by the inner product with the mean training feature vector of each class.

        prediction = argmax_c f(x) . mu_c

    without a bias and on raw features, as in Arora et al. 2019, section 3 and 8. `accuracy` is of
    the task of all classes; `avg_2_accuracy` is the mean over all tasks of two classes;
    `few_shot_accuracy` and `avg_2_few_shot_accuracy` are the same with means of
    `mean_classifier_shots` training images a class ("mu-5"), averaged over
    `mean_classifier_repeats` draws of them. Without a bias a class of long feature vectors is
    predicted too often; `nearest_mean_accuracy` is of the nearest mean by Euclidean distance, the
    same classifier with the bias -||mu_c||^2 / 2. Each entry of a vector is a task of two classes.
    """

    mean_classifier_shots: int = option(
        5, minimum=1, help="images of each class for the few-shot mean classifier"
    )
    mean_classifier_repeats: int = option(
        20, minimum=1, help="draws of the few-shot images of mean_classifier"
    )

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        test = np.asarray(frozen.test, np.float64)
        for name, target in frozen.targets.items():
            labels, expected = frozen.train_labels[name], frozen.test_labels[name]
            if target.is_vector:
                decisions = [
                    test @ (means[1] - means[0])
                    for entry in range(target.size)
                    for means in [class_means(frozen.train, labels[:, entry], 2)]
                ]
                scores = np.stack(decisions, axis=1)
                for key, value in measured(target, expected, scores, seed).items():
                    yield f"{name}/{key}", value
                continue
            means = class_means(frozen.train, labels, target.size)
            scores = test @ means.T
            for key, value in measured(target, expected, scores, seed).items():
                yield f"{name}/{key}", value
            yield f"{name}/avg_2_accuracy", average_of_pairs(scores, expected)
            nearest = np.argmax(scores - np.sum(means**2, axis=1) / 2, axis=1)
            yield f"{name}/nearest_mean_accuracy", float(np.mean(nearest == expected))
            few = [
                test @ means.T
                for means in self._few_shot_means(frozen.train, labels, target.size, seed)
            ]
            right = [np.mean(scores.argmax(axis=1) == expected) for scores in few]
            yield f"{name}/few_shot_accuracy", float(np.mean(right))
            pairs = [average_of_pairs(scores, expected) for scores in few]
            yield f"{name}/avg_2_few_shot_accuracy", float(np.mean(pairs))

    def _few_shot_means(
        self, features: np.ndarray, labels: np.ndarray, num_classes: int, seed: int
    ) -> Iterator[np.ndarray]:
        generator = np.random.default_rng(seed)
        for _ in range(self.mean_classifier_repeats):
            order = generator.permutation(len(labels))
            by_class = [order[labels[order] == label] for label in range(num_classes)]
            rows = np.concatenate([members[: self.mean_classifier_shots] for members in by_class])
            yield class_means(features[rows], labels[rows], num_classes)


def class_means(features: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Mean features of each class, float64 (num_classes, dim); 0 for a class without images."""
    totals = np.zeros((num_classes, features.shape[1]))
    np.add.at(totals, labels, np.asarray(features, np.float64))
    counts = np.bincount(labels, minlength=num_classes)
    return totals / np.maximum(counts, 1)[:, None]


def average_of_pairs(scores: np.ndarray, labels: np.ndarray) -> float:
    """Mean accuracy over all tasks of two classes, from a score for each class.

    The accuracy of a task is the mean of the accuracies of its two classes; a tie counts one half.

    Args:
        scores: (examples, classes).
        labels: (examples,).
    """
    classes = np.unique(labels)
    right = np.empty((len(classes), scores.shape[1]))
    for row, label in enumerate(classes):
        class_scores = scores[labels == label]
        difference = class_scores[:, [label]] - class_scores
        right[row] = np.mean((difference > 0) + 0.5 * (difference == 0), axis=0)
    right = right[:, classes]
    return float(right[~np.eye(len(classes), dtype=bool)].mean())
