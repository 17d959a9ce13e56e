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

__all__ = ["EXPERIMENTS", "SCALES", "Experiment"]

EXPERIMENTS: dict[str, Experiment] = {
    **generalized.EXPERIMENTS,
    **randbit.EXPERIMENTS,
    **suppression.EXPERIMENTS,
    **temperature.EXPERIMENTS,
    **objectives.EXPERIMENTS,
    **baselines.EXPERIMENTS,
}
