"""The figures of the experiments: (axes, rows of `Experiment.summary`) -> None."""

from tools.reproduce.figures.drawing import SUBJECTS
from tools.reproduce.figures.objectives import (
    autoencoder,
    baselines,
    data_sets,
    fashion,
    objectives,
    precision,
    temperature,
)
from tools.reproduce.figures.properties import (
    grids,
    lambda_temperature,
    local_features,
    losses,
    multi_digit,
    overlay,
    overlay_causes,
    randbit,
    randbit_factors,
    randbit_fashion,
    views,
)

__all__ = [
    "SUBJECTS",
    "autoencoder",
    "baselines",
    "data_sets",
    "fashion",
    "grids",
    "lambda_temperature",
    "local_features",
    "losses",
    "multi_digit",
    "objectives",
    "overlay",
    "overlay_causes",
    "precision",
    "randbit",
    "randbit_factors",
    "randbit_fashion",
    "temperature",
    "views",
]
