"""Verification and few-shot tasks: closed forms, chance, and unseen classes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from ssl_keras.datasets import Target
from ssl_keras.evaluators.base import FrozenFeatures
from ssl_keras.evaluators.open_world import (
    FewShot,
    Verification,
    few_shot_accuracy,
    pairs,
    roc,
)

CLASS = Target("class", "class", 10, 0.1, 0.1)


def frozen(spread: float, count: int = 600, classes: int = 10) -> FrozenFeatures:
    """Test features around a random direction for each class; training features are useless."""
    generator = np.random.default_rng(0)
    labels = np.arange(count) % classes
    centres = generator.normal(size=(classes, 32))
    test = centres[labels] + spread * generator.normal(size=(count, 32))
    nothing = np.zeros((4, 32), np.float32)
    train_labels = {"class": np.zeros(4, np.int32)}
    return FrozenFeatures(nothing, test, train_labels, {"class": labels}, {"class": CLASS})


def test_separate_classes_are_verified_and_random_features_are_not() -> None:
    values = dict(Verification().evaluate(frozen(0.05), seed=0))
    expected = {"accuracy": 1.0, "auc": 1.0, "equal_error_rate": 0.0, "true_accept_at_0.001": 1.0}
    assert values == pytest.approx({f"class/{name}": value for name, value in expected.items()})
    values = dict(Verification().evaluate(frozen(1e4), seed=0))
    for name in ("accuracy", "auc", "equal_error_rate"):
        assert values[f"class/{name}"] == pytest.approx(0.5, abs=0.03)
    assert values["class/true_accept_at_0.001"] < 0.01


def test_of_gaussian_similarities_the_measures_are_those_of_theory() -> None:
    """Same pairs at mean d, different ones at 0, both of deviation 1: AUC = Phi(d / sqrt 2)."""
    generator = np.random.default_rng(1)
    same = np.arange(40_000) % 4 == 0
    similarities = generator.normal(size=40_000) + 2.0 * same
    _, accepted, falsely = roc(similarities, same)
    assert np.trapezoid(accepted, falsely) == pytest.approx(norm.cdf(2 / np.sqrt(2)), abs=0.01)
    place = np.argmin(np.abs(falsely - (1 - accepted)))
    assert falsely[place] == pytest.approx(norm.cdf(-1.0), abs=0.01)
    at = accepted[falsely <= 1e-3].max()
    assert at == pytest.approx(norm.cdf(2.0 + norm.ppf(1e-3)), abs=0.03)
    # The area is the probability that a same pair is more similar than a different one.
    few = slice(0, 400)
    first, second = similarities[few][same[few]], similarities[few][~same[few]]
    wins = np.mean(first[:, None] > second[None, :])
    _, accepted, falsely = roc(similarities[few], same[few])
    assert np.trapezoid(accepted, falsely) == pytest.approx(wins)


def test_pairs_are_all_pairs_once() -> None:
    features = np.eye(4, dtype=np.float32)[[0, 0, 1, 2]]
    similarities, same = pairs(features, np.array([5, 5, 6, 5]))
    np.testing.assert_array_equal(similarities, [1, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(same, [True, False, True, False, True, False])


def test_the_threshold_comes_from_other_examples_than_the_accuracy() -> None:
    data = frozen(1.0, count=60)
    values = dict(Verification().evaluate(data, seed=0))
    others = dict(Verification().evaluate(data, seed=1))
    assert values != others
    best = 0.0
    for name, _, test in Verification()._pairs(data, 0):
        assert name == "class"
        _, accepted, falsely = roc(*test)
        best = float(((accepted + 1 - falsely) / 2).max())
    assert values["class/accuracy"] <= best


def test_few_shot_tasks_of_separate_and_of_random_features() -> None:
    values = dict(FewShot(few_shot_tasks=50).evaluate(frozen(0.05), seed=0))
    assert set(values) == {
        f"class/5_way_{shots}_shot{end}" for shots in (1, 5) for end in ("", "_low", "_high")
    }
    assert values["class/5_way_1_shot"] == values["class/5_way_5_shot_low"] == 1.0
    values = dict(FewShot(few_shot_ways=4, few_shot_tasks=300).evaluate(frozen(1e4), seed=0))
    for shots in (1, 5):
        low, high = (values[f"class/4_way_{shots}_shot_{end}"] for end in ("low", "high"))
        assert low - 0.02 < 0.25 < high + 0.02
        assert high - low < 0.05
    middling = dict(FewShot(few_shot_tasks=100).evaluate(frozen(1.5), seed=0))
    assert middling["class/5_way_5_shot"] > middling["class/5_way_1_shot"] + 0.05


def test_a_few_shot_task_by_hand() -> None:
    features = np.array([[0.0, 0], [0, 1], [4, 0], [4, 1], [1.9, 0]])
    rows_of = [np.array([0, 1]), np.array([2, 3, 4])]

    class Order:
        """Draws classes and examples in their order."""

        def permutation(self, values: object) -> np.ndarray:
            return np.arange(values) if isinstance(values, int) else np.asarray(values)

    # Of class 0 example 1, of class 1 examples 3 and 4, of which 4 is nearer to the other mean.
    found = few_shot_accuracy(features, rows_of, 2, 1, Order())  # type: ignore[arg-type]
    assert found == pytest.approx((1 + 1 / 2) / 2)


def test_unseen_classes_are_measured_instead_of_test_examples() -> None:
    good, bad = frozen(0.05), frozen(1e4)
    unseen = Target("class", "class", 3, 0.4, 0.4)
    labels = np.arange(90) % 3
    centres = np.random.default_rng(5).normal(size=(3, 32))
    both = FrozenFeatures(
        bad.train, bad.test, bad.train_labels, bad.test_labels, bad.targets,
        unseen=centres[labels], unseen_labels=labels, unseen_target=unseen,
    )  # fmt: skip
    assert dict(Verification().evaluate(both, 0))["class/auc"] == 1.0
    assert dict(FewShot(few_shot_tasks=5).evaluate(both, 0))["class/3_way_1_shot"] == 1.0
    ((name, picture),) = Verification().draw({"features": both, "untrained features": good}, 0)
    assert name == "class"
    assert picture.shape[2] == 3
    assert 0.2 < picture.mean() < 0.99


def test_classes_of_single_examples_are_left_out() -> None:
    data = frozen(0.05, count=10)
    assert dict(Verification().evaluate(data, 0)) == {}
    assert dict(FewShot().evaluate(data, 0)) == {}
