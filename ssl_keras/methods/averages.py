"""Averages over training steps: of the weights, and of the logged values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ssl_keras.annotations import Tensor
from ssl_keras.lazy import keras, tf


class MovingAverage:
    """Moving averages of all variables of networks, including batch-norm statistics.

        average <- d * average + (1 - d) * variable,   d = min(decay, (1 + step) / (10 + step))

    after each step. The smaller d of the first steps, as in `tf.train.ExponentialMovingAverage`,
    lets the average forget the initial weights.

    Args:
        networks: the networks; their current variables are the initial averages.
        decay: between 0 and 1.
    """

    def __init__(self, networks: Sequence[Any], decay: float):
        self.decay = decay
        self.variables = [variable for network in networks for variable in network.variables]
        # TensorFlow variables: Keras' variables would become part of the weights.
        self.averages = [
            tf.Variable(
                tf.convert_to_tensor(variable),
                trainable=False,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                name="average",
            )
            for variable in self.variables
        ]

    def update(self, step: Tensor) -> None:
        """Update the averages with the variables after `step`."""
        number = tf.cast(step, tf.float32)
        share = 1.0 - tf.minimum(self.decay, (1.0 + number) / (10.0 + number))
        for variable, average in zip(self.variables, self.averages, strict=True):
            old = tf.convert_to_tensor(average)
            average.assign(old + share * (tf.convert_to_tensor(variable) - old))

    def adopt(self) -> None:
        """Set the variables of the networks to the averages."""
        for variable, average in zip(self.variables, self.averages, strict=True):
            variable.assign(average.numpy())


class GlobalMean(keras.metrics.Mean):
    """A mean over steps of averages over replicas; every replica holds the same value.

    (The variables of Keras' metrics differ between replicas until they are read, and all workers
    would have to read them at the same time.)
    """

    def add_variable(
        self,
        shape: Any,
        initializer: Any,
        dtype: Any = None,
        aggregation: str = "none",
        name: str | None = None,
    ) -> Any:
        """A variable of the metric, the same on all replicas; called by Keras."""
        variable = keras.Variable(
            initializer=initializer,
            shape=shape,
            dtype=dtype,
            trainable=False,
            aggregation="none",
            name=name,
        )
        self._tracker.add_to_store("variables", variable)
        return variable

    def update(self, value: Tensor) -> None:
        """Add the value of this replica."""
        context = tf.distribute.get_replica_context()
        if context is not None and context.num_replicas_in_sync > 1:
            value = context.all_reduce("MEAN", value)
        self.update_state(value)
