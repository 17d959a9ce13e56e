"""Sources of vectors: embedded tables, NumPy archives and CSV files."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras.datasets.base import Source
from ssl_keras.datasets.examples import ArrayExamples
from ssl_keras.datasets.sources.arrays import check_labels, read_labels, read_npz
from ssl_keras.datasets.sources.splitting import seeded_split
from ssl_keras.errors import UserError, unknown_name

# Tables that come with scikit-learn: name -> function of sklearn.datasets.
EMBEDDED = {
    "breast_cancer": "load_breast_cancer",
    "wine": "load_wine",
    "digits": "load_digits",
}
# The column of a CSV file that holds the class has one of these names.
LABEL_COLUMNS = ("label", "class", "target")


def load_vectors(name: str, seed: int = 0) -> Source:
    """The source of vectors called `name`.

        breast_cancer, wine, digits   tables of scikit-learn, embedded; digits: 8x8 pixels
        npz:FILE                      arrays x_train, y_train, x_test, y_test, or x and y
        csv:FILE                      numbers with a header; the class in a column "label"

    Vectors keep their dtype. Labels may be left out. Without a test split a seeded, stratified
    fifth is taken. An archive may have a partner for each vector, of the same length: partner_train
    and partner_test, or partner.

    Args:
        name: see above.
        seed: chooses the test split.

    Raises:
        UserError: unknown name, or data that cannot be used; one sentence says why.
    """
    kind, _, path = name.partition(":")
    if kind == "npz":
        return _load_npz(name, Path(path).expanduser(), seed)
    if kind == "csv":
        return _load_csv(name, Path(path).expanduser(), seed)
    if name not in EMBEDDED:
        raise unknown_name("source of vectors", name, [*EMBEDDED, "npz:FILE", "csv:FILE"])
    import sklearn.datasets

    table = getattr(sklearn.datasets, EMBEDDED[name])()
    class_names = tuple(map(str, table.target_names))
    return _split(name, {"x": table.data}, table.target, class_names, seed)


def _load_npz(name: str, file: Path, seed: int) -> Source:
    arrays = read_npz(file, name)
    if {"x_train", "x_test"} <= set(arrays):
        parts = []
        for split in ("train", "test"):
            x = _vectors(file, f"x_{split}", arrays[f"x_{split}"])
            columns = {"x": x, **_partner(file, f"partner_{split}", arrays, x)}
            key = f"y_{split}"
            parts.append((columns, read_labels(file, key, arrays.get(key), len(x))))
        return _source(name, parts[0], parts[1], ())
    if "x" not in arrays:
        raise UserError(
            f"{file} holds the arrays {', '.join(arrays) or 'none'}; x_train, y_train, x_test and "
            "y_test, or x and y, are needed."
        )
    x = _vectors(file, "x", arrays["x"])
    columns = {"x": x, **_partner(file, "partner", arrays, x)}
    return _split(name, columns, read_labels(file, "y", arrays.get("y"), len(x)), (), seed)


def _vectors(file: Path, key: str, array: np.ndarray) -> np.ndarray:
    """A matrix of finite numbers, of the dtype that it has.

    Raises:
        UserError: it is something else.
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
    partner = _vectors(file, key, arrays[key])
    if partner.shape != x.shape:
        raise UserError(
            f"The array {key} of {file} has the shape {partner.shape}; that of the vectors, "
            f"{x.shape}, is needed."
        )
    return {"partner": partner.astype(x.dtype)}


def _load_csv(name: str, file: Path, seed: int) -> Source:
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.reader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} of the source {name!r} cannot be read: {error}.") from error
    if len(rows) < 3:
        raise UserError(f"{file} has {len(rows)} lines; a header and at least two rows are needed.")
    header, *rows = [row for row in rows if row]
    label = next(
        (k for k, title in enumerate(header) if title.strip().lower() in LABEL_COLUMNS), None
    )
    values = np.empty((len(rows), len(header) - (label is not None)))
    if not values.shape[1]:
        raise UserError(f"{file} has no column of numbers.")
    texts = []
    for line, row in enumerate(rows):
        if len(row) != len(header):
            raise UserError(
                f"Line {line + 2} of {file} has {len(row)} entries, the header {len(header)}: mend "
                "that line."
            )
        numbers = list(row)
        if label is not None:
            texts.append(numbers.pop(label))
        for column, text in enumerate(numbers):
            try:
                values[line, column] = float(text)
            except ValueError:
                titles = [title for k, title in enumerate(header) if k != label]
                raise UserError(
                    f"Line {line + 2} of {file} has {text!r} in {titles[column]!r}: "
                    "only numbers are read, and the class from a column "
                    f"{' or '.join(LABEL_COLUMNS)}."
                ) from None
    names = sorted(dict.fromkeys(texts), key=_natural)
    labels = np.array([names.index(text) for text in texts], np.int32) if texts else None
    return _split(name, {"x": _vectors(file, "numbers", values)}, labels, tuple(names), seed)


def _natural(text: str) -> list[Any]:
    """A key that sorts numbers in texts by their value."""
    parts = re.split(r"(\d+)", text)
    return [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _split(
    name: str,
    columns: dict[str, np.ndarray],
    labels: np.ndarray | None,
    class_names: tuple[str, ...],
    seed: int,
) -> Source:
    """A source without a test split of its own."""
    by = np.zeros(len(columns["x"]), int) if labels is None else labels
    parts = [
        (
            {key: array[rows] for key, array in columns.items()},
            None if labels is None else labels[rows],
        )
        for rows in seeded_split(by, seed)
    ]
    return _source(name, parts[0], parts[1], class_names)


def _source(name: str, train: tuple, test: tuple, class_names: tuple[str, ...]) -> Source:
    if train[0]["x"].shape[1] != test[0]["x"].shape[1]:
        raise UserError(
            f"The training vectors of {name!r} have {train[0]['x'].shape[1]} entries, the test "
            f"vectors {test[0]['x'].shape[1]}: one length is needed."
        )
    if not len(train[0]["x"]) or not len(test[0]["x"]):
        raise UserError(f"The source {name!r} has too few vectors for training and testing.")
    num_classes = 0
    if train[1] is not None or test[1] is not None:
        num_classes = check_labels(name, train, test)
    return Source(
        name=name,
        train=ArrayExamples(*train),
        test=ArrayExamples(*test),
        num_classes=num_classes,
        class_names=class_names,
        notices=() if num_classes else ("no labels: probes and heads for the class are off",),
    )
