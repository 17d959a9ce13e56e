"""Reductions of a similarity matrix in tiles: memory grows with its rows, not with its entries.

    log_sum_exp(anchors, keys, scale)      log sum_j exp(scale * a_i . k_j)
    nearest(anchors, keys)                 argmax_j a_i . k_j
    per_anchor(function, anchors, keys)    any function of whole rows of a_i . k_j

A tile is a block of anchors against a block of keys. Over the tiles of an anchor, a running maximum
and a running sum give the log-sum-exp (Milakov and Gimelshein 2018, "Online normalizer calculation
for softmax"). The gradient recomputes each tile instead of storing it, as Rabe and Staats 2021,
"Self-attention Does Not Need O(n^2) Memory", and FlashAttention (Dao et al. 2022) do for attention.
Tiles stay in the processor's cache, so this is also faster than whole matrices.

Everything is float32 and stateless; shapes may be static (XLA) or dynamic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ssl_keras.annotations import Tensor
from ssl_keras.lazy import tf

# The value of a masked entry. Finite, so that no gradient is NaN; its exponential is 0.
MASKED = -1e30
# exp(s), sums of many of them, and their reciprocals are within float32 up to this |s|.
SAFE = 40.0
# Least number of entries of a matrix for which tiles are better.
BETTER, BETTER_ON_GPU = 2**19, 2**28
# Most entries of a tile (16 MB), and most keys in it.
TILE_ENTRIES, TILE_COLUMNS = 2**22, 2**13


def log_sum_exp(
    anchors: Tensor,
    keys: Tensor = None,
    scale: Tensor = 1.0,
    excluded: Tensor = None,
    product_bound: float | None = None,
) -> Tensor:
    """log sum_j exp(scale * a_i . k_j) for each anchor i, over the keys that are not excluded.

    Differentiable once with respect to anchors and keys (not to `scale`). Memory is that of the
    inputs, their gradients and a few tiles.

    Args:
        anchors: float32 (rows, dim).
        keys: float32 (columns, dim). None: the anchors themselves, which saves work; `excluded`
            must then be symmetric (i excludes j where j excludes i).
        scale: number or float32 scalar.
        excluded: int32 (rows, count), the indices of the keys that each anchor excludes, -1 for
            none. No key occurs twice in a column.
        product_bound: upper bound of |a_i . k_j|, if there is one; 1 for rows of unit length. If
            `scale` is a number and their product is at most `SAFE`, no running maximum is needed.

    Returns:
        float32 (rows,); about `MASKED` for an anchor without keys.
    """
    anchors = tf.convert_to_tensor(anchors)
    known = product_bound is not None and isinstance(scale, float | int)
    bounded = known and abs(scale) * product_bound <= SAFE
    scale = tf.stop_gradient(tf.cast(scale, tf.float32))
    if excluded is None:
        excluded = tf.zeros([tf.shape(anchors)[0], 0], tf.int32)
    if bounded and _Tiles(anchors, anchors if keys is None else keys).single:
        return _one_tile(anchors, keys, scale, excluded)
    if keys is None and bounded:
        return _symmetric(anchors, scale, excluded)
    return _general(anchors, anchors if keys is None else keys, scale, excluded, bounded)


def _one_tile(anchors: Any, keys: Any, scale: Any, excluded: Any) -> Any:
    """For bounded products that fit in one tile, which is stored for the gradient."""

    @tf.custom_gradient
    def function(*rows: Any) -> tuple[Any, Callable[[Any], Any]]:
        tiles = _Tiles(rows[0], rows[-1], excluded)
        powers = tf.exp(tf.matmul(scale * rows[0], rows[-1], transpose_b=True))
        powers = tiles.masked(powers, 0, 0, 0.0)
        total = tf.reduce_sum(powers, axis=1)

        def gradient(upstream: Any) -> Any:
            shares = scale * tf.math.divide_no_nan(upstream, total)
            if keys is None:
                return tf.matmul(powers * (shares[:, None] + shares[None, :]), rows[0])
            shares = shares[:, None]
            keys_gradient = tf.matmul(powers, shares * rows[0], transpose_a=True)
            return shares * tf.matmul(powers, rows[1]), keys_gradient

        return _log(total), gradient

    return function(anchors) if keys is None else function(anchors, tf.convert_to_tensor(keys))


def _symmetric(rows: Any, scale: Any, excluded: Any) -> Any:
    """For bounded products of rows with themselves."""

    @tf.custom_gradient
    def function(rows: Any) -> tuple[Any, Callable[[Any], Any]]:
        total = _bounded_sums(rows, rows, scale, excluded)

        def gradient(upstream: Any) -> Any:
            # Row i receives scale * sum_j exp(S_ij) (g_i / total_i + g_j / total_j) row_j.
            tiles = _Tiles(rows, rows, excluded)
            shares = tf.math.divide_no_nan(upstream, total)
            row_shares, column_shares = tiles.pad_rows(shares), tiles.pad_columns(shares)

            def block_gradient(block: Any, first: Any) -> Any:
                scaled = scale * block
                block_shares = _slice(row_shares, first, tiles.height)[:, None]

                def add(columns: Any, start: Any, total: Any) -> Any:
                    powers = tf.exp(tf.matmul(scaled, columns, transpose_b=True))
                    tile_shares = _slice(column_shares, start, tiles.width)[None, :]
                    weights = powers * (block_shares + tile_shares)
                    weights = tiles.masked(weights, first, start, 0.0)
                    return total + tf.matmul(weights, columns)

                return scale * tiles.over_columns(add, tf.zeros_like(block))

            return tiles.over_rows(block_gradient, tf.float32, [int(rows.shape[1])])

        return _log(total), gradient

    return function(rows)


def _general(anchors: Any, keys: Any, scale: Any, excluded: Any, bounded: bool) -> Any:
    """For any anchors and keys, in several tiles."""

    @tf.custom_gradient
    def function(anchors: Any, keys: Any) -> tuple[Any, Callable[[Any], Any]]:
        if bounded:
            sums = _log(_bounded_sums(anchors, keys, scale, excluded))
        else:
            sums = _running_sums(anchors, keys, scale, excluded)

        def gradient(upstream: Any) -> Any:
            # W_ij = exp(S_ij - s_i): for anchors g_i sum_j W_ij k_j, for keys sum_i W_ij g_i a_i.
            # S_ij - s_i is the product of rows that are longer by one column.
            left = tf.concat([scale * anchors, -sums[:, None]], axis=1)
            right = tf.concat([keys, tf.ones_like(keys[:, :1])], axis=1)
            transposed = _inverse(excluded, tf.shape(keys)[0])
            anchors_gradient = _weighted_sums(left, right, keys, excluded) * upstream[:, None]
            keys_gradient = _weighted_sums(right, left, upstream[:, None] * anchors, transposed)
            return scale * anchors_gradient, scale * keys_gradient

        return sums, gradient

    return function(anchors, tf.convert_to_tensor(keys))


def is_tiled(implementation: str, rows: Tensor, columns: Tensor) -> bool:
    """Whether a matrix of this size is computed in tiles: "dense", "tiled", or "auto" by size."""
    return implementation == "tiled" or (implementation == "auto" and is_better(rows, columns))


def is_better(rows: Tensor, columns: Tensor) -> bool:
    """Whether tiles are better than a whole matrix of this size; False if the size is unknown.

    On a processor they are faster from about a thousand rows on. On a GPU, where each operation of
    a loop costs a launch, they are for matrices that would fill the memory.
    """
    if not isinstance(rows, int) or not isinstance(columns, int):
        return False
    return rows * columns >= (BETTER_ON_GPU if tf.config.list_physical_devices("GPU") else BETTER)


def nearest(anchors: Tensor, keys: Tensor) -> Tensor:
    """Index of the key with the largest product for each anchor, the first on a tie: int32 (rows,).

    Not differentiable.

    Args:
        anchors, keys: float32 (rows, dim) and (columns, dim).
    """
    tiles = _Tiles(tf.convert_to_tensor(anchors), tf.convert_to_tensor(keys))

    def block_nearest(rows: Any, first: Any) -> Any:
        def update(columns: Any, start: Any, best: tuple[Any, Any]) -> tuple[Any, Any]:
            products = tf.matmul(rows, columns, transpose_b=True)
            products = tiles.masked(products, first, start, MASKED)
            columns_nearest = start + tf.argmax(products, axis=1, output_type=tf.int32)
            values = tf.reduce_max(products, axis=1)
            value, index = best
            return tf.maximum(value, values), tf.where(values > value, columns_nearest, index)

        worst = tf.fill([tiles.height], 2.0 * MASKED)
        return tiles.over_columns(update, (worst, tf.zeros([tiles.height], tf.int32)))[1]

    return tiles.over_rows(block_nearest, tf.int32, [])


def per_anchor(
    function: Callable[[Any], Any], anchors: Tensor, keys: Tensor, excluded: Tensor, size: int
) -> Tensor:
    """A function of the rows of the similarity matrix a_i . k_j, applied to blocks of rows.

    For functions that need whole rows, such as their order. Not differentiable.

    Args:
        function: float32 (block, columns) -> float32 (block, size).
        anchors, keys: float32 (rows, dim) and (columns, dim).
        excluded: int32 (rows, count), the indices of the keys that each anchor excludes: their
            products are `MASKED`.
        size: number of values for each row.

    Returns:
        float32 (rows, size).
    """
    anchors, keys = tf.convert_to_tensor(anchors), tf.convert_to_tensor(keys)
    tiles = _Tiles(anchors, keys, excluded, whole_rows=True)

    def apply(rows: Any, first: Any) -> Any:
        products = tf.matmul(rows, tiles.keys, transpose_b=True)
        return function(tiles.masked(products, first, 0, MASKED))

    return tiles.over_rows(apply, tf.float32, [size])


class _Tiles:
    """The tiles of a matrix with a row for each anchor and a column for each key.

    Args:
        anchors: (rows, dim).
        keys: (columns, dim).
        excluded: int32 (rows, count), indices of the masked entries of each row; -1 for none.
        whole_rows: whether a tile spans all keys.
    """

    def __init__(
        self, anchors: Tensor, keys: Tensor, excluded: Tensor = None, whole_rows: bool = False
    ):
        self.rows, self.columns = _size(anchors), _size(keys)
        self.width = self.columns if whole_rows else _smaller(self.columns, TILE_COLUMNS)
        self.height = _smaller(self.rows, TILE_ENTRIES // self.width)
        self.anchors = _padded(anchors, self.rows, self.height)
        self.keys = _padded(keys, self.columns, self.width)
        self.excluded = None if excluded is None else _padded(excluded, self.rows, self.height)

    @property
    def single(self) -> bool:
        """Whether there is statically one tile only."""
        numbers = (-(-self.rows // self.height), -(-self.columns // self.width))
        return all(_is_one(number) for number in numbers)

    def pad_rows(self, values: Tensor) -> Tensor:
        """Values of the anchors, padded like the anchors."""
        return _padded(values, self.rows, self.height)

    def pad_columns(self, values: Tensor) -> Tensor:
        """Values of the keys, padded like the keys."""
        return _padded(values, self.columns, self.width)

    def masked(self, entries: Tensor, first: Tensor, start: Tensor, value: float) -> Tensor:
        """A tile with `value` in place of excluded entries and of padding.

        Args:
            entries: (height, width).
            first, start: the first row and the first column of the tile.
            value: of the masked entries.
        """
        rows = tf.range(self.height)

        def replace(entries: Any, columns: Any) -> Any:
            inside = tf.logical_and(columns >= 0, columns < self.width)
            columns = tf.clip_by_value(columns, 0, self.width - 1)
            values = tf.where(inside, value, tf.gather(entries, columns, batch_dims=1))
            return tf.tensor_scatter_nd_update(entries, tf.stack([rows, columns], axis=1), values)

        if self.excluded is not None and self.excluded.shape[1]:
            excluded = _slice(self.excluded, first, self.height)
            for column in tf.unstack(excluded, axis=1):
                entries = replace(entries, tf.where(column < 0, -1, column - start))
        if not _divides(self.width, self.columns):
            exists = start + tf.range(self.width) < self.columns
            entries = tf.where(exists[None, :], entries, value)
        return entries

    def over_columns(self, function: Callable[..., Any], state: Any) -> Tensor:
        """The last `state` = function(keys, first column, state) over the tiles of some rows."""
        return self._over(self.columns, self.width, self.keys, function, state)

    def over_rows(self, function: Callable[..., Any], dtype: Any, shape: list[int]) -> Tensor:
        """function(anchors, first row) -> (height, *shape) over all blocks, concatenated."""
        number = -(-self.rows // self.height)
        if _is_one(number):
            return function(self.anchors, 0)[: self.rows]
        results = tf.TensorArray(dtype, number, element_shape=[_static(self.height), *shape])

        def collect(rows: Any, first: Any, results: Any) -> Any:
            return results.write(first // self.height, function(rows, first))

        results = self._over(self.rows, self.height, self.anchors, collect, results)
        return tf.reshape(results.stack(), [-1, *shape])[: self.rows]

    @staticmethod
    def _over(count: Any, size: Any, rows: Any, function: Callable[..., Any], state: Any) -> Any:
        number = -(-count // size)
        if _is_one(number):
            return function(rows, 0, state)
        _, state = tf.while_loop(
            lambda index, _: index < number,
            lambda index, state: (
                index + 1,
                function(_slice(rows, index * size, size), index * size, state),
            ),
            (tf.constant(0), state),
            parallel_iterations=2,  # more would need memory for more tiles
        )
        return state


def _running_sums(anchors: Any, keys: Any, scale: Any, excluded: Any) -> Any:
    """log sum_j exp(scale * a_i . k_j), with a running maximum."""
    tiles = _Tiles(anchors, keys, excluded)

    def block_sums(rows: Any, first: Any) -> Any:
        scaled = scale * rows

        def add(columns: Any, start: Any, running: tuple[Any, Any]) -> tuple[Any, Any]:
            logits = tf.matmul(scaled, columns, transpose_b=True)
            logits = tiles.masked(logits, first, start, MASKED)
            largest = tf.maximum(running[0], tf.reduce_max(logits, axis=1))
            tile_total = tf.reduce_sum(tf.exp(logits - largest[:, None]), axis=1)
            return largest, running[1] * tf.exp(running[0] - largest) + tile_total

        empty = tf.fill([tiles.height], MASKED), tf.zeros([tiles.height])
        largest, total = tiles.over_columns(add, empty)
        return largest + tf.math.log(total)

    return tiles.over_rows(block_sums, tf.float32, [])


def _bounded_sums(anchors: Any, keys: Any, scale: Any, excluded: Any) -> Any:
    """sum_j exp(scale * a_i . k_j), for products that neither overflow nor vanish."""
    tiles = _Tiles(anchors, keys, excluded)

    def block_sums(rows: Any, first: Any) -> Any:
        scaled = scale * rows

        def add(columns: Any, start: Any, total: Any) -> Any:
            powers = tf.exp(tf.matmul(scaled, columns, transpose_b=True))
            return total + tf.reduce_sum(tiles.masked(powers, first, start, 0.0), axis=1)

        return tiles.over_columns(add, tf.zeros([tiles.height]))

    return tiles.over_rows(block_sums, tf.float32, [])


def _log(total: Any) -> Any:
    """The logarithm; `MASKED` of an empty sum."""
    positive = total > 0
    return tf.where(positive, tf.math.log(tf.where(positive, total, 1.0)), MASKED)


def _weighted_sums(anchors: Any, keys: Any, values: Any, excluded: Any) -> Any:
    """sum_j exp(a_i . k_j) v_j for each anchor i, for products of at most 0."""
    tiles = _Tiles(anchors, keys, excluded)
    padded = tiles.pad_columns(values)

    def block_sums(rows: Any, first: Any) -> Any:
        def add(columns: Any, start: Any, total: Any) -> Any:
            logits = tf.matmul(rows, columns, transpose_b=True)
            # At most 0 up to rounding; excluded products may be larger.
            weights = tf.exp(tf.minimum(tiles.masked(logits, first, start, MASKED), 1.0))
            return total + tf.matmul(weights, _slice(padded, start, tiles.width))

        return tiles.over_columns(add, tf.zeros([tiles.height, values.shape[1]]))

    return tiles.over_rows(block_sums, tf.float32, [int(values.shape[1])])


def _inverse(excluded: Any, columns: Any) -> Any:
    """int32 (columns, count): the rows that exclude each column, -1 for none."""
    rows = tf.range(tf.shape(excluded)[0])
    inverse = []
    for column in tf.unstack(excluded, axis=1):
        # -1 goes to a further column that is cut off.
        indices = tf.where(column < 0, columns, column)[:, None]
        empty = tf.fill([columns + 1], -1)
        inverse.append(tf.tensor_scatter_nd_update(empty, indices, rows)[:-1])
    return tf.stack(inverse, axis=1) if inverse else tf.zeros([columns, 0], tf.int32)


def _size(rows: Any) -> Any:
    """The number of rows: a Python integer if it is static."""
    return rows.shape[0] if rows.shape[0] is not None else tf.shape(rows)[0]


def _static(number: Any) -> int | None:
    return number if isinstance(number, int) else None


def _is_one(number: Any) -> bool:
    return isinstance(number, int) and number == 1


def _divides(size: Any, count: Any) -> bool:
    return isinstance(size, int) and isinstance(count, int) and count % size == 0


def _smaller(number: Any, limit: Any) -> Any:
    """The smaller of both, at least 1."""
    if isinstance(number, int) and isinstance(limit, int):
        return max(1, min(number, limit))
    return tf.maximum(1, tf.minimum(number, limit))


def _padded(rows: Any, count: Any, size: Any) -> Any:
    """Rows of zeros appended, up to a multiple of `size`."""
    if _divides(size, count):
        return rows
    missing = -count % size
    return tf.pad(rows, [[0, missing]] + [[0, 0]] * (len(rows.shape) - 1))


def _slice(rows: Any, first: Any, size: Any) -> Any:
    rest = len(rows.shape) - 1
    part = tf.slice(rows, [first] + [0] * rest, [size] + [-1] * rest)
    return tf.ensure_shape(part, [_static(size), *rows.shape[1:]])
