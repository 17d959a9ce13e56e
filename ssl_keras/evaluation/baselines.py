"""Baselines as heads: another method on the same encoder, measured by all the other heads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from ssl_keras.evaluation.base import FrozenFeatures, Head


@dataclass(frozen=True)
class Baseline(Head):
    """Base of the baselines. Whoever evaluates trains the method and applies the other heads."""

    method: ClassVar[str]

    needs_labels = False

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        yield from ()


@dataclass(frozen=True)
class SupervisedBaseline(Baseline):
    """The same encoder, initial weights, data, views and budget, trained with labels.

    All other heads measure it as well; their values stand under "supervised/".
    """

    method = "supervised"


@dataclass(frozen=True)
class AutoencoderBaseline(Baseline):
    """The same encoder, initial weights, data, views and budget, trained to reconstruct its input.

    All other heads measure it as well; their values stand under "autoencoder/", with the errors of
    the reconstruction of image and planes.
    """

    method = "autoencoder"
