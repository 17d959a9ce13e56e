"""The directory of a run: claimed without harming another, written whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

from ssl_keras.config import Config
from ssl_keras.errors import UserError
from ssl_keras.registry import plain

# The first line of flags.txt: a directory without it is not a run, and is never touched.
MARK = "# A run of ssl_keras; repeat it with: python -m ssl_keras.train --flagfile=THIS_FILE"

# Everything that a run writes into its directory; only these are ever removed.
NAMES = (
    "flags.txt",
    "config.json",
    "results.json",
    "views.png",
    "tensorboard",
    "checkpoints",
    "saved_model",
    "evaluations",
    "pictures",
    "baselines",
    "finetuned",
)


def is_run(directory: Path) -> bool:
    """Whether this program has made `directory`."""
    flags = directory / "flags.txt"
    try:
        return flags.is_file() and flags.read_text().startswith(MARK)
    except (OSError, UnicodeDecodeError):
        return False


def check(config: Config) -> None:
    """Refuse an explicit --workdir that holds something else, or a run that would be lost.

    Raises:
        UserError: it is a file, holds other things than a run, or a run without --overwrite.
    """
    if config.run.workdir is None:
        return
    workdir = Path(config.run.workdir)
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"workdir is {workdir}, which is a file: choose a directory.")
    if not workdir.is_dir() or not any(workdir.iterdir()):
        return
    if not is_run(workdir):
        raise UserError(
            f"workdir is {workdir}, which holds other things than a run: choose a new or an empty "
            "directory."
        )
    if not config.run.overwrite:
        state = "a finished" if (workdir / "results.json").exists() else "an unfinished"
        raise UserError(
            f"workdir is {workdir}, which holds {state} run: choose another directory, or pass "
            "--overwrite to replace it."
        )


def claim(config: Config) -> Path:
    """Make the directory of the run and write what determines it.

    Without --workdir it is `runs/NAME`, or the first of NAME-2, NAME-3, ... that nobody has
    taken: two equal commands at the same time get one each.

    Raises:
        UserError: as `check`, or the directory cannot be written.
    """
    check(config)
    try:
        if config.run.workdir is not None:
            workdir = Path(config.run.workdir)
            workdir.mkdir(parents=True, exist_ok=True)
        else:
            workdir = _first_free(Path("runs") / config.run_name(), config.run.overwrite)
        if is_run(workdir):
            _clear(workdir)
        (workdir / "flags.txt").write_text(f"{MARK}\n{config.flagfile_text()}")
        write_json(workdir / "config.json", config.replayable())
    except OSError as error:
        place = config.run.workdir or "runs"
        raise UserError(
            f"workdir {place} cannot be written ({error.strerror or error}): choose another "
            "--workdir."
        ) from error
    return workdir


def _first_free(base: Path, overwrite: bool) -> Path:
    base.parent.mkdir(parents=True, exist_ok=True)
    if overwrite and is_run(base):
        return base
    for number in count(1):
        workdir = base if number == 1 else base.with_name(f"{base.name}-{number}")
        try:
            workdir.mkdir()
        except FileExistsError:
            continue
        return workdir
    raise AssertionError("count is endless")


def _clear(workdir: Path) -> None:
    # The mark goes last: an interrupted clearing leaves a directory that is still known as a run.
    for name in sorted(NAMES, key=lambda name: name == "flags.txt"):
        path = workdir / name
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.exists() or path.is_symlink():
            path.unlink()


def holds(directory: Path, config: Config) -> bool:
    """Whether `directory` is a finished run of exactly this configuration."""
    try:
        _, results = read(directory)
    except UserError:
        return False
    wanted = json.loads(json.dumps(config.determining()))
    finished = results["saved_model_relative_difference"] is not None
    return bool(finished and results["config"] == wanted)


def is_saved_model(directory: Path) -> bool:
    """Whether `directory` is a SavedModel."""
    return (directory / "saved_model.pb").is_file()


def evaluation_path(directory: Path, settings: Any) -> Path:
    """Where in `directory` an evaluation with these settings is kept; the same settings have the
    same place."""
    return _kept_path(directory, "-".join(settings["heads"]), settings)


def finetuned_path(workdir: Path, settings: Any) -> Path:
    """Where a fine-tuning with these settings is kept; the same settings have the same place."""
    names = ("feature", "label_fraction", "finetune_from")
    return _kept_path(workdir / "finetuned", "-".join(plain(settings[n]) for n in names), settings)


def _kept_path(directory: Path, name: str, settings: Any) -> Path:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    directory.mkdir(exist_ok=True)
    return directory / f"{name}-{digest}.json"


@contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
    """A place to fill, which becomes the directory `path` in the end, or nothing does."""
    temporary = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write all of it or nothing."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
    os.replace(temporary, path)


def read(workdir: Path) -> tuple[Config, dict[str, Any]]:
    """Configuration and results of a finished run.

    Raises:
        UserError: it is not the directory of a run, the run is not finished, or a file of it is
            damaged.
    """
    if not workdir.is_dir():
        raise UserError(f"The run {workdir} does not exist: give the directory of a finished run.")
    if not is_run(workdir):
        raise UserError(
            f"{workdir} is not the directory of a run: its flags.txt is missing or of something "
            "else."
        )
    if not (workdir / "results.json").is_file():
        raise UserError(f"The run {workdir} is not finished: it has no results.json.")
    found = []
    for name in ("config.json", "results.json"):
        try:
            found.append(json.loads((workdir / name).read_text()))
        except (OSError, ValueError) as error:
            raise UserError(f"{workdir / name} cannot be read: {error}; repeat the run.") from error
    return Config.make(**found[0]), found[1]
