"""What an experiment's numbers say about the claim behind it: rows of `Experiment.summary` ->
`Verdict`. The thresholds are ours; each reason tells the numbers that it rests on."""

from tools.reproduce.verdicts.base import Judge, Verdict
from tools.reproduce.verdicts.generalized import lambda_temperature, losses
from tools.reproduce.verdicts.randbit import randbit, randbit_factors, randbit_fashion
from tools.reproduce.verdicts.suppression import (
    local_features,
    multi_digit,
    overlay,
    overlay_causes,
    views,
)
from tools.reproduce.verdicts.temperature import grids, temperature

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
