"""Sweeps: a command line as a grid, its runs, what is left after a failure or an interruption."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import ssl_keras
from ssl_keras.cli import flags
from ssl_keras.compare import __main__ as compare
from ssl_keras.runs import __main__ as runs
from ssl_keras.sweep import __main__ as sweep
from ssl_keras.sweep import grid, pool
from tests import quick
from tests.cli.folders import KEY, write_run, write_unfinished

pytestmark = pytest.mark.long

ROOT = Path(__file__).parent.parent.parent
TINY = [
    "--noexport",
    "--dataset=plain", "--loss=nt_xent", "--steps=6", "--batch_size=16", "--max_train_images=100",
    "--width_multiplier=0.25", "--heads=linear", "--measure_images=0", "--log_every=2",
    "--checkpoint_every=2",
]  # fmt: skip
GRID = ["--temperature=0.1,0.5", "--seed=0,1"]
NAMES = [f"temperature={t},seed={seed}" for t in (0.1, 0.5) for seed in (0, 1)]


def read(*arguments: str) -> grid.Grid:
    return grid.read(["program", *arguments], flags.define(arguments=arguments))


def results(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / name / "results.json").read_text())
    return found


def interrupted(workdir: Path, step: int) -> None:
    """Make a finished run one that was interrupted after `step`."""
    (workdir / "results.json").unlink()
    for path in (workdir / "checkpoints").iterdir():
        if not path.name.startswith(f"step-{step}."):
            path.unlink()


@pytest.mark.full
def test_a_grid_is_run_resumed_and_read(
    tmp_path: Path,
    data_dir: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool.Worker, "command", quick.WORKER)
    folder = tmp_path / "sweep"
    line = ["ssl_keras.sweep", *TINY, *GRID, f"--folder={folder}"]

    # One job makes the four runs.
    assert sweep.main(line) == 0
    told = capfd.readouterr().out
    assert f"4 runs (2 temperature x 2 seed), in {folder}\n0 of 4 runs are done.\n" in told
    assert re.search(r"1 of 4 runs, about .* left; done: temperature=0.1,seed=0", told)
    assert "4 of 4 runs; done: temperature=0.5,seed=1" in told
    assert f"python -m ssl_keras.compare {folder} --x=temperature" in told
    assert {path.name for path in folder.iterdir()} == {*NAMES, "runs.csv", ".lock"}
    first = {name: results(folder, name) for name in NAMES}
    assert len({result["weights_sha256"] for result in first.values()}) == 4
    for name, result in first.items():
        chosen = f"temperature={result['config']['temperature']},seed={result['config']['seed']}"
        assert chosen == name

    # One was interrupted; another one cannot be made, since somebody is at it.
    interrupted(folder / NAMES[1], 4)
    shutil.rmtree(folder / NAMES[2])
    (folder / NAMES[2]).mkdir()
    before = (folder / NAMES[0] / "results.json").stat().st_mtime_ns
    with (folder / NAMES[2] / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert sweep.main(line) == 2
    shown = capfd.readouterr()
    assert "2 of 4 runs are done." in shown.out
    assert "2 of 2 runs; done" in shown.out or "2 of 2 runs; failed" in shown.out
    assert re.search(rf"The run {NAMES[2]} failed .* another process is using", shown.err)
    sentence = shown.err.splitlines()[-1]
    assert sentence.startswith(f"ssl_keras.sweep: 1 of 4 runs failed: {NAMES[2]}. What they said")
    assert f"{folder}/{NAMES[2]}.log" in sentence
    assert (folder / f"{NAMES[2]}.log").is_file()
    again = results(folder, NAMES[1])
    assert again["times"]["resumed_at"] == [4]
    assert again["weights_sha256"] == first[NAMES[1]]["weights_sha256"]
    assert again["results"] == first[NAMES[1]]["results"]
    assert (folder / NAMES[0] / "results.json").stat().st_mtime_ns == before

    # What is there can be read, compared and listed.
    rows = ssl_keras.read_runs(folder)
    assert [row["name"] for row in rows] == [NAMES[0], NAMES[1], NAMES[3]]
    assert [row[KEY] for row in rows] == [first[row["name"]]["results"][KEY] for row in rows]
    assert all(row["training/loss"] > 0 for row in rows)
    assert compare.main([str(folder), "--x=temperature"]) == 0
    assert "0.1" in capfd.readouterr().out.splitlines()[3]
    assert (folder / "temperature.png").stat().st_size > 5000
    assert runs.main([str(folder), f"--html={folder}/runs.html"]) == 0
    assert (folder / "runs.html").read_text().count("<polyline") == 3


@pytest.mark.exhaustive
def test_ctrl_c_leaves_runs_that_the_same_command_completes(tmp_path: Path, data_dir: str) -> None:
    folder = tmp_path / "sweep"
    pair, names = ["--temperature=0.1,0.5", "--seed=0"], NAMES[::2]
    tiny = [word for word in TINY if not word.startswith(("--steps", "--checkpoint", "--log"))]
    words = [*tiny, *pair, "--steps=300", "--log_every=10", "--jobs=2", f"--folder={folder}"]
    process = subprocess.Popen(
        [sys.executable, "-m", "ssl_keras.sweep", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    logs = [folder / f"{name}.log" for name in names]
    deadline = time.monotonic() + 600
    while not all(log.exists() and "step     30/300" in log.read_text() for log in logs):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 130
    command = "python -m ssl_keras.sweep " + " ".join(words)
    assert errors.splitlines()[-1] == (
        "ssl_keras.sweep: interrupted after 0 of 2 runs; the same command continues: " + command
    )
    found = {row["name"]: row for row in ssl_keras.read_runs(folder)}
    assert {row["state"] for row in found.values()} == {"interrupted"}
    assert all(30 <= row["step"] < 300 for row in found.values())
    assert sweep.main(["program", *words]) == 0
    for name in names:
        assert results(folder, name)["times"]["resumed_at"] == [found[name]["step"]]


class _Pool:
    """Stands for `pool.finish`: notes the runs, and makes none."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, outcome: Any = None):
        self.runs: Sequence[pool.Run] = ()
        self.arguments: list[list[str]] = []
        self.outcome = outcome
        monkeypatch.setattr(pool, "finish", self)

    def __call__(self, runs: Sequence[pool.Run], folder: Path, jobs: int) -> list[Any]:
        self.runs, self.jobs = runs, jobs
        self.arguments = [run.arguments(folder) for run in runs]
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        for run in runs:
            write_run(folder / run.name, 0.5, **run.settings)
        return [{}] * len(runs)


