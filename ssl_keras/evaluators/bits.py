"""How many of the random bits can be decoded from features."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ssl_keras.evaluators.base import Evaluator, FrozenFeatures
from ssl_keras.evaluators.linear import probe
from ssl_keras.options import option


@dataclass(frozen=True)
class Bits(Evaluator):
    """Accuracy of each random bit, and the information of the features about all of them.

    From the regressions of the evaluator `linear` on test images:

        bit_0, bit_1, ...   accuracy of each bit, the least significant first
        recovered           number of bits with an accuracy of at least `bits_recovered_at`
        information         sum over bits of max(0, H(bit) - cross-entropy), in bits

    with H the entropy of the bit in the training labels; `entropy` is its sum over bits. The
    cross-entropy of any predictor is at least H(bit | features), so the information is at most the
    sum of the mutual informations of the features with each bit; for independent bits that is at
    most their mutual information with the integer. The bound holds in expectation: on finitely many
    test images chance can exceed it. Data without bits has no values.
    """

    bits_recovered_at: float = option(
        0.99, above=0.5, maximum=1, help="accuracy from which a bit counts as recovered"
    )

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        for name, target in frozen.targets.items():
            if target.kind != "bits":
                continue
            logits = probe(frozen, name, seed).logits
            labels = frozen.test_labels[name]
            right = np.mean((logits > 0) == (labels > 0), axis=0)
            for bit, accuracy in enumerate(right):
                yield f"{name}/bit_{bit}", float(accuracy)
            yield f"{name}/recovered", float(np.sum(right >= self.bits_recovered_at))
            shares = np.mean(frozen.train_labels[name], axis=0)
            surprise = np.mean(np.logaddexp(0.0, logits) - labels * logits, axis=0) / math.log(2)
            yield f"{name}/information", float(np.sum(np.maximum(entropy(shares) - surprise, 0)))
            yield f"{name}/entropy", float(np.sum(entropy(shares)))


def entropy(shares: np.ndarray) -> np.ndarray:
    """Entropy, in bits, of binary variables that are 1 with these probabilities."""
    inside = np.clip(shares, 1e-12, 1 - 1e-12)
    result = -(inside * np.log2(inside) + (1 - inside) * np.log2(1 - inside))
    return np.where((shares == 0) | (shares == 1), 0.0, result)
