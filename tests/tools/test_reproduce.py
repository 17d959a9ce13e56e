"""Sweeps: only what is missing is run, results do not depend on it, and failures are told."""

from __future__ import annotations

import csv
import math
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ssl_keras.config import Config
from ssl_keras.errors import UserError
from tools.reproduce import __main__ as program
from tools.reproduce import sweep
from tools.reproduce.experiments import EXPERIMENTS, SCALES, SECTIONS
from tools.reproduce.report import Measured, write, write_report
from tools.reproduce.sweep import Run, finish, shares

ROOT = Path(__file__).parent.parent.parent

TINY: dict[str, Any] = {
    "dataset": "plain",
    "steps": 2,
    "batch_size": 16,
    "width_multiplier": 0.25,
    "heads": "",
    "measure_images": 0,
}


def comparable(results: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in results.items() if key not in ("times", "paths")}


def test_only_missing_runs_are_run_and_repeat_their_numbers(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = [Run(f"seed{seed}", {**TINY, "seed": seed}) for seed in (0, 1)]
    first = finish(runs, tmp_path, jobs=2)
    assert "0 of 2 runs are done" in capfd.readouterr().out
    assert first[0]["weights_sha256"] != first[1]["weights_sha256"]
    assert {path.name for path in tmp_path.iterdir()} == {"seed0", "seed1", ".lock"}
    assert finish(runs, tmp_path, jobs=2) == first
    assert "2 of 2 runs are done" in capfd.readouterr().out
    shutil.rmtree(tmp_path / "seed1")
    again = finish(runs, tmp_path, jobs=2)
    assert "1 of 2 runs are done" in capfd.readouterr().out
    assert again[0] == first[0]
    assert comparable(again[1]) == comparable(first[1])
    # Other settings under the same name: what is there does not count.
    assert Run("seed0", {**TINY, "steps": 3}).results(tmp_path) is None
    # Nor does what the same settings gave when they meant other data.
    path = tmp_path / "seed0" / "results.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 0'))
    assert runs[0].results(tmp_path) is None


def test_a_run_that_fails_is_named_with_its_last_words(tmp_path: Path) -> None:
    runs = [Run("broken", {**TINY, "source": "npz:/no/such.npz"})]
    with pytest.raises(UserError, match=r"The run broken failed \(.*\): .*no/such.npz"):
        finish(runs, tmp_path, jobs=1)


def test_a_worker_that_dies_is_a_failed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep.Worker, "command", [sys.executable, "-c", "print"])
    with pytest.raises(UserError, match="The run only failed"):
        finish([Run("only", TINY)], tmp_path, jobs=1)


def test_a_measure_that_is_missing_leaves_the_report_standing(tmp_path: Path) -> None:
    results = pretended("views", partial(as_claimed, "views"), 1)
    for result in results:
        del result["results"][EXPERIMENTS["views"].measures["untrained"]]
    rest = [{**result, "results": {**result["results"]}} for result in results]
    rest[-1]["results"][EXPERIMENTS["views"].measures["untrained"]] = 0.5
    assert Measured("views", "laptop", 1, rest).verdict.startswith("**Not judged.**")


