"""Data sets with explicit, controllable competing features, selected by name.

`DATASETS` is the dictionary behind `--dataset`; `load` makes one from a source:

    data = datasets.load("bit_concat", source="mnist_5k", seed=0, num_bits=3)
    data.train.as_dataset()   # {"image": float32 (28, 28, 4), "labels": {"class", "bits"}}
    data.features             # {"class": Feature(...), "bits": Feature(...)}
"""

from __future__ import annotations

from typing import Any

from ssl_keras.datasets.base import DataSet, Feature, Split, compose_images
from ssl_keras.datasets.bit_concat import BitConcat
from ssl_keras.datasets.plain import Plain, Recipe
from ssl_keras.datasets.sources import Source, load_source
from ssl_keras.registry import Registry

__all__ = ["DATASETS", "DataSet", "Feature", "Source", "Split", "compose_images", "load"]

DATASETS: Registry[Recipe] = Registry("data set", {"bit_concat": BitConcat, "plain": Plain})


def load(
    name: str,
    /,
    *,
    source: str = "mnist_5k",
    seed: int = 0,
    data_dir: str | None = None,
    download: bool = False,
    **options: Any,
) -> DataSet:
    """The data set called `name`, made from `source`.

    Args:
        name: a key of `DATASETS`.
        source: an embedded source or a name of TensorFlow Datasets.
        seed: chooses whatever is random in the data set (such as the bits).
        data_dir, download: see `sources.load_source`.
        **options: the options of the data set (the fields of its class).

    Raises:
        UserError: unknown name, option or source, or a value out of range.
    """
    recipe = DATASETS.get(name, **options)
    return recipe.compose(load_source(source, data_dir, download), seed)
