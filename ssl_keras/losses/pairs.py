"""Similarities of each anchor of a batch with the other views: the input of most losses."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from ssl_keras.annotations import Tensor
from ssl_keras.lazy import tf
from ssl_keras.losses import streaming
from ssl_keras.losses.streaming import MASKED


@dataclass(frozen=True)
class Pairs:
    """The similarity matrix: dot products of this replica's anchors with the global batch.

    The anchors are the n first views, then the n second views, of this replica's images. Each is
    compared with all N views of the same kind (first or second), then with all N of the other kind;
    or with the latter only. The *positive* of an anchor is the other view of its image; its
    *negatives* are the views of other images.

    Attributes:
        positives: (2n,), products with the positive.
        products: (2n, 2N or N), the similarity matrix, anchor and positive included.
        itself: bool (n, N), whether two images are the same.
        blocks: 2 with both kinds of views, 1 with the other kind only.
        positive_distances: (2n,), squared distances to the positive.
        anchor_squares, key_squares: (2n,), (2, blocks * N): squared lengths; the latter has a row
            for the anchors of each kind.
        cancelled: bool (n, N), images that are no negatives of each other, whose products are
            `MASKED`; or None.
    """

    positives: Any
    products: Any
    itself: Any
    blocks: int
    positive_distances: Any
    anchor_squares: Any
    key_squares: Any
    cancelled: Any = None

    @property
    def is_self(self) -> Tensor:
        """bool like `products`: whether the view is the anchor itself."""
        if self.blocks == 1:
            return tf.zeros_like(self.products, tf.bool)
        return tf.tile(tf.concat([self.itself, tf.zeros_like(self.itself)], axis=1), [2, 1])

    @property
    def is_negative(self) -> Tensor:
        """bool like `products`: whether the view is of another image."""
        excluded = self.itself
        if self.cancelled is not None:
            excluded = tf.logical_or(excluded, self.cancelled)
        return tf.tile(tf.logical_not(excluded), [2, self.blocks])

    @property
    def num_negatives(self) -> Tensor:
        """Number of negatives of each anchor: an int32 scalar, or (2n,) if some are cancelled."""
        if self.cancelled is not None:
            return tf.reduce_sum(tf.cast(self.is_negative, tf.int32), axis=1)
        return self.blocks * (tf.shape(self.itself)[1] - 1)

    @property
    def squared_distances(self) -> Tensor:
        """Like `products`: squared distances, at least 0."""
        count = tf.shape(self.itself)[0]
        keys = tf.repeat(self.key_squares, count, axis=0)
        return tf.nn.relu(self.anchor_squares[:, None] + keys - 2.0 * self.products)

    def log_sum_others(self, scale: Tensor) -> Tensor:
        """(2n,): log of the sum of exp(scale * product) over every view but the anchor itself."""
        logits = tf.where(self.is_self, MASKED, scale * self.products)
        return tf.reduce_logsumexp(logits, axis=1)

    def log_sum_negatives(self, scale: Tensor) -> Tensor:
        """(2n,): log of the sum over negatives of exp(scale * product); `MASKED` if none."""
        logits = tf.where(self.is_negative, scale * self.products, MASKED)
        return tf.reduce_logsumexp(logits, axis=1)

    def mean_of_class(self, labels: Tensor, keys: Tensor) -> Tensor:
        """(2n,): mean product with the other views of images of equal label, the positive included.

        Both kinds of views must be compared.

        Args:
            labels, keys: of this replica's images and of those of all replicas, see `equal_rows`.
        """
        same = tf.logical_or(equal_rows(labels, keys), self.itself)
        positive = tf.logical_and(tf.tile(same, [2, 2]), tf.logical_not(self.is_self))
        positive = tf.cast(positive, tf.float32)
        total = tf.reduce_sum(positive * self.products, axis=1)
        return total / tf.reduce_sum(positive, axis=1)

    def mean_negatives(self, values: Tensor) -> Tensor:
        """(2n,): mean over negatives of `values` (like `products`); 0 if none."""
        total = tf.reduce_sum(tf.where(self.is_negative, values, 0.0), axis=1)
        return total / tf.cast(tf.maximum(self.num_negatives, 1), tf.float32)

    def hardest(self, count: Any) -> Tensor:
        """(2n, count): products with the `count` most similar negatives, most similar first.

        Args:
            count: at least 1; entries beyond the number of negatives are `MASKED`.
        """
        candidates = tf.where(self.is_negative, self.products, MASKED)
        return tf.math.top_k(candidates, count).values


@dataclass(frozen=True)
class StreamedPairs:
    """The sums of `Pairs` that softmax losses need, in tiles.

    Never materialises the similarity matrix.

    Attributes:
        views_1, views_2: float32 (n, dim), this replica's.
        keys_1, keys_2: float32 (N, dim), those of all replicas.
        first_row: position of this replica's first image in the global batch.
        both_kinds: whether anchors are compared with both kinds of views.
        unit_rows: whether no row is longer than 1.
    """

    views_1: Any
    views_2: Any
    keys_1: Any
    keys_2: Any
    first_row: Any
    both_kinds: bool
    unit_rows: bool

    @functools.cached_property
    def anchors(self) -> Tensor:
        """(2n, dim). Made once: a view that is used three times or more has a gradient whose last
        bits depend on timing, because TensorFlow's AddN begins with whichever buffer is free."""
        return tf.concat([self.views_1, self.views_2], axis=0)

    @property
    def positives(self) -> Tensor:
        """See `Pairs.positives`."""
        products = tf.reduce_sum(self.views_1 * self.views_2, axis=1)
        return tf.concat([products, products], axis=0)

    @property
    def num_negatives(self) -> Tensor:
        """See `Pairs.num_negatives`."""
        return (2 if self.both_kinds else 1) * (tf.shape(self.keys_1)[0] - 1)

    def log_sum_others(self, scale: Tensor) -> Tensor:
        """See `Pairs.log_sum_others`."""
        return self._log_sums(scale, with_positive=True)

    def log_sum_negatives(self, scale: Tensor) -> Tensor:
        """See `Pairs.log_sum_negatives`."""
        return self._log_sums(scale, with_positive=False)

    def mean_of_class(self, labels: Tensor, keys: Tensor) -> Tensor:
        """See `Pairs`; computed from the sum of each class."""
        groups, count = group(keys), tf.shape(self.keys_1)[0]
        anchor_groups = tf.slice(groups, [self.first_row], [tf.shape(self.views_1)[0]])
        sums = tf.math.unsorted_segment_sum(self.keys_1 + self.keys_2, groups, count)
        sizes = tf.math.unsorted_segment_sum(tf.ones_like(self.keys_1[:, 0]), groups, count)
        others = tf.tile(2.0 * tf.gather(sizes, anchor_groups) - 1.0, [2])
        class_sums = tf.tile(tf.gather(sums, anchor_groups), [2, 1])
        return tf.reduce_sum(self.anchors * (class_sums - self.anchors), axis=1) / others

    def _log_sums(self, scale: Any, with_positive: bool) -> Any:
        bound = 1.0 if self.unit_rows else None
        batch, all_images = tf.shape(self.views_1)[0], tf.shape(self.keys_1)[0]
        images = self.first_row + tf.range(batch)
        if not self.both_kinds:
            excluded = None if with_positive else images[:, None]
            sums = [
                streaming.log_sum_exp(anchors, keys, scale, excluded, bound)
                for anchors, keys in ((self.views_1, self.keys_2), (self.views_2, self.keys_1))
            ]
            return tf.concat(sums, axis=0)
        itself = tf.concat([images, all_images + images], axis=0)
        positive = tf.concat([all_images + images, images], axis=0)
        excluded = itself[:, None] if with_positive else tf.stack([itself, positive], axis=1)
        alone = self.keys_1 is self.views_1 and self.keys_2 is self.views_2
        keys = None if alone else tf.concat([self.keys_1, self.keys_2], axis=0)
        return streaming.log_sum_exp(self.anchors, keys, scale, excluded, bound)


