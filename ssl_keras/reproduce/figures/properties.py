"""Figures of the three properties: losses, competing features, local features."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ssl_keras.metrics import mean_classifier_bound
from ssl_keras.plots import (
    LINEAR,
    METHODS,
    NEIGHBOURS,
    PROBE,
    SERIES,
    Rows,
    Style,
    chance,
    chance_over,
    curve,
    describe,
    dots,
    name_rows,
    untrained,
    word,
)
from ssl_keras.reproduce.figures.subjects import SUBJECTS
from ssl_keras.reproduce.pairs import (
    blocks,
    digit_and_rival,
    few_and_many,
    with_remedy_and_rival,
)


def _by_temperature(rows: Rows) -> list[tuple[Style, str, Rows]]:
    """The style, the name and the rows of each temperature, the lowest first."""
    temperatures = sorted({row["temperature"] for row in rows})
    members = ([row for row in rows if row["temperature"] == t] for t in temperatures)
    names = (f"temperature {temperature:g}" for temperature in temperatures)
    return list(zip(SERIES, names, members, strict=False))


def randbit(axes: Sequence[Any], rows: Rows) -> None:
    """Class over bits for each temperature, beside the notebook's; what is known of the bits."""
    temperatures = _by_temperature(rows)
    for style, name, members in temperatures:
        curve(axes[0], members, "num_bits", "online", style, name)
        shown = {"linestyle": "none", "marker": "x", "markersize": 6}
        curve(axes[0], members, "num_bits", "online_published", style, "", **shown)
        curve(axes[1], members, "num_bits", "linear", style, name)
        curve(axes[2], members, "num_bits", "information", style, name)
    curve(axes[1], temperatures[0][2], "num_bits", "untrained", METHODS["untrained"], "untrained")
    bits = sorted({row["num_bits"] for row in rows})
    axes[2].plot(bits, bits, color="0.8", linewidth=4, zorder=0, label="all there is")
    panels = (
        ("class, online probe (x: the authors' notebook)", "accuracy"),
        ("class, linear on the features", "accuracy"),
        ("what the features hold of the bits", "information, in bits"),
    )
    _describe_bits(axes, rows, panels)


def randbit_fashion(axes: Sequence[Any], rows: Rows) -> None:
    """Class over bits on Fashion-MNIST for each temperature, by the probe and by neighbours."""
    temperatures = _by_temperature(rows)
    for style, name, members in temperatures:
        curve(axes[0], members, "num_bits", "online", style, name)
        curve(axes[1], members, "num_bits", "knn", style, name)
    before = METHODS["untrained"]
    curve(axes[1], temperatures[0][2], "num_bits", "untrained_knn", before, "untrained")
    titles = ("class, online probe", "class, nearest neighbours")
    _describe_bits(axes, rows, [(title, "accuracy") for title in titles])


def _describe_bits(axes: Sequence[Any], rows: Rows, panels: Sequence[tuple[str, str]]) -> None:
    """Title and measure of panels over random bits; the first two are accuracies."""
    for axis in axes[:2]:
        chance(axis, 0.1)
        axis.set_ylim(0, 1)
    for axis, (title, measure) in zip(axes, panels, strict=True):
        describe(axis, title, "random bits", measure)
        axis.set_xticks(sorted({row["num_bits"] for row in rows}))
        axis.legend(fontsize=7)


# The remedies that are drawn over the number of bits.
OVER_BITS = ("nt_xent", "hybrid", "neighbours")
# Rival of the study `rivals` -> (what it may suppress, the rival, title).
RIVALS = {
    "color": ("character", "color", "character beside its colour"),
    "correlated_color": ("character", "color", "character beside a colour that follows it"),
    "character": ("font", "character", "font beside the character"),
    "digits": ("class", "digit", "character beside digits drawn over it"),
}


