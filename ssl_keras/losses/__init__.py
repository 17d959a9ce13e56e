"""Contrastive losses, selected by name.

`LOSSES` is the dictionary behind `--loss`; `get` makes one:

    loss = losses.get("uniform_prior", distribution_weight=5.0)
    value = loss(projections_1, projections_2, seed=step)
"""

from __future__ import annotations

from typing import Any

from ssl_keras.losses.align_uniform import AlignUniform
from ssl_keras.losses.base import Loss
from ssl_keras.losses.contrastive import IFM, Debiased, HardNegative, NTXent, SupCon
from ssl_keras.losses.decorrelation import BarlowTwins, VICReg
from ssl_keras.losses.generalized import (
    DecoupledNTXent,
    GaussianPrior,
    HyperspherePrior,
    UniformPrior,
)
from ssl_keras.losses.hardness import HardContrastive, HardSimple, Simple
from ssl_keras.losses.metric_learning import Hinge, Logistic, Margin, NPair, Triplet
from ssl_keras.losses.sgns import SGNS
from ssl_keras.options import Registry

__all__ = ["LOSSES", "Loss", "get"]

LOSSES: Registry[Loss] = Registry(
    "loss",
    Loss,
    {
        "nt_xent": NTXent,
        "decoupled_nt_xent": DecoupledNTXent,
        "uniform_prior": UniformPrior,
        "hypersphere_prior": HyperspherePrior,
        "gaussian_prior": GaussianPrior,
        "align_uniform": AlignUniform,
        "vicreg": VICReg,
        "barlow_twins": BarlowTwins,
        "simple": Simple,
        "hard_contrastive": HardContrastive,
        "hard_simple": HardSimple,
        "debiased": Debiased,
        "hard_negative": HardNegative,
        "ifm": IFM,
        "supcon": SupCon,
        "sgns": SGNS,
        "n_pair": NPair,
        "triplet": Triplet,
        "margin": Margin,
        "logistic": Logistic,
        "hinge": Hinge,
    },
)


def get(name: str, /, **hyperparameters: Any) -> Loss:
    """The loss called `name` with `hyperparameters` (its class's fields).

    Raises:
        UserError: unknown name or hyperparameter (the nearest is named), or a value out of range.
    """
    return LOSSES.get(name, **hyperparameters)
