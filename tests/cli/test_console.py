"""A program survives its console, and what the system refuses is a sentence."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ssl_keras import console, log
from ssl_keras.cli import startup
from ssl_keras.errors import UserError, of_the_system, printable
from ssl_keras.run.interruption import SIGNALS, Interruption, as_interrupts
from tests.tiers import first_in_check

ROOT = Path(__file__).parents[2]


class Broken(io.StringIO):
    """A stream that fails after its first text."""

    def __init__(self, error: Exception):
        super().__init__()
        self.error, self.calls = error, 0

    def write(self, text: str) -> int:
        self.calls += 1
        if self.calls > 1:
            raise self.error
        return super().write(text)

    def flush(self) -> None:
        if self.calls > 1:
            raise self.error


ERRORS = [
    BrokenPipeError(errno.EPIPE, "Broken pipe"),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EBADF, "Bad file descriptor"),
    ValueError("I/O operation on closed file"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_stream_that_fails_drops_the_rest(error: Exception) -> None:
    broken = Broken(error)
    stream = console.Stream(broken)
    for _ in range(3):
        print("line", file=stream, flush=True)
    assert stream.lost is error
    assert broken.getvalue() == "line"


@pytest.mark.parametrize(
    ("error", "only_prints", "code"),
    [
        (ERRORS[0], True, startup.CLOSED),
        (ERRORS[0], False, startup.OK),
        (ERRORS[1], True, startup.DEFECT),
        (ERRORS[1], False, startup.OK),
    ],
)
def test_the_exit_code_when_the_output_is_lost(
    error: Exception,
    only_prints: bool,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdout", Broken(error))
    done = []

    def body() -> None:
        for _ in range(3):
            print("line", flush=True)
        done.append(True)

    assert startup.guarded("ssl_keras.train", body, lambda: False, only_prints) == code
    assert done == [True]
    notice = capfd.readouterr().err
    assert notice == (
        ""
        if isinstance(error, BrokenPipeError)
        else "Note: the standard output cannot be written any more (No space left on device); the "
        "program goes on.\n"
    )


def test_a_character_without_an_encoding_is_an_escape() -> None:
    raw = io.BytesIO()
    stream = console.Stream(io.TextIOWrapper(raw, encoding="ascii"))
    print("é ± 🐱", file=stream, flush=True)
    assert raw.getvalue() == b"\\xe9 \\xb1 \\U0001f431\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat\x1b[2J", "cat\\x1b[2J"),
        ("two\nlines\r", "two\\nlines\\r"),
        (os.fsdecode(b"caf\xe9.png"), "caf\\udce9.png"),
        ("Café 猫 ±", "Café 猫 ±"),
    ],
    ids=["escape sequence", "line break", "bytes of no encoding", "letters"],
)
def test_what_comes_from_outside_cannot_steer_the_terminal(
    text: str, expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert printable(text) == expected

    def refuse() -> None:
        raise UserError(f"The folder {text} does not exist.")

    assert startup.guarded("ssl_keras.train", refuse, lambda: False) == startup.MISTAKE
    assert capfd.readouterr().err == f"ssl_keras.train: The folder {expected} does not exist.\n"
    log.info("first\n" + text.replace("\n", ""))
    assert capfd.readouterr().out == "first\n" + printable(text.replace("\n", "")) + "\n"


def test_what_the_system_refuses_is_a_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import tensorflow as tf

    def write_to_a_full_disk() -> None:
        with open("/dev/full", "w") as file:
            file.write("text")

    def save_in_a_file() -> None:
        (tmp_path / "file").write_text("")
        raise tf.errors.ResourceExhaustedError(None, None, "/x; No space left on device")

    def too_much() -> None:
        raise MemoryError("Unable to allocate 7.3 TiB")

    def too_much_in_tensorflow() -> None:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    cases: list[tuple[Callable[[], None], str]] = [
        (write_to_a_full_disk, "A file cannot be written or read (No space left on device): free"),
        (save_in_a_file, "A file cannot be written or read (/x; No space left on device): free"),
        (too_much, "The memory is exhausted (Unable to allocate 7.3 TiB): give a smaller --batch"),
        (too_much_in_tensorflow, "The memory is exhausted (OOM when allocating tensor): give a"),
    ]
    for body, sentence in cases:
        assert startup.guarded("ssl_keras.evaluate", body, lambda: False) == startup.MISTAKE
        error = capfd.readouterr().err
        assert error.startswith(f"ssl_keras.evaluate: {sentence}")
        assert error.count("\n") == 1
    for defect in (RuntimeError("No space left"), OSError(errno.ENOENT, "gone"), KeyError("x")):
        assert of_the_system(defect) is None


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.05)  # its handler runs here


@pytest.mark.parametrize("number", SIGNALS)
def test_every_signal_to_end_stops_training_between_steps_and_others_at_once(
    number: signal.Signals,
) -> None:
    # As a shell starts a program; `nohup` ignores one of them.
    normal = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    around = signal.signal(number, normal)
    before = signal.getsignal(number)
    with Interruption() as interruption:
        send(number)
        assert interruption.requested
        with pytest.raises(KeyboardInterrupt):
            send(number)

    assert (
        startup.guarded("ssl_keras.train", lambda: send(number), lambda: False)
        == startup.INTERRUPTED
    )
    assert signal.getsignal(number) == before
    signal.signal(number, around)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    """As under `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with as_interrupts(), Interruption() as interruption:
            send(signal.SIGHUP)
            assert not interruption.requested
    finally:
        signal.signal(signal.SIGHUP, before)


CONSOLES = {
    "a full disk, and no standard error": "> /dev/full 2>&-",
    "closed": ">&- 2>&-",
    "a reader that leaves": "| head -n 1",
    "a search that has found": "2>&1 | grep -m1 'data set'",
    "no input, ASCII": "<&- > output.txt",
}


@pytest.mark.parametrize("redirection", first_in_check(CONSOLES.values()), ids=CONSOLES)
def test_a_training_and_its_outcome_survive_the_console(redirection: str, tmp_path: Path) -> None:
    # Vectors take the least time.
    flags = "--dataset=table --source=wine --loss=nt_xent --steps=2 --batch_size=32 "
    flags += "--measure_images=0 --heads=knn --knn_k=1 --workdir=run"
    command = f"{sys.executable} -m ssl_keras.train {flags} {redirection}; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "0", done.stderr
    assert "Traceback" not in done.stderr
    assert json.loads((tmp_path / "run" / "results.json").read_text())["finished"] is True
    assert (tmp_path / "run" / "saved_model" / "saved_model.pb").is_file()
