"""Workers find each other, in any order and beside strangers, or say who is missing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ssl_keras.config import Config
from ssl_keras.errors import UserError
from ssl_keras.launch import free_ports
from ssl_keras.run import meeting

TOLD = {"flags": "abcd", "code of ssl_keras": "1234"}


def addresses(count: int) -> list[str]:
    return [f"127.0.0.1:{port}" for port in free_ports(count)]


def silent(_: str) -> None:
    pass


def together(
    places: list[str], told: dict[int, dict[str, str]] | None = None
) -> list[Exception | None]:
    """What `meet` has raised in each worker; all start at once, worker 0 last."""
    told = told or {}
    with ThreadPoolExecutor(len(places)) as pool:
        futures: list[Future[None]] = [
            pool.submit(meeting.meet, places, k, told.get(k, TOLD), 1.0, silent)
            for k in reversed(range(len(places)))
        ]
        return [future.exception() for future in reversed(futures)]  # type: ignore[misc]


@pytest.mark.parametrize("count", [2, 5])
def test_all_come_and_leave_the_port_free(count: int) -> None:
    places = addresses(count)
    assert together(places) == [None] * count
    assert together(places) == [None] * count  # again, at the same port


def test_who_differs_is_named_everywhere() -> None:
    said = together(addresses(3), {1: {**TOLD, "flags": "other\x1b[2J"}})
    sentence = r"The flags of worker 1 (other\x1b[2J) are not those of worker 0 (abcd): give all "
    for error in said:
        assert isinstance(error, UserError)
        assert str(error).startswith(sentence)


@pytest.mark.parametrize("index", [0, 1])
def test_the_waiting_has_an_end_and_says_who_is_missing(
    index: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "_REPORT", 0.3)
    monkeypatch.setattr(meeting, "_RETRY", 0.05)
    places, reports = addresses(3), []
    with pytest.raises(UserError) as caught:
        meeting.meet(places, index, TOLD, 1 / 60, reports.append)
    missing = (
        f"worker 1 ({places[1]}), worker 2 ({places[2]})"
        if index == 0
        else f"worker 0 ({places[0]})"
    )
    assert f"minutes {missing} cannot be reached: start the same command there" in str(caught.value)
    assert len(reports) >= 2
    assert reports[0].startswith(f"Waiting for {missing} since ")


def send(port: int, *messages: bytes, hang_up: bool = True) -> socket.socket:
    while True:
        try:
            peer = socket.create_connection(("127.0.0.1", port), timeout=1)
            break
        except OSError:
            time.sleep(0.01)
    for message in messages:
        peer.sendall(message)
    if hang_up:
        peer.close()
    return peer


STRANGERS: dict[str, Callable[[int], Any]] = {
    "hangs up": lambda port: send(port),
    "says nothing": lambda port: send(port, hang_up=False),
    "asks for a page": lambda port: send(port, b"GET / HTTP/1.1\r\n\r\n"),
    "bytes": lambda port: send(port, bytes(range(256)) + b"\n"),
    "deep": lambda port: send(port, b"[" * 50_000 + b"\n"),
    "endless": lambda port: send(port, b"x" * 300_000, hang_up=False),
    "no worker": lambda port: send(port, b'{"worker": 7, "told": {}}\n'),
    "true": lambda port: send(port, b'{"worker": true, "told": {}}\n'),
    "a worker that dies": lambda port: send(
        port, json.dumps({"worker": 1, "told": TOLD}).encode() + b"\n"
    ),
}


@pytest.mark.parametrize("stranger", STRANGERS.values(), ids=STRANGERS)
def test_strangers_change_nothing(stranger: Callable[[int], Any]) -> None:
    places = addresses(3)
    port = meeting.split(places[0])[1]
    kept: list[Any] = []
    with ThreadPoolExecutor(4) as pool:
        chief = pool.submit(meeting.meet, places, 0, TOLD, 1.0, silent)
        other = pool.submit(meeting.meet, places, 2, TOLD, 1.0, silent)
        kept.append(stranger(port))
        last = pool.submit(meeting.meet, places, 1, TOLD, 1.0, silent)
        assert [future.exception() for future in (chief, other, last)] == [None] * 3
    for peer in kept:
        peer.close()


def test_two_of_one_index_are_told() -> None:
    places = addresses(3)
    with ThreadPoolExecutor(4) as pool:
        chief = pool.submit(meeting.meet, places, 0, TOLD, 1.0, silent)
        both = [pool.submit(meeting.meet, places, 1, TOLD, 1.0, silent) for _ in range(2)]
        while not any(future.done() for future in both):
            time.sleep(0.01)
        told = next(future for future in both if future.done()).exception()
        assert "There is a worker 1 already: give each worker another index" in str(told)
        pool.submit(meeting.meet, places, 2, TOLD, 1.0, silent).result()
        assert chief.exception() is None


def test_a_port_in_use_is_a_sentence() -> None:
    places = addresses(2)
    with (
        socket.create_server(meeting.split(places[0])),
        pytest.raises(UserError, match=r"Worker 0 cannot listen at .* in use.*another port"),
    ):
        meeting.meet(places, 0, TOLD, 1.0, silent)


@pytest.mark.parametrize("address", ["[::1]:2222", "host.example:1", "10.0.0.1:65535"])
def test_addresses(address: str) -> None:
    host, port = meeting.split(address)
    assert f"{f'[{host}]' if ':' in host else host}:{port}" == address


@pytest.mark.parametrize("address", ["host", "host:", ":1", "host:0", "host:65536", "::1:2", "a:²"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        meeting.split(address)


def test_the_greeting_follows_flags_and_code() -> None:
    one, other = (meeting.greeting(Config.make(seed=seed)) for seed in (0, 1))
    assert {name for name in one if one[name] != other[name]} == {"flags"}
    assert meeting.greeting(Config.make(seed=0, wait_minutes=3, strategy="multi_worker")) == (
        meeting.greeting(Config.make(seed=0, strategy="multi_worker"))
    )
    assert len(one["code of ssl_keras"]) == 12


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_waiting_obeys_signals(number: int, tmp_path: Path) -> None:
    places = addresses(2)
    task = {"cluster": {"worker": places}, "task": {"type": "worker", "index": 1}}
    process = subprocess.Popen(
        [sys.executable, "-m", "ssl_keras.train", "--strategy=multi_worker"],
        cwd=tmp_path,
        env={**os.environ, "TF_CONFIG": json.dumps(task)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.default_int_handler),
    )
    assert process.stdout is not None
    assert "Worker 1 of 2 is waiting for the others." in process.stdout.readline()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == "ssl_keras.train: interrupted.\n"
