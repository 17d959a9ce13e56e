"""Image files: a folder for each class, or one flat folder without labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras.datasets.base import Source
from ssl_keras.datasets.examples import ArrayExamples, EncodedExamples, Examples
from ssl_keras.datasets.sources import decoding
from ssl_keras.datasets.sources.splitting import NO_LABELS, seeded_split
from ssl_keras.errors import UserError
from ssl_keras.inputs.images import preset_for
from ssl_keras.lazy import tf

# Folders up to this many bytes of pixels are decoded once and kept in memory.
IN_MEMORY_BYTES = 2**31
_TEST_NAMES = ("test", "val", "valid", "validation")
_PROBED_FILES = 1000


def load_folder(
    name: str,
    path: str,
    image_size: int | None = None,
    seed: int = 0,
    on_bad_image: str = "refuse",
    resize: str = "squash",
) -> Source:
    """Images of a folder, see `sources.load_source`.

    `PATH/train/CLASS/*` and `PATH/test/CLASS/*` (or val, validation); or `PATH/CLASS/*`, with a
    seeded, stratified fifth for testing; or `PATH/*` without labels, split the same way. Files are
    sorted by name, so their order does not depend on the file system.
    """
    train, test, classes = _parts(name, path, seed)
    shape, skipped = _shape(name, [file for file, _ in (*train, *test)], image_size, on_bad_image)
    examples = []
    for part in (train, test):
        part_examples, bad = _examples(part, shape, bool(classes), on_bad_image, resize)
        examples.append(part_examples)
        skipped += bad
    notices = []
    if skipped:
        unique = sorted(set(skipped))
        notices.append(f"{len(unique)} unreadable images skipped, the first is {unique[0]}")
    if not classes:
        notices.append(f"no class folders, so {NO_LABELS}")
    return Source(
        name=name,
        train=examples[0],
        test=examples[1],
        num_classes=len(classes),
        class_names=tuple(classes),
        augmentation=preset_for(shape),
        notices=tuple(notices),
    )


def check_folder(name: str, path: str, seed: int) -> int:
    """The number of training images of a folder; no file is opened.

    Raises:
        UserError: the folder is missing, or its layout is not that of `load_folder`.
    """
    return len(_parts(name, path, seed)[0])


# Files with their labels.
Labelled = list[tuple[str, int]]


def _parts(name: str, path: str, seed: int) -> tuple[Labelled, Labelled, list[str]]:
    """(training files, test files, class names) of a source, see `load_folder`."""
    root = Path(path).expanduser()
    if not root.is_dir():
        raise UserError(f"The folder {path!r} of the source {name!r} does not exist.")
    test_root = next((root / test for test in _TEST_NAMES if (root / test).is_dir()), None)
    if test_root is not None and not (root / "train").is_dir():
        raise UserError(f"{root} has a folder {test_root.name!r}, but none called 'train'.")
    if (root / "train").is_dir() and test_root is None:
        root = root / "train"
    if test_root is not None:
        train, classes = _list(name, root / "train")
        test, test_classes = _list(name, test_root)
        unknown = sorted(set(test_classes) - set(classes))
        if unknown or bool(classes) != bool(test_classes):
            what = f"the class {unknown[0]!r}" if unknown else "another layout"
            raise UserError(f"{test_root} has {what} that {root / 'train'} does not have.")
        translate = [classes.index(known) for known in test_classes]
        test = [(file, translate[label] if classes else -1) for file, label in test]
    else:
        files, classes = _list(name, root)
        labels = np.array([label for _, label in files])
        train_rows, test_rows = seeded_split(labels, seed)
        train, test = [files[row] for row in train_rows], [files[row] for row in test_rows]
    if len(classes) == 1:
        raise UserError(
            f"{root} has one class only ({classes[0]!r}): add another class folder, or put the "
            "images into one flat folder to train without labels."
        )
    if not train or not test:
        raise UserError(f"{root} has too few images to split into training and test images.")
    return train, test, classes


def _list(name: str, root: Path) -> tuple[list[tuple[str, int]], list[str]]:
    """((file, label) pairs in order, class names); label -1 and no names in a flat folder."""

    def images(folder: Path) -> list[str]:
        files = (
            os.path.join(base, file)
            for base, _, files in os.walk(folder)
            for file in files
            if file.lower().endswith(decoding.EXTENSIONS)
            and not any(part.startswith(".") for part in (file, *Path(base).parts[depth:]))
        )
        return sorted(files)

    depth = len(root.parts)
    flat = [
        str(file)
        for file in sorted(root.iterdir())
        if file.is_file()
        and file.suffix.lower() in decoding.EXTENSIONS
        and not file.name.startswith(".")
    ]
    folders = [folder for folder in sorted(root.iterdir()) if folder.is_dir()]
    by_class = {folder.name: files for folder in folders if (files := images(folder))}
    if flat and by_class:
        raise UserError(
            f"{root} holds images ({Path(flat[0]).name}) beside class folders "
            f"({next(iter(by_class))}): move them into class folders, or everything into one flat "
            "folder."
        )
    if flat:
        return [(file, -1) for file in flat], []
    if not by_class:
        raise UserError(
            f"The source {name!r} holds no images: {root} has no {', '.join(decoding.EXTENSIONS)} "
            "files, neither directly nor in class folders."
        )
    pairs = [(file, label) for label, files in enumerate(by_class.values()) for file in files]
    return pairs, list(by_class)


def _refuse(file: str, error: Exception) -> UserError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return UserError(
        f"The image {file} cannot be decoded ({reason}): repair or remove it, or pass "
        "--on_bad_image=skip."
    )


def _shape(
    name: str, files: Sequence[str], image_size: int | None, on_bad_image: str
) -> tuple[tuple[int, int, int], list[str]]:
    """(shape of the images, unreadable files).

    Without `image_size` all files must have one size. With it, a sample of the files is opened to
    find the number of channels.
    """
    every = max(1, len(files) // _PROBED_FILES)
    sizes: dict[tuple[int, int], str] = {}
    channels, bad = 1, []
    for file in files if image_size is None else files[::every]:
        try:
            size, depth = decoding.probe(file)
        except decoding.BAD_IMAGE as error:
            if on_bad_image == "refuse":
                raise _refuse(file, error) from error
            bad.append(file)
            continue
        sizes.setdefault(size, file)
        channels = max(channels, depth)
        if image_size is None and len(sizes) > 1:
            (first, one), (second, other) = list(sizes.items())[:2]
            raise UserError(
                f"The images of {name!r} have several sizes ({first[0]}x{first[1]} {one}, "
                f"{second[0]}x{second[1]} {other}): choose one with --image_size."
            )
    if not sizes:
        raise UserError(f"None of the images of {name!r} can be decoded.")
    height, width = (image_size, image_size) if image_size else next(iter(sizes))
    return (height, width, channels), bad


def _examples(
    files: list[tuple[str, int]],
    shape: tuple[int, int, int],
    labelled: bool,
    on_bad_image: str,
    resize: str,
) -> tuple[Examples, list[str]]:
    labels = np.array([label for _, label in files], np.int32)
    large = len(files) * int(np.prod(shape)) > IN_MEMORY_BYTES
    if large and on_bad_image == "refuse":
        return _streamed([file for file, _ in files], labels, shape, labelled, resize), []
    # To skip undecodable files, every file is decoded once, even if the images are not kept.
    images = np.empty((0 if large else len(files), *shape), np.uint8)
    good, bad = np.ones(len(files), bool), []

    def read(row: int) -> tuple[int, Exception | None]:
        try:
            image = decoding.decode(Path(files[row][0]).read_bytes(), shape, resize)
            if not large:
                images[row] = image
        except decoding.BAD_IMAGE as error:
            return row, error
        return row, None

    with ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1)) as pool:
        for row, error in pool.map(read, range(len(files)), chunksize=64):
            if error is not None and on_bad_image == "refuse":
                pool.shutdown(wait=True, cancel_futures=True)
                raise _refuse(files[row][0], error) from error
            if error is not None:
                good[row] = False
                bad.append(files[row][0])
    if not good.any():
        raise UserError(f"None of {len(files)} images can be decoded; the first is {bad[0]}.")
    if large:
        decodable = [file for (file, _), is_good in zip(files, good, strict=True) if is_good]
        return _streamed(decodable, labels[good], shape, labelled, resize), bad
    return ArrayExamples({"image": images[good]}, labels[good] if labelled else None), bad


def _streamed(
    files: list[str], labels: np.ndarray, shape: tuple[int, int, int], labelled: bool, resize: str
) -> EncodedExamples:
    """Files that are decoded on demand. A damaged file stops the run with an error naming it."""

    def read(index: np.ndarray) -> np.ndarray:
        file = files[int(index)]
        try:
            return decoding.decode(Path(file).read_bytes(), shape, resize)
        except decoding.BAD_IMAGE as error:
            raise _refuse(file, error) from error

    table = tf.constant(labels)

    def example(index: Any) -> tuple[Any, Any]:
        image = tf.numpy_function(read, [index], tf.uint8, stateful=False)
        return tf.ensure_shape(image, shape), tf.gather(table, index)

    return EncodedExamples(len(files), shape, labels if labelled else None, labelled, example)
