"""Ctrl-C, SIGTERM, SIGHUP and SIGUSR1 as a request to stop, in the training between steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

# What queues and terminals send to end a program: a terminal that closes SIGHUP, some queues
# SIGUSR1 before the time is over.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)


@contextmanager
def _handled(handler: Any) -> Iterator[None]:
    """Within it `handler` hears `SIGNALS`, but not those that are ignored (`nohup`).

    Outside the main thread, where signals cannot be caught, it does nothing.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        before = {number: signal.signal(number, handler) for number in heard}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


@contextmanager
def as_interrupts() -> Iterator[None]:
    """Within it each of `SIGNALS` raises KeyboardInterrupt."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handled(interrupt):
        yield


class Interruption:
    """Context in which the first of `SIGNALS` sets `requested`, and the second interrupts.

    Outside the main thread, where signals cannot be caught, it does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._handled = _handled(self._request)

    def __enter__(self) -> Interruption:
        self._handled.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._handled.__exit__(None, None, None)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
