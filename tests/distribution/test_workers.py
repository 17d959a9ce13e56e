"""Two real processes that train one model over the loopback address."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_keras.config import Config
from ssl_keras.launch import main, start_workers, training
from ssl_keras.run import train_and_evaluate
from ssl_keras.run.checkpoints import Checkpoints
from tests.distribution.matrix import COVERING, combinations, is_refused
from tests.processes import Process

ROOT = Path(__file__).parents[2]
SETTINGS: dict[str, Any] = {
    "export": False,
    "dataset": "plain",
    "loss": "uniform_prior",
    "batch_size": 32,
    "steps": 20,
    "max_train_images": 200,
    "width_multiplier": 0.25,
    "measure_images": 0,
    "heads": "",
    "checkpoint_every": 4,
}


def flags(workdir: Path, **settings: Any) -> list[str]:
    values = {**SETTINGS, "workdir": workdir, **settings}
    return [f"--{name}={value}" for name, value in values.items()]


def started(commands: list[list[str]]) -> list[Process]:
    def popen(command: list[str], env: dict[str, str], text: bool) -> Process:
        return Process(command[1:], ROOT, env, merged=True)

    return start_workers(commands, popen)


def two(workdir: Path) -> list[list[str]]:
    return [training(flags(workdir))] * 2


def ended(workers: list[Process]) -> list[tuple[int, str]]:
    """(exit code, output) of each."""
    found = []
    for worker in workers:
        output, _ = worker.communicate(timeout=600)
        found.append((worker.returncode, output))
    return found


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, data_dir: str) -> Path:
    workdir = tmp_path_factory.mktemp("workers") / "run"
    (chief, told), (other, heard) = ended(started(two(workdir)))
    assert chief == 0, told
    assert other == 0, heard
    assert "multi_worker: 2 devices with 16 images each" in told
    assert "follows worker 0, which writes the results" in heard
    return workdir


@pytest.mark.full
def test_two_workers_begin_as_one_process(together: Path, tmp_path: Path) -> None:
    # Later the last digits of sums in another order grow; `matrix` compares the first steps.
    results = train_and_evaluate(Config.make(**SETTINGS, workdir=str(tmp_path / "alone")))
    shared = json.loads((together / "results.json").read_text())
    assert shared["engine"] == {"precision": "off", "jit": False, "replicas": 2}
    first, second = (found["history"][0] for found in (shared, results))
    for name in ("step", "loss", "alignment", "distribution"):
        np.testing.assert_allclose(first[name], second[name], rtol=5e-3, err_msg=name)


@pytest.mark.exhaustive
def test_a_killed_worker_ends_the_other_and_both_go_on(together: Path, tmp_path: Path) -> None:
    workdir = tmp_path / "run"
    workers = started(two(workdir))
    kept = Checkpoints(workdir / "checkpoints", {})
    until = time.monotonic() + 600
    while not kept.steps() and time.monotonic() < until and workers[0].poll() is None:
        time.sleep(0.02)
    workers[1].kill()
    (chief, told), (other, _) = ended(workers)
    assert other == -signal.SIGKILL
    assert chief == 2, told
    assert "Another worker has stopped" in told
    assert "Traceback" not in told
    assert not (workdir / "results.json").exists()

    (chief, told), (other, heard) = ended(started(two(workdir)))
    assert (chief, other) == (0, 0), told + heard
    assert "Resuming after step" in told
    found, expected = (
        json.loads((path / "results.json").read_text()) for path in (workdir, together)
    )
    for key in ("weights_sha256", "results", "history"):
        assert found[key] == expected[key], key


@pytest.mark.exhaustive
def test_a_worker_may_pause(tmp_path: Path) -> None:
    # Without `devices._configure_workers` the other one gives up after eight seconds.
    workers = started(two(tmp_path / "run"))
    kept = Checkpoints(tmp_path / "run" / "checkpoints", {})
    until = time.monotonic() + 600
    while not kept.steps() and time.monotonic() < until and workers[0].poll() is None:
        time.sleep(0.02)
    workers[1].send_signal(signal.SIGSTOP)
    with contextlib.suppress(subprocess.TimeoutExpired):
        workers[0].wait(timeout=11)
    workers[1].send_signal(signal.SIGCONT)
    for code, output in ended(workers):
        assert code == 0, output


@pytest.mark.full
def test_workers_with_other_flags_are_refused(tmp_path: Path) -> None:
    commands = [training(flags(tmp_path / "run", seed=index)) for index in range(2)]
    (chief, _), (other, heard) = ended(started(commands))
    assert other == 2
    assert "The flags of worker 1 (" in heard
    assert ") are not those of worker 0 (" in heard
    assert chief == 2


@pytest.mark.exhaustive
@pytest.mark.parametrize("every", [False, True], ids=["every pair", "every combination"])
def test_combinations_train_with_two_workers_or_are_refused(every: bool) -> None:
    command = [sys.executable, "-m", "tests.distribution.matrix", *(["--all"] if every else [])]
    refused = [is_refused(values) for values in combinations("multi_worker")]
    trained = refused.count(False) if every else len(COVERING["multi_worker"])
    for code, output in ended(started([command] * 2)):
        assert code == 0, output[-2000:]
        assert output.count("refused: ") == refused.count(True)
        assert output.count("trained: ") == trained > 0


@pytest.mark.parametrize("count", [0, 65])
def test_the_launcher_refuses_odd_numbers(count: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert main([f"--workers={count}"]) == 2
    assert f"workers is {count}: give 1 to 64.\n" in capfd.readouterr().err


@pytest.mark.exhaustive
def test_the_launcher_passes_interruptions_on(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "ssl_keras.launch", "--", *flags(tmp_path / "run", steps=600)]
    launcher = subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert launcher.stdout is not None
    told = ""
    for line in launcher.stdout:
        told += line
        if line.strip().startswith("step "):
            launcher.send_signal(signal.SIGTERM)
            break
    told += launcher.stdout.read()
    assert launcher.wait(timeout=600) == 130, told
    assert "the same command resumes it" in told
    assert Checkpoints(tmp_path / "run" / "checkpoints", {}).steps()
