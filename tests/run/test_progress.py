"""The progress bar: what matters comes first, and a narrow terminal drops the rest."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from ssl_keras.run.callbacks import Progress

ROOT = Path(__file__).parents[2]
PROGRAM = """
from ssl_keras.run.callbacks import Progress
names = ("class", "bits", "loss", "contrastive", "align", "distr")
progress = Progress(100, {n: n for n in names}, "images")
progress.on_start(0, 20)
for step in range(1, 21):
    progress.on_steps(step)
    progress.on_log(step, {n: 0.5 for n in names})
progress.on_end()
"""


def lines_in(columns: int) -> list[str]:
    """What a terminal of so many columns shows; 0: of unknown width."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    # tqdm waits a tenth of a second between two lines.
    program = PROGRAM.replace(
        "progress.on_end", "progress.bar and progress.bar.refresh()\nprogress.on_end"
    )
    done = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    shown = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        shown += part
    os.close(master)
    assert done.wait() == 0
    return [line for line in re.split(r"[\r\n]+", shown.decode()) if line.strip()]


@pytest.mark.parametrize(
    ("columns", "shown", "dropped"),
    [
        (200, ("class=0.500, bits=0.500, images/s=", "loss=", "distr="), ()),
        (100, ("class=0.500, bits=0.500, images/s=",), ("align", "distr")),
        (75, ("class=0.500",), ("images/s", "loss")),
        (40, ("20/20",), ("class",)),
    ],
)
def test_a_bar_fits_its_terminal(
    columns: int, shown: tuple[str, ...], dropped: tuple[str, ...]
) -> None:
    last = lines_in(columns)[-1]
    assert "20/20" in last
    assert len(last) <= columns
    assert all(part in last for part in shown)
    assert not any(part in last for part in dropped)


def test_a_terminal_of_unknown_width_gets_lines() -> None:
    lines = lines_in(0)
    assert len(lines) == 10
    assert re.fullmatch(
        r"  step      2/20 +\d+ images/s +\d+ s left  class 0.500  bits 0.500  loss 0.500  .*",
        lines[0],
    )


def test_lines_say_what_the_examples_are(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(10, {"a": "a"}, "vectors")
    progress.on_start(0, 2)
    progress.on_log(1, {"a": 1.0})
    assert " vectors/s " in capsys.readouterr().out
