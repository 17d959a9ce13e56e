"""What the benchmarks measure with."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]
# Crops of photographs with the whole recipe, as small as CIFAR's.
PHOTOS: Row = {"dataset": "plain", "source": "photos", "image_size": 32}


def trainer(**settings: Any) -> Callable[[int], float]:
    """A function that trains some steps and returns the seconds it took; it is warmed up."""
    from ssl_keras.config import Config
    from ssl_keras.run import build
    from ssl_keras.run.looping import batches

    base = {"heads": "", "steps": 10**6, "measure_images": 0, "loss": "nt_xent"}
    built = build(Config.make(**{**base, **settings}))
    built.model.make_train_function()
    iterator = iter(batches(built, 0))

    def train(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            logs = built.model.train_function(iterator)
        float(logs["loss"])  # waits for the device
        return time.perf_counter() - start

    train(3)
    train.built = built  # type: ignore[attr-defined]
    return train


def peak_so_far(anew: bool = False) -> int:
    """Most megabytes that this process has held, or `anew`: what it holds now, as a beginning.

    (What `resource` tells is at least what the parent held when it started this process.)
    """
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024


def peak_of(settings: Row) -> int:
    """Peak memory in megabytes of a few steps, in a process of its own."""
    command = [sys.executable, "-m", "tools.benchmark", f"--peak_of={json.dumps(settings)}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.strip().splitlines()[-1])


def rows_of(name: str, repeats: int) -> list[Row]:
    """A benchmark in a process of its own, with two logical devices."""
    command = [sys.executable, "-m", "tools.benchmark", f"--rows_of={name}", f"--repeats={repeats}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout.strip().splitlines()[-1]))
