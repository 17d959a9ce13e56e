"""Random bits concatenated to the image as channels: the RandBit data set.

Chen, Luo, Li 2021, section 4.3, and the authors' notebook (google-research/simclr,
colabs/intriguing_properties/randbits_mnist.ipynb): each image carries an integer in [0, 2^k),
written as k binary planes, least significant bit first, constant over space. The bits are a
feature that both views share for certain and that is trivial to read.

Departure: the notebook derives the integer from a hash of the image; here it is a stateless hash
of (seed, split, example index), so that the bits of an image do not depend on its pixels and k
bits are the first k of k + 1.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from ssl_keras.datasets.base import DataSet, Feature, Split, class_feature
from ssl_keras.datasets.plain import Recipe
from ssl_keras.datasets.sources import Source, SourceSplit
from ssl_keras.registry import option


def random_integers(seed: int, split: str, num_examples: int) -> np.ndarray:
    """One 32-bit integer for each example: uint32 (num_examples,).

    The high half of SplitMix64 (Steele, Lea, Flood 2014) of the example's index, in a stream of
    its own for each (seed, split).
    """
    stream = (np.uint64(seed) << np.uint64(32)) | np.uint64(zlib.crc32(split.encode()))
    start = _mix(np.array([stream], np.uint64))
    return (_mix(start + np.arange(num_examples, dtype=np.uint64)) >> np.uint64(32)).astype(
        np.uint32
    )


def _mix(state: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        state = state * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return state ^ (state >> np.uint64(31))


def binary_digits(integers: np.ndarray, num_bits: int) -> np.ndarray:
    """The lowest `num_bits` bits, least significant first: int32 (examples, num_bits)."""
    shifts = np.arange(num_bits, dtype=np.uint32)
    return ((integers[:, None] >> shifts) & np.uint32(1)).astype(np.int32)


@dataclass(frozen=True)
class BitConcat(Recipe):
    """Images of the source plus `num_bits` random bits as planes of 0 and 1.

    Features: "class" (the source's) and, if num_bits > 0, "bits".

    Args:
        num_bits: 0 to 32; the integer is unsigned, 32 bits wide.
    """

    num_bits: int = option(2, minimum=0, maximum=32, help="random bits added as channels")

    def compose(self, source: Source, seed: int) -> DataSet:
        features = {"class": class_feature("class", source.train.labels, source.num_classes)}
        if self.num_bits:
            features["bits"] = Feature("bits", "bits", self.num_bits, 0.5)

        def split(name: str, part: SourceSplit) -> Split:
            labels = {"class": part.labels}
            if not self.num_bits:
                return Split(part.images, labels)
            bits = binary_digits(random_integers(seed, name, len(part.images)), self.num_bits)
            return Split(part.images, labels | {"bits": bits}, bits.astype(np.float32))

        return DataSet(
            name=f"{self.num_bits} random bits concatenated to {source.name}",
            train=split("train", source.train),
            test=split("test", source.test),
            features=features,
            image_shape=source.image_shape,
            num_bits=self.num_bits,
            augmentation=source.augmentation,
            class_names=source.class_names,
        )
