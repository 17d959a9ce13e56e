"""What the benchmarks measure with."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ssl_keras.reproduce.timing import trainer

__all__ = ["PHOTOS", "Row", "peak_of", "peak_so_far", "rows_of", "trainer"]

Row = dict[str, Any]
# Crops of photographs with the whole recipe, as small as CIFAR's.
PHOTOS: Row = {"dataset": "plain", "source": "photos", "image_size": 32}


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
