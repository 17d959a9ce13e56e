"""Schedules: values that depend on the progress of the training, from a text.

linear:0.1:1     from 0.1 to 1, linearly
cosine:1:0.1     from 1 to 0.1, half a cosine: slow at both ends
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ssl_keras.lazy import tf

KINDS = ("linear", "cosine")
SYNTAX = " or ".join(f"{kind}:START:END" for kind in KINDS)


@dataclass(frozen=True)
class Schedule:
    """From `start` to `end` over the training.

        linear: start + (end - start) * p
        cosine: start + (end - start) * (1 - cos(pi p)) / 2

    with p the share of the training steps that have been done.
    """

    kind: str
    start: float
    end: float

    def at(self, progress: Any) -> Any:
        """The value at `progress` in [0, 1]: a float for a float, a tensor for a tensor."""
        if isinstance(progress, (int, float)):
            share = self._share(min(max(float(progress), 0.0), 1.0), math.cos)
        else:
            share = self._share(tf.clip_by_value(tf.cast(progress, tf.float32), 0.0, 1.0), tf.cos)
        return self.start + (self.end - self.start) * share

    def _share(self, progress: Any, cosine: Callable[[Any], Any]) -> Any:
        return progress if self.kind == "linear" else (1.0 - cosine(math.pi * progress)) / 2.0

    def __str__(self) -> str:
        return f"{self.kind}:{self.start!r}:{self.end!r}"


def parse(text: str) -> Schedule | None:
    """The schedule that `text` describes; None for any other text."""
    kind, *numbers = text.split(":")
    if kind not in KINDS or len(numbers) != 2:
        return None
    try:
        return Schedule(kind, float(numbers[0]), float(numbers[1]))
    except ValueError:
        return None
