"""The generalized contrastive losses: do they agree, and what do temperature and weight do?"""

from __future__ import annotations

from typing import Any

from tools.reproduce import figures
from tools.reproduce.experiments.base import (
    ACCURACY,
    FASHION_MNIST,
    FASHION_VIEWS,
    MIXUP,
    UNTRAINED,
    Experiment,
)

LOSSES = (
    "nt_xent",
    "decoupled_nt_xent",
    "uniform_prior",
    "hypersphere_prior",
    "gaussian_prior",
)
DEPTHS = (0, 1, 2, 3)
BATCHES = (128, 512)
# In this convention the alignment carries 1 / dim, with dim 64: a weight of 5 for the priors, and
# of 0.1 for the log-sum-exp, are what a re-implementation used (see the docstrings of the losses).
WEIGHTS = (0.01, 0.03, 0.1, 0.3, 1.0)
TEMPERATURES = (0.1, 0.3, 1.0, 3.0, 10.0)


def _base(scale: str) -> dict[str, Any]:
    """Fashion-MNIST with views that tell its classes apart."""
    laptop = {"dataset": "plain", "source": FASHION_MNIST, "max_train_images": 5000}
    laptop |= {**FASHION_VIEWS, **MIXUP}
    return {
        "smoke": {**laptop, "max_train_images": 500, "steps": 5, "width_multiplier": 0.25},
        "laptop": {**laptop, "epochs": 20, "batch_size": 250, "learning_rate": 3e-3},
        "full": {
            "dataset": "plain",
            "source": "cifar10",
            "encoder": "resnet50",
            "batch_size": 1024,
            "epochs": 400,
            "optimizer": "lars",
            "learning_rate_scaling": "sqrt",
            "learning_rate": 0.2,
            "warmup_epochs": 10,
        },
    }[scale] | {"heads": "linear"}


def _loss_cells(scale: str) -> dict[str, dict[str, Any]]:
    losses, depths, batches = LOSSES, DEPTHS, BATCHES
    if scale == "smoke":
        losses, depths, batches = LOSSES[::2], DEPTHS[::3], (64,)
    return {
        f"{loss}-{depth}-layers-batch-{batch}": {
            **_base(scale),
            "loss": loss,
            "projection_layers": depth,
            "batch_size": batch,
            **({"projection_dim": 64} if depth else {}),
        }
        for loss in losses
        for depth in depths
        for batch in batches
    }


def _grid_cells(scale: str) -> dict[str, dict[str, Any]]:
    weights, temperatures = WEIGHTS, TEMPERATURES
    if scale == "smoke":
        weights, temperatures = WEIGHTS[::4], TEMPERATURES[::4]
    return {
        f"weight-{weight:g}-temperature-{temperature:g}": {
            **_base(scale),
            "loss": "decoupled_nt_xent",
            "distribution_weight": weight,
            "temperature": temperature,
        }
        for weight in weights
        for temperature in temperatures
    }


EXPERIMENTS = {
    "losses": Experiment(
        question="Do the generalized losses agree, and does that take a deep projection head?",
        cells=_loss_cells,
        measures={
            "accuracy": ACCURACY,
            "untrained": UNTRAINED,
        },
        figure=figures.losses,
        panels=2,
    ),
    "lambda_temperature": Experiment(
        question="Are the temperature and the weight of the distribution term inversely related? "
        "Decoupled NT-Xent.",
        cells=_grid_cells,
        measures={
            "accuracy": ACCURACY,
            "untrained": UNTRAINED,
        },
        figure=figures.lambda_temperature,
        panels=2,
    ),
}
