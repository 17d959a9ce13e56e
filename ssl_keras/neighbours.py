"""Nearest neighbours by cosine similarity, in blocks: memory is linear in the number of rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ssl_keras.lazy import tf

_BLOCK_ELEMENTS = 2**24
# Columns of a part in the search for the largest values.
_PART = 32


def unit_rows(features: np.ndarray) -> np.ndarray:
    """Rows of unit length, float32; rows of zeros stay."""
    features = np.asarray(features, np.float32)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(lengths, 1e-12)


def nearest(keys: np.ndarray, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The keys with the largest cosine to each query, in blocks of queries.

    Nearest first; equal similarities in the order of the keys.

    Args:
        keys, queries: (rows, dim).
        count: number of neighbours, at most that of the keys.

    Returns:
        (indices, cosines): (queries, count), int64 and float64.
    """
    units, queries = tf.constant(unit_rows(keys)), unit_rows(queries)
    block = max(1, _BLOCK_ELEMENTS // len(keys))
    indices = np.empty((len(queries), count), np.int64)
    cosines = np.empty((len(queries), count), np.float64)
    for first in range(0, len(queries), block):
        similarities = tf.matmul(queries[first : first + block], units, transpose_b=True)
        values, places = _largest(similarities, count)
        indices[first : first + block] = places.numpy()
        cosines[first : first + block] = values.numpy()
    return indices, cosines


def _largest(rows: Any, count: int) -> tuple[Any, Any]:
    """`tf.math.top_k` of many columns: (values, indices), the first of equal values first.

    The largest values are in the `count` parts of a row with the largest maxima: each of these has
    one that is at least as large as all of another part. So few columns are sorted.
    """
    columns = rows.shape[1]
    if columns < 4 * count * _PART:
        return tf.math.top_k(rows, count)
    rows = tf.pad(rows, [[0, 0], [0, -columns % _PART]], constant_values=-np.inf)
    parts = tf.reshape(rows, [len(rows), -1, _PART])
    kept = tf.sort(tf.math.top_k(tf.reduce_max(parts, axis=2), count).indices, axis=1)
    values = tf.reshape(tf.gather(parts, kept, batch_dims=1), [len(rows), -1])
    top = tf.math.top_k(values, count)
    part = tf.gather(kept, top.indices // _PART, batch_dims=1)
    return top.values, part * _PART + top.indices % _PART


def nearest_others(vectors: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The `count` rows nearest to each row, without itself: (indices, cosines), see `nearest`.

    Args:
        vectors: (rows, dim).
        count: less than the number of rows.
    """
    found, cosines = nearest(vectors, vectors, count + 1)
    others = found != np.arange(len(vectors))[:, None]
    others[others.all(axis=1), -1] = False  # one of many equal rows
    shape = len(vectors), count
    return found[others].reshape(shape), cosines[others].reshape(shape)
