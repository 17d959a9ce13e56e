"""The generalized contrastive losses: do they agree, and what do temperature and weight do?"""

from __future__ import annotations

from typing import Any

from ssl_keras.reproduce import figures
from ssl_keras.reproduce.studies.base import ACCURACY, GLYPHS, UNTRAINED, Study
from ssl_keras.reproduce.verdicts import papers

LOSSES = (
    "nt_xent",
    "decoupled_nt_xent",
    "uniform_prior",
    "hypersphere_prior",
    "gaussian_prior",
)
DEPTHS = (0, 1, 2, 3)
BATCHES = (128, 512)
# Of the deepest head and the smallest batch, relative to the other cells: how differences shrink.
LENGTHS = (1 / 3, 3)
# In this convention the alignment carries 1 / dim, with dim 64: a weight of 5 for the priors, and
# of 0.1 for the log-sum-exp, are what a re-implementation used (see the docstrings of the losses).
WEIGHTS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
TEMPERATURES = (0.1, 0.3, 1.0, 3.0)


def _base(scale: str) -> dict[str, Any]:
    return {
        "laptop": {**GLYPHS, "epochs": 30, "batch_size": 250},
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
    base = _base(scale)
    cells = {
        f"{loss}-{depth}-layers-batch-{batch}": {
            **base,
            "loss": loss,
            "projection_layers": depth,
            "batch_size": batch,
            **({"projection_dim": 64} if depth else {}),
            **({"temperature": 0.2} if loss == "nt_xent" else {}),
        }
        for loss in LOSSES
        for depth in DEPTHS
        for batch in BATCHES
    }
    for loss in LOSSES:
        cell = f"{loss}-{DEPTHS[-1]}-layers-batch-{BATCHES[0]}"
        for length in LENGTHS:
            epochs = round(base["epochs"] * length)
            cells[f"{cell}-{epochs}-epochs"] = cells[cell] | {"epochs": epochs}
    return cells


def _grid_cells(scale: str) -> dict[str, dict[str, Any]]:
    base = _base(scale)
    return {
        f"weight-{weight:g}-temperature-{temperature:g}": {
            **base,
            "loss": "decoupled_nt_xent",
            "distribution_weight": weight,
            "temperature": temperature,
        }
        for weight in WEIGHTS
        for temperature in TEMPERATURES
    }


STUDIES = {
    "losses": Study(
        answer=(
            "Without a projection head the losses end between "
            "{decoupled_nt_xent-0-layers-batch-128:accuracy} and "
            "{nt_xent-0-layers-batch-128:accuracy} (batch 128), under three layers between "
            "{uniform_prior-3-layers-batch-128:accuracy} and "
            "{nt_xent-3-layers-batch-128:accuracy}, after thrice the epochs between "
            "{uniform_prior-3-layers-batch-128-90-epochs:accuracy} and "
            "{nt_xent-3-layers-batch-128-90-epochs:accuracy}."
        ),
        question="Do the generalized losses agree, and does that take a deep projection head?",
        grid=_loss_cells,
        measures={
            "accuracy": ACCURACY,
            "untrained": UNTRAINED,
        },
        figure=figures.losses,
        panels=3,
        claim="Under a deep projection head the instantiations of the generalized loss come to "
        "nearly the same linear accuracy; under a shallow one they differ (Chen, Luo and Li 2021).",
        differs="62 characters in fonts that were not seen (6,200 images), a small convnet and 30 "
        "epochs, in place of CIFAR-10 and ImageNet, ResNets and hundreds of epochs. The values of "
        "the paper are not among our sources.",
        verdict=papers.losses,
    ),
    "lambda_temperature": Study(
        answer=(
            "At temperature 0.1 a small weight is best "
            "({weight-0.003-temperature-0.1:accuracy}; weight 1: "
            "{weight-1-temperature-0.1:accuracy}), at temperature 3 a large one "
            "({weight-1-temperature-3:accuracy}; weight 0.003: "
            "{weight-0.003-temperature-3:accuracy}): raising the temperature acts as lowering "
            "the weight."
        ),
        question="Are the temperature and the weight of the distribution term inversely related? "
        "Decoupled NT-Xent.",
        grid=_grid_cells,
        measures={
            "accuracy": ACCURACY,
            "untrained": UNTRAINED,
        },
        figure=figures.lambda_temperature,
        panels=2,
        smoke=("weight-0.003-temperature-0.1", "weight-1-temperature-3"),
        claim="Within a range, the temperature is inversely related to the weight of the "
        "distribution term (Chen, Luo and Li 2021).",
        differs="62 characters in fonts that were not seen (6,200 images), a small convnet and 30 "
        "epochs, as for losses. The alignment term carries 1/64 (the dimension), as in the "
        "authors' code: a weight of 0.1 weighs as 6.4 against 1 - cosine. Our source has the claim "
        "in one sentence, which can be read in two ways that exclude each other. For the first "
        "speaks that the gradient of the log-sum-exp carries weight / temperature; we came to it "
        "after the second had failed.",
        verdict=papers.lambda_temperature,
    ),
}
