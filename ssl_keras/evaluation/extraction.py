"""Frozen features of a model: extraction, and the proof that it changed nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ssl_keras.datasets.base import DataSet
from ssl_keras.datasets.splits import Split
from ssl_keras.evaluation.base import FrozenFeatures
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
) -> dict[str, FrozenFeatures]:
    """The features of both splits at every depth, un-augmented, in inference mode.

    Args:
        representations: composed images -> one tensor (batch, dim) for each depth.
        data: the data set.
        depths: the names of the depths, see `depth_names`.
        batch_size: images at a time.

    Returns:
        depth name -> `FrozenFeatures`.
    """

    @tf.function(reduce_retracing=True)
    def of_batch(batch: Mapping[str, Any]) -> list[Any]:
        return list(representations(data.inputs(batch)))[: len(depths)]

    def of_split(split: Split) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
        parts: list[list[np.ndarray]] = [[] for _ in depths]
        labels: dict[str, list[np.ndarray]] = {name: [] for name in data.features}
        for batch in split.batches(batch_size):
            for part, values in zip(parts, of_batch(batch), strict=True):
                part.append(values.numpy())
            for name, found in labels.items():
                found.append(batch["labels"][name].numpy())
        together = {name: np.concatenate(found) for name, found in labels.items()}
        return [np.concatenate(part) for part in parts], together

    (train, train_labels), (test, test_labels) = of_split(data.train), of_split(data.test)
    return {
        depth: FrozenFeatures(train[index], test[index], train_labels, test_labels, data.features)
        for index, depth in enumerate(depths)
    }