def remedies(axes: Sequence[Any], rows: Rows) -> None:
    """The class and the bits for each remedy, a panel for each number of bits; then the class over
    bits, and over the size of groups."""
    rows = with_remedy_and_rival(rows)
    sizes = [row for row in rows if row["remedy"].startswith("groups_of_")]
    rows = [row for row in rows if row not in sizes]
    names = list(dict.fromkeys(row["remedy"] for row in rows))
    counts = Counter(row["num_bits"] for row in rows)
    compared = sorted(bits for bits, count in counts.items() if 2 * count > max(counts.values()))
    for axis, bits in zip(axes, compared, strict=False):
        members = [row for row in rows if row["num_bits"] == bits]
        places = [-names.index(row["remedy"]) for row in members]
        dots(axis, members, "bits_all_right", places, NEIGHBOURS, "all bits right")
        dots(axis, members, "untrained", places, METHODS["untrained"], "class, untrained")
        dots(axis, members, "accuracy", places, LINEAR, "class")
        best = next((row["supervised"] for row in members if "supervised" in row), None)
        if best is not None:
            axis.axvline(best, color=METHODS["supervised"].color, label="class, supervised")
        chance(axis, 0.1, upright=True)
        describe(axis, f"{bits} random bits" if bits else "no bits", "accuracy")
        axis.set_xlim(0, 1.03)
        name_rows(axis, [-index for index in range(len(names))], [word(name) for name in names])
    axes[0].legend(fontsize=7, loc="lower left")
    over_bits, over_sizes = axes[-2:]
    _remedies_over_bits(over_bits, rows, OVER_BITS)
    for bits, style in zip(sorted({row["num_bits"] for row in sizes}), SERIES, strict=False):
        members = [row for row in sizes if row["num_bits"] == bits]
        label = f"{bits} bits" if bits else "no bits"
        curve(over_sizes, members, "neighbours", "accuracy", style, label)
        found = [row for row in rows if (row["remedy"], row["num_bits"]) == ("neighbours", bits)]
        shown = {"linestyle": "none", "marker": "*", "markersize": 11}
        curve(over_sizes, found, "group_size", "accuracy", style, "", **shown)
    describe(over_sizes, "class over the size of groups (star: found)", "examples", "accuracy")
    over_sizes.set_xscale("log", base=2)
    over_sizes.set_xticks(powers := [2, 4, 8, 16, 32], list(map(str, powers)))
    over_sizes.set_ylim(0, 1)
    chance(over_sizes, 0.1)
    over_sizes.legend(fontsize=7)


def remedies_fashion(axes: Sequence[Any], rows: Rows) -> None:
    """The class over the number of bits for each remedy."""
    rows = with_remedy_and_rival(rows)
    _remedies_over_bits(axes[0], rows, list(dict.fromkeys(row["remedy"] for row in rows)))


def _remedies_over_bits(axis: Any, rows: Rows, names: Sequence[str]) -> None:
    """The class over the number of bits for the remedies `names`."""
    for name, style in zip(names, SERIES, strict=False):
        members = [row for row in rows if row["remedy"] == name]
        curve(axis, members, "num_bits", "accuracy", style, word(name))
        if name == "nt_xent":
            curve(axis, members, "num_bits", "untrained", METHODS["untrained"], "untrained")
    describe(axis, "class over the number of bits", "random bits", "accuracy")
    axis.set_ylim(0, 1)
    chance(axis, 0.1)
    axis.legend(fontsize=7)


def rivals(axes: Sequence[Any], rows: Rows) -> None:
    """What a rival may suppress, and the rival, for each remedy; a panel for each rival."""
    rows = with_remedy_and_rival(rows)
    names = list(dict.fromkeys(row["remedy"] for row in rows))
    for axis, (rival, (target, other, title)) in zip(axes, RIVALS.items(), strict=True):
        members = [row for row in rows if row["rival"] == rival]
        kept = [row for row in members if row["target"] == other]
        members = [row for row in members if row["target"] == target]
        places = [-names.index(row["remedy"]) for row in members]
        dots(axis, kept, "features", places, NEIGHBOURS, "the rival")
        dots(axis, members, "untrained", places, METHODS["untrained"], "untrained")
        dots(axis, members, "features", places, LINEAR, "what it may suppress")
        for row in members[:1]:
            chance(axis, row["chance"], upright=True)
            if "supervised" in row:
                axis.axvline(
                    row["supervised"], color=METHODS["supervised"].color, label="supervised"
                )
        describe(axis, title, "accuracy")
        axis.set_xlim(0, 1.03)
        name_rows(axis, [-index for index in range(len(names))], [word(name) for name in names])
    axes[1].legend(fontsize=7, loc="lower left")


