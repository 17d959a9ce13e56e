"""Measures of representations, as pure functions. Float32 inside, whatever the input."""

from __future__ import annotations

import math
from typing import Any

from ssl_keras import randomness
from ssl_keras.annotations import Tensor, TensorLike
from ssl_keras.lazy import tf
from ssl_keras.losses import functional, priors, streaming
from ssl_keras.losses.functional import normalize
from ssl_keras.losses.pairs import compare, group


def contrastive_accuracy(
    projections_1: TensorLike,
    projections_2: TensorLike,
    keys_2: TensorLike | None = None,
    first_row: TensorLike = 0,
) -> Tensor:
    """Share of first views whose most similar second view (cosine) is of the same image.

    Source: google-research/simclr, tf2/metrics.py (argmax over the cross-view block).

    Args:
        projections_1, projections_2: (batch, dim), the two views.
        keys_2: (global batch, dim), second views of all replicas. Default: `projections_2`.
        first_row: position of this replica's first image in the global batch.

    Returns:
        float32 scalar in [0, 1]; chance is 1 / global batch.
    """
    anchors = normalize(projections_1)
    keys = normalize(projections_2 if keys_2 is None else keys_2)
    if streaming.is_better(anchors.shape[0], keys.shape[0]):
        nearest = streaming.nearest(anchors, keys)
    else:
        similarities = tf.matmul(anchors, keys, transpose_b=True)
        nearest = tf.argmax(similarities, axis=1, output_type=tf.int32)
    positives = tf.range(tf.shape(anchors)[0]) + first_row
    return tf.reduce_mean(tf.cast(nearest == positives, tf.float32))


def grouped_accuracy(
    projections_1: TensorLike, projections_2: TensorLike, group_size: int
) -> Tensor:
    """`contrastive_accuracy` inside groups: a view is compared with the second views of its group.

    Args:
        projections_1, projections_2: (batch, dim), the two views; whole groups of rows.
        group_size: rows of a group.

    Returns:
        float32 scalar in [0, 1]; chance is 1 / group_size.
    """
    first, second = (
        tf.reshape(normalize(rows), [-1, group_size, rows.shape[-1]])
        for rows in (projections_1, projections_2)
    )
    nearest = tf.argmax(tf.matmul(first, second, transpose_b=True), axis=2, output_type=tf.int32)
    return tf.reduce_mean(tf.cast(nearest == tf.range(group_size), tf.float32))


def target_loss(kind: str, labels: TensorLike, logits: TensorLike) -> Tensor:
    """Mean cross-entropy of a probe: softmax for a class, sigmoid for bits. float32 scalar.

    Args:
        kind: kind of the `datasets.Target`.
        labels: (batch,) integers for a class, (batch, size) of 0 and 1 for bits.
        logits: (batch, size).
    """
    logits = tf.cast(logits, tf.float32)
    if kind == "class":
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    else:
        targets = tf.cast(labels, tf.float32)
        losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
    return tf.reduce_mean(losses)


def target_accuracy(kind: str, labels: TensorLike, logits: TensorLike) -> Tensor:
    """Share of right decisions (for bits: the mean over bits). float32 scalar in [0, 1].

    Args: as `target_loss`.
    """
    if kind == "class":
        right = tf.argmax(logits, axis=1, output_type=tf.int32) == tf.cast(labels, tf.int32)
    else:
        right = (logits > 0) == (labels > 0)
    return tf.reduce_mean(tf.cast(right, tf.float32))


def alignment(
    representations_1: TensorLike, representations_2: TensorLike, alpha: float = 2.0
) -> Tensor:
    """Mean distance of the two views of an image, ||x - y||^alpha, on the unit sphere.

    0 if they are equal; at alpha = 2 it is 2 (1 - mean cosine), 2 for unrelated views. Wang and
    Isola 2020, section 4.1.

    Args:
        representations_1, representations_2: (images, dim), normalised here.
        alpha: above 0.
    """
    return functional.powered_distance(
        normalize(representations_1), normalize(representations_2), alpha
    )


