"""The classic losses of metric learning, with the other view as the positive.

Each of the 2N views is an anchor; its positive is the other view of its image. Losses that are not
a sum of alignment and distribution report the part without negatives as `alignment`, and the rest
as `distribution`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

from ssl_keras.annotations import Labels, Tensor, TensorLike
from ssl_keras.lazy import tf
from ssl_keras.losses import functional
from ssl_keras.losses.base import Loss, build_pairs, normalized_pairs
from ssl_keras.losses.pairs import Pairs, safe_root
from ssl_keras.options import option

MINING = ("all", "semi_hard", "hard")


def _plain_pairs(projections_1: Any, projections_2: Any) -> Pairs:
    views_1, views_2 = tf.cast(projections_1, tf.float32), tf.cast(projections_2, tf.float32)
    return build_pairs(views_1, views_2, both_kinds=False)


@dataclass(frozen=True)
class _DotProduct(Loss):
    """Base of the losses of v_ij = f(i).f(pos(i)) - f(i).f(j), j the other images' other views."""

    def compared_with(self, num_images: int) -> str:
        return f"each view with the {num_images - 1} other images' other views"


@dataclass(frozen=True)
class NPair(_DotProduct):
    """N-pair loss: a softmax over dot products of projections that are **not** normalised.

        mean_i log( 1 + sum_j exp(f_i.f_j - f_i.f_pos(i)) )

    with j over the N - 1 views of the other kind of other images. Sohn 2016, "Improved Deep Metric
    Learning with Multi-class N-pair Loss Objective", eq. 5, without its penalty on the length of
    the projections. It is NT-Xent with negatives="cross" at temperature 1, un-normalised. All
    projections equal: log N.

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype; used as they are.
    Returns a float32 scalar, the mean over the 2N anchors.

    >>> float(NPair()([[1.0, 0.0]], [[3.0, 4.0]]))  # one image: no negatives
    0.0
    """

    has_negatives: ClassVar[bool] = True
    streams: ClassVar[bool] = True

    def terms(
        self,
        projections_1: TensorLike,
        projections_2: TensorLike,
        labels: Labels,
        seed: TensorLike,
        implementation: str = "auto",
    ) -> tuple[Tensor, Tensor]:
        views = tf.cast(projections_1, tf.float32), tf.cast(projections_2, tf.float32)
        pairs = build_pairs(
            *views, both_kinds=False, unit_rows=False, implementation=implementation
        )
        attraction, repulsion = functional.nt_xent_terms(pairs, 1.0)
        return tf.reduce_mean(attraction), tf.reduce_mean(repulsion)

    def collapse_value(self, num_images: int, dim: int) -> float:
        return math.log(num_images)


@dataclass(frozen=True)
class Logistic(NPair):
    """Logistic loss of Arora et al.: the N-pair loss in bits.

        mean_i log2( 1 + sum_j exp(-v_ij) ),  v_ij = f_i.f_pos(i) - f_i.f_j

    Arora et al. 2019, "A Theoretical Analysis of Contrastive Unsupervised Representation Learning",
    section 2, with the N - 1 other images' views of the other kind as negatives. Projections are
    **not** normalised. All projections equal: log2(N).

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype; used as they are.
    Returns a float32 scalar, the mean over the 2N anchors.

    >>> same = [[1.0, 0.0]] * 4
    >>> round(float(Logistic()(same, same)), 5)  # log2(N)
    2.0
    """

    def terms(
        self,
        projections_1: TensorLike,
        projections_2: TensorLike,
        labels: Labels,
        seed: TensorLike,
        implementation: str = "auto",
    ) -> tuple[Tensor, Tensor]:
        views = projections_1, projections_2
        attraction, repulsion = super().terms(*views, labels, seed, implementation)
        return attraction / math.log(2), repulsion / math.log(2)

    def collapse_value(self, num_images: int, dim: int) -> float:
        return math.log2(num_images)


@dataclass(frozen=True)
class Hinge(_DotProduct):
    """Hinge loss of Arora et al.: only the hardest negative counts.

        mean_i max( 0, 1 + max_j(-v_ij) ),  v_ij = f_i.f_pos(i) - f_i.f_j

    Arora et al. 2019, section 2, negatives as in `Logistic`. Projections are **not** normalised.
    All projections equal: 1. `alignment` is -mean_i f_i.f_pos(i).

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype; used as they are.
    Returns a float32 scalar, the mean over the 2N anchors.

    >>> float(Hinge()([[1.0, 0.0], [0.0, 1.0]], [[0.5, 0.0], [0.0, 0.5]]))  # v = 1/2
    0.5
    """

    has_negatives: ClassVar[bool] = True

    def terms(
        self, projections_1: TensorLike, projections_2: TensorLike, labels: Labels, seed: TensorLike
    ) -> tuple[Tensor, Tensor]:
        pairs = _plain_pairs(projections_1, projections_2)
        hardest = pairs.hardest(1)[:, 0]
        loss = tf.reduce_mean(tf.nn.relu(1.0 + hardest - pairs.positives))
        alignment = -tf.reduce_mean(pairs.positives)
        return alignment, loss - alignment

    def collapse_value(self, num_images: int, dim: int) -> float:
        return 1.0 if num_images > 1 else 0.0


