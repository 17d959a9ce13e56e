"""Extraction of the features of a model: of images, of their views, and of single locations."""

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
from ssl_keras.inputs import Modality
from ssl_keras.lazy import tf
from ssl_keras.networks import Grid
from ssl_keras.networks.dropout import dropout_keys
from ssl_keras.traced import TracedFunctions

# Features of a split that take more bytes are held in a temporary file.
IN_MEMORY_BYTES = 2**30
# Upper limit of the locations of training images.
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
    traced: TracedFunctions | None = None,
    partner_representations: Callable[[Any], Sequence[Any]] | None = None,
) -> dict[str, FrozenFeatures]:
    """The features of both splits at every layer, un-augmented, in inference mode.

    Args:
        representations: network inputs -> one tensor (batch, dim) for each layer.
        data: the data set.
        layers: names of the layers, see `layer_names`.
        batch_size: images in a batch.
        augmenter: draws the views, see `views.Augmenter`.
        num_views: number of test images, evenly spaced, whose features of two views are extracted.
        num_train_views: number of views of each training image whose features are extracted.
        traced: functions of `representations` that are traced already.
        partner_representations: those of second views, if another encoder takes them.

    Returns:
        layer name -> `FrozenFeatures`.
    """

    traced, modality = traced or TracedFunctions(), data.modality
    specs = data.test.batches(batch_size).element_spec["example"]

    def traced_outputs() -> Any:
        """Traced for batches of any size."""

        @tf.function(autograph=False)
        def outputs(example: Mapping[str, Any]) -> list[Any]:
            return list(representations(modality.inputs(example)))[: len(layers)]

        return outputs.get_concrete_function(specs)

    extract_batch = traced.get((len(layers), modality, str(specs)), traced_outputs)

    def extract_split(
        split: Split, *further: str
    ) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        features: list[np.ndarray] = []
        # In the order of the targets: shuffled labels are drawn in it.
        labels: dict[str, list[np.ndarray]] = {name: [] for name in (*data.targets, *further)}
        done = 0
        for batch in split.batches(batch_size):
            batch_features = [values.numpy() for values in extract_batch(batch["example"])]
            if not all(np.isfinite(values).all() for values in batch_features):
                raise UserError(
                    "The features of the model are not finite numbers: the training has diverged; "
                    "lower --learning_rate."
                )
            features = features or [
                _empty((split.num_examples, *values.shape[1:])) for values in batch_features
            ]
            for array, values in zip(features, batch_features, strict=True):
                array[done : done + len(values)] = values
            done += len(batch_features[0])
            for name, parts in labels.items():
                parts.append(batch["labels"][name].numpy())
        return features, {name: np.concatenate(parts) for name, parts in labels.items()}

    train, train_labels = extract_split(data.probing)
    test, test_labels = extract_split(data.test)
    unseen: list[np.ndarray | None] = [None] * len(layers)
    unseen_labels, target = None, data.unseen_target
    if data.unseen is not None and target is not None:
        features, labels = extract_split(data.unseen, target.name)
        unseen, unseen_labels = list(features), labels[target.name]
    views: list[ViewFeatures | None] = [None] * len(layers)
    if num_views:
        by_layer = extract_views(
            representations,
            data,
            layers,
            augmenter,
            num_views,
            batch_size,
            traced,
            partner_representations,
        )
        views = list(by_layer.values())
    train_views: list[np.ndarray | None] = [None] * len(layers)
    if num_train_views:
        train_views = list(
            _extract_train_views(
                _two_view_extractor(traced, representations, modality, len(layers), augmenter),
                data,
                num_train_views,
            )
        )
    return {
        layer: FrozenFeatures(
            train[index],
            test[index],
            train_labels,
            test_labels,
            data.targets,
            views[index],
            train_views[index],
            build_inputs(data),
            unseen=unseen[index],
            unseen_labels=unseen_labels,
            unseen_target=target,
        )
        for index, layer in enumerate(layers)
    }


def _empty(shape: tuple[int, ...]) -> np.ndarray:
    """A float32 array to be filled: in memory, or, if it is large, in a temporary file."""
    if 4 * int(np.prod(shape)) <= IN_MEMORY_BYTES:
        return np.empty(shape, np.float32)
    return np.memmap(tempfile.TemporaryFile(), np.float32, "w+", shape=shape)