def uniformity(representations: TensorLike, t: float = 2.0) -> Tensor:
    """Log of the mean potential of pairs on the unit sphere: log mean exp(-t ||x - x'||^2).

    0 if all are equal, lower the more evenly spread. Wang and Isola 2020, section 4.2; Wang and Liu
    2021 report it with the opposite sign.

    Args:
        representations: (images, dim), normalised here.
        t: above 0.
    """
    rows = normalize(representations)
    tiled = streaming.is_better(rows.shape[0], rows.shape[0])
    return functional.log_mean_potential(rows, t, tiled)


def tolerance(representations: TensorLike, labels: TensorLike, printed: bool = False) -> Tensor:
    """Mean cosine of pairs of different images of equal label.

    Wang and Liu 2021. Their printed formula averages over *all* pairs, with 0 for pairs of
    different classes, and cannot give their printed values (0.37 with ten classes);
    `printed=True` computes it.

    Args:
        representations: (images, dim), normalised here.
        labels: (images,), or vectors (images, size), which are equal if all entries are.
        printed: whether to average over all pairs.

    Returns:
        float32 scalar; NaN if no two images have the same label.
    """
    rows = normalize(representations)
    count, groups = tf.shape(rows)[0], group(labels)
    # All products of the rows of a class sum up to the square of the sum of its rows.
    sums = tf.math.unsorted_segment_sum(rows, groups, count)
    total = tf.reduce_sum(tf.square(sums)) - tf.reduce_sum(tf.square(rows))
    ones = tf.ones([count])
    sizes = tf.math.unsorted_segment_sum(ones, groups, count)
    number = tf.cast(count, tf.float32)
    same = tf.reduce_sum(sizes * (sizes - 1.0))
    return tf.where(same > 0, total, 0.0) / (number * (number - 1.0) if printed else same)


def effective_rank(representations: TensorLike) -> Tensor:
    """Effective number of dimensions: exp of the entropy of the singular values.

    Between 1 (all on one line) and min(images, dim). Roy and Vetterli 2007; as a measure of
    representations Garrido et al. 2023 (RankMe). Not centred. Computed in float64. NaN if a
    representation is not finite.

    Args:
        representations: (images, dim).
    """
    rows = tf.cast(representations, tf.float64)
    finite = tf.reduce_all(tf.math.is_finite(rows))
    rows = tf.where(finite, rows, 0.0)
    images, dim = rows.shape
    wide = images is not None and images < dim
    gram = tf.matmul(rows, rows, transpose_a=not wide, transpose_b=wide)
    values = tf.sqrt(tf.nn.relu(tf.linalg.eigvalsh(gram)))
    shares = values / tf.maximum(tf.reduce_sum(values), 1e-30)
    # Zero representations have no direction: all shares are 0, the rank is 1.
    entropy = -tf.reduce_sum(tf.math.xlogy(shares, shares))
    return tf.cast(tf.where(finite, tf.exp(entropy), float("nan")), tf.float32)


def mean_norm(representations: TensorLike) -> Tensor:
    """Mean length of representations (images, dim)."""
    return tf.reduce_mean(tf.norm(tf.cast(representations, tf.float32), axis=1))


def contrastive_entropy(
    representations_1: TensorLike, representations_2: TensorLike, temperature: TensorLike = 1.0
) -> Tensor:
    """Mean entropy, in nats, of the softmax of a first view's cosines with all second views.

    Between 0 and log(images). Source: google-research/simclr, tf2/metrics.py, where the logits are
    those of the loss.

    Args:
        representations_1, representations_2: (images, dim), the two views, normalised here.
        temperature: above 0.
    """
    anchors, keys = normalize(representations_1), normalize(representations_2)

    def entropies(cosines: Any) -> Any:
        logs = tf.nn.log_softmax(cosines / temperature, axis=1)
        return -tf.reduce_sum(tf.exp(logs) * logs, axis=1, keepdims=True)

    return tf.reduce_mean(streaming.per_anchor(entropies, anchors, keys, None, 1))


