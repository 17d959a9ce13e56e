"""Softmax losses: classify the other view of an anchor among the views of the batch."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar

from ssl_keras.annotations import Labels, Tensor, TensorLike
from ssl_keras.errors import UserError, nearest
from ssl_keras.lazy import tf
from ssl_keras.losses import functional
from ssl_keras.losses.base import Loss, gather, normalized_pairs
from ssl_keras.options import Scheduled, option

NEGATIVES = ("both", "cross")
DIRECTION = ("both", "one")


@dataclass(frozen=True)
class NTXent(Loss):
    """NT-Xent, the loss of SimCLR: find the other view among all views of the batch.

        mean_i [ -sim(i, pos(i)) / temperature + log sum_{k != i} exp(sim(i, k) / temperature) ]

    Chen et al. 2020 (arXiv 2002.05709), eq. 1. The authors' code sums the losses of the two
    views; this is the mean over the 2N anchors, half of theirs. Projections are normalised here.
    `alignment` and `distribution` are the two terms above; their sum is the loss. All projections
    equal: log(2N - 1).

    Args:
        temperature: above 0, or a schedule. Default 0.2: the authors' value for a two-layer head
            of 64 dimensions on CIFAR-10 (google-research/simclr, issue 166).
        negatives: range of k. "both" kinds of views (2N - 2 negatives), or "cross": only views of
            the other kind than the anchor (N - 1 negatives), as in the RandBit notebook of Chen,
            Luo, Li 2021, in SimCSE (Gao et al. 2021, eq. 1) and in Wang and Liu 2021.
        direction: the anchors. "both" views, or "one": the first views alone, as in SimCSE; the
            loss is then not symmetric. The RandBit notebook *sums* both directions:
            twice the value of negatives="cross", direction="both".

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype, un-normalised.
    Returns a float32 scalar, the mean over anchors.

    Raises:
        UserError: temperature not above 0, or an unknown choice.

    >>> loss = NTXent(temperature=0.5)
    >>> float(loss([[1.0, 0.0]], [[3.0, 4.0]]))  # one image: no negatives
    0.0
    """

    has_negatives: ClassVar[bool] = True
    streams: ClassVar[bool] = True

    temperature: Scheduled = option(0.2, above=0, help="softmax temperature")
    negatives: str = option(
        "both", choices=NEGATIVES, help="views that nt_xent compares an anchor with"
    )
    direction: str = option("both", choices=DIRECTION, help="views that are anchors of nt_xent")

    def terms(
        self,
        projections_1: TensorLike,
        projections_2: TensorLike,
        labels: Labels,
        seed: TensorLike,
        implementation: str = "auto",
    ) -> tuple[Tensor, Tensor]:
        both_kinds = self.negatives == "both"
        pairs = normalized_pairs(projections_1, projections_2, both_kinds, implementation)
        attraction, repulsion = functional.nt_xent_terms(pairs, self.temperature)
        if self.direction == "one":
            first = tf.shape(attraction)[0] // 2
            attraction, repulsion = attraction[:first], repulsion[:first]
        return tf.reduce_mean(attraction), tf.reduce_mean(repulsion)

    def compared_with(self, num_images: int) -> str:
        count = (2 if self.negatives == "both" else 1) * (num_images - 1)
        anchors = "each view" if self.direction == "both" else "each first view"
        return f"{anchors} with {count} negatives"

    def collapse_value(self, num_images: int, dim: int) -> float:
        return math.log(2 * num_images - 1 if self.negatives == "both" else num_images)


@dataclass(frozen=True)
class IFM(Loss):
    """Implicit feature modification: NT-Xent, averaged with an NT-Xent that is harder.

        mean_i 1/2 [ l(s+, s_j) + l(s+ - epsilon, s_j + epsilon) ]
        l(s+, s_j) = -s+ / t + log( exp(s+ / t) + sum_j exp(s_j / t) )

    with s+ the similarity to the positive, s_j those to the 2N - 2 negatives. The second term is
    NT-Xent after each view has moved by epsilon in the direction that makes it worse, so that the
    features which tell views apart most easily do not suffice. Robinson et al. 2021, "Can
    contrastive learning avoid shortcut solutions?" (arXiv 2106.11230). epsilon = 0 is NT-Xent.
    Projections are normalised here.

    As a remedy for suppression it need not know which feature is easy, and costs no time.

    Args:
        temperature: t, above 0, or a schedule. Default 0.2, as in `NTXent`.
        epsilon: size of the modification, at least 0. Default 0.1, the paper's.

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype, un-normalised.
    Returns a float32 scalar, the mean over the 2N anchors.

    Raises:
        UserError: a hyperparameter outside its range.

    >>> pair = [[1.0, 0.0], [0.0, 1.0]]
    >>> bool(IFM(epsilon=0.1)(pair, pair) > IFM(epsilon=0.0)(pair, pair))
    True
    """

    has_negatives: ClassVar[bool] = True
    streams: ClassVar[bool] = True

    temperature: Scheduled = option(0.2, above=0, help="softmax temperature")
    epsilon: float = option(0.1, minimum=0, help="size of the modification in ifm")

    def terms(
        self,
        projections_1: TensorLike,
        projections_2: TensorLike,
        labels: Labels,
        seed: TensorLike,
        implementation: str = "auto",
    ) -> tuple[Tensor, Tensor]:
        pairs = normalized_pairs(projections_1, projections_2, implementation=implementation)
        logits = pairs.positives / self.temperature
        negatives = pairs.log_sum_negatives(1.0 / self.temperature)
        # A tensor is used twice at most, so that its gradients are added in one order.
        positives = tf.identity(logits)
        difference = negatives - positives
        modified = difference + 2.0 * self.epsilon / self.temperature
        losses = (tf.nn.softplus(difference) + tf.nn.softplus(modified)) / 2.0
        return -tf.reduce_mean(logits), tf.reduce_mean(losses + positives)

    def collapse_value(self, num_images: int, dim: int) -> float:
        negatives = 2 * num_images - 2
        harder = negatives * math.exp(2 * self.epsilon / float(self.temperature))
        return (math.log1p(negatives) + math.log1p(harder)) / 2


@dataclass(frozen=True)
class Debiased(Loss):
    """Debiased contrastive loss: NT-Xent, corrected for negatives of the anchor's own class.

        mean_i [ -s+ / t + log( exp(s+ / t) + Ng ) ]
        Ng = max( (sum_j exp(s_j / t) - tau_plus * M * exp(s+ / t)) / (1 - tau_plus),
                  M * exp(-1 / t) )

    with s+ the similarity to the positive, s_j those to the M = 2N - 2 negatives. Chuang et al.
    2020, "Debiased Contrastive Learning", eq. 7 and 8; chingyaoc/DCL. tau_plus = 0 is NT-Xent.
    Projections are normalised here. All projections equal: log(2N - 1).

    Args:
        temperature: t, above 0, or a schedule. Default 0.5, the authors' code's.
        tau_plus: probability that a negative is of the anchor's class, in [0, 1): 1 / number of
            classes if they are balanced. Default 0.1, the authors' code's.

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype, un-normalised.
    Returns a float32 scalar, the mean over the 2N anchors.

    Raises:
        UserError: a hyperparameter outside its range.

    >>> loss = Debiased(temperature=0.5, tau_plus=0.1)
    >>> same = [[1.0, 0.0], [1.0, 0.0]]
    >>> round(float(loss(same, same)), 6)  # collapse: log(2N - 1)
    1.098612
    """

    has_negatives: ClassVar[bool] = True
    streams: ClassVar[bool] = True

    temperature: Scheduled = option(0.5, above=0, help="softmax temperature")
    tau_plus: float = option(
        0.1, minimum=0, below=1, help="probability that a negative is of the anchor's class"
    )

    @property
    def concentration(self) -> float:
        """Concentration on hard negatives: beta of `HardNegative`."""
        return 0.0

    def terms(
        self,
        projections_1: TensorLike,
        projections_2: TensorLike,
        labels: Labels,
        seed: TensorLike,
        implementation: str = "auto",
    ) -> tuple[Tensor, Tensor]:
        pairs = normalized_pairs(projections_1, projections_2, implementation=implementation)
        repulsion = functional.debiased_log_denominator(
            pairs, self.temperature, self.tau_plus, self.concentration
        )
        attraction = -tf.reduce_mean(pairs.positives) / self.temperature
        return attraction, tf.reduce_mean(repulsion)

    def collapse_value(self, num_images: int, dim: int) -> float:
        return math.log(2 * num_images - 1)


@dataclass(frozen=True)
class HardNegative(Debiased):
    """Contrastive loss with hard negatives: the debiased loss with more weight on similar ones.

    As `Debiased`, with the sum over negatives replaced by

        M * sum_j exp(beta s_j / t) exp(s_j / t) / sum_j exp(beta s_j / t)

    Robinson et al. 2021, "Contrastive Learning with Hard Negative Samples", eq. 4;
    joshr17/HCL, image/main.py (gradients flow through the weights). beta = 0 is `Debiased`, and
    with tau_plus = 0 NT-Xent. All projections equal: log(2N - 1).

    Args:
        temperature: t, above 0, or a schedule. Default 0.5, the authors' code's.
        tau_plus: see `Debiased`.
        beta: concentration on hard negatives, 0 to 1000. Default 1, the authors' code's. The
            correction is a difference that loses digits where it is small: measured against
            float64 the loss is within 1e-4 for (1 + beta) / t up to 250 and tau_plus up to 0.9; at
            2000 and 0.9 it is off by up to 0.5%.

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype, un-normalised.
    Returns a float32 scalar, the mean over the 2N anchors.

    Raises:
        UserError: a hyperparameter outside its range.

    >>> pair = [[1.0, 0.0], [0.0, 1.0]]
    >>> harder, plain = HardNegative(beta=2.0, tau_plus=0.0), HardNegative(beta=0.0, tau_plus=0.0)
    >>> bool(harder(pair, [[1.0, 0.0], [1.0, 1.0]]) > plain(pair, [[1.0, 0.0], [1.0, 1.0]]))
    True
    """

    beta: float = option(1.0, minimum=0, maximum=1000, help="concentration on hard negatives")

    @property
    def concentration(self) -> float:
        return self.beta


@dataclass(frozen=True)
class SupCon(Loss):
    """Supervised contrastive loss: every view of an image of the anchor's class is a positive.

        mean_i mean_{p in P(i)} [ -sim(i, p) / t + log sum_{k != i} exp(sim(i, k) / t) ]

    P(i): those of the 2N - 1 other views that are of the anchor's class. Khosla et al. 2020,
    "Supervised Contrastive Learning", eq. 2. The authors' code (HobbitLong/SupContrast) multiplies
    by t / 0.07; this has no such factor, so without labels (each image a class of its own) it
    equals NT-Xent. Projections are normalised here. All projections equal: log(2N - 1).

    Args:
        temperature: t, above 0, or a schedule. Default 0.1, the paper's.
        positive_target: name of the target whose equal labels make positives. Vectors are equal if
            all entries are.

    Called with `projections_1`, `projections_2`: (batch, dim), any float dtype, un-normalised, and
    `labels`: {target: (batch,) or (batch, size)}, or that target's labels alone. Returns a
    float32 scalar, the mean over the 2N anchors. Training without those labels is refused.

    Raises:
        UserError: temperature not above 0, or labels of other targets only.

    >>> loss = SupCon(temperature=1.0)
    >>> pair = [[1.0, 0.0], [0.0, 1.0]]
    >>> round(float(loss(pair, pair, labels=[0, 0])), 4) # one class: 3 views, similarities 1, 0, 0
    1.2181
    """

    streams: ClassVar[bool] = True

    temperature: Scheduled = option(0.1, above=0, help="softmax temperature")
    positive_target: str = option("class", help="target whose labels supcon uses")

    def check(self, num_images: int, targets: Collection[str]) -> None:
        if self.positive_target not in targets:
            guess = nearest(self.positive_target, list(targets))
            available = f"it has {', '.join(targets)}" if targets else "it has none"
            hint = f"; did you mean {guess}?" if guess else ": choose another --loss."
            raise UserError(
                f"The loss supcon needs labels of the target {self.positive_target!r}, but the "
                f"data has none ({available}){hint}"
            )

    def terms(
        self,
        projections_1: TensorLike,
        projections_2: TensorLike,
        labels: Labels,
        seed: TensorLike,
        implementation: str = "auto",
    ) -> tuple[Tensor, Tensor]:
        keys = None
        if labels is not None:
            if isinstance(labels, Mapping):
                self.check(0, labels)
                labels = labels[self.positive_target]
            labels = tf.convert_to_tensor(labels)
            images = projections_1.shape[0] if hasattr(projections_1, "shape") else None
            if None not in (images, labels.shape[0]) and labels.shape[0] != images:
                raise UserError(
                    f"supcon needs one label for each image, but there are {labels.shape[0]} "
                    f"labels and {images} images."
                )
            keys = gather(labels)
        pairs = normalized_pairs(projections_1, projections_2, implementation=implementation)
        attraction, repulsion = functional.supcon_terms(pairs, self.temperature, labels, keys)
        return tf.reduce_mean(attraction), tf.reduce_mean(repulsion)

    def compared_with(self, num_images: int) -> str:
        return f"{2 * num_images - 1} views, those of equal {self.positive_target} as positives"

    def collapse_value(self, num_images: int, dim: int) -> float:
        return math.log(2 * num_images - 1)
