"""Many runs: those that are not done yet are run, several at a time."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ssl_keras.config import Config
from ssl_keras.errors import UserError
from ssl_keras.run import run_directory

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Attributes:
        name: of its directory; it may lie in a folder, as in "losses/first".
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

    def arguments(self, directory: Path) -> list[str]:
        """The flags that make it; they go to a file beside the directory."""
        workdir = directory / self.name
        flagfile = directory / f"{self.name}.flags"
        flagfile.parent.mkdir(parents=True, exist_ok=True)
        flagfile.write_text(self.config(directory).flagfile_text())
        return [
            f"--flagfile={flagfile}",
            f"--workdir={workdir}",
            *([] if run_directory.resumable(workdir, self.config(directory)) else ["--overwrite"]),
        ]

    def log(self, directory: Path) -> Path:
        """What it prints; the file is removed when it is done."""
        return directory / f"{self.name}.log"

    def environment(self) -> tuple[Any, ...]:
        """What a process keeps from its first run on: runs that differ in it cannot share one."""
        engine = Config.make(**self.settings).engine
        return engine.strategy, engine.devices, engine.deterministic


class Worker:
    """A process that makes one run after the other on its own cores, see `worker`.

    Args:
        cores: the processor cores it may use.
        environment: of its runs, see `Run.environment`.
    """

    command: ClassVar[list[str]] = [sys.executable, "-m", "ssl_keras.reproduce.worker"]

    def __init__(self, cores: set[int], environment: tuple[Any, ...]):
        self.cores, self.environment = cores, environment
        self.run: Run | None = None

        def prepare() -> None:
            if cores:
                os.sched_setaffinity(0, cores)
            if sys.platform == "linux":  # it ends with the sweep, even if that is killed
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(max(len(cores), 1))},
            start_new_session=True,  # Ctrl-C is for the sweep, which then ends its workers
            preexec_fn=prepare,
        )

    def begin(self, run: Run, directory: Path) -> None:
        """Make a run."""
        assert self.process.stdin is not None
        self.run = run
        task = {"arguments": run.arguments(directory), "log": str(run.log(directory))}
        run.log(directory).touch()
        # A worker that has died takes no task: `ended` will tell.
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(task) + "\n")
            self.process.stdin.flush()

    def ended(self) -> int | None:
        """The exit code of its run, or None as long as it is going on."""
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], 0)[0]:
            return None
        answer = self.process.stdout.readline()
        # Without an answer the process has died in the middle of the run.
        return int(answer) if answer.strip() else (self.process.wait() or -1)

    def dismiss(self) -> None:
        """End the process, and with it a run in progress."""
        self.process.terminate()
        self.process.wait()


def finish(runs: Sequence[Run], directory: Path, jobs: int) -> list[dict[str, Any] | None]:
    """Run what is not done, and return the results of all, in order: None for runs that failed.

    They are made by `jobs` processes, each on its own processor cores. Interrupting (Ctrl-C,
    SIGTERM, a closed terminal) ends the runs in progress, and only they are repeated the next time;
    they also end if this process is killed. Of a run that fails its last words are printed, and the
    others go on.

    Args:
        runs: the runs; two of them must not have one name.
        directory: where their directories are. One sweep at a time may use it.
        jobs: how many at a time.

    Raises:
        UserError: another sweep uses the directory, or it cannot be written.
    """
    from tqdm import tqdm

    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        raise ValueError(f"several runs have one name among {names}")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / ".lock").touch()
    except OSError as error:
        raise UserError(
            f"{directory} cannot be written ({error.strerror}): choose another."
        ) from error
    with _alone(directory), _interruptible():
        missing = [run for run in runs if run.results(directory) is None]
        print(f"{len(runs) - len(missing)} of {len(runs)} runs are done.", flush=True)
        free, idle, busy = shares(jobs), list[Worker](), list[Worker]()
        with tqdm(
            total=len(missing), unit="run", dynamic_ncols=True, disable=not missing
        ) as progress:
            shown = time.monotonic()
            try:
                while missing or busy:
                    while missing and (free or idle):
                        run = missing.pop(0)
                        worker = _worker_for(run, free, idle)
                        worker.begin(run, directory)
                        busy.append(worker)
                    for worker in list(busy):
                        code = worker.ended()
                        if code is not None and worker.run is not None:
                            busy.remove(worker)
                            if worker.process.poll() is None:
                                idle.append(worker)
                            else:  # it has died with its run; another takes its place
                                free.append(worker.cores)
                            failure = _finished(worker.run, code, directory)
                            if failure:
                                progress.write(failure, file=sys.stderr)
                            progress.update()
                    progress.set_postfix_str(_in_progress(busy), refresh=False)
                    if time.monotonic() - shown > 1:
                        shown = time.monotonic()
                        progress.refresh()
                    time.sleep(0.05)
            finally:
                for worker in (*idle, *busy):
                    worker.process.terminate()
                for worker in (*idle, *busy):
                    worker.dismiss()
        return [run.results(directory) for run in runs]


def _in_progress(busy: Sequence[Worker]) -> str:
    return ", ".join(worker.run.name for worker in busy if worker.run is not None)


def shares(jobs: int) -> list[set[int]]:
    """Processor cores for each of `jobs` runs: the same number for each, which is a function of
    `jobs` alone, since it decides the order of sums and with it the last digits."""
    if not hasattr(os, "sched_getaffinity"):
        return [set() for _ in range(jobs)]
    cores = sorted(os.sched_getaffinity(0))
    size = max(1, len(cores) // jobs)
    return [{cores[(job * size + k) % len(cores)] for k in range(size)} for job in range(jobs)]


def _worker_for(run: Run, free: list[set[int]], idle: list[Worker]) -> Worker:
    """A worker that can make the run: an idle one, or a new one in the place of another."""
    environment = run.environment()
    for worker in idle:
        if worker.environment == environment:
            idle.remove(worker)
            return worker
    if not free:
        other = idle.pop()
        other.dismiss()
        free.append(other.cores)
    return Worker(free.pop(0), environment)


def _finished(run: Run, code: int, directory: Path) -> str:
    """Clear away after a run; returns what is to be said if it failed."""
    log = run.log(directory)
    if code:
        words = " ".join(log.read_text(errors="replace").split("\n")[-6:]).strip()
        return f"The run {run.name} failed ({log}): {words}"
    log.unlink()
    (directory / f"{run.name}.flags").unlink()
    return ""


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
