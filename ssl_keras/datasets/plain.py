"""The source as it is, and the base class of the recipes that make data sets from sources."""

from __future__ import annotations

from dataclasses import dataclass

from ssl_keras.datasets.base import DataSet, Split, class_feature
from ssl_keras.datasets.sources import Source
from ssl_keras.registry import Options


@dataclass(frozen=True)
class Recipe(Options):
    """How to make a data set from a source. Its fields are the options of `--dataset=NAME`."""

    def compose(self, source: Source, seed: int) -> DataSet:
        """The data set made from `source`; `seed` chooses whatever is random in it."""
        raise NotImplementedError(f"{type(self).__name__} does not compose")


@dataclass(frozen=True)
class Plain(Recipe):
    """The images of the source, with their class as the only feature."""

    def compose(self, source: Source, seed: int) -> DataSet:
        return DataSet(
            name=source.name,
            train=Split(source.train.images, {"class": source.train.labels}),
            test=Split(source.test.images, {"class": source.test.labels}),
            features={"class": class_feature("class", source.train.labels, source.num_classes)},
            image_shape=source.image_shape,
            augmentation=source.augmentation,
            class_names=source.class_names,
        )
