"""Curves, dots and bars with their spread over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Rows = Sequence[Any]


def spread(rows: Rows, column: str) -> list[float] | None:
    """The standard deviations over seeds, for error bars; None for one seed."""
    if not any(f"{column}_sd" in row for row in rows):
        return None
    return [row.get(f"{column}_sd", math.nan) for row in rows]


def dots(axis: Any, rows: Rows, column: str, places: Any, color: str, label: str) -> None:
    """One dot a row with the spread over seeds, at the heights `places`."""
    axis.errorbar(
        [row.get(column, math.nan) for row in rows],
        places,
        xerr=spread(rows, column),
        linestyle="none",
        marker="o",
        markersize=4,
        capsize=2,
        color=color,
        label=label,
    )


def bars(axis: Any, rows: Rows, columns: Mapping[str, tuple[str, str]]) -> None:
    """A group of bars a row with the spread over seeds: column -> (label, color)."""
    width = 0.8 / len(columns)
    for index, (column, (label, color)) in enumerate(columns.items()):
        axis.bar(
            np.arange(len(rows)) + (index - (len(columns) - 1) / 2) * width,
            [row.get(column, math.nan) for row in rows],
            width,
            yerr=spread(rows, column),
            color=color,
            error_kw={"linewidth": 1},
            label=label,
        )


def name_rows(axis: Any, places: Any, names: Sequence[str], title: str) -> None:
    """The names of rows at the left, and the title of the panel."""
    axis.set_yticks(places, names, fontsize=8)
    axis.grid(axis="y", alpha=0.3)
    axis.set_title(title, fontsize=9)


# The encoders in a run with both baselines -> the prefix of their measures.
SUBJECTS = {
    "untrained": "untrained/",
    "simclr": "",
    "supervised": "supervised/",
    "autoencoder": "autoencoder/",
}

COLORS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown", "tab:pink")


def curve(axis: Any, rows: Rows, x: str, column: str, color: str, label: str, **style: Any) -> None:
    """One line with its spread over seeds: `column` over the setting `x`, where it is known."""
    known = sorted((row for row in rows if column in row), key=lambda row: row[x])
    axis.errorbar(
        [row[x] for row in known],
        [row[column] for row in known],
        spread(known, column),
        color=color,
        label=label,
        **{"marker": "o", "markersize": 3, "capsize": 2, **style},
    )


def chance(axis: Any, value: float = 0.1) -> None:
    """A line at the chance level."""
    axis.axhline(value, color="0.5", linestyle=":", linewidth=1, label="chance")


def chance_over(axis: Any, rows: Rows, x: str, column: str) -> None:
    """A line at a chance level that depends on the setting `x`, in `column`."""
    ordered = sorted(rows, key=lambda row: row[x])
    places = [row[x] for row in ordered]
    axis.plot(places, [row[column] for row in ordered], color="0.5", linestyle=":", label="chance")
