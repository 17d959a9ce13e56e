"""The papers' protocol: it learns what is separable, and is what its docstring says."""

from __future__ import annotations

import numpy as np

from ssl_keras.datasets import Target
from ssl_keras.evaluators import EVALUATORS, FrozenFeatures, linear
from ssl_keras.evaluators.linear_sgd import LinearSGD

GENERATOR = np.random.default_rng(0)
CLASS = Target("class", "class", 3, 1 / 3, 1 / 3)
BITS = Target("bits", "bits", 2, 0.5, 0.25)


def data(count: int) -> tuple[np.ndarray, np.ndarray]:
    labels = GENERATOR.integers(0, 3, count)
    features = 2.0 * np.eye(3, 5)[labels] + 0.3 * GENERATOR.normal(size=(count, 5))
    return features.astype(np.float32), labels


def test_separable_classes_and_bits_are_learnt() -> None:
    (train, y_train), (test, y_test) = data(600), data(300)
    frozen = FrozenFeatures(train, test, {"class": y_train}, {"class": y_test}, {"class": CLASS})
    assert dict(EVALUATORS.get("linear_sgd").evaluate(frozen, 0))["class/accuracy"] > 0.99
    bits = (train[:, :2] > 1).astype(np.int32)
    frozen = FrozenFeatures(train, train, {"bits": bits}, {"bits": bits}, {"bits": BITS})
    values = dict(EVALUATORS.get("linear_sgd").evaluate(frozen, 0))
    assert values["bits/accuracy"] > 0.95
    assert "bits/l2" not in values


def test_it_approaches_the_unpenalised_minimum() -> None:
    features, labels = GENERATOR.normal(size=(512, 4)), GENERATOR.integers(0, 3, 512)
    one_hot_labels = linear.one_hot(labels, "class", 3)
    best = linear.fit(features, one_hot_labels, "class", 1e-9)
    lowest = linear.Objective(features, one_hot_labels, "class")(best, 0.0)[0]
    found = [
        linear.Objective(features, one_hot_labels, "class")(
            LinearSGD(linear_sgd_epochs=epochs).fit([features], one_hot_labels, "class", 0), 0.0
        )[0]
        for epochs in (1, 10, 90)
    ]
    assert found[0] > found[1] > found[2] >= lowest
    np.testing.assert_allclose(found[2], lowest, rtol=1e-3)


def test_one_step_is_a_gradient_step_with_nesterov_momentum() -> None:
    features, one_hot_labels = (
        GENERATOR.normal(size=(64, 4)),
        np.eye(2)[GENERATOR.integers(0, 2, 64)],
    )
    head = LinearSGD(linear_sgd_epochs=1, linear_sgd_batch_size=64)
    weights = head.fit([features], one_hot_labels, "class", 0)
    _, gradient = linear.Objective(features, one_hot_labels, "class")(np.zeros((5, 2)), 0.0)
    np.testing.assert_allclose(weights, -0.1 * 64 / 256 * 1.9 * gradient)


def test_one_step_of_lars_is_the_formula() -> None:
    features, one_hot_labels = (
        GENERATOR.normal(size=(64, 4)),
        np.eye(2)[GENERATOR.integers(0, 2, 64)],
    )
    options = {"linear_sgd_optimizer": "lars", "linear_sgd_batch_size": 64}
    rate, momentum = 0.1 * 64 / 256, 0.9

    def gradient_at(weights: np.ndarray) -> np.ndarray:
        return linear.Objective(features, one_hot_labels, "class")(weights, 0.0)[1]

    # Weights of 0 have no length: the first step is not scaled.
    first = -rate * gradient_at(np.zeros((5, 2)))
    one = LinearSGD(**options, linear_sgd_epochs=1).fit([features], one_hot_labels, "class", 0)
    np.testing.assert_allclose(one, first)
    gradient = gradient_at(first)
    trust = 0.001 * np.linalg.norm(first[:-1]) / np.linalg.norm(gradient[:-1])
    scaled = gradient * np.array([trust] * 4 + [1.0])[:, None]
    # Two epochs: the cosine is at a half in the second step.
    second = first - (momentum * rate * gradient_at(np.zeros((5, 2))) + rate / 2 * scaled)
    two = LinearSGD(**options, linear_sgd_epochs=2).fit([features], one_hot_labels, "class", 0)
    np.testing.assert_allclose(two, second, rtol=1e-6)


def test_views_are_used_in_turn() -> None:
    (first, labels), (second, _) = data(256), data(256)
    one_hot_labels = linear.one_hot(labels, "class", 3)
    head = LinearSGD(linear_sgd_epochs=2, linear_sgd_batch_size=256, linear_sgd_views=2)
    once = LinearSGD(linear_sgd_epochs=1, linear_sgd_batch_size=256)
    expected = once.fit([first], one_hot_labels, "class", 0)  # at the same rate: one step of it
    velocity = linear.Objective(first, one_hot_labels, "class")(np.zeros((6, 3)), 0.0)[1]
    gradient = linear.Objective(second, one_hot_labels, "class")(expected, 0.0)[1]
    step = gradient + 0.9 * (0.9 * velocity + gradient)
    np.testing.assert_allclose(
        head.fit([first, second], one_hot_labels, "class", 0), expected - 0.05 * step, rtol=1e-6
    )
    declared, labelled = {"class": CLASS}, {"class": labels}
    frozen = FrozenFeatures(first, first, labelled, labelled, declared)
    both = FrozenFeatures(
        first, first, labelled, labelled, declared, train_views=np.stack([first, first])
    )
    assert dict(head.evaluate(both, 0)) == dict(head.evaluate(frozen, 0))


def test_the_order_follows_the_seed() -> None:
    features, labels = data(300)
    one_hot_labels = linear.one_hot(labels, "class", 3)
    head = LinearSGD(linear_sgd_epochs=2)
    np.testing.assert_array_equal(
        head.fit([features], one_hot_labels, "class", 0),
        head.fit([features], one_hot_labels, "class", 0),
    )
    assert np.any(
        head.fit([features], one_hot_labels, "class", 0)
        != head.fit([features], one_hot_labels, "class", 1)
    )
