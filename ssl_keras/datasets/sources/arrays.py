"""Images from arrays in files: MNIST-format (IDX) files and NumPy archives."""

from __future__ import annotations

import gzip
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from ssl_keras.datasets.base import Source
from ssl_keras.datasets.examples import (
    ArrayExamples,
    EncodedExamples,
    Examples,
    resize_many,
    resized,
)
from ssl_keras.datasets.sources.splitting import (
    NO_LABELS,
    Part,
    check_parts,
    dense_labels,
    divided_by_contents,
    num_classes,
    read_labels,
)
from ssl_keras.errors import UserError
from ssl_keras.inputs.images import preset_for
from ssl_keras.lazy import tf

# Sources up to this many bytes of pixels, after scaling, are kept in memory.
IN_MEMORY_BYTES = 2**31
# Part of EMNIST -> the character of each label (Cohen et al. 2017, and the mapping files).
_MERGED = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"
_EMNIST = {
    "letters": " ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "byclass": "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz",
    "balanced": _MERGED,
    "bymerge": _MERGED,
}
# At most this many channels are taken for channels where they come first.
_FEW_CHANNELS = 4


def read_idx(path: Path) -> np.ndarray:
    """An array in the IDX format of MNIST (uint8), gzipped or not.

    Raises:
        UserError: not an IDX file, truncated, or of another type than unsigned bytes.
    """
    try:
        with path.open("rb") as plain:
            packed = plain.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as file:
            start = file.read(4)
            if len(start) < 4 or start[:2] != b"\0\0":
                raise UserError(
                    f"{path} is not an IDX file: it starts with {start.hex() or 'nothing'} instead "
                    "of the magic number 0000 08 NN."
                )
            if start[2] != 8:
                raise UserError(
                    f"{path} holds values of type 0x{start[2]:02x}; unsigned bytes (0x08) are "
                    "needed."
                )
            header = file.read(4 * start[3])
            if len(header) < 4 * start[3]:
                raise UserError(f"{path} is truncated: its header is not complete; fetch it again.")
            shape = struct.unpack(f">{start[3]}I", header)
            expected = math.prod(shape)
            check_memory(path, expected)
            data = file.read(expected + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}; fetch the file again.") from error
    if len(data) != expected:
        there = f"{len(data)} are" if len(data) < expected else "more are"
        raise UserError(
            f"{path} is truncated or damaged: {expected} bytes of data are declared, {there} "
            "there; fetch it again."
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def check_memory(path: Path, promised: int) -> None:
    """Check that what a file promises fits into memory, before any of it is read.

    Args:
        path: the file, whose header may be damaged, or which may be small and expand.
        promised: bytes.

    Raises:
        UserError: it does not fit.
    """
    free = psutil.virtual_memory().available
    if promised > free:
        raise UserError(
            f"{path} promises {promised / 2**30:.4g} GiB of data, and {free / 2**30:.3g} GiB of "
            "memory are free: a damaged file, or take a smaller one, or a folder of images "
            "(folder:DIR), which are read when they are needed."
        )


def load_idx(name: str, path: str, image_size: int | None, seed: int) -> Source:
    """A folder with the four files of MNIST, Fashion-MNIST, KMNIST, EMNIST, ...

    File names contain "train" ("t10k" or "test" for testing) and "images" or "labels". Those of
    EMNIST contain "emnist": its images are stored transposed.
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise UserError(f"The folder {path!r} of the source {name!r} does not exist.")

    files = idx_files(root)
    names = [file.name.lower() for file in files.values()]
    is_emnist = any("emnist" in file for file in names)
    classes = next((c for kind, c in _EMNIST.items() if any(kind in file for file in names)), "")

    def read_part(part: str) -> Part:
        images, labels = read_idx(files[part, "images"]), read_idx(files[part, "labels"])
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise UserError(
                f"The {part} images of {root} have the shape {images.shape} and the labels "
                f"{labels.shape}; (N, height, width) and (N,) are needed."
            )
        images = images.transpose(0, 2, 1) if is_emnist else images
        return {"image": images[..., None]}, labels

    source = _source(
        name,
        read_part("train"),
        read_part("test"),
        image_size,
        digits=True,
        class_names=classes if is_emnist else (),
    )
    if not is_emnist:
        return source
    upright = "the files of EMNIST hold transposed images, which are turned upright"
    return replace(source, notices=(*source.notices, upright))


def idx_files(root: Path) -> dict[tuple[str, str], Path]:
    """("train" or "test", "images" or "labels") -> the file of a folder in MNIST format.

    Raises:
        UserError: the folder does not hold one file of each.
    """
    found = {}
    for part, words in (("train", ("train",)), ("test", ("t10k", "test"))):
        for kind, rank in (("images", 3), ("labels", 1)):
            files = [
                file
                for file in sorted(root.iterdir())
                if kind in file.name and any(word in file.name for word in words) and file.is_file()
            ]
            if len(files) != 1:
                listed = ", ".join(file.name for file in files) or "none"
                raise UserError(
                    f"{root} must hold one file of {part} {kind} in MNIST format (such as "
                    f"{words[0]}-{kind}-idx{rank}-ubyte.gz); found: {listed}."
                )
            found[part, kind] = files[0]
    return found


def read_npz(file: Path, name: str) -> dict[str, np.ndarray]:
    """The arrays of a NumPy archive.

    Raises:
        UserError: the file is missing, or is not an archive of arrays.
    """
    if not file.is_file():
        raise UserError(f"The file {str(file)!r} of the source {name!r} does not exist.")
    try:
        check_memory(file, promised_bytes(file))
        with np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UserError(f"{file} cannot be read as a NumPy archive (.npz): {error}.") from error


def promised_bytes(file: Path) -> int:
    """The bytes of all arrays of a NumPy archive, from their headers.

    Raises:
        OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError: it is no such archive.
    """
    with file.open("rb") as start:
        if start.read(6) == b"\x93NUMPY":
            raise ValueError("it holds one array, not an archive of several")
    total = 0
    with zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            with archive.open(name) as member:
                version = np.lib.format.read_magic(member)
                read = np.lib.format.read_array_header_1_0
                if version != (1, 0):
                    read = np.lib.format.read_array_header_2_0
                shape, _, kind = read(member)
                total += math.prod(shape) * kind.itemsize
    return total


_TRAIN = (("x_train", "y_train"), ("train_images", "train_labels"))
_TEST = (("x_test", "y_test"), ("test_images", "test_labels"))
_WHOLE = (("images", "labels"), ("x", "y"))


def load_npz(name: str, path: str, image_size: int | None, seed: int) -> Source:
    """A NumPy archive with x_train, y_train, x_test, y_test, or images and labels.

    Images are (N, height, width) or (N, height, width, channels): uint8, or float in [0, 1]. With
    three or more channels the first three are RGB, with fewer the first is grey; the others are
    extra channels, such as masks or depth. Labels are whole numbers or texts and may be absent; an
    array class_names names numbers. Without test images about a fifth of each class is for testing,
    see `splitting.keyed_split`: an image's part depends on its pixels and the seed.
    """
    file = Path(path).expanduser()
    arrays = read_npz(file, name)

    def part(names: tuple[tuple[str, str], ...]) -> Part | None:
        for images, labels in names:
            if images in arrays:
                pixels = image_array(file, images, arrays[images])
                return {"image": pixels}, read_labels(file, labels, arrays, len(pixels))
        return None

    train, test = part(_TRAIN), part(_TEST)
    if train is None or test is None:
        whole = part(_WHOLE) or train
        if whole is None:
            raise UserError(
                f"{file} holds the arrays {', '.join(arrays) or 'none'}; x_train, y_train, x_test "
                "and y_test, or images and labels, are needed."
            )
        train, test = divided_by_contents(whole, "image", seed)
    return _source(name, train, test, image_size, False, class_names(file, arrays))


def class_names(file: Path | str, arrays: Mapping[str, np.ndarray]) -> tuple[str, ...]:
    """The array class_names of an archive, one text for each label from 0 on; () if there is none.

    Raises:
        UserError: it holds something else.
    """
    names = arrays.get("class_names")
    if names is None:
        return ()
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise UserError(
            f"The array class_names of {file} has the shape {names.shape} and the type "
            f"{names.dtype}; one text for each class is needed."
        )
    return tuple(name.decode() if isinstance(name, bytes) else str(name) for name in names)


def image_array(file: Path | str, key: str, images: np.ndarray) -> np.ndarray:
    """The array `key` of `file` as uint8 (N, height, width, channels), checked.

    Raises:
        UserError: it has another shape or type, or floats outside [0, 1].
    """
    if images.ndim == 3:
        images = images[..., None]
    _, few, height, width = images.shape if images.ndim == 4 else (0, 0, 0, 0)
    if 1 <= few <= _FEW_CHANNELS < min(height, width):
        raise UserError(
            f"The array {key} of {file} has the shape {images.shape}, where channels come first: "
            f"save numpy.moveaxis({key}, 1, -1), which has the shape "
            f"{(len(images), height, width, few)}."
        )
    if images.ndim != 4 or not images.size:
        raise UserError(
            f"The array {key} of {file} has the shape {images.shape}; (N, height, width) or "
            "(N, height, width, channels) is needed."
        )
    if images.dtype == np.uint8:
        return images
    if not np.issubdtype(images.dtype, np.floating):
        raise UserError(
            f"The array {key} of {file} has the type {images.dtype}; uint8, or float in [0, 1], is "
            "needed."
        )
    if not (np.isfinite(images).all() and images.min() >= 0 and images.max() <= 1):
        raise UserError(
            f"The array {key} of {file} has values from {images.min():g} to {images.max():g}; "
            "floats must lie in [0, 1]."
        )
    return np.round(images * 255).astype(np.uint8)


def _source(
    name: str,
    train: Part,
    test: Part,
    image_size: int | None,
    digits: bool,
    class_names: Sequence[str] = (),
) -> Source:
    check_parts(name, "image", "images", train, test)
    train, test, names = dense_labels(name, train, test, class_names)
    train_examples, test_examples = (
        _examples(columns["image"], labels, image_size) for columns, labels in (train, test)
    )
    return Source(
        name=name,
        train=train_examples,
        test=test_examples,
        num_classes=num_classes(train[1]),
        class_names=names,
        augmentation="digits" if digits else preset_for(train_examples.image_shape),
        notices=() if train[1] is not None else (NO_LABELS,),
    )


def _examples(images: np.ndarray, labels: np.ndarray | None, image_size: int | None) -> Examples:
    """Examples in memory, or scaled on demand if they would become too large."""
    if image_size is None:
        return ArrayExamples({"image": images}, labels)
    shape = (image_size, image_size, images.shape[3])
    if len(images) * int(np.prod(shape)) <= IN_MEMORY_BYTES:
        return ArrayExamples({"image": resize_many(images, shape[:2])}, labels)
    originals = tf.constant(images)
    table = tf.constant(np.full(len(images), -1) if labels is None else labels, tf.int32)

    def example(index: Any) -> tuple[Any, Any]:
        return resized(tf.gather(originals, index), shape[:2]), tf.gather(table, index)

    return EncodedExamples(len(images), shape, labels, labels is not None, example)
