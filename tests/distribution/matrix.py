"""Every combination of strategy, precision, compilation and parts of a batch: two steps, in float32
those of one device, or a refusal. Run as a program by each of several workers, with TF_CONFIG:

    python -m tests.distribution.matrix
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from ssl_keras.cli import startup
from ssl_keras.config import Config
from ssl_keras.config.combinations import REFUSED
from ssl_keras.errors import UserError

SETTINGS: dict[str, Any] = {
    "dataset": "plain",
    "loss": "nt_xent",
    "batch_size": 8,
    "steps": 2,
    "max_train_images": 16,
    "image_size": 16,
    "width_multiplier": 0.125,
    "projection_dim": 4,
    "heads": "",
    "optimizer": "sgd",
    "learning_rate": 0.01,
}


def combinations(strategy: str) -> Iterator[dict[str, Any]]:
    """All combinations with one strategy."""
    for precision, jit, micro_batch in itertools.product(
        ("off", "float16", "bfloat16"), ("off", "on"), (None, 2)
    ):
        found = {"mixed_precision": precision, "jit": jit, "micro_batch": micro_batch}
        yield {**found, "strategy": strategy, "devices": 2 if strategy == "mirrored" else None}


def is_refused(values: dict[str, Any]) -> bool:
    """Whether the table of the guide refuses it."""
    return any(
        all(str(values.get(setting)) in refused for setting, refused in (row.first, row.second))
        for row in REFUSED
    )


def outcome(values: dict[str, Any]) -> str:
    """What becomes of a combination: "trained" or "refused"; anything else raises."""
    from ssl_keras.run import build
    from ssl_keras.run.looping import train

    class Last:
        """Keeps the last log."""

        logs: dict[str, float] = {}

        def on_log(self, step: int, logs: dict[str, float]) -> None:
            self.logs = {"step": step, **logs}

        def __getattr__(self, name: str) -> Any:
            return lambda *_: None

    try:
        config = Config.make(**{**SETTINGS, **values})
    except UserError as error:
        if "is not supported" not in str(error):
            raise
        return "refused"
    last, built = Last(), build(config)
    start = [variable.numpy() for variable in built.model.variables]
    train(built, [last], 0)
    assert last.logs["step"] == 2
    assert math.isfinite(last.logs["loss"])
    if config.engine.mixed_precision == "off" and config.engine.micro_batch is None:
        alone = build(Config.make(**{**SETTINGS, **values, "strategy": "none", "devices": None}))
        train(alone, [last], 0)
        for ours, theirs, old in zip(
            built.model.variables, alone.model.variables, start, strict=True
        ):
            expected = theirs.numpy() - old
            atol = 5e-3 * np.abs(expected).max() + 1e-6
            np.testing.assert_allclose(ours.numpy() - old, expected, rtol=0, atol=atol)
    return "trained"


if __name__ == "__main__":
    startup.start_tensorflow("multi_worker")
    for values in combinations("multi_worker"):
        found = outcome(values)
        assert found == ("refused" if is_refused(values) else "trained"), values
        print(f"{found}: {values}", flush=True)
