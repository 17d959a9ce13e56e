"""The standard streams of a program, whatever becomes of them."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any


class Stream:
    """A text stream that never fails, so that no run is lost for a line of text.

    A character that its encoding does not have is written as an escape. After an error (a reader
    that has left, a full disk, a closed file) everything is dropped.

    Attributes:
        lost: the first error, or None.
    """

    def __init__(self, stream: Any):
        self._stream = stream
        self.lost: Exception | None = None
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        try:
            return len(text) if self.lost else self._stream.write(text)
        except (OSError, ValueError) as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        """Write what is buffered, or drop it."""
        try:
            if not self.lost:
                self._stream.flush()
        except (OSError, ValueError) as error:
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        self.lost = error
        with suppress(OSError, ValueError):
            # What is still buffered would fail again at the end of the process.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        if sys.stdout is self and not isinstance(error, BrokenPipeError):
            reason = getattr(error, "strerror", None) or error
            sys.stderr.write(
                f"Note: the standard output cannot be written any more ({reason}); the program "
                "goes on.\n"
            )


@contextmanager
def protected() -> Iterator[tuple[Stream, Stream]]:
    """Within it the standard output and the standard error are `Stream`s."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            # A closed one: else the next file, perhaps a checkpoint, has its number, and what
            # libraries write to the standard error goes there.
            os.open(os.devnull, os.O_RDWR)
    before = sys.stdout, sys.stderr
    output, errors = (
        Stream(open(os.devnull, "w") if stream is None else stream)  # noqa: SIM115
        for stream in before
    )
    sys.stdout, sys.stderr = output, errors
    try:
        yield output, errors
    finally:
        output.flush()
        errors.flush()
        sys.stdout, sys.stderr = before


def _flush() -> None:
    """Write what is buffered at the end of the process, such as a help text of argparse."""
    if sys.stdout is not None:
        Stream(sys.stdout).flush()


atexit.register(_flush)
