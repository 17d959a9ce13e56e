"""Folders of runs that were never trained: directories as runs write them, with given numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ssl_keras import files
from ssl_keras.config import Config
from ssl_keras.run import environment, run_directory

BASE: dict[str, Any] = {"loss": "nt_xent", "steps": 4, "batch_size": 16, "heads": "linear"}
KEY = "linear/features/class/accuracy"


def write_unfinished(workdir: Path, step: int = 0, **settings: Any) -> Path:
    """A run that was interrupted; of `step` steps there is a checkpoint."""
    config = Config.make(**{**BASE, **settings})
    workdir.mkdir(parents=True)
    about = {"format": run_directory.FORMAT, "requested": config.replayable()}
    files.write_json(workdir / "config.json", {**about, **config.replayable()})
    (workdir / "flags.txt").write_text(f"{run_directory.MARK}\n{config.flagfile_text()}")
    (workdir / "checkpoints").mkdir()
    if step:
        state = {"history": {"records": history(step)}, "seconds": 30.0}
        path = workdir / "checkpoints" / f"step-{step}.json"
        path.write_text(json.dumps({"step": step, "state": state}))
    return workdir


def history(steps: int) -> list[dict[str, float]]:
    return [
        {"step": k, "loss": 5.0 - k, "linear_probe/class/accuracy": k / 10} for k in range(steps)
    ]


def write_run(
    workdir: Path,
    accuracy: float,
    untrained: float | None = 0.3,
    results: dict[str, float] | None = None,
    **settings: Any,
) -> Path:
    """A finished run with a class of ten and two bits, which measured `accuracy`."""
    write_unfinished(workdir, **settings)
    config = Config.make(**{**BASE, **settings})
    values = {KEY: accuracy, f"{KEY}_low": accuracy - 0.05, f"{KEY}_high": accuracy + 0.05}
    values |= {} if untrained is None else {f"untrained/{KEY}": untrained}
    values |= {"linear/features/bits/accuracy": 0.9, **(results or {})}
    bits = {"name": "bits", "kind": "bits", "size": 2, "chance": 0.5, "all_right_chance": 0.25}
    ten = {"name": "class", "kind": "class", "size": 10, "chance": 0.1, "all_right_chance": 0.1}
    steps = config.flat()["steps"]
    record = {
        "setup": {},
        "config": config.determining(),
        "requested": config.determining(),
        "data": {"version": config.builder.version, "targets": {"class": ten, "bits": bits}},
        "engine": {},
        "steps": steps,
        "seed": 0,
        "paths": {},
        "times": {"total": 125.0},
        "training": history(steps)[-1],
        "history": history(steps),
        "geometry_history": [],
        "warning": None,
        "weights_sha256": "",
        "protocol": {},
        "saved_model_relative_difference": None,
        "hardware": {},
        "results": values,
        "finished": True,
        "versions": environment.versions(),
    }
    files.write_json(workdir / "results.json", record)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 900, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(workdir / "views.png")
    return workdir
