"""The directory of a run: where it is, and writing to it without leaving halves behind."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from ssl_keras.config import Config
from ssl_keras.errors import UserError


def choose(config: Config) -> Path:
    """The directory of the run; a finished run in the default place is kept beside the new one."""
    if config.run.workdir is None:
        base = Path("runs") / config.run_name()
        numbered = (base.with_name(f"{base.name}-{number}") for number in range(2, 10**6))
        while (base / "results.json").exists() and not config.run.overwrite:
            base = next(numbered)
        return base
    workdir = Path(config.run.workdir)
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"workdir is {workdir}, which is a file: choose a directory.")
    if workdir.exists() and any(workdir.iterdir()):
        if not (workdir / "config.json").exists():
            raise UserError(
                f"workdir is {workdir}, which holds other things than a run: choose a new or an "
                "empty directory."
            )
        if (workdir / "results.json").exists() and not config.run.overwrite:
            raise UserError(
                f"workdir is {workdir}, which holds a finished run: choose another directory, or "
                "pass --overwrite to replace it."
            )
    return workdir


def prepare(workdir: Path, config: Config) -> None:
    """Make the directory and write what determines the run."""
    try:
        if workdir.exists():
            shutil.rmtree(workdir)  # `choose` has made sure that it is ours
        workdir.mkdir(parents=True)
        (workdir / "flags.txt").write_text(config.flagfile_text())
        write_json(workdir / "config.json", config.replayable())
    except OSError as error:
        raise UserError(
            f"workdir {workdir} cannot be written ({error.strerror}): choose another --workdir."
        ) from error


def write_json(path: Path, value: Any) -> None:
    """Write all of it or nothing."""
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
    os.replace(temporary, path)
