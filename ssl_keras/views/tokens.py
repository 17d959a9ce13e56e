"""Views of tokens: words left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssl_keras.annotations import Tensor
from ssl_keras.lazy import tf


class TokenTransform:
    """Draws one view of token numbers: each word is left out with probability `deletion_rate`.

    What is left out becomes padding, which encoders skip; the first word stays where none would.
    Word deletion is one of the views that SimCSE compares dropout with (Gao et al. 2021, arXiv
    2104.08821, table 1).

    Args:
        length: of an example.
        deletion_rate: in [0, 1].
    """

    def __init__(self, length: int, deletion_rate: float):
        self.deletion_rate = deletion_rate
        self.num_draws = length if deletion_rate else 0

    def describe(self) -> str:
        """The operations, for the banner."""
        return f"{self.deletion_rate:g} of the words left out" if self.deletion_rate else ""

    def __call__(self, example: Mapping[str, Any], draws: Tensor) -> dict[str, Tensor]:
        """Views of {"ids": (batch, length)}; each is a function of its row of `draws` (batch,
        num_draws)."""
        ids = example["ids"]
        if self.deletion_rate:
            kept = tf.where(draws >= self.deletion_rate, ids, 0.0)
            nothing = tf.reduce_all(kept == 0.0, axis=1, keepdims=True)
            first = tf.concat([ids[:, :1], tf.zeros_like(ids[:, 1:])], axis=1)
            ids = tf.where(nothing, first, kept)
        return {**example, "ids": ids}
