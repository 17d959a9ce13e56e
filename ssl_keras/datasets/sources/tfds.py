"""TensorFlow Datasets: prepared data sets, and the builders embedded in this package.

Small data sets are read into memory. Large ones stay in their record files: an index of the
records gives random access, and images are decoded on demand.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import os
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ssl_keras import log
from ssl_keras.datasets.base import Source
from ssl_keras.datasets.examples import ArrayExamples, EncodedExamples, Examples, untuned
from ssl_keras.datasets.sources import decoding
from ssl_keras.datasets.sources.splitting import NO_LABELS
from ssl_keras.errors import UserError, nearest
from ssl_keras.inputs.images import preset_for
from ssl_keras.lazy import start, tf, tfds

# Builders of this package: source name -> module that defines the builder.
EMBEDDED = {"mnist_5k": "ssl_keras.datasets.sources.mnist_5k"}

# Data sets of digits, letters and garments: a flip would change the meaning of an image.
_DIGITS = ("mnist", "emnist", "kmnist", "svhn_cropped", "fashion_mnist")

# Data sets up to this many bytes of pixels are kept in memory.
IN_MEMORY_BYTES = 2**31
# A host that does not answer for this many seconds counts as out of reach.
_PATIENCE = 5.0


def check_tfds(name: str, data_dir: str | None, download: bool) -> int | None:
    """Find what is wrong with a name or a folder in a moment, without TensorFlow.

    Returns:
        The number of training examples, if the data set is prepared and has a test split.

    Raises:
        UserError: an unknown name, a folder that does not exist, or a data set that is not there.
    """
    if data_dir is not None and not Path(data_dir).expanduser().is_dir():
        raise UserError(
            f"The folder {data_dir!r} of --data_dir does not exist: correct it, or create it."
        )
    folder, files = _folder(name, data_dir), infos(name, data_dir)
    base = folder.name
    namespace = re.match(r"\w+:\D", name)  # huggingface:NAME, ...
    if not files and base not in EMBEDDED and not namespace:
        if base not in tfds.list_builders(with_community_datasets=False):
            raise _unknown(name)
        if not download:
            raise _unprepared(name, folder)
    if len(files) != 1:
        return None
    splits = json.loads(files[0].read_text()).get("splits", [])
    counts = {split["name"]: sum(map(int, split["shardLengths"])) for split in splits}
    return counts.get("train") if {"test", "validation"} & set(counts) else None


def _folder(name: str, data_dir: str | None) -> Path:
    """The folder of a data set, prepared or not."""
    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    return root.expanduser() / re.split(r"[/:]", name)[0]


def infos(name: str, data_dir: str | None) -> list[Path]:
    """The files that describe the prepared configurations and versions which a name can mean."""
    words = re.split(r"[/:]", name)[1:]  # DATA_SET/CONFIGURATION:VERSION
    files = sorted(_folder(name, data_dir).rglob("dataset_info.json"))
    return [file for file in files if all(word in file.parts for word in words)]


def _unprepared(name: str, folder: Path | str) -> UserError:
    return UserError(
        f"The source {name!r} is not prepared in {folder}: pass --download to fetch it, or point "
        "--data_dir to the folder that holds it."
    )


def _unknown(name: str) -> UserError:
    known = [*EMBEDDED, "glyphs", "photos", *tfds.list_builders(with_community_datasets=False)]
    guess = nearest(name, known)
    hint = f" Did you mean {guess!r}?" if guess else ""
    return UserError(
        f"Unknown source {name!r}.{hint} Valid: {', '.join(EMBEDDED)}, glyphs, photos, idx:FOLDER, "
        "folder:FOLDER, fonts:FOLDER, npz:FILE, or any name of TensorFlow Datasets."
    )


def load_tfds(
    name: str,
    data_dir: str | None,
    download: bool,
    image_size: int | None,
    resize: str = "squash",
) -> Source:
    """The TensorFlow Datasets data set called `name`, see `sources.load_source`."""
    start()
    tfds.disable_progress_bar()
    builder = _prepared_builder(name, data_dir, download)
    features = builder.info.features
    if "image" not in features:
        raise UserError(
            f"The source {name!r} has the columns {', '.join(features)}; 'image' is needed."
        )
    names = list(builder.info.splits)
    candidates = [split for split in ("test", "validation") if split in names]
    labelled = isinstance(dict(features).get("label"), tfds.features.ClassLabel)
    readable = [split for split in ("train", *candidates) if split in names]
    # Some test splits come without labels (-1), such as that of imagenet2012.
    doubtful = readable if labelled and name not in EMBEDDED else []
    lacking = {split for split in doubtful if _lacks_labels(builder, split)}
    test_name = next((split for split in candidates if split not in lacking), None)
    test_name = test_name or next(iter(candidates), None)
    if "train" in names and test_name is not None:
        splits = ("train", test_name)
    elif "train" in names:
        # No test split (tf_flowers has none): the last fifth of the examples, in their order.
        splits = ("train[:80%]", "train[80%:]")
    else:
        raise UserError(
            f"The source {name!r} has the splits {', '.join(names)}; a train split is needed."
        )
    shape = tuple(features["image"].shape)
    if image_size is None and None in shape:
        raise UserError(f"The images of {name!r} have several sizes: choose one with --image_size.")
    if np.dtype(features["image"].np_dtype) != np.uint8:
        raise UserError(
            f"The images of {name!r} are of the type {np.dtype(features['image'].np_dtype)}; uint8 "
            "is needed."
        )
    side = (image_size or shape[0], image_size or shape[1])
    if lacking & {"train", test_name}:
        raise UserError(
            f"Images of {name!r} have no label (-1): use a data set that is labelled throughout."
        )
    train, test = (
        _examples(builder, split, (*side, shape[2] or 3), labelled, resize) for split in splits
    )
    is_digits = name.split("/")[0].split(":")[0] in (*_DIGITS, *EMBEDDED)
    notices = []
    if not labelled:
        notices.append(f"{name} has {NO_LABELS}")
    if len(set(splits) - set(names)):
        notices.append(f"{name} has no test split: the last fifth of train is used for testing")
    return Source(
        name=name,
        train=train,
        test=test,
        num_classes=features["label"].num_classes if labelled else 0,
        class_names=tuple(features["label"].names) if labelled else (),
        augmentation="digits" if is_digits else preset_for(train.image_shape),
        notices=tuple(notices),
    )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence what TFDS writes about missing folders and empty downloads."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def _prepared_builder(name: str, data_dir: str | None, download: bool) -> Any:
    check_tfds(name, data_dir, download)
    embedded = name in EMBEDDED
    if embedded:
        importlib.import_module(EMBEDDED[name])  # registers the builder
    try:
        with _quiet():
            builder = tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, ValueError, AssertionError, ImportError) as error:
        raise _unknown(name) from error
    with _quiet():
        prepared = builder.is_prepared()
    if prepared:
        return builder
    if not embedded and not download:
        raise _unprepared(name, builder.data_dir)
    if not embedded:
        _check_network(builder)
    try:
        if embedded:
            log.info(f"Preparing {name} in {builder.data_dir}, once.")
        with _quiet() if embedded else contextlib.nullcontext():
            builder.download_and_prepare()
    except Exception as error:
        # Another process may have prepared it in the meantime.
        with _quiet():
            prepared = tfds.builder(name, data_dir=data_dir).is_prepared()
        if not prepared:
            first = (str(error).splitlines() or [""])[0]
            advice = ": choose a folder that can be written with --data_dir."
            raise UserError(
                f"The source {name!r} could not be prepared in {builder.data_dir}: "
                f"{type(error).__name__}: {first}{advice if isinstance(error, OSError) else ''}"
            ) from error
    return tfds.builder(name, data_dir=data_dir)


def _check_network(builder: Any) -> None:
    """Check that a host of the files of a data set answers; TFDS would try again for minutes.

    Raises:
        UserError: none answers.
    """
    urls = [urlsplit(url) for url in getattr(builder, "url_infos", None) or {}]
    hosts = {u.hostname: u.port or (80 if u.scheme == "http" else 443) for u in urls if u.hostname}
    if not hosts or any(name.lower() in ("http_proxy", "https_proxy") for name in os.environ):
        return
    reasons = []
    for host, port in list(hosts.items())[:3]:
        try:
            socket.create_connection((host, port), timeout=_PATIENCE).close()
        except OSError as error:
            reasons.append(f"{host}: {error.strerror or error}")
        else:
            return
    name = builder.name
    raise UserError(
        f"{name} cannot be downloaded, because the network does not reach {reasons[0]}. Run `tfds "
        f"build {name}` on a machine with a network, copy its folder tensorflow_datasets/{name} "
        f"here, and point --data_dir to the folder that holds {name}."
    )


def _lacks_labels(builder: Any, split: str) -> bool:
    """Whether a label of -1 is among the first hundred examples of a split."""
    decoders = {"image": tfds.decode.SkipDecoding()}
    dataset = builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders=decoders,
        read_config=tfds.ReadConfig(try_autocache=False),
    ).take(100)
    with _readable(builder):
        return any(int(example["label"]) < 0 for example in dataset)


@contextlib.contextmanager
def _readable(builder: Any) -> Iterator[None]:
    """Turn errors of reading prepared files, such as a missing file, into a `UserError`."""
    try:
        yield
    except tf.errors.OpError as error:
        first = (str(error.message).splitlines() or [""])[0]
        raise UserError(
            f"The source {builder.name!r} in {builder.data_dir} cannot be read ({first}): prepare "
            "it again."
        ) from error


def _examples(
    builder: Any,
    split: str,
    image_shape: tuple[int, int, int],
    labelled: bool,
    resize: str,
) -> Examples:
    count = builder.info.splits[split].num_examples
    if count * int(np.prod(image_shape)) <= IN_MEMORY_BYTES:
        return _in_memory(builder, split, image_shape, labelled, resize)
    if builder.info.file_format != tfds.core.FileFormat.TFRECORD:
        raise UserError(
            f"The source {builder.name!r} is stored as {builder.info.file_format.value}, which "
            "TensorFlow cannot read: prepare it with file_format='tfrecord'."
        )
    return _from_records(builder, split, image_shape, labelled, resize)


def _in_memory(
    builder: Any,
    split: str,
    image_shape: tuple[int, int, int],
    labelled: bool,
    resize: str,
) -> ArrayExamples:
    fixed = tuple(builder.info.features["image"].shape) == image_shape
    # Images of the right size are read by TFDS; others are decoded like files.
    decoders = None if fixed else {"image": tfds.decode.SkipDecoding()}

    @tf.autograph.experimental.do_not_convert
    def columns(example: Any) -> tuple[Any, Any]:
        image = example["image"] if fixed else _decoded(example["image"], image_shape, resize)
        return image, example["label"] if labelled else tf.constant(-1)

    # File by file, as in `_index_records`: an example has the same index in memory and on disk.
    in_order = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    dataset = builder.as_dataset(
        split=split, shuffle_files=False, decoders=decoders, read_config=in_order
    )
    dataset = dataset.map(columns, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    with _readable(builder):
        parts = list(untuned(dataset.batch(1024)).as_numpy_iterator())
    images = np.concatenate([part[0] for part in parts])
    if not labelled:
        return ArrayExamples({"image": images}, None)
    labels = np.concatenate([part[1] for part in parts])
    if labels.min() < 0:
        raise UserError(
            f"{int((labels < 0).sum())} of the {split} images of {builder.name!r} have no label "
            "(-1): use a data set that is labelled throughout."
        )
    return ArrayExamples({"image": images}, labels)


def _decoded(encoded: Any, image_shape: tuple[int, int, int], resize: str) -> Any:
    def decode(data: bytes) -> np.ndarray:
        return decoding.decode(data, image_shape, resize)

    image = tf.numpy_function(decode, [encoded], tf.uint8, stateful=False)
    return tf.ensure_shape(image, image_shape)


def _from_records(
    builder: Any,
    split: str,
    image_shape: tuple[int, int, int],
    labelled: bool,
    resize: str,
) -> EncodedExamples:
    files, positions = _index_records(builder.info.splits[split])
    features = builder.info.features
    skip = {"image": tfds.decode.SkipDecoding()}

    def read(index: np.ndarray) -> bytes:
        file, offset, length = positions[int(index)]
        with open(files[file], "rb") as handle:
            return os.pread(handle.fileno(), int(length), int(offset))

    def example(index: Any) -> tuple[Any, Any]:
        record = tf.numpy_function(read, [index], tf.string, stateful=False)
        parsed = features.deserialize_example(tf.reshape(record, []), decoders=skip)
        label = tf.cast(parsed["label"], tf.int32) if labelled else tf.constant(-1)
        return _decoded(parsed["image"], image_shape, resize), label

    return EncodedExamples(len(positions), image_shape, None, labelled, example)


def _index_records(split_info: Any) -> tuple[list[str], np.ndarray]:
    """The record files of a split, and (file, offset, length) of each of its examples."""
    files: list[str] = []
    rows: list[tuple[int, int, int]] = []
    for instruction in split_info.file_instructions:
        number = len(files)
        files.append(str(instruction.filename))
        count = instruction.examples_in_shard if instruction.take == -1 else instruction.take
        with open(files[-1], "rb") as handle:
            offset = 0
            for position in range(instruction.skip + count):
                handle.seek(offset)
                (length,) = struct.unpack("<Q", handle.read(8))
                # A record: length (8 bytes), its checksum (4), the data, its checksum (4).
                if position >= instruction.skip:
                    rows.append((number, offset + 12, length))
                offset += 16 + length
    return files, np.array(rows, np.int64)
