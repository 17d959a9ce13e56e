"""A split of a data set: examples and labels, in batches."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ssl_keras.datasets.examples import ArrayExamples, Examples, ExampleSubset, untuned
from ssl_keras.errors import UserError
from ssl_keras.lazy import tf

# From a batch of examples ({"index", "image", "label"}) to a batch of the data set ({"example",
# "labels", "partner" if the data give pairs}). A TensorFlow function without state.
Compose = Callable[[Mapping[str, Any]], dict[str, Any]]

# From indices of examples, int (rows,), to the local labels of their images: local target name ->
# int16 (rows, height, width).
Locate = Callable[[np.ndarray], dict[str, np.ndarray]]


class Split:
    """Examples and the function that composes their batches.

    Args:
        examples: the examples of the source.
        compose: batch of examples -> batch of the data set.
        locate: indices -> local labels, or None. Only `locations` calls it.
    """

    def __init__(self, examples: Examples, compose: Compose, locate: Locate | None = None):
        self.examples = examples
        self.compose = compose
        self.locate = locate
        self._order: Callable[[int], np.ndarray] | None = None
        # A pipeline is traced; one of all examples can be read again and again.
        self._all_batches = functools.cache(
            lambda batch_size: self.batches(batch_size, np.arange(self.num_examples))
        )

    @property
    def num_examples(self) -> int:
        """Number of examples."""
        return self.examples.count

    def batches(self, batch_size: int, rows: np.ndarray | None = None) -> Any:
        """Each example once, in order.

        Args:
            batch_size: examples in a batch; the last batch may be smaller.
            rows: indices of examples, in the order to read them. Default: all.

        Returns:
            `tf.data.Dataset` of {"example": nest of (batch, ...), "labels": {target: int32},
            "partner": nest, if the data give pairs}.
        """
        if rows is None:
            return self._all_batches(batch_size)
        indices = tf.data.Dataset.from_tensor_slices(np.asarray(rows, np.int64)).batch(batch_size)
        return self._composed(indices, batch_size)

    def example_bytes(self) -> int:
        """Bytes of one example, its partner included."""
        spec = self.batches(1).element_spec
        leaves = tf.nest.flatten({k: spec[k] for k in ("example", "partner") if k in spec})
        return sum(int(np.prod(leaf.shape[1:])) * leaf.dtype.size for leaf in leaves)

    def locations(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """The local labels of the un-augmented images `rows` (indices), see `Locate`."""
        return {} if self.locate is None else self.locate(np.asarray(rows, np.int64))

    def training_batches(
        self,
        batch_size: int,
        *,
        seed: int,
        num_steps: int | None,
        start_step: int = 0,
        shares: range = range(1),
        num_shares: int = 1,
    ) -> Any:
        """Shuffled batches for the steps [start_step, num_steps), shaped like those of `batches`.

        Each epoch is a new permutation of the examples, a function of (seed, epoch), or the order
        that `ordered` has set; its last `num_examples % batch_size` examples are dropped. The batch
        of a step depends on (seed, step) alone, so a run can resume at any step.

        Args:
            batch_size: examples in the global batch.
            seed: the run's seed.
            num_steps: end of the range of steps; None: endless.
            start_step: first step.
            shares: indices of the shares of each batch to read, one after the other.
            num_shares: number of equal shares that each batch is divided into.
        """
        count = self.num_examples
        if batch_size > count:
            raise UserError(
                f"The batch of {batch_size} is larger than the training data ({count} examples): "
                "choose a smaller --batch_size."
            )
        per_step, size = len(shares), batch_size // num_shares
        first = start_step * per_step
        if num_steps is None:
            numbers = tf.data.Dataset.counter(first)
        else:
            numbers = tf.data.Dataset.range(first, num_steps * per_step)

        @tf.autograph.experimental.do_not_convert
        def rows(number: Any) -> Any:
            whole = self.step_rows(number // per_step, batch_size, seed)
            if num_shares == 1:
                return whole
            begin = (shares.start + number % per_step) * size
            return tf.ensure_shape(whole[begin : begin + size], [size])

        return self._composed(numbers.map(rows), size)

    def step_rows(self, step: Any, batch_size: int, seed: int) -> Any:
        """Indices of the examples in the batch of a training step: int64 (batch_size,)."""
        step = tf.convert_to_tensor(step, tf.int64)
        steps_per_epoch = self.num_examples // batch_size
        if (order := self._order) is not None:

            def rows(step: np.ndarray) -> np.ndarray:
                epoch, place = divmod(int(step), steps_per_epoch)
                return order(epoch)[place * batch_size : (place + 1) * batch_size]

            return tf.ensure_shape(tf.numpy_function(rows, [step], tf.int64), [batch_size])
        epoch = tf.cast(step // steps_per_epoch, tf.uint32)
        first = (step % steps_per_epoch) * batch_size
        shuffle_key = tf.stack([tf.constant(seed, tf.uint32), epoch])
        return tf.random.experimental.index_shuffle(
            first + tf.range(batch_size, dtype=tf.int64), shuffle_key, self.num_examples - 1
        )

    def ordered(self, order: Callable[[int], np.ndarray]) -> Split:
        """The same split, trained on in another order.

        Args:
            order: epoch -> indices of the examples, int64, at least `num_examples // batch_size`
                batches of them; a pure function.
        """
        split = copy.copy(self)
        split._order = functools.lru_cache(maxsize=2)(order)
        return split

    def _composed(self, indices: Any, batch_size: int) -> Any:
        batches = self.examples.batched(indices, batch_size)
        compose = tf.autograph.experimental.do_not_convert(self.compose)
        batches = batches.map(compose, num_parallel_calls=1, deterministic=True)
        return untuned(batches.prefetch(2))

    def at_most(self, count: int, seed: int) -> Split:
        """The same split with at most `count` examples, drawn by `seed`, in their order.

        With the same seed, a smaller count gives a subset of a larger one.
        """
        if count >= self.num_examples:
            return self
        order = np.random.default_rng([seed, 2]).permutation(self.num_examples)
        return self.subset(np.sort(order[:count]))

    def subset(self, rows: np.ndarray) -> Split:
        """The same split with the examples `rows` (indices) alone, in their order."""
        locate = self.locate
        return Split(
            ExampleSubset(self.examples, rows),
            self.compose,
            None if locate is None else lambda indices: locate(rows[indices]),
        )

    def read_labels(self, name: str) -> np.ndarray:
        """The labels of all examples for the target `name`, in order; may read everything."""
        return np.concatenate([batch["labels"][name].numpy() for batch in self.batches(512)])

    def in_memory(self) -> MemorySplit:
        """The same split, composed once and kept as arrays."""
        parts = [
            tf.nest.map_structure(lambda tensor: tensor.numpy(), batch)
            for batch in self.batches(512)
        ]
        columns = tf.nest.map_structure(lambda *arrays: np.concatenate(arrays), *parts)
        return MemorySplit(
            columns["example"], columns["labels"], self.locate, columns.get("partner")
        )


class MemorySplit(Split):
    """A split as arrays.

    Attributes:
        example: name -> array (examples, ...), see `inputs.Modality`.
        labels: target name -> int32, (examples,) for classes and (examples, size) for vectors.
        partner: like `example`, where the data give pairs; or None.
    """

    def __init__(
        self,
        example: Mapping[str, np.ndarray],
        labels: Mapping[str, np.ndarray],
        locate: Locate | None = None,
        partner: Mapping[str, np.ndarray] | None = None,
    ):
        self.example, self.labels, self.partner = dict(example), dict(labels), partner
        arrays: dict[str, Any] = {"labels": self.labels}
        if partner is not None:
            arrays["partner"] = dict(partner)
        columns = tf.nest.map_structure(tf.constant, arrays)
        names = list(self.example)

        def compose(batch: Mapping[str, Any]) -> dict[str, Any]:
            index = batch["index"]
            gathered = tf.nest.map_structure(lambda column: tf.gather(column, index), columns)
            return {"example": {name: batch[name] for name in names}, **gathered}

        super().__init__(ArrayExamples(self.example, None), compose, locate)

    def read_labels(self, name: str) -> np.ndarray:
        return self.labels[name]

    def in_memory(self) -> MemorySplit:
        return self


def labelled_rows(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Indices of the examples that keep their labels when only a fraction of all do.

    Each class keeps `round(fraction * its count)` examples, at least 1. Examples labelled with
    vectors, which may all differ, are drawn as one class. With the same seed, a smaller fraction
    gives a subset of a larger one.

    Args:
        labels: integers (examples,) for a class, (examples, size) for vectors.
        fraction: above 0, at most 1.
        seed: seed of the draw.

    Returns:
        int (rows,), ascending.
    """
    classes = labels if labels.ndim == 1 else np.zeros(len(labels), np.int32)
    parts = []
    for label in np.unique(classes):
        rows = np.flatnonzero(classes == label)
        order = np.random.default_rng([seed, 3, label]).permutation(rows)
        parts.append(order[: max(1, round(fraction * len(rows)))])
    return np.sort(np.concatenate(parts))