# A worker whose runs take a minute, and say who makes them.
STUB = """
import json, os, pathlib, sys, time
log = pathlib.Path(json.loads(sys.stdin.readline())["log"])
log.with_suffix(".pid").write_text(str(os.getpid()))
time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[-1].split()[0]
    except OSError:
        return False


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_runs_end_with_the_sweep_however_it_ends(how: signal.Signals, tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from tools.reproduce import sweep
sweep.Worker.command = [sys.executable, "-c", {STUB!r}]
sweep.finish([sweep.Run(n, {TINY!r}) for n in ("a", "b", "c")], Path({str(tmp_path)!r}), 2)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        # Whoever has started the tests in the background has made them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    files = [tmp_path / "a.pid", tmp_path / "b.pid"]
    deadline = time.monotonic() + 60
    while not all(file.exists() and file.read_text() for file in files):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # A second sweep in the same place is refused while the first one runs.
    with pytest.raises(UserError, match="Another sweep is running in"):
        finish([], tmp_path, 1)
    children = [int(file.read_text()) for file in files]
    process.send_signal(how)
    assert process.wait(timeout=60) != 0
    while any(alive(child) for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert not (tmp_path / "c.pid").exists()
    finish([], tmp_path, 1)


def test_shares_are_equal_and_a_function_of_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3, 4, 5, 6, 7})
    assert shares(1) == [set(range(8))]
    assert shares(3) == [{0, 1}, {2, 3}, {4, 5}]
    assert [len(share) for share in shares(12)] == [1] * 12
    assert set().union(*shares(12)) == set(range(8))


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
@pytest.mark.parametrize("scale", SCALES)
def test_every_cell_is_a_valid_configuration(name: str, scale: str) -> None:
    runs = EXPERIMENTS[name].runs(scale, 2)
    assert len({run.name for run in runs}) == len(runs) == 2 * len(EXPERIMENTS[name].cells(scale))
    digests = {Config.make(**run.settings).digest() for run in runs}
    assert len(digests) == len(runs)


Values = Callable[[str, dict[str, Any]], float]


def features_of(name: str) -> list[str]:
    """The features of the pretended data set."""
    return ["class", "digit"] if EXPERIMENTS[name].by_feature else ["class"]


def pretended(name: str, value: Values, seeds: int = 3) -> list[dict[str, Any]]:
    """Results of all runs of an experiment, in which `value(column, settings)` was measured."""
    experiment = EXPERIMENTS[name]
    features = features_of(name)
    chances = {c: k for c, k in experiment.measures.items() if k.startswith("chance/")}
    return [
        {
            "results": {
                key.format(feature=feature): value(column, dict(run.settings))
                for column, key in experiment.measures.items()
                for feature in features
            },
            "data": {
                "features": {feature: {"chance": 0.1} for feature in features}
                | {
                    key.removeprefix("chance/"): {"chance": value(column, dict(run.settings))}
                    for column, key in chances.items()
                }
            },
            "times": {"total": 10.0},
            "steps": 320,
            "hardware": {"gpus": [], "processor": "Abacus", "cores": 1},
            "versions": {"commit": "0123456789abcdef+changes"},
        }
        for run in experiment.runs("laptop", seeds)
    ]


@pytest.mark.parametrize("name", sorted(EXPERIMENTS))
def test_table_and_figure_follow_from_the_results(name: str, tmp_path: Path) -> None:
    experiment = EXPERIMENTS[name]
    generator = np.random.default_rng(0)
    results = pretended(name, lambda *_: generator.random())
    features = features_of(name)
    measured = Measured(name, "laptop", 3, results)
    rows = measured.rows
    column, key = next(iter(experiment.measures.items()))
    for row, feature in zip(rows[: len(features)], features, strict=True):
        own = [result["results"][key.format(feature=feature)] for result in results[:3]]
        np.testing.assert_allclose(row[column], np.mean(own))
        np.testing.assert_allclose(row[f"{column}_sd"], np.std(own, ddof=1))
    write(measured, tmp_path)
    with (tmp_path / f"{name}.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(rows) == len(features) * len(experiment.cells("laptop"))
    np.testing.assert_allclose(float(table[0][column]), rows[0][column], rtol=1e-5)
    text = (tmp_path / f"{name}.md").read_text()
    for told in ("commit 0123456789+changes.", "of 320 steps", "Abacus"):
        assert told in text
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(rows)
    assert len({line.count("|") for line in lines}) == 1
    # A measure that one cell lacks is left out; one that none has is a mistake.
    gone = key.format(feature=features[0])
    del results[0]["results"][gone]
    assert column not in experiment.summary("laptop", 3, results)[0]
    for result in results:
        result["results"] = {n: v for n, v in result["results"].items() if n != gone}
    if len(features) == 1:
        with pytest.raises(KeyError, match=re.escape(gone)):
            experiment.summary("laptop", 3, results)


def sides(cell: dict[str, Any]) -> tuple[str, str]:
    """Which of two digits is the one of 20 pixels, and which its rival."""
    larger = int(cell.get("digit_sizes", "20,20").split(",")[1]) > 20
    return ("small", "large") if larger else ("large", "small")


def as_claimed(name: str, column: str, cell: dict[str, Any]) -> float:
    """A world in which the papers' claims hold."""
    loss, t = cell.get("loss"), cell.get("temperature", 0.2)
    bits, wide = cell.get("num_bits", 0), cell.get("width_multiplier", 1.0)
    if name == "losses":
        kinds = ("nt_xent", "decoupled_nt_xent", "uniform_prior", "hypersphere_prior")
        apart = 0.2 / (1 + 3 * cell["projection_layers"] ** 2)
        if column == "untrained":
            return 0.7
        return 0.7 + 0.03 * cell["projection_layers"] + apart * (loss in kinds[:2])
    if name == "lambda_temperature":
        return 1 - abs(math.log(cell["distribution_weight"] / t)) / 10
    if name in ("randbit", "randbit_fashion"):
        faster = {"online": t, "linear": t / 2}.get(column, 0.1)
        return 0.9 - 0.8 * min(1, bits * faster)
    if name == "randbit_factors":
        kept = column in ("supervised", "autoencoder", "untrained")
        return 0.9 + 0.01 * wide - (0.01 if kept else 0.07) * bits
    if name == "overlay":
        much = math.log10(cell["num_unique_digits"]) / 10
        return {"simclr_class": 0.9 - much, "simclr_digit": 0.3 + much}.get(column, 0.8)
    if name == "multi_digit":
        rival = int(cell.get("digit_sizes", "20,20").split(",")[1])
        own, other = sides(cell)
        few = 1 - cell.get("num_digits", 2) / 100
        gone = {f"simclr_{own}_digit": 0.9 - rival / 100, "simclr_presence": few - 0.1}
        gone |= {f"simclr_{other}_digit": 0.1 + rival / 100}
        return gone.get(column, 0.2 if column.startswith("untrained") else 0.9)
    if name == "local_features":
        return 0.5 + 0.1 * int(column[-1]) if column.startswith("trained") else 0.4
    if name == "temperature":
        flat = loss == "hard_contrastive"
        simple = loss in ("simple", "hard_simple")
        return {
            "uniformity": -3.9 + (0 if flat else 2 if simple else t),
            "tolerance": 0.2 if flat else t / 2,
            "accuracy": 0.7 if simple else 0.9 - (math.log(t / 0.4)) ** 2 / 30,
        }.get(column, 0.5)
    if name == "grids":
        weight = math.log(cell.get("alignment_weight", 3.0) / 3)
        return 0.8 + 0.5 * cell.get("tau_plus", 0) + 0.1 * cell.get("beta", 0) - weight**2 / 20
    assert name == "views"
    return 0.5 if column == "untrained" else 0.4 + 0.2 * (bits == 0)


