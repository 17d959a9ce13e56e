"""Baselines as heads: another method on the same encoder, measured by all the other heads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from ssl_keras.evaluation.base import FrozenFeatures, Head
from ssl_keras.registry import option


@dataclass(frozen=True)
class Baseline(Head):
    """Base of the baselines. Whoever evaluates trains the method and applies the other heads."""

    method: ClassVar[str]

    needs_labels = False

    def settings(self) -> dict[str, Any]:
        """Settings of the baseline's run that are not those of the run beside it."""
        return {"method": self.method}

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        yield from ()


@dataclass(frozen=True)
class SupervisedBaseline(Baseline):
    """The same encoder, initial weights, data, views and budget, trained with labels.

    All other heads measure it as well; their values stand under "supervised/".
    """

    baseline_feature: str | None = option(
        None, help="feature that the supervised encoder that is trained as a head learns (class)"
    )

    method = "supervised"

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "supervised_feature": self.baseline_feature}


@dataclass(frozen=True)
class AutoencoderBaseline(Baseline):
    """The same encoder, initial weights, data, views and budget, trained to reconstruct its input.

    All other heads measure it as well; their values stand under "autoencoder/", with the errors of
    the reconstruction of image and planes.
    """

    baseline_planes_weight: float | None = option(
        None,
        minimum=0,
        help="planes_weight of the autoencoder that is trained as a head (planes / image channels)",
    )

    method = "autoencoder"

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "planes_weight": self.baseline_planes_weight}
