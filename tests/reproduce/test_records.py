"""Records of single runs stand in for runs that are gone, and only where they still hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_keras.reproduce import __main__ as program
from ssl_keras.reproduce.measured import Measured
from ssl_keras.reproduce.records import add_records, read_records, record_path, study_runs
from ssl_keras.reproduce.studies import STUDIES
from ssl_keras.sweep.pool import Run
from tests.reproduce.worlds import pretended

RESULTS = Path(__file__).parents[2] / "docs" / "results"
RECORDED = sorted(path.stem for path in record_path("any", RESULTS).parent.glob("*"))


def records_of(name: str) -> dict[str, Any]:
    """The committed records of a study, those of runs with pictures too."""
    lines = record_path(name, RESULTS).read_text().splitlines()
    return {record["run"]: record["result"] for record in map(json.loads, lines)}


def world(name: str, seeds: int) -> dict[str, dict[str, Any]]:
    generator = np.random.default_rng(0)
    results = pretended(name, lambda *_: generator.integers(1000) / 1000, seeds)
    return dict(zip([run.name for run in study_runs(name, "laptop", seeds)], results, strict=True))


@pytest.mark.parametrize("name", ["views", "rivals", "remedies", "multi_digit"])
def test_a_record_gives_the_table_of_its_runs(name: str, tmp_path: Path) -> None:
    results = world(name, 2)
    for result in results.values():
        result["times"] |= {"build": 1.5, "resumed_at": [3]}
        result["near_neighbours"] = 4  # a field beside the values of evaluators
    add_records(name, "laptop", results, tmp_path)
    records = read_records(name, "laptop", tmp_path)
    assert list(records) == list(results)
    expected = Measured.from_results(name, "laptop", 2, list(results.values()))
    found = Measured.from_results(name, "laptop", 2, list(records.values()))
    for ours, theirs in zip(found.rows, expected.rows, strict=True):
        assert ours.keys() == theirs.keys()
        for key, value in theirs.items():
            if isinstance(value, float):
                np.testing.assert_allclose(ours[key], value, rtol=1e-7)
            else:
                assert ours[key] == value
    written = record_path(name, tmp_path).read_bytes()
    add_records(name, "laptop", {}, tmp_path)
    assert record_path(name, tmp_path).read_bytes() == written


def test_records_of_changed_cells_and_of_runs_with_pictures_do_not_count(tmp_path: Path) -> None:
    results = world("views", 2)
    add_records("views", "laptop", results, tmp_path)
    assert read_records("views", "full", tmp_path) == {}
    path = record_path("views", tmp_path)
    lines = path.read_text().splitlines()
    changed = json.loads(lines[3])
    changed["settings"]["epochs"] = "21"
    path.write_text("\n".join([*lines[:3], json.dumps(changed), *lines[4:]]) + "\n")
    kept = list(results)
    del kept[3]
    assert list(read_records("views", "laptop", tmp_path)) == kept
    # So do those that were made before a measure was added; all stay in the file.
    older = json.loads(lines[5])
    older["measures"].remove("linear/features/class/accuracy")
    path.write_text("\n".join([*path.read_text().splitlines()[:5], json.dumps(older)]) + "\n")
    assert list(read_records("views", "laptop", tmp_path)) == kept[:4]
    path.write_text("\n".join([*lines[:3], json.dumps(changed), *lines[4:]]) + "\n")
    # New measurements replace old ones, and the rest is kept.
    first = kept[0]
    results[first]["steps"] = 7
    add_records("views", "laptop", {first: results[first]}, tmp_path)
    assert list(read_records("views", "laptop", tmp_path)) == kept
    assert read_records("views", "laptop", tmp_path)[first]["steps"] == 7
    assert json.dumps(changed) in path.read_text().splitlines()
    full = pretended("views", lambda *_: 0.5, 1)[:1]
    name = study_runs("views", "full", 1)[0].name
    add_records("views", "full", {name: full[0]}, tmp_path)
    assert len(path.read_text().splitlines()) == len(results) + 1
    assert list(read_records("views", "laptop", tmp_path)) == kept
    assert list(read_records("views", "full", tmp_path)) == [name]
    add_records("local_features", "laptop", world("local_features", 2), tmp_path)
    names = [run.rpartition("-")[2] for run in read_records("local_features", "laptop", tmp_path)]
    assert names == ["seed1", "seed1"]
    # They stay in the file.
    written = record_path("local_features", tmp_path).read_bytes()
    add_records("local_features", "laptop", {}, tmp_path)
    assert record_path("local_features", tmp_path).read_bytes() == written
    assert written.count(b"-seed0") == 2


def test_only_what_is_not_recorded_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = world("views", 3)
    recorded = {run: result for run, result in results.items() if not run.endswith("-seed2")}
    add_records("views", "laptop", recorded, tmp_path / "earlier")
    made: list[str] = []

    def finish(runs: Sequence[Run], *_: Any) -> list[dict[str, Any]]:
        made.extend(run.name for run in runs)
        return [results[run.name] for run in runs]

    monkeypatch.setattr(program, "finish", finish)
    arguments = ["views", "--seeds=3", f"--output={tmp_path}/now"]
    assert program.main([*arguments, f"--recorded={tmp_path}/earlier"]) == 0
    assert made == [run for run in results if run.endswith("-seed2")]
    table = (tmp_path / "now" / "views.csv").read_text()
    assert list(read_records("views", "laptop", tmp_path / "now")) == list(results)
    made.clear()
    assert program.main(arguments) == 0
    assert made == list(results)
    assert (tmp_path / "now" / "views.csv").read_text() == table
    # The report reads the records beside its tables.
    (tmp_path / "now" / "views.csv").unlink()
    capsys.readouterr()
    assert program.main(["report", f"--output={tmp_path}/now"]) == 0
    assert "views                3 of 3 seeds\n" in capsys.readouterr().out
    assert (tmp_path / "now" / "views.csv").read_text() == table


BROKEN = ["{", "7", '{"run": "views/crop-0-bits-seed0"}']


@pytest.mark.parametrize("change", [*BROKEN, {"result": 7}, {"result": {}}, {"run": [1]}])
def test_a_broken_record_is_refused(
    change: str | dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_records("views", "laptop", world("views", 1), tmp_path)
    path = record_path("views", tmp_path)
    lines = path.read_text().splitlines()
    line = change if isinstance(change, str) else json.dumps({**json.loads(lines[0]), **change})
    path.write_text("\n".join([*lines, line]) + "\n")
    arguments = ["views", f"--recorded={tmp_path}", f"--output={tmp_path}"]
    assert program.main(arguments) == 2
    error = capsys.readouterr().err
    assert f"Line {len(lines) + 1} of {path} is no record of a run" in error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["views", "--recorded=nowhere"], "No run of views with the settings of now is recorded"),
        (["report", "--recorded=docs"], "report makes no runs: leave --recorded out."),
        (["views", "--recorded=docs", "--estimate"], "--estimate makes no runs"),
    ],
)
def test_records_that_would_be_passed_over_are_refused(
    arguments: list[str], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main([*arguments, f"--output={tmp_path}"]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("name", RECORDED)
def test_committed_records_give_their_tables(name: str) -> None:
    table = Measured.recorded(name, "laptop", RESULTS)
    assert table is not None
    records = records_of(name)
    runs = [run.name for run in study_runs(name, "laptop", table.seeds)]
    if not set(runs) <= set(records):
        assert table.seeds > 1  # seeds that are still missing
        return
    again = STUDIES[name].summary("laptop", table.seeds, [records[run] for run in runs])
    for row, recorded in zip(again, table.rows, strict=True):
        for key, value in row.items():
            if isinstance(value, float):
                np.testing.assert_allclose(recorded[key], value, rtol=2e-4, atol=2e-6)
            else:
                assert str(recorded[key]) == str(value), key
