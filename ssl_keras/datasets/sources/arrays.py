"""Sources that are arrays in files: MNIST-format (IDX) files and NumPy archives."""

from __future__ import annotations

import gzip
import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras.datasets.base import Source
from ssl_keras.datasets.examples import (
    ArrayExamples,
    EncodedExamples,
    Examples,
    all_resized,
    resized,
)
from ssl_keras.datasets.sources.splitting import seeded_split
from ssl_keras.errors import UserError
from ssl_keras.inputs.images import preset_for
from ssl_keras.lazy import tf

# Sources up to this many bytes of pixels, after scaling, are kept in memory.
IN_MEMORY_BYTES = 2**31
# More classes than this are taken for something else than classes.
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

    They are recognised by their names: *train*images*idx3*, *train*labels*idx1*, and the same with
    t10k or test.
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

    arrays = []
    for part in ("train", "test"):
        images, labels = read(part, "images"), read(part, "labels")
        if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels):
            raise UserError(
                f"The {part} images of {root} have the shape {images.shape} and the labels "
                f"{labels.shape}; (N, height, width) and (N,) are needed."
            )
        arrays.append((images[..., None], labels.astype(np.int32)))
    return _source(name, arrays[0], arrays[1], image_size, digits=True)


def read_npz(file: Path, name: str) -> dict[str, np.ndarray]:
    """The arrays of a NumPy archive.

    Raises:
        UserError: it is missing, or no archive of arrays.
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

    Images are (N, height, width) or (N, height, width, channels): uint8, or float in [0, 1]. Of
    three or more channels the first three are RGB, of fewer the first is grey; the others are extra
    channels, such as masks or depth. Labels are integers and may be left out. Without test images a
    seeded, stratified fifth is taken.
    """
    file = Path(path).expanduser()
    arrays = read_npz(file, name)

    def pair(names: tuple[tuple[str, str], ...]) -> tuple[np.ndarray, np.ndarray | None] | None:
        for images, labels in names:
            if images in arrays:
                pixels = _images(file, images, arrays[images])
                return pixels, read_labels(file, labels, arrays.get(labels), len(pixels))
        return None

    train, test = pair(_TRAIN), pair(_TEST)
    if train is None or test is None:
        whole = pair(_WHOLE) or train
        if whole is None:
            raise UserError(
                f"{file} holds the arrays {', '.join(arrays) or 'none'}; x_train, y_train, x_test "
                "and y_test, or images and labels, are needed."
            )
        images, labels = whole
        by = np.zeros(len(images), int) if labels is None else labels
        rows, test_rows = seeded_split(by, seed)
        train = (images[rows], None if labels is None else labels[rows])
        test = (images[test_rows], None if labels is None else labels[test_rows])
    return _source(name, train, test, image_size, digits=False)


def read_labels(file: Path, key: str, labels: np.ndarray | None, count: int) -> np.ndarray | None:
    if labels is None:
        return None
    if labels.shape != (count,) or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(
            f"The array {key} of {file} has the shape {labels.shape} and the type {labels.dtype}; "
            f"one whole number for each of the {count} images is needed."
        )
    if labels.min() < 0 or labels.max() >= MOST_CLASSES:
        raise UserError(
            f"The labels {key} of {file} go from {labels.min()} to {labels.max()}; they must be "
            f"numbers of classes, from 0 to {MOST_CLASSES - 1} at the most."
        )
    return labels


def _images(file: Path, key: str, images: np.ndarray) -> np.ndarray:
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


def _source(
    name: str,
    train: tuple[np.ndarray, np.ndarray | None],
    test: tuple[np.ndarray, np.ndarray | None],
    image_size: int | None,
    digits: bool,
) -> Source:
    if train[0].shape[1:] != test[0].shape[1:]:
        raise UserError(
            f"The training images of {name!r} have the shape {train[0].shape[1:]}, the test images "
            f"{test[0].shape[1:]}: one shape is needed."
        )
    if not len(train[0]) or not len(test[0]):
        raise UserError(f"The source {name!r} has too few images for training and testing.")
    num_classes = 0
    if train[1] is not None or test[1] is not None:
        num_classes = check_labels(name, train, test)
    parts = [
        _examples(images, labels if num_classes else None, image_size)
        for images, labels in (train, test)
    ]
    shape = parts[0].image_shape
    return Source(
        name=name,
        train=parts[0],
        test=parts[1],
        num_classes=num_classes,
        augmentation="digits" if digits else preset_for(shape),
        notices=() if num_classes else ("no labels: probes and heads for the class are off",),
    )


def _examples(images: np.ndarray, labels: np.ndarray | None, image_size: int | None) -> Examples:
    """In memory, or scaled when they are asked for if they would become too large."""
    if image_size is None:
        return ArrayExamples({"image": images}, labels)
    shape = (image_size, image_size, images.shape[3])
    if len(images) * int(np.prod(shape)) <= IN_MEMORY_BYTES:
        return ArrayExamples({"image": all_resized(images, shape[:2])}, labels)
    kept = tf.constant(images)
    table = tf.constant(np.full(len(images), -1) if labels is None else labels, tf.int32)

    def example(index: Any) -> tuple[Any, Any]:
        return resized(tf.gather(kept, index), shape[:2]), tf.gather(table, index)

    return EncodedExamples(len(images), shape, labels, labels is not None, example)


def check_labels(name: str, train: tuple, test: tuple) -> int:
    """The number of classes of two splits (examples, labels).

    Raises:
        UserError: labels of one split alone, or labels that the training split does not have.
    """
    for which, (_, labels) in (("training", train), ("test", test)):
        if labels is None:
            raise UserError(f"The source {name!r} has no {which} labels, but labels otherwise.")
    num_classes = int(train[1].max()) + 1
    if test[1].max() >= num_classes:
        raise UserError(
            f"The test labels of {name!r} go up to {test[1].max()}, those of training only to "
            f"{num_classes - 1}."
        )
    if len(np.unique(train[1])) < 2:
        raise UserError(f"The training images of {name!r} are all of one class.")
    return num_classes
