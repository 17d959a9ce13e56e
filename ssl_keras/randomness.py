"""Stateless random draws: functions of (seed, purpose, step, ...).

A *key* is a pair of int32. `key(seed, purpose)` makes one, `fold(key, number)` derives another, and
each draw takes one. The same key gives the same draws on every machine of a kind, in eager mode, in
a graph and under XLA: floats are made from the 32-bit words of the Philox generator, because
TensorFlow's float draws differ between XLA and the graph.
"""

from __future__ import annotations

import zlib
from typing import Any

from ssl_keras.annotations import Tensor, TensorLike
from ssl_keras.lazy import tf

_ALGORITHM = "philox"


def key(seed: int, purpose: str) -> Tensor:
    """The key for `purpose` (any constant text) and the run's `seed` (an int32)."""
    return tf.constant([seed, _number(purpose)], dtype=tf.int32)


def _number(purpose: str) -> int:
    return zlib.crc32(purpose.encode()) & 0x7FFFFFFF


class Seed:
    """A seed that traced functions read when they run, so that another one needs no new trace.

    Args:
        value: the seed, an int32.
    """

    def __init__(self, value: int):
        # int64, as GPUs have no variables of int32.
        self._variable = tf.Variable(
            value,
            dtype=tf.int64,
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            name="seed",
        )
        self._value = value

    @property
    def value(self) -> int:
        """The seed."""
        return self._value

    @value.setter
    def value(self, value: int) -> None:
        self._variable.assign(value)
        self._value = value

    def key(self, purpose: str) -> Tensor:
        """`key` of the seed."""
        number = tf.cast(tf.convert_to_tensor(self._variable), tf.int32)
        return tf.stack([number, _number(purpose)])


def as_key(seed: TensorLike) -> Tensor:
    """A key from None, an integer, or a pair of integers."""
    if seed is None:
        return tf.constant([0, 0], dtype=tf.int32)
    seed = tf.cast(seed, tf.int32)
    return tf.stack([tf.zeros((), tf.int32), seed]) if seed.shape.rank == 0 else seed


def fold(key: Tensor, number: Any) -> Tensor:
    """A new key from `key` and an integer (Python or tensor), such as the step."""
    return tf.random.experimental.stateless_fold_in(key, tf.cast(number, tf.int32), alg=_ALGORITHM)


def _words(key: Any, shape: Any, num_bits: int) -> Any:
    """The top `num_bits` bits of Philox words, as float32 whole numbers (exact up to 24 bits)."""
    words = tf.random.stateless_uniform(
        shape, seed=key, minval=None, maxval=None, dtype=tf.uint32, alg=_ALGORITHM
    )
    return tf.cast(tf.bitwise.right_shift(words, tf.constant(32 - num_bits, tf.uint32)), tf.float32)


def uniform(key: Tensor, shape: Any) -> Tensor:
    """Draws from U[0, 1): float32, multiples of 2^-24."""
    return _words(key, shape, 24) * 2.0**-24


def normal(key: Tensor, shape: Any) -> Tensor:
    """Draws from N(0, 1): float32, by the inverse of the normal distribution function.

    Its uniform draws are odd multiples of 2^-24, never 0 or 1, where the inverse is infinite; the
    largest magnitude is 5.29.
    """
    return tf.math.ndtri((_words(key, shape, 23) + 0.5) * 2.0**-23)


def row_keys(draws: Tensor) -> Tensor:
    """Keys for `keep_mask` from uniform draws (batch,): uint32."""
    return tf.cast(draws * 2.0**24, tf.uint32)


def keep_mask(keys: Tensor, number: int, shape: Any, rate: Tensor) -> Tensor:
    """Random mask of the elements of each row: a hash of (key of the row, number, element).

    Two applications of the finaliser of MurmurHash3 (Appleby 2011). A row's mask depends on its
    key alone, so it is the same on one device or several, whole or in slices.

    Args:
        keys: uint32 (batch,), see `row_keys`.
        number: of the mask, if one key has several.
        shape: static shape of one row.
        rate: (batch,), share of the elements that are dropped, in [0, 1).

    Returns:
        bool (batch, *shape): whether an element is kept.
    """
    count = 1
    for side in shape:
        count *= int(side)
    salt = tf.constant(0x85EBCA77 * (number + 1) & 0xFFFFFFFF, tf.uint32)
    elements = tf.cast(tf.range(count), tf.uint32) * tf.constant(0x9E3779B1, tf.uint32)
    words = _mixed(_mixed(keys ^ salt)[:, None] ^ elements[None, :])
    fractions = tf.cast(tf.bitwise.right_shift(words, tf.constant(8, tf.uint32)), tf.float32)
    return tf.reshape(fractions * 2.0**-24 >= rate[:, None], [-1, *shape])


def _mixed(words: Any) -> Any:
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        shifted = tf.bitwise.right_shift(words, tf.constant(shift, tf.uint32))
        words = (words ^ shifted) * tf.constant(factor, tf.uint32)
    return words ^ tf.bitwise.right_shift(words, tf.constant(16, tf.uint32))
