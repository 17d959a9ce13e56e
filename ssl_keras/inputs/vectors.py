"""Vectors: rows of tables, and features of any origin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ssl_keras.annotations import Tensor
from ssl_keras.inputs.base import Example, Modality
from ssl_keras.lazy import tf

PRESETS: dict[str, dict[str, Any]] = {
    "vectors": {"noise_deviation": 0.1, "corruption_rate": 0.3},
    "none": {},
}


@dataclass(frozen=True, eq=False)
class Vectors(Modality):
    """{"x": (dim,), of any float or integer dtype}.

    Each entry is standardised: (x - mean) / deviation, with the mean and the deviation of the
    training split, so that noise and mixup treat all entries alike. The export does the same.

    Attributes:
        mean, deviation: float32 (dim,); deviations are above 0.
    """

    mean: np.ndarray
    deviation: np.ndarray

    name: ClassVar[str] = "vectors"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS

    @classmethod
    def standardizing(cls, x: np.ndarray) -> Vectors:
        """The modality of vectors with the training split `x` (examples, dim). Constant entries
        have a deviation of 1."""
        values = np.asarray(x, np.float64)
        mean, deviation = values.mean(axis=0), values.std(axis=0)
        varies = deviation > 1e-6 * np.maximum(np.abs(mean), 1e-30)
        deviation = np.where(varies, deviation, 1.0)
        return cls(mean.astype(np.float32), deviation.astype(np.float32))

    @property
    def dim(self) -> int:
        return len(self.mean)

    @property
    def network_shape(self) -> tuple[int, ...]:
        return (self.dim,)

    @property
    def preset(self) -> str:
        return "vectors"

    def prepare(self, example: Example) -> Example:
        x = tf.cast(example["x"], tf.float32)
        return {"x": (x - self.mean) / self.deviation}

    def compose(self, example: Example) -> Tensor:
        return example["x"]

    @property
    def defaults(self) -> Mapping[str, Any]:
        return {"noise_deviation": 0.0, "corruption_rate": 0.0}

    def transform(self, operations: Mapping[str, Any], compiled: bool) -> Any:
        from ssl_keras.views.vectors import VectorTransform

        return VectorTransform(self.dim, **operations)

    def mix(self, example: Example, blend: Callable[[Any], Any], extra_channels: bool) -> Example:
        return {"x": blend(example["x"][..., None])[..., 0]}

    def signatures(self) -> dict[str, list[Any]]:
        return {"": [tf.TensorSpec((None, self.dim), tf.float32, name="x")]}

    def serve(self, *arguments: Any) -> Tensor:
        return self.inputs({"x": arguments[0]})

    def arguments(self, example: Example) -> dict[str, np.ndarray]:
        return {"x": np.asarray(example["x"], np.float32)}