@dataclass(frozen=True)
class Triplet(Loss):
    """Triplet loss: the positive closer than a negative, by a margin.

        mean over triplets of max( 0, ||f_i - f_pos(i)||^2 - ||f_i - f_j||^2 + margin )

    Schroff et al. 2015, "FaceNet", eq. 3, on normalised projections. `mining` selects the negatives
    j of an anchor: "all" 2N - 2; "hard", the nearest; or "semi_hard", the nearest of those farther
    away than the positive, and the farthest if there is none. All projections equal: margin.
    `alignment` is the mean squared distance to the positive.

    Args:
        margin: at least 0. Default 0.2, the paper's.
        mining: see above. Default "semi_hard", the paper's.

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype, un-normalised.
    Returns a float32 scalar, the mean over triplets, satisfied ones included.

    Raises:
        UserError: margin below 0, or an unknown mining.

    >>> loss = Triplet(margin=0.5, mining="hard")
    >>> pair = [[1.0, 0.0], [0.0, 1.0]]
    >>> float(loss(pair, pair))  # 0 to the positive, 2 to the nearest negative
    0.0
    """

    has_negatives: ClassVar[bool] = True
    margin: float = option(
        0.2, minimum=0, help="distance by which negatives should be farther away"
    )
    mining: str = option("semi_hard", choices=MINING, help="negatives that make triplets")

    def terms(
        self, projections_1: TensorLike, projections_2: TensorLike, labels: Labels, seed: TensorLike
    ) -> tuple[Tensor, Tensor]:
        pairs = normalized_pairs(projections_1, projections_2)
        positives, is_negative = pairs.positive_distances, pairs.is_negative
        distances = pairs.squared_distances
        alignment = tf.reduce_mean(positives)
        if self.mining == "all":
            violations = tf.nn.relu(positives[:, None] - distances + self.margin)
            loss = tf.reduce_mean(pairs.mean_negatives(violations))
            return alignment, loss - alignment
        nearest = _minimum(distances, is_negative)
        if self.mining == "semi_hard":
            farther = tf.logical_and(is_negative, distances > positives[:, None])
            farthest = tf.reduce_max(tf.where(is_negative, distances, 0.0), axis=1)
            exists = tf.reduce_any(farther, axis=1)
            nearest = tf.where(exists, _minimum(distances, farther), farthest)
        violation = tf.nn.relu(positives - nearest + self.margin)
        violation = tf.where(pairs.num_negatives > 0, violation, tf.zeros_like(violation))
        return alignment, tf.reduce_mean(violation) - alignment

    def compared_with(self, num_images: int) -> str:
        count = f"{2 * num_images - 2} negatives"
        return count if self.mining == "all" else f"one {self.mining} negative of {count}"

    def collapse_value(self, num_images: int, dim: int) -> float:
        return self.margin if num_images > 1 else 0.0


def _minimum(values: Any, mask: Any) -> Any:
    """(rows,): the least entry of each row where `mask` is true; 1e30 if there is none."""
    return tf.reduce_min(tf.where(mask, values, 1e30), axis=1)


@dataclass(frozen=True)
class Margin(Loss):
    """Margin loss of pairs: positives together, negatives at least a margin apart.

        mean_i ||f_i - f_pos(i)||^2 + mean_i mean_j max( 0, margin - ||f_i - f_j|| )^2

    Hadsell, Chopra, LeCun 2006, "Dimensionality Reduction by Learning an Invariant Mapping", eq. 4
    (there with factors of one half), after Chopra et al. 2005, over the 2N - 2 negatives of each
    anchor. Projections are **not** normalised: the margin sets their scale. The two means are
    `alignment` and `distribution`. All projections equal: margin^2, with a gradient of 0.

    Args:
        margin: above 0, in the unit of the projections. Default 1.

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype; used as they are.
    Returns a float32 scalar.

    Raises:
        UserError: margin not above 0.

    >>> loss = Margin(margin=2.0)
    >>> float(loss([[0.0], [1.0]], [[0.0], [1.0]]))  # negatives at a distance of 1
    1.0
    """

    has_negatives: ClassVar[bool] = True
    margin: float = option(1.0, above=0, help="distance by which negatives should be farther away")

    def terms(
        self, projections_1: TensorLike, projections_2: TensorLike, labels: Labels, seed: TensorLike
    ) -> tuple[Tensor, Tensor]:
        # Squares of float32 numbers are exact in float64: a small distance far from the origin, or
        # beside a row that is far away, keeps its digits.
        pairs = build_pairs(tf.cast(projections_1, tf.float64), tf.cast(projections_2, tf.float64))
        distances = tf.cast(safe_root(pairs.squared_distances), tf.float32)
        gaps = tf.nn.relu(self.margin - distances)
        distribution = tf.reduce_mean(pairs.mean_negatives(tf.square(gaps)))
        return tf.cast(tf.reduce_mean(pairs.positive_distances), tf.float32), distribution

    def collapse_value(self, num_images: int, dim: int) -> float:
        return self.margin**2 if num_images > 1 else 0.0
