"""The studies, by name."""

from __future__ import annotations

from ssl_keras.reproduce.studies import (
    baselines,
    domains,
    factors,
    generalized,
    objectives,
    randbit,
    remedies,
    suppression,
    temperature,
    theory,
)
from ssl_keras.reproduce.studies.base import SCALES, Study

__all__ = ["SCALES", "SECTIONS", "STUDIES", "Study"]

STUDIES: dict[str, Study] = {
    **generalized.STUDIES,
    **randbit.STUDIES,
    **remedies.STUDIES,
    **suppression.STUDIES,
    **factors.STUDIES,
    **temperature.STUDIES,
    **theory.STUDIES,
    **domains.STUDIES,
    **objectives.STUDIES,
    **baselines.STUDIES,
}

# The chapters of the report. The other studies have their tables in the guides.
SECTIONS: dict[str, tuple[str, ...]] = {
    "The generalized loss": ("losses", "lambda_temperature"),
    "Random bits as a rival": ("randbit", "randbit_fashion", "randbit_factors"),
    "What stops suppression": ("remedies", "rivals"),
    "Objects as rivals": ("overlay", "overlay_causes", "multi_digit"),
    "Factors as rivals": ("augmentation", "depth"),
    "Local features": ("local_features",),
    "The neighbouring papers": ("temperature", "grids", "views", "arora"),
}
