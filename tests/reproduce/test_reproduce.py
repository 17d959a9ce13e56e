"""The tables, figures and the report of studies follow from the results."""

from __future__ import annotations

import csv
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ssl_keras.config import Config
from ssl_keras.reproduce import __main__ as program
from ssl_keras.reproduce.measured import Measured
from ssl_keras.reproduce.report import results_page, write, write_report
from ssl_keras.reproduce.studies import SCALES, SECTIONS, STUDIES
from ssl_keras.reproduce.studies.base import either
from ssl_keras.sweep.pool import Run
from tests.reproduce.worlds import as_claimed, pretended, pretended_targets
from tests.tiers import first_in_test

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.parametrize("name", sorted(STUDIES))
@pytest.mark.parametrize("scale", SCALES)
def test_every_cell_is_a_valid_configuration(name: str, scale: str) -> None:
    runs = STUDIES[name].runs(scale, 2)
    assert len({run.name for run in runs}) == len(runs) == 2 * len(STUDIES[name].cells(scale))
    digests = {Config.make(**run.settings).digest() for run in runs}
    assert len(digests) == len(runs)


def without(result: dict[str, Any], keys: list[str]) -> None:
    """Take measured values out of the results of a run."""
    result["results"] = {n: v for n, v in result["results"].items() if n not in keys}


