"""Views of vectors: Gaussian noise, and entries of other examples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssl_keras.annotations import Tensor
from ssl_keras.lazy import tf


class VectorTransform:
    """Draws one view of standardised vectors.

        corruption:  with probability `corruption_rate` an entry is replaced by the same entry of
                     another example of the batch: a draw from the entry's marginal distribution
        noise:       x + noise_deviation * N(0, 1)

    Corruption is from SCARF (Bahri et al. 2022, arXiv 2106.15147, rate 0.6). Departure: SCARF
    corrupts one of the views, this transform both. With several replicas the other example is from
    the replica's own part of the batch.

    Args:
        dim: length of the vectors.
        noise_deviation: at least 0, in standard deviations of the training split.
        corruption_rate: in [0, 1].
    """

    def __init__(self, dim: int, noise_deviation: float, corruption_rate: float):
        self.dim = dim
        self.noise_deviation, self.corruption_rate = noise_deviation, corruption_rate
        self.num_draws = dim * (bool(noise_deviation) + 2 * bool(corruption_rate))

    def describe(self) -> str:
        """The operations, for the banner."""
        parts = []
        if self.corruption_rate:
            parts.append(f"{self.corruption_rate:g} of the entries from other examples")
        if self.noise_deviation:
            parts.append(f"Gaussian noise of {self.noise_deviation:g}")
        return ", ".join(parts)

    def __call__(self, example: Mapping[str, Any], draws: Tensor) -> dict[str, Tensor]:
        """Views of {"x": (batch, dim)}; each is a function of its row of `draws` (batch,
        num_draws)."""
        x = example["x"]
        blocks = iter(tf.split(draws, max(1, self.num_draws // self.dim), axis=1))
        if self.corruption_rate:
            corrupted, others = next(blocks) < self.corruption_rate, next(blocks)
            batch = tf.shape(x)[0]
            rows = tf.cast(others * tf.cast(batch, tf.float32), tf.int32)
            columns = tf.broadcast_to(tf.range(self.dim), tf.shape(rows))
            x = tf.where(corrupted, tf.gather_nd(x, tf.stack([rows, columns], axis=-1)), x)
        if self.noise_deviation:
            # Draws are multiples of 2^-24, including 0; the shift keeps the inverse finite.
            x += self.noise_deviation * tf.math.ndtri(next(blocks) * (1 - 2**-23) + 2**-24)
        return {**example, "x": x}