def relative_penalties(
    representations_1: TensorLike, representations_2: TensorLike, temperature: TensorLike
) -> tuple[Tensor, Tensor]:
    """Share of each negative in the gradient of a contrastive loss.

        r_ij = exp(s_ij / t) / sum_{k != i} exp(s_ik / t)

    The gradient on the negative j relative to that on the positive; sums to 1 over the negatives.
    Wang and Liu 2021. The lower the temperature, the larger the shares of the hardest negatives.

    Args:
        representations_1, representations_2: (images, dim), the two views, normalised here.
        temperature: t, above 0.

    Returns:
        (similarities, penalties): (2 images, 2 images - 2) each, a row of negatives for each
        anchor, most similar first.
    """
    pairs = compare(normalize(representations_1), normalize(representations_2))
    similarities = pairs.hardest(pairs.num_negatives)
    return similarities, tf.nn.softmax(similarities / temperature, axis=1)


def hardness_awareness(
    representations_1: TensorLike,
    representations_2: TensorLike,
    temperature: TensorLike,
    share: float = 0.01,
) -> tuple[Tensor, Tensor]:
    """Concentration of the gradient of a contrastive loss on hard negatives.

    Two means over the anchors of their `relative_penalties`, computed in blocks of rows. As the
    temperature falls, the first falls and the second grows (Wang and Liu 2021).

    Args:
        representations_1, representations_2: (images, dim), the two views, normalised here.
        temperature: above 0.
        share: share of the negatives that count as hardest, in (0, 1]; at least one does.

    Returns:
        (entropy of the penalties in nats, at most log(2 images - 2); sum of the penalties of the
        hardest negatives, in (0, 1]), float32 scalars.
    """
    rows = tf.concat([normalize(representations_1), normalize(representations_2)], axis=0)
    count = tf.shape(representations_1)[0]
    itself = tf.range(2 * count)
    negatives = tf.cast(2 * count - 2, tf.float32)
    num_hardest = tf.cast(tf.maximum(tf.round(share * negatives), 1.0), tf.int32)

    def summary(products: Any) -> Any:
        penalties = tf.nn.softmax(products / temperature, axis=1)
        entropies = -tf.reduce_sum(tf.math.xlogy(penalties, penalties), axis=1)
        hardest = tf.reduce_sum(tf.math.top_k(penalties, num_hardest).values, axis=1)
        return tf.stack([entropies, hardest], axis=1)

    excluded = tf.stack([itself, tf.roll(itself, count, axis=0)], axis=1)
    means = tf.reduce_mean(streaming.per_anchor(summary, rows, rows, excluded, 2), axis=0)
    return means[0], means[1]


def mutual_information_bound(
    representations_1: TensorLike, representations_2: TensorLike, temperature: TensorLike
) -> tuple[Tensor, Tensor]:
    """A lower bound, in nats, of the mutual information of the two views' representations.

        I >= log N - NT-Xent, with the N views of the other kind as candidates

    It cannot exceed its ceiling log N, however large the information is. van den Oord et al. 2018
    (InfoNCE), the mean over both directions. The negatives must be independent of the anchor: views
    of its own kind, which NT-Xent has too, are not what the other view is drawn from.

    Args:
        representations_1, representations_2: (images, dim), the two views, normalised here.
        temperature: above 0.

    Returns:
        (bound, ceiling), float32 scalars.
    """
    views = normalize(representations_1), normalize(representations_2)
    rows = views[0].shape[0] and 2 * views[0].shape[0]
    tiled = streaming.is_better(rows, views[0].shape[0])
    loss = functional.nt_xent(*views, temperature, tiled=tiled, both_kinds=False)
    ceiling = tf.math.log(tf.cast(tf.shape(representations_1)[0], tf.float32))
    return ceiling - loss, ceiling


def prior_distances(representations: TensorLike, seed: TensorLike) -> dict[str, Tensor]:
    """Sliced Wasserstein distance to each prior of the generalized losses.

    Representations are normalised for the unit sphere, and unchanged for the cube [-1, 1]^dim and
    N(0, I). See `losses.functional.sliced_wasserstein`.

    Args:
        representations: (images, dim).
        seed: of directions and samples, see `randomness.as_key`.

    Returns:
        {"hypersphere", "cube", "gaussian"}: float32 scalars.
    """
    rows = tf.cast(representations, tf.float32)
    key = randomness.as_key(seed)
    directions = priors.random_directions(randomness.fold(key, 0), rows.shape[1])
    cases = {
        "hypersphere": (normalize(rows), priors.hypersphere),
        "cube": (rows, priors.cube),
        "gaussian": (rows, priors.gaussian),
    }
    return {
        name: functional.sliced_wasserstein(
            points, sampler(randomness.fold(key, 1), tf.shape(rows)), directions
        )
        for name, (points, sampler) in cases.items()
    }


