"""Pairs that a table names: two columns of image files, or of vectors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras.datasets.base import Source
from ssl_keras.datasets.examples import Examples
from ssl_keras.datasets.sources import decoding, folder
from ssl_keras.datasets.sources.splitting import (
    NO_LABELS,
    Part,
    dense_labels,
    divided,
    keyed_split,
    num_classes,
)
from ssl_keras.datasets.sources.vectors import (
    label_column,
    read_csv,
    vector_array,
    vector_source,
)
from ssl_keras.errors import UserError
from ssl_keras.inputs.images import preset_for
from ssl_keras.lazy import tf


@dataclass
class PairedExamples(Examples):
    """Images, each with a partner: a batch has "image" and "partner".

    Attributes:
        first, second: examples in the same order; the labels are those of `first`.
    """

    first: Examples
    second: Examples

    def __post_init__(self) -> None:
        self.count, self.labels = self.first.count, self.first.labels
        self.labelled, self.image_shape = self.first.labelled, self.first.image_shape

    def batched(self, indices: Any, batch_size: int) -> Any:
        both = (part.batched(indices, batch_size) for part in (self.first, self.second))

        @tf.autograph.experimental.do_not_convert
        def joined(first: Any, second: Any) -> dict[str, Any]:
            return {**first, "partner": second["image"]}

        return tf.data.Dataset.zip(*both).map(joined, num_parallel_calls=1, deterministic=True)


def table_of(name: str) -> Path:
    """The table of a source pairs:FILE.csv.

    Raises:
        UserError: it does not exist.
    """
    table = Path(name.partition(":")[2]).expanduser()
    if not table.is_file():
        raise UserError(f"The file {str(table)!r} of the source {name!r} does not exist.")
    return table


def read_pairs(name: str) -> tuple[list[tuple[Path, Path]], np.ndarray | None]:
    """(pairs of files, labels or None) of a source pairs:FILE.csv.

    The first line names the columns; the first two, but for one called label, class or target, hold
    the files of a pair, relative to the folder of the table.

    Raises:
        UserError: it is no such table, or names a file that does not exist.
    """
    table = table_of(name)
    rows = read_csv(name, table)
    header = rows[0][1] if rows else []
    label = label_column(header)
    columns = [k for k in range(len(header)) if k != label]
    if len(columns) != 2:
        raise UserError(
            f"{table} has {len(columns)} columns beside the label; two, the files of a pair, with "
            "their names in the first line, are needed."
        )
    if len(rows) < 3:
        raise UserError(f"{table} has {max(0, len(rows) - 1)} pairs; two are needed.")
    pairs, labels = [], []
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise UserError(
                f"Line {line} of {table} has {len(row)} entries, the first line {len(header)}: "
                "correct that line."
            )
        first, second = (table.parent / row[k].strip() for k in columns)
        for file in (first, second):
            if not file.is_file():
                raise UserError(f"Line {line} of {table} names {file}, which does not exist.")
        pairs.append((first, second))
        labels += [] if label is None else [row[label]]
    return pairs, None if label is None else np.array(labels)


def _divided(
    name: str,
    pairs: list[tuple[Path, Path]],
    labels: np.ndarray | None,
    columns: dict[str, np.ndarray],
    seed: int,
) -> tuple[Part, Part]:
    """The training and the test part of pairs with `columns`, by the names of both files, see
    `splitting.keyed_split`.

    Raises:
        UserError: a part would be empty.
    """
    root = table_of(name).parent
    keys = (" ".join(str(file.relative_to(root)) for file in pair).encode() for pair in pairs)
    classes = (
        np.zeros(len(pairs), int) if labels is None else np.unique(labels, return_inverse=True)[1]
    )
    rows = keyed_split(keys, classes, seed)
    if not all(map(len, rows)):
        raise UserError(f"The source {name!r} has too few pairs for training and testing.")
    return divided((columns, labels), rows)


def load_image_pairs(
    name: str,
    image_size: int | None,
    seed: int,
    on_bad_image: str = "refuse",
    resize: str = "squash",
    max_megapixels: int = decoding.MAX_MEGAPIXELS,
) -> Source:
    """Pairs of image files; the split, by the names of both files, is that of
    `splitting.keyed_split`.

    Raises:
        UserError: see `read_pairs`; or an image that cannot be decoded.
    """
    if on_bad_image == "skip":
        raise UserError(
            f"on_bad_image=skip has no effect on the pairs of {name!r}: correct the table, and "
            "leave it out."
        )
    pairs, labels = read_pairs(name)
    files = np.array(pairs, str)
    shape, _, seen_through = folder.common_shape(
        name, files.ravel().tolist(), image_size, on_bad_image, max_megapixels
    )
    notices: tuple[str, ...] = () if labels is not None else (NO_LABELS,)
    if seen_through:
        notices += (f"{seen_through} images have transparent parts, which are white here",)
    columns = {"first": files[:, 0], "second": files[:, 1]}
    train, test, names = dense_labels(name, *_divided(name, pairs, labels, columns, seed))

    def examples(part: Part) -> Examples:
        columns, labels = part
        numbers = [-1] * len(columns["first"]) if labels is None else labels.tolist()
        kinds = (
            folder.image_examples(
                list(zip(columns[kind].tolist(), numbers, strict=True)),
                shape,
                labels is not None,
                on_bad_image,
                resize,
                max_megapixels,
            )[0]
            for kind in ("first", "second")
        )
        return PairedExamples(*kinds)

    return Source(
        name=name,
        train=examples(train),
        test=examples(test),
        num_classes=num_classes(train[1]),
        class_names=names,
        augmentation=preset_for(shape),
        notices=notices,
    )


def load_vector_pairs(name: str, seed: int) -> Source:
    """Pairs of files with a vector each, as np.save writes them (.npy).

    Raises:
        UserError: see `read_pairs`; or a file that holds no vector, or one of another length.
    """
    pairs, labels = read_pairs(name)

    def vector(file: Path) -> np.ndarray:
        try:
            values = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise UserError(f"{file} cannot be read as a NumPy array (.npy): {error}.") from error
        return np.asarray(values).reshape(-1)

    columns = [[vector(pair[place]) for pair in pairs] for place in range(2)]
    length = len(columns[0][0])
    for place, column in enumerate(columns):
        for pair, values in zip(pairs, column, strict=True):
            if len(values) != length:
                raise UserError(
                    f"{pair[place]} has {len(values)} numbers, {pairs[0][0]} has {length}: all "
                    "vectors must have one length."
                )
    first, second = (
        vector_array(table_of(name), f"column {place + 1}", np.stack(column))
        for place, column in enumerate(columns)
    )
    arrays = {"x": first, "partner": second}
    return vector_source(name, *_divided(name, pairs, labels, arrays, seed))
