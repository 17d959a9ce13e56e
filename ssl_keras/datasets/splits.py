"""A split of a data set: examples and labels, in batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ssl_keras.datasets.examples import ArrayExamples, ChosenExamples, Examples, untuned
from ssl_keras.errors import UserError
from ssl_keras.lazy import tf

# From a batch of examples ({"index", "image", "label"}) to a batch of the data set ({"example",
# "labels", "partner" if the data give pairs}). A TensorFlow function without state.
Compose = Callable[[Mapping[str, Any]], dict[str, Any]]

# From indices of examples, int (rows,), to what is at each pixel of their images: local target
# name -> int16 (rows, height, width).
Locate = Callable[[np.ndarray], dict[str, np.ndarray]]


class Split:
    """Examples and how they are composed.

    Args:
        examples: where images and labels come from.
        compose: makes batches of the data set from batches of examples.
        locate: tells what is at each pixel, or None. It is called by `locations` alone.
    """

    def __init__(self, examples: Examples, compose: Compose, locate: Locate | None = None):
        self.examples = examples
        self.compose = compose
        self.locate = locate

    @property
    def num_examples(self) -> int:
        return self.examples.count

    def batches(self, batch_size: int) -> Any:
        """All examples once, in order: a `tf.data.Dataset` of {"example": nest of (batch, ...),
        "labels": {target: int32}, "partner": nest, if the data give pairs}. The last batch may be
        smaller."""
        return self.chosen(np.arange(self.num_examples), batch_size)

    def example_bytes(self) -> int:
        """Bytes of one example, its partner included."""
        spec = self.batches(1).element_spec
        leaves = tf.nest.flatten({k: spec[k] for k in ("example", "partner") if k in spec})
        return sum(int(np.prod(leaf.shape[1:])) * leaf.dtype.size for leaf in leaves)

    def chosen(self, rows: np.ndarray, batch_size: int) -> Any:
        """Like `batches`, of the examples `rows` (indices) in their order."""
        indices = tf.data.Dataset.from_tensor_slices(np.asarray(rows, np.int64)).batch(batch_size)
        return self._composed(indices, batch_size)

    def locations(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What is at each pixel of the un-augmented images `rows` (indices), see `Locate`."""
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

        Each epoch is a fresh permutation of the examples, a function of (seed, epoch); what is
        left over at its end (fewer than `batch_size` examples) is dropped. The batch of a step
        depends on nothing but (seed, step), so a run resumes from any step.

        Args:
            batch_size: examples in the global batch.
            seed: the run's seed.
            num_steps: where to end; None: never.
            start_step: where to begin.
            shares: which of the equal shares of each batch are wanted, one after the other.
            num_shares: how many shares each batch is divided into.
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

        def rows(number: Any) -> Any:
            whole = self.rows_of_step(number // per_step, batch_size, seed)
            if num_shares == 1:
                return whole
            begin = (shares.start + number % per_step) * size
            return tf.ensure_shape(whole[begin : begin + size], [size])

        return self._composed(numbers.map(rows), size)

    def rows_of_step(self, step: Any, batch_size: int, seed: int) -> Any:
        """Which examples the batch of a training step has: int64 (batch_size,)."""
        step = tf.convert_to_tensor(step, tf.int64)
        steps_per_epoch = self.num_examples // batch_size
        epoch = tf.cast(step // steps_per_epoch, tf.uint32)
        first = (step % steps_per_epoch) * batch_size
        shuffle_key = tf.stack([tf.constant(seed, tf.uint32), epoch])
        return tf.random.experimental.index_shuffle(
            first + tf.range(batch_size, dtype=tf.int64), shuffle_key, self.num_examples - 1
        )

    def _composed(self, indices: Any, batch_size: int) -> Any:
        batches = self.examples.batched(indices, batch_size)
        batches = batches.map(self.compose, num_parallel_calls=1, deterministic=True).prefetch(2)
        return untuned(batches)

    def at_most(self, count: int, seed: int) -> Split:
        """The same split with no more than `count` examples, chosen by `seed`, in their order.

        Fewer examples of the same seed are among more of them.
        """
        if count >= self.num_examples:
            return self
        order = np.random.default_rng([seed, 2]).permutation(self.num_examples)
        return self.only(np.sort(order[:count]))

    def only(self, rows: np.ndarray) -> Split:
        """The same split with no other examples than `rows` (indices), in their order."""
        locate = self.locate
        return Split(
            ChosenExamples(self.examples, rows),
            self.compose,
            None if locate is None else lambda indices: locate(rows[indices]),
        )

    def labels_of(self, name: str) -> np.ndarray:
        """The labels of the target `name` of all examples, in order; may read everything."""
        return np.concatenate([batch["labels"][name].numpy() for batch in self.batches(512)])

    def in_memory(self) -> MemorySplit:
        """The same split with everything composed once and kept as arrays."""
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

    def labels_of(self, name: str) -> np.ndarray:
        return self.labels[name]

    def in_memory(self) -> MemorySplit:
        return self


def labelled_rows(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Which examples keep their labels when only a fraction of all do.

    Of each class `round(fraction * its count)` examples, at least 1; vectors, which may all differ,
    are drawn as if they were one class. A smaller fraction of the same seed is a subset of a larger
    one.

    Args:
        labels: integers (examples,) for a class, (examples, size) for vectors.
        fraction: above 0, at most 1.
        seed: chooses the examples.

    Returns:
        int (rows,), ascending.
    """
    classes = labels if labels.ndim == 1 else np.zeros(len(labels), np.int32)
    chosen = []
    for label in np.unique(classes):
        rows = np.flatnonzero(classes == label)
        order = np.random.default_rng([seed, 3, label]).permutation(rows)
        chosen.append(order[: max(1, round(fraction * len(rows)))])
    return np.sort(np.concatenate(chosen))
