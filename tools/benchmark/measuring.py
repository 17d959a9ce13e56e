"""Memory and fresh processes for the benchmarks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ssl_keras.reproduce.timing import trainer

__all__ = ["PHOTOS", "Row", "peak", "peak_so_far", "rows_in_process", "trainer"]

Row = dict[str, Any]
# Crops of photographs with the whole recipe, as small as CIFAR's.
PHOTOS: Row = {"dataset": "plain", "source": "photos", "image_size": 32}


def peak_so_far(anew: bool = False) -> int:
    """Peak memory of this process in megabytes; with `anew` the peak starts again from here.

    (The peak of `resource` would include that of the parent when it started this process.)
    """
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024


def peak(settings: Row) -> int:
    """Peak memory in megabytes of a few steps, in a fresh process."""
    command = [sys.executable, "-m", "tools.benchmark", f"--peak={json.dumps(settings)}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.strip().splitlines()[-1])


def rows_in_process(name: str, repeats: int) -> list[Row]:
    """The rows of a benchmark in a fresh process with two logical devices."""
    command = [
        sys.executable,
        "-m",
        "tools.benchmark",
        f"--rows_in_process={name}",
        f"--repeats={repeats}",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout.strip().splitlines()[-1]))
