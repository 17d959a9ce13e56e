"""Starting a program of this package: devices, exit codes, errors as one sentence."""

from __future__ import annotations

import atexit
import gc
import os
import re
import sys
import traceback
from collections.abc import Callable

from ssl_keras import commands, lazy
from ssl_keras.errors import UserError
from ssl_keras.run import devices

# Exit codes.
OK, DEFECT, MISTAKE, INTERRUPTED, CLOSED = 0, 1, 2, 130, 141


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
    # The millions of objects of TensorFlow and Keras stay until the end: the garbage collector
    # spends a second of a short run on looking at them again and again.
    gc.disable()
    try:
        lazy.start_program()
        with lazy.without_noise():
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
