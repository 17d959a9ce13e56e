"""A process that makes one run after the other, so that TensorFlow is started once for many.

    python -m ssl_keras.sweep.worker

It reads a line {"arguments": [...], "log": PATH} from the standard input for each run, calls
`ssl_keras.train` with its output redirected to the file, and answers with a line that holds the
exit code. After each run the state of Keras is cleared, so that the next run has the numbers that
it would have in a fresh process.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from ssl_keras import train
from ssl_keras.cli import startup


@contextlib.contextmanager
def redirected(path: str) -> Iterator[None]:
    """Redirect the standard output and error of this process, C++ included, to a file."""
    originals = [os.dup(number) for number in (1, 2)]
    with open(path, "w") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in zip((1, 2), originals, strict=True):
            os.dup2(copy, number)
            os.close(copy)


def make_run(arguments: list[str]) -> int:
    """Make one run; returns its exit code. A defect leaves its traceback, and code 1."""
    try:
        return train.main(["ssl_keras.train", *arguments])
    except Exception:
        traceback.print_exc()
        return startup.DEFECT
    finally:
        if "keras" in sys.modules:
            import keras

            keras.backend.clear_session(free_memory=True)
        gc.collect()


def keep_nice() -> None:
    """Let the `nice` of a sweep reach this process: Linux shares processor time among sessions
    first, and a worker has one of its own."""
    if (niceness := os.nice(0)) > 0:
        for _ in range(20):
            try:
                Path("/proc/self/autogroup").write_text(str(niceness))
                return
            except BlockingIOError:  # Linux takes one such change in a tenth of a second
                time.sleep(0.1 + 0.1 * random.random())
            except OSError:  # sessions are not told apart here
                return


def main() -> int:
    """Make runs until the input ends or a run is interrupted."""
    keep_nice()
    for line in sys.stdin:
        task = json.loads(line)
        with redirected(task["log"]):
            code = make_run(task["arguments"])
        print(code, flush=True)
        if code == startup.INTERRUPTED:
            return code
    return startup.OK


if __name__ == "__main__":
    sys.exit(main())
