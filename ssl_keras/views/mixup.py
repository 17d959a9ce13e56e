"""Mixup noise: views that need no domain knowledge."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ssl_keras import randomness


class Mixup(tf.keras.layers.Layer):
    """Views by mixing with another image of the batch: noise that needs no domain knowledge.

        linear:     l x + (1 - l) x'
        geometric:  x^l * x'^(1 - l)
        binary:     m x + (1 - m) x',  m ~ Bernoulli(l) for each pixel, all channels alike

    with l ~ U(alpha, 1) and x' another image of the same view, both drawn anew for each image and
    view. Verma et al. 2021, "Towards Domain-Agnostic Contrastive Learning" (DACL), section 3; there
    is no official code. With several replicas x' is from the replica's own part of the batch.

    Args:
        kind: "linear", "geometric" or "binary".
        alpha: lower end of l, in [0, 1]; the paper's 0.9 by default.
        bits: whether bits (random bits, and extra channels of the source) are mixed as well.
        channels: how many of the first channels are the picture; None: all.
    """

    num_draws = 3

    def __init__(self, kind: str, alpha: float, bits: bool = False, channels: int | None = None):
        super().__init__(dtype="float32")
        self.channels = channels
        self.kind, self.alpha, self.bits = kind, alpha, bits
        self.built = True

    def describe(self) -> str:
        """What it does, for the banner."""
        with_planes = ", bits included" if self.bits else ""
        return f"{self.kind} mixup with a share of at least {self.alpha:g}{with_planes}"

    def call(self, images: Any, draws: Any, bits: Any = None) -> tuple[Any, Any]:
        """Mixed images and bits.

        Args:
            images: (2 batch, h, w, c), the first views above the second.
            draws: (2 batch, 3).
            bits: (2 batch, num_bits) or None.
        """
        batch = tf.shape(images)[0] // 2
        offset = 1 + tf.cast(draws[:, 0] * tf.cast(batch - 1, tf.float32), tf.int32)
        row = tf.range(2 * batch)
        half = row // batch * batch
        partner = half + (row - half + offset) % batch
        share = self.alpha + (1.0 - self.alpha) * draws[:, 1]
        keys = randomness.row_keys(draws[:, 2])
        picture = images if self.bits else images[..., : self.channels]
        mixed = self._mix(picture, tf.gather(picture, partner), share, keys)
        if not self.bits and self.channels is not None:
            mixed = tf.concat([mixed, images[..., self.channels :]], axis=-1)
        if bits is not None and self.bits:
            spread = bits[:, None, None, :]
            others = tf.gather(spread, partner)
            bits = self._mix(spread, others, share, keys)[:, 0, 0, :]
        return mixed, bits

    def _mix(self, images: Any, others: Any, share: Any, keys: Any) -> Any:
        share_of_each = share[:, None, None, None]
        if self.kind == "linear":
            return share_of_each * images + (1.0 - share_of_each) * others
        if self.kind == "geometric":
            return tf.pow(images, share_of_each) * tf.pow(others, 1.0 - share_of_each)
        own = randomness.keep_mask(keys, 0, (*images.shape[1:3], 1), 1.0 - share)
        return tf.where(own, images, others)
