"""Losses that contrast each anchor with the other images of the batch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ssl_keras.lazy import tf
from ssl_keras.losses import functional
from ssl_keras.losses.base import Loss, first_row, gather
from ssl_keras.registry import option


@dataclass(frozen=True)
class NTXent(Loss):
    """NT-Xent, the loss of SimCLR: find the other view among all views of the batch.

        mean_i [ -sim(i, pos(i)) / temperature + log sum_{k != i} exp(sim(i, k) / temperature) ]

    Chen et al. 2020 (arXiv 2002.05709), eq. 1. The authors' code sums the losses of the two
    views; this is the mean over the 2N anchors, half of theirs. Projections are normalised here.
    `alignment` and `distribution` are the two terms above; their sum is the loss. All projections
    equal: log(2N - 1).

    Args:
        temperature: above 0. Default 0.2: the authors' value for a two-layer head of 64
            dimensions on CIFAR-10 (google-research/simclr, issue 166).

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype, un-normalised.
    Returns a float32 scalar, the mean over anchors.

    Raises:
        UserError: temperature not above 0.

    >>> loss = NTXent(temperature=0.5)
    >>> float(loss([[1.0, 0.0]], [[3.0, 4.0]]))  # one image: no negatives
    0.0
    """

    temperature: float = option(0.2, above=0, help="softmax temperature")

    def terms(
        self, projections_1: Any, projections_2: Any, labels: Any, seed: Any
    ) -> tuple[Any, Any]:
        views_1, views_2 = functional.normalize(projections_1), functional.normalize(projections_2)
        return functional.nt_xent_terms(
            views_1,
            views_2,
            self.temperature,
            keys_1=gather(views_1),
            keys_2=gather(views_2),
            first_row=first_row(tf.shape(views_1)[0]),
        )

    def collapse_value(self, num_images: int, dim: int) -> float | None:
        return math.log(2 * num_images - 1)
