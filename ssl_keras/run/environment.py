"""The environment of a run: versions of packages, commit, hardware."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import psutil

from ssl_keras import __version__
from ssl_keras.lazy import tf


def versions() -> dict[str, str]:
    """Versions of this package, of Python and of the main dependencies, and the commit."""
    packages = ("tensorflow", "keras", "keras-cv", "tensorflow-datasets", "numpy")
    return {
        "ssl_keras": __version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in packages},
        "commit": commit(),
    }


def hardware() -> dict[str, Any]:
    """Processor, number of cores this process may use, and GPUs."""
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1] for line in info.read_text().splitlines() if "model name" in line
        ]
        processor = names[0].strip() if names else processor
    return {
        "processor": processor,
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "gpus": [
            tf.config.experimental.get_device_details(device).get("device_name", device.name)
            for device in tf.config.list_physical_devices("GPU")
        ],
    }


def memory() -> dict[str, float]:
    """Memory in use by this process, and on the first GPU (if any), in GiB."""
    used = {"memory_gib": psutil.Process().memory_info().rss}
    if tf.config.list_physical_devices("GPU"):
        used["gpu_memory_gib"] = tf.config.experimental.get_memory_info("GPU:0")["current"]
    return {name: size / 2**30 for name, size in used.items()}


@functools.cache
def commit() -> str:
    """The commit of this package, with "+changes" if files differ from it; "unknown" if the package
    is not in its repository."""
    root = Path(__file__).resolve().parents[2]

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root:
            return "unknown"
        changes = "+changes" if git("status", "--porcelain") else ""
        return git("rev-parse", "HEAD") + changes
    except (OSError, subprocess.SubprocessError):
        return "unknown"