JUDGED = [name for name in EXPERIMENTS if EXPERIMENTS[name].verdict]


@pytest.mark.parametrize("name", JUDGED)
def test_verdicts_tell_a_world_as_claimed_from_one_in_which_nothing_matters(name: str) -> None:
    claimed = Measured(name, "laptop", 2, pretended(name, partial(as_claimed, name), 2))
    # Of two readings of a claim that exclude each other, one holds.
    two = name == "lambda_temperature"
    word = "Partly reproduced" if two else "Reproduced"
    assert claimed.verdict.startswith(f"**{word}.** Yes: "), claimed.verdict
    assert claimed.verdict.count("No: ") == two
    for value in (0.5, 0.0):
        constant = Measured(name, "laptop", 2, pretended(name, lambda *_, v=value: v, 2))
        # All losses do agree in such a world, and nothing gets above the untrained encoder.
        partly = name == "losses"
        word = "**Partly reproduced.**" if partly else "**Not reproduced.**"
        assert constant.verdict.startswith(word), constant.verdict


# What can be wrong with a world as claimed: (column, settings) -> what is measured instead, if so.
SPOILED: dict[str, list[Callable[[str, dict[str, Any]], float | None]]] = {
    "losses": [
        # They differ under every head, or agree under every head; none at all does not count.
        lambda _, cell: 0.7 + 0.1 * (cell["loss"] == "nt_xent"),
        lambda _, cell: 0.7 + 0.03 * cell["projection_layers"],
        lambda _, cell: 0.7 - 0.3 * (cell["projection_layers"] == 0 and cell["loss"] == "nt_xent"),
    ],
    "lambda_temperature": [
        # The best values move against each other; or the best is the same weight everywhere.
        lambda _, cell: 1 - abs(math.log(cell["distribution_weight"] * cell["temperature"])) / 10,
        lambda _, cell: 1 - abs(math.log(cell["distribution_weight"] / 0.1)) / 10,
    ],
    "randbit": [
        lambda *_: 0.5,
        # The higher the temperature the better; and no decline at the highest.
        lambda column, cell: (
            0.9 - 0.008 * cell["num_bits"] / cell["temperature"] if column == "online" else None
        ),
        lambda column, cell: 0.9 if column == "online" and cell["temperature"] == 0.2 else None,
    ],
    "randbit_factors": [
        lambda column, cell: 0.9 if column == "accuracy" and cell["loss"] != "nt_xent" else None,
        lambda column, cell: 0.9 if column == "accuracy" and cell["batch_size"] == 1000 else None,
        lambda column, cell: (
            0.9 if column == "accuracy" and cell["width_multiplier"] == 2 else None
        ),
        lambda column, cell: 0.9 - 0.07 * cell["num_bits"] if column == "autoencoder" else None,
    ],
    "overlay": [
        lambda column, _: 0.8 if column == "simclr_class" else None,
        lambda column, _: 0.3 if column == "simclr_digit" else None,
        lambda column, cell: (
            0.8 - math.log10(cell["num_unique_digits"]) / 10
            if column == "supervised_class"
            else None
        ),
    ],
    "multi_digit": [
        lambda column, _: 0.6 if column in ("simclr_small_digit", "simclr_large_digit") else None,
        # The digit cannot be read, rival or not; the rival neither; labels do not keep the digit.
        lambda column, _: 0.9 if column.startswith("untrained") else None,
        lambda column, cell: (
            0.5 if column == f"simclr_{sides(cell)[1]}_digit" and "digit_sizes" in cell else None
        ),
        lambda column, cell: (
            as_claimed("multi_digit", column.replace("supervised", "simclr"), cell)
            if column.startswith("supervised")
            else None
        ),
    ],
    "local_features": [lambda column, _: 0.8 if column.startswith("pixels") else None],
    "temperature": [
        lambda column, cell: (
            cell.get("temperature", 0) if column in ("accuracy", "uniformity") else None
        ),
        lambda column, cell: (
            cell["temperature"]
            if column == "uniformity" and cell["loss"] == "hard_contrastive"
            else None
        ),
    ],
    "grids": [
        lambda _, cell: 0.8 - cell.get("tau_plus", 0) if cell["loss"] == "debiased" else None,
        lambda _, cell: 0.8 - cell.get("beta", 0) if cell["loss"] == "hard_negative" else None,
        lambda _, cell: -cell["alignment_weight"] if cell["loss"] == "align_uniform" else None,
    ],
    "views": [
        lambda column, cell: 0.4 if column == "accuracy" and cell["views"] == "mixup" else None,
        lambda column, cell: 0.4 if column == "accuracy" and cell["views"] == "dropout" else None,
    ],
}


