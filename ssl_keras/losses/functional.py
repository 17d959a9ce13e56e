"""The terms of the contrastive losses, as pure functions of projections.

No function normalises, draws random numbers, gathers from other replicas or has state: that is
left to the classes of the losses. Every function computes in float32, whatever the dtype of its
inputs, and returns float32.

Notation: N images have 2N views, with projections of dimension `dim`; `sim` is the dot product of
L2-normalised projections, the cosine similarity.
"""

from __future__ import annotations

from typing import Any

from ssl_keras.annotations import Tensor, TensorLike
from ssl_keras.lazy import tf
from ssl_keras.losses import streaming
from ssl_keras.losses.pairs import MASKED, Pairs, StreamedPairs, compare


def normalize(projections: TensorLike) -> Tensor:
    """Rows scaled to unit length, in float32.

    A row shorter than 1e-6 becomes zero and receives no gradient: its direction is undefined. A row
    longer than 1.8e19, whose square is no finite number, becomes NaN, which stops a training. The
    gradient grows with 1 / length. For rows shorter than about 1e-3 it may exceed float16 (loss
    scaling then skips the step); in float32 and bfloat16 it stays finite.

    Args:
        projections: (batch, dim), any float dtype.
    """
    rows = tf.cast(projections, tf.float32)
    squares = tf.reduce_sum(tf.square(rows), axis=-1, keepdims=True)
    long_enough = squares > 1e-12
    # The inner `where` makes the reciprocal, and with it the gradient, finite.
    scale = tf.math.rsqrt(tf.where(long_enough, squares, 1.0))
    scale = tf.where(tf.math.is_inf(squares), float("nan"), scale)
    return rows * tf.where(long_enough, scale, 0.0)


def alignment(projections_1: TensorLike, projections_2: TensorLike) -> Tensor:
    """Mean squared difference between the two views, halved.

        sum_i ||z1_i - z2_i||^2 / (2 N dim)

    The mean runs over all N * dim entries, as in the authors' code, so **it carries 1/dim**: for
    normalised projections the value is (1 - mean cosine) / dim. Published weights of the
    distribution term assume this convention.

    Source: Chen, Luo, Li, "Intriguing Properties of Contrastive Losses" (arXiv 2011.02803), and
    google-research/simclr, colabs/intriguing_properties/generalized_contrastive_loss.ipynb.

    Args:
        projections_1: (batch, dim), first views; normalise them first if the loss does.
        projections_2: (batch, dim), second views of the same images.

    Returns:
        float32 scalar, averaged over batch and dim.

    >>> float(alignment([[0.0, 2.0]], [[0.0, 0.0]]))
    1.0
    """
    difference = tf.cast(projections_1, tf.float32) - tf.cast(projections_2, tf.float32)
    return tf.reduce_mean(tf.square(difference)) / 2.0


def logsumexp_uniformity(
    projections: TensorLike,
    temperature: TensorLike = 1.0,
    keys: TensorLike = None,
    tiled: bool = False,
) -> Tensor:
    """Log-sum-exp distribution term of the decoupled NT-Xent.

        mean_i [ log sum_k exp(z_i . z_k / temperature) - log(dim) ]

    k runs over **all** rows, row i itself and its positive included; nothing is masked. The
    constant is the log of the *feature dimension*, as in the authors' code, where one would expect
    the log of the number of rows. It has no effect on gradients. If all 2N rows are equal and of
    unit length the value is log(2N) + 1/temperature - log(dim).

    Source: Chen, Luo, Li 2021, equation for L_distribution of the decoupled NT-Xent; authors'
    notebook as above.

    Args:
        projections: (rows, dim), both views concatenated, normalised by the caller.
        temperature: above 0.
        keys: (all rows, dim), the rows to compare with, those of other replicas included. Default:
            `projections`.
        tiled: whether to compute in tiles; rows must then be of unit length.

    Returns:
        float32 scalar, averaged over the rows of `projections`.

    >>> round(float(logsumexp_uniformity([[1.0, 0.0], [1.0, 0.0]], temperature=1.0)), 6)
    1.0
    """
    rows = tf.cast(projections, tf.float32)
    log_dim = tf.math.log(tf.cast(tf.shape(rows)[-1], tf.float32))
    if tiled:
        sums = streaming.log_sum_exp(rows, keys, 1.0 / temperature, product_bound=1.0)
    else:
        keys = rows if keys is None else tf.cast(keys, tf.float32)
        logits = tf.matmul(rows, keys, transpose_b=True) / temperature
        sums = tf.reduce_logsumexp(logits, axis=1)
    return tf.reduce_mean(sums) - log_dim