def build_inputs(data: DataSet, batch_size: int = 500) -> Inputs:
    """The un-augmented inputs of both splits, composed on demand."""

    def compose(split: Split) -> Callable[[np.ndarray], np.ndarray]:
        def images(rows: np.ndarray) -> np.ndarray:
            batches = split.batches(batch_size, np.asarray(rows))
            return np.concatenate([data.inputs(batch).numpy() for batch in batches])

        return images

    unseen = None if data.unseen is None else compose(data.unseen)
    return Inputs(compose(data.probing), compose(data.test), data.modality, unseen)


def extract_views(
    representations: Callable[[Any], Sequence[Any]],
    data: DataSet,
    layers: Sequence[str],
    augmenter: Any,
    num_views: int,
    batch_size: int = 500,
    traced: TracedFunctions | None = None,
    partner_representations: Callable[[Any], Sequence[Any]] | None = None,
) -> dict[str, ViewFeatures]:
    """The features of two views of `num_views` test images at every layer, see `extract`."""
    rows = spread(data.test.num_examples, num_views)
    extract_batch = _two_view_extractor(
        traced or TracedFunctions(),
        representations,
        data.modality,
        len(layers),
        augmenter,
        partner_representations,
    )
    parts: list[list[np.ndarray]] = [[] for _ in layers]
    for step, batch in enumerate(data.test.batches(batch_size, rows)):
        for part, values in zip(parts, extract_batch(batch, tf.constant(step)), strict=True):
            part.append(values.numpy())
    return {
        layer: ViewFeatures(rows, *np.concatenate(part, axis=1))
        for layer, part in zip(layers, parts, strict=True)
    }


def view_representations(
    representations: Callable[[Any], Sequence[Any]],
    partner_representations: Callable[[Any], Sequence[Any]] | None,
    inputs: Any,
    keys: Any,
) -> list[Any]:
    """The representations of both views of examples, each view as it is trained: by its own
    encoder, and with its dropout masks.

    Args:
        representations: see `extract`.
        partner_representations: those of second views, if another encoder takes them.
        inputs: network inputs (2 batch, ...), the first views above the second.
        keys: keys of the dropout masks, uint32 (2 batch,).

    Returns:
        (2 batch, dim) for each layer.
    """
    if partner_representations is None:
        with dropout_keys(keys, in_inference=True):
            return list(representations(inputs))
    parts = []
    encoders = (representations, partner_representations)
    for encode, view, view_keys in zip(
        encoders, tf.split(inputs, 2), tf.split(keys, 2), strict=True
    ):
        with dropout_keys(view_keys, in_inference=True):
            parts.append(encode(view))
    return [tf.concat(pair, axis=0) for pair in zip(*parts, strict=True)]


def _two_view_extractor(
    traced: TracedFunctions,
    representations: Callable[[Any], Sequence[Any]],
    modality: Modality,
    num_layers: int,
    augmenter: Any,
    partner_representations: Callable[[Any], Sequence[Any]] | None = None,
) -> Callable[[Mapping[str, Any], Any], list[Any]]:
    """A function (batch, step that seeds the views) -> (2, batch, dim) for each layer."""

    @tf.function(reduce_retracing=True, autograph=False)
    def extract_batch(batch: Mapping[str, Any], step: Any) -> list[Any]:
        views, keys = augmenter.two_views(batch, step)
        inputs = modality.compose(views)
        outputs = view_representations(representations, partner_representations, inputs, keys)
        return [tf.stack(tf.split(output, 2)) for output in outputs[:num_layers]]

    return traced.get(("views", num_layers, modality, augmenter), lambda: extract_batch)


def _extract_train_views(
    extract_batch: Callable[[Mapping[str, Any], Any], list[Any]],
    data: DataSet,
    count: int,
    batch_size: int = 500,
) -> list[np.ndarray]:
    """Features of `count` views of every training image: (count, examples, dim) for each layer."""
    features: list[np.ndarray] = []
    step = 0
    for first in range(0, count, 2):
        done = 0
        for batch in data.probing.batches(batch_size):
            outputs = [values.numpy() for values in extract_batch(batch, tf.constant(step))]
            features = features or [
                _empty((count, data.train.num_examples, values.shape[2])) for values in outputs
            ]
            end = done + outputs[0].shape[1]
            for array, values in zip(features, outputs, strict=True):
                array[first : first + 2, done:end] = values[: count - first]
            step, done = step + 1, end
    return features


