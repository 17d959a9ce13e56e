"""What each experiment runs, and how its results are summed up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras import flags
from ssl_keras.losses import LOSSES
from tools.reproduce.sweep import Run

SCALES = ("smoke", "laptop", "full")


@dataclass(frozen=True)
class Experiment:
    """An experiment: its runs at a scale, and the columns of its table.

    Attributes:
        question: what it asks, in a sentence.
        cells: scale -> label of a cell -> settings; a run is made for each cell and seed.
        measures: column -> key of results.json's "results". Where keys hold "{feature}", each
            cell has a row for each feature that its data set declares.
        published: label of a cell -> column -> the value of the paper, on its own data.
        published_on: what data that was.
        figure: (axes, rows) -> None; draws the figure, see `summary`.
        panels: how many axes the figure has.
    """

    question: str
    cells: Callable[[str], dict[str, dict[str, Any]]]
    measures: Mapping[str, str]
    published: Mapping[str, Mapping[str, float]]
    published_on: str
    figure: Callable[[Sequence[Any], Sequence[Mapping[str, Any]]], None]
    panels: int

    def runs(self, scale: str, seeds: int) -> list[Run]:
        """One run for each cell and seed."""
        return [
            Run(f"{label}-seed{seed}", {**settings, "seed": seed})
            for label, settings in self.cells(scale).items()
            for seed in range(seeds)
        ]

    def summary(
        self, scale: str, seeds: int, results: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """One row for each cell, or for each cell and feature: {"cell", "feature" if so, "seeds",
        the settings, COLUMN and, of several seeds, COLUMN_sd; COLUMN_published; "seconds"}.

        A measure that a cell does not have is left out of its row.

        Raises:
            KeyError: no cell has a measure: its key is wrong.
        """
        rows = []
        for index, (label, settings) in enumerate(self.cells(scale).items()):
            own = results[index * seeds : (index + 1) * seeds]
            for feature in self._features(own[0]):
                row: dict[str, Any] = {"cell": label}
                row |= {} if feature is None else {"feature": feature}
                row |= {"seeds": seeds, **settings}
                for column, key in self.measures.items():
                    name = key.format(feature=feature)
                    values = [r["results"][name] for r in own if name in r["results"]]
                    if len(values) == len(own):
                        row |= _summed_up(column, values)
                    if column in self.published.get(label, {}):
                        row[f"{column}_published"] = self.published[label][column]
                if feature is not None:
                    row["chance"] = own[0]["data"]["features"][feature]["chance"]
                row["seconds"] = float(np.mean([result["times"]["total"] for result in own]))
                rows.append(row)
        for column, key in self.measures.items():
            if not any(column in row for row in rows):
                raise KeyError(f"no run has measured {key}")
        return rows

    @property
    def by_feature(self) -> bool:
        """Whether there is a row for each feature."""
        return any("{feature}" in key for key in self.measures.values())

    def _features(self, result: Mapping[str, Any]) -> list[str | None]:
        return list(result["data"]["features"]) if self.by_feature else [None]


def _summed_up(column: str, values: Sequence[float]) -> dict[str, float]:
    found = {column: float(np.mean(values))}
    if len(values) > 1:
        found[f"{column}_sd"] = float(np.std(values, ddof=1))
    return found


def flagfile_settings(name: str) -> dict[str, Any]:
    """The settings that flags/NAME.flags gives, without the defaults."""
    path = Path(__file__).parents[2] / "flags" / f"{name}.flags"
    given = flags.values(["reproduce", f"--flagfile={path}"], flags.define())
    defaults = flags.values(["reproduce"], flags.define())
    return {n: value for n, value in given.items() if defaults.get(n) != value}


TEMPERATURES = (0.07, 0.3, 0.7, 1.0)
# Wang and Liu 2021, CIFAR-10: accuracy, uniformity (theirs has the other sign), tolerance.
_PUBLISHED_TEMPERATURE = {
    cell: dict(zip(("accuracy", "uniformity", "tolerance"), numbers, strict=True))
    for cell, numbers in {
        "nt_xent-0.07": (0.7975, -3.86, 0.04),
        "nt_xent-0.3": (0.8327, -3.60, 0.178),
        "nt_xent-0.7": (0.8269, -3.17, 0.333),
        "nt_xent-1": (0.8221, -2.96, 0.372),
        "hard_contrastive-0.07": (0.792, -3.88, 0.034),
        "hard_contrastive-0.3": (0.8363, -3.89, 0.027),
        "hard_contrastive-0.7": (0.8419, -3.87, 0.030),
        "hard_contrastive-1": (0.8419, -3.86, 0.030),
        "simple": (0.7483, -1.68, 0.61),
    }.items()
}


def _temperature_cells(scale: str) -> dict[str, dict[str, Any]]:
    base: dict[str, Any] = {
        "smoke": {"dataset": "plain", "steps": 10, "batch_size": 64, "width_multiplier": 0.25},
        "laptop": {"dataset": "plain", "epochs": 20, "batch_size": 250},
        "full": {
            "dataset": "plain",
            "source": "cifar10",
            "encoder": "resnet18",
            "batch_size": 512,
            "epochs": 200,
            "projection_dim": 128,
        },
    }[scale]
    base |= {"heads": "linear,knn,geometry"}
    temperatures = TEMPERATURES[::3] if scale == "smoke" else TEMPERATURES
    cells = {
        f"{loss}-{temperature:g}": {**base, "loss": loss, "temperature": temperature}
        for loss in ("nt_xent", "hard_contrastive")
        for temperature in temperatures
    }
    cells |= {loss: {**base, "loss": loss} for loss in ("simple", "hard_simple")}
    return cells


def _temperature_figure(axes: Sequence[Any], rows: Sequence[Mapping[str, Any]]) -> None:
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
            axis.plot(
                [row["temperature"] for row in own if f"{column}_published" in row],
                [sign * row[f"{column}_published"] for row in own if f"{column}_published" in row],
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


FASHION_MNIST = "idx:/usr/share/datasets/fashion-mnist"


def _fashion_cells(scale: str) -> dict[str, dict[str, Any]]:
    """The objectives' cells on Fashion-MNIST: without bits, with more of each image cut away."""
    sizes: dict[str, dict[str, Any]] = {
        "smoke": {},
        "laptop": {"epochs": 10},
        "full": {"epochs": 50},
    }
    cells = _objective_cells("smoke" if scale == "smoke" else "laptop")
    cells.pop("simple-0-bits", None)
    changes = {"source": FASHION_MNIST, "num_bits": 0, "crop_area_min": 0.2, "flip": True}
    changes |= {"heads": "linear,knn"} | ({} if scale == "full" else {"max_train_images": 5000})
    return {
        name: {**cell, **changes, **({} if "steps" in cell else sizes[scale])}
        for name, cell in cells.items()
    }


