"""Alignment and uniformity as a loss: Wang and Isola 2020."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ssl_keras.annotations import Labels, Tensor, TensorLike
from ssl_keras.losses import functional, streaming
from ssl_keras.losses.base import Loss, gather
from ssl_keras.options import Scheduled, option


@dataclass(frozen=True)
class AlignUniform(Loss):
    """Alignment and uniformity, optimised directly: close positives, evenly spread views.

        alignment_weight * mean_i ||x_i - y_i||^alpha
            + uniformity_weight * ( uniform(x) + uniform(y) ) / 2
        uniform(x) = log mean_{i < j} exp( -t ||x_i - x_j||^2 )

    x, y are the normalised first and second views. Wang and Isola 2020, "Understanding Contrastive
    Representation Learning through Alignment and Uniformity on the Hypersphere", section 4;
    SsnL/align_uniform. The alignment sums over dimensions: with alpha = 2 it is 2 dim times that of
    the generalized losses (`functional.alignment`), which averages. All projections equal: 0.

    Args:
        alignment_weight: at least 0. Default 1, the paper's; 3 with t = 3 was best on ImageNet-100.
        uniformity_weight: at least 0, or a schedule. Default 1.
        alpha: exponent of the distance, above 0. Default 2.
        t: inverse width of the potential, above 0. Default 2.

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype, un-normalised.
    Returns a float32 scalar. Under `tf.distribute` the pairs span the global batch.

    Raises:
        UserError: a hyperparameter outside its range.

    >>> loss = AlignUniform(uniformity_weight=0.0)
    >>> round(float(loss([[1.0, 0.0]], [[0.0, 3.0]])), 6)  # the alignment alone
    2.0
    """

    streams: ClassVar[bool] = True

    alignment_weight: Scheduled = option(1.0, minimum=0, help="weight of the alignment term")
    uniformity_weight: Scheduled = option(1.0, minimum=0, help="weight of the uniformity term")
    alpha: float = option(2.0, above=0, help="exponent of the distance in align_uniform")
    t: float = option(2.0, above=0, help="inverse width of the potential in align_uniform")

    @property
    def weights(self) -> tuple[Tensor, Tensor]:
        return self.alignment_weight, self.uniformity_weight

    def terms(
        self,
        projections_1: TensorLike,
        projections_2: TensorLike,
        labels: Labels,
        seed: TensorLike,
        implementation: str = "auto",
    ) -> tuple[Tensor, Tensor]:
        views_1, views_2 = functional.normalize(projections_1), functional.normalize(projections_2)
        uniformities = []
        for views in (gather(views_1), gather(views_2)):
            tiled = streaming.is_tiled(implementation, views.shape[0], views.shape[0])
            uniformities.append(functional.log_mean_potential(views, self.t, tiled))
        alignment = functional.powered_distance(views_1, views_2, self.alpha)
        return alignment, (uniformities[0] + uniformities[1]) / 2.0

    def compared_with(self, num_images: int) -> str:
        return f"each view with the {num_images - 1} other views of the same kind"

    def collapse_value(self, num_images: int, dim: int) -> float:
        return 0.0