def sliced_wasserstein(
    projections: TensorLike, prior_samples: TensorLike, directions: TensorLike
) -> Tensor:
    """Sliced Wasserstein distance between projections and samples of a prior.

        mean over columns j and ranks r of ( sort(Z W)_rj - sort(P W)_rj )^2

    Both sets are projected on the same directions (the columns of W), each column is sorted, and
    the squared differences are averaged over all rows * dim entries. No gradient flows into the
    prior samples or the directions. The gradient of the sort is exact, ties included.

    Source: Chen, Luo, Li 2021, algorithm 1 (SWD loss); authors' notebook as above. The original
    sorts by comparing ranks, which is wrong on ties; this uses `tf.sort`.

    Args:
        projections: (samples, dim), both views concatenated.
        prior_samples: (samples, dim), the same shape.
        directions: (dim, dim), orthonormal columns.

    Returns:
        float32 scalar, averaged over samples and dim; 0 for a sample with itself.

    >>> import numpy as np
    >>> points = np.array([[0.0, 1.0], [2.0, 0.0]], "float32")
    >>> float(sliced_wasserstein(points, points[::-1], np.eye(2, dtype="float32")))
    0.0
    """
    directions = tf.stop_gradient(tf.cast(directions, tf.float32))
    prior_samples = tf.stop_gradient(tf.cast(prior_samples, tf.float32))
    # (dim, samples): each direction is a contiguous row, which makes the sort faster.
    sliced = tf.matmul(
        directions, tf.cast(projections, tf.float32), transpose_a=True, transpose_b=True
    )
    sliced_prior = tf.matmul(directions, prior_samples, transpose_a=True, transpose_b=True)
    difference = tf.sort(sliced, axis=1) - tf.sort(sliced_prior, axis=1)
    return tf.reduce_mean(tf.square(difference))


def nt_xent_terms(pairs: Pairs | StreamedPairs, temperature: TensorLike) -> tuple[Tensor, Tensor]:
    """The two terms of NT-Xent for each anchor: attraction to its positive, repulsion from all.

        attraction = - sim(i, pos(i)) / temperature
        repulsion  =   log sum_{k != i} exp(sim(i, k) / temperature)

    The mean of their sum is NT-Xent. k runs over the positive and the negatives of `pairs`.

    Source: Chen et al., "A Simple Framework for Contrastive Learning" (arXiv 2002.05709), eq. 1;
    the split is Chen, Luo, Li 2021, eq. 2 (there multiplied by the temperature).

    Args:
        pairs: of normalised projections.
        temperature: above 0.

    Returns:
        (attraction, repulsion): float32, each (anchors,).
    """
    return -pairs.positives / temperature, pairs.log_sum_others(1.0 / temperature)


def nt_xent(
    projections_1: TensorLike,
    projections_2: TensorLike,
    temperature: float,
    tiled: bool = False,
    both_kinds: bool = True,
) -> Tensor:
    """NT-Xent of one device's projections, normalised by the caller: the mean over 2N anchors.

    Args:
        projections_1, projections_2: (batch, dim), the two views.
        temperature: above 0.
        tiled: whether to compute in tiles.
        both_kinds: whether anchors are compared with both kinds of views, or the other one only.

    >>> same = [[1.0, 0.0], [1.0, 0.0]]
    >>> round(float(nt_xent(same, same, temperature=0.5)), 6)  # collapse: log(2N - 1)
    1.098612
    """
    views_1, views_2 = tf.cast(projections_1, tf.float32), tf.cast(projections_2, tf.float32)
    if tiled:
        pairs: Any = StreamedPairs(views_1, views_2, views_1, views_2, 0, both_kinds, True)
    else:
        pairs = compare(views_1, views_2, both_kinds=both_kinds)
    attraction, repulsion = nt_xent_terms(pairs, temperature)
    return tf.reduce_mean(attraction + repulsion)


def debiased_log_denominator(
    pairs: Pairs | StreamedPairs, temperature: TensorLike, tau_plus: float, beta: float = 0.0
) -> Tensor:
    """Log of the denominator of the debiased and of the hard-negative loss, for each anchor.

        S  = M * sum_j w_j exp(s_j / t),  w = softmax_j(beta s_j / t)   (beta = 0: the plain sum)
        Ng = max( (S - tau_plus * M * exp(s+ / t)) / (1 - tau_plus),  M * exp(-1 / t) )
        result = log( exp(s+ / t) + Ng )

    with s_j over the M negatives of an anchor and s+ its similarity to the positive. Computed
    relative to the largest logit, so that it neither overflows nor vanishes at any temperature.

    Source: Chuang et al. 2020, "Debiased Contrastive Learning", eq. 7 and 8, and chingyaoc/DCL;
    the weights are Robinson et al. 2021, "Contrastive Learning with Hard Negative Samples", eq. 4,
    and joshr17/HCL, image/main.py: gradients flow through them, as in the authors' code.

    Args:
        pairs: of normalised projections.
        temperature: t, above 0.
        tau_plus: probability that a negative is of the anchor's class, in [0, 1).
        beta: concentration on hard negatives, at least 0.

    Returns:
        float32 (anchors,).
    """
    positive = pairs.positives / temperature
    count = tf.cast(pairs.num_negatives, tf.float32)
    log_count = tf.math.log(tf.maximum(count, 1.0))
    log_sum = pairs.log_sum_negatives((1.0 + beta) / temperature)
    if beta:
        # log of M * sum_j w_j exp(l_j): the weights are those of a softmax.
        weighted = log_sum + (log_count - pairs.log_sum_negatives(beta / temperature))
        log_sum = tf.where(count > 0, weighted, log_sum)
    largest = tf.stop_gradient(tf.maximum(log_sum, positive))
    relative_positive = tf.exp(positive - largest)
    share = (tf.exp(log_sum - largest) - tau_plus * count * relative_positive) / (1.0 - tau_plus)
    floor = count * tf.exp(-1.0 / temperature - largest)
    denominator = relative_positive + tf.maximum(share, floor)
    return largest + tf.math.log(denominator)


