"""The mean classifier equals loops over classes and tasks."""

from __future__ import annotations

import itertools

import numpy as np

from ssl_keras.datasets import Target
from ssl_keras.evaluators import EVALUATORS, FrozenFeatures
from ssl_keras.evaluators.mean_classifier import average_of_pairs, class_means

GENERATOR = np.random.default_rng(0)
CLASS = Target("class", "class", 4, 0.25, 0.25)
BITS = Target("bits", "bits", 2, 0.5, 0.25)


def data(count: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    labels = GENERATOR.integers(0, 4, count)
    centers = np.eye(4, 6)
    return (centers[labels] + spread * GENERATOR.normal(size=(count, 6))).astype(np.float32), labels


def test_equals_the_loops_over_classes_and_over_tasks() -> None:
    (train, y_train), (test, y_test) = data(200, 0.7), data(100, 0.7)
    frozen = FrozenFeatures(train, test, {"class": y_train}, {"class": y_test}, {"class": CLASS})
    values = dict(EVALUATORS.get("mean_classifier").evaluate(frozen, 0))
    means = [train[y_train == c].astype(np.float64).mean(axis=0) for c in range(4)]
    right = [
        max(range(4), key=lambda c: float(x @ means[c])) == y
        for x, y in zip(test, y_test, strict=True)
    ]
    np.testing.assert_allclose(values["class/accuracy"], np.mean(right))
    distances = np.linalg.norm(test[:, None] - np.array(means)[None], axis=2)
    nearest = np.mean(distances.argmin(axis=1) == y_test)
    np.testing.assert_allclose(values["class/nearest_mean_accuracy"], nearest)
    tasks = []
    for a, b in itertools.combinations(range(4), 2):
        of_a = [float(x @ (means[a] - means[b])) > 0 for x in test[y_test == a]]
        of_b = [float(x @ (means[b] - means[a])) > 0 for x in test[y_test == b]]
        tasks.append((np.mean(of_a) + np.mean(of_b)) / 2)
    np.testing.assert_allclose(values["class/avg_2_accuracy"], np.mean(tasks))
    assert values["class/avg_2_accuracy"] > values["class/accuracy"]


def test_separable_classes_are_perfect_even_from_few_images() -> None:
    (train, y_train), (test, y_test) = data(200, 0.02), data(100, 0.02)
    frozen = FrozenFeatures(train, test, {"class": y_train}, {"class": y_test}, {"class": CLASS})
    values = dict(EVALUATORS.get("mean_classifier", mean_classifier_shots=1).evaluate(frozen, 0))
    for name in ("accuracy", "avg_2_accuracy", "few_shot_accuracy", "avg_2_few_shot_accuracy"):
        assert values[f"class/{name}"] == 1.0


def test_few_shots_are_worse_and_follow_the_seed() -> None:
    (train, y_train), (test, y_test) = data(400, 0.9), data(400, 0.9)
    frozen = FrozenFeatures(train, test, {"class": y_train}, {"class": y_test}, {"class": CLASS})
    one = EVALUATORS.get("mean_classifier", mean_classifier_shots=1)
    few = dict(one.evaluate(frozen, 0))
    assert few["class/few_shot_accuracy"] < few["class/accuracy"] - 0.03
    assert dict(one.evaluate(frozen, 0)) == few
    assert dict(one.evaluate(frozen, 1)) != few
    all_images = EVALUATORS.get("mean_classifier", mean_classifier_shots=400)
    values = dict(all_images.evaluate(frozen, 0))
    np.testing.assert_allclose(values["class/few_shot_accuracy"], values["class/accuracy"])


def test_each_entry_of_a_vector_is_a_task_of_its_own() -> None:
    bits = GENERATOR.integers(0, 2, (300, 2))
    features = (2.0 * bits - 1).astype(np.float32)
    frozen = FrozenFeatures(features, features, {"bits": bits}, {"bits": bits}, {"bits": BITS})
    values = dict(EVALUATORS.get("mean_classifier").evaluate(frozen, 0))
    assert values["bits/accuracy"] == values["bits/all_right"] == 1.0
    assert "bits/avg_2_accuracy" not in values


def test_classes_without_images_and_equal_scores() -> None:
    means = class_means(np.ones((2, 3)), np.array([0, 0]), 2)
    np.testing.assert_array_equal(means, [[1, 1, 1], [0, 0, 0]])
    assert average_of_pairs(np.zeros((6, 3)), np.array([0, 1, 2] * 2)) == 0.5
