"""Random directions and samples of the prior distributions, as functions of a key.

A key is a pair of int32, see `ssl_keras.randomness`: the same key gives the same sample.
"""

from __future__ import annotations

from typing import Any

from ssl_keras import randomness
from ssl_keras.annotations import Tensor
from ssl_keras.lazy import tf


def random_directions(key: Tensor, dim: Tensor) -> Tensor:
    """An orthogonal matrix drawn from the Haar (uniform) measure: (dim, dim), float32.

    QR decomposition of a Gaussian matrix, with the sign of each column fixed by the diagonal of R
    (Mezzadri, "How to generate random matrices from the classical compact groups", 2007); without
    that step the distribution is not uniform.
    """
    q, r = tf.linalg.qr(randomness.normal(key, (dim, dim)))
    return q * tf.where(tf.linalg.diag_part(r) < 0, -1.0, 1.0)


def gaussian(key: Tensor, shape: Any) -> Tensor:
    """Samples of N(0, I): float32 of `shape` = (samples, dim)."""
    return randomness.normal(key, shape)


def hypersphere(key: Tensor, shape: Any) -> Tensor:
    """Samples of the uniform distribution on the unit sphere: float32 of `shape`."""
    return tf.math.l2_normalize(randomness.normal(key, shape), axis=-1)


def cube(key: Tensor, shape: Any) -> Tensor:
    """Samples of the uniform distribution on the cube [-1, 1)^dim: float32 of `shape`."""
    return randomness.uniform(key, shape) * 2.0 - 1.0
