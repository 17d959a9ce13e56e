"""Processes of tests that begin with TensorFlow imported.

A process that has imported the package, and done nothing else, makes them by fork: a start takes
hundredths of a second, not three. Everything else is theirs alone: arguments, environment, folder,
standard streams, signals and exit code. Tests of the start itself use `subprocess`.
"""

from __future__ import annotations

import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.preloaded"])


class Process:
    """Like a `subprocess.Popen` of the same Python, with `stdout` in a file.

    Args:
        arguments: those of Python: ["-m", module, ...] or ["-c", program, ...].
        cwd: the folder. Default: this one's.
        env: the environment. Default: this one's.
        merged: whether the standard error is written to the standard output.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        cwd: Path | str | None = None,
        env: Mapping[str, str] | None = None,
        merged: bool = False,
    ):
        self._folder = tempfile.TemporaryDirectory()
        self._streams = [Path(self._folder.name) / ("out" if merged else n) for n in ("out", "err")]
        environment = dict(os.environ if env is None else env)
        place = str(cwd or Path.cwd())
        self._process = _CONTEXT.Process(
            target=_main, args=(list(arguments), place, environment, self._streams), daemon=True
        )
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def poll(self) -> int | None:
        """The exit code, negative after a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def output(self) -> str:
        """What it has printed so far."""
        return self._streams[0].read_text() if self._streams[0].exists() else ""

    def errors(self) -> str:
        """What it has written to the standard error so far."""
        return self._streams[1].read_text()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """(output, errors), after the end."""
        self.wait(timeout)
        return self.output(), self.errors()


def run(
    arguments: Sequence[str],
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = 600,
) -> subprocess.CompletedProcess[str]:
    """Like `subprocess.run` with captured output, see `Process`."""
    process = Process(arguments, cwd, env)
    output, errors = process.communicate(timeout)
    return subprocess.CompletedProcess(list(arguments), process.poll() or 0, output, errors)


def _main(arguments: list[str], cwd: str, env: dict[str, str], streams: list[Path]) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    for number, path in zip((1, 2), streams, strict=True):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    sys.stdout, sys.stderr = (
        os.fdopen(number, "w", buffering=1, closefd=False, encoding="utf-8") for number in (1, 2)
    )
    kind, what, *rest = arguments
    sys.path[:] = [cwd, *(p for p in env.get("PYTHONPATH", "").split(os.pathsep) if p), *sys.path]
    sys.argv = ["-c" if kind == "-c" else what, *rest]
    namespace: dict[str, Any] = {"__name__": "__main__"}
    if kind == "-c":
        exec(compile(what, "<string>", "exec"), namespace)
    else:
        assert kind == "-m"
        runpy.run_module(what, run_name="__main__", alter_sys=True)
