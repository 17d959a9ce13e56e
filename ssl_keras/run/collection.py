"""The runs in a folder: their settings, states and results, as flat rows. No TensorFlow.

rows = ssl_keras.read_runs("runs/sweep")
table = ssl_keras.run_table("runs/sweep", csv="runs.csv")  # a DataFrame, if pandas is installed
"""

from __future__ import annotations

import csv as csv_format
import importlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl_keras import files
from ssl_keras.errors import UserError
from ssl_keras.run import run_directory
from ssl_keras.run.record import RunRecord

FINISHED, RUNNING, INTERRUPTED, DAMAGED = "finished", "running", "interrupted", "damaged"


@dataclass(frozen=True)
class FoundRun:
    """A run directory in any state.

    Attributes:
        path: the directory.
        name: the end of the path that tells it from other runs.
        state: "finished"; "running": a process is making it; "interrupted": it can be resumed;
            "damaged": a file of it cannot be read.
        problem: what is wrong with it, or "".
        settings: those that its results depend on.
        record: the contents of results.json; {} unless it is finished.
        history: the logs of the training so far, each {"step", "loss", ...}.
        step: number of steps whose state is saved.
        seconds: seconds of the whole run, or of the training so far.
    """

    path: Path
    name: str
    state: str
    problem: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict, repr=False)
    record: Mapping[str, Any] = field(default_factory=dict, repr=False)
    history: Sequence[Mapping[str, float]] = field(default_factory=list, repr=False)
    step: int = 0
    seconds: float | None = None

    @property
    def results(self) -> Mapping[str, float]:
        """What was measured: "evaluator/layer/target/measure" -> value."""
        values: Mapping[str, float] = self.record.get("results", {})
        return values

    @property
    def chances(self) -> dict[str, float]:
        """Chance levels of the accuracies: "target/measure" -> value."""
        levels = {}
        for name, target in self.record.get("data", {}).get("targets", {}).items():
            levels[f"{name}/accuracy"] = target["chance"]
            if target.get("kind") != "class" and "all_right_chance" in target:
                levels[f"{name}/all_right"] = target["all_right_chance"]
        return levels

    def row(self) -> dict[str, Any]:
        """Everything in one dictionary, see `read_runs`."""
        training = self.history[-1] if self.history else {}
        return {
            "name": self.name,
            "path": str(self.path),
            "state": self.state,
            "problem": self.problem,
            "step": self.step,
            "seconds": self.seconds,
            **self.settings,
            **self.results,
            **{f"chance/{name}": level for name, level in self.chances.items()},
            **{f"training/{name}": v for name, v in training.items() if name != "step"},
        }


