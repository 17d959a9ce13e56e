"""The runs of a folder: rows, a table, a page."""

from __future__ import annotations

import csv
import fcntl
import importlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import ssl_keras
from ssl_keras import files
from ssl_keras.errors import UserError
from ssl_keras.run.collection import find_runs, write_csv
from ssl_keras.run.tables import duration
from ssl_keras.runs import __main__ as runs
from ssl_keras.runs.page import sparkline
from tests.cli.folders import KEY, write_run, write_unfinished


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Runs in every state, in natural order."""
    folder = tmp_path / "runs"
    write_run(folder / "bits=2", 0.8, num_bits=2)
    write_run(folder / "bits=10", 0.5, num_bits=10)
    write_run(folder / "bits=2" / "baselines" / "supervised", 0.9, method="supervised", num_bits=2)
    write_run(folder / "other" / "deep", 0.6, loss="uniform_prior", seed=1)
    write_unfinished(folder / "stopped", step=3, num_bits=20)
    files.write_json(folder / "stopped" / "non_finite.json", {"step": 4, "images": []})
    write_run(folder / "torn", 0.1, num_bits=3)
    (folder / "torn" / "results.json").write_text('{"finished": true, "resul')
    write_run(folder / "unknown", 0.1, num_bits=3)
    (folder / "unknown" / "config.json").write_text("{")
    (folder / "notes").mkdir()
    (folder / ".hidden").mkdir()
    return folder


def test_every_run_is_a_flat_row(folder: Path) -> None:
    rows = ssl_keras.read_runs(folder)
    names = ["bits=2", "bits=10", "deep", "stopped", "torn"]
    assert [row["name"] for row in rows] == [*names, "unknown"]
    first, _, deep, stopped, torn, unknown = rows
    assert first["path"] == str(folder / "bits=2")
    assert (first["state"], first["step"], first["seconds"]) == ("finished", 4, 125.0)
    assert (first["num_bits"], first["temperature"], first["seed"]) == (2, 0.2, 0)
    assert first[KEY] == 0.8
    assert first[f"untrained/{KEY}"] == 0.3
    assert first["chance/class/accuracy"] == 0.1
    assert first["chance/bits/all_right"] == 0.25
    assert "chance/class/all_right" not in first
    assert first["training/loss"] == 2.0
    assert (deep["loss"], deep["seed"]) == ("uniform_prior", 1)
    assert "temperature" not in deep
    assert (stopped["state"], stopped["step"], stopped["seconds"]) == ("interrupted", 3, 30.0)
    assert stopped["problem"] == "the loss was not finite at step 4"
    assert stopped["num_bits"] == 20
    assert KEY not in stopped
    assert (torn["state"], torn["num_bits"]) == ("damaged", 3)
    assert "results.json cannot be read" in torn["problem"]
    assert unknown["state"] == "damaged"
    assert "config.json cannot be read" in unknown["problem"]
    assert all(not isinstance(value, dict | list) for row in rows for value in row.values())


def test_the_settings_do_not_depend_on_the_state(folder: Path) -> None:
    """Those that results do not depend on, such as folders of data, are left out."""
    done = write_run(folder / "done", 0.5, num_bits=7)
    open_ = write_unfinished(folder / "open", num_bits=7, checkpoint_every=3)
    first, second = find_runs([done, open_])
    assert first.settings == second.settings


def test_a_run_in_progress_is_running(folder: Path) -> None:
    with (folder / "stopped" / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert find_runs([folder / "stopped"])[0].state == "running"
    assert find_runs([folder / "stopped"])[0].state == "interrupted"


def test_a_run_without_its_export_is_not_finished(folder: Path) -> None:
    path = folder / "bits=2" / "results.json"
    path.write_text(path.read_text().replace('"finished": true', '"finished": false'))
    (run,) = find_runs([folder / "bits=2"])
    assert (run.state, run.results) == ("interrupted", {})


def test_another_format_is_damage_that_is_named(folder: Path) -> None:
    path = folder / "bits=2" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": 1}))
    (run,) = find_runs([folder / "bits=2"])
    assert run.state == "damaged"
    assert "has the format 1" in run.problem


def test_the_table_is_a_data_frame_where_pandas_is_and_rows_elsewhere(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.csv"
    monkeypatch.setitem(sys.modules, "pandas", None)
    rows = ssl_keras.run_table(folder, csv=path)
    assert isinstance(rows, list)
    assert len({tuple(row) for row in rows}) == 1
    assert [row[KEY] for row in rows] == [0.8, 0.5, 0.6, None, None, None]
    with path.open(newline="") as file:
        written = list(csv.DictReader(file))
    assert list(written[0]) == list(rows[0])
    assert [row["num_bits"] for row in written] == ["2", "10", "2", "20", "3", ""]
    monkeypatch.undo()
    try:
        pandas = importlib.import_module("pandas")
    except ImportError:
        return
    frame = ssl_keras.run_table(folder)
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == list(rows[0])
    assert frame[KEY].isna().sum() == 3
    means = frame.groupby("loss")[KEY].mean()
    assert dict(means) == pytest.approx({"nt_xent": 0.65, "uniform_prior": 0.6})


def test_the_table_in_the_terminal(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert runs.main([str(folder)]) == 0
    lines = capfd.readouterr().out.splitlines()
    header = lines[0].split()
    assert header[:4] == ["run", "state", "loss", "num_bits"]
    assert header[4:] == ["linear", "class", "linear", "bits", "time"]
    assert re.split("  +", lines[2]) == [
        "bits=2", "finished", "nt_xent", "2", "0.800", "0.900", "2 min 5 s"
    ]  # fmt: skip
    assert re.split("  +", lines[5])[:4] == [
        "stopped", "interrupted at step 3", "nt_xent", "20"
    ]  # fmt: skip
    assert lines[7].split() == ["unknown", "damaged"]
    assert lines[9] == "3 finished, 1 interrupted, 2 damaged"
    assert "seed" in lines[10]  # it differs with the loss
    assert lines[11] == "stopped: the loss was not finite at step 4"
    assert len(lines) == 14


class _Page(HTMLParser):
    """Counts tags, and keeps what a page loads."""

    EMPTY = ("meta", "input", "img", "polyline", "circle")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.counts: dict[str, int] = {}
        self.text: dict[str, list[str]] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.setdefault(self.open[-1] if self.open else "", []).append(data)


def test_the_page_is_whole_and_loads_nothing(folder: Path, tmp_path: Path) -> None:
    (folder / "bits=2").rename(folder / "<b>&")
    path = tmp_path / "runs.html"
    assert runs.main([str(folder), f"--html={path}"]) == 0
    text = path.read_text()
    page = _Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert page.counts["tbody"] == 6
    assert page.counts["img"] == 5  # the interrupted run has drawn none
    assert page.counts["svg"] == 4
    assert page.counts["polyline"] == page.counts["svg"]
    assert "b" not in page.counts
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert "http" not in text.replace("http-equiv", "")
    assert "default-src 'none'" in text
    assert "<b>&" in page.text["button"]
    # Settings that differ are columns, with a tint for each value; in the list they are marked.
    assert {"loss", "num_bits"} <= set(page.text["button"])
    assert {"2", "10", "20", "3"} <= set(page.text["mark"])
    assert "4" not in page.text["mark"]  # steps
    assert len(text) < 60_000 * 6


def test_the_page_says_how_to_go_on(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "runs.html"
    assert (
        runs.main([str(folder / "stopped"), f"--html={path}", f"--csv={tmp_path / 'a.csv'}"]) == 0
    )
    command = f"ssl_keras.train --flagfile={folder}/stopped/flags.txt --workdir={folder}/stopped"
    assert command in path.read_text()
    assert (tmp_path / "a.csv").read_text().count("\n") == 2


@pytest.mark.parametrize(
    ("losses", "points"),
    [
        ([5.0, 3.0, 4.0], "3.0,3.0 65.0,27.0 127.0,15.0"),
        ([2.0], "3.0,3.0"),
        ([1.0, float("nan"), 1.0], "3.0,3.0 127.0,3.0"),
        ([float("inf")], None),
        ([], None),
    ],
)
def test_a_sparkline_spans_its_box(losses: list[float], points: str | None) -> None:
    text = sparkline(losses)
    if points is None:
        assert text == ""
    else:
        assert f'points="{points}"' in text


def test_a_long_training_has_a_short_sparkline() -> None:
    text = sparkline([float(k) for k in range(10_000)])
    assert len(text) < 3000
    assert "127.0,3.0" in text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (59.6, "1 min"), (80, "1 min 20 s"), (3599.7, "1 h"), (7500, "2 h 5 min")],
)
def test_times_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["/nowhere"],
            "/nowhere does not exist: give the directory of a run, or a folder of runs.",
        ),
        (["{folder}/notes"], "notes holds no run"),
        (["{folder}/bits=2/flags.txt"], "flags.txt is a file"),
        (["{folder}", "{folder}/bits=2"], "The same run is listed twice"),
        (["{folder}", "--html=a.htm"], "--html is a.htm; a .html file in an existing folder is"),
        (["{folder}", "--csv=/nowhere/a.csv"], "--csv is /nowhere/a.csv; a .csv file in an"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str], message: str, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert runs.main([argument.format(folder=folder) for argument in arguments]) == 2
    told = capfd.readouterr().err
    assert message in told
    assert told.count("\n") == 1


def test_a_table_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        write_csv([{"a": 1}], tmp_path / "missing" / "a.csv")
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        write_csv([{"a": 1}], tmp_path / "a.csv")


def test_listing_needs_no_tensorflow(folder: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from ssl_keras.runs.__main__ import main; "
        f"code = main([{str(folder)!r}, '--html={tmp_path}/a.html']); "
        "assert not {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules); sys.exit(code)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
