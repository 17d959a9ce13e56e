"""About how long the training of a study takes on this machine, from a measured step.

The step is one of the first cell with a small batch, so that it fits into any memory. A whole batch
takes less time for each image, on a GPU much less; wider encoders, dropout and decoders take more.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras.config import make_evaluators
from ssl_keras.reproduce.studies import STUDIES

# (training images, height, width, channels) of the sources, as their publishers count them.
SIZES = {
    "mnist_5k": (4000, 28, 28, 1),
    "mnist": (60000, 28, 28, 1),
    "cifar10": (50000, 32, 32, 3),
    "tf_flowers": (3670, 224, 224, 3),
    "photos": (4000, 64, 64, 3),
    "idx": (60000, 28, 28, 1),
}
_BATCH, _STEPS, _REPEATS = 32, 2, 3


@dataclass(frozen=True)
class Estimate:
    """Attributes:
    runs: number of runs.
    images: images in the training of all runs and their baselines.
    seconds: seconds of an image, measured on the first cell.
    """

    runs: int
    images: int
    seconds: float

    @property
    def hours(self) -> float:
        """Hours of training, one run after the other."""
        return self.images * self.seconds / 3600


def estimate(name: str, scale: str, seeds: int) -> Estimate:
    """Measure a few small steps of the first cell, on noise of the size of its images."""
    cells = STUDIES[name].cells(scale)
    images = sum(count_images(cell) for cell in cells.values())
    return Estimate(len(cells) * seeds, images * seeds, _seconds(next(iter(cells.values()))))


def count_images(cell: Mapping[str, Any]) -> int:
    """Number of images in the training of a run and its baselines."""
    available = cell.get("num_train_images") or cell.get("max_train_images") or 10**9
    available = min(available, _size(cell)[0])
    batch = cell.get("batch_size", 250)
    steps = cell.get("steps") or cell["epochs"] * (available // batch)
    heads = cell.get("heads", "").split(",")
    return int(steps * batch * (1 + ("supervised" in heads) + ("autoencoder" in heads)))


def _size(cell: Mapping[str, Any]) -> tuple[int, int, int, int]:
    default = "photos" if cell.get("dataset") == "overlay" else "mnist_5k"
    count, height, width, channels = SIZES[(cell.get("source") or default).split(":")[0]]
    if cell.get("dataset") == "multi_digit":
        count = cell.get("num_train_images", 4000)
    side = cell.get("image_size")
    return (count, side or height, side or width, channels)


def _seconds(cell: Mapping[str, Any]) -> float:
    """Seconds of an image in training."""
    from ssl_keras.reproduce.timing import trainer

    _, *shape = _size(cell)
    heads = make_evaluators(cell).values()
    left_out = {"epochs", "steps", "warmup_epochs", "max_train_images"}
    left_out |= {name for head in heads for name in head.options()}
    kept = {name: value for name, value in cell.items() if name not in left_out}
    changes: dict[str, Any] = {"batch_size": _BATCH, "heads": ""}
    with tempfile.TemporaryDirectory() as folder:
        if cell.get("dataset") != "multi_digit":
            path = Path(folder) / "noise.npz"
            noise = np.random.default_rng(0).integers(0, 256, (_BATCH * 2, *shape), np.uint8)
            labels = np.arange(_BATCH * 2) % 10
            np.savez(path, x_train=noise, y_train=labels, x_test=noise, y_test=labels)
            changes |= {"source": f"npz:{path}"}
        train = trainer(**{**kept, **changes})
    return statistics.median(train(_STEPS) for _ in range(_REPEATS)) / _STEPS / _BATCH
