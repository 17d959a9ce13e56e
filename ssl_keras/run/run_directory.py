"""The directory of a run: locked for one process, written atomically."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from ssl_keras import files
from ssl_keras.config import Config
from ssl_keras.errors import Failure, UserError
from ssl_keras.options import plain
from ssl_keras.run.record import RunRecord

# The first line of flags.txt: a directory without it is not a run, and is never changed.
MARK = "# A run of ssl_keras; repeat it with: python -m ssl_keras.train --flagfile=THIS_FILE"
# Version of the contents of a run directory, in config.json; other versions are refused.
FORMAT = 3

# A finished run, while a longer one is trained from it.
SHORTER = "shorter"

# Everything that a run writes into its directory; nothing else is ever removed.
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
    "earlier_stage",
    "finetuned",
    "non_finite.json",
    "initial_encoder.keras",
    SHORTER,
)
# Written after the training; removed when the training is resumed.
_OUTCOMES = ("results.json", "saved_model", "pictures", "non_finite.json")
# What is kept of a finished run in `SHORTER`.
_KEPT = [name for name in NAMES if name not in (SHORTER, "tensorboard")]


def is_run(directory: Path) -> bool:
    """Whether `directory` is that of a run."""
    try:
        return files.read_text(directory / "flags.txt", len(MARK)) == MARK
    except (OSError, ValueError):
        return False


@dataclass
class ClaimedDirectory:
    """A run directory that is locked for this process.

    Attributes:
        workdir: the directory.
        resumes: whether it holds the start of this run.
        extends: whether that is a finished run, which is now longer.
        lock: the open lock file.
        config: the configuration, with every value in force.
        requested: the configuration as requested.
    """

    workdir: Path
    resumes: bool
    extends: bool
    lock: Any
    config: Config
    requested: Config

    def begin(self, data_digests: Mapping[str, str] | None = None) -> None:
        """Remove earlier outcomes, and write the settings. A finished run is kept in `shorter/`
        until the longer one is finished.

        Args:
            data_digests: of the loaded data, see `datasets.digests`. Default: of the data now.

        Raises:
            UserError: it cannot be written.
        """
        workdir, config = self.workdir, self.config
        encoder_file = config.flat().get("encoder_file")
        try:
            encoder = Path(encoder_file).read_bytes() if encoder_file else None
            if self.extends:
                with files.whole_directory(workdir / SHORTER) as place:
                    place.mkdir()
                    for name in _KEPT:
                        files.linked_copy(workdir / name, place / name)
            if is_run(workdir):
                _clear(workdir, NAMES if config.run.overwrite else _OUTCOMES)
            if encoder is not None:
                copy = workdir / "initial_encoder.keras"
                with files.whole_file(copy) as temporary:
                    temporary.write_bytes(encoder)
                config = config.with_values(encoder_file=str(copy))
            about = {
                "format": FORMAT,
                "data_digests": config.data_digests() if data_digests is None else data_digests,
                "requested": self.requested.replayable(),
            }
            (workdir / "checkpoints").mkdir(exist_ok=True)
            files.write_json(workdir / "config.json", {**about, **config.replayable()})
            files.write_text(workdir / "flags.txt", f"{MARK}\n{config.flagfile_text()}")
        except OSError as error:
            raise _unwritable(config, error) from error

    def release(self) -> None:
        """Unlock the directory."""
        self.lock.close()


@contextmanager
def watched(workdir: Path) -> Iterator[None]:
    """An error in the context is about the directory, if that is gone.

    Raises:
        Failure: it is.
    """
    try:
        yield
    except Exception as error:
        if workdir.is_dir():
            raise
        raise Failure(
            f"{workdir} has vanished, so nothing can be written there: put the folder back and run "
            "the same command again, or begin again with it."
        ) from error


def check_place(config: Config) -> None:
    """Check that an explicit --workdir can be the directory of a run.

    Raises:
        UserError: it is a file, or holds something else.
    """
    if config.run.workdir is None:
        return
    workdir = Path(config.run.workdir)
    if workdir.exists() and not workdir.is_dir():
        raise UserError(f"workdir is {workdir}, which is a file: choose a directory.")
    if not workdir.is_dir() or _is_untouched(workdir):
        return
    if not is_run(workdir):
        raise UserError(
            f"workdir is {workdir}, which holds other things than a run: choose a new or an empty "
            "directory."
        )


def _is_untouched(workdir: Path) -> bool:
    """Whether a directory is empty, but for a lock."""
    return {path.name for path in workdir.iterdir()} <= {files.LOCK}


def check(config: Config) -> None:
    """Check that the run can use an explicit --workdir without the loss of another run.

    The same run, unfinished, or finished and now longer, is resumed.

    Args:
        config: the configuration, with every value in force, see `setup.build`.

    Raises:
        UserError: see `check_place`; or it holds another run, and --overwrite is not set.
    """
    check_place(config)
    workdir = Path(config.run.workdir or "")
    if config.run.workdir is None or not is_run(workdir) or config.run.overwrite:
        return
    is_finished = finished(workdir)
    state = "a finished" if is_finished else "an unfinished"
    before = _configuration(workdir)
    differing = {} if before is None else config.differences(before)
    if before is not None and differing:
        name, (here, there) = next(iter(differing.items()))
        others = f" (and {len(differing) - 1} more differ)" if len(differing) > 1 else ""
        raise UserError(
            f"workdir is {workdir}, which holds {state} run with {name}={there}, not {here}"
            f"{others}: to resume it give the same flags, or choose another --workdir, or pass "
            "--overwrite to replace it."
        )
    changed = changed_source(workdir, config.data_digests())
    if changed is not None:
        raise UserError(
            f"workdir is {workdir}, which holds {state} run, and the data of --{changed} have "
            "changed since it was begun: restore them, or choose another --workdir, or pass "
            "--overwrite to begin again on the data as they are."
        )
    if before is not None and not (workdir / "checkpoints").is_dir():
        raise UserError(
            f"workdir is {workdir}, which holds {state} run whose folder checkpoints is gone: put "
            "it back, or choose another --workdir, or pass --overwrite to begin again."
        )
    if before is None or (is_finished and not config.is_longer_than(before)):
        raise UserError(
            f"workdir is {workdir}, which holds {state} run: choose another directory, or pass "
            "--overwrite to replace it; python -m ssl_keras.evaluate measures it with other "
            "evaluators."
        )


def _settings(workdir: Path) -> dict[str, Any] | None:
    """The contents of config.json; None if it cannot be read."""
    try:
        settings = files.read_json(workdir / "config.json")
    except UserError:
        return None
    return settings if isinstance(settings, dict) else None


def _configuration(workdir: Path, requested: bool = False) -> dict[str, Any] | None:
    """The settings in config.json, in force or `requested`; None if it cannot be read.

    Raises:
        UserError: it has another format.
    """
    settings = _settings(workdir)
    if settings is None:
        return None
    if not requested:
        return _check_format(workdir, settings)
    asked = settings.get("requested")
    return asked if isinstance(asked, dict) else None


def changed_source(workdir: Path, digests: Mapping[str, str]) -> str | None:
    """The option of a source whose data have changed since a run was begun, or None.

    Args:
        workdir: directory of the run.
        digests: those of the data now, see `datasets.digests`.
    """
    before = (_settings(workdir) or {}).get("data_digests")
    if not isinstance(before, dict):
        return None
    return next((n for n in before if digests.get(n, before[n]) != before[n]), None)


def read_settings(workdir: Path) -> dict[str, Any]:
    """The settings of a run, finished or not, that its results depend on.

    Raises:
        UserError: they cannot be read, or have another format.
    """
    settings = _readable_configuration(workdir)
    try:
        return Config.make(**settings).determining()
    except UserError:  # of a part that is not there any more
        return settings


def read_config(workdir: Path) -> Config:
    """The configuration of a run, finished or not.

    Raises:
        UserError: it cannot be read, or has another format.
    """
    return Config.make(**_readable_configuration(workdir))


def _readable_configuration(workdir: Path) -> dict[str, Any]:
    path = workdir / "config.json"
    _read(path)  # says why it cannot be read
    settings = _configuration(workdir)
    if settings is None:
        raise UserError(f"{path} is damaged (it is no dictionary): repeat the run.")
    for name, value in settings.items():
        simple = value is None or isinstance(value, (str, int, float))
        if name in ("cls", "base") or not simple:
            raise UserError(f"{path} is damaged (the setting {name!r}): repeat the run.")
    return settings


def _read(path: Path) -> Any:
    """The contents of a record.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return files.read_json(path)
    except UserError as error:
        raise UserError(f"{error}; repeat the run.") from error


