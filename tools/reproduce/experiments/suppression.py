"""Images in which one thing competes with another: overlaid digits, digits of two sizes, views."""

from __future__ import annotations

from typing import Any

from tools.reproduce import figures
from tools.reproduce.experiments.base import (
    ACCURACY,
    FASHION_MNIST,
    INFORMATION,
    MIXUP,
    UNTRAINED,
    Experiment,
    size,
)

UNIQUE = (1, 8, 64, 500, 4000)
SIZES = (14, 20, 28, 36, 44)
NUMBERS = (2, 4, 9)
_THREE = "linear,supervised,autoencoder"


def _overlay_cells(scale: str) -> dict[str, dict[str, Any]]:
    """Digits over clothes: how many different digit images there are."""
    base: dict[str, Any] = {**size(scale, 20), "dataset": "overlay", "digit_size": 10}
    base |= {"loss": "nt_xent", "heads": _THREE}
    if scale == "full":
        base |= {"source": "tf_flowers", "image_size": 224, "digit_size": 28, "encoder": "resnet50"}
    else:
        base |= {"source": FASHION_MNIST, "image_size": 40, "max_train_images": 4000}
        base |= {"crop_area_min": 0.3}
    if scale == "smoke":
        base |= {"max_train_images": 300, "steps": 5}
    counts = UNIQUE[::4] if scale == "smoke" else UNIQUE
    return {f"{count}-digits": {**base, "num_unique_digits": count} for count in counts}


def _canvas(scale: str) -> dict[str, Any]:
    base: dict[str, Any] = {**size(scale, 20), "dataset": "multi_digit", "image_size": 56}
    base |= {"loss": "nt_xent", "heads": "linear,supervised"}
    if scale == "full":
        del base["source"]
        base |= {"image_size": 112, "num_train_images": 60000, "num_test_images": 10000}
    if scale == "smoke":
        base |= {"steps": 5, "num_train_images": 300, "num_test_images": 100}
    return base


def _multi_digit_cells(scale: str) -> dict[str, dict[str, Any]]:
    """A digit of 14 pixels beside one of growing size; and several digits of one size."""
    rivals = SIZES[::4] if scale == "smoke" else SIZES
    numbers = NUMBERS[:1] if scale == "smoke" else NUMBERS
    base = _canvas(scale)
    cells = {f"beside-{side}": {**base, "digit_sizes": f"14,{side}"} for side in rivals}
    # Fourteen pixels each, so that as many as sixteen fit.
    return cells | {f"{n}-digits": {**base, "num_digits": n} for n in numbers}


def _local_cells(scale: str) -> dict[str, dict[str, Any]]:
    """Where in the encoder single locations tell what lies there."""
    few = {"local_features_images": 60} if scale == "smoke" else {}
    heads = {"heads": "local_features,supervised"}
    return {
        "four-digits": {**_canvas(scale), "num_digits": 4, **heads, **few},
        "digits-over-clothes": {**_overlay_cells(scale)["1-digits"], "num_unique_digits": 500}
        | heads
        | few,
    }


_VIEWS: dict[str, dict[str, Any]] = {
    "crop": {"views": "augment"},
    "mixup": {"views": "mixup", "mixup_alpha": 0.7},
    "dropout": {"views": "dropout"},
    "crop-mixup": MIXUP,
    "crop-dropout": {"views": "augment,dropout"},
    "mixup-dropout": {"views": "mixup,dropout", "mixup_alpha": 0.7},
    "all": {"views": "augment,mixup,dropout", "mixup_alpha": 0.7},
    "crop-mixup-of-bits": {**MIXUP, "mixup_planes": True},
}


def _view_cells(scale: str) -> dict[str, dict[str, Any]]:
    """Every combination of views, without bits and beside ten."""
    base = {**size(scale, 20), "loss": "nt_xent", "heads": "linear,bits"}
    cells = {}
    for name, views in _VIEWS.items():
        for bits in (0, 10):
            if bits or "mixup_planes" not in views:
                cells[f"{name}-{bits}-bits"] = {**base, **views, "num_bits": bits}
    return dict(list(cells.items())[:4]) if scale == "smoke" else cells


EXPERIMENTS = {
    "overlay": Experiment(
        question="As more different digits are drawn over clothes, what is kept of either?",
        cells=_overlay_cells,
        measures={
            f"{subject}_{feature}": f"{prefix}linear/features/{feature}/accuracy"
            for subject, prefix in figures.SUBJECTS.items()
            for feature in ("class", "digit")
        },
        figure=figures.overlay,
        panels=2,
    ),
    "multi_digit": Experiment(
        question="Does a small digit survive beside a larger one, and each of several equal ones?",
        cells=_multi_digit_cells,
        measures={
            f"{subject}_{feature}": f"{prefix}linear/features/{feature}/accuracy"
            for subject, prefix in figures.SUBJECTS.items()
            if subject != "autoencoder"
            for feature in ("small_digit", "large_digit", "presence")
        },
        figure=figures.multi_digit,
        panels=2,
    ),
    "local_features": Experiment(
        question="What do single locations of each block tell of what lies there?",
        cells=_local_cells,
        measures={
            f"{name}_{block}": f"{prefix}local_features/{place}_{block}/digit/balanced_accuracy"
            for name, prefix, place in (
                ("pixels", "", "pixels"),
                ("untrained", "random_encoder/", "block"),
                ("trained", "", "block"),
                ("supervised", "supervised/", "block"),
            )
            for block in (1, 2, 3)
        },
        figure=figures.local_features,
        panels=2,
    ),
    "views": Experiment(
        question="Which views learn the digit, and which resist ten easy bits?",
        cells=_view_cells,
        measures={
            "accuracy": ACCURACY,
            "information": INFORMATION,
            "untrained": UNTRAINED,
        },
        figure=figures.views,
        panels=2,
    ),
}