def read_runs(*folders: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The runs in folders, finished or not, one flat dictionary each.

    Args:
        folders: directories of runs, and folders that hold some at any depth. The baselines and
            fine-tunings of a run are part of it, and not listed.

    Returns:
        A dictionary for each run, in the order of the names: "name", "path", "state" (finished,
        running, interrupted or damaged), "problem", "step" (steps done), "seconds"; the settings,
        named like the flags; of finished runs the results, named as in results.json, such as
        "linear/features/class/accuracy"; "chance/TARGET/MEASURE", chance levels; "training/METRIC",
        the metrics of the last log.

    Raises:
        UserError: a folder does not exist, or holds no run.
    """
    return [run.row() for run in find_runs(map(Path, folders))]


def run_table(*folders: str | os.PathLike[str], csv: str | os.PathLike[str] | None = None) -> Any:
    """The runs in folders as one table, a row for each run.

    Args:
        folders: see `read_runs`.
        csv: a file to write the table to as well.

    Returns:
        A pandas DataFrame, if pandas is installed; else a list of dictionaries which all have the
        same keys. What a run lacks is NaN, or None in the list.

    Raises:
        UserError: see `read_runs`; or the file cannot be written.
    """
    rows = read_runs(*folders)
    if csv is not None:
        write_csv(rows, Path(csv))
    columns = list(dict.fromkeys(name for row in rows for name in row))
    try:
        pandas: Any = importlib.import_module("pandas")
    except ImportError:
        return [{name: row.get(name) for name in columns} for row in rows]
    return pandas.DataFrame(rows, columns=columns)


def write_csv(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write rows as CSV, atomically; the columns are the keys of all rows, in their order.

    Raises:
        UserError: the file cannot be written.
    """
    columns = dict.fromkeys(name for row in rows for name in row)
    try:
        with files.whole_file(path) as temporary, temporary.open("w", newline="") as file:
            writer = csv_format.DictWriter(file, list(columns), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise UserError(
            f"{path} cannot be written ({error.strerror or error}): choose another place."
        ) from error


def find_runs(places: Iterable[Path]) -> list[FoundRun]:
    """The runs in `places`, see `read_runs`.

    Raises:
        UserError: a place does not exist or holds no run, or a run is listed twice.
    """
    paths = [path for place in places for path in _run_paths(place)]
    return [look(path, name) for path, name in zip(paths, short_names(paths), strict=True)]


def _run_paths(place: Path) -> list[Path]:
    """The directories of the runs in a folder, or of the run itself, in natural order."""
    if not place.is_dir():
        wrong = "is a file" if place.exists() else "does not exist"
        raise UserError(f"{place} {wrong}: give the directory of a run, or a folder of runs.")
    paths = list(_walk(place))
    if not paths:
        raise UserError(
            f"{place} holds no run: give the directory of a run, or a folder of runs, such as runs."
        )
    return sorted(paths, key=lambda path: _natural(str(path)))


def _walk(folder: Path) -> Iterator[Path]:
    if run_directory.is_run(folder):
        yield folder
        return
    try:
        inner = sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return
    for path in inner:
        if not path.name.startswith(".") and not path.is_symlink():
            yield from _walk(path)


def _natural(text: str) -> list[tuple[int, float, str]]:
    """A key by which "seed=2" comes before "seed=10"."""
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return [(0, float(part), "") if k % 2 else (1, 0.0, part) for k, part in enumerate(parts)]


def short_names(paths: Sequence[Path]) -> list[str]:
    """A short name for each run: the last parts of its path that tell it from the others.

    Raises:
        UserError: a run is listed twice.
    """
    resolved = [path.resolve() for path in paths]
    if len(set(resolved)) < len(resolved):
        raise UserError("The same run is listed twice: name each run once.")
    length = 1
    while len({path.parts[-length:] for path in resolved}) < len(resolved):
        length += 1
    return ["/".join(path.parts[-length:]) for path in resolved]


def look(path: Path, name: str) -> FoundRun:
    """What a run directory holds, whatever its state."""
    try:
        settings = run_directory.read_settings(path)
    except UserError as error:
        return FoundRun(path, name, DAMAGED, str(error))
    step, seconds, history = _checkpoint(path)
    if os.path.lexists(path / "results.json"):
        try:
            record = files.read_json(path / "results.json")
            problem = RunRecord.problem(record) or run_directory.contradiction(settings, record)
        except UserError as error:
            problem = str(error)
        if problem is not None:
            problem = f"results.json is damaged ({problem})"
            return FoundRun(path, name, DAMAGED, problem, settings, {}, history, step, seconds)
        if record["finished"]:
            return FoundRun(
                path, name, FINISHED, "", record["config"], record, record["history"],
                record["steps"], record["times"]["total"],
            )  # fmt: skip
    state = RUNNING if run_directory.is_locked(path) else INTERRUPTED
    return FoundRun(path, name, state, _stopped(path), settings, {}, history, step, seconds)


def _checkpoint(path: Path) -> tuple[int, float | None, list[Mapping[str, float]]]:
    """(steps, seconds, history) of the newest checkpoint that can be read."""
    found = {
        int(file.stem.removeprefix("step-")): file
        for file in (path / "checkpoints").glob("step-*.json")
        if file.stem.removeprefix("step-").isdigit()
    }
    for step, file in sorted(found.items(), reverse=True):
        try:
            state = files.read_json(file)["state"]
            return step, state.get("seconds"), list(state["history"]["records"])
        except (UserError, KeyError, TypeError, AttributeError):
            continue
    return 0, None, []


def _stopped(path: Path) -> str:
    """Why an unfinished run has stopped, if it has said so."""
    try:
        step = files.read_json(path / "non_finite.json")["step"]
    except (UserError, KeyError, TypeError):
        return ""
    return f"the loss was not finite at step {step}"


def differing(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Setting -> its value in each run, for settings that differ; None: the run lacks it."""
    keys = dict.fromkeys(key for config in configs for key in config)
    rows = {key: [config.get(key) for config in configs] for key in keys}
    return {key: values for key, values in rows.items() if len({repr(v) for v in values}) > 1}


def telling(settings: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """The settings without those that follow from others: enough to tell runs apart.

    Args:
        settings: setting -> its value in each run, choices before their options.
    """
    kept = dict(settings)
    groups = _groups(kept)
    for name in reversed(list(settings)):
        rest = {other: values for other, values in kept.items() if other != name}
        if _groups(rest) == groups:
            kept = rest
    return kept


def _groups(settings: Mapping[str, Sequence[Any]]) -> list[int]:
    """The number of the first run with equal values, for each run."""
    if not settings:
        return []
    first: dict[str, int] = {}
    rows = zip(*settings.values(), strict=True)
    return [first.setdefault(repr(row), index) for index, row in enumerate(rows)]
