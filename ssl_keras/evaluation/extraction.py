"""Frozen features of a model: extraction, and the proof that it changed nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ssl_keras.datasets.base import DataSet
from ssl_keras.datasets.composing import compose_images
from ssl_keras.datasets.splits import Split
from ssl_keras.errors import UserError
from ssl_keras.evaluation.base import FrozenFeatures, Inputs, ViewFeatures, spread
from ssl_keras.lazy import tf

# Features of a split that take more are kept in a file.
IN_MEMORY_BYTES = 2**30


def depth_names(num_layers: int) -> list[str]:
    """The names of the depths that are evaluated: "features", "projection_1", ..."""
    return ["features", *(f"projection_{index + 1}" for index in range(num_layers))]


def extract(
    representations: Callable[[Any], Sequence[Any]],
    data: DataSet,
    depths: Sequence[str],
    batch_size: int = 500,
    augmenter: Any = None,
    num_views: int = 0,
    num_train_views: int = 0,
) -> dict[str, FrozenFeatures]:
    """The features of both splits at every depth, un-augmented, in inference mode.

    Args:
        representations: composed images -> one tensor (batch, dim) for each depth.
        data: the data set.
        depths: the names of the depths, see `depth_names`.
        batch_size: images at a time.
        augmenter: draws the views, see `augmentations.Augmenter`.
        num_views: of how many test images, evenly spread, features of two views are extracted too.
        num_train_views: how many views of every training image are extracted too.

    Returns:
        depth name -> `FrozenFeatures`.
    """

    @tf.function(reduce_retracing=True)
    def of_batch(batch: Mapping[str, Any]) -> list[Any]:
        return list(representations(data.inputs(batch)))[: len(depths)]

    def of_split(split: Split) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        features: list[np.ndarray] = []
        labels: dict[str, list[np.ndarray]] = {name: [] for name in data.features}
        done = 0
        for batch in split.batches(batch_size):
            found = [values.numpy() for values in of_batch(batch)]
            if not all(np.isfinite(values).all() for values in found):
                raise UserError(
                    "The features of the model are not finite numbers: the training has diverged; "
                    "lower --learning_rate."
                )
            features = features or [
                _array((split.num_examples, *values.shape[1:])) for values in found
            ]
            for whole, values in zip(features, found, strict=True):
                whole[done : done + len(values)] = values
            done += len(found[0])
            for name, parts in labels.items():
                parts.append(batch["labels"][name].numpy())
        return features, {name: np.concatenate(parts) for name, parts in labels.items()}

    (train, train_labels), (test, test_labels) = of_split(data.train), of_split(data.test)
    views: list[ViewFeatures | None] = [None] * len(depths)
    if num_views:
        found = extract_views(representations, data, depths, augmenter, num_views, batch_size)
        views = list(found.values())
    train_views: list[np.ndarray | None] = [None] * len(depths)
    if num_train_views:
        drawn = _train_views(representations, data, len(depths), augmenter, num_train_views)
        train_views = list(drawn)
    return {
        depth: FrozenFeatures(
            train[index],
            test[index],
            train_labels,
            test_labels,
            data.features,
            views[index],
            train_views[index],
            inputs_of(data),
        )
        for index, depth in enumerate(depths)
    }


def _array(shape: tuple[int, ...]) -> np.ndarray:
    """A float32 array to be filled: in memory, or of a file that ends with it if it is large."""
    if 4 * int(np.prod(shape)) <= IN_MEMORY_BYTES:
        return np.empty(shape, np.float32)
    return np.memmap(tempfile.TemporaryFile(), np.float32, "w+", shape=shape)


def inputs_of(data: DataSet, batch_size: int = 500) -> Inputs:
    """The un-augmented inputs of both splits, made when they are asked for."""

    def of_split(split: Split) -> Callable[[np.ndarray], np.ndarray]:
        def images(rows: np.ndarray) -> np.ndarray:
            batches = split.chosen(np.asarray(rows), batch_size)
            return np.concatenate([data.inputs(batch).numpy() for batch in batches])

        return images

    return Inputs(of_split(data.train), of_split(data.test), data.image_channels)


def extract_views(
    representations: Callable[[Any], Sequence[Any]],
    data: DataSet,
    depths: Sequence[str],
    augmenter: Any,
    num_views: int,
    batch_size: int = 500,
) -> dict[str, ViewFeatures]:
    """The features of two views of `num_views` test images at every depth, see `extract`."""
    rows = spread(data.test.num_examples, num_views)

    of_batch = _of_two_views(representations, len(depths), augmenter)
    parts: list[list[np.ndarray]] = [[] for _ in depths]
    for step, batch in enumerate(data.test.chosen(rows, batch_size)):
        for part, values in zip(parts, of_batch(batch, tf.constant(step)), strict=True):
            part.append(values.numpy())
    return {
        depth: ViewFeatures(rows, *np.concatenate(part, axis=1))
        for depth, part in zip(depths, parts, strict=True)
    }


def _of_two_views(
    representations: Callable[[Any], Sequence[Any]], num_depths: int, augmenter: Any
) -> Callable[[Mapping[str, Any], Any], list[Any]]:
    """(batch, number of the draws) -> (2, batch, dim) for each depth."""

    @tf.function(reduce_retracing=True)
    def of_batch(batch: Mapping[str, Any], step: Any) -> list[Any]:
        views, planes, _ = augmenter.two_views(batch["image"], step, batch.get("planes"))
        outputs = list(representations(compose_images(views, planes)))[:num_depths]
        return [tf.stack(tf.split(output, 2)) for output in outputs]

    return of_batch


def _train_views(
    representations: Callable[[Any], Sequence[Any]],
    data: DataSet,
    num_depths: int,
    augmenter: Any,
    count: int,
    batch_size: int = 500,
) -> list[np.ndarray]:
    """Features of `count` views of every training image: (count, examples, dim) for each depth."""
    of_batch = _of_two_views(representations, num_depths, augmenter)
    found: list[np.ndarray] = []
    step = 0
    for first in range(0, count, 2):
        done = 0
        for batch in data.train.batches(batch_size):
            outputs = [values.numpy() for values in of_batch(batch, tf.constant(step))]
            found = found or [
                _array((count, data.train.num_examples, values.shape[2])) for values in outputs
            ]
            end = done + outputs[0].shape[1]
            for whole, values in zip(found, outputs, strict=True):
                whole[first : first + 2, done:end] = values[: count - first]
            step, done = step + 1, end
    return found
