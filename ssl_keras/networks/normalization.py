"""Batch norm over the global batch."""

from __future__ import annotations

import functools
from typing import Any

from ssl_keras.annotations import Model
from ssl_keras.lazy import keras, tf


def build_batch_norm(**arguments: Any) -> Any:
    """A `keras.layers.BatchNormalization` with the statistics of the global batch.

    Under a strategy with several replicas the layer averages over all replicas at each step. The
    momentum of its moving averages is 0.9.

    On one device it is a subclass that trains with TensorFlow's fused operation instead of the ten
    operations of Keras 3: up to four times as fast, and equal up to rounding. `as_plain_keras`
    replaces it with the layer of Keras.

    Args:
        **arguments: arguments of the layer.
    """
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
        return keras.layers.BatchNormalization(momentum=0.9, synchronized=True, **arguments)
    return _fused_layer()(momentum=0.9, **arguments)


@functools.cache
def _fused_layer() -> type:
    """The class, defined on first use because Keras is imported lazily."""

    class FusedBatchNormalization(keras.layers.BatchNormalization):
        """`keras.layers.BatchNormalization` over the last axis of images or vectors.

        In training it is `tf.raw_ops.FusedBatchNormV3`. In inference, and for arguments that this
        operation does not support, it is the layer of Keras. Sums are float32, as in Keras.
        """

        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            rank = len(inputs.shape)
            supported = mask is None and rank in (2, 4) and self.axis in (-1, rank - 1)
            supported = supported and self.compute_dtype != "float64"
            if not (training and self.trainable and supported):
                return super().call(inputs, training=training, mask=mask)
            inputs = tf.cast(inputs, self.compute_dtype)
            channels = inputs.shape[-1]
            ones, zeros = tf.ones([channels]), tf.zeros([channels])
            maps = inputs if rank == 4 else tf.reshape(inputs, [-1, 1, 1, channels])
            outputs = tf.raw_ops.FusedBatchNormV3(
                x=maps,
                scale=tf.convert_to_tensor(self.gamma) if self.scale else ones,
                offset=tf.convert_to_tensor(self.beta) if self.center else zeros,
                mean=zeros,
                variance=zeros,
                epsilon=self.epsilon,
                exponential_avg_factor=1.0,
                is_training=True,
                data_format="NHWC",
            )
            # The operation divides by count - 1, Keras by count.
            count = tf.cast(tf.reduce_prod(tf.shape(maps)[:3]), tf.float32)
            variance = outputs.batch_variance * ((count - 1.0) / count)
            averages = (self.moving_mean, outputs.batch_mean), (self.moving_variance, variance)
            for average, statistic in averages:
                statistic = tf.stop_gradient(statistic)
                average.assign(average * self.momentum + statistic * (1.0 - self.momentum))
            return outputs.y if rank == 4 else tf.reshape(outputs.y, [-1, channels])

    return FusedBatchNormalization


def as_plain_keras(network: Model) -> Model:
    """A copy of a network that consists of Keras' layers alone and loads without this package."""
    from ssl_keras.networks.dropout import KeyedDropout

    fused = _fused_layer()

    def plain(layer: Any) -> Any:
        settings = layer.get_config()
        if isinstance(layer, fused):
            return keras.layers.BatchNormalization.from_config(settings)
        if isinstance(layer, KeyedDropout):
            return keras.layers.Dropout(layer.rate, name=layer.name, dtype=layer.dtype_policy)
        return layer.__class__.from_config(settings)

    copy = keras.models.clone_model(network, clone_function=plain, recursive=True)
    copy.set_weights(network.get_weights())
    return copy
