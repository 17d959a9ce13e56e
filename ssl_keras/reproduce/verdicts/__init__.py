"""What a study's numbers say about the claim behind it: rows of `Study.summary` ->
`Verdict`. The thresholds are ours; each reason tells the numbers that it rests on."""

from ssl_keras.reproduce.verdicts.base import Judge, Verdict
from ssl_keras.reproduce.verdicts.generalized import lambda_temperature, losses
from ssl_keras.reproduce.verdicts.randbit import randbit, randbit_factors, randbit_fashion
from ssl_keras.reproduce.verdicts.suppression import (
    local_features,
    multi_digit,
    overlay,
    overlay_causes,
    views,
)
from ssl_keras.reproduce.verdicts.temperature import grids, temperature

__all__ = [
    "Judge",
    "Verdict",
    "grids",
    "lambda_temperature",
    "local_features",
    "losses",
    "multi_digit",
    "overlay",
    "overlay_causes",
    "randbit",
    "randbit_factors",
    "randbit_fashion",
    "temperature",
    "views",
]
