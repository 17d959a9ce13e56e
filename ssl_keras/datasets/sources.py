"""Where images come from: sources, selected by `--source`.

Every source is a TensorFlow Datasets builder, embedded in this package (`mnist_5k`) or prepared
in `--data_dir`; both are read by the same code. Nothing is downloaded unless it is asked for.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssl_keras.errors import UserError, nearest

# Builders of this package: source name -> module that defines the builder.
EMBEDDED = {"mnist_5k": "ssl_keras.datasets.mnist_5k"}

# Data sets of written characters: a flip would change what they show.
_DIGITS = ("mnist", "emnist", "kmnist", "svhn", "fashion_mnist")


@dataclass(frozen=True)
class SourceSplit:
    """One split: `images` uint8 (examples, height, width, channels), `labels` int32 (examples,)."""

    images: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Source:
    """Labelled images of one size, in memory.

    Attributes:
        name: the name it was asked for by.
        train, test: the splits.
        num_classes: number of classes.
        class_names: one name for each class, or empty.
        augmentation: the preset of views that suits these images.
    """

    name: str
    train: SourceSplit
    test: SourceSplit
    num_classes: int
    class_names: tuple[str, ...] = ()
    augmentation: str = "digits"

    @property
    def image_shape(self) -> tuple[int, int, int]:
        height, width, channels = self.train.images.shape[1:]
        return (height, width, channels)


def load_source(name: str, data_dir: str | None = None, download: bool = False) -> Source:
    """The source called `name`.

    Args:
        name: an embedded source or the name of a TensorFlow Datasets data set.
        data_dir: where prepared data sets lie. Default: that of TensorFlow Datasets
            ($TFDS_DATA_DIR, or tensorflow_datasets in the home directory).
        download: whether a data set that is not prepared may be downloaded.

    Raises:
        UserError: unknown name, not prepared, no labels, no test split, or images of several
            sizes.
    """
    import tensorflow_datasets as tfds

    tfds.disable_progress_bar()
    builder = _prepared_builder(tfds, name, data_dir, download)
    names = list(builder.info.splits)
    test_name = next((split for split in ("test", "validation") if split in names), None)
    if "train" not in names or test_name is None:
        raise UserError(
            f"The source {name!r} has the splits {', '.join(names)}; a train split and a test or "
            "validation split are needed."
        )
    image_key, label_key = _keys(name, builder.info.features)
    label_feature = builder.info.features[label_key]
    train = _read(tfds, builder, name, "train", image_key, label_key)
    test = _read(tfds, builder, name, test_name, image_key, label_key)
    is_digits = name.split("/")[0].split(":")[0] in (*_DIGITS, *EMBEDDED)
    return Source(
        name=name,
        train=train,
        test=test,
        num_classes=label_feature.num_classes,
        class_names=tuple(label_feature.names),
        augmentation="digits"
        if is_digits or train.images.shape[-1] != 3
        else ("small_rgb" if max(train.images.shape[1:3]) <= 64 else "large_rgb"),
    )


def _prepared_builder(tfds: Any, name: str, data_dir: str | None, download: bool) -> Any:
    embedded = name in EMBEDDED
    if embedded:
        importlib.import_module(EMBEDDED[name])  # registers the builder
    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except (tfds.core.DatasetNotFoundError, ValueError) as error:
        guess = nearest(name, [*EMBEDDED, *tfds.list_builders(with_community_datasets=False)])
        hint = f" Did you mean {guess!r}?" if guess else ""
        raise UserError(
            f"Unknown source {name!r}.{hint} Valid: {', '.join(EMBEDDED)} (embedded) or any name "
            "of TensorFlow Datasets."
        ) from error
    if builder.is_prepared():
        return builder
    if not embedded and not download:
        raise UserError(
            f"The source {name!r} is not prepared in {builder.data_dir}: pass --download to fetch "
            "it, or point --data_dir to the folder that holds it."
        )
    try:
        builder.download_and_prepare()
    except Exception as error:
        # Another process may have prepared it in the meantime; that one serves as well.
        if not tfds.builder(name, data_dir=data_dir).is_prepared():
            raise UserError(
                f"The source {name!r} could not be prepared in {builder.data_dir}: "
                f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            ) from error
    return tfds.builder(name, data_dir=data_dir)


def _keys(name: str, features: Any) -> tuple[str, str]:
    keys = list(features)
    if "image" not in keys or "label" not in keys:
        raise UserError(
            f"The source {name!r} has the columns {', '.join(keys)}; 'image' and 'label' are "
            "needed."
        )
    return "image", "label"


def _read(
    tfds: Any, builder: Any, name: str, split: str, image_key: str, label_key: str
) -> SourceSplit:
    shape = builder.info.features[image_key].shape
    if None in shape:
        raise UserError(
            f"The images of {name!r} have no fixed size ({shape}); sources of one size are needed."
        )
    columns = tfds.as_numpy(builder.as_dataset(split=split, batch_size=-1))
    return SourceSplit(
        images=np.asarray(columns[image_key], np.uint8),
        labels=np.asarray(columns[label_key], np.int32),
    )
