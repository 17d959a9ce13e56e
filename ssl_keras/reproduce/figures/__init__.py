"""The figures of the studies: (axes, rows of `Study.summary`) -> None."""

from ssl_keras.reproduce.figures.objectives import (
    autoencoder,
    baselines,
    data_sets,
    fashion,
    objectives,
    precision,
    temperature,
)
from ssl_keras.reproduce.figures.properties import (
    FACTORS,
    augmentation,
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
from ssl_keras.reproduce.figures.subjects import SUBJECTS

__all__ = [
    "FACTORS",
    "SUBJECTS",
    "augmentation",
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
