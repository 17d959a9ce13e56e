"""Skip-gram with negative sampling: the loss of word2vec."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ssl_keras import randomness
from ssl_keras.annotations import Labels, Tensor, TensorLike
from ssl_keras.lazy import tf
from ssl_keras.losses.base import Loss, first_row, gather
from ssl_keras.options import option


@dataclass(frozen=True)
class SGNS(Loss):
    """Skip-gram with negative sampling: tell the other view from a few noise views.

        mean_i [ -log sigmoid(u_i . v_i) - sum_{j of k noise views} log sigmoid(-u_j . v_i) ]

    v_i is the projection of the first view (the word), u_i that of the second (its context).
    Mikolov et al. 2013 (arXiv 1310.4546), eq. 4. The two terms are `alignment` and `distribution`.
    Projections are not normalised here. All projections zero: (1 + k) log 2, less the noise that is
    skipped.

    The noise is drawn from the second views of the batch. With the labels `unigram` (share of the
    word in the text) and `rate` (share of the word among second views), as `--dataset=skip_gram`
    gives them, a view is drawn in proportion to unigram^noise_power / rate, so that noise words
    follow unigram^noise_power; without them all are equally likely. A noise view that is the second
    view itself, or has its label `context`, is skipped, as in word2vec. Draws depend on the
    seed and on the position in the global batch.

    Args:
        noise_views: k, at least 1. Default 5, word2vec's.
        noise_power: exponent of the noise distribution, in [0, 1]. Default 0.75, word2vec's.

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype, un-normalised.
    Returns a float32 scalar, the mean over first views.

    Raises:
        UserError: a hyperparameter outside its range.

    >>> loss = SGNS(noise_views=5)
    >>> zeros = [[0.0, 0.0]]
    >>> round(float(loss(zeros, zeros)), 6)  # one example: all noise is skipped
    0.693147
    """

    noise_views: int = option(5, minimum=1, maximum=1000, help="noise views of each pair in sgns")
    noise_power: float = option(
        0.75, minimum=0, maximum=1, help="exponent of the words' shares in the noise of sgns"
    )

    def terms(
        self, projections_1: TensorLike, projections_2: TensorLike, labels: Labels, seed: TensorLike
    ) -> tuple[Tensor, Tensor]:
        first = tf.cast(projections_1, tf.float32)
        second = tf.cast(projections_2, tf.float32)
        keys = gather(second)
        given: Mapping[str, Any] = labels if isinstance(labels, Mapping) else {}
        row, batch = first_row(tf.shape(first)[0]), tf.shape(first)[0]
        noise = self._noise(given, tf.shape(keys)[0], seed)[row : row + batch]
        if "context" in given:
            context = tf.convert_to_tensor(given["context"])
            skipped = context[:, None] == tf.gather(gather(context), noise)
        else:
            skipped = noise == (row + tf.range(batch))[:, None]
        # One noise view after the other: a product of (batch, k, dim) takes k times the memory.
        losses = []
        for k in range(self.noise_views):
            products = tf.reduce_sum(first * _rows(keys, noise[:, k]), axis=1)
            losses.append(tf.where(skipped[:, k], 0.0, tf.nn.softplus(products)))
        attraction = tf.nn.softplus(-tf.reduce_sum(first * second, axis=1))
        return tf.reduce_mean(attraction), tf.reduce_mean(tf.add_n(losses))

    def _noise(self, labels: Mapping[str, Any], count: Any, seed: Any) -> Any:
        """Places of the noise views in the global batch: int32 (count, noise_views)."""
        if {"unigram", "rate"} <= set(labels):
            unigram, rate = (
                tf.cast(gather(tf.convert_to_tensor(labels[name])), tf.float64)
                for name in ("unigram", "rate")
            )
            weights = unigram**self.noise_power / rate
        else:
            weights = tf.ones([count], tf.float64)
        upper = tf.cumsum(weights)
        draws = randomness.uniform(randomness.as_key(seed), (count, self.noise_views))
        places = tf.searchsorted(
            upper, tf.reshape(tf.cast(draws, tf.float64) * upper[-1], [-1]), side="right"
        )
        return tf.reshape(tf.minimum(places, count - 1), [count, self.noise_views])

    def compared_rows(self, num_images: int) -> int:
        # All rows would cost more than the loss.
        return math.gcd(num_images, 16)

    def compared_with(self, num_images: int) -> str:
        return f"each first view with {self.noise_views} noise views"

    def collapse_value(self, num_images: int, dim: int) -> float:
        return math.log(2) * (1 + self.noise_views * (1 - 1 / num_images))


def _rows(matrix: Tensor, places: Tensor) -> Tensor:
    """`tf.gather` of rows; its own gradient takes 2.5 times as long (TensorFlow 2.21, CPU)."""

    @tf.custom_gradient
    def rows(matrix: Any) -> Any:
        shape = tf.shape(matrix)
        return tf.gather(matrix, places), lambda upstream: tf.scatter_nd(
            places[:, None], upstream, shape
        )

    return rows(matrix)
