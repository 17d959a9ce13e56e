"""Dropout whose masks are a function of keys: the second kind of view (SimCSE)."""

from __future__ import annotations

import contextlib
import itertools
import random
import threading
from collections.abc import Iterator
from typing import Any

from ssl_keras import randomness
from ssl_keras.annotations import Model, Tensor
from ssl_keras.errors import UserError
from ssl_keras.lazy import keras, tf

# Each replica is traced in its own thread, and the threads alternate within one forward pass.
_local = threading.local()


def _keys() -> list[Any]:
    if not hasattr(_local, "keys"):
        _local.keys = []
    return _local.keys


@contextlib.contextmanager
def dropout_keys(keys: Tensor, in_inference: bool = False) -> Iterator[None]:
    """Context in which `KeyedDropout` layers in training mode take their masks from `keys`.

    Args:
        keys: uint32 (batch,), one for each row of the network's input.
        in_inference: whether they do in inference mode too, for views of frozen features.
    """
    _keys().append((keys, in_inference))
    try:
        yield
    finally:
        _keys().pop()


@keras.saving.register_keras_serializable("ssl_keras")
class KeyedDropout(keras.layers.Layer):
    """Dropout whose mask is a hash of (key of the row, number of the layer, element).

    Stateless: the same key gives the same mask on one device or several, whole or in slices, eager
    or compiled. Outside `dropout_keys`, and in inference mode unless the keys are for it too, it
    does nothing.

    Args:
        rate: share of the elements that become 0, in [0, 1); the others are scaled by 1/(1-rate).
        number: index of the layer in its network.
    """

    def __init__(self, rate: float, number: int, **arguments: Any):
        super().__init__(**arguments)
        self.rate, self.number = rate, number
        self.supports_masking = True

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """The inputs, in training with a part of their entries set to zero and the others scaled.

        Args:
            inputs: (batch, ...); the masks are a function of the keys of the rows.
            training: whether to drop entries.
        """
        keys, in_inference = _keys()[-1] if _keys() else (None, False)
        if keys is None or self.rate == 0 or not (training or in_inference):
            return inputs
        rate = tf.fill([tf.shape(inputs)[0]], self.rate)
        mask = randomness.keep_mask(keys, self.number, inputs.shape[1:], rate)
        return inputs * tf.cast(mask, inputs.dtype) * tf.cast(1.0 / (1.0 - self.rate), inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate, "number": self.number}


def with_dropout(network: Model, rate: float) -> Model:
    """A copy of a functional Keras model, weights included, with `KeyedDropout` after every
    activation, also of models inside it.

    Activations are the layers ReLU and Activation.

    Raises:
        UserError: it has no such layer.
    """
    numbers = itertools.count()
    activations = (keras.layers.ReLU, keras.layers.Activation)

    def dropout(layer: Any) -> Any:
        return KeyedDropout(rate, next(numbers), dtype=layer.dtype_policy)

    def call(layer: Any, *arguments: Any, **options: Any) -> Any:
        outputs = layer(*arguments, **options)
        return dropout(layer)(outputs) if isinstance(layer, activations) else outputs

    def copied(layer: Any) -> Any:
        if isinstance(layer, type(network)):
            return keras.models.clone_model(layer, call_function=call, clone_function=copied)
        if isinstance(layer, keras.Sequential):
            sequence = keras.Sequential(name=layer.name)
            for inner in layer.layers:
                sequence.add(copied(inner))
                if isinstance(inner, activations):
                    sequence.add(dropout(inner))
            return sequence
        return layer.__class__.from_config(layer.get_config())

    state = random.getstate()  # Keras draws a seed for each initializer of the copy
    copy = copied(network)
    random.setstate(state)
    if next(numbers) == 0:
        raise UserError(
            "views=dropout drops outputs of the layers ReLU and Activation, but this encoder has "
            "none: choose other --views, or another encoder."
        )
    copy.set_weights(network.get_weights())
    return copy
