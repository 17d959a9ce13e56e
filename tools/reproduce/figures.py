"""The figures of the experiments: (axes, rows of `Experiment.summary`) -> None."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Rows = Sequence[Any]

# The encoders that a run with both baselines compares -> what stands before their measures.
SUBJECTS = {
    "untrained": "random_encoder/",
    "simclr": "",
    "supervised": "supervised/",
    "autoencoder": "autoencoder/",
}


def dots(axis: Any, rows: Rows, column: str, places: Any, color: str, label: str) -> None:
    """One dot a row with the spread over seeds, at the heights `places`."""
    axis.errorbar(
        [row.get(column, math.nan) for row in rows],
        places,
        xerr=[row.get(f"{column}_sd", 0.0) for row in rows],
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
            yerr=[row.get(f"{column}_sd", 0.0) for row in rows],
            color=color,
            error_kw={"linewidth": 1},
            label=label,
        )


def names_of(axis: Any, places: Any, names: Sequence[str], title: str) -> None:
    """Name the rows at the left, and the panel."""
    axis.set_yticks(places, names, fontsize=8)
    axis.grid(axis="y", alpha=0.3)
    axis.set_title(title, fontsize=9)


def objectives(axes: Sequence[Any], rows: Rows) -> None:
    """Class and bits, for each objective."""
    ordered = sorted(rows, key=lambda row: row["accuracy"])
    places, names = np.arange(len(ordered)), [row["cell"] for row in ordered]
    dots(axes[0], ordered, "accuracy", places, "tab:blue", "linear")
    dots(axes[0], ordered, "knn", places, "tab:orange", "nearest neighbours")
    dots(axes[1], ordered, "bits_all_right", places, "tab:blue", "features")
    dots(axes[1], ordered, "bits_all_right_projections", places, "tab:orange", "projections")
    names_of(axes[0], places, names, "class on the features")
    names_of(axes[1], places, [""] * len(names), "both bits right, linear")
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
    names_of(axes[0], places, [row["cell"] for row in ordered], "class on the features")
    axes[0].legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.4, -0.08), ncols=2)


def data_sets(axes: Sequence[Any], rows: Rows) -> None:
    """Every feature of every data set, before and after training."""
    places = np.arange(len(rows))[::-1]
    names = [f"{row['cell']}: {row['feature']}" for row in rows]
    for axis, measure, title, shown in (
        (axes[0], "linear", "linear evaluation", names),
        (axes[1], "knn", "nearest neighbours", [""] * len(names)),
    ):
        dots(axis, rows, measure, places + 0.15, "tab:blue", "trained")
        dots(axis, rows, f"untrained_{measure}", places - 0.15, "0.6", "untrained")
        marks = {"linestyle": "none", "marker": "|", "markersize": 12, "color": "tab:red"}
        axis.plot([row["chance"] for row in rows], places, label="chance", **marks)
        axis.set_xlim(0, 1.02)
        names_of(axis, places, shown, title)
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
                "planes_explained": ("planes of the bits", "tab:purple"),
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
    weight = row.get("planes_weight")
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
            own = [row for row in rows if row["loss"] == loss]
            axis.errorbar(
                [row["temperature"] for row in own],
                [sign * row[column] for row in own],
                [row.get(f"{column}_sd", 0.0) for row in own],
                color=color,
                marker="o",
                markersize=3,
                capsize=2,
                label=loss,
            )
            published = [row for row in own if f"{column}_published" in row]
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
            value = next(row[column] for row in rows if row["loss"] == loss)
            axis.axhline(sign * value, color="0.5", linestyle=style, label=loss)
        axis.set_xlabel("temperature")
        axis.set_title(label, fontsize=9)
    axes[0].legend(fontsize=7)


COLORS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple", "tab:brown", "tab:pink")


def curve(axis: Any, rows: Rows, x: str, column: str, color: str, label: str, **style: Any) -> None:
    """One line with its spread over seeds: `column` over the setting `x`, where it is known."""
    own = sorted((row for row in rows if column in row), key=lambda row: row[x])
    axis.errorbar(
        [row[x] for row in own],
        [row[column] for row in own],
        [row.get(f"{column}_sd", 0.0) for row in own],
        color=color,
        label=label,
        **{"marker": "o", "markersize": 3, "capsize": 2, **style},
    )


def chance(axis: Any, value: float = 0.1) -> None:
    """The line of who knows nothing."""
    axis.axhline(value, color="0.5", linestyle=":", linewidth=1, label="chance")


def randbit(axes: Sequence[Any], rows: Rows) -> None:
    """Class over bits for each temperature, beside the notebook's; what is known of the bits."""
    temperatures = sorted({row["temperature"] for row in rows})
    for temperature, color in zip(temperatures, COLORS, strict=False):
        own = [row for row in rows if row["temperature"] == temperature]
        name = f"temperature {temperature:g}"
        curve(axes[0], own, "num_bits", "online", color, name)
        shown = {"linestyle": "none", "marker": "x", "markersize": 6}
        curve(axes[0], own, "num_bits", "online_published", color, "", **shown)
        curve(axes[1], own, "num_bits", "linear", color, name)
        curve(axes[2], own, "num_bits", "information", color, name)
    first = [row for row in rows if row["temperature"] == temperatures[0]]
    curve(axes[1], first, "num_bits", "untrained", "0.6", "untrained", linestyle="--")
    bits = sorted({row["num_bits"] for row in rows})
    axes[2].plot(bits, bits, color="0.5", linestyle=":", label="all there is")
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
    axes[1].legend(fontsize=7)


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
        own = [row for row in rows if all(row[name] == middle[0][name] for name in others)]
        values = list(dict.fromkeys(row[setting] for row in own))
        for value, color in zip(values, COLORS, strict=False):
            of_value = [row for row in own if row[setting] == value]
            text = f"{value:g}" if isinstance(value, float | int) else value
            curve(axis, of_value, "num_bits", "accuracy", color, text)
        axis.set_title(f"class, by {title}", fontsize=9)
    for (column, text), color in zip(
        {"accuracy": "SimCLR", "supervised": "supervised", "autoencoder": "autoencoder"}.items(),
        COLORS,
        strict=False,
    ):
        curve(axes[3], middle, "num_bits", column, color, text)
    axes[3].set_title("class, by method", fontsize=9)
    for axis in axes:
        curve(axis, middle, "num_bits", "untrained", "0.6", "untrained", linestyle="--")
        chance(axis)
        axis.set_ylim(0, 1)
        axis.set_xlabel("random bits")
        axis.legend(fontsize=6)


