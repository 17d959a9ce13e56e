"""The generalized contrastive losses: alignment + distribution_weight * distribution.

Chen, Luo, Li, "Intriguing Properties of Contrastive Losses" (arXiv 2011.02803), section 2, with
the conventions of the authors' code (google-research/simclr,
colabs/intriguing_properties/generalized_contrastive_loss.ipynb):

| loss                | normalises | distribution term                              |
|---------------------|------------|------------------------------------------------|
| decoupled_nt_xent   | yes        | log-sum-exp of the similarities                |
| hypersphere_prior   | yes        | sliced Wasserstein distance to the unit sphere |
| uniform_prior       | no         | ... to the cube [-1, 1]^dim                    |
| gaussian_prior      | no         | ... to N(0, I)                                 |

The alignment term averages over batch *and* dim (see `functional.alignment`): relative to a loss
with 1 - cosine, a weight of the distribution term counts dim times as much.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from ssl_keras import randomness
from ssl_keras.annotations import Labels, Tensor, TensorLike
from ssl_keras.lazy import tf
from ssl_keras.losses import functional, priors, streaming
from ssl_keras.losses.base import Loss, gather
from ssl_keras.options import Scheduled, option


@dataclass(frozen=True)
class DecoupledNTXent(Loss):
    """Decoupled NT-Xent: NT-Xent with its two terms weighted separately.

        alignment(z1, z2) + distribution_weight * logsumexp_uniformity([z1; z2], temperature)

    Chen, Luo, Li 2021, table 1. Departures from NT-Xent, all the authors': the alignment carries
    1/dim, the sum runs over all 2N rows (self and positive included), and the constant log(dim)
    is subtracted. Projections are normalised here.

    Args:
        temperature: above 0; default 1, the notebook's.
        distribution_weight: lambda, at least 0. Default 0.1, which a re-implementation used for
            CIFAR-10; the notebook's default is 1.

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype, un-normalised.
    Returns a float32 scalar.

    Raises:
        UserError: a hyperparameter outside its range.

    >>> loss = DecoupledNTXent(temperature=1.0, distribution_weight=1.0)
    >>> round(float(loss([[2.0, 0.0]], [[3.0, 0.0]])), 6)  # collapse: log(2) + 1 - log(2)
    1.0
    """

    streams: ClassVar[bool] = True

    temperature: Scheduled = option(1.0, above=0, help="softmax temperature")
    distribution_weight: Scheduled = option(0.1, minimum=0, help="weight of the distribution term")

    def terms(
        self,
        projections_1: TensorLike,
        projections_2: TensorLike,
        labels: Labels,
        seed: TensorLike,
        implementation: str = "auto",
    ) -> tuple[Tensor, Tensor]:
        views_1, views_2 = functional.normalize(projections_1), functional.normalize(projections_2)
        both = tf.concat([views_1, views_2], axis=0)
        keys_1, keys_2 = gather(views_1), gather(views_2)
        keys = None if keys_1 is views_1 else tf.concat([keys_1, keys_2], axis=0)
        tiled = streaming.is_tiled(
            implementation, both.shape[0], (both if keys is None else keys).shape[0]
        )
        return (
            functional.alignment(views_1, views_2),
            functional.logsumexp_uniformity(both, self.temperature, keys, tiled),
        )

    def compared_with(self, num_images: int) -> str:
        return f"all {2 * num_images} views, {2 * num_images - 2} of them negatives"

    def collapse_value(self, num_images: int, dim: int) -> float:
        distribution = math.log(2 * num_images) + 1 / self.temperature - math.log(dim)
        return float(self.distribution_weight * distribution)


@dataclass(frozen=True)
class PriorLoss(Loss):
    """Alignment plus the sliced Wasserstein distance to a prior: base of the prior losses.

        alignment(z1, z2) + distribution_weight * sliced_wasserstein([z1; z2], P, W)

    W is a random orthogonal matrix and P a sample of the prior, both drawn from `seed`: equal on
    all replicas, different at each step. Under `tf.distribute` the sorted columns span the global
    batch.
    """

    distribution_weight: Scheduled = option(5.0, minimum=0, help="weight of the distribution term")

    normalizes: ClassVar[bool]
    prior: ClassVar[Callable[[Any, Any], Any]]

    def terms(
        self, projections_1: TensorLike, projections_2: TensorLike, labels: Labels, seed: TensorLike
    ) -> tuple[Tensor, Tensor]:
        prepare = functional.normalize if self.normalizes else _as_float32
        views_1, views_2 = prepare(projections_1), prepare(projections_2)
        both = tf.concat([gather(views_1), gather(views_2)], axis=0)
        key = randomness.as_key(seed)
        # The number of columns is static in every model; the number of rows need not be.
        directions = priors.random_directions(randomness.fold(key, 0), both.shape[-1])
        samples = type(self).prior(randomness.fold(key, 1), tf.shape(both))
        return (
            functional.alignment(views_1, views_2),
            functional.sliced_wasserstein(both, samples, directions),
        )

    def compared_with(self, num_images: int) -> str:
        return f"none: {2 * num_images} views are matched with as many samples of the prior"

    def second_moment(self, dim: int) -> float:
        """The mean square of one coordinate of a sample of the prior."""
        raise NotImplementedError(f"{type(self).__name__} does not define its second moment")

    def collapse_value(self, num_images: int, dim: int) -> float:
        # The mean squares of the projections (0 if they are not normalised) and of the samples.
        mean_square = 1 / dim if self.normalizes else 0.0
        return float(self.distribution_weight) * (mean_square + self.second_moment(dim))


def _as_float32(projections: Any) -> Any:
    return tf.cast(projections, tf.float32)


@dataclass(frozen=True)
class UniformPrior(PriorLoss):
    """Alignment, and projections distributed uniformly on the cube [-1, 1]^dim.

        alignment(z1, z2) + distribution_weight * SWD([z1; z2], U(-1, 1)^dim)

    Chen, Luo, Li 2021, table 1 ("uniform hypercube"); the notebook's `dist='uniform'`,
    `hidden_norm=False`: projections are **not** normalised.

    Args:
        distribution_weight: lambda, at least 0. Default 5, which a re-implementation used with
            batches of 128 and 1024; the notebook's default is 1.

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype; directions and
    samples are drawn from `seed` (pass another one at each step). Returns a float32 scalar.

    Raises:
        UserError: distribution_weight below 0.

    >>> loss = UniformPrior(distribution_weight=0.0)
    >>> float(loss([[0.0, 2.0]], [[0.0, 0.0]]))  # the alignment alone
    1.0
    """

    normalizes = False
    prior = priors.cube

    def second_moment(self, dim: int) -> float:
        return 1 / 3


@dataclass(frozen=True)
class HyperspherePrior(PriorLoss):
    """Alignment, and projections distributed uniformly on the unit sphere.

        alignment(z1, z2) + distribution_weight * SWD([z1; z2], uniform on the sphere)

    Chen, Luo, Li 2021, table 1 ("uniform hypersphere"); the notebook's `dist='normal'`,
    `hidden_norm=True`: projections and samples are both normalised, so the scale of the projections
    has no effect.

    Args:
        distribution_weight: lambda, at least 0. Default 5, see `UniformPrior`.

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype, un-normalised;
    directions and samples are drawn from `seed`. Returns a float32 scalar.

    Raises:
        UserError: distribution_weight below 0.

    >>> loss = HyperspherePrior(distribution_weight=0.0)
    >>> float(loss([[0.0, 2.0]], [[3.0, 0.0]]))  # (1 - cosine) / dim
    0.5
    """

    normalizes = True
    prior = priors.hypersphere

    def second_moment(self, dim: int) -> float:
        return 1 / dim


@dataclass(frozen=True)
class GaussianPrior(PriorLoss):
    """Alignment, and projections with a standard normal distribution.

        alignment(z1, z2) + distribution_weight * SWD([z1; z2], N(0, I))

    Chen, Luo, Li 2021, table 1 ("normal distribution"); the notebook's `dist='normal'`,
    `hidden_norm=False`: projections are **not** normalised.

    Args:
        distribution_weight: lambda, at least 0. Default 5, see `UniformPrior`.

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype; directions and
    samples are drawn from `seed`. Returns a float32 scalar.

    Raises:
        UserError: distribution_weight below 0.

    >>> loss = GaussianPrior(distribution_weight=0.0)
    >>> float(loss([[1.0, 1.0]], [[0.0, 0.0]]))
    0.5
    """

    normalizes = False
    prior = priors.gaussian

    def second_moment(self, dim: int) -> float:
        return 1.0