def _baseline_cells(scale: str) -> dict[str, dict[str, Any]]:
    """Data beside bits, each run with both baselines."""
    base: dict[str, Any] = {
        "smoke": {"steps": 10, "batch_size": 64, "width_multiplier": 0.25},
        "laptop": {"epochs": 30, "batch_size": 250},
        "full": {"source": "cifar10", "encoder": "resnet18", "batch_size": 512, "epochs": 200},
    }[scale]
    base |= {"loss": "nt_xent", "heads": "linear,knn,bits,supervised,autoencoder"}
    return {f"{bits} bits": {**base, "num_bits": bits} for bits in (0, 10)}


_SUBJECTS = {
    "untrained": "random_encoder/",
    "simclr": "",
    "supervised": "supervised/",
    "autoencoder": "autoencoder/",
}


def _baseline_figure(axes: Sequence[Any], rows: Sequence[Mapping[str, Any]]) -> None:
    panels = (
        ("", "class, linear on the features", None),
        ("_information", "information on the bits, in bits", 10),
    )
    for axis, (suffix, title, top) in zip(axes, panels, strict=True):
        width = 0.8 / len(_SUBJECTS)
        for index, subject in enumerate(_SUBJECTS):
            column = f"{subject}{suffix}"
            axis.bar(
                np.arange(len(rows)) + (index - (len(_SUBJECTS) - 1) / 2) * width,
                [row.get(column, math.nan) for row in rows],
                width,
                yerr=[row.get(f"{column}_sd", 0.0) for row in rows],
                color=("0.7", "tab:blue", "tab:green", "tab:orange")[index],
                error_kw={"linewidth": 1},
                label=subject,
            )
        axis.set_xticks(range(len(rows)), [row["cell"] for row in rows])
        axis.set_title(title, fontsize=9)
        if top is not None:
            axis.axhline(top, color="0.5", linestyle=":")
    axes[0].axhline(0.1, color="tab:red", linestyle=":", label="chance")
    axes[0].set_ylim(0, 1)
    axes[0].legend(fontsize=7, loc="lower left")


def _data_set_cells(scale: str) -> dict[str, dict[str, Any]]:
    changes = {"steps": 10, "batch_size": 64, "width_multiplier": 0.25} if scale == "smoke" else {}
    names = ("photos", "overlay", "multi_digit", "fashion_mnist")
    return {name: {**flagfile_settings(name), **changes} for name in names}


