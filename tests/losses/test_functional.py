"""The terms of the losses against loops, closed forms, invariances and gradients."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import randomness
from ssl_keras.losses import functional, priors
from ssl_keras.losses.pairs import compare
from tests import oracles

BATCHES, DIMS, TEMPERATURES = (1, 2, 5), (1, 3, 16), (0.05, 0.1, 1.0, 10.0)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dim", DIMS)
def test_alignment_equals_the_loop(batch: int, dim: int) -> None:
    z1, z2 = draw(batch, dim), draw(batch, dim, seed=1)
    np.testing.assert_allclose(functional.alignment(z1, z2), oracles.alignment(z1, z2), rtol=1e-5)


def test_alignment_of_unit_vectors_is_one_minus_cosine_over_dim() -> None:
    z1, z2 = functional.normalize(draw(7, 5)), functional.normalize(draw(7, 5, seed=1))
    cosine = np.mean(np.sum(z1 * z2, axis=1))
    np.testing.assert_allclose(functional.alignment(z1, z2), (1 - cosine) / 5, rtol=1e-5)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_nt_xent_equals_the_loop(batch: int, dim: int, temperature: float) -> None:
    z1, z2 = draw(batch, dim), draw(batch, dim, seed=1)
    value = functional.nt_xent(functional.normalize(z1), functional.normalize(z2), temperature)
    expected = oracles.nt_xent(z1, z2, temperature)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_logsumexp_uniformity_equals_the_loop(batch: int, dim: int, temperature: float) -> None:
    views = oracles.unit(draw(2 * batch, dim))
    value = functional.logsumexp_uniformity(views, temperature)
    expected = oracles.logsumexp_uniformity(views, temperature)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dim", [2, 64])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_logsumexp_uniformity_at_collapse(dim: int, temperature: float) -> None:
    views = np.tile(oracles.unit(draw(1, dim)), (12, 1))
    expected = math.log(12) + 1 / temperature - math.log(dim)
    np.testing.assert_allclose(
        functional.logsumexp_uniformity(views, temperature), expected, rtol=1e-5
    )


@pytest.mark.parametrize("samples", [1, 2, 5, 10])
@pytest.mark.parametrize("dim", DIMS)
def test_sliced_wasserstein_equals_the_loop(samples: int, dim: int) -> None:
    points, prior = draw(samples, dim), draw(samples, dim, seed=1)
    directions = priors.random_directions(randomness.as_key(3), dim)
    np.testing.assert_allclose(
        functional.sliced_wasserstein(points, prior, directions),
        oracles.sliced_wasserstein(points, prior, directions.numpy()),
        rtol=1e-5,
        atol=1e-6,
    )


def test_sliced_wasserstein_of_a_permutation_of_itself_is_zero() -> None:
    points = draw(9, 4)
    directions = priors.random_directions(randomness.as_key(3), 4)
    value = functional.sliced_wasserstein(points, points[::-1], directions)
    np.testing.assert_allclose(value, 0.0, atol=1e-12)


def test_sliced_wasserstein_of_a_shift_is_the_squared_length_over_dim() -> None:
    points, shift = draw(9, 4), np.array([1.0, -2.0, 0.5, 3.0], np.float32)
    directions = priors.random_directions(randomness.as_key(3), 4)
    value = functional.sliced_wasserstein(points + shift, points, directions)
    np.testing.assert_allclose(value, np.sum(shift**2) / 4, rtol=1e-5)


def test_sliced_wasserstein_gradient_is_exact_with_ties() -> None:
    # Two pairs of equal points: their gradients share the two ranks that they occupy.
    points = tf.Variable([[1.0], [1.0], [0.0], [0.0]])
    prior = np.array([[0.0], [2.0], [4.0], [6.0]], np.float32)
    with tf.GradientTape() as tape:
        value = functional.sliced_wasserstein(points, prior, np.eye(1, dtype=np.float32))
    gradient = tape.gradient(value, points).numpy()[:, 0]
    # Ranks: 0, 0 -> 0, 2 and 1, 1 -> 4, 6; d/dz of (z - p)^2 / 4 is (z - p) / 2.
    assert sorted(gradient[2:]) == [-1.0, 0.0]
    assert sorted(gradient[:2]) == [-2.5, -1.5]


def test_sliced_wasserstein_has_no_gradient_for_the_prior() -> None:
    points, prior = tf.constant(draw(5, 3)), tf.constant(draw(5, 3, seed=1))
    directions = priors.random_directions(randomness.as_key(0), 3)
    with tf.GradientTape() as tape:
        tape.watch([points, prior, directions])
        value = functional.sliced_wasserstein(points, prior, directions)
    gradients = tape.gradient(value, [points, prior, directions])
    assert [gradient is None for gradient in gradients] == [False, True, True]


def test_normalize_of_zero_is_zero_with_a_gradient_of_zero() -> None:
    rows = tf.Variable([[0.0, 0.0], [3.0, 4.0]])
    with tf.GradientTape() as tape:
        unit = functional.normalize(rows)
        value = tf.reduce_sum(unit)
    np.testing.assert_allclose(unit, [[0.0, 0.0], [0.6, 0.8]], rtol=1e-6)
    # With u = x / |x|: (1 - u sum(u)) / |x|.
    expected = [[0.0, 0.0], [(1 - 0.6 * 1.4) / 5, (1 - 0.8 * 1.4) / 5]]
    np.testing.assert_allclose(tape.gradient(value, rows), expected, rtol=1e-5)


def test_nt_xent_of_orthonormal_images() -> None:
    # N identical pairs along the axes: positives at 1, all 2N - 2 negatives at 0.
    views, temperature = np.eye(4, dtype=np.float32), 0.5
    expected = -1 / temperature + math.log(math.exp(1 / temperature) + 6)
    np.testing.assert_allclose(functional.nt_xent(views, views, temperature), expected, rtol=1e-6)


def test_nt_xent_terms_add_up_and_rank_by_temperature() -> None:
    views_1, views_2 = functional.normalize(draw(6, 8)), functional.normalize(draw(6, 8, seed=1))
    pairs = compare(views_1, views_2)
    attraction, repulsion = map(tf.reduce_mean, functional.nt_xent_terms(pairs, 0.3))
    positives = np.mean(np.sum(views_1 * views_2, axis=1))
    np.testing.assert_allclose(attraction, -positives / 0.3, rtol=1e-5)
    expected = oracles.nt_xent(views_1, views_2, 0.3)
    np.testing.assert_allclose(attraction + repulsion, expected, rtol=1e-5)
