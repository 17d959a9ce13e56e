"""Many runs: those that are not done yet are run, several at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from ssl_keras import run_directory
from ssl_keras.config import Config
from ssl_keras.errors import UserError


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
        return Config.make(**self.settings, workdir=str(directory / self.name), overwrite=True)

    def results(self, directory: Path) -> dict[str, Any] | None:
        """What it has measured, or None if it is not done with exactly these settings."""
        try:
            _, results = run_directory.read(directory / self.name)
        except UserError:
            return None
        wanted = json.loads(json.dumps(self.config(directory).determining()))
        finished = results["saved_model_relative_difference"] is not None
        return results if finished and results["config"] == wanted else None


def finish(runs: Sequence[Run], directory: Path, jobs: int) -> list[dict[str, Any]]:
    """Run what is not done, and return the results of all, in order.

    Each run is a process of its own with its share of the processor cores, which depends on `jobs`
    alone. Interrupting loses no more than the runs in progress: they are repeated the next time.

    Args:
        runs: the runs; two of them must not have one name.
        directory: where their directories are.
        jobs: how many at a time.

    Raises:
        UserError: a run failed; its last lines are in the message.
    """
    from tqdm import tqdm

    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        raise ValueError(f"several runs have one name among {names}")
    directory.mkdir(parents=True, exist_ok=True)
    missing: Queue[Run] = Queue()
    for run in runs:
        if run.results(directory) is None:
            missing.put(run)
    number = missing.qsize()
    print(f"{len(runs) - number} of {len(runs)} runs are done.", flush=True)
    processes: set[subprocess.Popen] = set()
    failures: list[str] = []
    bar = tqdm(total=number, unit="run", dynamic_ncols=True, disable=number == 0)

    def work(cores: set[int]) -> None:
        while not failures:
            try:
                run = missing.get_nowait()
            except Empty:
                return
            log = directory / f"{run.name}.log"
            flagfile = directory / f"{run.name}.flags"
            flagfile.write_text(run.config(directory).flagfile_text())
            command = [sys.executable, "-m", "ssl_keras.train", f"--flagfile={flagfile}"]
            command += [f"--workdir={directory / run.name}", "--overwrite"]
            with log.open("w") as output:
                process = subprocess.Popen(
                    command,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, "OMP_NUM_THREADS": str(len(cores))},
                    preexec_fn=lambda: _stay_on(cores),
                )
                processes.add(process)
                code = process.wait()
                processes.discard(process)
            if code:
                tail = " ".join(log.read_text().split("\n")[-6:]).strip()
                failures.append(f"The run {run.name} failed ({log}): {tail}")
                return
            log.unlink()
            flagfile.unlink()
            bar.update()

    # The share of a run is that of `jobs`, however few are missing: the number of cores decides
    # the order of sums, and with it the last digits.
    workers = [threading.Thread(target=work, args=(cores,)) for cores in _shares(jobs)]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    except KeyboardInterrupt:
        failures.append("interrupted")
        raise
    finally:
        for process in list(processes):
            process.terminate()
        bar.close()
    if failures:
        raise UserError(failures[0])
    found = [run.results(directory) for run in runs]
    absent = [run.name for run, results in zip(runs, found, strict=True) if results is None]
    if absent:
        raise UserError(f"The runs {', '.join(absent)} ended without their results.")
    return [results for results in found if results is not None]


def _shares(jobs: int) -> list[set[int]]:
    """The processor cores, divided among `jobs`; a core is shared if there are too few."""
    if not hasattr(os, "sched_getaffinity"):
        return [set() for _ in range(jobs)]
    cores = sorted(os.sched_getaffinity(0))
    return [set(cores[job % len(cores) :: jobs]) for job in range(jobs)]


def _stay_on(cores: set[int]) -> None:
    if cores:
        os.sched_setaffinity(0, cores)