def _data_set_figure(axes: Sequence[Any], rows: Sequence[Mapping[str, Any]]) -> None:
    places = np.arange(len(rows))[::-1]
    labels = [f"{row['cell']}: {row['feature']}" for row in rows]
    for axis, columns, title in (
        (axes[0], ("linear", "untrained_linear"), "linear evaluation"),
        (axes[1], ("knn", "untrained_knn"), "nearest neighbours"),
    ):
        for column, color, name, shift in zip(
            columns, ("tab:blue", "0.6"), ("trained", "untrained"), (0.15, -0.15), strict=True
        ):
            axis.errorbar(
                [row.get(column, math.nan) for row in rows],
                places + shift,
                xerr=[row.get(f"{column}_sd", 0.0) for row in rows],
                linestyle="none",
                marker="o",
                markersize=4,
                capsize=2,
                color=color,
                label=name,
            )
        axis.plot(
            [row["chance"] for row in rows],
            places,
            linestyle="none",
            marker="|",
            markersize=12,
            color="tab:red",
            label="chance",
        )
        axis.set_title(title, fontsize=9)
        axis.set_xlim(0, 1.02)
        axis.set_yticks(places, labels, fontsize=8)
        axis.grid(axis="y", alpha=0.3)
    axes[1].set_yticklabels([])
    axes[0].legend(fontsize=7)


# Where the default of an option is not what the objective needs on these data.
_CHOSEN: dict[str, dict[str, Any]] = {
    "hard_contrastive": {"quantile": 0.1},
    "hard_simple": {"quantile": 0.1},
    "margin": {"margin": 10.0},
    "simple": {"distribution_weight": 4.0},
}


def _objective_cells(scale: str) -> dict[str, dict[str, Any]]:
    sizes: dict[str, dict[str, Any]] = {
        "smoke": {"steps": 10, "batch_size": 64, "width_multiplier": 0.25},
        "laptop": {"epochs": 100, "batch_size": 250},
        "full": {
            "source": "cifar10",
            "encoder": "resnet18",
            "batch_size": 512,
            "epochs": 200,
        },
    }
    base = {
        **sizes[scale],
        "dataset": "bit_concat",
        "num_bits": 2,
        "heads": "linear,knn,geometry",
    }
    names = ("nt_xent", "supcon", "margin") if scale == "smoke" else tuple(LOSSES)
    cells = {name: {**base, "loss": name, **_CHOSEN.get(name, {})} for name in names}
    if scale != "smoke":
        # The simple loss is content with the bits, whatever its weight.
        cells["simple-0-bits"] = {**cells["simple"], "num_bits": 0}
        cells["hinge"] |= {"batch_size": 32, "steps": 4000}
        del cells["hinge"]["epochs"]
    return cells


def _fashion_figure(axes: Sequence[Any], rows: Sequence[Mapping[str, Any]]) -> None:
    ordered = sorted(rows, key=lambda row: row["accuracy"])
    for column, color, label in (
        ("accuracy", "tab:blue", "linear"),
        ("knn", "tab:orange", "nearest neighbours"),
    ):
        axes[0].errorbar(
            [row[column] for row in ordered],
            range(len(ordered)),
            xerr=[row.get(f"{column}_sd", 0.0) for row in ordered],
            linestyle="none",
            marker="o",
            markersize=4,
            capsize=2,
            color=color,
            label=label,
        )
    axes[0].set_yticks(range(len(ordered)), [row["loss"] for row in ordered], fontsize=8)
    axes[0].grid(axis="y", alpha=0.3)
    for column, color in (("untrained", "tab:blue"), ("untrained_knn", "tab:orange")):
        mean = np.mean([row[column] for row in rows])
        axes[0].axvline(mean, color=color, linestyle="--", label=f"untrained, {mean:.3f}")
    axes[0].set_title("class on the features", fontsize=9)
    axes[0].legend(fontsize=7)


