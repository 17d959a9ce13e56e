"""Measures of representations, as pure functions. Float32 inside, whatever the input."""

from __future__ import annotations

from typing import Any

from ssl_keras.lazy import tf
from ssl_keras.losses.functional import normalize


def contrastive_accuracy(
    projections_1: Any, projections_2: Any, keys_2: Any = None, first_row: Any = 0
) -> Any:
    """Share of first views whose most similar second view (cosine) is their own.

    Source: google-research/simclr, tf2/metrics.py (argmax over the cross-view block).

    Args:
        projections_1, projections_2: (batch, dim), the two views.
        keys_2: (global batch, dim), second views of all replicas. Default: `projections_2`.
        first_row: position of this replica's first image in the global batch.

    Returns:
        float32 scalar in [0, 1]; chance is 1 / global batch.
    """
    keys = normalize(projections_2 if keys_2 is None else keys_2)
    similarities = tf.matmul(normalize(projections_1), keys, transpose_b=True)
    nearest = tf.argmax(similarities, axis=1, output_type=tf.int32)
    own = tf.range(tf.shape(similarities)[0]) + first_row
    return tf.reduce_mean(tf.cast(nearest == own, tf.float32))


def feature_loss(kind: str, labels: Any, logits: Any) -> Any:
    """Mean cross-entropy of a probe: softmax for a class, sigmoid for bits. float32 scalar.

    Args:
        kind: kind of the `datasets.Feature`.
        labels: (batch,) integers for a class, (batch, size) of 0 and 1 for bits.
        logits: (batch, size).
    """
    logits = tf.cast(logits, tf.float32)
    if kind == "class":
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    else:
        targets = tf.cast(labels, tf.float32)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
    return tf.reduce_mean(losses)


def feature_accuracy(kind: str, labels: Any, logits: Any) -> Any:
    """Share of right decisions (for bits: the mean over bits). float32 scalar in [0, 1].

    Args: as `feature_loss`.
    """
    if kind == "class":
        right = tf.argmax(logits, axis=1, output_type=tf.int32) == tf.cast(labels, tf.int32)
    else:
        right = (logits > 0) == (labels > 0)
    return tf.reduce_mean(tf.cast(right, tf.float32))
