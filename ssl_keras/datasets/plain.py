"""The images of a source, unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ssl_keras.datasets.base import (
    BuildContext,
    DataSet,
    ImageBuilder,
    Source,
    Target,
    class_target,
    images,
)
from ssl_keras.datasets.splits import Split


def source_labels(batch: Mapping[str, Any]) -> dict[str, Any]:
    """The labels of a batch of examples: {"class": ...}, or {} without labels."""
    return {"class": batch["label"]} if "label" in batch else {}


def source_targets(source: Source) -> dict[str, Target]:
    """The target "class" of a source, or {} without labels."""
    if not source.labelled:
        return {}
    target = class_target("class", source.test.labels, source.num_classes, source.class_names)
    return {"class": target}


@dataclass(frozen=True)
class Plain(ImageBuilder):
    """The images of the source, with their class as the only target.

    If the source has a partner for each image, `--views=given` takes both as the two views.
    """

    def build(self, context: BuildContext) -> DataSet:
        source = self.main_source(context)

        def compose(batch: Mapping[str, Any]) -> dict[str, Any]:
            composed = {"example": {"image": batch["image"]}, "labels": source_labels(batch)}
            pair = {"partner": {"image": batch["partner"]}} if "partner" in batch else {}
            return composed | pair

        return DataSet(
            name=source.name,
            train=Split(source.train, compose),
            test=Split(source.test, compose),
            targets=source_targets(source),
            modality=images(source),
            notices=source.notices,
        )
