"""Data sets with explicit, controllable competing features, selected by name.

`DATASETS` is the dictionary behind `--dataset`; `load` makes one from a source:

    data = datasets.load("bit_concat", source="mnist_5k", seed=0, num_bits=3)
    batch = next(iter(data.train.batches(8)))  # {"example": {"image", "bits"}, "labels": {...}}
    data.inputs(batch)                         # float32 (8, 28, 28, 4)
    data.targets                               # {"class": Target(...), "bits": Target(...)}
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ssl_keras.datasets.base import (
    BuildContext,
    DataSet,
    DatasetBuilder,
    Source,
    Target,
)
from ssl_keras.datasets.bit_concat import BitConcat
from ssl_keras.datasets.factors import Factors
from ssl_keras.datasets.four_rooms import FourRooms
from ssl_keras.datasets.held_out import hold_out
from ssl_keras.datasets.multi_digit import MultiDigit
from ssl_keras.datasets.overlay import Overlay
from ssl_keras.datasets.plain import Plain
from ssl_keras.datasets.sentences import Sentences
from ssl_keras.datasets.skip_gram import SkipGram
from ssl_keras.datasets.sources import check_source, load_source
from ssl_keras.datasets.sources.decoding import MAX_MEGAPIXELS
from ssl_keras.datasets.sources.digests import source_digest
from ssl_keras.datasets.sources.glyphs import is_glyphs
from ssl_keras.datasets.sources.text import check_text
from ssl_keras.datasets.sources.vectors import check_vectors, load_vectors
from ssl_keras.datasets.splits import MemorySplit, Split
from ssl_keras.datasets.table import Table
from ssl_keras.errors import UserError
from ssl_keras.inputs import Images
from ssl_keras.options import Registry

__all__ = [
    "DATASETS",
    "DataSet",
    "DatasetBuilder",
    "MemorySplit",
    "Source",
    "Split",
    "Target",
    "check",
    "digests",
    "load",
    "load_source",
]

DATASETS: Registry[DatasetBuilder] = Registry(
    "data set",
    DatasetBuilder,
    {
        "bit_concat": BitConcat,
        "overlay": Overlay,
        "multi_digit": MultiDigit,
        "plain": Plain,
        "factors": Factors,
        "table": Table,
        "four_rooms": FourRooms,
        "skip_gram": SkipGram,
        "sentences": Sentences,
    },
)

# Composed splits up to this many bytes are composed once and kept in memory.
IN_MEMORY_BYTES = 2**30


def check(
    builder: DatasetBuilder, seed: int = 0, data_dir: str | None = None, download: bool = False
) -> int | None:
    """Find what is wrong with the sources of a data set in a moment, before TensorFlow is there.

    Args:
        builder: the data set.
        seed, data_dir, download: see `load`.

    Returns:
        The number of training examples of the source, or None if it takes longer to know.

    Raises:
        UserError: a source does not exist.
    """
    sources = builder.sources()
    if builder.has_images:
        counts = {n: check_source(s, data_dir, download, seed) for n, s in sources.items()}
        return counts.get("source")
    for source in sources.values():
        (check_text if builder.source_kind == "text" else check_vectors)(source)
    return None


def digests(builder: DatasetBuilder, data_dir: str | None = None) -> dict[str, str]:
    """What identifies the data of a data set: option -> digest of the source that it names.

    A source that cannot be read has no digest. See `sources.digests` for what it depends on.

    Args:
        builder: the data set.
        data_dir: see `load`.
    """
    found = {n: source_digest(name, data_dir) for n, name in builder.sources().items()}
    return {option: digest for option, digest in found.items() if digest is not None}


def load(
    name: str,
    /,
    *,
    seed: int = 0,
    data_dir: str | None = None,
    download: bool = False,
    image_size: int | None = None,
    on_bad_image: str = "refuse",
    resize: str = "squash",
    image_channels: int | None = None,
    max_megapixels: int = MAX_MEGAPIXELS,
    num_characters: int | None = None,
    view_size: int | None = None,
    max_train_images: int | None = None,
    held_out_classes: int | None = None,
    held_out_target: str | None = None,
    **options: Any,
) -> DataSet:
    """The data set called `name`.

    Small data sets are composed once and kept in memory; large ones are composed batch by batch.

    Args:
        name: a key of `DATASETS`.
        seed: seed of everything random in the data set, such as the bits.
        data_dir, download, image_size, on_bad_image, resize, image_channels, max_megapixels,
            num_characters: see `sources.load_source`.
        view_size: side of the encoder's input, see `inputs.Images`; at most that of the images.
        max_train_images: the largest number of training examples, drawn by `seed`. Default: all.
        held_out_classes, held_out_target: number of classes that are not trained on, and the target
            whose classes they are, see `held_out.hold_out`. Default: none.
        **options: the options of the data set (the fields of its class), such as `source`.

    Raises:
        UserError: unknown name, option or source, a value out of range, or data that cannot be
            used.
    """
    builder = DATASETS.get(name, **options)
    main_source = getattr(builder, "source", None)
    if image_channels is not None and main_source is None:
        raise UserError(
            f"image_channels has no effect on {name!r}, whose images are grey: leave it out."
        )

    def load_images(source: str, size: int | None) -> Source:
        return load_source(
            source,
            data_dir,
            download,
            image_size=size,
            seed=seed,
            on_bad_image=on_bad_image,
            resize=resize,
            image_channels=image_channels if source == main_source else None,
            max_megapixels=max_megapixels,
            num_characters=num_characters,
        )

    if num_characters is not None and not any(map(is_glyphs, builder.sources().values())):
        raise UserError(
            f"num_characters has no effect on {name!r} without a source of characters: leave it "
            "out, or give --source=glyphs or fonts:FOLDER."
        )
    context = BuildContext(
        seed,
        image_size,
        load_images,
        lambda source: load_vectors(source, seed),
        num_characters,
    )
    data = builder.build(context)
    image_settings = {"image_size": image_size, "view_size": view_size}
    image_settings |= {"image_channels": image_channels}
    for setting, value in image_settings.items():
        if value is not None and not isinstance(data.modality, Images):
            raise UserError(
                f"{setting} has no effect on {data.name}, whose examples are "
                f"{data.modality.name}: leave it out."
            )
    if view_size is not None and isinstance(data.modality, Images):
        height, width, _ = data.modality.image_shape
        if view_size > min(height, width):
            raise UserError(
                f"view_size is {view_size}, but the images of {data.name} are only "
                f"{height}x{width} pixels: choose a smaller --view_size or a larger --image_size."
            )
        size = (view_size, view_size)
        data = dataclasses.replace(
            data, modality=dataclasses.replace(data.modality, view_size=size)
        )
    if held_out_classes is not None:
        data = hold_out(data, held_out_classes, held_out_target, seed)
    if max_train_images is not None:
        data = data.map_training(lambda split: split.at_most(max_train_images, seed))
    data = dataclasses.replace(data, digests=digests(builder, data_dir))
    splits = {data.train, data.probing, data.test, *filter(None, [data.unseen])}
    if sum(split.num_examples * split.example_bytes() for split in splits) > IN_MEMORY_BYTES:
        return data
    data = data.map_training(lambda split: split.in_memory())
    unseen = None if data.unseen is None else data.unseen.in_memory()
    return dataclasses.replace(data, test=data.test.in_memory(), unseen=unseen)
