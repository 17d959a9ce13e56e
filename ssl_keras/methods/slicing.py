"""Slices of a batch, computed one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ssl_keras.lazy import tf


def after(example: Any, other: Any) -> Any:
    """The nest `example`, computed only after the tensor `other` (if any).

    XLA ignores control dependencies, so the values depend on `other`: a zero is added.
    """
    if other is None:
        return example
    first = tf.reshape(other, [-1])[0]
    zero = tf.where(tf.math.equal(first, first), 0.0, float("nan"))
    return tf.nest.map_structure(lambda rows: rows + tf.cast(zero, rows.dtype), example)


def slices(rows: Any, count: int) -> Any:
    """(2 batch, ...) -> (count, 2 batch / count, ...); in each slice, as in the batch, the first
    views are above the second."""
    shape = rows.shape[1:]
    parts = tf.reshape(rows, [2, count, -1, *shape])
    order = [1, 0, *range(2, 3 + len(shape))]
    return tf.reshape(tf.transpose(parts, order), [count, -1, *shape])


def joined(slices: Sequence[Any]) -> Any:
    """The inverse of `slices`."""
    halves = [tf.split(rows, 2) for rows in slices]
    return tf.concat([first for first, _ in halves] + [second for _, second in halves], axis=0)
