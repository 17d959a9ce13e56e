"""Figures of the three properties: losses, competing features, local features."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ssl_keras.reproduce.figures.drawing import (
    COLORS,
    SUBJECTS,
    Rows,
    chance,
    chance_over,
    curve,
    dots,
    name_rows,
)
from ssl_keras.reproduce.pairs import digit_and_rival, few_and_many


def randbit(axes: Sequence[Any], rows: Rows) -> None:
    """Class over bits for each temperature, beside the notebook's; what is known of the bits."""
    temperatures = sorted({row["temperature"] for row in rows})
    for temperature, color in zip(temperatures, COLORS, strict=False):
        members = [row for row in rows if row["temperature"] == temperature]
        name = f"temperature {temperature:g}"
        curve(axes[0], members, "num_bits", "online", color, name)
        shown = {"linestyle": "none", "marker": "x", "markersize": 6}
        curve(axes[0], members, "num_bits", "online_published", color, "", **shown)
        curve(axes[1], members, "num_bits", "linear", color, name)
        curve(axes[2], members, "num_bits", "information", color, name)
    first = [row for row in rows if row["temperature"] == temperatures[0]]
    curve(axes[1], first, "num_bits", "untrained", "0.6", "untrained", linestyle="--")
    bits = sorted({row["num_bits"] for row in rows})
    axes[2].plot(bits, bits, color="0.8", linewidth=4, zorder=0, label="all there is")
    titles = (
        "class, online probe (x: the notebook)",
        "class, linear on the features",
        "information on the bits, in bits",
    )
    for axis, title in zip(axes, titles, strict=True):
        axis.set_xlabel("random bits")
        axis.set_title(title, fontsize=9)
    for axis in axes[:2]:
        chance(axis)
        axis.set_ylim(0, 1)
    for axis in axes:
        axis.legend(fontsize=7)


def randbit_fashion(axes: Sequence[Any], rows: Rows) -> None:
    """Class over bits on Fashion-MNIST."""
    curve(axes[0], rows, "num_bits", "online", "tab:blue", "online probe")
    curve(axes[0], rows, "num_bits", "knn", "tab:orange", "nearest neighbours")
    curve(
        axes[0], rows, "num_bits", "untrained_knn", "0.6", "untrained, neighbours", linestyle="--"
    )
    chance(axes[0])
    axes[0].set_ylim(0, 1)
    axes[0].set_xlabel("random bits")
    axes[0].set_title("class, 60,000 images, temperature 0.05", fontsize=9)
    axes[0].legend(fontsize=7)


def randbit_factors(axes: Sequence[Any], rows: Rows) -> None:
    """Class over bits, by batch size, width, loss and method."""
    middle = [row for row in rows if "supervised" in row]
    titles = {"loss": "loss", "batch_size": "batch size", "width_multiplier": "width"}
    for axis, (setting, title) in zip(axes, titles.items(), strict=False):
        others = [name for name in titles if name != setting]
        members = [row for row in rows if all(row[name] == middle[0][name] for name in others)]
        values = list(dict.fromkeys(row[setting] for row in members))
        for value, color in zip(values, COLORS, strict=False):
            line = [row for row in members if row[setting] == value]
            text = f"{value:g}" if isinstance(value, float | int) else value
            curve(axis, line, "num_bits", "accuracy", color, text)
            if setting == "width_multiplier":  # the encoder of this width before training
                curve(axis, line, "num_bits", "untrained", color, "", linestyle="--")
        axis.set_title(f"class, by {title}", fontsize=9)
    for (column, text), color in zip(
        {"accuracy": "SimCLR", "supervised": "supervised", "autoencoder": "autoencoder"}.items(),
        COLORS,
        strict=False,
    ):
        curve(axes[3], middle, "num_bits", column, color, text)
    axes[3].set_title("class, by method", fontsize=9)
    for axis in axes:
        if axis is axes[2]:
            axis.plot([], [], color="0.6", linestyle="--", label="untrained, each")
        else:
            curve(axis, middle, "num_bits", "untrained", "0.6", "untrained", linestyle="--")
        chance(axis)
        axis.set_ylim(0, 1)
        axis.set_xlabel("random bits")
        axis.legend(fontsize=6)


