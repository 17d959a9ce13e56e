"""What single runs have measured, one line for each, for where the runs themselves are gone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

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
    that have the settings and the measures which it has now.

    Runs that pictures are taken of are left out: a record has none.

    Raises:
        UserError: the file has a line that is no record.
    """
    return {
        run: result
        for run, result in _holding(name, scale, _read(name, folder)).items()
        if not (STUDIES[name].pictures and run.endswith("-seed0"))
    }


def add_records(name: str, scale: str, results: Mapping[str, Result], folder: Path) -> None:
    """Write the records of some runs of a study, by name, in place of earlier ones of the same
    settings, and keep all others."""
    asked = {run.name: texts(run.settings) for run in study_runs(name, scale, _seeds(results))}
    measures = list(STUDIES[name].measures.values())
    new = [
        Record(run, asked[run], measures, _measured(name, result))
        for run, result in results.items()
    ]
    replaced = [(record.run, record.settings) for record in new]
    kept = [r for r in _read(name, folder) if (r.run, r.settings) not in replaced]
    if new:
        order = list(STUDIES[name].cells(scale))
        lines = sorted((*kept, *new), key=lambda record: _place(record.run, order))
        record_path(name, folder).parent.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(record._asdict()) + "\n" for record in lines)
        files.write_text(record_path(name, folder), text)


def all_recorded(name: str, scale: str, seeds: int, folder: Path) -> bool:
    """Whether every run of a study is recorded, with its settings and measures of now."""
    records = _holding(name, scale, _read(name, folder))
    return all(run.name in records for run in study_runs(name, scale, seeds))


class Record(NamedTuple):
    """A line of the file.

    Attributes:
        run: name of the run.
        settings: its settings, as texts.
        measures: `Study.measures`, whose values were looked for.
        result: what was found, see `_measured`.
    """

    run: str
    settings: dict[str, str]
    measures: list[str]
    result: Result


def _read(name: str, folder: Path) -> list[Record]:
    """The records in the file of a study; none if there is no file."""
    path = record_path(name, folder)
    records = []
    lines = files.read_text(path).splitlines() if path.is_file() else []
    for number, line in enumerate(lines, 1):
        try:
            record = Record(**json.loads(line))
            _seeds([record.run])
            _measured(name, record.result)
            records.append(record)
        except (ValueError, TypeError, KeyError, AttributeError):
            raise UserError(
                f"Line {number} of {path} is no record of a run: restore the file, or remove it "
                f"and run python -m ssl_keras.reproduce {name}."
            ) from None
    return records


def _holding(name: str, scale: str, records: Sequence[Record]) -> dict[str, Result]:
    """Those that have the settings and the measures of now, in the order of the study."""
    runs = study_runs(name, scale, _seeds(record.run for record in records))
    asked = {run.name: texts(run.settings) for run in runs}
    measures = set(STUDIES[name].measures.values())
    found = {
        record.run: record.result
        for record in records
        if asked.get(record.run) == record.settings and measures <= set(record.measures)
    }
    return {run: found[run] for run in asked if run in found}


def _seeds(runs: Iterable[str]) -> int:
    """The number of seeds, from 0 on, that runs of these names have."""
    return 1 + max((int(run.rpartition("-seed")[2]) for run in runs), default=-1)


def _place(run: str, cells: Sequence[str]) -> tuple[int, int]:
    """Sort key of a run: its cell, those of no cell last, and its seed."""
    label, _, seed = run.partition("/")[2].rpartition("-seed")
    return (cells.index(label) if label in cells else len(cells), int(seed))


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
