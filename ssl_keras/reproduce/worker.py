"""A process that makes one run after the other, so that TensorFlow is started once for many.

    python -m ssl_keras.reproduce.worker

Reads {"arguments": [...], "log": PATH} from the standard input, a line for each run, runs
`ssl_keras.train` with its output in the file, and answers each with its exit code on a line. What a
run has made of TensorFlow's and Keras' state is cleared after it: its numbers are those of a
process of its own.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import traceback
from collections.abc import Iterator

from ssl_keras import train
from ssl_keras.cli import startup


@contextlib.contextmanager
def written_to(path: str) -> Iterator[None]:
    """Within it, what this process writes to its standard output and error goes to a file."""
    kept = [os.dup(number) for number in (1, 2)]
    with open(path, "w") as file:
        for number in (1, 2):
            os.dup2(file.fileno(), number)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)


def make(arguments: list[str]) -> int:
    """One run; returns its exit code. Defects leave a traceback, and 1."""
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


def main() -> int:
    """Make runs until the input ends, or one is interrupted."""
    for line in sys.stdin:
        task = json.loads(line)
        with written_to(task["log"]):
            code = make(task["arguments"])
        print(code, flush=True)
        if code == startup.INTERRUPTED:
            return code
    return startup.OK


if __name__ == "__main__":
    sys.exit(main())
