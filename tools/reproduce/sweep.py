"""Many runs: those that are not done yet are run, several at a time."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_keras import run_directory
from ssl_keras.config import Config
from ssl_keras.errors import UserError

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Attributes:
        name: name of its directory.
        settings: settings that differ from the defaults, see `Config.make`.
    """

    name: str
    settings: Mapping[str, Any]

    def config(self, directory: Path) -> Config:
        """Its configuration, written to a directory of its own below `directory`."""
        return Config.make(**self.settings, workdir=str(directory / self.name))

    def results(self, directory: Path) -> dict[str, Any] | None:
        """What it has measured, or None if it is not done with exactly these settings."""
        workdir = directory / self.name
        if not run_directory.holds(workdir, self.config(directory)):
            return None
        return run_directory.read(workdir)[1]

    def command(self, directory: Path) -> list[str]:
        """The command that makes it; its flags go to a file beside the directory."""
        workdir = directory / self.name
        flagfile = directory / f"{self.name}.flags"
        flagfile.write_text(self.config(directory).flagfile_text())
        return [
            sys.executable,
            "-m",
            "ssl_keras.train",
            f"--flagfile={flagfile}",
            f"--workdir={workdir}",
            *([] if run_directory.resumable(workdir, self.config(directory)) else ["--overwrite"]),
        ]


def finish(runs: Sequence[Run], directory: Path, jobs: int) -> list[dict[str, Any]]:
    """Run what is not done, and return the results of all, in order.

    Each run is a process of its own on its own processor cores, as many for each run as `jobs`
    allows. Interrupting (Ctrl-C, SIGTERM, a closed terminal) ends the runs in progress, and only
    they are repeated the next time; they also end if this process is killed.

    Args:
        runs: the runs; two of them must not have one name.
        directory: where their directories are. One sweep at a time may use it.
        jobs: how many at a time.

    Raises:
        UserError: a run failed, with its last words; or another sweep uses the directory.
    """
    from tqdm import tqdm

    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        raise ValueError(f"several runs have one name among {names}")
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{directory} cannot be made ({error.strerror}): choose another."
        ) from error
    with _alone(directory), _interruptible():
        missing = [run for run in runs if run.results(directory) is None]
        print(f"{len(runs) - len(missing)} of {len(runs)} runs are done.", flush=True)
        free = shares(jobs)
        running: dict[subprocess.Popen, tuple[Run, set[int]]] = {}
        with tqdm(
            total=len(missing), unit="run", dynamic_ncols=True, disable=not missing
        ) as progress:
            try:
                while missing or running:
                    while missing and free:
                        run, cores = missing.pop(0), free.pop(0)
                        running[_start(run, directory, cores)] = (run, cores)
                    for process in [p for p in running if p.poll() is not None]:
                        run, cores = running.pop(process)
                        free.append(cores)
                        _finished(run, directory, process.returncode)
                        progress.update()
                    time.sleep(0.05)
            finally:
                for process in running:
                    process.terminate()
                for process in running:
                    process.wait()
        found = [run.results(directory) for run in runs]
    absent = [run.name for run, results in zip(runs, found, strict=True) if results is None]
    if absent:
        raise UserError(f"The runs {', '.join(absent)} ended without their results.")
    return [results for results in found if results is not None]


def shares(jobs: int) -> list[set[int]]:
    """Processor cores for each of `jobs` runs: the same number for each, which is a function of
    `jobs` alone, since it decides the order of sums and with it the last digits."""
    if not hasattr(os, "sched_getaffinity"):
        return [set() for _ in range(jobs)]
    cores = sorted(os.sched_getaffinity(0))
    size = max(1, len(cores) // jobs)
    return [{cores[(job * size + k) % len(cores)] for k in range(size)} for job in range(jobs)]


def _start(run: Run, directory: Path, cores: set[int]) -> subprocess.Popen:
    def prepare() -> None:
        if cores:
            os.sched_setaffinity(0, cores)
        if sys.platform == "linux":  # the run ends with the sweep, even if that is killed
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    with _log(run, directory).open("w") as output:
        return subprocess.Popen(
            run.command(directory),
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": str(max(len(cores), 1))},
            start_new_session=True,  # Ctrl-C is for the sweep, which then ends its runs
            preexec_fn=prepare,
        )


def _log(run: Run, directory: Path) -> Path:
    return directory / f"{run.name}.log"


def _finished(run: Run, directory: Path, code: int) -> None:
    log = _log(run, directory)
    if code:
        words = " ".join(log.read_text(errors="replace").split("\n")[-6:]).strip()
        raise UserError(f"The run {run.name} failed ({log}): {words}")
    log.unlink()
    (directory / f"{run.name}.flags").unlink()


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Keep other sweeps out of the directory; the lock ends with the process."""
    with (directory / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"Another sweep is running in {directory}: wait for it, or choose another --runs."
            ) from None
        yield


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM and SIGHUP do what Ctrl-C does."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    signals = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
