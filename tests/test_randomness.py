"""Stateless draws: reproducible, equal under XLA, and of the stated distribution."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from ssl_keras import randomness


def test_keys_differ_by_seed_purpose_and_number() -> None:
    keys = [
        randomness.key(0, "views"),
        randomness.key(1, "views"),
        randomness.key(0, "loss"),
        randomness.fold(randomness.key(0, "views"), 0),
        randomness.fold(randomness.key(0, "views"), 1),
        randomness.fold(randomness.key(0, "views"), 2**31 - 1),
    ]
    draws = {tuple(randomness.uniform(key, (4,)).numpy()) for key in keys}
    assert len(draws) == len(keys)


def test_same_key_same_draw_in_eager_graph_and_xla() -> None:
    def draw(step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        key = randomness.fold(randomness.key(5, "test"), step)
        return randomness.uniform(key, (1000,)), randomness.normal(key, (1000,))

    step = tf.constant(3, tf.int64)
    eager = draw(step)
    graph = tf.function(draw)(step)
    compiled = tf.function(draw, jit_compile=True)(step)
    np.testing.assert_array_equal(eager[0], graph[0])
    np.testing.assert_array_equal(eager[0], compiled[0])
    np.testing.assert_allclose(eager[1], compiled[1], rtol=1e-4, atol=1e-6)


def test_uniform_fills_the_interval() -> None:
    draws = randomness.uniform(randomness.key(0, "test"), (200_000,)).numpy()
    assert draws.min() >= 0
    assert draws.max() < 1
    np.testing.assert_allclose(np.histogram(draws, 20, (0, 1))[0] / 1e4, 1.0, atol=0.05)


def test_normal_has_the_moments_of_the_normal_law_and_is_finite_at_the_ends() -> None:
    draws = randomness.normal(randomness.key(0, "test"), (400_000,)).numpy().astype(np.float64)
    moments = [np.mean(draws**power) for power in (1, 2, 3, 4)]
    np.testing.assert_allclose(moments, [0, 1, 0, 3], atol=0.04)
    ends = tf.math.ndtri(tf.constant([0.5 * 2.0**-23, (2.0**23 - 0.5) * 2.0**-23]))
    np.testing.assert_allclose(ends, [-5.29, 5.29], atol=0.02)


def test_as_key_accepts_what_callers_pass() -> None:
    np.testing.assert_array_equal(randomness.as_key(None), [0, 0])
    np.testing.assert_array_equal(randomness.as_key(7), [0, 7])
    np.testing.assert_array_equal(randomness.as_key((3, 4)), [3, 4])
    np.testing.assert_array_equal(randomness.as_key(tf.constant([3, 4], tf.int64)), [3, 4])
