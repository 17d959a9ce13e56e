"""Sources of vectors: embedded tables, NumPy archives and CSV files."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras.datasets.base import Source
from ssl_keras.datasets.examples import ArrayExamples
from ssl_keras.datasets.sources.arrays import class_names, read_npz
from ssl_keras.datasets.sources.splitting import (
    NO_LABELS,
    Part,
    check_parts,
    dense_labels,
    divided,
    divided_by_contents,
    num_classes,
    read_labels,
    seeded_split,
)
from ssl_keras.errors import UserError, unknown_name

# Tables that come with scikit-learn: name -> function of sklearn.datasets.
EMBEDDED = {
    "breast_cancer": "load_breast_cancer",
    "wine": "load_wine",
    "digits": "load_digits",
}
# Names of the column with the class in a CSV file.
LABEL_COLUMNS = ("label", "class", "target")


def check_vectors(name: str) -> None:
    """Check that a source of vectors exists, without opening it.

    Raises:
        UserError: an unknown name, or a file that is missing.
    """
    kind, _, path = name.partition(":")
    if kind in ("npz", "csv", "pairs"):
        if not Path(path).expanduser().is_file():
            raise UserError(f"The file {path!r} of the source {name!r} does not exist.")
    elif name not in EMBEDDED:
        raise unknown_name(
            "source of vectors", name, [*EMBEDDED, "npz:FILE", "csv:FILE", "pairs:FILE.csv"]
        )


def load_vectors(name: str, seed: int = 0) -> Source:
    """The source of vectors called `name`.

        breast_cancer, wine, digits   tables of scikit-learn, embedded; digits: 8x8 pixels
        npz:FILE                      arrays x_train, y_train, x_test, y_test, or x and y
        pairs:FILE.csv                two columns of .npy files, a vector each
        csv:FILE                      numbers with a header; the class in a column "label"

    Vectors keep their dtype. Labels are whole numbers or texts and may be absent; an array
    class_names of an archive names numbers. Without a test split about a fifth of each class is for
    testing, see `splitting.keyed_split`: a vector's part depends on its values and the seed. An
    archive may have a partner for each vector, of the same length: partner_train and partner_test,
    or partner.

    Args:
        name: see above.
        seed: seed of the test split.

    Raises:
        UserError: unknown name, or data that cannot be used; one sentence says why.
    """
    check_vectors(name)
    kind, _, path = name.partition(":")
    if kind == "npz":
        return _load_npz(name, Path(path).expanduser(), seed)
    if kind == "csv":
        return _load_csv(name, Path(path).expanduser(), seed)
    if kind == "pairs":
        from ssl_keras.datasets.sources import paired

        return paired.load_vector_pairs(name, seed)
    import sklearn.datasets

    table = getattr(sklearn.datasets, EMBEDDED[name])()
    part = {"x": table.data}, table.target
    parts = divided(part, seeded_split(table.target, seed))
    return vector_source(name, *parts, class_names=tuple(map(str, table.target_names)))


def _load_npz(name: str, file: Path, seed: int) -> Source:
    arrays = read_npz(file, name)

    def part(suffix: str = "") -> Part:
        x = vector_array(file, f"x{suffix}", arrays[f"x{suffix}"])
        labels = read_labels(file, f"y{suffix}", arrays, len(x))
        return {"x": x, **_partner(file, f"partner{suffix}", arrays, x)}, labels

    if {"x_train", "x_test"} <= set(arrays):
        partners = [key for key in ("partner_train", "partner_test") if key in arrays]
        if len(partners) == 1:
            raise UserError(
                f"{file} holds {partners[0]} alone: partner_train and partner_test are needed, "
                "or neither of them."
            )
        return vector_source(name, part("_train"), part("_test"), class_names(file, arrays))
    if "x" not in arrays:
        raise UserError(
            f"{file} holds the arrays {', '.join(arrays) or 'none'}; x_train, y_train, x_test and "
            "y_test, or x and y, are needed."
        )
    return vector_source(name, *divided_by_contents(part(), "x", seed), class_names(file, arrays))


def vector_array(file: Path | str, key: str, array: np.ndarray) -> np.ndarray:
    """The array, checked.

    Raises:
        UserError: it is not a matrix of finite numbers.
    """
    numeric = np.issubdtype(array.dtype, np.number) and not np.iscomplexobj(array)
    if array.ndim != 2 or not array.size or not numeric:
        raise UserError(
            f"The array {key} of {file} has the shape {array.shape} and the type {array.dtype}; "
            "numbers (N, dim) are needed."
        )
    if not np.isfinite(array).all():
        row, column = np.argwhere(~np.isfinite(array))[0]
        raise UserError(
            f"The array {key} of {file} has {array[row, column]} in row {row}, column {column}: "
            "fill in or leave out what is not a finite number."
        )
    return array


def _partner(file: Path, key: str, arrays: dict[str, np.ndarray], x: np.ndarray) -> dict[str, Any]:
    if key not in arrays:
        return {}
    partner = vector_array(file, key, arrays[key])
    if partner.shape != x.shape:
        raise UserError(
            f"The array {key} of {file} has the shape {partner.shape}; the shape of the vectors, "
            f"{x.shape}, is needed."
        )
    return {"partner": partner.astype(x.dtype)}


def read_csv(name: str, file: Path) -> list[tuple[int, list[str]]]:
    """(number of the line, entries) of each line of a table that is not empty.

    Raises:
        UserError: it cannot be read.
    """
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.reader(lines)
            return [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} of the source {name!r} cannot be read: {error}.") from error


def label_column(header: Sequence[str]) -> int | None:
    """The first column with the name of a label."""
    titles = [title.strip().lower() for title in header]
    return next((k for k, title in enumerate(titles) if title in LABEL_COLUMNS), None)


def _load_csv(name: str, file: Path, seed: int) -> Source:
    numbered = read_csv(name, file)
    if len(numbered) < 3:
        raise UserError(
            f"{file} has {len(numbered)} lines; a header and at least two rows are needed."
        )
    (_, header), *rows = numbered
    label = label_column(header)
    values = np.empty((len(rows), len(header) - (label is not None)))
    if not values.shape[1]:
        raise UserError(f"{file} has no column of numbers.")
    texts = []
    for k, (line, row) in enumerate(rows):
        if len(row) != len(header):
            raise UserError(
                f"Line {line} of {file} has {len(row)} entries, the header {len(header)}: "
                "correct that line."
            )
        numbers = list(row)
        if label is not None:
            texts.append(numbers.pop(label))
        for column, text in enumerate(numbers):
            try:
                values[k, column] = float(text)
            except ValueError:
                titles = [title for index, title in enumerate(header) if index != label]
                raise UserError(
                    f"Line {line} of {file} has {text!r} in {titles[column]!r}: "
                    "only numbers are read, and the class from a column "
                    f"{' or '.join(LABEL_COLUMNS)}."
                ) from None
    labels = np.array(texts) if texts else None
    part = {"x": vector_array(file, "numbers", values)}, labels
    return vector_source(name, *divided_by_contents(part, "x", seed))


def vector_source(name: str, train: Part, test: Part, class_names: Sequence[str] = ()) -> Source:
    """The source of two parts with vectors in the column "x".

    Raises:
        UserError: see `splitting.check_parts` and `splitting.dense_labels`.
    """
    check_parts(name, "x", "vectors", train, test)
    train, test, names = dense_labels(name, train, test, class_names)
    return Source(
        name=name,
        train=ArrayExamples(*train),
        test=ArrayExamples(*test),
        num_classes=num_classes(train[1]),
        class_names=names,
        notices=() if train[1] is not None else (NO_LABELS,),
    )
