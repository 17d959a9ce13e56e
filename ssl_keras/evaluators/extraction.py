"""FrozenEncoder features of a model: extraction, and the proof that it changed nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ssl_keras.datasets.base import DataSet, class_target
from ssl_keras.datasets.splits import Split
from ssl_keras.errors import UserError
from ssl_keras.evaluators.base import (
    FrozenFeatures,
    FrozenLocations,
    Inputs,
    ViewFeatures,
    spread,
)
from ssl_keras.inputs.composing import compose_images
from ssl_keras.lazy import tf
from ssl_keras.networks import Grid

# Features of a split that take more are kept in a file.
IN_MEMORY_BYTES = 2**30
# Most locations of training images that are kept.
TRAIN_LOCATIONS = 20_000


def layer_names(num_layers: int) -> list[str]:
    """The names of the layers that are evaluated: "features", "projection_1", ..."""
    return ["features", *(f"projection_{index + 1}" for index in range(num_layers))]


def extract(
    representations: Callable[[Any], Sequence[Any]],
    data: DataSet,
    layers: Sequence[str],
    batch_size: int = 500,
    augmenter: Any = None,
    num_views: int = 0,
    num_train_views: int = 0,
) -> dict[str, FrozenFeatures]:
    """The features of both splits at every layer, un-augmented, in inference mode.

    Args:
        representations: composed images -> one tensor (batch, dim) for each layer.
        data: the data set.
        layers: the names of the layers, see `layer_names`.
        batch_size: images at a time.
        augmenter: draws the views, see `augmentations.Augmenter`.
        num_views: of how many test images, evenly spread, features of two views are extracted too.
        num_train_views: how many views of every training image are extracted too.

    Returns:
        layer name -> `FrozenFeatures`.
    """

    @tf.function
    def outputs(batch: Mapping[str, Any]) -> list[Any]:
        return list(representations(data.inputs(batch)))[: len(layers)]

    # Traced once, for batches of any size.
    of_batch = outputs.get_concrete_function(data.test.batches(batch_size).element_spec)

    def of_split(split: Split) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        features: list[np.ndarray] = []
        labels: dict[str, list[np.ndarray]] = {name: [] for name in data.targets}
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

    (train, train_labels), (test, test_labels) = of_split(data.probing), of_split(data.test)
    views: list[ViewFeatures | None] = [None] * len(layers)
    if num_views:
        found = extract_views(representations, data, layers, augmenter, num_views, batch_size)
        views = list(found.values())
    train_views: list[np.ndarray | None] = [None] * len(layers)
    if num_train_views:
        drawn = _train_views(representations, data, len(layers), augmenter, num_train_views)
        train_views = list(drawn)
    return {
        layer: FrozenFeatures(
            train[index],
            test[index],
            train_labels,
            test_labels,
            data.targets,
            views[index],
            train_views[index],
            inputs_of(data),
        )
        for index, layer in enumerate(layers)
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

    return Inputs(of_split(data.probing), of_split(data.test), data.image_channels)


def extract_views(
    representations: Callable[[Any], Sequence[Any]],
    data: DataSet,
    layers: Sequence[str],
    augmenter: Any,
    num_views: int,
    batch_size: int = 500,
) -> dict[str, ViewFeatures]:
    """The features of two views of `num_views` test images at every layer, see `extract`."""
    rows = spread(data.test.num_examples, num_views)

    of_batch = _of_two_views(representations, len(layers), augmenter)
    parts: list[list[np.ndarray]] = [[] for _ in layers]
    for step, batch in enumerate(data.test.chosen(rows, batch_size)):
        for part, values in zip(parts, of_batch(batch, tf.constant(step)), strict=True):
            part.append(values.numpy())
    return {
        layer: ViewFeatures(rows, *np.concatenate(part, axis=1))
        for layer, part in zip(layers, parts, strict=True)
    }


def _of_two_views(
    representations: Callable[[Any], Sequence[Any]], num_layers: int, augmenter: Any
) -> Callable[[Mapping[str, Any], Any], list[Any]]:
    """(batch, number of the draws) -> (2, batch, dim) for each layer."""

    @tf.function(reduce_retracing=True)
    def of_batch(batch: Mapping[str, Any], step: Any) -> list[Any]:
        views, bits, _ = augmenter.two_views(batch["image"], step, batch.get("bits"))
        outputs = list(representations(compose_images(views, bits)))[:num_layers]
        return [tf.stack(tf.split(output, 2)) for output in outputs]

    return of_batch


def _train_views(
    representations: Callable[[Any], Sequence[Any]],
    data: DataSet,
    num_layers: int,
    augmenter: Any,
    count: int,
    batch_size: int = 500,
) -> list[np.ndarray]:
    """Features of `count` views of every training image: (count, examples, dim) for each layer."""
    of_batch = _of_two_views(representations, num_layers, augmenter)
    found: list[np.ndarray] = []
    step = 0
    for first in range(0, count, 2):
        done = 0
        for batch in data.probing.batches(batch_size):
            outputs = [values.numpy() for values in of_batch(batch, tf.constant(step))]
            found = found or [
                _array((count, data.train.num_examples, values.shape[2])) for values in outputs
            ]
            end = done + outputs[0].shape[1]
            for whole, values in zip(found, outputs, strict=True):
                whole[first : first + 2, done:end] = values[: count - first]
            step, done = step + 1, end
    return found


def extract_local(
    blocks: Callable[[Any], Sequence[Any]],
    data: DataSet,
    grids: Mapping[str, Grid],
    num_images: int,
    batch_size: int = 100,
) -> dict[str, FrozenLocations]:
    """Features of locations, un-augmented, in inference mode, and what lies at their centres.

    Of each split at most `num_images` images, evenly spread: of test images every location, of
    training images at most `TRAIN_LOCATIONS`, drawn at random, the same ones for every encoder.

    Args:
        blocks: composed images -> one tensor (batch, height, width, dim) for each of `grids`.
        data: the data set.
        grids: name of the block -> where its locations lie.
        num_images: see above.
        batch_size: images at a time.

    Returns:
        name of the block -> `FrozenLocations`.
    """

    @tf.function(reduce_retracing=True)
    def of_batch(batch: Mapping[str, Any]) -> list[Any]:
        return [tf.cast(values, tf.float32) for values in blocks(data.inputs(batch))]

    def of_split(
        split: Split, rows: np.ndarray, kept: Sequence[np.ndarray]
    ) -> tuple[list[np.ndarray], list[dict[str, np.ndarray]]]:
        """Features and labels of the locations `kept` of each block."""
        features: list[np.ndarray] = []
        done = 0
        for batch in split.chosen(rows, batch_size):
            found = [values.numpy() for values in of_batch(batch)]
            features = features or [
                _array((len(own), values.shape[3])) for own, values in zip(kept, found, strict=True)
            ]
            for whole, own, values in zip(features, kept, found, strict=True):
                size = int(np.prod(values.shape[1:3]))
                first, last = np.searchsorted(own, (done * size, (done + len(values)) * size))
                flat = values.reshape(-1, values.shape[3])
                whole[first:last] = flat[own[first:last] - done * size]
            done += len(found[0])
        maps = data.locations(split, rows)
        labels = []
        for own, grid in zip(kept, grids.values(), strict=True):
            y, x = grid.centres()
            labels.append(
                {n: m[:, y[:, None], x].reshape(-1)[own].astype(np.int32) for n, m in maps.items()}
            )
        return features, labels

    splits = (data.probing, data.test)
    train_rows, test_rows = (spread(split.num_examples, num_images) for split in splits)
    sizes = [int(np.prod(grid.shape)) for grid in grids.values()]
    generator = np.random.default_rng(0)
    drawn = [
        np.sort(generator.permutation(len(train_rows) * size)[:TRAIN_LOCATIONS]) for size in sizes
    ]
    every = [np.arange(len(test_rows) * size) for size in sizes]
    train, train_labels = of_split(data.probing, train_rows, drawn)
    test, test_labels = of_split(data.test, test_rows, every)
    return {
        name: FrozenLocations(
            train[index],
            test[index],
            train_labels[index],
            test_labels[index],
            {
                key: class_target(key, train_labels[index][key], len(target.values))
                for key, target in data.local_targets.items()
            },
            inputs=inputs_of(data),
            grid=grid,
            test_rows=test_rows,
            local_targets=data.local_targets,
        )
        for index, (name, grid) in enumerate(grids.items())
    }


def extract_pixels(
    data: DataSet, grids: Mapping[str, Grid], num_images: int
) -> dict[str, FrozenLocations]:
    """The control of `extract_local`: the pixels around each location, for "block_1" as "pixels_1".

    Arguments as there; see `patches`.
    """

    def blocks(images: Any) -> list[Any]:
        return [patches(images, grid) for grid in grids.values()]

    named = {name.replace("block", "pixels"): grid for name, grid in grids.items()}
    return extract_local(blocks, data, named, num_images)


def patches(images: Any, grid: Grid) -> Any:
    """Squares of pixels around the centres of locations, with the stride of the grid as their side.

    A side of s reaches from s // 2 before the centre to (s - 1) // 2 after it. Beyond its borders
    the image goes on with the values at its edges.

    Args:
        images: (batch, height, width, channels).
        grid: the locations.

    Returns:
        (batch, grid height, grid width, side * side * channels).
    """
    side = grid.stride
    around = np.arange(side) - side // 2
    rows, columns = (
        np.clip(centres[:, None] + around, 0, size - 1).ravel()
        for centres, size in zip(grid.centres(), images.shape[1:3], strict=True)
    )
    found = tf.gather(tf.gather(images, rows, axis=1), columns, axis=2)
    height, width, channels = *grid.shape, images.shape[3]
    cells = tf.reshape(found, (-1, height, side, width, side, channels))
    cells = tf.transpose(cells, (0, 1, 3, 2, 4, 5))
    return tf.reshape(cells, (-1, height, width, side * side * channels))
