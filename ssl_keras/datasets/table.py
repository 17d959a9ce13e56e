"""Tables: vectors with a class, or without, and pairs of vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ssl_keras.datasets.base import BuildContext, DataSet, DatasetBuilder, absolute
from ssl_keras.datasets.examples import Examples
from ssl_keras.datasets.plain import source_labels, source_targets
from ssl_keras.datasets.splits import Split
from ssl_keras.inputs import Vectors
from ssl_keras.options import option


@dataclass(frozen=True)
class Table(DatasetBuilder):
    """The vectors of the source, standardised, with their class as the only target.

    Where the source gives a partner for each vector, `--views=given` takes both as the two views.
    """

    default_encoder: ClassVar[str] = "mlp"
    has_images: ClassVar[bool] = False

    source: str = option("breast_cancer", help="where vectors come from", convert=absolute)

    def build(self, context: BuildContext) -> DataSet:
        source = context.load_vectors(self.source)

        def compose(batch: Mapping[str, Any]) -> dict[str, Any]:
            composed = {"example": {"x": batch["x"]}, "labels": source_labels(batch)}
            return composed | ({"partner": {"x": batch["partner"]}} if "partner" in batch else {})

        def split(examples: Examples) -> Split:
            return Split(examples, compose)

        return DataSet(
            name=source.name,
            train=split(source.train),
            test=split(source.test),
            targets=source_targets(source),
            modality=Vectors.standardizing(source.train.columns["x"]),  # type: ignore[attr-defined]
            class_names=source.class_names,
            notices=source.notices,
        )