def extract_local(
    blocks: Callable[[Any], Sequence[Any]],
    data: DataSet,
    grids: Mapping[str, Grid],
    num_images: int,
    batch_size: int = 100,
) -> dict[str, FrozenLocations]:
    """Features of locations, un-augmented, in inference mode, with the labels at their centres.

    Each split contributes at most `num_images` images, evenly spaced: test images with every
    location, training images with at most `TRAIN_LOCATIONS` in all, drawn at random, the same ones
    for every encoder.

    Args:
        blocks: network inputs -> one tensor (batch, height, width, dim) for each of `grids`.
        data: the data set.
        grids: name of the block -> positions of its locations in the image.
        num_images: see above.
        batch_size: images in a batch.

    Returns:
        name of the block -> `FrozenLocations`.
    """

    @tf.function(reduce_retracing=True, autograph=False)
    def extract_batch(batch: Mapping[str, Any]) -> list[Any]:
        return [tf.cast(values, tf.float32) for values in blocks(data.inputs(batch))]

    def extract_split(
        split: Split, rows: np.ndarray, locations: Sequence[np.ndarray]
    ) -> tuple[list[np.ndarray], list[dict[str, np.ndarray]]]:
        """Features and labels of `locations`: for each block, sorted indices over all images."""
        features: list[np.ndarray] = []
        done = 0
        for batch in split.batches(batch_size, rows):
            outputs = [values.numpy() for values in extract_batch(batch)]
            features = features or [
                _empty((len(indices), values.shape[3]))
                for indices, values in zip(locations, outputs, strict=True)
            ]
            for array, indices, values in zip(features, locations, outputs, strict=True):
                size = int(np.prod(values.shape[1:3]))
                first, last = np.searchsorted(indices, (done * size, (done + len(values)) * size))
                flat = values.reshape(-1, values.shape[3])
                array[first:last] = flat[indices[first:last] - done * size]
            done += len(outputs[0])
        maps = data.locations(split, rows)
        labels = []
        for indices, grid in zip(locations, grids.values(), strict=True):
            y, x = grid.centres()
            at_centres = {name: map[:, y[:, None], x].reshape(-1) for name, map in maps.items()}
            labels.append({n: v[indices].astype(np.int32) for n, v in at_centres.items()})
        return features, labels

    splits = (data.probing, data.test)
    train_rows, test_rows = (spread(split.num_examples, num_images) for split in splits)
    sizes = [int(np.prod(grid.shape)) for grid in grids.values()]
    generator = np.random.default_rng(0)
    drawn = [
        np.sort(generator.permutation(len(train_rows) * size)[:TRAIN_LOCATIONS]) for size in sizes
    ]
    every = [np.arange(len(test_rows) * size) for size in sizes]
    train, train_labels = extract_split(data.probing, train_rows, drawn)
    test, test_labels = extract_split(data.test, test_rows, every)
    return {
        name: FrozenLocations(
            train[index],
            test[index],
            train_labels[index],
            test_labels[index],
            {
                key: class_target(key, test_labels[index][key], len(target.values))
                for key, target in data.local_targets.items()
            },
            inputs=build_inputs(data),
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

    Arguments as in `extract_local`; see `patches`.
    """

    def blocks(images: Any) -> list[Any]:
        return [patches(images, grid) for grid in grids.values()]

    named = {name.replace("block", "pixels"): grid for name, grid in grids.items()}
    return extract_local(blocks, data, named, num_images)


def patches(images: Any, grid: Grid) -> Any:
    """Square patches of pixels around the centres of locations; their side is the grid's stride.

    A patch of side s reaches from s // 2 before the centre to (s - 1) // 2 after it. The image is
    padded with the values at its edges.

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
    pixels = tf.gather(tf.gather(images, rows, axis=1), columns, axis=2)
    height, width, channels = *grid.shape, images.shape[3]
    cells = tf.reshape(pixels, (-1, height, side, width, side, channels))
    cells = tf.transpose(cells, (0, 1, 3, 2, 4, 5))
    return tf.reshape(cells, (-1, height, width, side * side * channels))
