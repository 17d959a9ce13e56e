"""Examples by index: in memory, or decoded on demand.

Every source gives random access. So the order of training is a function of (seed, step) alone, on
data of any size, and a run can resume at any step.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssl_keras.lazy import tf


class Examples:
    """Examples of one kind, by index.

    Attributes:
        count: number of examples.
        labels: int32 (count,), or None if reading them means reading everything.
        labelled: whether each example has a label.
        image_shape: (height, width, channels), of images.
    """

    count: int
    labels: np.ndarray | None
    labelled: bool
    image_shape: tuple[int, int, int]

    def batched(self, indices: Any, batch_size: int) -> Any:
        """Batches of examples.

        Args:
            indices: `tf.data.Dataset` of int64 (batch,).
            batch_size: the size of those batches; the last may be smaller.

        Returns:
            `tf.data.Dataset` of {"index": int64 (batch,), "label": int32 (batch,), if labelled} and
            the examples' own columns, such as {"image": uint8 (batch, *image_shape)}.
        """
        raise NotImplementedError(f"{type(self).__name__} does not give batches")


class ArrayExamples(Examples):
    """Examples in memory.

    Args:
        columns: name -> array (count, ...) of any dtype; "image" is uint8 (count, height, width,
            channels).
        labels: int32 (count,), or None.

    Raises:
        TypeError: images of another dtype.
    """

    def __init__(self, columns: Mapping[str, np.ndarray], labels: np.ndarray | None):
        self.columns = {name: np.ascontiguousarray(array) for name, array in columns.items()}
        self.labels = None if labels is None else np.asarray(labels, np.int32)
        self.labelled = labels is not None
        self.count = len(next(iter(self.columns.values())))
        if "image" in self.columns:
            if self.columns["image"].dtype != np.uint8:
                raise TypeError(f"images must be uint8, not {self.columns['image'].dtype}")
            height, width, channels = self.columns["image"].shape[1:]
            self.image_shape = (height, width, channels)

    @functools.cached_property
    def _tensors(self) -> dict[str, Any]:
        # Cached: every use of a NumPy array in a pipeline copies it.
        labels = {} if self.labels is None else {"label": self.labels}
        return {name: tf.constant(array) for name, array in {**self.columns, **labels}.items()}

    def batched(self, indices: Any, batch_size: int) -> Any:
        tensors = self._tensors

        @tf.autograph.experimental.do_not_convert
        def gather(index: Any) -> dict[str, Any]:
            return {"index": index} | {n: tf.gather(t, index) for n, t in tensors.items()}

        return indices.map(gather, num_parallel_calls=1, deterministic=True)


class ExampleSubset(Examples):
    """Some rows of other examples. "index" remains the index in the original.

    Args:
        examples: the original.
        rows: int (count,), indices into it.
    """

    def __init__(self, examples: Examples, rows: np.ndarray):
        self.examples, self.rows = examples, np.asarray(rows, np.int64)
        self.count = len(rows)
        self.labelled = examples.labelled
        if hasattr(examples, "image_shape"):
            self.image_shape = examples.image_shape
        self.labels = None if examples.labels is None else examples.labels[rows]

    def batched(self, indices: Any, batch_size: int) -> Any:
        rows = tf.constant(self.rows)
        plain = tf.autograph.experimental.do_not_convert(lambda index: tf.gather(rows, index))
        return self.examples.batched(indices.map(plain), batch_size)


@dataclass
class EncodedExamples(Examples):
    """Examples that are read and decoded on demand, in parallel.

    Attributes:
        count, image_shape, labels, labelled: see `Examples`.
        example: TensorFlow function from an index (int64 scalar) to (image, label): uint8 of
            `image_shape` and int32 scalar (-1 without labels). Stateless.
    """

    count: int
    image_shape: tuple[int, int, int]
    labels: np.ndarray | None
    labelled: bool
    example: Callable[[Any], tuple[Any, Any]]

    def batched(self, indices: Any, batch_size: int) -> Any:
        @tf.autograph.experimental.do_not_convert
        def read(index: Any) -> dict[str, Any]:
            image, label = self.example(index)
            columns = {"index": index, "image": tf.ensure_shape(image, self.image_shape)}
            return columns | ({"label": label} if self.labelled else {})

        workers = max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)
        singles = indices.unbatch().map(read, num_parallel_calls=2 * workers, deterministic=True)
        return singles.batch(batch_size)


def untuned(dataset: Any) -> Any:
    """The same `tf.data.Dataset` with TensorFlow's autotuning switched off.

    These pipelines have nothing to tune. Destroying an iterator waits for the tuning thread, which
    sleeps for up to a minute; this doubled the time of a short training (TensorFlow 2.21).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def resized(images: Any, size: tuple[int, int]) -> Any:
    """uint8 images scaled to (height, width), bilinear with antialiasing, aspect not kept.

    Args:
        images: uint8 (..., height, width, channels).
        size: (height, width).
    """
    if tuple(images.shape[-3:-1]) == tuple(size):
        return images
    scaled = tf.image.resize(tf.cast(images, tf.float32), size, antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(scaled), 0.0, 255.0), tf.uint8)


def resize_many(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`resized` for many images, 1024 at a time."""
    if images.shape[1:3] == tuple(size):
        return images
    parts = [
        np.asarray(resized(images[first : first + 1024], size))
        for first in range(0, len(images), 1024)
    ]
    return np.concatenate(parts)