@pytest.mark.parametrize(
    ("name", "spoil"), [(name, spoil) for name, spoils in SPOILED.items() for spoil in spoils]
)
def test_no_part_of_a_claim_can_fail_unseen(
    name: str, spoil: Callable[[str, dict[str, Any]], float | None]
) -> None:
    def value(column: str, cell: dict[str, Any]) -> float:
        found = spoil(column, cell)
        return as_claimed(name, column, cell) if found is None else found

    verdict = Measured(name, "laptop", 2, pretended(name, value, 2)).verdict
    assert not verdict.startswith("**Reproduced"), verdict
    assert "No: " in verdict


def test_pictures_of_runs_are_shown_in_the_report(tmp_path: Path) -> None:
    name = "local_features"
    results = pretended(name, partial(as_claimed, name), 2)
    path = tmp_path / "run" / EXPERIMENTS[name].pictures[0]
    path.parent.mkdir(parents=True)
    Image.new("RGB", (3, 2)).save(path)
    results[2]["paths"] = {"workdir": str(tmp_path / "run")}
    results[3]["paths"] = {"workdir": str(tmp_path / "gone")}
    (tmp_path / "docs").mkdir()
    page = write_report(
        {name: Measured(name, "laptop", 2, results)}, "laptop", tmp_path / "docs"
    ).read_text()
    cell = list(EXPERIMENTS[name].cells("laptop"))[1]
    shown = f"local_features-{cell}-local_features-clusters.png"
    assert (tmp_path / "docs" / shown).read_bytes() == path.read_bytes()
    assert f"(docs/{shown})" in page
    assert page.count("clusters.png") == 1


