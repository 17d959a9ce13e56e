"""Seconds of training steps."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def trainer(**settings: Any) -> Callable[[int], float]:
    """A function that trains some steps and returns the seconds it took; it is warmed up."""
    from ssl_keras.config import Config
    from ssl_keras.run import build
    from ssl_keras.run.loop import batches

    base = {"heads": "", "steps": 10**6, "measure_images": 0, "loss": "nt_xent"}
    setup = build(Config.make(**{**base, **settings}))
    setup.model.make_train_function()
    iterator = iter(batches(setup, 0))

    def train(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            logs = setup.model.train_function(iterator)
        float(logs["loss"])  # waits for the device
        return time.perf_counter() - start

    train(3)
    train.setup = setup  # type: ignore[attr-defined]
    return train
