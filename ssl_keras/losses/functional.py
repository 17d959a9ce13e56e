"""The terms of the contrastive losses, as pure functions of projections.

Nothing here normalises, draws random numbers, gathers from other replicas or keeps state: the
classes in `contrastive` and `generalized` do that. Every function computes in float32 whatever
the dtype of its inputs, and returns float32.

Notation of the docstrings: N images give two views, so 2N projections of dimension `dim`;
`sim` is the dot product of L2-normalised projections, the cosine similarity.
"""

from __future__ import annotations

from typing import Any

from ssl_keras.lazy import tf

# The value of a masked logit. Finite, so that no gradient is NaN; exp of it is 0 in float32.
MASKED = -1e9


def normalize(projections: Any) -> Any:
    """Rows scaled to unit length, in float32.

    A row shorter than 1e-6 becomes zero and receives no gradient: its direction is undefined, and
    the gradient next to it would overflow in low precision.

    Args:
        projections: (batch, dim), any float dtype.
    """
    rows = tf.cast(projections, tf.float32)
    squares = tf.reduce_sum(tf.square(rows), axis=-1, keepdims=True)
    long_enough = squares > 1e-12
    # The inner `where` keeps the reciprocal, and with it the gradient, finite.
    scale = tf.math.rsqrt(tf.where(long_enough, squares, 1.0))
    return rows * tf.where(long_enough, scale, 0.0)


def alignment(projections_1: Any, projections_2: Any) -> Any:
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


def logsumexp_uniformity(projections: Any, temperature: float = 1.0, keys: Any = None) -> Any:
    """Log-sum-exp distribution term of the decoupled NT-Xent.

        mean_i [ log sum_k exp(z_i . z_k / temperature) - log(dim) ]

    k runs over **all** rows, row i itself and its positive included; nothing is masked. The
    constant is the log of the *feature dimension*: where one would expect the log of the number
    of rows, the authors' code has log(dim). It has no effect on gradients, and the value is kept
    identical to theirs. If all 2N rows are equal and of unit length the value is
    log(2N) + 1/temperature - log(dim).

    Source: Chen, Luo, Li 2021, equation for L_distribution of the decoupled NT-Xent; authors'
    notebook as above.

    Args:
        projections: (rows, dim): both views, one below the other, normalised by the caller.
        temperature: above 0.
        keys: (all rows, dim), the rows to compare with when they are not `projections` (other
            replicas' rows included). Default: `projections`.

    Returns:
        float32 scalar, averaged over the rows of `projections`.

    >>> round(float(logsumexp_uniformity([[1.0, 0.0], [1.0, 0.0]], temperature=1.0)), 6)
    1.0
    """
    rows = tf.cast(projections, tf.float32)
    keys = rows if keys is None else tf.cast(keys, tf.float32)
    logits = tf.matmul(rows, keys, transpose_b=True) / temperature
    log_dim = tf.math.log(tf.cast(tf.shape(rows)[-1], tf.float32))
    return tf.reduce_mean(tf.reduce_logsumexp(logits, axis=1)) - log_dim


def sliced_wasserstein(projections: Any, prior_samples: Any, directions: Any) -> Any:
    """Sliced Wasserstein distance between projections and samples of a prior.

        mean over columns j and ranks r of ( sort(Z W)_rj - sort(P W)_rj )^2

    Both sets are projected on the same directions (the columns of W), each column is sorted, and
    the squared differences are averaged over all rows * dim entries. No gradient flows into the
    prior samples or the directions. The gradient of the sort is exact, ties included.

    Source: Chen, Luo, Li 2021, algorithm 1 (SWD loss); authors' notebook as above. The original
    sorts by comparing ranks, which is wrong on ties; this uses `tf.sort`.

    Args:
        projections: (samples, dim): both views, one below the other.
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
    # (dim, samples): each direction is a contiguous row, so that the sort runs along memory.
    sliced = tf.matmul(
        directions, tf.cast(projections, tf.float32), transpose_a=True, transpose_b=True
    )
    sliced_prior = tf.matmul(directions, prior_samples, transpose_a=True, transpose_b=True)
    difference = tf.sort(sliced, axis=1) - tf.sort(sliced_prior, axis=1)
    return tf.reduce_mean(tf.square(difference))


def nt_xent_terms(
    projections_1: Any,
    projections_2: Any,
    temperature: float,
    keys_1: Any = None,
    keys_2: Any = None,
    first_row: Any = 0,
) -> tuple[Any, Any]:
    """The two terms of NT-Xent: attraction of the positives, repulsion from everything.

        attraction = - mean_i sim(i, pos(i)) / temperature
        repulsion  =   mean_i log sum_{k != i} exp(sim(i, k) / temperature)

    Their sum is NT-Xent. k runs over the 2N - 1 other views: the positive and 2N - 2 negatives.

    Source: Chen et al., "A Simple Framework for Contrastive Learning" (arXiv 2002.05709), eq. 1;
    the split is Chen, Luo, Li 2021, eq. 2 (there multiplied by the temperature). The authors'
    code (google-research/simclr, tf2/objective.py) *sums* the losses of the two views; this is
    the mean over the 2N anchors, half of theirs.

    Args:
        projections_1, projections_2: (batch, dim), the two views of this replica's images,
            normalised by the caller.
        temperature: above 0.
        keys_1, keys_2: (global batch, dim), the views of all replicas. Default: this replica's.
        first_row: position of this replica's first image in the global batch.

    Returns:
        (attraction, repulsion): float32 scalars, averaged over this replica's 2N anchors.
    """
    views_1, views_2 = tf.cast(projections_1, tf.float32), tf.cast(projections_2, tf.float32)
    keys_1 = views_1 if keys_1 is None else tf.cast(keys_1, tf.float32)
    keys_2 = views_2 if keys_2 is None else tf.cast(keys_2, tf.float32)
    batch, num_keys = tf.shape(views_1)[0], tf.shape(keys_1)[0]
    itself = tf.one_hot(tf.range(batch) + first_row, num_keys)

    def log_sum(anchors: Any, own_keys: Any, other_keys: Any) -> Any:
        same = tf.matmul(anchors, own_keys, transpose_b=True) / temperature
        cross = tf.matmul(anchors, other_keys, transpose_b=True) / temperature
        same = tf.where(itself > 0, MASKED, same)
        return tf.reduce_logsumexp(tf.concat([same, cross], axis=1), axis=1)

    positives = tf.reduce_sum(views_1 * views_2, axis=1)
    attraction = -tf.reduce_mean(positives) / temperature
    repulsion = (
        tf.reduce_mean(log_sum(views_1, keys_1, keys_2) + log_sum(views_2, keys_2, keys_1)) / 2.0
    )
    return attraction, repulsion


def nt_xent(projections_1: Any, projections_2: Any, temperature: float) -> Any:
    """NT-Xent, the mean over 2N anchors: the sum of `nt_xent_terms`, which see.

    >>> same = [[1.0, 0.0], [1.0, 0.0]]
    >>> round(float(nt_xent(same, same, temperature=0.5)), 6)  # collapse: log(2N - 1)
    1.098612
    """
    attraction, repulsion = nt_xent_terms(projections_1, projections_2, temperature)
    return attraction + repulsion