def group(labels: Tensor) -> Tensor:
    """A group in [0, rows) for each row, equal for equal labels: int32 (rows,).

    Args:
        labels: (rows,) numbers or booleans, or vectors (rows, size), which are equal if all entries
            are.
    """
    labels = tf.convert_to_tensor(labels)
    labels = tf.cast(labels, tf.int32) if labels.dtype == tf.bool else labels
    columns = labels[:, None] if labels.shape.rank == 1 else labels
    order = tf.range(tf.shape(columns)[0])
    for column in reversed(tf.unstack(columns, axis=1)):
        order = tf.gather(order, tf.argsort(tf.gather(column, order), stable=True))
    ordered = tf.gather(columns, order)
    changes = tf.reduce_any(ordered[1:] != ordered[:-1], axis=1)
    numbers = tf.concat([[0], tf.cumsum(tf.cast(changes, tf.int32))], axis=0)
    return tf.scatter_nd(order[:, None], numbers, tf.shape(order))


def compare(
    views_1: Tensor,
    views_2: Tensor,
    keys_1: Tensor = None,
    keys_2: Tensor = None,
    first_row: Tensor = 0,
    both_kinds: bool = True,
    cancelled: Tensor = None,
) -> Pairs:
    """The similarity matrix of a batch.

    Args:
        views_1, views_2: float32 or float64 (n, dim), this replica's, normalised or not.
        keys_1, keys_2: float32 (N, dim), the views of all replicas. Default: this replica's.
        first_row: position of this replica's first image in the global batch.
        both_kinds: whether anchors are compared with both kinds of views.
        cancelled: bool (n, N), images that are no negatives of each other. Default: none.
    """
    keys_1 = views_1 if keys_1 is None else keys_1
    keys_2 = views_2 if keys_2 is None else keys_2
    batch, num_keys = tf.shape(views_1)[0], tf.shape(keys_1)[0]
    itself = (tf.range(batch) + first_row)[:, None] == tf.range(num_keys)[None, :]

    def products(anchors: Any, same_kind: Any, other_kind: Any) -> Any:
        cross = tf.matmul(anchors, other_kind, transpose_b=True)
        if not both_kinds:
            return cross
        return tf.concat([tf.matmul(anchors, same_kind, transpose_b=True), cross], axis=1)

    def squares(rows: Any) -> Any:
        return tf.reduce_sum(tf.square(rows), axis=1)

    key_squares = [
        tf.concat([squares(same), squares(other)], axis=0) if both_kinds else squares(other)
        for same, other in ((keys_1, keys_2), (keys_2, keys_1))
    ]
    positives = tf.reduce_sum(views_1 * views_2, axis=1)
    distances = squares(views_1 - views_2)
    matrix = tf.concat(
        [products(views_1, keys_1, keys_2), products(views_2, keys_2, keys_1)], axis=0
    )
    if cancelled is not None:
        cancelled = tf.logical_and(cancelled, tf.logical_not(itself))
        blocks = 2 if both_kinds else 1
        matrix = tf.where(tf.tile(cancelled, [2, blocks]), tf.cast(MASKED, matrix.dtype), matrix)
    return Pairs(
        positives=tf.concat([positives, positives], axis=0),
        products=matrix,
        itself=itself,
        blocks=2 if both_kinds else 1,
        positive_distances=tf.concat([distances, distances], axis=0),
        anchor_squares=tf.concat([squares(views_1), squares(views_2)], axis=0),
        key_squares=tf.stack(key_squares),
        cancelled=cancelled,
    )