DOMAINS = {
    "words": ("words: agreement with people", "rank correlation"),
    "sentences": ("sentences: find the twin passage", "recall at 1"),
    "tables": ("digits as a table: class", "accuracy"),
    "characters": ("characters in fonts: class", "accuracy"),
    "goals": ("goals that are reached", "success"),
}


def domains(axes: Sequence[Any], rows: Rows) -> None:
    """What each loss reaches in each domain, beside the untrained encoder."""
    rows = [{**row, "name": row["cell"].split("-", 1)[1]} for row in rows]
    names = list(dict.fromkeys(row["name"] for row in rows))
    titles = zip(axes, DOMAINS.items(), SERIES, strict=False)
    for axis, (domain, (title, measure)), style in titles:
        members = [row for row in rows if row["cell"].startswith(f"{domain}-")]
        places = [-names.index(row["name"]) for row in members]
        dots(axis, members, "untrained", places, METHODS["untrained"], "untrained")
        dots(axis, members, "tf_idf", places, PROBE, "words counted (TF-IDF)")
        dots(axis, members, "value", places, NEIGHBOURS, "trained")
        describe(axis, title, measure)
        name_rows(axis, [-index for index in range(len(names))], [word(name) for name in names])
        axis.set_xlim(min(0, *axis.get_xlim()), 1.03)
        dots(axes[-1], members, "uniformity", places, style, domain)
    describe(axes[-1], "uniformity of the features", "lower: spread evenly")
    name_rows(axes[-1], [-index for index in range(len(names))], [word(name) for name in names])
    axes[-1].set_xlim(right=-0.8)
    axes[-1].legend(fontsize=7, loc="upper right")
    axes[2].legend(fontsize=7, loc="center left")


def randbit_factors(axes: Sequence[Any], rows: Rows) -> None:
    """Class over bits, by batch size, width, loss and method."""
    middle = [row for row in rows if "supervised" in row]
    titles = {"loss": "loss", "batch_size": "batch size", "width_multiplier": "width"}
    for axis, (setting, title) in zip(axes, titles.items(), strict=False):
        others = [name for name in titles if name != setting]
        members = [row for row in rows if all(row[name] == middle[0][name] for name in others)]
        values = list(dict.fromkeys(row[setting] for row in members))
        if setting != "loss":
            values.sort()
        for value, style in zip(values, SERIES, strict=False):
            line = [row for row in members if row[setting] == value]
            text = f"{value:g}" if isinstance(value, float | int) else word(value)
            curve(axis, line, "num_bits", "accuracy", style, text, linestyle="-")
            if setting == "width_multiplier":  # the encoder of this width before training
                curve(axis, line, "num_bits", "untrained", style, "", linestyle="--")
        describe(axis, f"class, linear, by {title}", "random bits", "accuracy")
    columns = {"simclr": "accuracy", "supervised": "supervised", "autoencoder": "autoencoder"}
    for method, column in columns.items():
        curve(axes[3], middle, "num_bits", column, METHODS[method], word(method))
    describe(axes[3], "class, linear, by method", "random bits", "accuracy")
    for axis in axes:
        before = METHODS["untrained"]
        if axis is axes[2]:
            axis.plot([], [], color=before.color, linestyle="--", label="dashed: untrained")
        else:
            curve(axis, middle, "num_bits", "untrained", before, "untrained")
        chance(axis, 0.1)
        axis.set_ylim(0, 1)
        axis.legend(fontsize=6)


