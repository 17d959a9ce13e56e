"""What a data set is: two splits of images, labels and planes, and a list of declared features."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ssl_keras.errors import UserError
from ssl_keras.lazy import tf


@dataclass(frozen=True)
class Feature:
    """One of the competing features that a data set declares; heads and probes follow from it.

    Attributes:
        name: key of its labels, such as "class" or "bits".
        kind: "class" (labels are integers in [0, size)) or "bits" (labels are binary vectors of
            length `size`, each entry a decision of its own).
        size: number of classes, or number of bits.
        chance: the accuracy without looking at the image: the share of the largest class of the
            training split, or 0.5 for random bits.
    """

    name: str
    kind: str
    size: int
    chance: float

    def __post_init__(self) -> None:
        if self.kind not in ("class", "bits"):
            raise ValueError(f"kind must be 'class' or 'bits', not {self.kind!r}")

    @property
    def all_right_chance(self) -> float:
        """The chance of every decision of one image being right."""
        return self.chance if self.kind == "class" else self.chance**self.size


@dataclass(frozen=True)
class Split:
    """Images in memory with their labels, in a fixed order.

    Attributes:
        images: uint8 (examples, height, width, image channels).
        labels: feature name -> int32, (examples,) for classes and (examples, size) for bits.
        planes: float32 (examples, num_bits), the values of the planes that are constant over
            space, or None. They are appended after the image channels, after augmentation.
    """

    images: np.ndarray
    labels: Mapping[str, np.ndarray]
    planes: np.ndarray | None = None

    @property
    def num_examples(self) -> int:
        return len(self.images)

    def _columns(self) -> dict[str, Any]:
        columns: dict[str, Any] = {"image": self.images, "labels": dict(self.labels)}
        if self.planes is not None:
            columns["planes"] = self.planes
        return columns

    def as_dataset(self) -> Any:
        """Single composed examples, in order: a `tf.data.Dataset` of
        {"image": float32 (height, width, channels + planes) in [0, 1], "labels": {...}}."""

        def compose(example: dict[str, Any]) -> dict[str, Any]:
            image = compose_images(example["image"][None], _expand(example.get("planes")))[0]
            return {"image": image, "labels": example["labels"]}

        return tf.data.Dataset.from_tensor_slices(self._columns()).map(compose)

    def batches(self, batch_size: int) -> Any:
        """All examples once, in order: batches of {"image": uint8, "labels", "planes" if any}.
        The last batch may be smaller."""
        return tf.data.Dataset.from_tensor_slices(self._columns()).batch(batch_size).prefetch(2)

    def training_batches(
        self, batch_size: int, *, seed: int, num_steps: int, start_step: int = 0
    ) -> Any:
        """Shuffled batches for the steps [start_step, num_steps), shaped like those of `batches`.

        Each epoch is a fresh permutation of the examples, a function of (seed, epoch); what is
        left over at its end (fewer than `batch_size` examples) is dropped. The batch of a step
        depends on nothing but (seed, step), so a run can go on from any step.
        """
        columns = tf.nest.map_structure(tf.constant, self._columns())
        count = self.num_examples
        if batch_size > count:
            raise UserError(
                f"The batch of {batch_size} is larger than the training data ({count} examples): "
                "choose a smaller --batch_size."
            )
        steps_per_epoch = count // batch_size

        def batch_of(step: Any) -> dict[str, Any]:
            epoch = tf.cast(step // steps_per_epoch, tf.uint32)
            first = (step % steps_per_epoch) * batch_size
            shuffle_key = tf.stack([tf.constant(seed, tf.uint32), epoch])
            indices = tf.random.experimental.index_shuffle(
                first + tf.range(batch_size, dtype=tf.int64), shuffle_key, count - 1
            )
            return tf.nest.map_structure(lambda column: tf.gather(column, indices), columns)

        steps = tf.data.Dataset.range(start_step, num_steps)
        return steps.map(batch_of, num_parallel_calls=1, deterministic=True).prefetch(2)


def _expand(planes: Any) -> Any:
    return None if planes is None else planes[None]


def to_float(images: Any) -> Any:
    """uint8 images as float32 in [0, 1]; float images as they are."""
    images = tf.convert_to_tensor(images)
    return tf.cast(images, tf.float32) / 255.0 if images.dtype == tf.uint8 else images


def compose_images(images: Any, planes: Any = None) -> Any:
    """The encoder's input: images, and one channel for each plane, constant over space.

    Args:
        images: (batch, height, width, channels), uint8 or float in [0, 1].
        planes: (batch, num_bits) values, or None.

    Returns:
        float32 (batch, height, width, channels + num_bits).
    """
    images = to_float(images)
    if planes is None:
        return images
    shape = tf.shape(images)
    planes = tf.cast(planes, images.dtype)
    spread = tf.broadcast_to(
        planes[:, None, None, :], [shape[0], shape[1], shape[2], planes.shape[-1]]
    )
    return tf.concat([images, spread], axis=-1)


@dataclass(frozen=True)
class DataSet:
    """A data set ready to train on.

    Attributes:
        name: what it is, for people: data set and source.
        train, test: the splits.
        features: feature name -> `Feature`, every competing feature that can be probed.
        image_shape: (height, width, image channels).
        num_bits: number of planes appended to the image channels.
        augmentation: the preset of views that suits these images.
    """

    name: str
    train: Split
    test: Split
    features: Mapping[str, Feature]
    image_shape: tuple[int, int, int]
    num_bits: int = 0
    augmentation: str = "digits"
    class_names: tuple[str, ...] = field(default=())

    @property
    def image_channels(self) -> int:
        return self.image_shape[2]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape of one input of the encoder: (height, width, image channels + num_bits)."""
        height, width, channels = self.image_shape
        return (height, width, channels + self.num_bits)


def class_feature(name: str, train_labels: np.ndarray, num_classes: int) -> Feature:
    """The `Feature` of integer labels; its chance is the share of the largest class."""
    counts = np.bincount(train_labels, minlength=num_classes)
    return Feature(name, "class", num_classes, float(counts.max() / counts.sum()))
