"""Figures of objectives, data sets, baselines and temperature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ssl_keras.reproduce.figures.drawing import (
    SUBJECTS,
    Rows,
    bars,
    dots,
    name_rows,
    spread,
)


def objectives(axes: Sequence[Any], rows: Rows) -> None:
    """Class and bits, for each objective."""
    ordered = sorted(rows, key=lambda row: row["accuracy"])
    places, names = np.arange(len(ordered)), [row["cell"] for row in ordered]
    dots(axes[0], ordered, "accuracy", places, "tab:blue", "linear")
    dots(axes[0], ordered, "knn", places, "tab:orange", "nearest neighbours")
    dots(axes[1], ordered, "bits_all_right", places, "tab:blue", "features")
    dots(axes[1], ordered, "bits_all_right_projections", places, "tab:orange", "projections")
    name_rows(axes[0], places, names, "class on the features")
    name_rows(axes[1], places, [""] * len(names), "both bits right, linear")
    untrained = np.mean([row["untrained"] for row in rows if row.get("num_bits", 2)])
    axes[0].axvline(untrained, color="0.5", linestyle="--", label="untrained, linear")
    axes[1].axvline(0.25, color="0.5", linestyle=":", label="chance")
    axes[0].legend(fontsize=7, loc="upper left")
    axes[1].legend(fontsize=7, loc="center left")


def fashion(axes: Sequence[Any], rows: Rows) -> None:
    """Class, for each objective, against the untrained encoder."""
    ordered = sorted(rows, key=lambda row: row["accuracy"])
    places = np.arange(len(ordered))
    for column, label, color in (
        ("accuracy", "linear", "tab:blue"),
        ("knn", "nearest neighbours", "tab:orange"),
    ):
        dots(axes[0], ordered, column, places, color, label)
        key = "untrained" if column == "accuracy" else "untrained_knn"
        mean = np.mean([row[key] for row in rows])
        axes[0].axvline(mean, color=color, linestyle="--", label=f"untrained, {mean:.3f}")
    name_rows(axes[0], places, [row["cell"] for row in ordered], "class on the features")
    axes[0].legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.4, -0.08), ncols=2)


def precision(axes: Sequence[Any], rows: Rows) -> None:
    """Class, for each loss and precision."""
    places = np.arange(len(rows))[::-1]
    dots(axes[0], rows, "accuracy", places, "tab:blue", "linear")
    dots(axes[0], rows, "knn", places, "tab:orange", "nearest neighbours")
    name_rows(axes[0], places, [row["cell"] for row in rows], "class on the features")
    axes[0].legend(fontsize=7)


def data_sets(axes: Sequence[Any], rows: Rows) -> None:
    """Every target of every data set, before and after training."""
    places = np.arange(len(rows))[::-1]
    names = [f"{row['cell']}: {row['target']}" for row in rows]
    for axis, measure, title, shown in (
        (axes[0], "linear", "linear evaluation", names),
        (axes[1], "knn", "nearest neighbours", [""] * len(names)),
    ):
        dots(axis, rows, measure, places + 0.15, "tab:blue", "trained")
        dots(axis, rows, f"untrained_{measure}", places - 0.15, "0.6", "untrained")
        marks = {"linestyle": "none", "marker": "|", "markersize": 12, "color": "tab:red"}
        axis.plot([row["chance"] for row in rows], places, label="chance", **marks)
        axis.set_xlim(0, 1.02)
        name_rows(axis, places, shown, title)
    axes[0].legend(fontsize=7)


def autoencoder(axes: Sequence[Any], rows: Rows) -> None:
    """What can be read from the features, and how much of the input they explain."""
    panels = (
        (
            "class, linear on the features",
            {"accuracy": ("autoencoder", "tab:orange"), "untrained": ("untrained", "0.7")},
        ),
        (
            "share of the test images explained",
            {
                "image_explained": ("image", "tab:blue"),
                "bits_explained": ("bits", "tab:purple"),
            },
        ),
    )
    for axis, (title, columns) in zip(axes, panels, strict=True):
        bars(axis, rows, columns)
        axis.set_xticks(range(len(rows)), [_weighted(row) for row in rows], fontsize=8)
        axis.set_title(title, fontsize=9)
        axis.set_ylim(top=1)
        axis.axhline(0, color="0.5", linewidth=0.8)
        axis.legend(fontsize=7, loc="lower left", framealpha=0.9)
    axes[0].axhline(0.1, color="tab:red", linestyle=":")
    axes[0].set_ylim(0, 1)


def _weighted(row: Any) -> str:
    weight = row.get("extra_channels_weight")
    bits = f"{row['num_bits']} bits"
    return bits if weight is None else f"{bits},\nweight {weight:g}"


def baselines(axes: Sequence[Any], rows: Rows) -> None:
    """Class and information on the bits, for each encoder."""
    panels = (
        ("", "class, linear on the features", None),
        ("_information", "information on the bits, in bits", 10),
    )
    colors = ("0.7", "tab:blue", "tab:green", "tab:orange")
    for axis, (suffix, title, top) in zip(axes, panels, strict=True):
        colored = zip(SUBJECTS, colors, strict=True)
        bars(axis, rows, {f"{subject}{suffix}": (subject, color) for subject, color in colored})
        axis.set_xticks(range(len(rows)), [row["cell"] for row in rows])
        axis.set_title(title, fontsize=9)
        if top is not None:
            axis.axhline(top, color="0.5", linestyle=":")
    axes[0].axhline(0.1, color="tab:red", linestyle=":", label="chance")
    axes[0].set_ylim(0, 1)
    axes[1].legend(*axes[0].get_legend_handles_labels(), fontsize=7, loc="upper left")


def temperature(axes: Sequence[Any], rows: Rows) -> None:
    """Uniformity, tolerance and accuracy over the temperature, beside the published values."""
    panels = (
        ("uniformity", "−uniformity of the projections"),
        ("tolerance", "tolerance of the projections"),
        ("accuracy", "class, linear on the features"),
    )
    for axis, (column, label) in zip(axes, panels, strict=True):
        sign = -1 if column == "uniformity" else 1
        for loss, color in (("nt_xent", "tab:blue"), ("hard_contrastive", "tab:orange")):
            members = [row for row in rows if row["loss"] == loss]
            axis.errorbar(
                [row["temperature"] for row in members],
                [sign * row[column] for row in members],
                spread(members, column),
                color=color,
                marker="o",
                markersize=3,
                capsize=2,
                label=loss,
            )
            published = [row for row in members if f"{column}_published" in row]
            axis.plot(
                [row["temperature"] for row in published],
                [sign * row[f"{column}_published"] for row in published],
                color=color,
                linestyle="none",
                marker="x",
                markersize=5,
                alpha=0.5,
                label=f"{loss}, CIFAR-10 (paper)",
            )
        for loss, style in (("simple", ":"), ("hard_simple", "--")):
            for row in rows:
                if row["loss"] == loss:
                    axis.axhline(sign * row[column], color="0.5", linestyle=style, label=loss)
        axis.set_xlabel("temperature")
        axis.set_title(label, fontsize=9)
    axes[0].legend(fontsize=7)
