"""Every objective on the same data, and every data set with the same objective."""

from __future__ import annotations

from typing import Any

from ssl_keras.losses import LOSSES
from ssl_keras.reproduce import figures
from ssl_keras.reproduce.studies.base import (
    CLASS,
    FASHION_MNIST,
    FASHION_VIEWS,
    MIXUP,
    UNTRAINED,
    Study,
    flagfile_settings,
    size,
)


def _fashion_cells(scale: str) -> dict[str, dict[str, Any]]:
    """The objectives' cells on Fashion-MNIST: without bits, and with views that tell more apart."""
    sizes: dict[str, dict[str, Any]] = {
        "laptop": {"epochs": 20, "learning_rate": 3e-3},
        "full": {"epochs": 50, "learning_rate": 1e-3},
    }
    cells = _objective_cells("laptop")
    cells["simple"] = cells.pop("simple-0-bits")
    changes = {"source": FASHION_MNIST, "num_bits": 0}
    changes |= {**FASHION_VIEWS, "heads": "linear,knn"} | (
        {} if scale == "full" else {"max_train_images": 5000}
    )
    # A cell with steps of its own (hinge, in small batches) keeps its learning rate too. Losses of
    # the hardest negatives go without mixup: it makes the image that was mixed in the hardest.
    return {
        name: {
            **cell,
            **changes,
            **({} if "steps" in cell else sizes[scale]),
            **({} if name in ("hard_contrastive", "hard_simple", "hinge") else MIXUP),
        }
        for name, cell in cells.items()
    }


def _data_set_cells(scale: str) -> dict[str, dict[str, Any]]:
    del scale  # the flagfiles are what they are
    names = ("photos", "overlay", "multi_digit", "fashion_mnist")
    return {name: flagfile_settings(name) for name in names}


def _precision_cells(scale: str) -> dict[str, dict[str, Any]]:
    """float32 and bfloat16, for a softmax and a sliced Wasserstein loss."""
    base = {**size(scale, 30), "heads": "linear,knn,bits"}
    return {
        f"{loss}-{name}": {**base, "loss": loss, "num_bits": bits, "mixed_precision": precision}
        for loss, bits in (("nt_xent", 0), ("uniform_prior", 2))
        for name, precision in (("float32", "off"), ("bfloat16", "bfloat16"))
    }


# Where the default of an option is not what the objective needs on these data.
_CHOSEN: dict[str, dict[str, Any]] = {
    "hard_contrastive": {"quantile": 0.1},
    "hard_simple": {"quantile": 0.1},
    "margin": {"margin": 10.0},
}


def _objective_cells(scale: str) -> dict[str, dict[str, Any]]:
    base = {
        **size(scale, 100),
        "dataset": "bit_concat",
        "num_bits": 2,
        "heads": "linear,knn,geometry",
    }
    cells = {name: {**base, "loss": name, **_CHOSEN.get(name, {})} for name in LOSSES}
    # The simple loss is content with the bits.
    cells["simple-0-bits"] = {**cells["simple"], "num_bits": 0, "distribution_weight": 4.0}
    cells["hinge"] |= {"batch_size": 32, "steps": 4000}
    del cells["hinge"]["epochs"]
    return cells


STUDIES = {
    "data_sets": Study(
        question="What does NT-Xent learn on each data set, with the flagfile of its name?",
        grid=_data_set_cells,
        measures={
            "linear": "linear/features/{target}/accuracy",
            "knn": "knn/features/{target}/accuracy",
            "untrained_linear": "untrained/linear/features/{target}/accuracy",
            "untrained_knn": "untrained/knn/features/{target}/accuracy",
        },
        figure=figures.data_sets,
        panels=2,
    ),
    "fashion_mnist": Study(
        question="Which objective learns the class of Fashion-MNIST, without a rival?",
        grid=_fashion_cells,
        measures={
            **CLASS,
            "untrained": UNTRAINED,
            "untrained_knn": "untrained/knn/features/class/accuracy",
        },
        figure=figures.fashion,
        panels=1,
    ),
    "objectives": Study(
        question="Which objective learns the class of the digit beside two easy bits?",
        grid=_objective_cells,
        measures={
            **CLASS,
            "bits_all_right": "linear/features/bits/all_right",
            "bits_all_right_projections": "linear/projection_2/bits/all_right",
            "uniformity": "geometry/projection_2/uniformity",
            "effective_rank": "geometry/projection_2/effective_rank",
            "untrained": UNTRAINED,
        },
        figure=figures.objectives,
        panels=2,
        smoke=("simple",),
    ),
    "precision": Study(
        question="Does bfloat16 cost accuracy?",
        grid=_precision_cells,
        measures={**CLASS, "untrained": UNTRAINED},
        figure=figures.precision,
        panels=1,
    ),
}
