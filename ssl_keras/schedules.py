"""Schedules: values that depend on the progress of the training, from a text.

linear:0.1:1     from 0.1 to 1, linearly
cosine:1:0.1     from 1 to 0.1, half a cosine: slow at both ends
cosine:1:0.1:4   from 1 to 0.1 and back, four times
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ssl_keras.lazy import tf

KINDS = ("linear", "cosine")
SYNTAX = f"{KINDS[0]}:START:END or {KINDS[1]}:START:END[:PERIODS]"


@dataclass(frozen=True)
class Schedule:
    """From `start` to `end` over the training.

        linear:              start + (end - start) * p
        cosine:              start + (end - start) * (1 - cos(pi p)) / 2
        cosine with periods: start + (end - start) * (1 - cos(2 pi periods p)) / 2

    with p the share of the training steps that have been done. A temperature with periods is from
    Kukleva et al. 2023 (arXiv 2303.13664), "Temperature schedules for self-supervised contrastive
    methods on long-tail data": from 1 to 0.1 and back, every 400 of 2,000 epochs.
    """

    kind: str
    start: float
    end: float
    periods: float | None = None

    def at(self, progress: Any) -> Any:
        """The value at `progress` in [0, 1]: a float for a float, a tensor for a tensor."""
        if isinstance(progress, (int, float)):
            share = self._share(min(max(float(progress), 0.0), 1.0), math.cos)
        else:
            share = self._share(tf.clip_by_value(tf.cast(progress, tf.float32), 0.0, 1.0), tf.cos)
        return self.start + (self.end - self.start) * share

    def _share(self, progress: Any, cosine: Callable[[Any], Any]) -> Any:
        if self.kind == "linear":
            return progress
        halves = 1.0 if self.periods is None else 2.0 * self.periods
        return (1.0 - cosine(math.pi * halves * progress)) / 2.0

    def __str__(self) -> str:
        periods = "" if self.periods is None else f":{self.periods!r}"
        return f"{self.kind}:{self.start!r}:{self.end!r}{periods}"


def parse(text: str) -> Schedule | None:
    """The schedule that `text` describes; None for any other text."""
    kind, *texts = text.split(":")
    if kind not in KINDS or len(texts) not in ((2, 3) if kind == "cosine" else (2,)):
        return None
    try:
        numbers = [float(text) for text in texts]
    except ValueError:
        return None
    if len(numbers) == 3 and not 0 < numbers[2] <= 1e6:
        return None
    return Schedule(kind, *numbers)
