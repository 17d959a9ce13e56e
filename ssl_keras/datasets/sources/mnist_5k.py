"""5,000 real MNIST digits as a TensorFlow Datasets builder; no network needed.

The digits (500 of each class) are in mnist_5k.npz; mnist_5k.md says where they come from. A fixed
seed, part of the version of this data set, splits them into 4,000 for training and 1,000 for
testing, stratified by class.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras.datasets.sources.splitting import seeded_split
from ssl_keras.lazy import tfds

DIGITS = Path(__file__).with_suffix(".npz")
_SPLIT_SEED = 0


class Mnist5k(tfds.core.GeneratorBasedBuilder):
    """MNIST digits that come with this package: 4,000 for training, 1,000 for testing."""

    name = "mnist_5k"
    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "Stratified split with seed 0."}

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            homepage="http://yann.lecun.com/exdb/mnist/",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(28, 28, 1)),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        with np.load(DIGITS) as file:
            images, labels = file["images"], file["labels"].astype(int)
        train, test = seeded_split(labels, _SPLIT_SEED)
        return {
            "train": self._generate_examples(images, labels, train),
            "test": self._generate_examples(images, labels, test),
        }

    def _generate_examples(
        self, images: np.ndarray, labels: np.ndarray, indices: np.ndarray
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for index in indices:
            yield int(index), {"image": images[index], "label": int(labels[index])}
