"""The experiments, by name: what each runs, and how its results are summed up."""

from __future__ import annotations

from tools.reproduce.experiments import (
    baselines,
    generalized,
    objectives,
    randbit,
    suppression,
    temperature,
)
from tools.reproduce.experiments.base import SCALES, Experiment

__all__ = ["EXPERIMENTS", "SCALES", "SECTIONS", "Experiment"]

EXPERIMENTS: dict[str, Experiment] = {
    **generalized.EXPERIMENTS,
    **randbit.EXPERIMENTS,
    **suppression.EXPERIMENTS,
    **temperature.EXPERIMENTS,
    **objectives.EXPERIMENTS,
    **baselines.EXPERIMENTS,
}

# The chapters of the report. The other experiments have their tables in the guides.
SECTIONS: dict[str, tuple[str, ...]] = {
    "The generalized loss": ("losses", "lambda_temperature"),
    "Random bits as a rival": ("randbit", "randbit_fashion", "randbit_factors"),
    "Objects as rivals": ("overlay", "overlay_causes", "multi_digit"),
    "Local features": ("local_features",),
    "The neighbouring papers": ("temperature", "grids", "views"),
}
