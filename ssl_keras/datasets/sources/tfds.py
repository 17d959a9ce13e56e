"""TensorFlow Datasets: prepared data sets, and the builders embedded in this package.

Small data sets are read into memory. Large ones stay in their record files: an index of the
records gives random access, and images are decoded on demand.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from ssl_keras import log
from ssl_keras.datasets.base import Source
from ssl_keras.datasets.examples import ArrayExamples, EncodedExamples, Examples, untuned
from ssl_keras.datasets.sources import decoding
from ssl_keras.datasets.sources.splitting import NO_LABELS
from ssl_keras.errors import UserError, nearest
from ssl_keras.inputs.images import preset_for
from ssl_keras.lazy import tf, tfds

# Builders of this package: source name -> module that defines the builder.
EMBEDDED = {"mnist_5k": "ssl_keras.datasets.sources.mnist_5k"}

# Data sets of digits, letters and garments: a flip would change the meaning of an image.
_DIGITS = ("mnist", "emnist", "kmnist", "svhn_cropped", "fashion_mnist")

# Data sets up to this many bytes of pixels are kept in memory.
IN_MEMORY_BYTES = 2**31


def load_tfds(
    name: str,
    data_dir: str | None,
    download: bool,
    image_size: int | None,
    resize: str = "squash",
) -> Source:
    """The TensorFlow Datasets data set called `name`, see `sources.load_source`."""
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
    lacking = {split for split in readable if labelled and _lacks_labels(builder, split)}
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
    embedded = name in EMBEDDED
    if embedded:
        importlib.import_module(EMBEDDED[name])  # registers the builder
    try:
        with _quiet():
            builder = tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, ValueError, AssertionError, ImportError) as error:
        known = [*EMBEDDED, "photos", *tfds.list_builders(with_community_datasets=False)]
        guess = nearest(name, known)
        hint = f" Did you mean {guess!r}?" if guess else ""
        raise UserError(
            f"Unknown source {name!r}.{hint} Valid: {', '.join(EMBEDDED)}, photos, idx:FOLDER, "
            "folder:FOLDER, npz:FILE, or any name of TensorFlow Datasets."
        ) from error
    with _quiet():
        prepared = builder.is_prepared()
    if prepared:
        return builder
    if not embedded and not download:
        raise UserError(
            f"The source {name!r} is not prepared in {builder.data_dir}: pass --download to fetch "
            "it, or point --data_dir to the folder that holds it."
        )
    try:
        if embedded:
            log.info(f"Preparing {name} in {builder.data_dir}, once.")
        with _quiet() if embedded else contextlib.nullcontext():
            builder.download_and_prepare()
    except Exception as error:
        # Another process may have prepared it in the meantime.
        if not tfds.builder(name, data_dir=data_dir).is_prepared():
            first = (str(error).splitlines() or [""])[0]
            raise UserError(
                f"The source {name!r} could not be prepared in {builder.data_dir}: "
                f"{type(error).__name__}: {first}"
            ) from error
    return tfds.builder(name, data_dir=data_dir)


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