def losses(axes: Sequence[Any], rows: Rows) -> None:
    """Class over the depth of the head for each loss; a panel for each batch size."""
    batches = sorted({row["batch_size"] for row in rows})
    for axis, batch in zip(axes, batches, strict=False):
        own = [row for row in rows if row["batch_size"] == batch]
        for loss, color in zip(dict.fromkeys(row["loss"] for row in own), COLORS, strict=False):
            of_loss = [row for row in own if row["loss"] == loss]
            curve(axis, of_loss, "projection_layers", "accuracy", color, loss)
        axis.axhline(
            np.mean([row["untrained"] for row in own]), color="0.5", linestyle="--",
            label="untrained",
        )  # fmt: skip
        axis.set_xlabel("layers of the projection head")
        axis.set_title(f"class, linear, batch {batch}", fontsize=9)
    axes[0].legend(fontsize=7)
    if len(batches) > 1:
        axes[1].sharey(axes[0])


def lambda_temperature(axes: Sequence[Any], rows: Rows) -> None:
    """Class over weight and temperature: as a map, and as one curve for each temperature."""
    weights = sorted({row["distribution_weight"] for row in rows})
    temperatures = sorted({row["temperature"] for row in rows})
    table = {(row["distribution_weight"], row["temperature"]): row["accuracy"] for row in rows}
    values = [[table[weight, t] for weight in weights] for t in temperatures]
    axes[0].imshow(values, origin="lower", cmap="viridis", aspect="auto")
    for line, row in enumerate(values):
        for column, value in enumerate(row):
            best = value == max(row)
            weight = "bold" if best else "normal"
            axes[0].text(
                column, line, f"{value:.3f}", ha="center", va="center", fontsize=7, color="white",
                fontweight=weight,
            )  # fmt: skip
    axes[0].set_xticks(range(len(weights)), [f"{weight:g}" for weight in weights])
    axes[0].set_yticks(range(len(temperatures)), [f"{t:g}" for t in temperatures])
    axes[0].set_xlabel("distribution weight (alignment carries 1/64)")
    axes[0].set_ylabel("temperature")
    axes[0].set_title("class, linear; bold: best of its temperature", fontsize=9)
    for t, color in zip(temperatures, COLORS, strict=False):
        own = [row for row in rows if row["temperature"] == t]
        curve(axes[1], own, "distribution_weight", "accuracy", color, f"temperature {t:g}")
    axes[1].set_xscale("log")
    axes[1].set_xlabel("distribution weight")
    axes[1].legend(fontsize=7)
