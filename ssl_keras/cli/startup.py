"""Starting a program of this package: devices, exit codes, errors as one sentence."""

from __future__ import annotations

import gc
import os
import re
import sys
import traceback
from collections.abc import Callable

from ssl_keras import commands, console, lazy
from ssl_keras.errors import Failure, UserError, of_the_system, printable
from ssl_keras.run import devices, interruption

# Exit codes.
OK, DEFECT, MISTAKE, INTERRUPTED, CLOSED = 0, 1, 2, 130, 141

# Environment variables that select something else than Keras 3 on TensorFlow -> the values that
# do not.
_ENVIRONMENT = {
    "KERAS_BACKEND": ("tensorflow", ""),
    "TF_USE_LEGACY_KERAS": ("", "0", "false", "no"),
}


def start_tensorflow(
    strategy: str = "none", num_devices: int | None = None, wait_minutes: float = 10.0
) -> None:
    """Import TensorFlow and Keras and open the devices, see `devices.open_devices`.

    Args:
        strategy: see `config.EngineConfig`.
        num_devices: number of devices of this machine; without a GPU the CPU is divided.
        wait_minutes: how long several workers wait for each other.

    Raises:
        UserError: the environment selects another backend or an older Keras.
    """
    for name, valid in _ENVIRONMENT.items():
        if os.environ.get(name, valid[0]).strip().lower() not in valid:
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
            devices.open_devices(strategy, num_devices, wait_minutes)
    finally:
        gc.freeze()
        gc.enable()


def guarded(
    program: str,
    body: Callable[[], None],
    verbose: Callable[[], bool],
    only_prints: bool = False,
) -> int:
    """Run `body` and return its exit code.

    SIGTERM, SIGHUP and SIGUSR1, unless they are ignored, interrupt it like Ctrl-C. The standard
    streams never end it, see `console.Stream`.

    Args:
        program: "ssl_keras.train", ...; error messages begin with it, as it was typed.
        body: the program.
        verbose: whether to print the traceback of a `UserError` too.
        only_prints: whether the output is all that the program makes.

    Returns:
        0 for success; 2 for a `UserError`, and for what the system refuses (no space, no memory),
        which is printed as one sentence; 1 for a `Failure`, printed too; 130 if interrupted; of a
        program that only prints 141, without a word, if nobody reads the output any more
        (`| head`), and 1 if it cannot be written. Other exceptions pass through (Python's exit
        code is 1).
    """
    with console.protected() as (output, _), interruption.as_interrupts():
        code = _guarded(commands.label(program), body, verbose)
        output.flush()
    if code == OK and only_prints and output.lost is not None:
        return CLOSED if isinstance(output.lost, BrokenPipeError) else DEFECT
    return code


def _guarded(program: str, body: Callable[[], None], verbose: Callable[[], bool]) -> int:
    try:
        body()
    except KeyboardInterrupt as interrupted:
        print(f"{program}: interrupted{str(interrupted) or '.'}", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        sentence = _sentence(error)
        if sentence is None:
            raise
        if verbose():
            traceback.print_exc()
        print(f"{program}: {printable(commands.as_typed(sentence))}", file=sys.stderr)
        return DEFECT if isinstance(error, Failure) else MISTAKE
    return OK


def _sentence(error: Exception) -> str | None:
    """What to tell the user about an error; None if it is a defect of the program."""
    if isinstance(error, UserError):
        return str(error)
    # TensorFlow wraps a `UserError` that is raised while it reads data.
    wrapped = re.search(r"\bUserError: (.+)", str(error))
    return wrapped.group(1).strip() if wrapped else of_the_system(error)