def test_every_judged_experiment_has_its_claim_and_its_place() -> None:
    placed = [name for names in SECTIONS.values() for name in names]
    assert sorted(placed) == sorted(JUDGED)
    for name in JUDGED:
        assert EXPERIMENTS[name].claim
        assert EXPERIMENTS[name].differs


def test_report_takes_the_seeds_that_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made: dict[str, dict[str, Any]] = {}
    for name, seeds in {"views": 2, "temperature": 1}.items():
        results = pretended(name, partial(as_claimed, name), seeds)
        names = [run.name for run in program.runs_of(name, "laptop", seeds)]
        made |= zip(names, results, strict=True)
    del made["views/crop-0-bits-seed1"]
    monkeypatch.setattr(Run, "results", lambda self, _: made.get(self.name))
    output = tmp_path / "docs" / "results"
    assert program.main(["report", f"--output={output}"]) == 0
    assert "views                1 of 3 seeds" in capsys.readouterr().out
    text = (tmp_path / "docs" / "results.md").read_text()
    assert "](results/views.png)" in text
    assert (output / "views.png").exists()
    assert "| 1 | reproduced |" in text
    assert "| [Which views learn the digit" in text
    assert "Not run yet: `python -m tools.reproduce losses --scale=laptop`" in text
    assert "in brackets (CIFAR-10, Wang and Liu 2021)" in text
    assert "none that we know" in text
    for link in re.findall(r"\]\(#([^)]*)\)", text):
        assert f"### {link.replace('-', ' ')}\n" in text
    made.clear()
    assert program.main(["report", f"--output={output}"]) == 2
    assert "No experiment of scale laptop is done" in capsys.readouterr().err
    assert program.main(["report", "views", f"--output={output}"]) == 2
    assert program.main(["views", "--output=.."]) == 2
    assert "name a folder" in capsys.readouterr().err
    assert program.main(["vews", f"--output={output}"]) == 2
    assert "views" in capsys.readouterr().err


def test_data_set_cells_are_the_flagfiles() -> None:
    settings = EXPERIMENTS["data_sets"].cells("laptop")["overlay"]
    text = (ROOT / "flags" / "overlay.flags").read_text()
    for name, value in settings.items():
        assert f"--{name}={value}\n" in text
    assert Config.make(**settings).data.dataset == "overlay"
