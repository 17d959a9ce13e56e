"""Baselines: another method with the same encoder, measured by all the other evaluators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from ssl_keras.evaluators.base import Evaluator, FrozenFeatures
from ssl_keras.options import option


@dataclass(frozen=True)
class Baseline(Evaluator):
    """Base of the baselines: the run trains the method and applies the other evaluators to it."""

    method: ClassVar[str]

    needs_labels = False

    def settings(self) -> dict[str, Any]:
        """Settings in which the baseline differs from the run."""
        return {"method": self.method}

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        yield from ()


@dataclass(frozen=True)
class SupervisedBaseline(Baseline):
    """The same encoder, initial weights, data, views and budget, trained with labels.

    All other evaluators measure it as well; their names begin with "supervised/".
    """

    baseline_target: str | None = option(None, help="target of the supervised baseline (class)")

    method = "supervised"

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "supervised_target": self.baseline_target}


@dataclass(frozen=True)
class AutoencoderBaseline(Baseline):
    """The same encoder, initial weights, data, views and budget, trained to reconstruct its input.

    All other evaluators measure it as well; their names begin with "autoencoder/", as do the errors
    of the reconstruction of image and extra channels.
    """

    baseline_extra_channels_weight: float | None = option(
        None,
        minimum=0,
        help="extra_channels_weight of the autoencoder baseline (every channel alike)",
    )

    method = "autoencoder"

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "extra_channels_weight": self.baseline_extra_channels_weight}