def test_an_interruption_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _Pool(monkeypatch, KeyboardInterrupt())
    folder = tmp_path / "my sweep"
    given = {"heads": "linear", "temperature": 0.1, "loss": "nt_xent", "steps": 4}
    write_run(folder / "temperature=0.1,seed=0", 0.5, **given)
    words = ["--loss=nt_xent", "--steps=4", "--batch_size=16", "--heads=linear"]
    words += ["--temperature=0.1,0.2", f"--folder={folder}"]
    assert sweep.main(["program", *words]) == 130
    assert capfd.readouterr().err == (
        "ssl_keras.sweep: interrupted after 1 of 2 runs; the same command continues: "
        f"python -m ssl_keras.sweep {' '.join(words[:-1])} '--folder={folder}'\n"
    )


def test_a_run_gets_what_was_given_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that nobody gave may still shrink to small data."""
    stand_in = _Pool(monkeypatch)
    flagfile = tmp_path / "a.flags"
    flagfile.write_text("--loss=nt_xent\n--temperature=0.3\n--epochs=3\n")
    words = [f"--flagfile={flagfile}", "--temperature=0.1,0.2", "--flip", "--jobs", "2"]
    assert sweep.main(["program", *words, f"--folder={tmp_path / 'sweep'}"]) == 0
    assert stand_in.jobs == 2
    assert [run.name for run in stand_in.runs] == [
        "temperature=0.1,seed=0",
        "temperature=0.2,seed=0",
    ]
    written = (tmp_path / "sweep" / "temperature=0.1,seed=0.flags").read_text()
    assert written.splitlines() == [
        "--flip=True",
        "--loss=nt_xent",
        "--epochs=3",
        "--temperature=0.1",
    ]
    config = flags.parse(["program", *stand_in.arguments[0]], flags.define())
    assert config.run.workdir == str(tmp_path / "sweep" / "temperature=0.1,seed=0")
    assert not config.run.overwrite
    assert config.flat()["temperature"] == 0.1
    assert config.views.flip is True


def test_a_longer_sweep_continues_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = _Pool(monkeypatch, KeyboardInterrupt())
    given = {"loss": "nt_xent", "batch_size": 16, "heads": "linear", "temperature": 0.1}
    write_run(tmp_path / "temperature=0.1,seed=0", 0.5, **given, steps=4)
    write_unfinished(tmp_path / "temperature=0.2,seed=0", **{**given, "temperature": 0.2}, steps=9)
    words = ["--loss=nt_xent", "--batch_size=16", "--heads=linear", "--temperature=0.1,0.2"]
    assert sweep.main(["program", *words, "--steps=9", f"--folder={tmp_path}"]) == 130
    assert [line[2:] for line in stand_in.arguments] == [[], []]
    # Shorter, or otherwise different, is another run.
    assert sweep.main(["program", *words, "--steps=3", f"--folder={tmp_path}"]) == 2
    replace = [*words, "--steps=3", "--overwrite", f"--folder={tmp_path}"]
    assert sweep.main(["program", *replace]) == 130
    assert [line[2:] for line in stand_in.arguments] == [["--overwrite"], ["--overwrite"]]


@pytest.mark.parametrize(
    ("settings", "differs"),
    [
        ({"steps": 7}, "a finished run with steps=7, not 4:"),
        ({"loss": "n_pair"}, "a finished run with loss=n_pair, not nt_xent"),
        ({"heads": "linear,knn"}, "a finished run with heads=linear,knn, not linear"),
    ],
)
def test_another_run_is_not_replaced(
    settings: dict[str, Any],
    differs: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    stand_in = _Pool(monkeypatch)
    given = {"loss": "nt_xent", "batch_size": 16, "heads": "linear", "steps": 4}
    write_run(tmp_path / "num_bits=5,seed=0", 0.5, **{**given, "num_bits": 5, **settings})
    words = [f"--{name}={value}" for name, value in given.items()]
    line = ["program", *words, "--num_bits=2,5", f"--folder={tmp_path}"]
    assert sweep.main(line) == 2
    told = capfd.readouterr().err
    assert f"{tmp_path / 'num_bits=5,seed=0'} holds {differs}" in told
    assert told.count("\n") == 1
    assert not stand_in.runs
    assert not (tmp_path / "num_bits=2,seed=0").exists()


@pytest.mark.parametrize(
    ("line", "axes", "names"),
    [
        ([], {}, ["seed=0"]),
        (["--seed", "3"], {}, ["seed=3"]),
        (
            ["--seed=0,1", "--loss=nt_xent,n_pair"],
            {"seed": [0, 1], "loss": ["nt_xent", "n_pair"]},
            [
                "loss=nt_xent,seed=0",
                "loss=n_pair,seed=0",
                "loss=nt_xent,seed=1",
                "loss=n_pair,seed=1",
            ],
        ),
        (
            ["--seed=0,1", "--num_bits=2,5"],
            {"seed": [0, 1], "num_bits": [2, 5]},
            ["num_bits=2,seed=0", "num_bits=5,seed=0", "num_bits=2,seed=1", "num_bits=5,seed=1"],
        ),
        (["--num_bits=2, 5"], {"num_bits": [2, 5]}, ["num_bits=2,seed=0", "num_bits=5,seed=0"]),
        (["--num_bits", "2,5"], {"num_bits": [2, 5]}, ["num_bits=2,seed=0", "num_bits=5,seed=0"]),
        (["--num_bits=2;5"], {"num_bits": [2, 5]}, ["num_bits=2,seed=0", "num_bits=5,seed=0"]),
        (
            ["--num_bits=2", "-num_bits=5,7"],
            {"num_bits": [2, 5, 7]},
            ["num_bits=2,seed=0", "num_bits=5,seed=0", "num_bits=7,seed=0"],
        ),
        (["--flip=true,false"], {"flip": [True, False]}, ["flip=true,seed=0", "flip=false,seed=0"]),
        (
            ["--flip", "--noflip"],
            {"flip": [True, False]},
            ["flip=true,seed=0", "flip=false,seed=0"],
        ),
        (["--heads=linear,knn"], {}, ["seed=0"]),
        (
            ["--heads=linear;linear,knn"],
            {"heads": ["linear", "linear,knn"]},
            ["heads=linear,seed=0", "heads=linear+knn,seed=0"],
        ),
        (
            ["--heads=", "--heads=linear,knn"],
            {"heads": ["", "linear,knn"]},
            ["heads=,seed=0", "heads=linear+knn,seed=0"],
        ),
        (
            ["--views=augment;augment,mixup"],
            {"views": ["augment", "augment,mixup"]},
            ["views=augment,seed=0", "views=augment+mixup,seed=0"],
        ),
        (
            ["--loss=nt_xent", "--temperature=0.1,linear:1:0.1"],
            {"temperature": [0.1, "linear:1:0.1"]},
            ["temperature=0.1,seed=0", "temperature=linear:1:0.1,seed=0"],
        ),
        (
            ["--flagfile=randbit", "--num_bits=2,5"],
            {"num_bits": [2, 5]},
            ["num_bits=2,seed=0", "num_bits=5,seed=0"],
        ),
    ],
)
def test_a_command_line_is_a_grid(
    line: list[str], axes: Mapping[str, list[Any]], names: list[str]
) -> None:
    found = read(*line)
    assert found.axes == axes
    assert [cell.name for cell in found.cells] == names
    for cell in found.cells:
        for name, value in found.axes.items():
            assert str(cell.config.flat()[name]).replace("1.0:", "1:") in map(str, value)


@pytest.mark.full
def test_names_that_are_alike_or_long_carry_a_digest() -> None:
    alike = read("--source=npz:/a/x.npz,npz:/b/x.npz").cells
    assert [cell.name for cell in alike] == [
        f"source=x.npz,seed=0,{cell.config.digest()}" for cell in alike
    ]
    numbers = read("--crop_area_min=0.12345678,0.12345679").cells
    assert len({cell.name for cell in numbers}) == 2
    names = ("crop_area_min", "color_strength", "grayscale", "blur", "learning_rate", "kernel_l2")
    names += ("probe_learning_rate", "warmup_epochs", "weight_decay", "ema_decay", "bit_scale")
    wide = read(*(f"--{name}=0.1,0.2" for name in names)).cells
    assert max(len(cell.name) for cell in wide) <= 210
    assert len({cell.name for cell in wide}) == 2 ** len(names)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["--temprature=0.1,0.2"], "Unknown flag --temprature: did you mean --temperature?"),
        (["0.1"], "Unexpected argument '0.1': every setting is a --flag=value."),
        (["--loss=nt_xent,n_piar"], "flag --loss=n_piar: Unknown loss 'n_piar'. Did you mean"),
        (["--num_bits=2,-1"], "flag --num_bits=-1: num_bits must be at least 0"),
        (["--num_bits=1,x"], "flag --num_bits=x: num_bits must be a whole number, not 'x'."),
        (["--num_bits=2,5,2"], "--num_bits has the value 2 twice: give each value once."),
        (["--loss=nt_xent", "--temperature=0.1,0.10"], "has the value 0.10 twice"),
        (["--num_bits=2,"], "--num_bits=2, has an empty value beside others"),
        (["--heads=linear;"], "--heads=linear; has an empty value beside others"),
        (
            ["--loss=nt_xent,simple", "--temperature=0.1,0.2"],
            "loss=simple,temperature=0.1: The loss 'simple' has no temperature",
        ),
        (
            ["--method=simclr,supervised", "--loss=nt_xent", "--temperature=0.1,0.2"],
            "method=supervised,temperature=0.1,seed=0 and method=supervised,temperature=0.2,seed=0 "
            "would be the same run",
        ),
        (["--quiet=true,false"], "quiet=true,seed=0 and quiet=false,seed=0 would be the same run"),
        (["--workdir=a,b"], "workdir cannot have several values: each run has its own directory"),
        (["--workdir=a", "--seed=0,1"], "A sweep takes no --workdir"),
        (["--plugins=", "--plugins=json"], "plugins cannot have several values: plug-ins are"),
        (["--strategy=multi_worker"], "leave --strategy=multi_worker out"),
        (["--jobs=0"], "flag --jobs=0: jobs must be at least 1, not 0."),
        (["--source=npz:/no/file,mnist_5k"], "source=file,seed=0: "),
    ],
)
def test_bad_values_are_one_sentence_before_anything_runs(
    line: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    stand_in = _Pool(monkeypatch)
    assert sweep.main(["program", *line, f"--folder={tmp_path / 'sweep'}"]) == 2
    told = capfd.readouterr().err
    assert message in told
    assert told.count("\n") == 1
    assert not stand_in.runs
    assert not (tmp_path / "sweep").exists()


def test_the_flags_alone_can_be_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stand_in = _Pool(monkeypatch)
    line = ["program", "--loss=nt_xent", "--seed=0,1,2", "--temperature=0.1,1", "--only_check_args"]
    assert sweep.main([*line, f"--folder={tmp_path / 'sweep'}"]) == 0
    told = capfd.readouterr().out
    assert told == (
        f"6 runs (3 seed x 2 temperature), in {tmp_path / 'sweep'}\nThe flags are valid.\n"
    )
    assert not stand_in.runs
    assert not (tmp_path / "sweep").exists()


def test_checking_needs_no_tensorflow(tmp_path: Path) -> None:
    script = (
        "import sys; from ssl_keras.sweep.__main__ import main; "
        "code = main(['program', '--seed=0,1', '--only_check_args']); "
        "assert 'tensorflow' not in sys.modules; sys.exit(code)"
    )
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, cwd=tmp_path)


def test_help_begins_with_the_rule(capfd: pytest.CaptureFixture[str]) -> None:
    assert sweep.main(["program", "--help"]) == 0
    told = capfd.readouterr().out
    assert grid.RULE in told[:600]
    assert "--folder  folder of the runs" in told
    assert max(len(line) for line in grid.RULE.splitlines()) <= 100


def test_a_quiet_sweep_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _Pool(monkeypatch)
    assert sweep.main(["program", "--quiet", "--seed=0,1", f"--folder={tmp_path}"]) == 0
    assert capfd.readouterr().out == ""


def test_the_bar_is_for_terminals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    progress = pool.Progress(2)
    progress.show(["first", "second"])
    progress.count("first", failed=False)
    progress.warn("The run second failed")
    progress.count("second", failed=True)
    progress.close()
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "2 of 2 runs |" in shown.err
    assert "left, first, second" in shown.err
    assert "The run second failed" in shown.err
