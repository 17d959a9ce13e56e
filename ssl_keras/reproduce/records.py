"""What single runs have measured, one line for each, for where the runs themselves are gone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ssl_keras import files
from ssl_keras.errors import UserError
from ssl_keras.reproduce.measured import texts
from ssl_keras.reproduce.studies import STUDIES
from ssl_keras.sweep.pool import Run

Result = Mapping[str, Any]


def study_runs(name: str, scale: str, seeds: int) -> list[Run]:
    """The runs of a study, in a folder with its name."""
    runs = STUDIES[name].runs(scale, seeds)
    return [Run(f"{name}/{run.name}", run.settings) for run in runs]


def record_path(name: str, folder: Path) -> Path:
    """The file of a study, in the folder of its table."""
    return folder / "runs" / f"{name}.jsonl"


def read_records(name: str, scale: str, folder: Path) -> dict[str, Result]:
    """Name of a run -> what `Study.summary` reads of its results, for the recorded runs of a study
    that have the settings which it has now.

    Runs that pictures are taken of are left out: a record has none.

    Raises:
        UserError: the file has a line that is no record.
    """
    return {
        run: result
        for run, result in _read_all(name, scale, folder).items()
        if not (STUDIES[name].pictures and run.endswith("-seed0"))
    }


def _read_all(name: str, scale: str, folder: Path) -> dict[str, Result]:
    """`read_records` with runs that pictures are taken of."""
    path = record_path(name, folder)
    lines = path.read_text().splitlines() if path.is_file() else []
    records, seeds = [], 0
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            run, settings, result = (record[key] for key in ("run", "settings", "result"))
            records.append((run, settings, result))
            seeds = max(seeds, int(settings["seed"]) + 1)
        except (ValueError, TypeError, KeyError):
            raise UserError(
                f"Line {number} of {path} is no record of a run: restore the file, or remove it "
                f"and run python -m ssl_keras.reproduce {name}."
            ) from None
    asked = {run.name: texts(run.settings) for run in study_runs(name, scale, seeds)}
    return {run: result for run, settings, result in records if asked.get(run) == settings}


def add_records(name: str, scale: str, results: Mapping[str, Result], folder: Path) -> None:
    """Write the records of some runs of a study, by name, and keep the others that still hold."""
    measured = {run: _measured(name, result) for run, result in results.items()}
    records = _read_all(name, scale, folder) | measured
    seeds = 1 + max((int(run.rpartition("-seed")[2]) for run in records), default=-1)
    lines = [
        json.dumps({"run": run.name, "settings": texts(run.settings), "result": records[run.name]})
        for run in study_runs(name, scale, seeds)
        if run.name in records
    ]
    if lines:
        record_path(name, folder).parent.mkdir(parents=True, exist_ok=True)
        files.write_text(record_path(name, folder), "\n".join(lines) + "\n")


def _measured(name: str, result: Result) -> Result:
    """What `Study.summary` reads of the results of a run, with eight digits."""
    targets = {n: {"chance": target["chance"]} for n, target in result["data"]["targets"].items()}
    asked = {
        key.format(target=target)
        for keys in STUDIES[name].measures.values()
        for key in keys.split(" or ")
        for target in targets
    }
    results = {key: value for key, value in result["results"].items() if key in asked}
    fields = {key: value for key, value in result.items() if key in asked}
    hardware = {key: result["hardware"][key] for key in ("cores", "gpus", "processor")}
    times = {key: value for key, value in result["times"].items() if isinstance(value, float)}
    return _short(
        {
            "results": results,
            **fields,
            "data": {"targets": targets},
            "times": times,
            "steps": result["steps"],
            "hardware": hardware,
            "versions": {"commit": result["versions"].get("commit")},
        }
    )


def _short(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _short(part) for key, part in value.items()}
    return float(f"{value:.8g}") if isinstance(value, float) else value
