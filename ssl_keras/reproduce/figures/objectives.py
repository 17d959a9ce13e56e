"""Figures of objectives, data sets, baselines and temperature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ssl_keras.plots import (
    LINEAR,
    METHODS,
    NEIGHBOURS,
    SERIES,
    Rows,
    bars,
    chance,
    curve,
    describe,
    dots,
    name_rows,
    untrained,
    word,
)
from ssl_keras.reproduce.figures.subjects import SUBJECTS


def objectives(axes: Sequence[Any], rows: Rows) -> None:
    """Class and bits, for each objective."""
    ordered = sorted(rows, key=lambda row: row["accuracy"])
    places, names = np.arange(len(ordered)), [word(row["cell"]) for row in ordered]
    dots(axes[0], ordered, "accuracy", places, LINEAR, "linear")
    dots(axes[0], ordered, "knn", places, NEIGHBOURS, "nearest neighbours")
    dots(axes[1], ordered, "bits_all_right", places, SERIES[0], "features")
    dots(axes[1], ordered, "bits_all_right_projections", places, SERIES[2], "projections")
    name_rows(axes[0], places, names)
    name_rows(axes[1], places, [""] * len(names))
    before = np.mean([row["untrained"] for row in rows if row.get("num_bits", 2)])
    untrained(axes[0], float(before), "untrained, linear", upright=True)
    chance(axes[1], 0.25, upright=True)
    describe(axes[0], "class, from the features", "accuracy")
    describe(axes[1], "both bits right, linear", "accuracy")
    axes[0].legend(fontsize=7, loc="upper left")
    axes[1].legend(fontsize=7, loc="center left")


def fashion(axes: Sequence[Any], rows: Rows) -> None:
    """Class, for each objective, against the untrained encoder."""
    ordered = sorted(rows, key=lambda row: row["accuracy"])
    places = np.arange(len(ordered))
    for column, label, style in (
        ("accuracy", "linear", LINEAR),
        ("knn", "nearest neighbours", NEIGHBOURS),
    ):
        dots(axes[0], ordered, column, places, style, label)
        key = "untrained" if column == "accuracy" else "untrained_knn"
        mean = np.mean([row[key] for row in rows])
        axes[0].axvline(mean, color=style.color, linestyle="--")
    name_rows(axes[0], places, [word(row["cell"]) for row in ordered])
    describe(axes[0], "class, from the features (dashed: untrained)", "accuracy")
    axes[0].legend(fontsize=6, handlelength=1, loc="lower right")


def precision(axes: Sequence[Any], rows: Rows) -> None:
    """Class, for each loss and precision."""
    places = np.arange(len(rows))[::-1]
    dots(axes[0], rows, "accuracy", places, LINEAR, "linear")
    dots(axes[0], rows, "knn", places, NEIGHBOURS, "nearest neighbours")
    name_rows(axes[0], places, [word(row["cell"]) for row in rows])
    describe(axes[0], "class, from the features", "accuracy")
    axes[0].legend(fontsize=7)


def data_sets(axes: Sequence[Any], rows: Rows) -> None:
    """Every target of every data set, before and after training."""
    places = np.arange(len(rows))[::-1]
    names = [f"{word(row['cell'])}: {word(row['target'])}" for row in rows]
    for axis, measure, title, shown in (
        (axes[0], "linear", "linear evaluation", names),
        (axes[1], "knn", "nearest neighbours", [""] * len(names)),
    ):
        dots(axis, rows, measure, places + 0.15, METHODS["simclr"], "trained")
        before = METHODS["untrained"]
        dots(axis, rows, f"untrained_{measure}", places - 0.15, before, "untrained")
        marks = {"linestyle": "none", "marker": "|", "markersize": 12, "color": "0.2"}
        axis.plot([row["chance"] for row in rows], places, label="chance", **marks)
        axis.set_xlim(0, 1.02)
        name_rows(axis, places, shown)
        describe(axis, title, "accuracy")
    axes[0].legend(fontsize=7)


def autoencoder(axes: Sequence[Any], rows: Rows) -> None:
    """What can be read from the features, and how much of the input they explain."""
    panels = (
        (
            "class, linear on the features",
            "accuracy",
            {
                "untrained": ("untrained", METHODS["untrained"]),
                "accuracy": ("autoencoder", METHODS["autoencoder"]),
            },
        ),
        (
            "test images, reconstructed",
            "share of the variance explained",
            {"image_explained": ("image", SERIES[0]), "bits_explained": ("bits", SERIES[3])},
        ),
    )
    for axis, (title, measure, columns) in zip(axes, panels, strict=True):
        bars(axis, rows, columns)
        axis.set_xticks(range(len(rows)), [_weighted(row) for row in rows])
        describe(axis, title, y=measure)
        axis.set_ylim(top=1)
        axis.axhline(0, color="0.5", linewidth=0.8)
    chance(axes[0], 0.1)
    axes[0].set_ylim(0, 1)
    for axis in axes:
        axis.legend(fontsize=7, loc="lower left", framealpha=0.9)


def _weighted(row: Any) -> str:
    weight = row.get("extra_channels_weight")
    bits = f"{row['num_bits']} bits"
    return bits if weight is None else f"{bits},\nweight {weight:g}"


def baselines(axes: Sequence[Any], rows: Rows) -> None:
    """Class and information on the bits, for each encoder."""
    panels = (
        ("", "class, linear on the features", "accuracy", None),
        ("_information", "what the features hold of the bits", "information, in bits", 10),
    )
    for axis, (suffix, title, measure, top) in zip(axes, panels, strict=True):
        shown = [row for row in rows if f"simclr{suffix}" in row]
        bars(axis, shown, {f"{s}{suffix}": (word(s), METHODS[s]) for s in SUBJECTS})
        axis.set_xticks(range(len(shown)), [word(row["cell"]) for row in shown])
        describe(axis, title, y=measure)
        if top is not None:
            axis.axhline(top, color="0.2", linewidth=1, label="all there is")
    chance(axes[0], 0.1)
    axes[0].set_ylim(0, 1)
    lines, names = axes[0].get_legend_handles_labels()
    more, others = axes[1].get_legend_handles_labels()
    axes[1].legend([*lines, more[0]], [*names, others[0]], fontsize=7, loc="center right")


def temperature(axes: Sequence[Any], rows: Rows) -> None:
    """Uniformity, tolerance and accuracy over the temperature, beside the published values."""
    panels = (
        ("uniformity", "projections", "−uniformity (higher: spread)"),
        ("tolerance", "projections", "tolerance (cosine within a class)"),
        ("accuracy", "class, linear on the features", "accuracy"),
    )
    for axis, (column, title, measure) in zip(axes, panels, strict=True):
        sign = -1 if column == "uniformity" else 1
        turned = [
            {**row, column: sign * row[column]}
            | ({p: sign * row[p]} if (p := f"{column}_published") in row else {})
            for row in rows
        ]
        for loss, style in (("nt_xent", SERIES[0]), ("hard_contrastive", SERIES[1])):
            members = [row for row in turned if row["loss"] == loss]
            curve(axis, members, "temperature", column, style, word(loss))
            shown = {"linestyle": "none", "marker": "x", "markersize": 5}
            published = f"{word(loss)}, CIFAR-10 (paper)"
            curve(axis, members, "temperature", f"{column}_published", style, published, **shown)
        for loss, line in (("simple", ":"), ("hard_simple", "--")):
            for row in turned:
                if row["loss"] == loss:
                    axis.axhline(row[column], color="0.4", linestyle=line, label=word(loss))
        describe(axis, title, "temperature", measure)
    axes[0].legend(fontsize=6)
