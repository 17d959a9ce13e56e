"""Random directions are Haar distributed and fresh; samples have the moments of their prior."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import randomness
from ssl_keras.losses import priors

KEY = randomness.as_key((3, 5))


def test_directions_are_orthogonal() -> None:
    directions = priors.random_directions(KEY, 16).numpy()
    np.testing.assert_allclose(directions.T @ directions, np.eye(16), atol=1e-5)


@pytest.mark.full
def test_directions_are_haar_distributed() -> None:
    # For the Haar measure every entry has mean 0 and variance 1/dim, on the diagonal as well;
    # without the sign fix the diagonal of Q would be of one sign.
    drawn = np.stack([priors.random_directions(randomness.fold(KEY, i), 4) for i in range(800)])
    np.testing.assert_allclose(drawn.mean(axis=0), 0.0, atol=0.1)
    np.testing.assert_allclose((drawn**2).mean(axis=0), 0.25, atol=0.05)
    determinants = np.linalg.det(drawn)
    assert 0.4 < np.mean(determinants > 0) < 0.6


def test_directions_inside_a_function_differ_between_steps() -> None:
    @tf.function
    def directions(step: tf.Tensor) -> tf.Tensor:
        return priors.random_directions(randomness.fold(KEY, step), 8)

    first, second = directions(tf.constant(0)), directions(tf.constant(1))
    assert np.abs(first - second).max() > 0.1
    np.testing.assert_array_equal(first, directions(tf.constant(0)))


def test_gaussian_moments() -> None:
    sample = priors.gaussian(KEY, (4000, 8)).numpy()
    np.testing.assert_allclose(sample.mean(axis=0), 0.0, atol=0.08)
    np.testing.assert_allclose(np.cov(sample.T), np.eye(8), atol=0.1)


def test_hypersphere_samples_have_unit_length_and_no_direction() -> None:
    sample = priors.hypersphere(KEY, (4000, 8)).numpy()
    np.testing.assert_allclose(np.linalg.norm(sample, axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(sample.mean(axis=0), 0.0, atol=0.03)
    np.testing.assert_allclose((sample**2).mean(axis=0), 1 / 8, atol=0.01)


def test_cube_samples_are_uniform() -> None:
    sample = priors.cube(KEY, (4000, 8)).numpy()
    assert sample.min() >= -1
    assert sample.max() < 1
    deciles = np.histogram(sample, bins=10, range=(-1, 1))[0] / sample.size
    np.testing.assert_allclose(deciles, 0.1, atol=0.01)
