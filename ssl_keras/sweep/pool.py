"""Many runs: those that are missing are made, several at a time."""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
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

from ssl_keras import files, log
from ssl_keras.cli import startup
from ssl_keras.config import Config
from ssl_keras.errors import UserError
from ssl_keras.run import run_directory
from ssl_keras.run.tables import duration

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Run:
    """One run of a sweep.

    Attributes:
        name: name of its directory, perhaps in a folder: "losses/first".
        settings: those that are given; the others are the defaults, see `Config.make`.
    """

    name: str
    settings: Mapping[str, Any]

    def config(self, directory: Path) -> Config:
        """Its configuration, with its own directory below `directory`."""
        return Config.make(**self.settings, workdir=str(directory / self.name))

    def results(self, directory: Path) -> dict[str, Any] | None:
        """Its results; None if there is no finished run of exactly these settings."""
        workdir = directory / self.name
        if not run_directory.holds(workdir, self.config(directory)):
            return None
        return run_directory.read(workdir)[1]

    def arguments(self, directory: Path) -> list[str]:
        """The command line that makes it; its flags are written to a file beside the directory."""
        workdir, config = directory / self.name, self.config(directory)
        flagfile = directory / f"{self.name}.flags"
        flagfile.parent.mkdir(parents=True, exist_ok=True)
        # What follows from the data, such as a smaller batch, follows only for what is not given.
        lines = [
            f"--{name}={value}"
            for name, value in config.replayable().items()
            if name in config.given
        ]
        flagfile.write_text("\n".join(lines) + "\n")
        replaced = run_directory.other_run(workdir, config) is not None
        return [f"--flagfile={flagfile}", f"--workdir={workdir}", *["--overwrite"] * replaced]

    def log(self, directory: Path) -> Path:
        """The file of its output; it is removed if the run succeeds."""
        return directory / f"{self.name}.log"

    def environment(self) -> tuple[Any, ...]:
        """Settings that a process cannot change: runs that differ in them cannot share one."""
        engine = Config.make(**self.settings).engine
        return engine.strategy, engine.devices, engine.deterministic


class Worker:
    """A share of the processor cores, and a process that makes one run after the other on it.

    The process is `ssl_keras.sweep.worker`. It is replaced if it has died, and before a run
    with another environment.

    Args:
        cores: the processor cores; empty: any.
    """

    command: ClassVar[list[str]] = [sys.executable, "-m", "ssl_keras.sweep.worker"]

    def __init__(self, cores: set[int]):
        self.cores = cores
        self.run: Run | None = None  # the run in progress
        self._environment: tuple[Any, ...] = ()
        self._process: subprocess.Popen[str] | None = None

    def begin(self, run: Run, directory: Path) -> None:
        """Start a run."""
        environment = run.environment()
        process = self._process
        if process is None or process.poll() is not None or environment != self._environment:
            self.terminate()
            self.wait()
            process = self._start()
        self.run, self._process, self._environment = run, process, environment
        task = {"arguments": run.arguments(directory), "log": str(run.log(directory))}
        run.log(directory).touch()
        assert process.stdin is not None
        # A process that has died takes no task: `exit_code` will say so.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(task) + "\n")
            process.stdin.flush()

    def exit_code(self) -> int | None:
        """The exit code of the run, or None while it is in progress."""
        assert self._process is not None
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], 0)[0]:
            return None
        answer = self._process.stdout.readline().strip()
        if not answer:  # the process has died during the run
            return self._process.wait() or startup.DEFECT
        if int(answer) == startup.INTERRUPTED:  # it ends, and takes no other run
            self.wait()
        return int(answer)

    def terminate(self) -> None:
        """Ask the process to end; a run in progress stops after its step."""
        if self._process is not None:
            self._process.terminate()

    def wait(self) -> None:
        """Wait until the process has ended."""
        if self._process is not None:
            self._process.wait()

    def _start(self) -> subprocess.Popen[str]:
        def prepare() -> None:
            if self.cores:
                os.sched_setaffinity(0, self.cores)
            if sys.platform == "linux":  # it ends with the sweep, even if that is killed
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

        return subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(max(len(self.cores), 1))},
            start_new_session=True,  # Ctrl-C is for the sweep, which then ends its workers
            preexec_fn=prepare,
        )


