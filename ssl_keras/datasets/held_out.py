"""Classes that are not trained on: an open world in which new classes appear."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ssl_keras.datasets.base import DataSet, Target, class_target
from ssl_keras.datasets.splits import Split
from ssl_keras.errors import UserError, nearest
from ssl_keras.lazy import tf


def hold_out(data: DataSet, count: int, name: str | None, seed: int) -> DataSet:
    """The data set without `count` classes, and with the test examples of those as `unseen`.

    The classes are drawn by the seed. Training and test examples are those of the other classes,
    which are numbered anew; so are the held-out ones, in `unseen`.

    Args:
        data: the data set.
        count: number of classes to hold out.
        name: target whose classes they are. Default: "class", or the first target of this kind.
        seed: seed of the draw.

    Raises:
        UserError: there is no such target, or fewer than two classes would be left.
    """
    target = _target(data, name)
    if count > target.size - 2:
        raise UserError(
            f"held_out_classes is {count}, but {target.name} has {target.size} classes, of which "
            f"at least 2 must be trained on: hold out at most {target.size - 2}."
        )
    order = np.random.default_rng([seed, 6]).permutation(target.size)
    held, kept = np.sort(order[:count]), np.sort(order[count:])
    labels = data.test.read_labels(target.name)

    def part(split: Split, classes: np.ndarray) -> Split:
        rows = np.flatnonzero(np.isin(split.read_labels(target.name), classes))
        return _renumbered(split.subset(rows), target, classes)

    targets = dict(data.targets)
    for other in data.targets.values():
        if other.kind == "class":
            others = data.test.read_labels(other.name)[np.isin(labels, kept)]
            targets[other.name] = class_target(other.name, others, other.size, other.names)
    targets[target.name] = _of_classes(target, labels, kept)
    unseen = part(data.test, held)
    if not unseen.num_examples:
        raise UserError(f"No test example of {data.name} is of the {count} classes held out.")
    names = ", ".join(target.name_of(label) for label in held[:8]) + (", ..." * (count > 8))
    return replace(
        data.map_training(lambda split: part(split, kept)),
        test=part(data.test, kept),
        targets=targets,
        unseen=unseen,
        unseen_target=_of_classes(target, labels, held),
        notices=(*data.notices, f"{count} classes of {target.name} are not trained on: {names}"),
    )


def _target(data: DataSet, name: str | None) -> Target:
    classes = [target.name for target in data.targets.values() if target.kind == "class"]
    if not classes:
        raise UserError(f"held_out_classes needs classes, but {data.name} has none: leave it out.")
    if name is None:
        name = "class" if "class" in classes else classes[0]
    if name not in classes:
        guess = nearest(name, classes)
        hint = f"; did you mean {guess}?" if guess else "."
        raise UserError(
            f"held_out_target is {name!r}, but {data.name} has {', '.join(classes)}{hint}"
        )
    return data.targets[name]


def _of_classes(target: Target, labels: np.ndarray, classes: np.ndarray) -> Target:
    """The target of some of the classes."""
    numbers = np.searchsorted(classes, labels[np.isin(labels, classes)])
    names = [target.name_of(label) for label in classes]
    return class_target(target.name, numbers, len(classes), names)


def _renumbered(split: Split, target: Target, classes: np.ndarray) -> Split:
    """The split, whose labels of the target are places among `classes`."""
    table = np.zeros(target.size, np.int32)
    table[classes] = np.arange(len(classes))

    def compose(batch: Mapping[str, Any]) -> dict[str, Any]:
        whole = split.compose(batch)
        number = tf.gather(tf.constant(table), whole["labels"][target.name])
        return {**whole, "labels": {**whole["labels"], target.name: number}}

    return Split(split.examples, compose, split.locate)
