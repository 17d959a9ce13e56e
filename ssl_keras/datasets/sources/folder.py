"""Image files: a folder for each class, or one flat folder without labels."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras import log
from ssl_keras.datasets.base import Source
from ssl_keras.datasets.examples import ArrayExamples, EncodedExamples, Examples
from ssl_keras.datasets.sources import decoding
from ssl_keras.datasets.sources.splitting import NO_LABELS, keyed_split, natural
from ssl_keras.errors import UserError
from ssl_keras.inputs.images import preset_for
from ssl_keras.lazy import tf

# Folders up to this many bytes of pixels are decoded once and kept in memory.
IN_MEMORY_BYTES = 2**31
# Seconds of decoding without a progress bar.
DELAY = 3.0
# Names of the folders of parts, in any case; of several for testing the first is used.
_TRAIN_NAMES = ("train", "training", "trn")
_TEST_NAMES = ("test", "testing", "tst", "val", "valid", "validation", "eval", "dev")
# Most kinds of files that a notice names.
_KINDS = 4


def load_folder(
    name: str,
    path: str,
    image_size: int | None = None,
    seed: int = 0,
    on_bad_image: str = "refuse",
    resize: str = "squash",
    max_megapixels: int = decoding.MAX_MEGAPIXELS,
) -> Source:
    """Images of a folder, see `sources.load_source`.

    `PATH/train/CLASS/*` and `PATH/test/CLASS/*` (or other usual names, in any case); or
    `PATH/CLASS/*`, with about a fifth of each class for testing, see `splitting.keyed_split`: a
    file's part depends on its name and the seed; or `PATH/*` without labels, split the same way.
    Files and classes are sorted by name (2 before 10), so their order does not depend
    on the file system. Other files, and folders without images, are left out with a notice.
    """
    notices: list[str] = []
    train, test, classes = _parts(name, path, seed, notices)
    files = [file for file, _ in (*train, *test)]
    shape, skipped, seen_through = common_shape(
        name, files, image_size, on_bad_image, max_megapixels
    )
    if seen_through:
        notices.append(f"{seen_through} images have transparent parts, which are white here")
    examples = []
    for part in (train, test):
        part_examples, bad = image_examples(
            part, shape, bool(classes), on_bad_image, resize, max_megapixels
        )
        examples.append(part_examples)
        skipped += bad
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


def image_files(name: str, path: str) -> list[str]:
    """The names of the image files of a folder, relative to it; no file is opened.

    Raises:
        UserError: see `check_folder`.
    """
    train, test, _ = _parts(name, path, seed=0)
    root = Path(path).expanduser()
    return [os.path.relpath(file, root) for file, _ in (*train, *test)]


# Files with their labels.
Labelled = list[tuple[str, int]]


def _parts(
    name: str, path: str, seed: int, notices: list[str] | None = None
) -> tuple[Labelled, Labelled, list[str]]:
    """(training files, test files, class names) of a source, see `load_folder`; what is left out is
    added to `notices`."""
    notices = [] if notices is None else notices
    root = Path(path).expanduser()
    if not root.is_dir():
        raise UserError(f"The folder {path!r} of the source {name!r} does not exist.")
    folders = {folder.name.lower(): folder for folder in sorted(root.iterdir()) if folder.is_dir()}
    train_root = next((folders[n] for n in _TRAIN_NAMES if n in folders), None)
    tests = [folders[n] for n in _TEST_NAMES if n in folders]
    test_root, unused = (tests[0] if tests else None), tests[1:]
    if test_root is not None and train_root is None:
        raise UserError(f"{root} has a folder {test_root.name!r}, but none called 'train'.")
    if train_root is not None and test_root is None:
        root = train_root
    if unused:
        names = ", ".join(repr(folder.name) for folder in unused)
        notices.append(f"{tests[0].name!r} is used for testing, {names} for nothing")
    if train_root is not None and test_root is not None:
        train, classes = _list(name, train_root, notices)
        test, test_classes = _list(name, test_root, notices)
        unknown = sorted(set(test_classes) - set(classes))
        if unknown or bool(classes) != bool(test_classes):
            what = f"the class {unknown[0]!r}" if unknown else "another layout"
            raise UserError(f"{test_root} has {what} that {train_root} does not have.")
        translate = [classes.index(known) for known in test_classes]
        test = [(file, translate[label] if classes else -1) for file, label in test]
    else:
        files, classes = _list(name, root, notices)
        labels = np.array([label for _, label in files])
        keys = (os.fsencode(os.path.relpath(file, root)) for file, _ in files)
        train_rows, test_rows = keyed_split(keys, labels, seed)
        train, test = [files[row] for row in train_rows], [files[row] for row in test_rows]
    if len(classes) == 1:
        inner = [f.name for f in sorted((root / classes[0]).iterdir()) if f.is_dir()]
        if inner:
            shown = ", ".join(inner[:3]) + (", ..." if len(inner) > 3 else "")
            raise UserError(
                f"{root} has one folder with images, {classes[0]!r}, which holds the folders "
                f"{shown}: if these are the classes or the parts, give "
                f"--source=folder:{root / classes[0]}."
            )
        raise UserError(
            f"{root} has one class only ({classes[0]!r}): add another class folder, or put the "
            "images into one flat folder to train without labels."
        )
    if not train or not test:
        raise UserError(f"{root} has too few images to split into training and test images.")
    return train, test, classes


def _list(name: str, root: Path, notices: list[str]) -> tuple[Labelled, list[str]]:
    """((file, label) pairs in order, class names); label -1 and no names in a flat folder. What is
    left out is added to `notices`."""
    others: Counter[str] = Counter()

    def images(files: Iterable[str]) -> list[str]:
        reasons = {file: decoding.left_out(file) for file in files}
        others.update(reason for reason in reasons.values() if reason is not None)
        return sorted((file for file, reason in reasons.items() if reason is None), key=natural)

    def below(folder: Path) -> list[str]:
        found = []
        for base, folders, files in os.walk(folder):
            others.update(
                "hidden" if inner.startswith(".") else "folder behind a link"
                for inner in folders
                if inner.startswith(".") or os.path.islink(os.path.join(base, inner))
            )
            folders[:] = [inner for inner in folders if not inner.startswith(".")]
            found += [os.path.join(base, file) for file in files]
        return images(found)

    entries = sorted(root.iterdir(), key=lambda entry: natural(entry.name))
    flat = images(str(entry) for entry in entries if not entry.is_dir())
    folders = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    found = {folder.name: below(folder) for folder in folders}
    by_class = {folder: files for folder, files in found.items() if files}
    if flat and by_class:
        raise UserError(
            f"{root} holds images ({Path(flat[0]).name}) beside class folders "
            f"({next(iter(by_class))}): move them into class folders, or everything into one flat "
            "folder."
        )
    if not flat and not by_class:
        raise UserError(
            f"The source {name!r} holds no images: {root} has no {', '.join(decoding.EXTENSIONS)} "
            f"files, neither directly nor in class folders{_found(others)}."
        )
    empty = [folder for folder, files in found.items() if not files]
    if empty:
        shown = ", ".join(empty[:_KINDS]) + (", ..." if len(empty) > _KINDS else "")
        notices.append(f"{root} has {len(empty)} folders without images: {shown}")
    if others:
        notices.append(f"{sum(others.values())} files of {root} are left out{_found(others)}")
    if flat:
        return [(file, -1) for file in flat], []
    pairs = [(file, label) for label, files in enumerate(by_class.values()) for file in files]
    return pairs, list(by_class)


def _found(others: Counter[str]) -> str:
    """What else was found, in words: " (3 *.txt, 1 hidden)"."""
    if not others:
        return ""
    ordered = sorted(others.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{count} {reason}" for reason, count in ordered[:_KINDS]]
    return f" ({', '.join(shown)}{', ...' if len(others) > _KINDS else ''})"


def _refuse(file: str, error: Exception) -> UserError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return UserError(
        f"The image {file} cannot be decoded ({reason}): repair or remove it, or pass "
        "--on_bad_image=skip."
    )


def common_shape(
    name: str, files: Sequence[str], image_size: int | None, on_bad_image: str, max_megapixels: int
) -> tuple[tuple[int, int, int], list[str], int]:
    """(shape of the images, unreadable files, number of images with transparent parts), from the
    headers of all files.

    Without `image_size` all files must have one size. One file in colour makes all of them RGB.
    """
    sizes: dict[tuple[int, int], str] = {}
    channels, bad, seen_through = 1, [], 0

    def read(file: str) -> tuple[Any, Exception | None]:
        try:
            return decoding.probe(file, max_megapixels), None
        except decoding.BAD_IMAGE as error:
            return None, error

    with ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1)) as pool:
        for file, (found, error) in zip(files, pool.map(read, files, chunksize=64), strict=True):
            if error is not None and on_bad_image == "refuse":
                pool.shutdown(wait=True, cancel_futures=True)
                raise _refuse(file, error) from error
            if error is not None:
                bad.append(file)
                continue
            size, depth, transparent = found
            sizes.setdefault(size, file)
            channels = max(channels, depth)
            seen_through += transparent
    if image_size is None and len(sizes) > 1:
        (first, one), (second, other) = list(sizes.items())[:2]
        raise UserError(
            f"The images of {name!r} have several sizes ({first[0]}x{first[1]} {one}, "
            f"{second[0]}x{second[1]} {other}): choose one with --image_size."
        )
    if not sizes:
        raise UserError(f"None of the images of {name!r} can be decoded.")
    height, width = (image_size, image_size) if image_size else next(iter(sizes))
    return (height, width, channels), bad, seen_through


def image_examples(
    files: list[tuple[str, int]],
    shape: tuple[int, int, int],
    labelled: bool,
    on_bad_image: str,
    resize: str,
    max_megapixels: int,
) -> tuple[Examples, list[str]]:
    """(examples of image files with labels, unreadable files); see `load_folder`."""
    labels = np.array([label for _, label in files], np.int32)
    large = len(files) * int(np.prod(shape)) > IN_MEMORY_BYTES
    if large and on_bad_image == "refuse":
        paths = [file for file, _ in files]
        return _streamed(paths, labels, shape, labelled, resize, max_megapixels), []
    # To skip undecodable files, every file is decoded once, even if the images are not kept.
    images = np.empty((0 if large else len(files), *shape), np.uint8)
    good, bad = np.ones(len(files), bool), []

    def read(row: int) -> tuple[int, Exception | None]:
        try:
            content = Path(files[row][0]).read_bytes()
            image = decoding.decode(content, shape, resize, max_megapixels)
            if not large:
                images[row] = image
        except decoding.BAD_IMAGE as error:
            return row, error
        return row, None

    with ThreadPoolExecutor(max_workers=2 * (os.cpu_count() or 1)) as pool:
        decoded = pool.map(read, range(len(files)), chunksize=64)
        for row, error in _progress(decoded, len(files)):
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
        labels = labels[good]
        return _streamed(decodable, labels, shape, labelled, resize, max_megapixels), bad
    return ArrayExamples({"image": images[good]}, labels[good] if labelled else None), bad


def _progress(decoded: Iterable[Any], total: int) -> Iterable[Any]:
    """The items of `decoded`, with a bar in a terminal if they take longer than a few seconds."""
    from tqdm import tqdm

    off = log.is_quiet() or None  # None: off where there is no terminal
    return tqdm(decoded, "Decoding", total, leave=False, delay=DELAY, unit="image", disable=off)


def _streamed(
    files: list[str],
    labels: np.ndarray,
    shape: tuple[int, int, int],
    labelled: bool,
    resize: str,
    max_megapixels: int,
) -> EncodedExamples:
    """Files that are decoded on demand. A damaged file stops the run with an error naming it."""

    def read(index: np.ndarray) -> np.ndarray:
        file = files[int(index)]
        try:
            return decoding.decode(Path(file).read_bytes(), shape, resize, max_megapixels)
        except decoding.BAD_IMAGE as error:
            raise _refuse(file, error) from error

    table = tf.constant(labels)

    def example(index: Any) -> tuple[Any, Any]:
        image = tf.numpy_function(read, [index], tf.uint8, stateful=False)
        return tf.ensure_shape(image, shape), tf.gather(table, index)

    return EncodedExamples(len(files), shape, labels if labelled else None, labelled, example)