def _check_format(workdir: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings in force, from the contents of config.json.

    Raises:
        UserError: they have another format.
    """
    number = settings.pop("format", 1)
    for name in ("requested", "data_digests"):
        settings.pop(name, None)
    if number != FORMAT:
        raise UserError(
            f"The run {workdir} has the format {number}, but this version of ssl_keras reads "
            f"format {FORMAT}: repeat the run, with --overwrite or in another directory."
        )
    return settings


def finished(workdir: Path) -> bool:
    """Whether a run is complete, its export included."""
    try:
        return files.read_json(workdir / "results.json")["finished"] is True
    except (UserError, KeyError, TypeError, IndexError):
        return False


def claim(config: Config, requested: Config | None = None) -> ClaimedDirectory:
    """Create and lock the directory of the run, or lock the one that holds its start.

    Without --workdir it is the first of `runs/NAME`, NAME-2, NAME-3, ... that is new, or that holds
    an unfinished run of the same settings and is not locked. So two equal commands at the same time
    have two directories.

    Args:
        config: the configuration, with every value in force, see `setup.build`.
        requested: the configuration as requested. Default: the same.

    Raises:
        UserError: see `check`; or the directory cannot be written.
    """
    check(config)
    try:
        if config.run.workdir is not None:
            workdir = Path(config.run.workdir)
            workdir.mkdir(parents=True, exist_ok=True)
            lock = files.lock(workdir, create=True)
            if lock is None:
                raise UserError(
                    f"workdir is {workdir}, which another process is using: wait for it, or "
                    "choose another --workdir."
                )
        else:
            workdir, lock = _first_free(Path("runs") / config.run_name(), config)
        files.check_own(workdir, (files.LOCK, *NAMES))
        files.remove_leftovers(workdir, NAMES)
    except OSError as error:
        raise _unwritable(config, error) from error
    resumes = is_run(workdir) and not config.run.overwrite
    extends = resumes and finished(workdir)
    return ClaimedDirectory(workdir, resumes, extends, lock, config, requested or config)


def _unwritable(config: Config, error: OSError) -> UserError:
    place = config.run.workdir or "runs"
    return UserError(
        f"workdir {place} cannot be written ({error.strerror or error}): choose another --workdir."
    )


def _first_free(base: Path, config: Config) -> tuple[Path, Any]:
    base.parent.mkdir(parents=True, exist_ok=True)
    for number in count(1):
        workdir = base if number == 1 else base.with_name(f"{base.name}-{number}")
        try:
            workdir.mkdir()
        except FileExistsError:
            replaced = config.run.overwrite and number == 1 and is_run(workdir)
            if not (replaced or _is_untouched(workdir) or resumable(workdir, config)):
                continue
        if (lock := files.lock(workdir, create=True)) is not None:
            return workdir, lock
    raise AssertionError("count is endless")


def is_locked(workdir: Path) -> bool:
    """Whether a process is making the run in `workdir` at this moment."""
    try:
        file = files.lock(workdir, shared=True)
    except OSError:
        return False
    if file is not None:
        file.close()
    return file is None


@contextmanager
def used(workdir: Path, alone: bool = False) -> Iterator[None]:
    """Hold the lock of a run: no process trains it meanwhile and, if `alone`, none reads it.

    Raises:
        UserError: another process holds it, or something in it is a link.
    """
    files.check_own(workdir, (files.LOCK, *NAMES))
    try:
        file = files.lock(workdir, shared=not alone)
    except OSError:  # a copy without a lock, or a file system without locks
        yield
        return
    if file is None:
        raise UserError(
            f"The run {workdir} is in use by another process: wait until that has ended."
        )
    with file:
        yield


def _clear(workdir: Path, names: Collection[str]) -> None:
    # The mark goes last: after an interrupted removal the directory still counts as a run.
    for name in sorted(names, key=lambda name: name == "flags.txt"):
        files.remove(workdir / name)


def resumable(directory: Path, config: Config) -> bool:
    """Whether `directory` holds an unfinished run that this configuration resumes."""
    return not finished(directory) and any(_settings_alike(directory, config))


def extensible(directory: Path, config: Config) -> bool:
    """Whether `directory` holds a finished run that this configuration trains for longer."""
    alike = _settings_alike(directory, config) if finished(directory) else ()
    return any(config.is_longer_than(before) for before in alike)


def _settings_alike(directory: Path, config: Config) -> list[dict[str, Any]]:
    """The settings of the run in `directory`, in force and requested, that differ from `config` in
    the length at most; none if there is no run that can go on."""
    if not (is_run(directory) and (directory / "checkpoints").is_dir()):
        return []
    both = (_configuration(directory), _configuration(directory, requested=True))
    alike = [before for before in both if before and not config.differences(before)]
    return [] if alike and changed_source(directory, config.data_digests()) else alike


def other_run(directory: Path, config: Config) -> str | None:
    """What the run in `directory` is, if this configuration neither made it nor resumes it: such as
    "a finished run with steps=4, not 6"; None if there is no such run.

    Raises:
        UserError: the run there has another format.
    """
    known = (holds, resumable, extensible)
    if not is_run(directory) or any(is_so(directory, config) for is_so in known):
        return None
    state = "a finished run" if finished(directory) else "an unfinished run"
    before = _configuration(directory, requested=True) or _configuration(directory)
    if before is None:
        return f"{state} whose config.json cannot be read"
    here = {name: value for name, value in config.determining().items() if name != "log_every"}
    there = {name: before.get(name) for name in here}
    differing = config.differences(before) or {
        name: (here[name], there[name]) for name in here if here[name] != there[name]
    }
    if not differing:
        return f"{state} of other data"
    name, (value, other) = next(iter(differing.items()))
    more = f" ({len(differing) - 1} more differ)" if len(differing) > 1 else ""
    return f"{state} with {name}={other}, not {value}{more}"


def holds(directory: Path, config: Config) -> bool:
    """Whether `directory` is a finished run of exactly this configuration, on the current version
    of its data, which have not changed."""
    try:
        _, results = read(directory)
    except UserError:
        return False
    settings = json.loads(json.dumps(config.determining()))
    same_data = results.get("data", {}).get("version", 1) == config.builder.version
    same_settings = settings in (results.get("config"), results.get("requested"))
    if not (finished(directory) and same_data and same_settings):
        return False
    return changed_source(directory, config.data_digests()) is None


def is_saved_model(directory: Path) -> bool:
    """Whether `directory` is a SavedModel."""
    return (directory / "saved_model.pb").is_file()


def evaluation_path(directory: Path, settings: Any) -> Path:
    """The path of the record of an evaluation, a function of its settings."""
    return _record_path(directory, "-".join(settings["heads"]), settings)


def finetuned_path(workdir: Path, settings: Any) -> Path:
    """The path of the record of a fine-tuning, a function of its settings."""
    names = ("target", "label_fraction", "finetune_from")
    name = "-".join(plain(settings[n]) for n in names)
    return _record_path(workdir / "finetuned", name, settings)


def _record_path(directory: Path, name: str, settings: Any) -> Path:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    directory.mkdir(exist_ok=True)
    return directory / f"{name}-{digest}.json"


def contradiction(settings: Mapping[str, Any], results: Mapping[str, Any]) -> str | None:
    """How the settings in config.json contradict those in results.json, or None."""
    here, there = json.loads(json.dumps(dict(settings))), results["config"]
    name = next((n for n, v in here.items() if n in there and there[n] != v), None)
    if name is None:
        return None
    return f"by config.json {name} is {here[name]}, by results.json {there[name]}"


def read(workdir: Path, with_data: bool = False) -> tuple[Config, dict[str, Any]]:
    """(configuration, results) of a finished run.

    Args:
        workdir: directory of the run.
        with_data: whether its data will be used.

    Raises:
        UserError: it is not the directory of a run, the run is not finished, a file is damaged, or
            the data to be used have changed since it was trained.
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
    config = read_config(workdir)
    results = _read(workdir / "results.json")
    if problem := RunRecord.problem(results):
        raise UserError(f"{workdir / 'results.json'} is damaged ({problem}): repeat the run.")
    if problem := contradiction(config.determining(), results):
        raise UserError(f"The run {workdir} is damaged ({problem}): repeat the run.")
    changed = changed_source(workdir, config.data_digests()) if with_data else None
    if changed is not None:
        raise UserError(
            f"The data of --{changed} have changed since the run {workdir} was trained on them, so "
            "test examples may have been trained on: restore the data, or repeat the run."
        )
    return config, results