@pytest.mark.parametrize("name", first_in_test(sorted(STUDIES), 3))
def test_table_and_figure_follow_from_the_results(name: str, tmp_path: Path) -> None:
    study = STUDIES[name]
    generator = np.random.default_rng(0)
    results = pretended(name, lambda *_: generator.random())
    targets = pretended_targets(name)
    measured = Measured.from_results(name, "laptop", 3, results)
    rows = measured.rows
    column, keys = next(iter(study.measures.items()))
    key = keys.split(" or ")[0]
    for row, target in zip(rows[: len(targets)], targets, strict=True):
        values = [result["results"][key.format(target=target)] for result in results[:3]]
        np.testing.assert_allclose(row[column], np.mean(values))
        np.testing.assert_allclose(row[f"{column}_sd"], np.std(values, ddof=1))
    write(measured, tmp_path)
    with (tmp_path / f"{name}.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(rows) == len(targets) * len(study.cells("laptop"))
    np.testing.assert_allclose(float(table[0][column]), rows[0][column], rtol=1e-5)
    text = (tmp_path / f"{name}.md").read_text()
    steps = either(str(result["steps"]) for result in results)
    for part in ("commit 0123456789+changes.", f"of {steps} steps", "Abacus"):
        assert part in text
    board = [] if study.leaderboard is None else study.leaderboard(rows)
    for lines in (board, text.split(measured.note)[1].splitlines()):
        lines = [line for line in lines if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1
    assert len(lines) == 2 + len(rows)
    drawn = (tmp_path / f"{name}.svg").read_bytes()
    assert b"</svg>" in drawn
    assert b"Not drawn" not in drawn
    if name == "domains":  # many kinds of marks
        write(measured, tmp_path)
        assert (tmp_path / f"{name}.svg").read_bytes() == drawn
    # A measure that one cell lacks is left out; one that none has is a mistake.
    gone = [name.format(target=targets[0]) for name in keys.split(" or ")]
    without(results[0], gone)
    assert column not in study.summary("laptop", 3, results)[0]
    for result in results:
        without(result, gone)
    if len(targets) == 1:
        with pytest.raises(KeyError, match=re.escape(gone[0])):
            study.summary("laptop", 3, results)


@pytest.mark.parametrize("name", ["views", "temperature", "losses"])
def test_a_measure_that_is_missing_leaves_the_report_standing(name: str, tmp_path: Path) -> None:
    results = pretended(name, partial(as_claimed, name), 1)
    key = STUDIES[name].measures["accuracy"]
    for result in results[:-1]:
        result["results"] = {n: v for n, v in result["results"].items() if n != key}
    measured = Measured.from_results(name, "laptop", 1, results)
    text = write_report({name: measured}, "laptop", tmp_path).read_text()
    assert "**Reported, not judged** (one seed)." in text
    assert "some run has not measured 'accuracy'" in (tmp_path / f"{name}.md").read_text()
    assert (tmp_path / f"{name}.png").exists()


def test_pictures_of_runs_are_shown_in_the_report(tmp_path: Path) -> None:
    name = "local_features"
    results = pretended(name, partial(as_claimed, name), 2)
    path = tmp_path / "run" / STUDIES[name].pictures[0]
    path.parent.mkdir(parents=True)
    Image.new("RGB", (3, 2)).save(path)
    results[2]["paths"] = {"workdir": str(tmp_path / "run")}
    results[3]["paths"] = {"workdir": str(tmp_path / "gone")}
    (tmp_path / "docs").mkdir()
    write_report(
        {name: Measured.from_results(name, "laptop", 2, results)}, "laptop", tmp_path / "docs"
    )
    page = (tmp_path / "docs" / f"{name}.md").read_text()
    cell = list(STUDIES[name].cells("laptop"))[1]
    shown = f"local_features-{cell}-local_features-clusters.png"
    assert (tmp_path / "docs" / shown).read_bytes() == path.read_bytes()
    assert f"({shown})" in page
    assert page.count("clusters.png") == 1


@pytest.mark.exhaustive
def test_report_takes_the_seeds_that_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: dict[str, dict[str, Any]] = {}
    for name, seeds in {"views": 2, "temperature": 1}.items():
        results = pretended(name, partial(as_claimed, name), seeds)
        names = [run.name for run in program.study_runs(name, "laptop", seeds)]
        made |= zip(names, results, strict=True)
    del made["views/crop-0-bits-seed1"]
    monkeypatch.setattr(Run, "results", lambda self, _: made.get(self.name))
    output = tmp_path / "docs" / "results"
    assert program.main(["report", f"--output={output}"]) == 0
    assert "views                1 of 3 seeds" in capsys.readouterr().out
    text = (tmp_path / "docs" / "results.md").read_text()
    assert '<img src="results/views.png"' in text
    assert (output / "views.png").exists()
    assert "and which resist ten easy bits?](results/views.md)" in text
    assert "**Reproduced** (one seed)." in text
    assert "Not run yet: `python -m ssl_keras.reproduce losses --scale=laptop`" in text
    assert "in brackets (CIFAR-10, Wang and Liu 2021;" in (output / "temperature.md").read_text()
    assert "none that we know" in (output / "views.md").read_text()
    made.clear()
    assert program.main(["report", f"--output={output}"]) == 0
    assert "views                1 of 3 seeds, recorded earlier" in capsys.readouterr().out
    assert (tmp_path / "docs" / "results.md").read_text() == text
    assert program.main(["report", f"--output={tmp_path}/none/results"]) == 2
    assert "No study of scale laptop is done" in capsys.readouterr().err
    assert program.main(["report", "views", f"--output={output}"]) == 2
    assert program.main(["views", "--output=.."]) == 2
    assert "name a folder" in capsys.readouterr().err
    assert program.main(["vews", f"--output={output}"]) == 2
    assert "views" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["views", "temperature", "local_features", "data_sets"])
def test_a_record_holds_what_the_runs_measured(name: str, tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    results = pretended(name, lambda *_: generator.integers(1000) / 1000)
    results[1] |= {"steps": 5, "hardware": {"gpus": ["Sheet"], "processor": "x", "cores": 12}}
    measured = Measured.from_results(name, "laptop", 3, results)
    recorded = measured.record(tmp_path)
    assert recorded == Measured.recorded(name, "laptop", tmp_path)
    assert (recorded.seeds, recorded.command) == (3, measured.command)
    assert "of 5 or 320 steps" in recorded.note
    assert "on 1 or 12 core(s) of Sheet or Abacus" in recorded.note
    assert f"{len(results)} runs" in recorded.note
    assert f"{len(results) / 360:.1f} hours in all" in recorded.note
    for row, read in zip(measured.rows, recorded.rows, strict=True):
        assert set(row) == set(read)
        for key, value in row.items():
            if isinstance(value, float):
                np.testing.assert_allclose(read[key], value, rtol=1e-5)
            else:
                assert str(read[key]) == str(value)
    first = (tmp_path / f"{name}.csv").read_bytes()
    recorded.record(tmp_path)
    assert (tmp_path / f"{name}.csv").read_bytes() == first


@pytest.mark.full
def test_a_record_is_kept_where_fewer_seeds_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def world(value: float, seeds: int) -> dict[str, dict[str, Any]]:
        names = [run.name for run in program.study_runs("views", "laptop", seeds)]
        return dict(zip(names, pretended("views", lambda *_: value, seeds), strict=True))

    made = world(0.25, 2)
    monkeypatch.setattr(Run, "results", lambda self, _: made.get(self.name))

    def reported() -> tuple[str, str]:
        assert program.main(["report", f"--output={tmp_path}/results"]) == 0
        line = next(x for x in capsys.readouterr().out.splitlines() if x.startswith("views"))
        row = next(csv.DictReader((tmp_path / "results" / "views.csv").open()))
        return line.split(maxsplit=1)[1], row["accuracy"]

    # Tables alone, as if from before single runs were recorded.
    monkeypatch.setattr(program, "add_records", lambda *_: None)
    assert reported() == ("2 of 3 seeds", "0.25")
    made = world(0.5, 1)
    assert reported() == ("2 of 3 seeds, recorded earlier", "0.25")
    made = world(0.5, 2)
    assert reported() == ("2 of 3 seeds", "0.5")
    made = world(0.75, 3)
    assert reported() == ("3 of 3 seeds", "0.75")
    # Tables of another scale, with other cells or settings, or of an earlier version, are none of
    # this report.
    assert Measured.recorded("views", "full", tmp_path / "results") is None
    table = tmp_path / "results" / "views.csv"
    lines = table.read_text().splitlines(keepends=True)
    for changed in (lines[:-1], [*lines[:-1], lines[-1].replace(",250,", ",251,")]):
        assert changed != lines
        table.write_text("".join(changed))
        assert Measured.recorded("views", "laptop", table.parent) is None
    table.write_text("".join(lines).replace("0123456789+changes", "0123456789"))
    record = Measured.recorded("views", "laptop", table.parent)
    assert record is not None
    assert "commit 0123456789." in record.note
    (tmp_path / "results" / "views.csv").write_text("cell,seeds\ncrop,3\n")
    assert Measured.recorded("views", "laptop", tmp_path / "results") is None
    (tmp_path / "results" / "views.csv").write_text("cell,seeds,scale\ncrop,3,laptop\n")
    table.write_text("cell,seeds\ncrop,3\n")
    made = {}
    assert program.main(["report", f"--output={tmp_path}/results"]) == 2
    assert f"(views.csv in {tmp_path}/results is of other settings" in capsys.readouterr().out
    table.write_text("cell,seeds,scale\ncrop,3,laptop\n")
    assert program.main(["report", f"--output={tmp_path}/results"]) == 2
    error = capsys.readouterr().err
    assert "lacks commit, cores, hardware, seconds, steps in line 2" in error
    assert "python -m ssl_keras.reproduce views" in error


def test_the_page_of_results_follows_from_its_tables() -> None:
    folder = ROOT / "docs" / "results"
    records = {name: Measured.recorded(name, "laptop", folder) for name in STUDIES}
    measured = {name: value for name, value in records.items() if value is not None}
    lines = results_page(measured, "laptop", folder)
    assert (ROOT / "docs" / "results.md").read_text().splitlines() == lines
    assert not any("Not run yet" in line for line in lines)
    # Two pages of text: a question and its answer in a few lines each.
    assert len(" ".join(lines).split()) < 1200
    for names in SECTIONS.values():
        for name in names:
            answer = STUDIES[name].answered(measured[name].rows)
            assert re.search(r"0\.\d\d", answer), name
            assert "?" not in answer, name
    for name, value in measured.items():
        text = (folder / f"{name}.md").read_text()
        assert value.note in text
        assert value.verdict is None or "\n".join(value.verdict.lines()) in text


def test_what_differs_is_named_once() -> None:
    assert either(["2400", "120", "480 or 120"]) == "120 or 480 or 2400"
    assert either(["b", "a or b"]) == "a or b"


def test_data_set_cells_are_the_flagfiles() -> None:
    settings = STUDIES["data_sets"].cells("laptop")["overlay"]
    text = (ROOT / "flags" / "overlay.flags").read_text()
    for name, value in settings.items():
        assert f"--{name}={value}\n" in text
    assert Config.make(**settings).data.dataset == "overlay"


def test_a_failed_run_leaves_the_other_experiments_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def one_fails(runs: list[Run], *_: Any) -> list[dict[str, Any] | None]:
        views = pretended("views", partial(as_claimed, "views"), 1)
        randbit = pretended("randbit", partial(as_claimed, "randbit"), 1)
        assert len(runs) == len(views) + len(randbit)
        return [*views, *randbit[:-1], None]

    monkeypatch.setattr(program, "finish", one_fails)
    arguments = ["views", "randbit", "--seeds=1", f"--output={tmp_path / 'results'}"]
    assert program.main(arguments) == 2
    shown = capsys.readouterr()
    assert "1 of 31 runs failed: randbit/t0.2-20-bits-seed0." in shown.err
    assert (tmp_path / "results" / "views.png").exists()
    assert not (tmp_path / "results" / "randbit.png").exists()
