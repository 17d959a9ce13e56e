"""The visual language of all figures: one colour, marker and line for each method.

Colours are those of Okabe and Ito, which colour-blind people tell apart; markers and lines differ
too. matplotlib is imported by the caller.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_keras import files

# Rows of a table: column -> value; COLUMN_sd is the standard deviation over seeds.
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Style:
    """How a method, or a value of a setting, is drawn everywhere."""

    color: str
    marker: str = "o"
    line: str = "-"

    def keywords(self, line: bool = True) -> dict[str, Any]:
        """Arguments of matplotlib's `plot` and `errorbar`."""
        style = self.line if line else "none"
        return {"color": self.color, "marker": self.marker, "linestyle": style}


# The methods and the controls.
METHODS = {
    "untrained": Style("0.65", "s", "--"),
    "simclr": Style("#0072B2", "o"),
    "supervised": Style("#D55E00", "^"),
    "autoencoder": Style("#009E73", "D"),
    "pixels": Style("0.82", "v", "-."),
}
# Names that are more than their letters without underscores.
WORDS = {
    "align_uniform": "alignment, uniformity",
    "barlow_twins": "Barlow Twins",
    "byol": "BYOL",
    "decoupled_nt_xent": "decoupled NT-Xent",
    "fashion_mnist": "Fashion-MNIST",
    "gaussian_prior": "Gaussian prior",
    "ifm": "IFM",
    "ltd": "LTD",
    "moco": "MoCo",
    "n_pair": "N-pair",
    "nt_xent": "NT-Xent",
    "resnet": "ResNet",
    "sgns": "SGNS",
    "simclr": "SimCLR",
    "supcon": "SupCon",
    "vicreg": "VICReg",
}
# How features are read: by a linear classifier, by nearest neighbours, by the online probe.
LINEAR, NEIGHBOURS, PROBE = Style("#0072B2"), Style("#E69F00", "s"), Style("#56B4E9", "^")
# Values of a setting, such as temperatures or losses, in their order.
SERIES = (
    Style("#0072B2", "o", "-"),
    Style("#E69F00", "s", "--"),
    Style("#009E73", "^", "-."),
    Style("#CC79A7", "D", (0, (5, 1))),  # type: ignore[arg-type]
    Style("#56B4E9", "v", (0, (3, 1, 1, 1))),  # type: ignore[arg-type]
    Style("#F0E442", "P", ":"),
    Style("#000000", "X", "-"),
)
CHANCE = {"color": "0.35", "linestyle": ":", "linewidth": 1.2}


def word(name: str) -> str:
    """A name of a loss, a method or a cell in words: "nt_xent-10-bits" is "NT-Xent 10 bits"."""
    return " ".join(WORDS.get(part, part.replace("_", " ")) for part in name.split("-"))


def spread(rows: Rows, column: str) -> list[float] | None:
    """The standard deviations over seeds, for error bars; None for one seed."""
    if not any(f"{column}_sd" in row for row in rows):
        return None
    return [row.get(f"{column}_sd", math.nan) for row in rows]


def curve(
    axis: Any, rows: Rows, x: str, column: str, style: Style, label: str, **changes: Any
) -> None:
    """One line with its spread over seeds: `column` over the setting `x`, where it is known."""
    known = sorted((row for row in rows if column in row), key=lambda row: row[x])
    axis.errorbar(
        [row[x] for row in known],
        [row[column] for row in known],
        spread(known, column),
        label=label,
        **{**style.keywords(), "markersize": 4, "capsize": 2, "linewidth": 1.3, **changes},
    )


def dots(axis: Any, rows: Rows, column: str, places: Any, style: Style, label: str) -> None:
    """One dot a row with the spread over seeds, at the heights `places`."""
    axis.errorbar(
        [row.get(column, math.nan) for row in rows],
        places,
        xerr=spread(rows, column),
        label=label,
        **{**style.keywords(line=False), "markersize": 5, "capsize": 2},
    )


def bars(axis: Any, rows: Rows, columns: Mapping[str, tuple[str, Style]]) -> None:
    """A group of bars a row with the spread over seeds: column -> (label, style)."""
    width = 0.8 / len(columns)
    hatches = ("", "//", "..", "xx", "\\\\")
    for index, (column, (label, style)) in enumerate(columns.items()):
        axis.bar(
            [place + (index - (len(columns) - 1) / 2) * width for place in range(len(rows))],
            [row.get(column, math.nan) for row in rows],
            width,
            yerr=spread(rows, column),
            color=style.color,
            hatch=hatches[index % len(hatches)],
            edgecolor="white",
            linewidth=0,
            error_kw={"linewidth": 1},
            label=label,
        )


def chance(axis: Any, value: float, *, upright: bool = False) -> None:
    """A line at the chance level."""
    (axis.axvline if upright else axis.axhline)(value, label="chance", **CHANCE)


def chance_over(axis: Any, rows: Rows, x: str, column: str) -> None:
    """A line at a chance level that depends on the setting `x`, in `column`."""
    ordered = sorted(rows, key=lambda row: row[x])
    axis.plot(
        [row[x] for row in ordered], [row[column] for row in ordered], label="chance", **CHANCE
    )


def untrained(axis: Any, value: float, label: str = "untrained", *, upright: bool = False) -> None:
    """A line at what the encoder reaches before training."""
    style = METHODS["untrained"]
    draw = axis.axvline if upright else axis.axhline
    draw(value, color=style.color, linestyle=style.line, linewidth=1.3, label=label)


def name_rows(axis: Any, places: Iterable[float], names: Sequence[str]) -> None:
    """The names of rows at the left."""
    axis.set_yticks(places, names, fontsize=8)
    axis.grid(axis="y", alpha=0.3)


def describe(axis: Any, title: str, x: str = "", y: str = "") -> None:
    """The title of a panel, and what its axes show, with units."""
    axis.set_title(title, fontsize=9)
    axis.set_xlabel(x, fontsize=9)
    axis.set_ylabel(y, fontsize=9)
    axis.tick_params(labelsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def finish(figure: Any, rows: Rows, accuracy: str = "accuracy") -> None:
    """Say below the figure what its error bars are, and beside an axis of accuracies that it does
    not begin at 0."""
    for axis in figure.axes:
        for get_label, set_label, limits in (
            (axis.get_xlabel, axis.set_xlabel, axis.get_xlim),
            (axis.get_ylabel, axis.set_ylabel, axis.get_ylim),
        ):
            if get_label().startswith(accuracy) and limits()[0] > 0.02:
                set_label(f"{get_label()}\n(does not begin at 0)")
        if axis.get_legend() is not None:
            axis.get_legend().get_frame().set_alpha(0.7)
    seeds = sorted({row.get("seeds", 1) for row in rows})
    text = "One seed: no error bars."
    if any(name.endswith("_sd") for row in rows for name in row):
        number = seeds[0] if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
        text = f"Means over {number} seeds; error bars: ± one standard deviation."
    figure.tight_layout(rect=(0, 0.05, 1, 1))
    figure.text(0.01, 0.01, text, fontsize=7, color="0.3")


def write(figure: Any, path: Path, **options: Any) -> None:
    """Write a figure, or leave what was there.

    Args:
        figure: of matplotlib.
        path: its suffix says the format.
        options: of `Figure.savefig`.
    """
    with files.whole_file(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], **options)
