"""The source as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ssl_keras.datasets.base import (
    BuildContext,
    DataSet,
    DatasetBuilder,
    Source,
    Target,
    class_target,
)
from ssl_keras.datasets.splits import Split


def source_labels(batch: Mapping[str, Any]) -> dict[str, Any]:
    """The labels of a batch of examples: {"class"}, or nothing without labels."""
    return {"class": batch["label"]} if "label" in batch else {}


def source_targets(source: Source) -> dict[str, Target]:
    """The target "class" of a source, or nothing without labels."""
    if not source.labelled:
        return {}
    return {"class": class_target("class", source.train.labels, source.num_classes)}


@dataclass(frozen=True)
class Plain(DatasetBuilder):
    """The images of the source, with their class as the only target."""

    def make(self, context: BuildContext) -> DataSet:
        source = context.main_source()

        def compose(batch: Mapping[str, Any]) -> dict[str, Any]:
            return {"image": batch["image"], "labels": source_labels(batch)}

        return DataSet(
            name=source.name,
            train=Split(source.train, compose),
            test=Split(source.test, compose),
            targets=source_targets(source),
            image_shape=source.image_shape,
            image_channels=source.image_channels,
            augmentation=source.augmentation,
            class_names=source.class_names,
            notices=source.notices,
        )
