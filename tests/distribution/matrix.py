"""Every combination of strategy, precision, compilation and parts of a batch: two steps, in float32
those of one device, or a refusal. Run as a program by each of several workers, with TF_CONFIG:

    python -m tests.distribution.matrix         # those of `COVERING`, and all that are refused
    python -m tests.distribution.matrix --all
"""

from __future__ import annotations

import functools
import itertools
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ssl_keras.cli import startup
from ssl_keras.config import Config
from ssl_keras.config.combinations import REFUSED
from ssl_keras.errors import UserError
from ssl_keras.run import build
from ssl_keras.run.callbacks import Listener
from ssl_keras.run.loop import train_setup

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
    "log_every": 1,
    "optimizer": "sgd",
    "learning_rate": 0.01,
}


# (precision, compilation, in parts), by strategy: each value of a setting meets each value of
# another one that it may meet.
COVERING: dict[str, set[tuple[str, str, bool]]] = {
    "none": {
        ("off", "off", True),
        ("off", "on", False),
        ("float16", "off", False),
        ("float16", "off", True),
        ("bfloat16", "off", False),
        ("bfloat16", "on", True),
    },
    "mirrored": {("off", "off", False), ("bfloat16", "off", True)},
    "multi_worker": {("off", "off", False), ("bfloat16", "off", True)},
}


# Those that `make check` trains: each value of a setting. Workers are trained together.
CHECKED: dict[str, set[tuple[str, str, bool]]] = {
    "none": {("off", "on", False), ("float16", "off", False), ("bfloat16", "on", True)},
    "mirrored": {("off", "off", False)},
    "multi_worker": COVERING["multi_worker"],
}


def is_in(some: Mapping[str, set[tuple[str, str, bool]]], values: Mapping[str, Any]) -> bool:
    """Whether a combination is one of `some`."""
    key = (values["mixed_precision"], values["jit"], values["micro_batch"] is not None)
    return key in some[values["strategy"]]


def combinations(strategy: str) -> Iterator[dict[str, Any]]:
    """All combinations with one strategy."""
    for precision, jit, micro_batch in itertools.product(
        ("off", "float16", "bfloat16"), ("off", "on"), (None, 4 if strategy == "none" else 2)
    ):
        found = {"mixed_precision": precision, "jit": jit, "micro_batch": micro_batch}
        yield {**found, "strategy": strategy, "devices": 2 if strategy == "mirrored" else None}


def is_refused(values: dict[str, Any]) -> bool:
    """Whether the table of the guide refuses it."""
    return any(
        all(str(values.get(setting)) in refused for setting, refused in (row.first, row.second))
        for row in REFUSED
    )


class Losses(Listener):
    """Keeps the loss of every step."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_log(self, step: int, values: Mapping[str, float]) -> None:
        self.losses.append(values["loss"])


def trained(config: Config) -> tuple[list[float], list[np.ndarray]]:
    """The losses, and how far every variable has moved."""
    log, built = Losses(), build(config)
    start = [variable.numpy() for variable in built.model.variables]
    train_setup(built, [log], 0)
    moved = [v.numpy() - old for v, old in zip(built.model.variables, start, strict=True)]
    return log.losses, moved


@functools.cache
def reference() -> tuple[list[float], list[np.ndarray]]:
    """What `trained` gives on one device, in float32, not compiled."""
    return trained(Config.make(**SETTINGS, mixed_precision="off", jit="off"))


def outcome(values: dict[str, Any]) -> str:
    """What becomes of a combination: "trained" or "refused"; anything else raises."""
    try:
        config = Config.make(**{**SETTINGS, **values})
    except UserError as error:
        if "is not supported" not in str(error):
            raise
        return "refused"
    losses, moved = trained(config)
    assert len(losses) == 2
    if config.engine.micro_batch is None:  # in parts, batch norm sees other images
        np.testing.assert_allclose(losses[0], reference()[0][0], rtol=0.05)
    if config.engine.mixed_precision == "off" and config.engine.micro_batch is None:
        for ours, expected in zip(moved, reference()[1], strict=True):
            atol = 5e-3 * np.abs(expected).max() + 1e-6
            np.testing.assert_allclose(ours, expected, rtol=0, atol=atol)
    return "trained"


if __name__ == "__main__":
    startup.start_tensorflow("multi_worker")
    for values in combinations("multi_worker"):
        if "--all" not in sys.argv and not is_refused(values) and not is_in(COVERING, values):
            continue
        found = outcome(values)
        assert found == ("refused" if is_refused(values) else "trained"), values
        print(f"{found}: {values}", flush=True)
