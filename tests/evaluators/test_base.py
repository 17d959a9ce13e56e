"""Accuracies, their intervals, and average precision."""

from __future__ import annotations

import numpy as np

from ssl_keras.datasets import Target
from ssl_keras.evaluators.base import bootstrap_interval, measured

GENERATOR = np.random.default_rng(0)


def test_interval_of_a_share_is_that_of_the_binomial_distribution() -> None:
    from scipy.stats import binom

    for count, share in ((1000, 0.9), (200, 0.5)):
        values = (np.arange(count) < share * count).astype(float)
        low, high = bootstrap_interval(values, 0, replicates=4000)
        expected = binom.ppf((0.025, 0.975), count, share) / count
        np.testing.assert_allclose((low, high), expected, atol=2.5 / count)


def test_intervals_follow_the_seed_and_hold_certainty() -> None:
    values = GENERATOR.random(100)
    assert bootstrap_interval(values, 0) == bootstrap_interval(values, 0)
    assert bootstrap_interval(values, 0) != bootstrap_interval(values, 1)
    np.testing.assert_allclose(bootstrap_interval(np.ones(50), 0), (1.0, 1.0))


def test_intervals_cover_the_truth_about_95_times_in_100() -> None:
    covered = 0
    for trial in range(300):
        values = (np.random.default_rng(trial).random(200) < 0.8).astype(float)
        low, high = bootstrap_interval(values, trial, replicates=400)
        covered += low <= 0.8 <= high
    assert 270 <= covered <= 298


def test_vectors_are_measured_by_entry_and_as_a_whole() -> None:
    target = Target("bits", "bits", 2, 0.5, 0.25)
    labels = np.array([[0, 1], [1, 1], [0, 0], [1, 0]])
    scores = np.array([[0, 1], [3, -1], [-2, 0], [-1, 1]])
    found = measured(target, labels, scores, 0)
    assert (found["accuracy"], found["all_right"]) == (5 / 8, 0.5)
    assert found["accuracy_low"] <= 5 / 8 <= found["accuracy_high"]
    assert set(found) == {n + s for n in ("accuracy", "all_right") for s in ("", "_low", "_high")}


def test_average_precision_equals_the_definition() -> None:
    target = Target("presence", "presence", 3, 0.5, 0.25)
    labels = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0], [1, 0, 0]])
    scores = np.array([[3.0, 0, 9], [2.5, 5, 8], [2, 4, 7], [1, 6, 6], [0, 0, 5]])
    # Class 0, from the highest score: 1, 0, 1, 0, 1. Class 1: 0, 1, 1, ... Class 2 never occurs.
    first = (1 / 1 + 2 / 3 + 3 / 5) / 3
    second = (1 / 2 + 2 / 3) / 2
    found = measured(target, labels, scores, 0)
    np.testing.assert_allclose(found["mean_average_precision"], (first + second) / 2)
    bits = Target("bits", "bits", 3, 0.5, 0.25)
    assert "mean_average_precision" not in measured(bits, labels, scores, 0)


def test_of_equal_scores_the_first_class_is_predicted() -> None:
    target = Target("class", "class", 3, 1 / 3, 1 / 3)
    scores = np.array([[0.0, 2, 2], [1, 1, 1], [0, 1, 3]])
    assert measured(target, np.array([1, 0, 2]), scores, 0)["accuracy"] == 1.0
    assert measured(target, np.array([2, 1, 2]), scores, 0)["accuracy"] == 1 / 3