def safe_root(squares: Tensor) -> Tensor:
    """Square roots with a gradient of 0 instead of an infinite one below 1e-12."""
    large_enough = squares > 1e-12
    return tf.where(large_enough, tf.sqrt(tf.where(large_enough, squares, 1.0)), 0.0)


def equal_rows(labels: Tensor, keys: Tensor) -> Tensor:
    """bool (n, N): which labels are equal.

    Args:
        labels, keys: (n,) and (N,) numbers or booleans, or vectors (n, size) and (N, size), which
            are equal if all entries are.
    """
    labels, keys = tf.convert_to_tensor(labels), tf.convert_to_tensor(keys)
    if labels.shape.rank == 1:
        return labels[:, None] == keys[None, :]
    if labels.dtype.is_floating:
        groups = group(tf.concat([labels, keys], axis=0))
        count = tf.shape(labels)[0]
        return groups[:count, None] == groups[None, count:]
    # Squared distances: exact for integers below a million, without an array of n N size entries.
    rows, columns = tf.cast(labels, tf.float64), tf.cast(keys, tf.float64)
    squares = tf.reduce_sum(tf.square(rows), axis=1)[:, None]
    squares += tf.reduce_sum(tf.square(columns), axis=1)[None, :]
    return squares - 2.0 * tf.matmul(rows, columns, transpose_b=True) < 0.5