def finish(runs: Sequence[Run], directory: Path, jobs: int) -> list[dict[str, Any] | None]:
    """Make the runs that are missing, and return the results of all, in order; None for a run that
    failed.

    `jobs` processes make them, each on its own processor cores. Ctrl-C, SIGTERM or a closed
    terminal ends the runs in progress, and so does the death of this process; the next sweep makes
    only these again, or resumes them. If a run fails, the end of its output is printed, and the
    others go on.

    Args:
        runs: the runs; each needs another name. What their directories hold of other settings is
            replaced.
        directory: the folder of their directories. One sweep at a time may use it.
        jobs: how many runs at a time.

    Raises:
        UserError: another sweep uses the directory, or it cannot be written.
    """
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
        log.info(f"{len(runs) - len(missing)} of {len(runs)} runs are done.")
        progress = Progress(len(missing))
        workers = [Worker(cores) for cores in shares(jobs)]
        try:
            while missing or any(worker.run for worker in workers):
                for worker in workers:
                    if worker.run is not None:
                        _advance(worker, directory, progress)
                    if worker.run is None and missing:
                        worker.begin(missing.pop(0), directory)
                progress.show([worker.run.name for worker in workers if worker.run is not None])
                time.sleep(0.05)
        finally:
            progress.close()
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait()
        return [run.results(directory) for run in runs]


class Progress:
    """How many runs are done, and the time left: a bar, or lines where there is no terminal.

    Args:
        total: number of runs to make.
    """

    def __init__(self, total: int):
        self.total, self.done, self.start = total, 0, time.monotonic()
        self._bar: Any = None
        if total and sys.stderr.isatty() and log.logger.isEnabledFor(logging.INFO):
            from tqdm import tqdm

            self._bar = tqdm(
                total=total, dynamic_ncols=True, mininterval=1, miniters=0, smoothing=0,
                bar_format="{n_fmt} of {total_fmt} runs |{bar}| {remaining} left{postfix}",
            )  # fmt: skip

    def show(self, names: Sequence[str]) -> None:
        """The runs `names` are in progress."""
        if self._bar is not None:
            self._bar.set_postfix_str(", ".join(names), refresh=False)
            self._bar.update(0)

    def count(self, name: str, failed: bool) -> None:
        """The run `name` has ended."""
        self.done += 1
        if self._bar is not None:
            self._bar.update()
        else:
            seconds = (time.monotonic() - self.start) / self.done * (self.total - self.done)
            left = f", about {duration(seconds)} left" if self.done < self.total else ""
            ended = "failed" if failed else "done"
            log.info(f"{self.done} of {self.total} runs{left}; {ended}: {name}")

    def warn(self, text: str) -> None:
        """Say something above the bar."""
        if self._bar is not None:
            self._bar.clear()
        log.warning(text)

    def close(self) -> None:
        """Leave the line."""
        if self._bar is not None:
            self._bar.close()


def shares(jobs: int) -> list[set[int]]:
    """Processor cores for each of `jobs` runs: the same number for each, which is a function of
    `jobs` alone, since it decides the order of sums and with it the last digits."""
    if not hasattr(os, "sched_getaffinity"):
        return [set() for _ in range(jobs)]
    cores = sorted(os.sched_getaffinity(0))
    size = max(1, len(cores) // jobs)
    return [{cores[(job * size + k) % len(cores)] for k in range(size)} for job in range(jobs)]


def _advance(worker: Worker, directory: Path, progress: Progress) -> None:
    """Clear away after the worker's run if it has ended; print the end of its log if it failed."""
    assert worker.run is not None
    code, name, file = worker.exit_code(), worker.run.name, worker.run.log(directory)
    if code is None:
        return
    if code:
        text = " ".join(file.read_text(errors="replace").split("\n")[-6:]).strip()
        progress.warn(f"The run {name} failed ({file}): {text}")
    else:
        file.unlink()
        (directory / f"{name}.flags").unlink()
    worker.run = None
    progress.count(name, failed=code != 0)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Lock the directory against other sweeps; the lock ends with the process."""
    file = files.lock(directory, create=True)
    if file is None:
        raise UserError(
            f"Another sweep is running in {directory}: wait for it, or choose another folder."
        )
    with file:
        yield


@contextmanager
def _interruptible() -> Iterator[None]:
    """SIGTERM and SIGHUP interrupt, as Ctrl-C does."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    signals = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, interrupt) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
