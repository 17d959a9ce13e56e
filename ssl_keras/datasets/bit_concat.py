"""Random bits concatenated to the image as channels: the RandBit data set.

Chen, Luo, Li 2021, section 4.3, and the authors' notebook (google-research/simclr,
colabs/intriguing_properties/randbits_mnist.ipynb): each image carries an integer in [0, 2^k),
written as k binary bits, least significant bit first, constant over space. Both views share the
bits, and they are trivial to read.

Departure: the notebook derives the integer from a hash of the image; here it is a stateless hash
of (seed, split, example index), so that the bits of an image do not depend on its pixels and k
bits are the first k of k + 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssl_keras.datasets import hashing
from ssl_keras.datasets.base import (
    BuildContext,
    DataSet,
    ImageBuilder,
    Target,
    images,
    vector_target,
)
from ssl_keras.datasets.examples import Examples
from ssl_keras.datasets.plain import source_labels, source_targets
from ssl_keras.datasets.splits import Split
from ssl_keras.errors import UserError
from ssl_keras.lazy import tf
from ssl_keras.options import option


def binary_digits(integers: np.ndarray, num_bits: int) -> np.ndarray:
    """The lowest `num_bits` bits, least significant first: int32 (examples, num_bits)."""
    shifts = np.arange(num_bits, dtype=np.uint32)
    return ((integers[:, None] >> shifts) & np.uint32(1)).astype(np.int32)


@dataclass(frozen=True)
class BitConcat(ImageBuilder):
    """Images of the source plus `num_bits` random bits as channels.

    Targets: "class" (the source's) and, if num_bits > 0, "bits".

    Args:
        num_bits: 0 to 32; the integer is unsigned, 32 bits wide.
        bit_scale: value of a bit channel whose bit is 1; the other value is 0. Smaller bits are
            harder to read.
        num_unique_values: number of distinct integers, at most 2^num_bits; None for all. The n
            values are the first n of n + 1, and their k bits are a prefix of their k + 1 bits.
    """

    num_bits: int = option(2, minimum=0, maximum=32, help="number of random bits, one channel each")
    bit_scale: float = option(1.0, above=0, help="value of a bit channel whose bit is 1")
    num_unique_values: int | None = option(
        None, minimum=1, help="number of distinct integers (all)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_unique_values is not None and self.num_unique_values > 2**self.num_bits:
            raise UserError(
                f"num_unique_values is {self.num_unique_values}, but {self.num_bits} bits have "
                f"only {2**self.num_bits} values: choose fewer values or more bits."
            )

    def integers(self, seed: int, split: str, count: int) -> np.ndarray:
        """The integer of each example of a split: uint32 (count,)."""
        if self.num_unique_values is None:
            return hashing.random_integers(seed, split, count)
        member = hashing.random_below(seed, f"{split}/value", count, self.num_unique_values)
        # An odd multiplier makes the lowest k bits a bijection of the lowest k bits of `member`,
        # for every k, so the values differ in the bits in use.
        factor, shift = hashing.random_integers(seed, "values", 2).astype(np.uint64)
        values = member.astype(np.uint64) * (factor | np.uint64(1)) + shift
        return (values & np.uint64(0xFFFFFFFF)).astype(np.uint32)

    def build(self, context: BuildContext) -> DataSet:
        source, seed = self.main_source(context), context.seed
        targets = source_targets(source)
        if self.num_bits:
            targets["bits"] = self._target(seed, source.test.count)

        def split(name: str, examples: Examples) -> Split:
            integers = self.integers(seed, name, examples.count)
            table = tf.constant(binary_digits(integers, self.num_bits))

            def compose(batch: Mapping[str, Any]) -> dict[str, Any]:
                labels = source_labels(batch)
                example = {"image": batch["image"]}
                if self.num_bits:
                    bits = tf.gather(table, batch["index"])
                    labels["bits"] = bits
                    example["bits"] = tf.cast(bits, tf.float32) * self.bit_scale
                return {"example": example, "labels": labels}

            return Split(examples, compose)

        return DataSet(
            name=f"{self.num_bits} random bits concatenated to {source.name}",
            train=split("train", source.train),
            test=split("test", source.test),
            targets=targets,
            modality=images(source, self.num_bits),
            notices=source.notices,
        )

    def _target(self, seed: int, count: int) -> Target:
        if self.num_unique_values is None:
            return Target("bits", "bits", self.num_bits, 0.5, 0.5**self.num_bits)
        bits = binary_digits(self.integers(seed, "test", count), self.num_bits)
        return vector_target("bits", "bits", bits)