def losses(axes: Sequence[Any], rows: Rows) -> None:
    """Class over the depth of the head for each loss; a panel for each batch size."""
    batches = sorted({row["batch_size"] for row in rows})
    for axis, batch in zip(axes, batches, strict=False):
        members = [row for row in rows if row["batch_size"] == batch]
        for loss, color in zip(dict.fromkeys(row["loss"] for row in members), COLORS, strict=False):
            line = [row for row in members if row["loss"] == loss]
            curve(axis, line, "projection_layers", "accuracy", color, loss)
        axis.axhline(
            np.mean([row["untrained"] for row in members]), color="0.5", linestyle="--",
            label="untrained",
        )  # fmt: skip
        axis.set_xticks(sorted({row["projection_layers"] for row in members}))
        axis.set_xlabel("layers of the projection head")
        axis.set_title(f"class, linear, batch {batch} (chance 0.1)", fontsize=9)
    axes[0].legend(fontsize=7)
    if len(batches) > 1:
        axes[1].sharey(axes[0])


def lambda_temperature(axes: Sequence[Any], rows: Rows) -> None:
    """Class over weight and temperature: as a map, and as one curve for each temperature."""
    weights = sorted({row["distribution_weight"] for row in rows})
    temperatures = sorted({row["temperature"] for row in rows})
    table = {(row["distribution_weight"], row["temperature"]): row["accuracy"] for row in rows}
    values = [[table.get((weight, t), math.nan) for weight in weights] for t in temperatures]
    axes[0].imshow(values, origin="lower", cmap="viridis", aspect="auto")
    for line, row in enumerate(values):
        for column, value in enumerate(row):
            best = value == np.nanmax(row)
            light = value > (np.nanmin(values) + np.nanmax(values)) / 2
            axes[0].text(
                column, line, f"{value:.3f}", ha="center", va="center", fontsize=7,
                color="black" if light else "white", fontweight="bold" if best else "normal",
            )  # fmt: skip
    axes[0].set_xticks(range(len(weights)), [f"{weight:g}" for weight in weights])
    axes[0].set_yticks(range(len(temperatures)), [f"{t:g}" for t in temperatures])
    axes[0].set_xlabel("distribution weight (alignment carries 1/64)")
    axes[0].set_ylabel("temperature")
    axes[0].set_title("class, linear (chance 0.1); bold: best of its row", fontsize=9)
    for t, color in zip(temperatures, COLORS, strict=False):
        members = [row for row in rows if row["temperature"] == t]
        curve(axes[1], members, "distribution_weight", "accuracy", color, f"temperature {t:g}")
    untrained = np.mean([row["untrained"] for row in rows])
    axes[1].axhline(untrained, color="0.5", linestyle="--", label="untrained")
    axes[1].set_xscale("log")
    axes[1].set_xlabel("distribution weight")
    axes[1].legend(fontsize=7)


def overlay(axes: Sequence[Any], rows: Rows) -> None:
    """What is read of the photograph and of the digit, over the number of different digits."""
    for axis, (target, title) in zip(
        axes, (("class", "photograph, linear"), ("digit", "digit, linear")), strict=True
    ):
        for subject, color in zip(SUBJECTS, ("0.6", *COLORS), strict=False):
            curve(axis, rows, "num_unique_digits", f"{subject}_{target}", color, subject)
        axis.set_xscale("log")
        axis.set_xlabel("different digit images")
        axis.set_title(title, fontsize=9)
        axis.set_ylim(0, 1)
        chance_over(axis, rows, "num_unique_digits", f"chance_{target}")
    axes[0].legend(fontsize=7)


def overlay_causes(axes: Sequence[Any], rows: Rows) -> None:
    """What is read of either with few and with many different digits, for each variant."""
    variants: list[Any] = list(few_and_many(rows))[::-1]
    places = np.arange(len(variants))
    for axis, (target, title) in zip(
        axes, (("class", "what lies below, linear"), ("digit", "digit, linear")), strict=True
    ):
        few, many = ([pair[index] for pair in variants] for index in (1, 2))
        column = f"simclr_{target}"
        for members, up, color in ((few, 0.12, COLORS[0]), (many, -0.12, COLORS[1])):
            count = members[0]["num_unique_digits"]
            dots(axis, members, column, places + up, color, f"{count} different digits")
        untrained = [row[f"untrained_{target}"] for row in few]
        axis.scatter(untrained, places, marker="|", color="0.5", label="untrained")
        axis.axvline(0.1, color="0.5", linestyle=":", linewidth=1, label="chance")
        names = [variant.replace("-", " ") for variant, _, _ in variants]
        name_rows(axis, places, names if target == "class" else [""] * len(names), title)
    axes[0].legend(fontsize=7)


