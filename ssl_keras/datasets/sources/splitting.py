"""Training and test parts of a source that is arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ssl_keras.errors import UserError

TEST_SHARE = 0.2
NO_LABELS = "no labels: probes and evaluators for the class are off"

# The columns of a part, and its labels (examples,) or None.
Part = tuple[Mapping[str, np.ndarray], np.ndarray | None]


def seeded_split(labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(train indices, test indices): `TEST_SHARE` of each class, drawn by `seed`, is for testing.

    Both are sorted, so the order of examples is that of the source.

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


def split_part(
    columns: Mapping[str, np.ndarray], labels: np.ndarray | None, seed: int
) -> tuple[Part, Part]:
    """The training and the test part of arrays that come without a test split."""
    count = len(next(iter(columns.values())))
    train, test = seeded_split(np.zeros(count, int) if labels is None else labels, seed)

    def part(rows: np.ndarray) -> Part:
        selected = {name: array[rows] for name, array in columns.items()}
        return selected, None if labels is None else labels[rows]

    return part(train), part(test)


def check_parts(name: str, column: str, kind: str, train: Part, test: Part) -> int:
    """Check that two parts fit together.

    Args:
        name: the source.
        column: the main column, such as "image".
        kind: its examples, for messages, such as "images".
        train, test: the parts.

    Returns:
        The number of classes; 0 without labels.

    Raises:
        UserError: examples of different shapes, an empty part, labels in one part alone, a single
            class, or a test label that the training part does not have.
    """
    (train_columns, train_labels), (test_columns, test_labels) = train, test
    shape, test_shape = train_columns[column].shape[1:], test_columns[column].shape[1:]
    if shape != test_shape:
        raise UserError(
            f"The training {kind} of {name!r} have the shape {shape}, the test {kind} "
            f"{test_shape}: one shape is needed."
        )
    if not len(train_columns[column]) or not len(test_columns[column]):
        raise UserError(f"The source {name!r} has too few {kind} for training and testing.")
    if train_labels is None and test_labels is None:
        return 0
    if train_labels is None or test_labels is None:
        missing, present = ("training", "test") if train_labels is None else ("test", "training")
        raise UserError(f"The source {name!r} has {present} labels, but no {missing} labels.")
    num_classes = int(train_labels.max()) + 1
    if test_labels.max() >= num_classes:
        raise UserError(
            f"The test labels of {name!r} go up to {test_labels.max()}, those of training only to "
            f"{num_classes - 1}."
        )
    if len(np.unique(train_labels)) < 2:
        raise UserError(f"The training {kind} of {name!r} are all of one class.")
    return num_classes
