"""Schedules, scaling rules, weight decay of kernels only, and LARS."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.optimizers import (
    OPTIMIZERS,
    build_schedule,
    exclude_from_decay,
    rule_text,
    scaled_learning_rate,
)


@pytest.mark.parametrize(
    ("scaling", "expected", "text"),
    [
        ("none", 0.2, "0.2"),
        ("linear", 0.4, "0.2 * 512 / 256"),
        ("sqrt", 0.2 * math.sqrt(512), "0.2 * sqrt(512)"),
    ],
)
def test_scaling_rules(scaling: str, expected: float, text: str) -> None:
    assert math.isclose(scaled_learning_rate(0.2, 512, scaling), expected)
    assert rule_text(0.2, 512, scaling) == text


@pytest.mark.parametrize(
    ("decay", "values"),
    [
        ("cosine", [0.0, 1.0, 2.0, 1.0, 0.0]),
        ("linear", [0.0, 1.0, 2.0, 1.0, 0.0]),
        ("constant", [0.0, 1.0, 2.0, 2.0, 2.0]),
    ],
)
def test_schedule_with_warmup(decay: str, values: list[float]) -> None:
    schedule = build_schedule(2.0, total_steps=30, warmup_steps=10, decay=decay)
    rates = [float(schedule(step)) for step in (0, 5, 10, 20, 30)]
    np.testing.assert_allclose(rates, values, atol=1e-6)


def test_cosine_differs_from_linear_at_a_quarter() -> None:
    cosine = build_schedule(1.0, total_steps=40, warmup_steps=0, decay="cosine")
    linear = build_schedule(1.0, total_steps=40, warmup_steps=0, decay="linear")
    np.testing.assert_allclose(float(cosine(10)), 0.5 * (1 + math.cos(math.pi / 4)), rtol=1e-6)
    np.testing.assert_allclose(float(linear(10)), 0.75)
    assert float(cosine(0)) == 1.0


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_weight_decay_moves_kernels_only(name: str) -> None:
    layer = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2), keras.layers.BatchNormalization()]
    )
    for variable in layer.trainable_variables:
        variable.assign(np.ones(variable.shape))
    optimizer = OPTIMIZERS.get(name, weight_decay=0.5).build(0.1)
    excluded = exclude_from_decay(optimizer, layer.trainable_variables)
    assert len(excluded) == 3
    optimizer.build(layer.trainable_variables)
    zeros = [np.zeros(v.shape, np.float32) for v in layer.trainable_variables]
    optimizer.apply([keras.ops.convert_to_tensor(z) for z in zeros], layer.trainable_variables)
    kernel, *others = layer.trainable_variables
    # Without a gradient the trust ratio of LARS is 0.001 / 0.5.
    trust = 0.001 / 0.5 if name == "lars" else 1.0
    np.testing.assert_allclose(kernel.numpy(), 1 - 0.1 * trust * 0.5, rtol=1e-6)
    for variable in others:
        np.testing.assert_array_equal(variable.numpy(), np.ones(variable.shape))


def test_options_reach_keras() -> None:
    optimizer = OPTIMIZERS.get("sgd", momentum=0.5).build(0.1)
    assert isinstance(optimizer, keras.optimizers.SGD)
    assert optimizer.momentum == 0.5
    assert OPTIMIZERS.get("adamw").build(0.1).weight_decay == 1e-4


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_lars_equals_the_formula(decay: float) -> None:
    generator = np.random.default_rng(0)
    start = [generator.normal(size=shape).astype(np.float32) for shape in ((3, 4), (4,), (2, 2))]
    start[2] *= 0  # no length: no trust ratio
    variables = [keras.Variable(value) for value in start]
    optimizer = OPTIMIZERS.get("lars", weight_decay=decay, momentum=0.8).build(0.5)
    optimizer.build(variables)
    weights = [value.astype(np.float64) for value in start]
    velocities = [np.zeros_like(value) for value in weights]
    for _ in range(4):
        gradients = [generator.normal(size=w.shape).astype(np.float32) for w in weights]
        optimizer.apply([tf.constant(g) for g in gradients], variables)
        for w, v, g in zip(weights, velocities, gradients, strict=True):
            slope, trust = g.astype(np.float64), 1.0
            if w.ndim > 1:
                slope = slope + decay * w
                lengths = np.linalg.norm(w), np.linalg.norm(slope)
                trust = 0.001 * lengths[0] / lengths[1] if min(lengths) > 0 else 1.0
            v *= 0.8
            v += 0.5 * trust * slope
            w -= v
    for variable, expected in zip(variables, weights, strict=True):
        np.testing.assert_allclose(variable, expected, rtol=1e-5, atol=1e-6)


def test_lars_has_one_state_for_its_checkpoint_and_a_configuration() -> None:
    optimizer = OPTIMIZERS.get("lars").build(0.5)
    variables = [keras.Variable(np.ones((2, 3), np.float32)), keras.Variable(np.ones(3))]
    optimizer.build(variables)
    assert [tuple(v.shape) for v in optimizer.variables if len(v.shape)] == [(2, 3), (3,)]
    copy = type(optimizer).from_config(optimizer.get_config())
    assert (copy.momentum, copy.coupled_decay, copy.trust_coefficient) == (0.9, 1e-6, 0.001)
