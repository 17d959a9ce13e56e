"""Accuracies, their intervals, and average precision."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest

from ssl_keras.datasets import Target
from ssl_keras.evaluators.base import interval, measured

GENERATOR = np.random.default_rng(0)


Z = 1.959963984540054


def test_interval_of_a_share_is_that_of_wilson() -> None:
    # Wilson 1927: the shares p with |k / n - p| <= z sqrt(p (1 - p) / n).
    for right, count in ((900, 1000), (100, 200), (1, 7)):
        low, high = interval((np.arange(count) < right).astype(float), 0)
        for end in (low, high):
            deviation = Z * math.sqrt(end * (1 - end) / count)
            np.testing.assert_allclose(abs(right / count - end), deviation, rtol=1e-9)
        assert low < right / count < high
        theirs = binomtest(right, count).proportion_ci(method="wilson")
        np.testing.assert_allclose((low, high), (theirs.low, theirs.high), rtol=1e-12)


def test_certainty_has_an_interval() -> None:
    for count in (17, 50, 1000):
        low, high = interval(np.ones(count), 0)
        assert high == 1.0
        np.testing.assert_allclose(low, count / (count + Z**2))
        low, high = interval(np.zeros(count), 0)
        assert low == 0.0
        np.testing.assert_allclose(high, Z**2 / (count + Z**2))


def test_interval_of_a_mean_is_that_of_the_normal_limit_and_follows_the_seed() -> None:
    # Halves in between: the bootstrap, whose interval of a mean tends to z standard errors.
    values = GENERATOR.choice([0.0, 0.5, 1.0], 10_000)
    error = Z * values.std() / 100
    expected = values.mean() - error, values.mean() + error
    np.testing.assert_allclose(interval(values, 0, replicates=4000), expected, atol=0.06 * error)
    assert interval(values, 0) == interval(values, 0)
    assert interval(values, 0) != interval(values, 1)


@pytest.mark.parametrize("choices", [(0.0, 1.0), (0.0, 0.5, 1.0)])
def test_intervals_cover_the_truth_about_95_times_in_100(choices: tuple[float, ...]) -> None:
    covered = 0
    for trial in range(300):
        values = np.random.default_rng(trial).choice(choices, 200)
        low, high = interval(values, trial, replicates=400)
        covered += low <= 0.5 <= high
    # Three standard deviations of a binomial count around 285.
    assert 274 <= covered <= 296


def test_vectors_are_measured_by_entry_and_as_a_whole() -> None:
    target = Target("bits", "bits", 2, 0.5, 0.25)
    labels = np.array([[0, 1], [1, 1], [0, 0], [1, 0]])
    scores = np.array([[0, 1], [3, -1], [-2, 0], [-1, 1]])
    found = measured(target, labels, scores, 0)
    assert (found["accuracy"], found["all_right"]) == (5 / 8, 0.5)
    # All right: 2 of 4, (2 + z^2 / 2 -+ z sqrt(1 + z^2 / 4)) / (4 + z^2).
    ends = [(2 + Z**2 / 2 + sign * Z * math.sqrt(1 + Z**2 / 4)) / (4 + Z**2) for sign in (-1, 1)]
    np.testing.assert_allclose([found["all_right_low"], found["all_right_high"]], ends)
    assert found["accuracy_low"] < 5 / 8 < found["accuracy_high"]
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
