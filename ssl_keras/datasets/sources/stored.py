"""Sources from Python: a `tf.data.Dataset` is read once and stored as a NumPy archive.

So a run on it is like any other: it resumes, and its flags repeat it. The archive lies in the
folder of TensorFlow Datasets; its name is a digest of its contents.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras import files
from ssl_keras.datasets.sources.arrays import image_array
from ssl_keras.datasets.sources.splitting import read_labels
from ssl_keras.datasets.sources.vectors import vector_array
from ssl_keras.errors import UserError, one_line
from ssl_keras.lazy import tf

# Larger data are better read from files on demand.
MOST_BYTES = 2**32
# Names of a column in the elements of a dataset.
_EXAMPLES, _LABELS = ("image", "images", "x"), ("label", "labels", "class", "y")
# How the dataset is called in messages.
_NAME = "the tf.data.Dataset"


def is_dataset(source: Any) -> bool:
    """Whether a source is a `tf.data.Dataset`, or a pair of them."""
    parts = source if isinstance(source, tuple | list) else (source,)
    return bool(parts) and all(hasattr(part, "element_spec") for part in parts)


def store(source: Any, images: bool, data_dir: str | None = None) -> str:
    """Store a `tf.data.Dataset`, or a pair of them for training and testing.

    An element is an example, an (example, label) pair, or a dictionary with "image" (or "x") and
    perhaps "label" and "partner"; single or in batches. Examples are images (height, width),
    (height, width, channels), uint8 or float in [0, 1]; or vectors (dim,). Labels are integers.
    Equal contents are stored once.

    Args:
        source: the dataset, or (training dataset, test dataset).
        images: whether its examples are images.
        data_dir: folder of prepared TensorFlow Datasets. Default: $TFDS_DATA_DIR, or
            tensorflow_datasets in the home directory.

    Returns:
        The name of the source, "npz:PATH".

    Raises:
        UserError: the dataset is endless, too large, or holds something else.
    """
    parts = source if isinstance(source, tuple | list) else (source,)
    if len(parts) > 2:
        raise UserError(
            "source must be one tf.data.Dataset, or one for training and one for tests."
        )
    suffixes = ("",) if len(parts) == 1 else ("_train", "_test")
    arrays: dict[str, np.ndarray] = {}
    for part, suffix in zip(parts, suffixes, strict=True):
        arrays |= {f"{name}{suffix}": array for name, array in _read(part, images).items()}
    digest = hashlib.sha256()
    for name, array in arrays.items():
        digest.update(f"{name} {array.dtype} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    root = Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    path = root.expanduser().resolve() / "ssl_keras" / f"dataset-{digest.hexdigest()[:12]}.npz"
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with files.whole_file(path) as temporary, temporary.open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
        except OSError as error:
            raise UserError(
                f"{_NAME} cannot be stored in {path.parent} ({error.strerror or error}): choose "
                "another --data_dir."
            ) from error
    return f"npz:{path}"


def _read(dataset: Any, images: bool) -> dict[str, np.ndarray]:
    """{"x", "y" and "partner", if there are some} of all elements."""
    if int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise UserError(f"{_NAME} is endless: leave its repeat() out; a run repeats it itself.")
    spec = _columns(dataset.element_spec)
    if not isinstance(spec["x"], tf.TensorSpec) or spec["x"].shape.rank is None:
        raise UserError(
            f"{_NAME} has examples of unknown shape: each must be one tensor; tf.ensure_shape sets "
            "its shape."
        )
    if not _batched(spec, images):
        dataset = dataset.batch(256)
    parts: list[dict[str, np.ndarray]] = []
    size = 0
    try:
        for element in dataset.as_numpy_iterator():
            parts.append(_columns(element))
            size += sum(array.nbytes for array in parts[-1].values())
            if size > MOST_BYTES:
                raise UserError(
                    f"{_NAME} has more than {MOST_BYTES / 2**30:g} GiB (or is endless): write it "
                    "as a folder of images, or as a data set of TensorFlow Datasets."
                )
        if not parts:
            raise UserError(f"{_NAME} is empty.")
        arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    except UserError:
        raise
    except (ValueError, tf.errors.OpError) as error:
        raise UserError(
            f"{_NAME} cannot be read as examples of one shape: {one_line(error)}"
        ) from error
    check = image_array if images else vector_array
    for name in ("x", "partner"):
        if name in arrays:
            arrays[name] = check(_NAME, name, arrays[name])
    read_labels(_NAME, "y", arrays, len(arrays["x"]))
    return arrays


def _columns(element: Any) -> dict[str, Any]:
    """The columns of an element, or of its spec, by the names of the archive.

    Raises:
        UserError: it has no example.
    """
    if isinstance(element, Mapping):
        names = {"x": _EXAMPLES, "y": _LABELS, "partner": ("partner",)}
        found = {
            name: element[key] for name, keys in names.items() for key in keys if key in element
        }
        if "x" not in found:
            raise UserError(
                f"The elements of {_NAME} have {', '.join(map(str, element)) or 'nothing'}; "
                '"image" (or "x") is needed, and "label" if there are labels.'
            )
        return found
    if isinstance(element, tuple | list):
        if not 1 <= len(element) <= 2:
            raise UserError(
                f"The elements of {_NAME} have {len(element)} parts: (example, label) is needed."
            )
        return dict(zip(("x", "y"), element, strict=False))
    return {"x": element}


def _batched(spec: Mapping[str, Any], images: bool) -> bool:
    """Whether the elements are batches.

    Three axes are an image (height, width, channels), or a batch of grey images, which the labels
    tell apart, or the axes: those of a batch are (None, height, width) or (N, side, side).
    """
    shape = spec["x"].shape
    if not images:
        return bool(shape.rank == 2)
    if shape.rank != 3:
        return bool(shape.rank == 4)
    if "y" in spec and spec["y"].shape.rank is not None:
        return bool(spec["y"].shape.rank == 1 and spec["y"].shape[0] == shape[0])
    known = shape[1] is not None
    return bool(known and (shape[0] is None or (shape[1] == shape[2] and shape[2] > 4)))
