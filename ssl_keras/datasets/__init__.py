"""Data sets with explicit, controllable competing features, selected by name.

`DATASETS` is the dictionary behind `--dataset`; `load` makes one from a source:

    data = datasets.load("bit_concat", source="mnist_5k", seed=0, num_bits=3)
    data.train.as_dataset()   # {"image": float32 (28, 28, 4), "labels": {"class", "bits"}}
    data.targets             # {"class": Target(...), "bits": Target(...)}
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ssl_keras.datasets.base import BuildContext, DataSet, DatasetBuilder, Source, Target
from ssl_keras.datasets.bit_concat import BitConcat
from ssl_keras.datasets.multi_digit import MultiDigit
from ssl_keras.datasets.overlay import Overlay
from ssl_keras.datasets.plain import Plain
from ssl_keras.datasets.sources import load_source
from ssl_keras.datasets.splits import MemorySplit, Split
from ssl_keras.errors import UserError
from ssl_keras.inputs.composing import compose_images
from ssl_keras.options import Registry

__all__ = [
    "DATASETS",
    "DataSet",
    "DatasetBuilder",
    "MemorySplit",
    "Source",
    "Split",
    "Target",
    "compose_images",
    "load",
    "load_source",
]

DATASETS: Registry[DatasetBuilder] = Registry(
    "data set",
    {"bit_concat": BitConcat, "overlay": Overlay, "multi_digit": MultiDigit, "plain": Plain},
)

# Composed splits up to this many bytes of pixels are composed once and kept in memory.
IN_MEMORY_BYTES = 2**30


def load(
    name: str,
    /,
    *,
    source: str | None = None,
    seed: int = 0,
    data_dir: str | None = None,
    download: bool = False,
    image_size: int | None = None,
    on_bad_image: str = "refuse",
    resize: str = "squash",
    image_channels: int | None = None,
    view_size: int | None = None,
    max_train_images: int | None = None,
    **options: Any,
) -> DataSet:
    """The data set called `name`, made from `source`.

    Small data sets are composed once and kept in memory as uint8; large ones are composed batch
    by batch.

    Args:
        name: a key of `DATASETS`.
        source: see `datasets.sources`; None for the data set's default.
        seed: chooses whatever is random in the data set (such as the bits).
        data_dir, download, image_size, on_bad_image, resize, image_channels: see
            `sources.load_source`.
        view_size: side of what the encoder sees, see `DataSet`; at most that of the images.
        max_train_images: train on no more images than these, chosen by `seed`. Default: all.
        **options: the options of the data set (the fields of its class).

    Raises:
        UserError: unknown name, option or source, a value out of range, or data that cannot be
            used.
    """
    builder = DATASETS.get(name, **options)
    source = builder.source_name(source)
    if image_channels is not None and source is None:
        raise UserError(
            f"image_channels has no effect on {name!r}, whose images are grey: leave it out."
        )

    def load_named(wanted: str, size: int | None) -> Source:
        return load_source(
            wanted,
            data_dir,
            download,
            image_size=size,
            seed=seed,
            on_bad_image=on_bad_image,
            resize=resize,
            image_channels=image_channels if wanted == source else None,
        )

    data = builder.make(BuildContext(source, seed, image_size, load_named))
    if view_size is not None:
        if view_size > min(data.image_shape[:2]):
            raise UserError(
                f"view_size is {view_size}, but the images of {data.name} are only "
                f"{data.image_shape[0]}x{data.image_shape[1]} pixels: choose a smaller --view_size "
                "or a larger --image_size."
            )
        data = dataclasses.replace(data, view_size=(view_size, view_size))
    if max_train_images is not None:
        data = data.training_on(lambda split: split.at_most(max_train_images, seed))
    splits = {id(split): split for split in (data.train, data.probing, data.test)}.values()
    pixels = int(np.prod(data.image_shape))
    if sum(split.num_examples for split in splits) * pixels > IN_MEMORY_BYTES:
        return data
    data = data.training_on(lambda split: split.in_memory())
    return dataclasses.replace(data, test=data.test.in_memory())
