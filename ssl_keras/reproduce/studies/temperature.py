"""Wang and Liu 2021: what the temperature does."""

from __future__ import annotations

from typing import Any

from ssl_keras.reproduce import figures
from ssl_keras.reproduce.studies.base import (
    ACCURACY,
    GLYPHS,
    UNTRAINED,
    Study,
)
from ssl_keras.reproduce.verdicts import papers

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
        "laptop": {**GLYPHS, "epochs": 30, "batch_size": 250},
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
    cells = {
        f"{loss}-{temperature:g}": {**base, "loss": loss, "temperature": temperature}
        for loss in ("nt_xent", "hard_contrastive")
        for temperature in TEMPERATURES
    }
    cells |= {loss: {**base, "loss": loss} for loss in ("simple", "hard_simple")}
    return cells


def _grid_cells(scale: str) -> dict[str, dict[str, Any]]:
    """Debiased, hard-negative and align_uniform over their own hyperparameters."""
    base = next(iter(_temperature_cells(scale).values()))
    base = {name: value for name, value in base.items() if name not in ("loss", "temperature")}
    taus, betas, weights = (0.0, 0.05, 0.1, 0.2), (0.0, 0.5, 1.0, 2.0), (0.3, 1.0, 3.0, 10.0)
    cells: dict[str, dict[str, Any]] = {
        f"debiased-{tau:g}": {**base, "loss": "debiased", "tau_plus": tau} for tau in taus
    }
    cells |= {
        f"hard_negative-{beta:g}": {**base, "loss": "hard_negative", "beta": beta} for beta in betas
    }
    return cells | {
        f"align_uniform-{weight:g}-t{t:g}": {
            **base,
            "loss": "align_uniform",
            "alignment_weight": weight,
            "t": t,
        }
        for weight in weights
        for t in (2.0, 3.0)
    }


STUDIES = {
    "temperature": Study(
        answer=(
            "From temperature 0.07 to 1 the uniformity of NT-Xent's projections goes from "
            "{nt_xent-0.07:uniformity} to {nt_xent-1:uniformity}, the tolerance from "
            "{nt_xent-0.07:tolerance} to {nt_xent-1:tolerance}; with hard negatives both "
            "are flat from 0.3 on. Accuracy falls from {nt_xent-0.07:accuracy} to "
            "{nt_xent-1:accuracy}; hard negatives keep it ({hard_contrastive-1:accuracy})."
        ),
        question="How do uniformity and tolerance depend on the temperature, and what do hard "
        "negatives change? (Wang and Liu 2021)",
        grid=_temperature_cells,
        measures={
            "uniformity": "geometry/projection_2/uniformity",
            "tolerance": "geometry/projection_2/tolerance/class",
            "hardest_percent_share": "geometry/projection_2/hardest_percent_share",
            "effective_rank": "geometry/projection_2/effective_rank",
            "accuracy": ACCURACY,
            "knn": "knn/features/class/accuracy",
            "untrained": UNTRAINED,
        },
        published=_PUBLISHED_TEMPERATURE,
        published_on="CIFAR-10, Wang and Liu 2021; the sign of their uniformity turned",
        figure=figures.temperature,
        panels=3,
        claim="The higher the temperature, the less uniform and the more tolerant are projections, "
        "and accuracy is best in between; a loss of hard negatives stays uniform at every "
        "temperature, and one that treats all negatives alike is neither uniform nor accurate "
        "(Wang and Liu 2021).",
        differs="62 characters in fonts that were not seen (6,200 images), 30 epochs, a small "
        "convnet.",
        verdict=papers.temperature,
    ),
    "grids": Study(
        answer=(
            "Debiasing helps a little ({debiased-0:accuracy} to {debiased-0.1:accuracy}), hard "
            "negatives much ({hard_negative-0:accuracy} to {hard_negative-2:accuracy}). Alignment "
            "and uniformity of equal weight are among the best ({align_uniform-1-t3:accuracy}); "
            "ten times the alignment costs up to half of that ({align_uniform-10-t2:accuracy})."
        ),
        question="What do tau_plus, beta, and the weights of alignment and uniformity do? "
        "(Chuang 2020; Robinson 2021; Wang and Isola 2020)",
        grid=_grid_cells,
        measures={
            "accuracy": ACCURACY,
            "knn": "knn/features/class/accuracy",
            "uniformity": "geometry/projection_2/uniformity",
            "tolerance": "geometry/projection_2/tolerance/class",
            "untrained": UNTRAINED,
        },
        figure=figures.grids,
        panels=3,
        claim="Correcting for negatives of the same class (tau_plus) and weighing hard negatives "
        "(beta) help; align_uniform with three times the weight on alignment and t = 3 is better "
        "than NT-Xent (Chuang et al. 2020; Robinson et al. 2021; Wang and Isola 2020).",
        published={
            "align_uniform-3-t3": {"accuracy": 0.7460},
            "debiased-0": {"accuracy": 0.7280},
        },
        published_on="ImageNet-100, Wang and Isola 2020; debiased with tau_plus 0 is NT-Xent, "
        "theirs has a temperature of 0.07",
        differs="62 characters in fonts that were not seen (6,200 images), 30 epochs, a small "
        "convnet. hard_negative comes with a tau_plus of 0.1, so that with a beta of 0 it is "
        "debiased.",
        verdict=papers.grids,
    ),
}
