"""Training against PyTorch, with lightly and by hand."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from ssl_keras.errors import UserError
from tools.benchmark.measuring import PHOTOS, Row, trainer


class Peer:
    """A process of `tools.benchmark.rivals`.

    Args:
        python: an interpreter that has torch and lightly.
        arguments: of `tools.benchmark.rivals`.
    """

    def __init__(self, python: str, arguments: Sequence[str]):
        try:
            self.process = subprocess.Popen(
                [python, str(Path(__file__).with_name("rivals.py")), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        except OSError as error:
            raise UserError(
                f"peer_python is {python}, which cannot be started ({error.strerror}): give an "
                "interpreter."
            ) from error
        if self._answer() != "ready":
            raise UserError(
                f"{python} cannot run the peers: install torch, torchvision and lightly in an "
                "environment (pip install '.[peers]'), and pass its interpreter as --peer_python."
            )
        os.killpg(self.process.pid, signal.SIGSTOP)

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def __call__(self, steps: int) -> float:
        """Seconds of so many steps; its loaders do nothing before and after."""
        assert self.process.stdin is not None
        os.killpg(self.process.pid, signal.SIGCONT)
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        seconds = float(self._answer())
        os.killpg(self.process.pid, signal.SIGSTOP)
        return seconds

    def end(self) -> None:
        """End it, and its loaders."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def peers(repeats: int, python: str = sys.executable) -> list[Row]:
    """Training against PyTorch, with lightly and by hand; both sides take turns."""
    rows = []
    photos = {**PHOTOS, "encoder": "convnet", "batch_size": 500}
    for what, steps, settings, arguments in (
        ("SimCLR recipe, convnet, 32 px, batch 500 / lightly", 4, photos,
         ["lightly", "convnet", "500", "32", "3"]),
        ("SimCLR recipe, ResNet-18, 32 px, batch 128 / lightly", 1,
         {**photos, "encoder": "resnet18", "batch_size": 128},
         ["lightly", "resnet18", "128", "32", "3"]),
        ("digits with 10 bits, batch 1000 / PyTorch by hand", 5,
         {"num_bits": 10, "batch_size": 1000}, ["hand", "convnet", "1000", "28", "11"]),
    ):  # fmt: skip
        peer, batch = Peer(python, arguments), int(arguments[2])
        ours = {p: trainer(**settings, mixed_precision=p) for p in ("off", "bfloat16")}
        times = [(peer(steps), ours["off"](steps), ours["bfloat16"](steps)) for _ in range(repeats)]
        peer.end()
        rows.append(
            {
                "what": what,
                "their_images_per_second": statistics.median(
                    steps * batch / t for t, _, _ in times
                ),
                "float32": statistics.median(t / o for t, o, _ in times),
                "bfloat16": statistics.median(t / o for t, _, o in times),
            }
        )
    return rows
