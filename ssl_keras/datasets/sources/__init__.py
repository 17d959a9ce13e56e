"""Sources of images, selected by `--source`.

    mnist_5k         5,000 real digits, embedded
    glyphs           characters in the fonts that come with matplotlib
    photos           crops of ten real photographs; needs scikit-image
    idx:FOLDER       MNIST-format files, gzipped or not
    folder:FOLDER    image files, in a folder for each class or flat
    fonts:FOLDER     characters in the fonts of a folder
    npz:FILE         NumPy arrays
    pairs:FILE.csv   pairs of image files
    anything else    a TensorFlow Datasets name, prepared in --data_dir

For tables of vectors see `vectors`. Nothing is downloaded without `--download`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ssl_keras.datasets.base import Source
from ssl_keras.datasets.sources import arrays, folder, glyphs, paired, photos, tfds
from ssl_keras.datasets.sources.decoding import MAX_MEGAPIXELS
from ssl_keras.errors import UserError

# Prefix of a source of arrays -> its loader.
PATHS = {"idx": arrays.load_idx, "npz": arrays.load_npz}
ON_BAD_IMAGE = ("refuse", "skip")


def load_source(
    name: str,
    data_dir: str | None = None,
    download: bool = False,
    *,
    image_size: int | None = None,
    seed: int = 0,
    on_bad_image: str = "refuse",
    resize: str = "squash",
    image_channels: int | None = None,
    max_megapixels: int = MAX_MEGAPIXELS,
    num_characters: int | None = None,
) -> Source:
    """The source called `name`.

    Args:
        name: see the module's docstring.
        data_dir: folder of prepared TensorFlow Datasets. Default: $TFDS_DATA_DIR, or
            tensorflow_datasets in the home directory.
        download: whether a data set that is not prepared may be downloaded.
        image_size: side that images are scaled to, in pixels; None keeps their size, which must
            then be the same for all.
        seed: seed of the split of a source without a test split, and of the crops of `photos`.
        on_bad_image: "refuse" or "skip" image files that cannot be decoded.
        resize: how image files are scaled, see `decoding.decode`.
        image_channels: number of leading channels that form the picture, see `Source`.
        max_megapixels: image files with more million pixels count as unreadable.
        num_characters: number of characters of the sources glyphs and fonts:FOLDER.

    Raises:
        UserError: unknown name, or data that cannot be used; one sentence says why.
    """
    source = _load(
        name,
        data_dir,
        download,
        image_size,
        seed,
        num_characters,
        on_bad_image=on_bad_image,
        resize=resize,
        max_megapixels=max_megapixels,
    )
    if image_channels is None:
        return source
    if image_channels not in (1, 3) or image_channels > source.image_shape[2]:
        raise UserError(
            f"image_channels is {image_channels}, but the images of {name!r} have "
            f"{source.image_shape[2]} channels: give 1 (grey) or 3 (RGB), at most as many as there "
            "are."
        )
    return dataclasses.replace(source, image_channels=image_channels)


def check_source(name: str, data_dir: str | None, download: bool, seed: int) -> int | None:
    """Find what is wrong with a source in a moment: no file is opened, no TensorFlow imported.

    Args:
        name, data_dir, download, seed: see `load_source`.

    Returns:
        The number of training images, or None if it takes longer to know.

    Raises:
        UserError: the source does not exist.
    """
    kind, _, path = name.partition(":")
    if kind == "folder":
        return folder.check_folder(name, path, seed)
    if kind == "pairs":
        paired.table_of(name)
        return None
    if glyphs.is_glyphs(name):
        glyphs.check_glyphs(name)
        return None
    if name == "photos":
        photos.check_photos()
        return None
    if kind in PATHS:
        if not Path(path).expanduser().exists():
            raise UserError(f"{path!r}, which the source {name!r} names, does not exist.")
        return None
    _refuse_path(name)
    return tfds.check_tfds(name, data_dir, download)


def _refuse_path(name: str) -> None:
    if name.startswith(("/", "./", "~", "../")):
        raise UserError(
            f"The source {name!r} looks like a path: write folder:{name}, idx:{name} or npz:{name}."
        )


def _load(
    name: str,
    data_dir: str | None,
    download: bool,
    image_size: int | None,
    seed: int,
    num_characters: int | None,
    *,
    on_bad_image: str,
    resize: str,
    max_megapixels: int,
) -> Source:
    kind, _, path = name.partition(":")
    drawn = name == "photos" or glyphs.is_glyphs(name)
    if resize != "squash" and (kind in PATHS or drawn):
        raise UserError(
            f"resize={resize} has no effect on the source {name!r}, which is scaled whole: leave "
            "it out."
        )
    if kind == "folder":
        return folder.load_folder(
            name, path, image_size, seed, on_bad_image, resize, max_megapixels
        )
    if kind == "pairs":
        return paired.load_image_pairs(name, image_size, seed, on_bad_image, resize, max_megapixels)
    if kind in PATHS:
        return PATHS[kind](name, path, image_size, seed)
    if glyphs.is_glyphs(name):
        return glyphs.load_glyphs(name, image_size, seed, num_characters)
    if name == "photos":
        return photos.load_photos(image_size, seed)
    _refuse_path(name)
    return tfds.load_tfds(name, data_dir, download, image_size, resize)
