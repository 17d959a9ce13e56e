"""Training and test parts of a source, and the labels of both."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ssl_keras.errors import UserError

TEST_SHARE = 0.2
# From here on labels that examples hardly share are taken for numbers that are not classes.
MOST_DISTINCT = 100
NO_LABELS = "no labels: probes and evaluators for the class are off"

# The columns of a part, and its labels (examples,) or None.
Part = tuple[Mapping[str, np.ndarray], np.ndarray | None]


def natural(name: str) -> tuple[Any, ...]:
    """Key that sorts names as people do: 2 before 10."""
    parts = re.split(r"(\d+)", name)
    return (*(int(part) if part.isdecimal() else part for part in parts), name)


def seeded_split(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(train indices, test indices): `TEST_SHARE` of each class, drawn by `seed`, is for testing.

    Both are sorted, so the order of examples is that of the source. For embedded data: one more
    example would change the part of the others, see `keyed_split`.

    Args:
        labels: integers (examples,), of any values; all equal without labels.
        seed: seed of the draw.
    """
    generator = np.random.default_rng(seed)
    test = []
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        test.append(members[: round(TEST_SHARE * len(members))])
    test_indices = np.sort(np.concatenate(test))
    train_indices = np.setdiff1d(np.arange(len(labels)), test_indices)
    return train_indices, test_indices


def keyed_split(
    keys: Iterable[bytes], labels: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(train indices, test indices) of data that may grow: about `TEST_SHARE` is for testing.

    An example is for testing if a hash of `seed` and its key lies in the lowest `TEST_SHARE` of all
    hashes. So its part does not depend on the other examples or on their order, and equal keys are
    in one part. Only where a class would have no test example, that with the lowest hash becomes
    one; where it would have no training example, that with the highest.

    Args:
        keys: what identifies each example, such as its name or its contents.
        labels: integers (examples,), of any values; all equal without labels.
        seed: seed of the split.
    """
    start = seed.to_bytes(8, "little")
    hashes = np.array(
        [
            int.from_bytes(hashlib.blake2b(key, digest_size=8, key=start).digest(), "little")
            for key in keys
        ],
        np.uint64,
    )
    tested = hashes < np.uint64(TEST_SHARE * 2**64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) > 1 and not tested[members].any():
            tested[members[hashes[members].argmin()]] = True
        if tested[members].all():
            tested[members[hashes[members].argmax()]] = False
    return np.flatnonzero(~tested), np.flatnonzero(tested)


def divided(part: Part, rows: tuple[np.ndarray, np.ndarray]) -> tuple[Part, Part]:
    """The training and the test part of arrays that come without a test split."""
    columns, labels = part

    def select(rows: np.ndarray) -> Part:
        selected = {name: array[rows] for name, array in columns.items()}
        return selected, None if labels is None else labels[rows]

    return select(rows[0]), select(rows[1])


def divided_by_contents(part: Part, column: str, seed: int) -> tuple[Part, Part]:
    """`divided` by `keyed_split`, with the contents of a column as keys."""
    columns, labels = part
    array = columns[column]
    classes = (
        np.zeros(len(array), int) if labels is None else np.unique(labels, return_inverse=True)[1]
    )
    return divided(part, keyed_split((row.tobytes() for row in array), classes, seed))


def read_labels(
    file: object, key: str, arrays: Mapping[str, np.ndarray], count: int
) -> np.ndarray | None:
    """The labels `arrays[key]` of `count` examples, (count,), or None if there are none.

    Raises:
        UserError: they are not one whole number from 0 on, or one text, for each example.
    """
    labels = arrays.get(key)
    if labels is None:
        return None
    if labels.shape == (count, 1):
        labels = labels[:, 0]
    is_text = labels.dtype.kind in "US"
    if np.issubdtype(labels.dtype, np.floating) and (labels == np.round(labels)).all():
        labels = labels.astype(np.int64)
    if labels.shape != (count,) or not (is_text or np.issubdtype(labels.dtype, np.integer)):
        raise UserError(
            f"The array {key} of {file} has the shape {labels.shape} and the type {labels.dtype}; "
            f"one whole number or one text for each of the {count} examples is needed."
        )
    if not is_text and labels.min() < 0:
        raise UserError(
            f"The labels {key} of {file} go from {labels.min()} to {labels.max()}; they must be "
            "numbers of classes, from 0 on."
        )
    return labels


def dense_labels(
    name: str, train: Part, test: Part, names: Sequence[str] = ()
) -> tuple[Part, Part, tuple[str, ...]]:
    """The parts with the labels 0, 1, 2, ..., and the names of the classes.

    Classes are those of the training labels, in natural order (2 before 10). Labels that are 0, 1,
    2, ... already have no names, unless they are given; other numbers and texts are the names.

    Args:
        name: the source.
        train, test: the parts.
        names: name of each number.

    Raises:
        UserError: labels in one part alone, a single class, too many classes, a test label that the
            training part does not have, or fewer names than numbers.
    """
    (train_columns, train_labels), (test_columns, test_labels) = train, test
    if train_labels is None and test_labels is None:
        return train, test, ()
    if train_labels is None or test_labels is None:
        missing, present = ("training", "test") if train_labels is None else ("test", "training")
        raise UserError(f"The source {name!r} has {present} labels, but no {missing} labels.")
    values = np.unique(train_labels)
    if len(values) < 2:
        raise UserError(f"The source {name!r} has one class only, {values[0]}: two are needed.")
    if len(values) > max(MOST_DISTINCT, len(train_labels) // 2):
        raise UserError(
            f"The {len(train_labels)} training labels of {name!r} have {len(values)} different "
            "values: labels must be classes that examples share."
        )
    unknown = np.setdiff1d(test_labels, values)
    if len(unknown):
        raise UserError(
            f"The test labels of {name!r} have the class {unknown[0]}, which the training labels "
            "do not have."
        )
    if names and len(names) <= int(values[-1]):
        raise UserError(
            f"The source {name!r} has {len(names)} class names, but labels up to {values[-1]}."
        )
    if values.dtype.kind in "US":
        values = np.array(sorted(values, key=lambda value: natural(str(value))))
    shown = tuple(names[value] if names else str(value) for value in values)
    if not names and values.dtype.kind not in "US" and values[-1] == len(values) - 1:
        shown = ()
    order = np.argsort(values)
    train_labels, test_labels = (
        order[np.searchsorted(values, labels, sorter=order)].astype(np.int32)
        for labels in (train_labels, test_labels)
    )
    return (train_columns, train_labels), (test_columns, test_labels), shown


def num_classes(labels: np.ndarray | None) -> int:
    """The number of classes of dense training labels; 0 without labels."""
    return 0 if labels is None else int(labels.max()) + 1


def check_parts(name: str, column: str, kind: str, train: Part, test: Part) -> None:
    """Check that two parts fit together.

    Args:
        name: the source.
        column: the main column, such as "image".
        kind: its examples, for messages, such as "images".
        train, test: the parts.

    Raises:
        UserError: examples of different shapes, or an empty part.
    """
    shape, test_shape = train[0][column].shape[1:], test[0][column].shape[1:]
    if shape != test_shape:
        raise UserError(
            f"The training {kind} of {name!r} have the shape {shape}, the test {kind} "
            f"{test_shape}: one shape is needed."
        )
    if not len(train[0][column]) or not len(test[0][column]):
        raise UserError(f"The source {name!r} has too few {kind} for training and testing.")