def multi_digit(axes: Sequence[Any], rows: Rows) -> None:
    """A digit and its rival over the size of that; presence of several over their number."""
    side, pairs = digit_and_rival(rows)
    shown = (("untrained", "0.6"), ("simclr", COLORS[0]), ("supervised", COLORS[1]))
    for role, style in (("digit", "-"), ("rival", "--")):
        for subject, color in shown:
            name = f"{subject}, {'the digit' if role == 'digit' else 'its rival'}"
            curve(axes[0], pairs, "rival", f"{subject}_{role}", color, name, linestyle=style)
    axes[0].axvline(side, color="0.8", linewidth=1)
    axes[0].set_xlabel(f"side of the rival of a digit of {side} pixels")
    axes[0].set_title("each digit, linear (supervised: on labels of the digit)", fontsize=9)
    chance(axes[0])
    several = [row for row in rows if "num_digits" in row]
    for subject, color in shown:
        curve(axes[1], several, "num_digits", f"{subject}_presence", color, subject)
    chance_over(axes[1], several, "num_digits", "chance_presence")
    axes[1].set_xlabel("digits on the grid")
    axes[1].set_title("which digits are there, linear, mean of ten", fontsize=9)
    axes[0].set_ylim(0, 1.3)  # room for the legend
    axes[0].set_yticks(np.arange(0, 1.01, 0.2))
    axes[0].legend(fontsize=6, ncols=2, loc="upper center")
    axes[1].legend(fontsize=6)


def local_features(axes: Sequence[Any], rows: Rows) -> None:
    """Balanced accuracy of the digit at a location, by block; a panel for each data set."""
    for axis, row in zip(axes, rows, strict=True):
        blocks = [block for block in (1, 2, 3) if f"trained_{block}" in row]
        for name, color in zip(
            ("pixels", "untrained", "trained", "supervised"),
            ("0.7", "0.4", *COLORS),
            strict=False,
        ):
            line = [
                {"block": block} | {k.replace(f"{name}_{block}", name): v for k, v in row.items()}
                for block in blocks
            ]
            curve(axis, line, "block", name, color, name)
        chance(axis, 1 / 11)
        axis.set_xticks(blocks)
        axis.set_xlabel("block")
        axis.set_title(f"{row['cell']}: digit at a location, balanced", fontsize=9)
    axes[0].legend(fontsize=7)


def views(axes: Sequence[Any], rows: Rows) -> None:
    """Class without bits and beside ten, for each combination of views."""
    names = list(dict.fromkeys(row["cell"].rsplit("-", 2)[0] for row in rows))[::-1]
    places = np.arange(len(names))
    for axis, bits in zip(axes, (0, 10), strict=True):
        members = {row["cell"].rsplit("-", 2)[0]: row for row in rows if row["num_bits"] == bits}
        ordered = [members.get(name, {}) for name in names]
        dots(axis, ordered, "accuracy", places, COLORS[0], "class, linear")
        untrained = np.mean([row["untrained"] for row in members.values()])
        axis.axvline(untrained, color="0.5", linestyle="--", label="untrained")
        axis.axvline(0.1, color="0.5", linestyle=":", label="chance")
        axis.set_xlim(0, 1)
        axis.set_ylim(-0.5, len(names) - 0.5)
        name_rows(axis, places, names if not bits else [""] * len(names), f"{bits} bits")
    axes[0].legend(fontsize=7, loc="lower left")


def grids(axes: Sequence[Any], rows: Rows) -> None:
    """Class over tau_plus, over beta, and over the weights of alignment and uniformity."""
    for axis, loss, setting in (
        (axes[0], "debiased", "tau_plus"),
        (axes[1], "hard_negative", "beta"),
    ):
        members = [row for row in rows if row["loss"] == loss]
        curve(axis, members, setting, "accuracy", COLORS[0], "linear")
        curve(axis, members, setting, "knn", COLORS[1], "nearest neighbours")
        axis.set_xlabel(setting)
        axis.set_title(f"class, {loss} (chance 0.1)", fontsize=9)
    members = [row for row in rows if row["loss"] == "align_uniform"]
    for t, color in zip(sorted({row["t"] for row in members}), COLORS, strict=False):
        line = [row for row in members if row["t"] == t]
        curve(axes[2], line, "alignment_weight", "accuracy", color, f"t = {t:g}")
    axes[2].set_xscale("log")
    axes[2].set_xlabel("alignment weight (uniformity 1)")
    axes[2].set_title("class, linear, align_uniform (chance 0.1)", fontsize=9)
    untrained = np.mean([row["untrained"] for row in rows])
    for axis in axes:
        axis.axhline(untrained, color="0.5", linestyle="--", label="untrained, linear")
        axis.legend(fontsize=7)
