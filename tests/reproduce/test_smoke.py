"""Every study as a user runs it, in small."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_keras.reproduce import __main__ as program
from ssl_keras.reproduce import report
from ssl_keras.reproduce.studies import STUDIES
from ssl_keras.sweep.pool import Worker
from tests import quick

pytestmark = [pytest.mark.full, pytest.mark.long]


def available(name: str) -> bool:
    """Whether this machine has the data of a study (Fashion-MNIST is a package)."""
    sources = [str(cell.get("source", "")) for cell in STUDIES[name].cells("smoke").values()]
    folders = [source.removeprefix("idx:") for source in sources if source.startswith("idx:")]
    return all(Path(folder).is_dir() for folder in folders)


def test_everything_runs_at_smoke_scale_and_a_lost_run_comes_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Worker, "command", quick.WORKER)
    names = [name for name in STUDIES if available(name)]
    assert len(names) >= 9
    output, runs = tmp_path / "results", tmp_path / "runs"
    arguments = ["--scale=smoke", "--seeds=1", f"--output={output}", f"--runs={runs}"]
    assert program.main([*names, *arguments]) == 0

    def numbers(name: str) -> list[dict[str, str]]:
        with (output / f"{name}.csv").open() as file:
            return [
                {k: v for k, v in row.items() if k not in ("seconds", "training_seconds", "commit")}
                for row in csv.DictReader(file)
            ]

    lost = {"arora": "batch-4-seed0"}
    before = {name: numbers(name) for name in lost}
    for name, run in lost.items():
        shutil.rmtree(runs / "smoke" / name / run)
    capfd.readouterr()
    assert program.main([*lost, *arguments]) == 0
    assert "1 of 2 runs are done" in capfd.readouterr().out
    assert {name: numbers(name) for name in lost} == before
    # The figures of the page are those above.
    monkeypatch.setattr(report, "_draw", lambda *_: None)
    assert program.main(["report", *arguments]) == 0
    text = (tmp_path / "results.md").read_text()
    for name in names:
        with Image.open(output / f"{name}.png") as picture:
            assert np.asarray(picture.convert("L")).std() > 10
        assert "Not drawn" not in (output / f"{name}.svg").read_text()
    judged = [name for name in names if STUDIES[name].verdict]
    for name in judged:
        assert f'<img src="results/{name}.png"' in text
    assert text.count("**Not judged** (one seed)") == len(judged)  # two steps prove nothing
