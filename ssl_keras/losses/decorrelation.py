"""Losses without negatives that keep the entries of projections apart: VICReg and Barlow Twins."""

from __future__ import annotations

from dataclasses import dataclass

from ssl_keras.annotations import Labels, Tensor, TensorLike
from ssl_keras.lazy import tf
from ssl_keras.losses.base import Loss, gather
from ssl_keras.options import Scheduled, option

# Added to variances under a square root, by the authors' codes.
_VICREG_EPSILON, _BARLOW_EPSILON = 1e-4, 1e-5


def centred(projections: Tensor) -> Tensor:
    """Projections (batch, dim) minus the mean of each entry."""
    return projections - tf.reduce_mean(projections, axis=0)


def split_diagonal(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """(the diagonal of a square matrix, the matrix with zeros on it)."""
    diagonal = tf.eye(tf.shape(matrix)[0])
    return tf.reduce_sum(diagonal * matrix, axis=1), (1.0 - diagonal) * matrix


@dataclass(frozen=True)
class VICReg(Loss):
    """Variance, invariance, covariance: close views whose entries vary and are uncorrelated.

        alignment_weight * mean over rows and entries of (x - y)^2
            + variance_weight * ( v(x) + v(y) ) / 2  +  covariance_weight * ( c(x) + c(y) )
        v(x) = mean_j max(0, 1 - sqrt(C_jj + 0.0001))        c(x) = sum_{i != j} C_ij^2 / dim

    C is the covariance of the entries over the batch, with N - 1 below. Bardes, Ponce and LeCun
    2022, "VICReg: Variance-Invariance-Covariance Regularization" (arXiv 2105.04906), eq. 1 to 6, as
    facebookresearch/vicreg computes it: the paper's eq. 5 and 6 sum the squared difference over
    entries, and add the variances of both views where the code averages them. Projections are not
    normalised. All projections equal: 0.99 variance_weight.

    As a remedy for suppression it need not know which feature is easy; a few bits fill as few
    entries, and nothing asks for more than uncorrelated ones.

    Args:
        alignment_weight, variance_weight: at least 0, or a schedule. Default 25, the paper's.
        covariance_weight: at least 0, or a schedule. Default 1, the paper's.

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype. Returns a float32
    scalar. `distribution` holds both other terms with their weights. Under `tf.distribute` the
    covariance is that of the global batch.

    Raises:
        UserError: a weight below 0.

    >>> loss = VICReg(variance_weight=0.0)
    >>> view = [[1.0, 1.0], [-1.0, -1.0]]  # two equal entries: C is 2 everywhere
    >>> float(loss(view, view))  # 2 * (2^2 + 2^2) / 2
    8.0
    """

    alignment_weight: Scheduled = option(25.0, minimum=0, help="weight of the alignment term")
    variance_weight: Scheduled = option(25.0, minimum=0, help="weight of the variance in vicreg")
    covariance_weight: Scheduled = option(1.0, minimum=0, help="weight of the covariance in vicreg")

    def terms(
        self, projections_1: TensorLike, projections_2: TensorLike, labels: Labels, seed: TensorLike
    ) -> tuple[Tensor, Tensor]:
        views = [tf.cast(view, tf.float32) for view in (projections_1, projections_2)]
        alignment = tf.reduce_mean(tf.math.squared_difference(*views))
        spread = [_variance_and_covariance(gather(view)) for view in views]
        variance = (spread[0][0] + spread[1][0]) / 2.0
        covariance = spread[0][1] + spread[1][1]
        return alignment, self.variance_weight * variance + self.covariance_weight * covariance

    def compared_with(self, num_images: int) -> str:
        return f"none: entries shall vary over {num_images} views, and not together"

    def collapse_value(self, num_images: int, dim: int) -> float:
        return float(self.variance_weight) * (1.0 - _VICREG_EPSILON**0.5)


def _variance_and_covariance(projections: Tensor) -> tuple[Tensor, Tensor]:
    """The terms v and c of `VICReg` for one view."""
    rows = centred(projections)
    others = tf.maximum(tf.cast(tf.shape(rows)[0], tf.float32) - 1.0, 1.0)
    variances, covariances = split_diagonal(tf.matmul(rows, rows, transpose_a=True) / others)
    deviations = tf.sqrt(variances + _VICREG_EPSILON)
    dim = tf.cast(tf.shape(rows)[1], tf.float32)
    return tf.reduce_mean(tf.nn.relu(1.0 - deviations)), tf.reduce_sum(covariances**2) / dim


@dataclass(frozen=True)
class BarlowTwins(Loss):
    """Barlow Twins: each entry equals itself in the other view, and is unlike all other entries.

        sum_i (1 - C_ii)^2  +  redundancy_weight * sum_{i != j} C_ij^2

    C_ij is the correlation over the batch of entry i of the first views with entry j of the second.
    Zbontar et al. 2021, "Barlow Twins: Self-Supervised Learning via Redundancy Reduction" (arXiv
    2103.03230), eq. 1 and 2; facebookresearch/barlowtwins, where entries are standardised by a
    batch norm: 0.00001 is added to the variances. All projections equal: dim.

    As a remedy for suppression it need not know which feature is easy.

    Args:
        redundancy_weight: at least 0, or a schedule. Default 0.0051, the authors' code's.

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype. Returns a float32
    scalar. Under `tf.distribute` the correlations are those of the global batch.

    Raises:
        UserError: redundancy_weight below 0.

    >>> loss = BarlowTwins(redundancy_weight=1.0)
    >>> view = [[1.0, 1.0], [-1.0, -1.0]]  # two equal entries: every correlation is 1
    >>> round(float(loss(view, view)), 3)
    2.0
    """

    redundancy_weight: Scheduled = option(
        0.0051, minimum=0, help="weight of correlations between entries in barlow_twins"
    )

    @property
    def weights(self) -> tuple[Tensor, Tensor]:
        return 1.0, self.redundancy_weight

    def terms(
        self, projections_1: TensorLike, projections_2: TensorLike, labels: Labels, seed: TensorLike
    ) -> tuple[Tensor, Tensor]:
        rows = [
            _standardized(gather(tf.cast(v, tf.float32))) for v in (projections_1, projections_2)
        ]
        count = tf.cast(tf.shape(rows[0])[0], tf.float32)
        same, others = split_diagonal(tf.matmul(*rows, transpose_a=True) / count)
        return tf.reduce_sum(tf.square(1.0 - same)), tf.reduce_sum(tf.square(others))

    def compared_with(self, num_images: int) -> str:
        return f"none: entries are correlated over {num_images} images"

    def collapse_value(self, num_images: int, dim: int) -> float:
        return float(dim)


def _standardized(projections: Tensor) -> Tensor:
    rows = centred(projections)
    variance = tf.reduce_mean(tf.square(rows), axis=0)
    return rows * tf.math.rsqrt(variance + _BARLOW_EPSILON)
