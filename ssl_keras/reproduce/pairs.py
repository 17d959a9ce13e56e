"""Rows that belong together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Blocks of an encoder, of which a study may have fewer.
BLOCKS = (1, 2, 3, 4)


def blocks(row: Mapping[str, Any]) -> list[int]:
    """The blocks that a row of local features has."""
    return [block for block in BLOCKS if f"trained_{block}" in row]


def digit_and_rival(rows: Sequence[Any]) -> tuple[int, list[dict[str, Any]]]:
    """A digit of one size and its rival, whichever of the two is smaller: the side of the digit,
    with which all `digit_sizes` begin, and the rows that have `digit_sizes`.

    A row gets "rival", the side of the other digit, or 0 for a digit alone. SUBJECT_small_digit and
    SUBJECT_large_digit are repeated as SUBJECT_digit and SUBJECT_rival. The rows are ordered by
    "rival".
    """
    chosen = [row for row in rows if "digit_sizes" in row]
    sizes = [tuple(map(int, row["digit_sizes"].split(","))) for row in chosen]
    (side,) = {first for first, *_ in sizes}
    pairs = []
    for row, (_, *others) in zip(chosen, sizes, strict=True):
        rival = max(others, default=0)
        kinds = ("small", "large") if rival > side else ("large", "small")
        renamed = {
            column.replace(f"{kind}_digit", role): value
            for kind, role in zip(kinds, ("digit", "rival"), strict=True)
            for column, value in row.items()
            if f"_{kind}_digit" in column
        }
        pairs.append({**row, **renamed, "rival": rival})
    return side, sorted(pairs, key=lambda row: row["rival"])


def few_and_many(rows: Sequence[Any]) -> Iterator[tuple[str, Any, Any]]:
    """(variant, its row with the fewest different digits, its row with the most), where cells have
    names VARIANT-COUNT-digits."""
    variants: dict[str, list[Any]] = {}
    for row in rows:
        variants.setdefault(row["cell"].rsplit("-", 2)[0], []).append(row)
    for variant, members in variants.items():
        ordered = sorted(members, key=lambda row: row["num_unique_digits"])
        yield variant, ordered[0], ordered[-1]


def with_remedy_and_rival(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows of a study of remedies with the two parts of their cell, REMEDY-RIVAL."""
    parts = [row["cell"].split("-", 1) for row in rows]
    return [
        {**row, "remedy": remedy, "rival": rival}
        for row, (remedy, rival) in zip(rows, parts, strict=True)
    ]