def losses(axes: Sequence[Any], rows: Rows) -> None:
    """Class over the depth of the head for each loss, a panel for each batch size; and over the
    length of training, for the deepest head and the smallest batch."""
    batches = sorted({row["batch_size"] for row in rows})
    deepest = max(row["projection_layers"] for row in rows)
    lengths = sorted({row["epochs"] for row in rows if "epochs" in row})
    usual = [row for row in rows if row.get("epochs") in (*lengths[len(lengths) // 2 :][:1], None)]
    longer = [
        row
        for row in rows
        if (row["projection_layers"], row["batch_size"]) == (deepest, batches[0])
    ]
    kinds = dict(zip(dict.fromkeys(row["loss"] for row in rows), SERIES, strict=False))
    panels = [
        (
            f"batch {batch}",
            "projection_layers",
            [row for row in usual if row["batch_size"] == batch],
        )
        for batch in batches
    ]
    if lengths:
        panels.append((f"{deepest} layers, batch {batches[0]}", "epochs", longer))
    names = {"projection_layers": "layers of the projection head", "epochs": "epochs"}
    for axis, (title, setting, members) in zip(axes, panels, strict=False):
        for loss, style in kinds.items():
            line = [row for row in members if row["loss"] == loss]
            curve(axis, line, setting, "accuracy", style, word(loss))
        untrained(axis, float(np.mean([row["untrained"] for row in members])))
        axis.set_xticks(sorted({row[setting] for row in members}))
        axis.set_ylim(0, 1)
        describe(axis, f"class, linear, {title}", names[setting], "accuracy")
    axes[0].legend(fontsize=7)


def lambda_temperature(axes: Sequence[Any], rows: Rows) -> None:
    """Class over weight and temperature: as a map, and as one curve for each temperature."""
    weights = sorted({row["distribution_weight"] for row in rows})
    temperatures = sorted({row["temperature"] for row in rows})
    table = {(row["distribution_weight"], row["temperature"]): row["accuracy"] for row in rows}
    values = [[table.get((weight, t), math.nan) for weight in weights] for t in temperatures]
    axes[0].imshow(values, origin="lower", cmap="cividis", aspect="auto")
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
    describe(
        axes[0],
        "accuracy of the class, linear; bold: best of its row",
        "distribution weight (alignment carries 1/64)",
        "temperature",
    )
    for t, style in zip(temperatures, SERIES, strict=False):
        members = [row for row in rows if row["temperature"] == t]
        curve(axes[1], members, "distribution_weight", "accuracy", style, f"temperature {t:g}")
    untrained(axes[1], float(np.mean([row["untrained"] for row in rows])))
    axes[1].set_xscale("log")
    describe(axes[1], "class, linear", "distribution weight", "accuracy")
    axes[1].legend(fontsize=7)


def overlay(axes: Sequence[Any], rows: Rows) -> None:
    """What is read of the photograph and of the digit, over the number of different digits."""
    for axis, (target, title) in zip(
        axes, (("class", "image, linear"), ("digit", "digit, linear")), strict=True
    ):
        for subject in SUBJECTS:
            column = f"{subject}_{target}"
            if not any(column in row for row in rows):
                continue
            curve(axis, rows, "num_unique_digits", column, METHODS[subject], word(subject))
        axis.set_xscale("log")
        axis.set_ylim(0, 1)
        chance_over(axis, rows, "num_unique_digits", f"chance_{target}")
        describe(axis, title, "different images of digits", "accuracy")
    axes[1].legend(fontsize=7, loc="upper right")


def overlay_causes(axes: Sequence[Any], rows: Rows) -> None:
    """What is read of either with few and with many different digits, for each variant."""
    variants: list[Any] = list(few_and_many(rows))[::-1]
    places = np.arange(len(variants))
    for axis, (target, title) in zip(
        axes, (("class", "what lies below, linear"), ("digit", "digit, linear")), strict=True
    ):
        few, many = ([pair[index] for pair in variants] for index in (1, 2))
        column = f"simclr_{target}"
        for members, up, style in ((few, 0.12, SERIES[0]), (many, -0.12, SERIES[1])):
            count = members[0]["num_unique_digits"]
            dots(axis, members, column, places + up, style, f"{count} different digits")
        before = [row[f"untrained_{target}"] for row in few]
        axis.scatter(before, places, marker="|", color="0.4", s=60, label="untrained")
        names = [word(variant) for variant, _, _ in variants]
        name_rows(axis, places, names if target == "class" else [""] * len(names))
        describe(axis, title, "accuracy")
    chance(axes[1], 0.1, upright=True)
    axes[1].legend(fontsize=7, loc="center right")


def multi_digit(axes: Sequence[Any], rows: Rows) -> None:
    """A digit and its rival over the size of that; presence of several over their number."""
    side, pairs = digit_and_rival(rows)
    shown = ("untrained", "simclr", "supervised")
    for role, line in (("digit", "-"), ("rival", "--")):
        for subject in shown:
            name = f"{word(subject)}, {'the digit' if role == 'digit' else 'its rival'}"
            column, style = f"{subject}_{role}", METHODS[subject]
            curve(axes[0], pairs, "rival", column, style, name, linestyle=line)
    axes[0].axvline(side, color="0.8", linewidth=1)
    title = "each digit, linear (supervised: on labels of the digit)"
    describe(
        axes[0],
        title,
        f"side of the rival of a digit of {side} pixels, in pixels (0: alone)",
        "accuracy",
    )
    chance(axes[0], 0.1)
    several = [row for row in rows if "num_digits" in row]
    for subject in shown:
        column = f"{subject}_presence"
        curve(axes[1], several, "num_digits", column, METHODS[subject], word(subject))
    chance_over(axes[1], several, "num_digits", "chance_presence")
    describe(
        axes[1], "which digits are there, linear", "digits on the grid", "accuracy, mean of ten"
    )
    axes[0].set_ylim(0, 1.3)  # room for the legend
    axes[0].set_yticks(np.arange(0, 1.01, 0.2))
    axes[0].legend(fontsize=6, ncols=2, loc="upper center")
    axes[1].legend(fontsize=6)


def local_features(axes: Sequence[Any], rows: Rows) -> None:
    """Balanced accuracy of the digit at a location, by block; a panel for each data set."""
    styles = {**METHODS, "trained": METHODS["simclr"]}
    for axis, row in zip(axes, rows, strict=True):
        for name in ("pixels", "untrained", "trained", "supervised"):
            line = [
                {"block": block} | {k.replace(f"{name}_{block}", name): v for k, v in row.items()}
                for block in blocks(row)
            ]
            label = "SimCLR" if name == "trained" else name
            curve(axis, line, "block", name, styles[name], label)
        chance(axis, 1 / 11)
        axis.set_xticks(blocks(row))
        title = f"{word(row['cell'])}: digit at a location"
        describe(axis, title, "block of the encoder", "accuracy, balanced")
    axes[0].legend(fontsize=7)


def views(axes: Sequence[Any], rows: Rows) -> None:
    """Class without bits and beside ten, for each combination of views."""
    names = list(dict.fromkeys(row["cell"].rsplit("-", 2)[0] for row in rows))[::-1]
    places = np.arange(len(names))
    for axis, bits in zip(axes, (0, 10), strict=True):
        members = {row["cell"].rsplit("-", 2)[0]: row for row in rows if row["num_bits"] == bits}
        ordered = [members.get(name, {}) for name in names]
        dots(axis, ordered, "accuracy", places, LINEAR, "class, linear")
        before = float(np.mean([row["untrained"] for row in members.values()]))
        untrained(axis, before, upright=True)
        chance(axis, 0.1, upright=True)
        axis.set_xlim(0, 1)
        axis.set_ylim(-0.5, len(names) - 0.5)
        name_rows(axis, places, [word(n) for n in names] if not bits else [""] * len(names))
        describe(axis, f"{bits} bits", "accuracy")
    axes[0].legend(fontsize=7, loc="lower left")


# The factors of the study `augmentation`.
SHOWN_FACTORS = ("character", "font", "color")


def augmentation(axes: Sequence[Any], rows: Rows) -> None:
    """Each factor over the strength of the jitter, in the features and on the projections."""
    cropped = [row for row in rows if row["crop_area_min"] < 1]
    for axis, prefix, title in (
        (axes[0], "features", "features"),
        (axes[1], "projections", "projections"),
    ):
        for factor, style in zip(SHOWN_FACTORS, SERIES, strict=False):
            curve(axis, cropped, "color_strength", f"{prefix}_{factor}", style, factor)
            before = {"linestyle": ":", "marker": "", "linewidth": 1.0}
            curve(axis, cropped, "color_strength", f"untrained_{factor}", style, "", **before)
        axis.set_ylim(0, 1.02)
        describe(axis, f"{title} (dotted: untrained)", "colour jitter", "accuracy")
    axes[0].legend(fontsize=7)


def depth(axes: Sequence[Any], rows: Rows) -> None:
    """Each factor from layer to layer of the deepest head; the features over the head's depth."""
    deepest = max(row["projection_layers"] for row in rows)
    layers = ("features", *(f"projection_{layer}" for layer in range(1, deepest + 1)))
    targets = dict.fromkeys(row["target"] for row in rows)
    for target, style in zip(targets, SERIES, strict=False):
        members = [row for row in rows if row["target"] == target]
        row = next(row for row in members if row["projection_layers"] == deepest)
        steps = [
            {"layer": index, "value": row[layer]}
            | ({"value_sd": row[f"{layer}_sd"]} if f"{layer}_sd" in row else {})
            for index, layer in enumerate(layers)
            if layer in row
        ]
        curve(axes[0], steps, "layer", "value", style, target)
        before = {"linestyle": "none", "marker": "_", "markersize": 14}
        axes[0].plot([0], [row["untrained"]], color=style.color, **before)
        curve(axes[1], members, "projection_layers", "features", style, target)
        before = {"linestyle": ":", "marker": "", "linewidth": 1.0}
        curve(axes[1], members, "projection_layers", "untrained", style, "", **before)
    axes[0].set_xticks(range(len(layers)), [word(layer) for layer in layers])
    describe(axes[0], f"a head of {deepest} layers (bars: untrained)", "layer", "accuracy")
    axes[1].set_xticks(sorted({row["projection_layers"] for row in rows}))
    describe(axes[1], "features (dotted: untrained)", "layers of the head", "accuracy")
    for axis in axes:
        axis.set_ylim(0, 1.25)
        axis.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
    axes[0].legend(fontsize=7, ncols=3, loc="upper center")


def arora(axes: Sequence[Any], rows: Rows) -> None:
    """Accuracies and losses over the number of negatives."""
    rows = [
        row
        | {
            "negatives": row["batch_size"] - 1,
            "bound": mean_classifier_bound(row["unsupervised_loss"], row["chance"]),
        }
        for row in map(dict, rows)
        if "unsupervised_loss" in row
    ]
    for column, style, name in (
        ("accuracy", LINEAR, "linear"),
        ("mean_classifier", NEIGHBOURS, "mean classifier"),
        ("avg_2", SERIES[2], "mean, two classes"),
        ("avg_2_few_shot", SERIES[3], "mean of five, two classes"),
    ):
        curve(axes[0], rows, "negatives", column, style, name)
    curve(axes[0], rows, "negatives", "untrained", METHODS["untrained"], "linear, untrained")
    for column, style, name in (
        ("unsupervised_loss", SERIES[0], "unsupervised, one negative"),
        ("bound", SERIES[1], "its bound: (L − c) / (1 − c)"),
        ("mean_classifier_loss", SERIES[2], "mean classifier"),
    ):
        curve(axes[1], rows, "negatives", column, style, name)
    axes[1].axhline(1.0, color="0.35", linestyle=":", label="chance")
    describe(axes[0], "class", "negatives", "accuracy")
    describe(axes[1], "projections, two classes", "negatives", "logistic loss, bits")
    axes[0].set_ylim(0, 1.02)
    axes[1].set_ylim(bottom=0)
    for axis in axes:
        axis.set_xscale("log")
    axes[0].legend(fontsize=7, ncols=2, loc="center", bbox_to_anchor=(0.5, 0.41))
    axes[1].legend(fontsize=7)


def grids(axes: Sequence[Any], rows: Rows) -> None:
    """Class over tau_plus, over beta, and over the weights of alignment and uniformity."""
    for axis, loss, setting in (
        (axes[0], "debiased", "tau_plus"),
        (axes[1], "hard_negative", "beta"),
    ):
        members = [row for row in rows if row["loss"] == loss]
        curve(axis, members, setting, "accuracy", LINEAR, "linear")
        curve(axis, members, setting, "knn", NEIGHBOURS, "nearest neighbours")
        describe(axis, f"class, {word(loss)}", setting, "accuracy")
    members = [row for row in rows if row["loss"] == "align_uniform"]
    for t, style in zip(sorted({row["t"] for row in members}), SERIES, strict=False):
        line = [row for row in members if row["t"] == t]
        curve(axes[2], line, "alignment_weight", "accuracy", style, f"t = {t:g}")
    axes[2].set_xscale("log")
    title = "class, linear, align_uniform"
    describe(axes[2], title, "alignment weight (uniformity 1)", "accuracy")
    before = float(np.mean([row["untrained"] for row in rows]))
    for axis in axes:
        untrained(axis, before, "untrained, linear")
    for axis, place in zip(axes, ("center right", "lower right", "center left"), strict=True):
        axis.legend(fontsize=7, loc=place)
