"""Images from arrays in files: MNIST-format (IDX) files and NumPy archives."""

from __future__ import annotations

import gzip
import math
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras.datasets.base import Source
from ssl_keras.datasets.examples import (
    ArrayExamples,
    EncodedExamples,
    Examples,
    resize_many,
    resized,
)
from ssl_keras.datasets.sources.splitting import NO_LABELS, Part, check_parts, split_part
from ssl_keras.errors import UserError
from ssl_keras.inputs.images import preset_for
from ssl_keras.lazy import tf

# Sources up to this many bytes of pixels, after scaling, are kept in memory.
IN_MEMORY_BYTES = 2**31
# Labels from here on are taken for numbers that are not classes.
MOST_CLASSES = 100_000


def read_idx(path: Path) -> np.ndarray:
    """An array in the IDX format of MNIST (uint8), gzipped or not.

    Raises:
        UserError: not an IDX file, truncated, or of another type than unsigned bytes.
    """
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} cannot be read: {error}; fetch the file again.") from error
    if len(data) < 4 or data[:2] != b"\0\0":
        raise UserError(
            f"{path} is not an IDX file: it starts with {data[:4].hex() or 'nothing'} instead of "
            "the magic number 0000 08 NN."
        )
    if data[2] != 8:
        raise UserError(
            f"{path} holds values of type 0x{data[2]:02x}; unsigned bytes (0x08) are needed."
        )
    rank = data[3]
    header = 4 + 4 * rank
    if len(data) < header:
        raise UserError(f"{path} is truncated: its header is not complete; fetch it again.")
    shape = struct.unpack(f">{rank}I", data[4:header])
    expected, actual = math.prod(shape), len(data) - header
    if actual != expected:
        raise UserError(
            f"{path} is truncated or damaged: {expected} bytes of data are declared, {actual} are "
            "there; fetch it again."
        )
    return np.frombuffer(data, np.uint8, offset=header).reshape(shape)


def load_idx(name: str, path: str, image_size: int | None, seed: int) -> Source:
    """A folder with the four files of MNIST, Fashion-MNIST, KMNIST, EMNIST, ...

    File names contain "train" ("t10k" or "test" for testing) and "images" or "labels".
    """
    root = Path(path).expanduser()
    if not root.is_dir():
        raise UserError(f"The folder {path!r} of the source {name!r} does not exist.")

    def read(part: str, kind: str) -> np.ndarray:
        words = ("train",) if part == "train" else ("t10k", "test")
        files = [
            file
            for file in sorted(root.iterdir())
            if kind in file.name and any(word in file.name for word in words)
        ]
        if len(files) != 1:
            listed = ", ".join(file.name for file in files) or "none"
            raise UserError(
                f"{root} must hold one file of {part} {kind} in MNIST format (such as "
                f"{words[0]}-{kind}-idx{3 if kind == 'images' else 1}-ubyte.gz); found: {listed}."
            )
        return read_idx(files[0])

    def read_part(part: str) -> Part:
        images, labels = read(part, "images"), read(part, "labels")
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise UserError(
                f"The {part} images of {root} have the shape {images.shape} and the labels "
                f"{labels.shape}; (N, height, width) and (N,) are needed."
            )
        return {"image": images[..., None]}, labels.astype(np.int32)

    return _source(name, read_part("train"), read_part("test"), image_size, digits=True)


def read_npz(file: Path, name: str) -> dict[str, np.ndarray]:
    """The arrays of a NumPy archive.

    Raises:
        UserError: the file is missing, or is not an archive of arrays.
    """
    if not file.is_file():
        raise UserError(f"The file {str(file)!r} of the source {name!r} does not exist.")
    try:
        archive = np.load(file, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise ValueError("it holds one array, not an archive of several")
        with archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UserError(f"{file} cannot be read as a NumPy archive (.npz): {error}.") from error


_TRAIN = (("x_train", "y_train"), ("train_images", "train_labels"))
_TEST = (("x_test", "y_test"), ("test_images", "test_labels"))
_WHOLE = (("images", "labels"), ("x", "y"))


def load_npz(name: str, path: str, image_size: int | None, seed: int) -> Source:
    """A NumPy archive with x_train, y_train, x_test, y_test, or images and labels.

    Images are (N, height, width) or (N, height, width, channels): uint8, or float in [0, 1]. With
    three or more channels the first three are RGB, with fewer the first is grey; the others are
    extra channels, such as masks or depth. Labels are integers and may be absent. Without test
    images a seeded, stratified fifth is for testing.
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
        train, test = split_part(*whole, seed)
    return _source(name, train, test, image_size, digits=False)


def read_labels(
    file: Path | str, key: str, arrays: Mapping[str, np.ndarray], count: int
) -> np.ndarray | None:
    """The labels `arrays[key]` of `count` examples, or None if there are none.

    Raises:
        UserError: they are not `count` integers in [0, MOST_CLASSES).
    """
    labels = arrays.get(key)
    if labels is None:
        return None
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(
            f"The array {key} of {file} has the shape {labels.shape} and the type {labels.dtype}; "
            f"one whole number for each of the {count} examples is needed."
        )
    if labels.min() < 0 or labels.max() >= MOST_CLASSES:
        raise UserError(
            f"The labels {key} of {file} go from {labels.min()} to {labels.max()}; they must be "
            f"numbers of classes, from 0 to {MOST_CLASSES - 1} at the most."
        )
    return labels


def image_array(file: Path | str, key: str, images: np.ndarray) -> np.ndarray:
    """The array `key` of `file` as uint8 (N, height, width, channels), checked.

    Raises:
        UserError: it has another shape or type, or floats outside [0, 1].
    """
    if images.ndim == 3:
        images = images[..., None]
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


def _source(name: str, train: Part, test: Part, image_size: int | None, digits: bool) -> Source:
    num_classes = check_parts(name, "image", "images", train, test)
    train_examples, test_examples = (
        _examples(columns["image"], labels, image_size) for columns, labels in (train, test)
    )
    return Source(
        name=name,
        train=train_examples,
        test=test_examples,
        num_classes=num_classes,
        augmentation="digits" if digits else preset_for(train_examples.image_shape),
        notices=() if num_classes else (NO_LABELS,),
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
