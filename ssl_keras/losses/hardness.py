"""The losses with which Wang and Liu study the temperature: simple, and hard contrastive.

Wang and Liu 2021, "Understanding the Behaviour of Contrastive Loss" (arXiv 2012.09740). At a small
temperature only the hardest negatives have weight in the contrastive loss; at an infinite one all
have the same weight. The simple loss is the latter limit; the hard losses drop easy negatives.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

from ssl_keras.annotations import Labels, Tensor, TensorLike
from ssl_keras.errors import UserError
from ssl_keras.lazy import tf
from ssl_keras.losses import functional
from ssl_keras.losses.base import Loss, gather, normalized_pairs
from ssl_keras.losses.pairs import MASKED, Pairs
from ssl_keras.options import Scheduled, option


@dataclass(frozen=True)
class Simple(Loss):
    """Simple contrastive loss: no softmax, so all negatives have the same weight.

        mean_i [ -s+ + distribution_weight * mean_j s_j ]

    with s+ the similarity to the positive, s_j those to the 2N - 2 negatives. It is computed from
    sums of views, without the similarity matrix. Wang and Liu 2021, with two departures: a mean
    over negatives where the paper has a sum, and both kinds of views as negatives where it has
    those of the other kind. To convert, their lambda is distribution_weight / (number of
    negatives). With a weight of 1 it is the limit of NT-Xent at an infinite temperature:
    temperature * (NT-Xent - log(2N - 1)) -> (2N - 2) / (2N - 1) times this loss. Projections are
    normalised here. All projections equal: distribution_weight - 1.

    Args:
        distribution_weight: at least 0, or a schedule. Default 1, the value of that limit.

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype, un-normalised.
    Returns a float32 scalar, the mean over the 2N anchors.

    Raises:
        UserError: distribution_weight below 0.

    >>> loss = Simple(distribution_weight=0.5)
    >>> pair = [[1.0, 0.0], [0.0, 1.0]]
    >>> float(loss(pair, pair))
    -1.0
    """

    distribution_weight: Scheduled = option(1.0, minimum=0, help="weight of the distribution term")

    def terms(
        self, projections_1: TensorLike, projections_2: TensorLike, labels: Labels, seed: TensorLike
    ) -> tuple[Tensor, Tensor]:
        views_1, views_2 = functional.normalize(projections_1), functional.normalize(projections_2)
        # The four products of the views of two images sum up to that of the sums of their views.
        sums = views_1 + views_2
        total = tf.reduce_sum(sums, axis=0)
        totals = gather(total[None])
        products = tf.reduce_sum(total * tf.reduce_sum(totals, axis=0))
        batch, replicas = tf.shape(sums)[0], tf.shape(totals)[0]
        count = 2 * batch * tf.maximum(2 * batch * replicas - 2, 1)
        mean_negative = (products - tf.reduce_sum(tf.square(sums))) / tf.cast(count, tf.float32)
        return -tf.reduce_mean(tf.reduce_sum(views_1 * views_2, axis=1)), mean_negative

    def collapse_value(self, num_images: int, dim: int) -> float:
        return (float(self.distribution_weight) if num_images > 1 else 0.0) - 1.0


@dataclass(frozen=True)
class _Hardest(Loss):
    """Base of the losses of the hardest negatives only."""

    num_negatives: int | None = option(
        None,
        minimum=1,
        help="number of negatives of a hard loss, the most similar ones (see --quantile)",
    )
    quantile: float | None = option(
        None, above=0, maximum=1, help="share of the negatives in a hard loss, the hardest (0.1)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_negatives is not None and self.quantile is not None:
            raise UserError(
                "num_negatives and quantile both set the number of negatives: leave one out."
            )

    def check(self, num_images: int, targets: Collection[str]) -> None:
        if self.num_negatives is not None and self.num_negatives > 2 * num_images - 2:
            raise UserError(
                f"num_negatives is {self.num_negatives}, but in a batch of {num_images} images "
                f"each view has {2 * num_images - 2} negatives: lower it, or raise --batch_size."
            )

    def num_hardest(self, count: int) -> int:
        """Number of hardest negatives among `count`: at least 1, at most `count`."""
        if self.num_negatives is not None:
            return max(1, min(self.num_negatives, count))
        return max(1, math.floor((0.1 if self.quantile is None else self.quantile) * count + 0.5))

    def hardest(self, pairs: Pairs) -> Tensor:
        """Similarities of the hardest negatives of each anchor: (anchors, number of them)."""
        count = pairs.num_negatives
        static = tf.get_static_value(count)
        if static is not None:
            return pairs.hardest(self.num_hardest(int(static)))
        if self.num_negatives is not None:
            number = tf.minimum(self.num_negatives, count)
        else:
            share = 0.1 if self.quantile is None else self.quantile
            # In the precision of Python, for the number of `num_hardest`.
            number = tf.cast(tf.floor(share * tf.cast(count, tf.float64) + 0.5), tf.int32)
        return pairs.hardest(tf.maximum(number, 1))

    def compared_with(self, num_images: int) -> str:
        return (
            f"the {self.num_hardest(2 * num_images - 2)} hardest of {2 * num_images - 2} negatives"
        )


@dataclass(frozen=True)
class HardContrastive(_Hardest):
    """Hard contrastive loss: NT-Xent with the hardest negatives only.

        mean_i [ -s+ / t + log( exp(s+ / t) + sum_{j in H(i)} exp(s_j / t) ) ]

    H(i): the K negatives of the 2N - 2 that are most similar to the anchor. Wang and Liu 2021
    (negatives above the upper quantile of their similarity; theirs are of the other kind of views
    only, N - 1). With all negatives it is NT-Xent. Projections are normalised here. All projections
    equal: log(K + 1).

    Args:
        temperature: t, above 0, or a schedule. Default 0.2, that of `NTXent`.
        num_negatives: K.
        quantile: K as a share of the negatives, in (0, 1], rounded, at least one. Default 0.1, our
            choice. Set one of the two.

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype, un-normalised.
    Returns a float32 scalar, the mean over the 2N anchors.

    Raises:
        UserError: a hyperparameter outside its range, both of `num_negatives` and `quantile`, or
            more negatives than there are (in training).

    >>> loss = HardContrastive(temperature=1.0, num_negatives=1)
    >>> same = [[1.0, 0.0], [1.0, 0.0]]
    >>> round(float(loss(same, same)), 6)  # collapse: log(K + 1)
    0.693147
    """

    temperature: Scheduled = option(0.2, above=0, help="softmax temperature")

    def terms(
        self, projections_1: TensorLike, projections_2: TensorLike, labels: Labels, seed: TensorLike
    ) -> tuple[Tensor, Tensor]:
        pairs = normalized_pairs(projections_1, projections_2)
        logits = tf.concat([pairs.positives[:, None], self.hardest(pairs)], axis=1)
        repulsion = tf.reduce_logsumexp(logits / self.temperature, axis=1)
        return -tf.reduce_mean(pairs.positives) / self.temperature, tf.reduce_mean(repulsion)

    def collapse_value(self, num_images: int, dim: int) -> float:
        return math.log(1 + self.num_hardest(2 * num_images - 2)) if num_images > 1 else 0.0


@dataclass(frozen=True)
class HardSimple(_Hardest):
    """Simple contrastive loss with the hardest negatives only.

        mean_i [ -s+ + distribution_weight * mean_{j in H(i)} s_j ]

    As `Simple`, H(i) as in `HardContrastive`. Wang and Liu 2021, with a mean where the paper has a
    sum. All projections equal: distribution_weight - 1.

    Args:
        distribution_weight: at least 0, or a schedule.
        num_negatives, quantile: see `HardContrastive`.

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype, un-normalised.
    Returns a float32 scalar, the mean over the 2N anchors.

    Raises:
        UserError: as `HardContrastive`.

    >>> loss = HardSimple(num_negatives=1)
    >>> pair = [[1.0, 0.0], [0.0, 1.0]]
    >>> float(loss(pair, pair))
    -1.0
    """

    distribution_weight: Scheduled = option(1.0, minimum=0, help="weight of the distribution term")

    def terms(
        self, projections_1: TensorLike, projections_2: TensorLike, labels: Labels, seed: TensorLike
    ) -> tuple[Tensor, Tensor]:
        pairs = normalized_pairs(projections_1, projections_2)
        hardest = self.hardest(pairs)
        hardest = tf.where(hardest > MASKED / 2, hardest, 0.0)
        return -tf.reduce_mean(pairs.positives), tf.reduce_mean(hardest)

    def collapse_value(self, num_images: int, dim: int) -> float:
        return (float(self.distribution_weight) if num_images > 1 else 0.0) - 1.0
