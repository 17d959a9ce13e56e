"""How several workers find each other before TensorFlow connects them: with an end to the waiting,
signs of life, and a comparison of what they are about to do. Without TensorFlow."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import json
import platform
import selectors
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ssl_keras
from ssl_keras.errors import UserError, printable

if TYPE_CHECKING:
    from ssl_keras.config import Config

# Seconds between two attempts to reach worker 0, and between two reports.
_RETRY, _REPORT = 0.5, 60.0
_TWICE = "There is a worker {} already: give each worker another index in TF_CONFIG."
# Minutes that worker 0 stays to tell all of them why it does not begin.
_TELL = 0.25
# What worker 0 asks before all go on, and the seconds for an answer.
_ASKED, _ANSWER = b'{"there": true}\n', 5.0
# Longest message, in bytes.
_LONGEST = 100_000


def greeting(config: Config) -> dict[str, str]:
    """What must be equal on all workers: name in words -> value."""
    packages = ("tensorflow", "keras", "numpy")
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    return {
        "version of ssl_keras": ssl_keras.__version__,
        "code of ssl_keras": code_digest(),
        "versions of packages": ", ".join(versions),
        "minor version of Python": platform.python_version().rpartition(".")[0],
        "flags": config.digest(),
        "data": json.dumps(config.data_digests(), sort_keys=True),
    }


@functools.cache
def code_digest() -> str:
    """Twelve digits of the SHA-256 of this package's Python files."""
    folder, digest = Path(ssl_keras.__file__).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def meet(
    addresses: Sequence[str],
    index: int,
    told: Mapping[str, str],
    minutes: float,
    report: Callable[[str], None],
) -> None:
    """Return when all workers are there, and say the same.

    Worker 0 listens at its address, and closes it again, so that TensorFlow can use it.

    Args:
        addresses: HOST:PORT of each worker.
        index: of this worker.
        told: its `greeting`.
        minutes: how long to wait.
        report: is given a sentence each minute.

    Raises:
        UserError: some have not come in time, a worker says something else, or the port of worker 0
            is in use.
    """
    wait = _Wait(minutes, report)
    if index == 0:
        _receive(addresses, told, wait)
    else:
        _apply(addresses[0], index, told, wait)


