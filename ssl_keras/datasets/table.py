"""Tables: vectors with a class, or without, and pairs of vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ssl_keras.datasets.base import BuildContext, DataSet, DatasetBuilder, absolute_source
from ssl_keras.datasets.plain import source_labels, source_targets
from ssl_keras.datasets.splits import Split
from ssl_keras.inputs import Vectors
from ssl_keras.options import option


@dataclass(frozen=True)
class Table(DatasetBuilder):
    """The vectors of the source, standardised, with their class as the only target.

    If the source has a partner for each vector, `--views=given` takes both as the two views.
    """

    default_encoder: ClassVar[str] = "mlp"
    source_kind: ClassVar[str] = "vectors"

    source: str = option("breast_cancer", help="source of the vectors", convert=absolute_source)

    def build(self, context: BuildContext) -> DataSet:
        source = context.load_vectors(self.source)

        def compose(batch: Mapping[str, Any]) -> dict[str, Any]:
            composed = {"example": {"x": batch["x"]}, "labels": source_labels(batch)}
            return composed | ({"partner": {"x": batch["partner"]}} if "partner" in batch else {})

        return DataSet(
            name=source.name,
            train=Split(source.train, compose),
            test=Split(source.test, compose),
            targets=source_targets(source),
            modality=Vectors.standardizing(source.train.columns["x"]),  # type: ignore[attr-defined]
            notices=source.notices,
        )
