"""Logistic regression against scikit-learn, separable data, shuffled labels, and no leak."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import LogisticRegression

from ssl_keras.datasets import Target
from ssl_keras.evaluators import FrozenFeatures, linear
from ssl_keras.evaluators.linear import Linear

CLASS = Target("class", "class", 3, 1 / 3, 1 / 3)
BITS = Target("bits", "bits", 2, 0.5, 0.25)


def clusters(count: int, seed: int, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 3, count).astype(np.int32)
    centers = np.array([[0, 0, 4, 0], [4, 0, 0, 0], [0, 4, 0, 0]], np.float64)
    return (centers[labels] + spread * generator.normal(size=(count, 4))).astype(np.float32), labels


def frozen(train: tuple, test: tuple, target: Target) -> FrozenFeatures:
    name = target.name
    return FrozenFeatures(train[0], test[0], {name: train[1]}, {name: test[1]}, {name: target})


@pytest.mark.parametrize("l2", [1.0, 0.01, 1e-4])
def test_class_regression_reaches_the_loss_of_scikit_learn(l2: float) -> None:
    features, labels = clusters(300, 0, spread=3.0)
    features = features.astype(np.float64)
    one_hot_labels = linear.one_hot(labels, "class", 3)
    ours = linear.fit(features, one_hot_labels, "class", l2)
    theirs = LogisticRegression(C=1 / (l2 * len(features)), tol=1e-10, max_iter=5000)
    theirs.fit(features, labels)
    weights = np.vstack([theirs.coef_.T, theirs.intercept_[None]])
    loss = linear.Objective(features, one_hot_labels, "class")(ours, l2)[0]
    expected = linear.Objective(features, one_hot_labels, "class")(weights, l2)[0]
    np.testing.assert_allclose(loss, expected, atol=1e-5)


def test_bits_are_independent_regressions_as_in_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    features = generator.normal(size=(300, 4))
    bits = (features[:, :2] + generator.normal(size=(300, 2)) > 0).astype(np.int32)
    l2 = 0.01
    ours = linear.fit(features, linear.one_hot(bits, "bits", 2), "bits", l2)
    for bit in range(2):
        theirs = LogisticRegression(C=1 / (l2 * 300), tol=1e-10, max_iter=5000)
        theirs.fit(features, bits[:, bit])
        np.testing.assert_allclose(ours[:-1, bit], theirs.coef_[0], rtol=1e-2, atol=1e-3)
        np.testing.assert_allclose(ours[-1, bit], theirs.intercept_[0], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("count", [300, 20])
def test_collinear_and_dead_features_reach_the_same_loss(count: int) -> None:
    # 40 columns of rank 5: more columns than the 20 examples, fewer than the 300.
    generator = np.random.default_rng(1)
    source = generator.normal(size=(count, 5))
    features = np.hstack([source @ generator.normal(size=(5, 39)), np.zeros((count, 1))])
    labels = (source[:, 0] + generator.normal(size=count) > 0).astype(np.int32)
    one_hot_labels = linear.one_hot(labels, "class", 2)
    ours = linear.fit(features, one_hot_labels, "class", 0.01)
    theirs = LogisticRegression(C=1 / (0.01 * count), tol=1e-10, max_iter=5000)
    theirs.fit(features, labels)
    half = np.append(theirs.coef_[0], theirs.intercept_[0])[:, None] / 2
    loss = linear.Objective(features, one_hot_labels, "class")(ours, 0.01)[0]
    # Two classes have one column of weights in scikit-learn, with twice the penalty.
    split = linear.Objective(features, one_hot_labels, "class")(np.hstack([-half, half]), 0.01)[0]
    assert loss <= split + 1e-5
    assert np.abs(linear.Objective(features, one_hot_labels, "class")(ours, 0.01)[1]).max() < 1e-3
    assert np.all(ours[-2] == 0)


def test_a_start_changes_the_way_and_not_the_end() -> None:
    features, labels = clusters(300, 0, spread=3.0)
    one_hot_labels = linear.one_hot(labels, "class", 3)
    rotated = linear.rotate(features.astype(np.float64))
    start = linear.fit(rotated, one_hot_labels, "class", 1.0)
    for begun in (None, start, 100 * start):
        weights = linear.fit(rotated, one_hot_labels, "class", 0.01, start=begun)
        loss = linear.Objective(features, one_hot_labels, "class")(weights, 0.01)[0]
        if begun is None:
            expected = loss
        np.testing.assert_allclose(loss, expected, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Line Search failed", "ignore:The line search")
@pytest.mark.parametrize("l2", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("kind", ["class", "bits"])
def test_an_exact_fit_is_the_same_from_any_start_and_that_of_scikit_learn(
    kind: str, l2: float
) -> None:
    # Few examples, which are nearly separable: weak penalties leave the objective flat.
    generator = np.random.default_rng(4)
    features = generator.normal(size=(150, 60))
    scores = features[:, :3] + 0.3 * generator.normal(size=(150, 3))
    labels = scores.argmax(axis=1) if kind == "class" else (scores > 0).astype(np.int32)
    one_hot_labels = linear.one_hot(labels, kind, 3)
    tested = generator.normal(size=(2000, 60))
    starts = (None, *(generator.normal(size=(61, 3)) * scale for scale in (0.1, 10.0)))
    fits = [
        linear.fit(features, one_hot_labels, kind, l2, start=start, exact=True) for start in starts
    ]
    values = [linear.Objective(features, one_hot_labels, kind)(w, l2)[0] for w in fits]
    if kind == "class":
        model = LogisticRegression(
            C=1 / (l2 * 150), tol=1e-12, max_iter=100_000, solver="newton-cg"
        )
        model.fit(features, labels)
        theirs = np.vstack([model.coef_.T, model.intercept_[None]])
        expected = linear.Objective(features, one_hot_labels, kind)(theirs, l2)[0]
    else:
        expected = min(values)
    np.testing.assert_allclose(values, expected, atol=2e-4 * l2)
    decisions = [
        logits.argmax(axis=1) if kind == "class" else logits > 0
        for logits in (linear.predict(weights, tested) for weights in fits)
    ]
    for other in decisions[1:]:
        assert np.mean(other != decisions[0]) <= 5e-3


def test_separable_data_do_not_end_at_the_end_of_the_grid() -> None:
    features = frozen(clusters(300, 0, 0.3), clusters(200, 1, 0.3), CLASS)
    found = linear.probe(features, "class", 0).l2
    assert linear.L2_GRID[-1] < found < linear.L2_GRID[0]


@pytest.mark.parametrize("kind", ["class", "bits"])
def test_gradient_equals_finite_differences(kind: str) -> None:
    generator = np.random.default_rng(0)
    features, weights = generator.normal(size=(7, 3)), generator.normal(size=(4, 2))
    one_hot_labels = np.eye(2)[generator.integers(0, 2, 7)]
    gradient = linear.Objective(features, one_hot_labels, kind)(weights, 0.3)[1]
    for index in np.ndindex(4, 2):
        step = np.zeros((4, 2))
        step[index] = 1e-6
        up = linear.Objective(features, one_hot_labels, kind)(weights + step, 0.3)[0]
        down = linear.Objective(features, one_hot_labels, kind)(weights - step, 0.3)[0]
        np.testing.assert_allclose(gradient[index], (up - down) / 2e-6, atol=1e-7)


def test_a_gpu_computes_the_same_by_deterministic_operations(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    generator = np.random.default_rng(0)
    logits, labels = generator.normal(size=(9, 4)), np.eye(4)[generator.integers(0, 4, 9)]
    here = linear.cross_entropy(logits, labels, "class")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: ["a GPU"])
    monkeypatch.setattr(tf.raw_ops, "SoftmaxCrossEntropyWithLogits", None)
    there = linear.cross_entropy(logits, labels, "class")
    np.testing.assert_allclose(there[0], here[0], rtol=1e-12)
    np.testing.assert_allclose(there[1], here[1], rtol=1e-12, atol=1e-15)


def test_separable_classes_give_one_and_known_bits_give_one() -> None:
    features = frozen(clusters(300, 0, 0.3), clusters(200, 1, 0.3), CLASS)
    assert dict(Linear().evaluate(features, seed=0))["class/accuracy"] == 1.0
    bits = np.random.default_rng(0).integers(0, 2, (500, 2)).astype(np.int32)
    coded = (bits @ np.array([[1.0, 0.5], [-0.3, 2.0]])).astype(np.float32)
    result = dict(
        Linear().evaluate(
            frozen((coded[:300], bits[:300]), (coded[300:], bits[300:]), BITS), seed=0
        )
    )
    assert result["bits/accuracy"] == 1.0
    assert result["bits/all_right"] == 1.0


def test_shuffled_labels_give_chance() -> None:
    (train, _), (test, _) = clusters(600, 0), clusters(600, 1)
    generator = np.random.default_rng(2)
    labels = [generator.integers(0, 3, 600).astype(np.int32) for _ in range(2)]
    result = dict(Linear().evaluate(frozen((train, labels[0]), (test, labels[1]), CLASS), seed=0))
    np.testing.assert_allclose(result["class/accuracy"], 1 / 3, atol=0.07)


def test_the_test_split_never_chooses_the_penalty() -> None:
    # Training labels are learnable, so validation prefers a weak penalty. The test labels are
    # shuffled: on them the strongest penalty has the lowest cross-entropy.
    train, test = clusters(300, 0), clusters(200, 1)
    shuffled = (test[0], np.random.default_rng(3).permutation(test[1]))
    honest = dict(Linear().evaluate(frozen(train, test, CLASS), seed=0))
    other = dict(Linear().evaluate(frozen(train, shuffled, CLASS), seed=0))
    assert honest["class/l2"] == other["class/l2"] < 1.0
    # The accuracy is that of a regression with that penalty on the whole training split.
    standardized, tested = linear.standardize(train[0], test[0])
    one_hot_labels = linear.one_hot(train[1], "class", 3)
    weights = linear.fit(standardized, one_hot_labels, "class", honest["class/l2"], exact=True)
    predictions = linear.predict(weights, tested).argmax(axis=1)
    assert honest["class/accuracy"] == np.mean(predictions == test[1])
    assert other["class/accuracy"] == np.mean(predictions == shuffled[1])


def test_the_penalty_is_the_best_on_the_validation_split() -> None:
    generator = np.random.default_rng(5)
    features = generator.normal(size=(120, 30)).astype(np.float32)
    labels = (features[:, 0] + generator.normal(size=120) > 0).astype(np.int32)
    data = frozen((features, labels), (features, labels), Target("class", "class", 2, 0.5, 0.5))
    found = dict(Linear().evaluate(data, seed=7))["class/l2"]
    order = np.random.default_rng(7).permutation(120)
    held, fitted = np.sort(order[:24]), np.sort(order[24:])
    standardized, _ = linear.standardize(features, features)
    one_hot_labels = linear.one_hot(labels, "class", 2)
    scores = []
    for l2 in linear.L2_GRID:
        weights = linear.fit(standardized[fitted], one_hot_labels[fitted], "class", l2)
        logits = linear.predict(weights, standardized[held])
        scores.append(linear.cross_entropy(logits, one_hot_labels[held], "class")[0])
    assert found == linear.L2_GRID[int(np.argmin(scores))]


def test_dead_units_invent_no_feature() -> None:
    train = np.full((10, 2), 1e4, np.float32)
    train[::2, 0] += 1e-3  # one unit in the last place: rounding, not a signal
    train[:, 1] = np.arange(10)
    standardized, _ = linear.standardize(train + 0.0, train)
    assert np.abs(standardized[:, 0]).max() < 1e-2
    np.testing.assert_allclose(standardized[:, 1].std(), 1.0)


@pytest.mark.parametrize("scale", [1e-7, 1.0, 1e7])
def test_the_scale_of_features_does_not_matter(scale: float) -> None:
    train, test = clusters(300, 0, 0.3), clusters(200, 1, 0.3)
    scaled = frozen((scale * train[0], train[1]), (scale * test[0], test[1]), CLASS)
    assert dict(Linear().evaluate(scaled, seed=0))["class/accuracy"] == 1.0