@dataclass
class _Wait:
    """A wait with an end, which reports each minute."""

    minutes: float
    report: Callable[[str], None]
    begun: float = field(default_factory=time.monotonic)
    reported: int = 0

    @property
    def passed(self) -> float:
        """Minutes since the begin."""
        return (time.monotonic() - self.begun) / 60

    @property
    def left(self) -> float:
        """Seconds to the end."""
        return 60 * (self.minutes - self.passed)

    def look(self, missing: str) -> None:
        """Report, if it is time, or end the wait.

        Raises:
            UserError: it is over.
        """
        if self.left <= 0:
            raise UserError(
                f"After {self.minutes:g} minutes {missing} cannot be reached: start the same "
                "command there, check the addresses of TF_CONFIG and the firewall, or wait longer "
                "with --wait_minutes."
            )
        passed = int(60 * self.passed // _REPORT)
        if passed > self.reported:
            self.reported = passed
            self.report(
                f"Waiting for {missing} since {passed * _REPORT / 60:g} of {self.minutes:g} "
                "minutes."
            )


def _receive(addresses: Sequence[str], told: Mapping[str, str], wait: _Wait) -> None:
    """`meet` for worker 0."""
    came: dict[int, socket.socket] = {}
    refusal: str | None = None
    with (
        _listening(addresses[0]) as server,
        selectors.DefaultSelector() as selector,
        contextlib.ExitStack() as peers,
    ):
        selector.register(server, selectors.EVENT_READ, b"")
        while len(came) < len(addresses) - 1 or not _all_there(came, selector):
            missing = [k for k in range(1, len(addresses)) if k not in came]
            if refusal is not None and wait.left <= 0:
                break
            wait.look(", ".join(f"worker {k} ({addresses[k]})" for k in missing))
            for key, _ in selector.select(timeout=min(_RETRY, max(wait.left, 0))):
                if key.fileobj is server:
                    peer = peers.enter_context(server.accept()[0])
                    peer.setblocking(False)
                    selector.register(peer, selectors.EVENT_READ, b"")
                    continue
                peer = key.fileobj  # type: ignore[assignment]
                received = _read(peer)
                message = key.data + received
                number = next((k for k, one in came.items() if one is peer), None)
                if received and number is None and not message.endswith(b"\n"):
                    if len(message) <= _LONGEST:
                        selector.modify(peer, selectors.EVENT_READ, message)
                        continue
                elif received and number is None:
                    number = _number_of(message, len(addresses))
                    if number in came:
                        with contextlib.suppress(OSError):
                            _send(peer, {"refused": _TWICE.format(number)})
                    elif number is not None:
                        came[number] = peer
                        if refusal is None:
                            refusal = _difference(number, message, told)
                            # The others shall hear of it too.
                            wait.minutes = wait.minutes if refusal is None else wait.passed + _TELL
                        continue
                elif number is not None:  # it has hung up
                    del came[number]
                selector.unregister(peer)
                peer.close()
        answer = {"go": True} if refusal is None else {"refused": refusal}
        for peer in came.values():
            with contextlib.suppress(OSError):
                peer.setblocking(True)
                _send(peer, answer)
        for peer in came.values():  # they hang up first, which leaves the port free
            peer.settimeout(2)
            _read(peer)
    if refusal is not None:
        raise UserError(refusal)


def _all_there(came: dict[int, socket.socket], selector: selectors.BaseSelector) -> bool:
    """Whether all who came still answer; others are forgotten."""
    before = list(came.items())
    for number, peer in before:
        peer.settimeout(_ANSWER)
        with contextlib.suppress(OSError):
            _send(peer, {"there": True})
            if _read(peer):
                peer.setblocking(False)
                continue
        del came[number]
        selector.unregister(peer)
        peer.close()
    return len(came) == len(before)


def _difference(number: int, message: bytes, told: Mapping[str, str]) -> str | None:
    """The sentence about the first thing that a worker says otherwise than worker 0, or None."""
    said = json.loads(message)["told"]
    said = said if isinstance(said, dict) else {}
    name = next((n for n in told if said.get(n) != told[n]), None)
    if name is None:
        return None
    there, here = (printable(str(value))[:300] for value in (said.get(name), told[name]))
    return (
        f"The {name} of worker {number} ({there}) are not those of worker 0 ({here}): give all "
        "workers the same command, code and data."
    )


def _apply(address: str, index: int, told: Mapping[str, str], wait: _Wait) -> None:
    """`meet` for the workers after worker 0."""
    said: Mapping[str, Any] = {}
    while said.get("go") is not True:
        said = {}
        wait.look(f"worker 0 ({address})")
        with contextlib.suppress(OSError):
            peer = socket.create_connection(split(address), timeout=4 * _RETRY)
            with peer:
                _send(peer, {"worker": index, "told": dict(told)})
                said = _answer(peer, lambda: wait.look(f"another worker, or worker 0 ({address})"))
        if isinstance(said.get("refused"), str):
            raise UserError(printable(said["refused"])[:1000])
        if not said:
            time.sleep(min(_RETRY, max(wait.left, 0)))


def _answer(peer: socket.socket, look: Callable[[], None]) -> Mapping[str, Any]:
    """What worker 0 answers, when all are there; {} if it hangs up, or is something else."""
    peer.settimeout(_RETRY)
    answer = b""
    while not answer.endswith(b"\n") and len(answer) <= _LONGEST:
        look()
        try:
            received = peer.recv(_LONGEST)
        except TimeoutError:
            continue
        if not received:
            return {}
        answer += received
        if answer.startswith(_ASKED):
            _send(peer, {"here": True})
            answer = answer.removeprefix(_ASKED)
    try:
        said = json.loads(answer)
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def split(address: str) -> tuple[str, int]:
    """(host, port) of HOST:PORT; the host may be an IPv6 address in brackets.

    Raises:
        ValueError: it is something else.
    """
    host, _, port = address.rpartition(":")
    number = int(port) if port.isascii() and port.isdigit() else 0
    if not host or not 1 <= number <= 65535 or (":" in host and not host.startswith("[")):
        raise ValueError(address)
    return host.strip("[]"), number


@contextlib.contextmanager
def _listening(address: str) -> Iterator[socket.socket]:
    """A socket that listens at an address, or at all of this machine's if that is another's (as in
    a container).

    Raises:
        UserError: the port is in use.
    """
    host, port = split(address)
    failed: OSError | None = None
    for place in (host, ""):
        try:
            family = socket.AF_INET6 if ":" in place else socket.AF_INET
            server = socket.create_server((place, port), family=family)
        except OSError as error:
            failed = error
            continue
        with server:
            yield server
        return
    assert failed is not None
    raise UserError(
        f"Worker 0 cannot listen at {address} ({failed.strerror or failed}): choose another port "
        "in TF_CONFIG, on all workers, or end the program that uses it."
    )


def _read(peer: socket.socket) -> bytes:
    try:
        return peer.recv(_LONGEST)
    except OSError:
        return b""


def _send(peer: socket.socket, message: Mapping[str, Any]) -> None:
    peer.sendall(json.dumps(message).encode() + b"\n")


def _number_of(message: bytes, count: int) -> int | None:
    """The index of the worker that has sent a message; None if it is no worker's."""
    if len(message) > _LONGEST:
        return None
    try:
        said = json.loads(message)
        number = said["worker"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    valid = isinstance(number, int) and not isinstance(number, bool) and 1 <= number < count
    return number if valid and "told" in said else None
