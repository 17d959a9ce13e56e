"""Train with several workers on this machine, as several machines would.

    python -m ssl_keras.launch --workers=2 -- --loss=nt_xent --steps=200

What follows -- goes to `python -m ssl_keras.train` in every worker, with --strategy=multi_worker
if there are several. Each worker is a process with its own TF_CONFIG. Output of worker 0 is passed
through; other lines are prefixed with the worker's index. Ctrl-C and SIGTERM make worker 0 keep the
state of the training and stop, and the same command resumes it; when one worker fails, the others
are ended.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ssl_keras.cli import startup
from ssl_keras.cli.drawing import build_parser
from ssl_keras.errors import UserError

# Seconds that the other workers have to end by themselves after one has failed.
_GRACE = 20.0


def free_ports(count: int) -> list[int]:
    """Free ports of the loopback address."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def training(flags: Sequence[str], several: bool = True) -> list[str]:
    """The command of a worker, one of several or alone."""
    more = ["--strategy=multi_worker"] if several else []
    return [sys.executable, "-m", "ssl_keras.train", *flags, *more]


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def start_workers(
    commands: Sequence[Sequence[str]], popen: Callable[..., Any] = subprocess.Popen, **options: Any
) -> list[Any]:
    """One process for each command, the chief's first; they find each other by TF_CONFIG.

    Args:
        commands: the command line of each worker.
        popen: starts a process, as `subprocess.Popen` does.
        **options: passed to it.
    """
    addresses = [f"127.0.0.1:{port}" for port in free_ports(len(commands))]
    workers = []
    for index, command in enumerate(commands):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": addresses}, "task": task})
        environment = {**os.environ, "TF_CONFIG": config}
        workers.append(popen(command, env=environment, text=True, **options))
    return workers


def finish(workers: Sequence[subprocess.Popen[str]]) -> int:
    """Wait for all; when one fails, give the others time to end by themselves. The exit code is
    that of the one that failed first, or 0."""
    while all(worker.poll() in (None, 0) for worker in workers):
        if all(worker.poll() == 0 for worker in workers):
            return startup.OK
        time.sleep(0.1)
    failed = next(code for worker in workers if (code := worker.poll()))
    failed = 128 - failed if failed < 0 else failed  # as a shell reports a signal
    until = time.monotonic() + _GRACE
    while time.monotonic() < until and any(worker.poll() is None for worker in workers):
        time.sleep(0.1)
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = build_parser("ssl_keras.launch", __doc__)
    parser.add_argument("--workers", type=int, default=2, help="how many processes (default 2)")
    parser.add_argument("flags", nargs="*", help="flags of ssl_keras.train, after --")
    options = parser.parse_args(arguments)
    code = startup.OK

    def body() -> None:
        nonlocal code
        if not 1 <= options.workers <= 64:
            raise UserError(f"workers is {options.workers}: give 1 to 64.")
        before = signal.signal(signal.SIGTERM, _interrupt)
        try:
            code = _train(options.flags, options.workers)
        finally:
            signal.signal(signal.SIGTERM, before)

    return startup.guarded("ssl_keras.launch", body, lambda: False) or code


def _train(flags: Sequence[str], count: int) -> int:
    """Run the workers to their end; returns the exit code."""
    workers = start_workers(
        [training(flags, several=count > 1)] * count,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # Ctrl-C comes to this process, which passes it on
    )

    def stop(number: int, _: Any) -> None:
        workers[0].send_signal(number)

    before = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)}
    readers = [
        threading.Thread(target=_repeat, args=(worker, index), daemon=True)
        for index, worker in enumerate(workers)
    ]
    for reader in readers:
        reader.start()
    try:
        return finish(workers)
    finally:
        for worker in workers:
            if worker.poll() is None:
                worker.kill()
                worker.wait()
        for reader in readers:
            reader.join(timeout=5)
        for number, handler in before.items():
            signal.signal(number, handler)


def _repeat(worker: subprocess.Popen[str], index: int) -> None:
    assert worker.stdout is not None
    for line in worker.stdout:
        print(line if index == 0 else f"[worker {index}] {line}", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