def pairwise_logistic_loss(representations_1: TensorLike, representations_2: TensorLike) -> Tensor:
    """The unsupervised logistic loss with one negative, in bits: L_un of Arora et al. 2019.

        mean over anchors i and other images j of log2(1 + exp(-f_i.(f_pos(i) - f_j)))

    j are views of the other kind. Chance level: 1.

    Args:
        representations_1, representations_2: (images, dim), the two views, used as they are.
    """
    views = [tf.cast(r, tf.float32) for r in (representations_1, representations_2)]
    count = tf.shape(views[0])[0]
    positives = tf.reduce_sum(views[0] * views[1], axis=1, keepdims=True)
    ones = tf.ones_like(positives)

    def total(products: Any) -> Any:
        return tf.reduce_sum(tf.math.softplus(products), axis=1, keepdims=True)

    sums = [
        # Products of rows longer by one column: f_i.f_j - f_i.f_pos(i).
        streaming.per_anchor(
            total,
            tf.concat([anchors, -positives], axis=1),
            tf.concat([others, ones], axis=1),
            tf.range(count)[:, None],
            1,
        )
        for anchors, others in (views, reversed(views))
    ]
    return tf.reduce_mean(sums) / (math.log(2) * tf.cast(tf.maximum(count - 1, 1), tf.float32))


def mean_classifier_bound(unsupervised_loss: float, collision: float) -> float:
    """Bound of Arora et al. 2019 (theorem 4.1) on `mean_classifier_loss`: (L - c) / (1 - c).

    Args:
        unsupervised_loss: L, see `pairwise_logistic_loss`.
        collision: c, the probability that a negative is of the anchor's class, below 1.
    """
    return (unsupervised_loss - collision) / (1 - collision)


def mean_classifier_loss(
    representations: TensorLike, labels: TensorLike, num_classes: int
) -> Tensor:
    """Supervised loss of the mean classifier, averaged over all tasks of two classes, in bits.

        mean over classes c, c' of mean over images x of c of log2(1 + exp(-f(x).(mu_c - mu_c')))

    mu_c is the mean representation of class c, for the class of x without x itself: with it,
    representations without information would score better than chance. The L_sup^mu of Arora et
    al. 2019 with the logistic loss, which they bound by the unsupervised loss. Chance level: 1.

    Args:
        representations: (images, dim), used as they are.
        labels: (images,), integers.
        num_classes: number of classes; those with fewer than two images are left out.

    Returns:
        float32 scalar; NaN if fewer than two classes remain.
    """
    rows = tf.cast(representations, tf.float32)
    members = tf.one_hot(labels, num_classes)
    counts = tf.reduce_sum(members, axis=0)
    means = tf.matmul(members, rows, transpose_a=True) / tf.maximum(counts, 1.0)[:, None]
    scores = tf.matmul(rows, means, transpose_b=True)
    label_scores = tf.reduce_sum(members * scores, axis=1, keepdims=True)
    label_counts = tf.reduce_sum(members * counts, axis=1, keepdims=True)
    squares = tf.reduce_sum(tf.square(rows), axis=1, keepdims=True)
    label_scores = (label_counts * label_scores - squares) / tf.maximum(label_counts - 1.0, 1.0)
    losses = tf.math.softplus(scores - label_scores) / math.log(2)
    # First over the images of each class, then over ordered pairs of different classes.
    by_class = tf.matmul(members, losses, transpose_a=True) / tf.maximum(counts, 1.0)[:, None]
    present = counts > 1
    tasks = tf.logical_and(present[:, None], present[None, :])
    tasks = tf.logical_and(tasks, tf.logical_not(tf.eye(num_classes, dtype=tf.bool)))
    tasks = tf.cast(tasks, tf.float32)
    return tf.reduce_sum(tasks * by_class) / tf.reduce_sum(tasks)
