"""What the program says: information to the standard output, warnings to the standard error."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator

from ssl_keras import commands
from ssl_keras.errors import printable

logger = logging.getLogger("ssl_keras")


class _Console(logging.Handler):
    """Prints messages as they are, but programs by the names that the user has typed, to the
    streams of the moment: they may be redirected."""

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stderr if record.levelno >= logging.WARNING else sys.stdout
        print(commands.as_typed(record.getMessage()), file=stream, flush=True)


if not logger.handlers:
    logger.addHandler(_Console())
    logger.setLevel(logging.INFO)
    logger.propagate = False


def _shown(text: str) -> str:
    """The text, its lines `printable`."""
    return "\n".join(map(printable, text.split("\n")))


def info(text: str = "") -> None:
    """Say something that `--quiet` silences."""
    logger.info("%s", _shown(text))


def is_quiet() -> bool:
    """Whether only warnings are printed."""
    return not logger.isEnabledFor(logging.INFO)


def warning(text: str) -> None:
    """Say something that the user should see in any case."""
    logger.warning("%s", _shown(text))


@contextlib.contextmanager
def warnings_only(active: bool = True) -> Iterator[None]:
    """Within it only warnings are printed."""
    level = logger.level
    logger.setLevel(logging.WARNING if active else level)
    try:
        yield
    finally:
        logger.setLevel(level)
