"""Crops of ten real photographs that come with scikit-learn and scikit-image.

scikit-image is an extra: it brings 56 MB for this source alone, and not all of its photographs have
a licence under which this package could hand them on.

The label is the photograph. Training crops lie in its left three quarters, test crops in its right
fifth, so no pixel of a test crop occurs in a training crop.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from ssl_keras.datasets import hashing
from ssl_keras.datasets.base import Source
from ssl_keras.datasets.examples import ArrayExamples
from ssl_keras.errors import UserError
from ssl_keras.inputs.images import preset_for

PHOTOGRAPHS = {
    "china": ("sklearn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "datasets/images/flower.jpg"),
    "astronaut": ("skimage", "data/astronaut.png"),
    "coffee": ("skimage", "data/coffee.png"),
    "chelsea": ("skimage", "data/chelsea.png"),
    "rocket": ("skimage", "data/rocket.jpg"),
    "motorcycle": ("skimage", "data/motorcycle_left.png"),
    "retina": ("skimage", "data/retina.jpg"),
    "hubble_deep_field": ("skimage", "data/hubble_deep_field.jpg"),
    "immunohistochemistry": ("skimage", "data/ihc.png"),
}
DEFAULT_SIZE, MOST_SIZE = 32, 256
CROPS = {"train": 400, "test": 100}
# The columns of a photograph that a split may use, as shares of its width.
REGIONS = {"train": (0.0, 0.75), "test": (0.8, 1.0)}
# Sides of the crops, as shares of the smaller side of their region.
SIDES = (0.4, 0.9)


def load_photos(image_size: int | None = None, seed: int = 0) -> Source:
    """4,000 training and 1,000 test crops, see the module's docstring.

    Args:
        image_size: side of the crops after scaling, in pixels; 32 by default.
        seed: seed of the crops.
    """
    size = image_size or DEFAULT_SIZE
    if size > MOST_SIZE:
        raise UserError(
            f"image_size is {size}; crops of the embedded photographs go up to {MOST_SIZE} pixels, "
            "which is more than most of them show: choose a smaller one."
        )
    parts = {}
    for split in ("train", "test"):
        images, labels = [], []
        for label, photograph in enumerate(PHOTOGRAPHS):
            images.append(_crops(photograph, split, size, seed))
            labels += [label] * CROPS[split]
        parts[split] = ArrayExamples({"image": np.concatenate(images)}, np.array(labels, np.int32))
    return Source(
        name="photos",
        train=parts["train"],
        test=parts["test"],
        num_classes=len(PHOTOGRAPHS),
        class_names=tuple(PHOTOGRAPHS),
        augmentation=preset_for((size, size, 3)),
    )


def crop_boxes(
    shape: tuple[int, int], split: str, stream: str, seed: int
) -> list[tuple[int, int, int, int]]:
    """(left, top, right, bottom) of the crops of a photograph of `shape` (height, width)."""
    height, width = shape
    first, last = (round(share * width) for share in REGIONS[split])
    count = CROPS[split]
    smaller = min(height, last - first)
    low, high = (round(share * smaller) for share in SIDES)

    def below(purpose: str, limits: np.ndarray) -> np.ndarray:
        fractions = hashing.random_integers(seed, f"{stream}/{purpose}", count) / 2.0**32
        return (fractions * limits).astype(int)

    sides = low + below("side", np.full(count, high - low + 1))
    lefts = first + below("left", last - first - sides + 1)
    tops = below("top", height - sides + 1)
    return [
        (int(left), int(top), int(left + side), int(top + side))
        for left, top, side in zip(lefts, tops, sides, strict=True)
    ]


def check_photos() -> None:
    """Check that the packages with the photographs are installed.

    Raises:
        UserError: scikit-image is missing.
    """
    for photograph in PHOTOGRAPHS:
        _file(photograph)


def _file(photograph: str) -> Path:
    package, relative = PHOTOGRAPHS[photograph]
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            "source=photos needs scikit-image, which holds eight of its ten photographs: "
            "pip install scikit-image."
        )
    return Path(spec.submodule_search_locations[0]) / relative


def _crops(photograph: str, split: str, size: int, seed: int) -> np.ndarray:
    from PIL import Image

    with Image.open(_file(photograph)) as file:
        image = file.convert("RGB")
    boxes = crop_boxes(image.size[::-1], split, f"photos/{photograph}/{split}", seed)
    crops = [
        np.asarray(image.resize((size, size), Image.Resampling.BILINEAR, box=box)) for box in boxes
    ]
    return np.stack(crops)
