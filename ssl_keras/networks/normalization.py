"""Batch norm over the global batch."""

from __future__ import annotations

from typing import Any

from ssl_keras.lazy import keras, tf


def build_batch_norm(**arguments: Any) -> Any:
    """A `keras.layers.BatchNormalization` whose statistics are those of the global batch.

    Made in the scope of a strategy with several replicas, it averages over all of them at each
    step. Its moving averages have a momentum of 0.9.

    Args:
        **arguments: passed to the layer.
    """
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    return keras.layers.BatchNormalization(momentum=0.9, synchronized=several, **arguments)
