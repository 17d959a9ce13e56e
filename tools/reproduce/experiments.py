"""What each experiment runs, and how its results are summed up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssl_keras.losses import LOSSES
from tools.reproduce.sweep import Run

SCALES = ("smoke", "laptop", "full")


@dataclass(frozen=True)
class Experiment:
    """An experiment: its runs at a scale, and the columns of its table.

    Attributes:
        question: what it asks, in a sentence.
        cells: scale -> label of a cell -> settings; a run is made for each cell and seed.
        measures: column -> key of results.json's "results".
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
        """One row for each cell: {"cell", "seeds", the settings, COLUMN and, of several seeds,
        COLUMN_sd; and COLUMN_published}."""
        rows = []
        for index, (label, settings) in enumerate(self.cells(scale).items()):
            own = results[index * seeds : (index + 1) * seeds]
            row: dict[str, Any] = {"cell": label, "seeds": seeds, **settings}
            for column, key in self.measures.items():
                values = [result["results"][key] for result in own]
                row[column] = float(np.mean(values))
                if seeds > 1:
                    row[f"{column}_sd"] = float(np.std(values, ddof=1))
                if column in self.published.get(label, {}):
                    row[f"{column}_published"] = self.published[label][column]
            row["seconds"] = float(np.mean([result["times"]["total"] for result in own]))
            rows.append(row)
        return rows


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
        "laptop": {"dataset": "plain", "epochs": 50, "batch_size": 250},
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
    cells = {name: {**base, "loss": name} for name in names}
    for name in {"hard_contrastive", "hard_simple"} & set(cells):
        cells[name]["quantile"] = 0.1
    return cells


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
        axis.set_yticks(list(places), [row["loss"] for row in ordered], fontsize=8)
    axes[0].axvline(np.mean([row["untrained"] for row in rows]), color="0.5", linestyle="--")
    axes[0].plot([], [], color="0.5", linestyle="--", label="untrained, linear")
    axes[1].axvline(0.25, color="0.5", linestyle=":", label="chance")
    axes[1].set_yticklabels([])
    axes[0].legend(fontsize=7, loc="upper left")
    axes[1].legend(fontsize=7, loc="center left")


EXPERIMENTS: dict[str, Experiment] = {
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
