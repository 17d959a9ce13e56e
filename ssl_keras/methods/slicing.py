"""A batch in slices that are computed one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf


def after(example: Any, other: Any) -> Any:
    """The same nest of rows, which cannot be computed before `other` has been.

    XLA ignores control dependencies, so it is a dependency of values.
    """
    if other is None:
        return example
    first = tf.reshape(other, [-1])[0]
    nothing = tf.where(tf.math.equal(first, first), 0.0, float("nan"))
    return tf.nest.map_structure(lambda rows: rows + tf.cast(nothing, rows.dtype), example)


def slices(rows: Any, count: int) -> Any:
    """(2 batch, ...), the first views above the second -> (count, 2 batch / count, ...), each slice
    like the whole."""
    shape = rows.shape[1:]
    parts = tf.reshape(rows, [2, count, -1, *shape])
    order = [1, 0, *range(2, 3 + len(shape))]
    return tf.reshape(tf.transpose(parts, order), [count, -1, *shape])


def joined(slices: Sequence[Any]) -> Any:
    """The inverse of `slices`."""
    halves = [tf.split(rows, 2) for rows in slices]
    return tf.concat([first for first, _ in halves] + [second for _, second in halves], axis=0)
