"""The bits head on features that hold a known number of bits."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_keras.datasets import Target
from ssl_keras.evaluators import EVALUATORS, FrozenFeatures
from ssl_keras.evaluators.bits import entropy

BITS = Target("bits", "bits", 6, 0.5, 0.5**6)


def frozen(held: int, error: float = 0.0) -> FrozenFeatures:
    """Features from which `held` of six bits can be read, some of them wrong by `error`."""
    generator = np.random.default_rng(0)

    def split(count: int) -> tuple[np.ndarray, np.ndarray]:
        bits = generator.integers(0, 2, (count, 6)).astype(np.int32)
        seen = bits ^ (generator.random((count, 6)) < error)
        features = np.where(np.arange(6) < held, 2 * seen - 1, generator.normal(size=(count, 6)))
        return features.astype(np.float32), bits

    (train, train_bits), (test, test_bits) = split(20_000), split(20_000)
    return FrozenFeatures(train, test, {"bits": train_bits}, {"bits": test_bits}, {"bits": BITS})


@pytest.mark.parametrize("held", [0, 2, 6])
def test_bits_that_are_there_are_counted_exactly(held: int) -> None:
    values = dict(EVALUATORS.get("bits").evaluate(frozen(held), 0))
    assert values["bits/recovered"] == held
    np.testing.assert_allclose(values["bits/information"], held, atol=0.01)
    np.testing.assert_allclose(values["bits/entropy"], 6, atol=0.01)
    for bit in range(6):
        accuracy = values[f"bits/bit_{bit}"]
        assert accuracy == 1.0 if bit < held else abs(accuracy - 0.5) < 0.02


def test_noisy_bits_carry_the_capacity_of_their_channel() -> None:
    values = dict(EVALUATORS.get("bits").evaluate(frozen(6, error=0.1), 0))
    expected = 6 * (1 - float(entropy(np.array(0.1))))
    np.testing.assert_allclose(values["bits/information"], expected, rtol=0.03)
    assert values["bits/recovered"] == 0
    lenient = EVALUATORS.get("bits", bits_recovered_at=0.85)
    assert dict(lenient.evaluate(frozen(6, error=0.1), 0))["bits/recovered"] == 6


def test_data_without_bits_gives_nothing() -> None:
    features, labels = np.ones((8, 2), np.float32), np.arange(8) % 2
    declared = {"class": Target("class", "class", 2, 0.5, 0.5)}
    arrays = FrozenFeatures(features, features, {"class": labels}, {"class": labels}, declared)
    assert dict(EVALUATORS.get("bits").evaluate(arrays, 0)) == {}


def test_entropy_in_bits() -> None:
    np.testing.assert_allclose(entropy(np.array([0, 0.5, 1, 0.25])), [0, 1, 0, 0.811278], rtol=1e-5)
