"""Names of types in signatures. TensorFlow and Keras ship no types: a type checker sees `Any`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    Tensor: TypeAlias = Any
    TensorLike: TypeAlias = Any
    Labels: TypeAlias = Any
    Model: TypeAlias = Any
else:

    class Tensor:
        """A `tf.Tensor`."""

    class TensorLike:
        """What TensorFlow converts to a tensor: a tensor, a NumPy array, a number, nested lists."""

    class Labels:
        """A mapping from the names of targets to their labels, see `datasets.base.Target`."""

    class Model:
        """A `keras.Model`."""
