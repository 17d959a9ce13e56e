"""The pool: only missing runs are made, with the same results, and failures are reported."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ssl_keras.errors import UserError
from ssl_keras.sweep import pool, worker
from ssl_keras.sweep.pool import Run, finish, shares

ROOT = Path(__file__).parent.parent.parent

TINY: dict[str, Any] = {
    "export": False,
    "dataset": "plain",
    "steps": 2,
    "batch_size": 16,
    "width_multiplier": 0.25,
    "heads": "",
    "measure_images": 0,
}


def comparable(results: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in results.items() if key not in ("times", "paths")}


def finished(runs: list[Run], directory: Path) -> list[dict[str, Any]]:
    """The results of runs, all of which succeed."""
    results = finish(runs, directory, jobs=2)
    assert None not in results
    return [result for result in results if result is not None]


@pytest.mark.exhaustive
def test_only_missing_runs_are_run_and_repeat_their_numbers(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = [Run(f"seed{seed}", {**TINY, "seed": seed}) for seed in (0, 1)]
    first = finished(runs, tmp_path)
    assert "0 of 2 runs are done" in capfd.readouterr().out
    assert first[0]["weights_sha256"] != first[1]["weights_sha256"]
    assert {path.name for path in tmp_path.iterdir()} == {"seed0", "seed1", ".lock"}
    assert finished(runs, tmp_path) == first
    assert "2 of 2 runs are done" in capfd.readouterr().out
    shutil.rmtree(tmp_path / "seed1")
    again = finished(runs, tmp_path)
    assert "1 of 2 runs are done" in capfd.readouterr().out
    assert again[0] == first[0]
    assert comparable(again[1]) == comparable(first[1])
    # Other settings under the same name: what is there does not count.
    assert Run("seed0", {**TINY, "steps": 3}).results(tmp_path) is None
    # Nor does what the same settings gave when they meant other data.
    path = tmp_path / "seed0" / "results.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 0'))
    assert runs[0].results(tmp_path) is None
    path.write_text("{}")
    assert runs[0].results(tmp_path) is None


@pytest.mark.full
def test_a_run_that_fails_is_named_with_the_end_of_its_output_and_stops_no_other(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = [Run("broken", {**TINY, "source": "npz:/no/such.npz"}), Run("whole", TINY)]
    broken, whole = finish(runs, tmp_path, jobs=1)
    assert broken is None
    assert whole is not None
    assert re.search(r"The run broken failed \(.*\): .*no/such.npz", capfd.readouterr().err)


def test_a_worker_that_dies_is_a_failed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pool.Worker, "command", [sys.executable, "-c", "print"])
    runs = [Run(name, TINY) for name in ("first", "second")]
    assert finish(runs, tmp_path, jobs=1) == [None, None]
    shown = capfd.readouterr().err
    assert "The run first failed" in shown
    assert "The run second failed" in shown


# A worker whose runs take no time, and say who makes them.
QUICK = """
import json, os, pathlib, sys
for line in sys.stdin:
    log = pathlib.Path(json.loads(line)["log"])
    log.with_suffix(".pid").write_text(str(os.getpid()))
    print(0, flush=True)
"""


def test_runs_share_a_process_unless_their_environment_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool.Worker, "command", [sys.executable, "-c", QUICK])
    settings = {"s/a": TINY, "s/b": {**TINY, "seed": 1}, "s/c": {**TINY, "deterministic": True}}
    finish([Run(name, values) for name, values in settings.items()], tmp_path, jobs=1)
    assert {path.suffix for path in (tmp_path / "s").iterdir()} == {".pid"}
    a, b, c = ((tmp_path / f"{name}.pid").read_text() for name in settings)
    assert a == b != c


# A worker whose first run is interrupted, and that takes a moment to end.
INTERRUPTED = """
import os, pathlib, sys, time
sys.stdin.readline()
first = not pathlib.Path("interrupted").exists()
pathlib.Path("interrupted").touch()
print(130 if first else 0, flush=True)
time.sleep(0.3 if first else 60)
"""


def test_a_run_after_an_interrupted_one_gets_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pool.Worker, "command", [sys.executable, "-c", INTERRUPTED])
    finish([Run(name, TINY) for name in ("first", "second")], tmp_path, jobs=1)
    shown = capfd.readouterr().err
    assert "The run first failed" in shown
    assert "The run second failed" not in shown


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


@pytest.mark.full
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_runs_end_with_the_sweep_however_it_ends(how: signal.Signals, tmp_path: Path) -> None:
    program = f"""
import sys
from pathlib import Path
from ssl_keras.sweep import pool, worker
pool.Worker.command = [sys.executable, "-c", {STUB!r}]
pool.finish([pool.Run(n, {TINY!r}) for n in ("a", "b", "c")], Path({str(tmp_path)!r}), 2)
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
    deadline = time.monotonic() + 600
    while not all(file.exists() and file.read_text() for file in files):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    # A second sweep in the same place is refused while the first one runs.
    with pytest.raises(UserError, match="Another sweep is running in"):
        finish([], tmp_path, 1)
    children = [int(file.read_text()) for file in files]
    process.send_signal(how)
    assert process.wait(timeout=600) != 0
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


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="no sessions to share among")
def test_a_nice_sweep_has_nice_workers() -> None:
    code = (
        "import os; own = os.nice(7); os.setsid()\n"
        "from ssl_keras.sweep.worker import keep_nice\n"
        "keep_nice(); print(own, *open('/proc/self/autogroup').read().split())"
    )
    command = [sys.executable, "-c", code]
    # Several at a time, as the workers of a sweep.
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in workers:
        own, *_, niceness = process.communicate()[0].split()
        assert niceness == own != "0"


def test_a_change_of_niceness_that_must_wait_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[type[OSError] | None] = [BlockingIOError, BlockingIOError, None, OSError]

    def write(*_: Any) -> None:
        if (error := answers.pop(0)) is not None:
            raise error

    monkeypatch.setattr(Path, "write_text", write)
    monkeypatch.setattr("os.nice", lambda _: 5)
    worker.keep_nice()
    assert answers == [OSError]
    worker.keep_nice()
    assert not answers
