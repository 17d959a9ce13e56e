"""What each experiment runs, and how its results are summed up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras import flags
from ssl_keras.losses import LOSSES
from tools.reproduce import figures
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
    figure: Callable[[Sequence[Any], Sequence[Mapping[str, Any]]], None]
    panels: int
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    published_on: str = ""

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


FASHION_MNIST = "idx:/usr/share/datasets/fashion-mnist"


def _fashion_cells(scale: str) -> dict[str, dict[str, Any]]:
    """The objectives' cells on Fashion-MNIST: without bits, and with views that tell more apart."""
    sizes: dict[str, dict[str, Any]] = {
        "smoke": {},
        "laptop": {"epochs": 20, "learning_rate": 3e-3},
        "full": {"epochs": 50, "learning_rate": 1e-3},
    }
    cells = _objective_cells("smoke" if scale == "smoke" else "laptop")
    if "simple-0-bits" in cells:
        cells["simple"] = cells.pop("simple-0-bits")
    changes = {"source": FASHION_MNIST, "num_bits": 0}
    changes |= {"crop_area_min": 0.08, "flip": True, "blur": 0.5}
    changes |= {"heads": "linear,knn"} | ({} if scale == "full" else {"max_train_images": 5000})
    mixup = {"views": "augment,mixup", "mixup_alpha": 0.7}
    # A cell with steps of its own (hinge, in small batches) keeps its learning rate too. Losses of
    # the hardest negatives go without mixup: it makes the image that was mixed in the hardest.
    return {
        name: {
            **cell,
            **changes,
            **({} if "steps" in cell else sizes[scale]),
            **({} if name in ("hard_contrastive", "hard_simple", "hinge") else mixup),
        }
        for name, cell in cells.items()
    }


def _size(scale: str, epochs: int) -> dict[str, Any]:
    """The data, encoder and length of an experiment, with `epochs` on the laptop."""
    return {
        "smoke": {"steps": 10, "batch_size": 64, "width_multiplier": 0.25},
        "laptop": {"epochs": epochs, "batch_size": 250},
        "full": {"source": "cifar10", "encoder": "resnet18", "batch_size": 512, "epochs": 200},
    }[scale]


def _autoencoder_cells(scale: str) -> dict[str, dict[str, Any]]:
    """The autoencoder beside bits, by the weight of the planes in its loss."""
    base = {**_size(scale, 60), "method": "autoencoder", "heads": "linear,knn,bits"}
    cells = {"0-bits": {**base, "num_bits": 0}}
    for weight in (10.0,) if scale == "smoke" else (10.0, 1.0, 0.1):
        cells[f"10-bits-{weight:g}"] = {**base, "num_bits": 10, "planes_weight": weight}
    return cells


def _baseline_cells(scale: str) -> dict[str, dict[str, Any]]:
    """Data beside bits, each run with both baselines."""
    heads = "linear,knn,bits,supervised,autoencoder"
    base = {**_size(scale, 60), "loss": "nt_xent", "heads": heads}
    # With every channel alike, ten planes of bits would be nearly all that the autoencoder is
    # asked for; see the experiment "autoencoder".
    fair = {"baseline_planes_weight": 0.1}
    return {"0-bits": {**base, "num_bits": 0}, "10-bits": {**base, "num_bits": 10, **fair}}


def _data_set_cells(scale: str) -> dict[str, dict[str, Any]]:
    changes = {"steps": 10, "batch_size": 64, "width_multiplier": 0.25} if scale == "smoke" else {}
    names = ("photos", "overlay", "multi_digit", "fashion_mnist")
    return {name: {**flagfile_settings(name), **changes} for name in names}


# Where the default of an option is not what the objective needs on these data.
_CHOSEN: dict[str, dict[str, Any]] = {
    "hard_contrastive": {"quantile": 0.1},
    "hard_simple": {"quantile": 0.1},
    "margin": {"margin": 10.0},
}


def _objective_cells(scale: str) -> dict[str, dict[str, Any]]:
    base = {
        **_size(scale, 100),
        "dataset": "bit_concat",
        "num_bits": 2,
        "heads": "linear,knn,geometry",
    }
    names = ("nt_xent", "supcon", "margin") if scale == "smoke" else tuple(LOSSES)
    cells = {name: {**base, "loss": name, **_CHOSEN.get(name, {})} for name in names}
    if scale != "smoke":
        # The simple loss is content with the bits.
        cells["simple-0-bits"] = {**cells["simple"], "num_bits": 0, "distribution_weight": 4.0}
        cells["hinge"] |= {"batch_size": 32, "steps": 4000}
        del cells["hinge"]["epochs"]
    return cells


# How well the class can be read.
_CLASS = {
    "accuracy": "linear/features/class/accuracy",
    "knn": "knn/features/class/accuracy",
    "accuracy_projections": "linear/projection_2/class/accuracy",
}

EXPERIMENTS: dict[str, Experiment] = {
    "autoencoder": Experiment(
        question="What does an autoencoder keep of a digit beside ten bits, by the weight of the "
        "planes in its loss?",
        cells=_autoencoder_cells,
        measures={
            "accuracy": "linear/features/class/accuracy",
            "knn": "knn/features/class/accuracy",
            "information": "bits/features/bits/information",
            "image_explained": "reconstruction/features/image_explained",
            "train_image_explained": "reconstruction/features/train_image_explained",
            "planes_explained": "reconstruction/features/planes_explained",
            "untrained": "random_encoder/linear/features/class/accuracy",
        },
        figure=figures.autoencoder,
        panels=2,
    ),
    "baselines": Experiment(
        question="Do a supervised encoder and an autoencoder suffer from easy bits as SimCLR does?",
        cells=_baseline_cells,
        measures={
            **{
                subject: f"{prefix}linear/features/class/accuracy"
                for subject, prefix in figures.SUBJECTS.items()
            },
            **{
                f"{subject}_knn": f"{prefix}knn/features/class/accuracy"
                for subject, prefix in figures.SUBJECTS.items()
            },
            **{
                f"{subject}_information": f"{prefix}bits/features/bits/information"
                for subject, prefix in figures.SUBJECTS.items()
            },
            "image_explained": "autoencoder/reconstruction/features/image_explained",
            "train_image_explained": "autoencoder/reconstruction/features/train_image_explained",
            "planes_explained": "autoencoder/reconstruction/features/planes_explained",
        },
        figure=figures.baselines,
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
        figure=figures.data_sets,
        panels=2,
    ),
    "fashion_mnist": Experiment(
        question="Which objective learns the class of Fashion-MNIST, without a rival?",
        cells=_fashion_cells,
        measures={
            **_CLASS,
            "untrained": "random_encoder/linear/features/class/accuracy",
            "untrained_knn": "random_encoder/knn/features/class/accuracy",
        },
        figure=figures.fashion,
        panels=1,
    ),
    "objectives": Experiment(
        question="Which objective learns the class of the digit beside two easy bits?",
        cells=_objective_cells,
        measures={
            **_CLASS,
            "bits_all_right": "linear/features/bits/all_right",
            "bits_all_right_projections": "linear/projection_2/bits/all_right",
            "uniformity": "geometry/projection_2/uniformity",
            "effective_rank": "geometry/projection_2/effective_rank",
            "untrained": "random_encoder/linear/features/class/accuracy",
        },
        figure=figures.objectives,
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
        figure=figures.temperature,
        panels=3,
    ),
}