def _objective_figure(axes: Sequence[Any], rows: Sequence[Mapping[str, Any]]) -> None:
    ordered = sorted(rows, key=lambda row: row["accuracy"])
    places = range(len(ordered))
    panels = (
        (("accuracy", "knn"), "class on the features"),
        (("bits_all_right", "bits_all_right_projections"), "both bits right, linear"),
    )
    labels = {
        "accuracy": "linear",
        "knn": "nearest neighbours",
        "bits_all_right": "features",
        "bits_all_right_projections": "projections",
    }
    for axis, (columns, title) in zip(axes, panels, strict=True):
        for column, color in zip(columns, ("tab:blue", "tab:orange"), strict=True):
            axis.errorbar(
                [row[column] for row in ordered],
                places,
                xerr=[row.get(f"{column}_sd", 0.0) for row in ordered],
                linestyle="none",
                marker="o",
                markersize=4,
                capsize=2,
                color=color,
                label=labels[column],
            )
        axis.set_title(title, fontsize=9)
        axis.grid(axis="y", alpha=0.3)
        axis.set_yticks(list(places), [row["cell"] for row in ordered], fontsize=8)
    axes[0].axvline(np.mean([row["untrained"] for row in rows]), color="0.5", linestyle="--")
    axes[0].plot([], [], color="0.5", linestyle="--", label="untrained, linear")
    axes[1].axvline(0.25, color="0.5", linestyle=":", label="chance")
    axes[1].set_yticklabels([])
    axes[0].legend(fontsize=7, loc="upper left")
    axes[1].legend(fontsize=7, loc="center left")


EXPERIMENTS: dict[str, Experiment] = {
    "baselines": Experiment(
        question="Do a supervised encoder and an autoencoder suffer from easy bits as SimCLR does?",
        cells=_baseline_cells,
        measures={
            **{
                subject: f"{prefix}linear/features/class/accuracy"
                for subject, prefix in _SUBJECTS.items()
            },
            **{
                f"{subject}_knn": f"{prefix}knn/features/class/accuracy"
                for subject, prefix in _SUBJECTS.items()
            },
            **{
                f"{subject}_information": f"{prefix}bits/features/bits/information"
                for subject, prefix in _SUBJECTS.items()
            },
            "image_explained": "autoencoder/reconstruction/features/image_explained",
            "train_image_explained": "autoencoder/reconstruction/features/train_image_explained",
            "planes_explained": "autoencoder/reconstruction/features/planes_explained",
        },
        published={},
        published_on="",
        figure=_baseline_figure,
        panels=2,
    ),
    "data_sets": Experiment(
        question="What does NT-Xent learn on each data set, with the flagfile of its name?",
        cells=_data_set_cells,
        measures={
            "linear": "linear/features/{feature}/accuracy",
            "knn": "knn/features/{feature}/accuracy",
            "untrained_linear": "random_encoder/linear/features/{feature}/accuracy",
            "untrained_knn": "random_encoder/knn/features/{feature}/accuracy",
        },
        published={},
        published_on="",
        figure=_data_set_figure,
        panels=2,
    ),
    "fashion_mnist": Experiment(
        question="Which objective learns the class of Fashion-MNIST, without a rival?",
        cells=_fashion_cells,
        measures={
            "accuracy": "linear/features/class/accuracy",
            "knn": "knn/features/class/accuracy",
            "accuracy_projections": "linear/projection_2/class/accuracy",
            "untrained": "random_encoder/linear/features/class/accuracy",
            "untrained_knn": "random_encoder/knn/features/class/accuracy",
        },
        published={},
        published_on="",
        figure=_fashion_figure,
        panels=1,
    ),
    "objectives": Experiment(
        question="Which objective learns the class of the digit beside two easy bits?",
        cells=_objective_cells,
        measures={
            "accuracy": "linear/features/class/accuracy",
            "knn": "knn/features/class/accuracy",
            "accuracy_projections": "linear/projection_2/class/accuracy",
            "bits_all_right": "linear/features/bits/all_right",
            "bits_all_right_projections": "linear/projection_2/bits/all_right",
            "uniformity": "geometry/projection_2/uniformity",
            "effective_rank": "geometry/projection_2/effective_rank",
            "untrained": "random_encoder/linear/features/class/accuracy",
        },
        published={},
        published_on="",
        figure=_objective_figure,
        panels=2,
    ),
    "temperature": Experiment(
        question="How do uniformity and tolerance depend on the temperature, and what do hard "
        "negatives change? (Wang and Liu 2021)",
        cells=_temperature_cells,
        measures={
            "uniformity": "geometry/projection_2/uniformity",
            "tolerance": "geometry/projection_2/tolerance/class",
            "hardest_percent_share": "geometry/projection_2/hardest_percent_share",
            "effective_rank": "geometry/projection_2/effective_rank",
            "accuracy": "linear/features/class/accuracy",
            "knn": "knn/features/class/accuracy",
            "untrained": "random_encoder/linear/features/class/accuracy",
        },
        published=_PUBLISHED_TEMPERATURE,
        published_on="CIFAR-10, Wang and Liu 2021",
        figure=_temperature_figure,
        panels=3,
    ),
}
