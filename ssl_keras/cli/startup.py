"""Starting a program of this package: errors as one sentence, TensorFlow's noise left out."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ssl_keras.errors import UserError
from ssl_keras.run import devices

# Exit codes.
OK, DEFECT, MISTAKE, INTERRUPTED = 0, 1, 2, 130

# What TensorFlow's C++ code writes at every start on a machine without a GPU.
_NOISE = re.compile(
    r"absl::InitializeLog|oneDNN custom operations|[Cc]ould not find cuda drivers"
    r"|optimized to use available CPU instructions|rebuild TensorFlow with|cuInit|cuda_platform\.cc"
    r"|computation_placer|Unable to register cu|TF-TRT|cudart_stub|^\s*$"
)


@contextmanager
def _without_noise() -> Iterator[None]:
    """Hold back what is written to the standard error; pass on what is not known noise."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            caught.seek(0)
            for line in caught.read().decode(errors="replace").splitlines():
                if not _NOISE.search(line):
                    print(line, file=sys.stderr)


def start_tensorflow(strategy: str = "none", num_devices: int | None = None) -> None:
    """Import TensorFlow and Keras and open the devices, see `devices.open_devices`.

    Args:
        strategy: how several devices share the work, see `config.EngineConfig`.
        num_devices: of this machine; without a GPU the CPU is divided into so many.

    Raises:
        UserError: the environment does not allow it.
    """
    for name, good in (("KERAS_BACKEND", ("tensorflow",)), ("TF_USE_LEGACY_KERAS", ("", "0"))):
        if os.environ.get(name, good[0]) not in good:
            raise UserError(
                f"The environment variable {name} is {os.environ[name]!r}; this program needs "
                "Keras 3 on TensorFlow: unset it."
            )
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")
    with _without_noise():
        import keras  # noqa: F401

        devices.open_devices(strategy, num_devices)


def guarded(program: str, body: Callable[[], None], verbose: Callable[[], bool]) -> int:
    """Run `body` and turn its end into an exit code.

    Args:
        program: what error messages start with.
        body: the program.
        verbose: whether the traceback of a user's mistake is wanted as well.

    Returns:
        0 done; 2 a mistake that the user can mend, named in one sentence; 130 interrupted. Defects
        of the program keep their traceback (and Python's exit code, 1).
    """
    try:
        body()
    except UserError as error:
        if verbose():
            traceback.print_exc()
        print(f"{program}: {error}", file=sys.stderr)
        return MISTAKE
    except Exception as error:
        # A mistake found while data is read comes wrapped in an error of TensorFlow's.
        wrapped = re.search(r"\bUserError: (.+)", str(error))
        if wrapped is None:
            raise
        if verbose():
            traceback.print_exc()
        print(f"{program}: {wrapped.group(1).strip()}", file=sys.stderr)
        return MISTAKE
    except KeyboardInterrupt as interruption:
        print(f"{program}: interrupted{str(interruption) or '.'}", file=sys.stderr)
        return INTERRUPTED
    return OK