def supcon_terms(
    pairs: Pairs | StreamedPairs,
    temperature: TensorLike,
    labels: TensorLike = None,
    keys: TensorLike = None,
) -> tuple[Tensor, Tensor]:
    """The two terms of the supervised contrastive loss for each anchor.

        attraction = - mean over p in P(i) of sim(i, p) / temperature
        repulsion  =   log sum_{k != i} exp(sim(i, k) / temperature)

    P(i) are all other views of images of the anchor's class: the mean over positives stands
    *outside* the logarithm. Source: Khosla et al. 2020, "Supervised Contrastive Learning", eq. 2
    (L_out). The authors' code (HobbitLong/SupContrast) multiplies the loss by
    temperature / base_temperature, with a base of 0.07; here there is no such factor.

    Args:
        pairs: of normalised projections, both kinds of views compared.
        temperature: above 0.
        labels, keys: labels of this replica's images and of those of all replicas, see
            `pairs.equal_rows`. None: each image is a class of its own, and the loss is NT-Xent.

    Returns:
        (attraction, repulsion): float32, each (anchors,).
    """
    attraction, repulsion = nt_xent_terms(pairs, temperature)
    if labels is not None:
        attraction = -pairs.mean_of_class(labels, keys) / temperature
    return attraction, repulsion


def powered_distance(projections_1: TensorLike, projections_2: TensorLike, alpha: float) -> Tensor:
    """Mean over rows of ||z1 - z2||^alpha: Wang and Isola's alignment.

    It sums over the dimensions where `alignment` averages: for alpha = 2 it is 2 dim times
    `alignment`. Source: Wang and Isola 2020, "Understanding Contrastive Representation Learning
    through Alignment and Uniformity on the Hypersphere", section 4.1; SsnL/align_uniform.

    Args:
        projections_1, projections_2: (batch, dim), normalised by the caller.
        alpha: above 0.

    >>> round(float(powered_distance([[1.0, 0.0]], [[0.0, 1.0]], alpha=2.0)), 6)
    2.0
    """
    difference = tf.cast(projections_1, tf.float32) - tf.cast(projections_2, tf.float32)
    squares = tf.reduce_sum(tf.square(difference), axis=1)
    if alpha == 2:
        return tf.reduce_mean(squares)
    # At a distance of 0 the gradient of small powers is infinite: it is set to 0.
    different = squares > 1e-12
    powers = tf.where(different, tf.pow(tf.where(different, squares, 1.0), alpha / 2.0), 0.0)
    return tf.reduce_mean(powers)


def log_mean_potential(projections: TensorLike, t: float, tiled: bool = False) -> Tensor:
    """Log of the mean over distinct pairs of exp(-t ||zi - zj||^2): Wang and Isola's uniformity.

    0 if all rows are equal, lower the more evenly they are spread; about -3.94 for random points
    on the sphere in 128 dimensions, at t = 2. Wang and Liu 2021 report it with its sign changed.

    Source: Wang and Isola 2020, section 4.2; SsnL/align_uniform.

    Args:
        projections: (rows, dim), normalised by the caller. With fewer than two rows the value is 0.
        t: above 0.
        tiled: whether to compute in tiles.

    >>> round(float(log_mean_potential([[1.0, 0.0], [0.0, 1.0]], t=2.0)), 6)
    -4.0
    """
    rows = tf.cast(projections, tf.float32)
    count = tf.shape(rows)[0]
    squares = tf.reduce_sum(tf.square(rows), axis=1)
    if tiled:
        # -t ||a - b||^2 as a product of longer rows; no row is longer than 1.
        costs, ones = -t * squares[:, None], tf.ones_like(squares)[:, None]
        anchors = tf.concat([2.0 * t * rows, costs, ones], axis=1)
        keys = tf.concat([rows, ones, costs], axis=1)
        itself = tf.range(count)[:, None]
        total = tf.reduce_logsumexp(
            streaming.log_sum_exp(anchors, keys, excluded=itself, product_bound=4.0 * t + 1e-3)
        )
    else:
        products = tf.matmul(rows, rows, transpose_b=True)
        distances = tf.nn.relu(squares[:, None] + squares[None, :] - 2.0 * products)
        # Every pair occurs twice, in the sum and in the count.
        itself = tf.eye(count, dtype=tf.bool)
        total = tf.reduce_logsumexp(tf.where(itself, MASKED, -t * distances))
    number = tf.cast(count, tf.float32) * tf.cast(count - 1, tf.float32)
    return tf.where(count > 1, total - tf.math.log(tf.maximum(number, 1.0)), 0.0)
