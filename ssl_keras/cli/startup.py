"""Starting a program of this package: errors as one sentence, TensorFlow's noise left out."""

from __future__ import annotations

import atexit
import gc
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ssl_keras import commands
from ssl_keras.errors import UserError
from ssl_keras.run import devices

# Exit codes.
OK, DEFECT, MISTAKE, INTERRUPTED, CLOSED = 0, 1, 2, 130, 141

# What TensorFlow's C++ code writes at every start on a machine without a GPU.
_NOISE = re.compile(
    r"absl::InitializeLog|oneDNN custom operations|[Cc]ould not find cuda drivers"
    r"|optimized to use available CPU instructions|rebuild TensorFlow with|cuInit|cuda_platform\.cc"
    r"|computation_placer|Unable to register cu|TF-TRT|cudart_stub|^\s*$"
)


@contextmanager
def _without_noise() -> Iterator[None]:
    """Capture the standard error; then write it without the lines that match `_NOISE`."""
    sys.stderr.flush()
    original = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(original, 2)
            os.close(original)
            caught.seek(0)
            for line in caught.read().decode(errors="replace").splitlines():
                if not _NOISE.search(line):
                    print(line, file=sys.stderr)


def start_tensorflow(strategy: str = "none", num_devices: int | None = None) -> None:
    """Import TensorFlow and Keras and open the devices, see `devices.open_devices`.

    Args:
        strategy: see `config.EngineConfig`.
        num_devices: number of devices of this machine; without a GPU the CPU is divided.

    Raises:
        UserError: the environment selects another backend or an older Keras.
    """
    for name, valid in (("KERAS_BACKEND", ("tensorflow",)), ("TF_USE_LEGACY_KERAS", ("", "0"))):
        if os.environ.get(name, valid[0]) not in valid:
            raise UserError(
                f"The environment variable {name} is {os.environ[name]!r}; this program needs "
                "Keras 3 on TensorFlow: unset it."
            )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    # The millions of objects of TensorFlow and Keras stay until the end: the garbage collector
    # spends a second of a short run on looking at them again and again.
    gc.disable()
    try:
        with _without_noise():
            import keras  # noqa: F401

            devices.open_devices(strategy, num_devices)
    finally:
        gc.freeze()
        gc.enable()


def _drop_output() -> None:
    """Send what is still to be written to the standard output nowhere, if nobody reads it."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        pass


# A help text of argparse is written when Python ends.
atexit.register(_drop_output)


def guarded(program: str, body: Callable[[], None], verbose: Callable[[], bool]) -> int:
    """Run `body` and return its exit code.

    Args:
        program: "ssl_keras.train", ...; error messages begin with it, as it was typed.
        body: the program.
        verbose: whether to print the traceback of a `UserError` too.

    Returns:
        0 for success; 2 for a `UserError`, which is printed as one sentence; 130 if interrupted;
        141, without a word, if nobody reads the output any more (`| head`). Other exceptions pass
        through (Python's exit code is 1).
    """
    program = commands.label(program)
    try:
        body()
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        return CLOSED
    except UserError as error:
        if verbose():
            traceback.print_exc()
        print(f"{program}: {commands.as_typed(str(error))}", file=sys.stderr)
        return MISTAKE
    except Exception as error:
        # TensorFlow wraps a `UserError` that is raised while it reads data.
        wrapped = re.search(r"\bUserError: (.+)", str(error))
        if wrapped is None:
            raise
        if verbose():
            traceback.print_exc()
        print(f"{program}: {commands.as_typed(wrapped.group(1).strip())}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt as interruption:
        print(f"{program}: interrupted{str(interruption) or '.'}", file=sys.stderr)
        return INTERRUPTED
    return OK
