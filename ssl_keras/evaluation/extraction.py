"""Frozen features of a model: extraction, and the proof that it changed nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ssl_keras.datasets.base import DataSet
from ssl_keras.datasets.composing import compose_images
from ssl_keras.datasets.splits import Split
from ssl_keras.errors import UserError
from ssl_keras.evaluation.base import FrozenFeatures, ViewFeatures
from ssl_keras.lazy import tf


def depth_names(num_layers: int) -> list[str]:
    """The names of the depths that are evaluated: "features", "projection_1", ..."""
    return ["features", *(f"projection_{index + 1}" for index in range(num_layers))]


def weights_digest(variables: Sequence[Any]) -> str:
    """SHA-256 of the values of variables: weights and batch-norm statistics, in their order."""
    digest = hashlib.sha256()
    for variable in variables:
        digest.update(np.ascontiguousarray(np.asarray(variable)).tobytes())
    return digest.hexdigest()


def extract(
    representations: Callable[[Any], Sequence[Any]],
    data: DataSet,
    depths: Sequence[str],
    batch_size: int = 500,
    augmenter: Any = None,
    num_views: int = 0,
) -> dict[str, FrozenFeatures]:
    """The features of both splits at every depth, un-augmented, in inference mode.

    Args:
        representations: composed images -> one tensor (batch, dim) for each depth.
        data: the data set.
        depths: the names of the depths, see `depth_names`.
        batch_size: images at a time.
        augmenter: draws the views, see `augmentations.Augmenter`.
        num_views: of how many test images, evenly spread, features of two views are extracted too.

    Returns:
        depth name -> `FrozenFeatures`.
    """

    @tf.function
    def outputs(batch: Mapping[str, Any]) -> list[Any]:
        return list(representations(data.inputs(batch)))[: len(depths)]

    # Traced once, for batches of any size.
    of_batch = outputs.get_concrete_function(data.test.batches(batch_size).element_spec)

    def of_split(split: Split) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        parts: list[list[np.ndarray]] = [[] for _ in depths]
        labels: dict[str, list[np.ndarray]] = {name: [] for name in data.features}
        for batch in split.batches(batch_size):
            for part, values in zip(parts, of_batch(batch), strict=True):
                part.append(values.numpy())
            for name, found in labels.items():
                found.append(batch["labels"][name].numpy())
        together = {name: np.concatenate(found) for name, found in labels.items()}
        features = [np.concatenate(part) for part in parts]
        if not all(np.isfinite(part).all() for part in features):
            raise UserError(
                "The features of the model are not finite numbers: the training has diverged; "
                "lower --learning_rate."
            )
        return features, together

    (train, train_labels), (test, test_labels) = of_split(data.train), of_split(data.test)
    views: list[ViewFeatures | None] = [None] * len(depths)
    if num_views:
        found = extract_views(representations, data, depths, augmenter, num_views, batch_size)
        views = list(found.values())
    return {
        depth: FrozenFeatures(
            train[index], test[index], train_labels, test_labels, data.features, views[index]
        )
        for index, depth in enumerate(depths)
    }


def extract_views(
    representations: Callable[[Any], Sequence[Any]],
    data: DataSet,
    depths: Sequence[str],
    augmenter: Any,
    num_views: int,
    batch_size: int = 500,
) -> dict[str, ViewFeatures]:
    """The features of two views of `num_views` test images at every depth, see `extract`."""
    count = data.test.num_examples
    rows = np.linspace(0, count - 1, min(num_views, count)).round().astype(np.int64)

    @tf.function(reduce_retracing=True)
    def of_batch(batch: Mapping[str, Any], step: Any) -> list[Any]:
        views, planes, _ = augmenter.two_views(batch["image"], step, batch.get("planes"))
        outputs = list(representations(compose_images(views, planes)))[: len(depths)]
        return [tf.stack(tf.split(output, 2)) for output in outputs]

    parts: list[list[np.ndarray]] = [[] for _ in depths]
    for step, batch in enumerate(data.test.chosen(rows, batch_size)):
        for part, values in zip(parts, of_batch(batch, tf.constant(step)), strict=True):
            part.append(values.numpy())
    return {
        depth: ViewFeatures(rows, *np.concatenate(part, axis=1))
        for depth, part in zip(depths, parts, strict=True)
    }
