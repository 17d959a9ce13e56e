"""Mixup: views without domain knowledge."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ssl_keras import randomness
from ssl_keras.annotations import Tensor
from ssl_keras.lazy import tf


class Mixup(tf.keras.layers.Layer):
    """Views that are mixtures with another example of the batch; no domain knowledge is needed.

        linear:     l x + (1 - l) x'
        geometric:  sign(x) |x|^l |x'|^(1 - l)
        binary:     m x + (1 - m) x',  m ~ Bernoulli(l) for each location, all channels alike

    with l ~ U(alpha, 1) and x' another example of the same view, drawn for each example
    and view. Verma et al. 2021, "Towards Domain-Agnostic Contrastive Learning" (DACL), section 3;
    there is no official code. The sign is for vectors, which may be negative. With several replicas
    x' is from the replica's own part of the batch.

    Args:
        kind: "linear", "geometric" or "binary".
        alpha: lower end of l, in [0, 1]; the paper's 0.9 by default.
        mix: see `inputs.Modality.mix`.
        extra_channels: whether to mix bits and other extra channels too.
    """

    num_draws = 3

    def __init__(
        self,
        kind: str,
        alpha: float,
        mix: Callable[[Mapping[str, Any], Callable[[Any], Any], bool], Mapping[str, Any]],
        extra_channels: bool = False,
    ):
        super().__init__(dtype="float32")
        self.kind, self.alpha, self.mix, self.extra_channels = kind, alpha, mix, extra_channels
        self.built = True

    def describe(self) -> str:
        """The operation, for the banner."""
        extra = ", extra channels included" if self.extra_channels else ""
        return f"{self.kind} mixup with a share of at least {self.alpha:g}{extra}"

    def call(self, example: Mapping[str, Any], draws: Tensor) -> Mapping[str, Tensor]:
        """Mixtures of the rows of `example`.

        Args:
            example: prepared examples (2 batch, ...), the first views above the second.
            draws: (2 batch, 3).
        """
        batch = tf.shape(draws)[0] // 2
        offset = 1 + tf.cast(draws[:, 0] * tf.cast(batch - 1, tf.float32), tf.int32)
        row = tf.range(2 * batch)
        half = row // batch * batch
        partner = half + (row - half + offset) % batch
        share = self.alpha + (1.0 - self.alpha) * draws[:, 1]
        keys = randomness.row_keys(draws[:, 2])

        def blend(values: Any) -> Any:
            return self._blend(values, tf.gather(values, partner), share, keys)

        return self.mix(example, blend, self.extra_channels)

    def _blend(self, values: Any, others: Any, share: Any, keys: Any) -> Any:
        weight = tf.reshape(share, [-1] + [1] * (len(values.shape) - 1))
        if self.kind == "linear":
            return weight * values + (1.0 - weight) * others
        if self.kind == "geometric":
            size = tf.pow(tf.abs(values), weight) * tf.pow(tf.abs(others), 1.0 - weight)
            return tf.where(values < 0, -size, size)
        mask = randomness.keep_mask(keys, 0, (*values.shape[1:-1], 1), 1.0 - share)
        return tf.where(mask, values, others)
