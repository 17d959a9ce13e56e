"""Kill trainings again and again, resume them, and compare with trainings that were never killed.

    python -m tools.soak --kills=20

A chain is one run that is killed with SIGKILL a few times, and resumed each time, until it ends. It
is killed at random moments: while the program starts, at any step of the training, or while it
evaluates and exports. Its weights, its history and every result must then equal, bit for bit, those
of an uninterrupted run. Chains alternate between images in memory and images that are decoded from
files while training.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras import datasets
from ssl_keras.cli import startup
from ssl_keras.cli.drawing import build_parser
from ssl_keras.errors import UserError
from ssl_keras.run import run_directory
from ssl_keras.run.checkpoints import Checkpoints

KILLS_OF_A_CHAIN = 5
FLAGS = (
    "--loss=uniform_prior",
    "--num_bits=2",
    "--batch_size=64",
    "--width_multiplier=0.25",
    "--max_train_images=1000",
    "--heads=linear,knn,bits",
    "--checkpoint_every=1",
    "--log_every=13",
)
# The program, with images decoded from their files in every epoch, however few they are.
STREAMED = """
import sys
from ssl_keras import datasets, train
from ssl_keras.datasets.sources import folder
datasets.IN_MEMORY_BYTES = folder.IN_MEMORY_BYTES = 0
sys.exit(train.main())
"""
# Not part of what must be equal: where it was written, how long it took.
LEFT_OUT = ("times", "paths")


@dataclass(frozen=True)
class Case:
    """What is killed: a command, and the results of its uninterrupted run.

    Attributes:
        name: "memory" or "streamed".
        command: the command line without the run's directory.
        steps: training steps.
        seconds: duration of each part of the uninterrupted run: "start", "training", "rest".
        results: its results.json.
    """

    name: str
    command: tuple[str, ...]
    steps: int
    seconds: Mapping[str, float]
    results: Mapping[str, Any]


def start(command: tuple[str, ...], workdir: Path) -> subprocess.Popen:
    """Start the program, or resume its run."""
    return subprocess.Popen(
        [*command, f"--workdir={workdir}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def read_results(workdir: Path) -> Mapping[str, Any]:
    """The content of results.json of a finished run."""
    return json.loads((workdir / "results.json").read_text())


def finish(command: tuple[str, ...], workdir: Path) -> None:
    """Run to the end."""
    process = start(command, workdir)
    _, errors = process.communicate()
    if process.returncode:
        raise UserError(f"The run in {workdir} failed: {errors.strip().splitlines()[-1:]}")


def last_step(workdir: Path) -> int:
    """The step of the newest checkpoint; 0 if there is none."""
    return max(Checkpoints(workdir / "checkpoints", {}).steps(), default=0)


def write_images(folder: Path, per_class: int) -> None:
    """Digits as PNG files, `folder`/train/CLASS/NUMBER.png and the same for test."""
    from PIL import Image

    data = datasets.load("plain", source="mnist_5k")
    for name, split in (("train", data.train), ("test", data.test)):
        assert isinstance(split, datasets.MemorySplit)
        for digit in range(10):
            place = folder / name / str(digit)
            place.mkdir(parents=True)
            chosen = split.example["image"][split.labels["class"] == digit][:per_class]
            for number, image in enumerate(chosen):
                Image.fromarray(np.squeeze(image)).save(place / f"{number}.png")


def uninterrupted(name: str, command: tuple[str, ...], steps: int, directory: Path) -> Case:
    """Make the uninterrupted run that chains are compared with."""
    began = time.monotonic()
    finish(command, directory / f"{name}-alone")
    results = read_results(directory / f"{name}-alone")
    total, times = time.monotonic() - began, results["times"]
    rest = times["total"] - times["training"]
    seconds = {"start": total - times["total"], "training": times["training"], "rest": rest}
    parts = ", ".join(f"{part} {value:.0f} s" for part, value in seconds.items())
    print(f"{name}: uninterrupted: {parts}.", flush=True)
    return Case(name, command, steps, seconds, results)


def kill_once(subject: Case, workdir: Path, generator: random.Random) -> str | None:
    """Start the run and kill it at a random moment; returns the moment, or None if it had ended."""
    before = last_step(workdir)
    process = start(subject.command, workdir)
    part = generator.choices(("start", "training", "rest"), (1, 6, 1))[0]
    # The chain's later kills need steps too, so no kill asks for more than half of those left.
    ahead = generator.randint(1, max(1, (subject.steps - before) // 2))
    target = {"start": 0, "training": before + ahead, "rest": subject.steps}[part]
    while process.poll() is None and last_step(workdir) < target:
        time.sleep(0.002)
    longest = subject.seconds[part] if part != "training" else 0.2
    deadline = time.monotonic() + generator.uniform(0, longest)
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.001)
    if process.poll() is not None:
        if process.returncode:
            assert process.stderr is not None
            raise UserError(f"Resuming failed: {process.stderr.read().strip()}")
        return None
    process.kill()
    process.wait()
    return f"during {part}, resumed from {before}, now {last_step(workdir)}"


def chain(subject: Case, workdir: Path, kills: int, generator: random.Random) -> list[str]:
    """Kill a run `kills` times, or until it ends; let it end.

    Returns:
        The moments of the kills.

    Raises:
        UserError: it differs from the uninterrupted run; the message says in what.
    """
    moments: list[str] = []
    while len(moments) < kills and not run_directory.finished(workdir):
        if moment := kill_once(subject, workdir, generator):
            moments.append(moment)
    # The last kill may have come after everything was written.
    if not run_directory.finished(workdir):
        finish(subject.command, workdir)
    results = read_results(workdir)
    different = [
        key
        for key in {**subject.results, **results}
        if key not in LEFT_OUT and subject.results.get(key) != results.get(key)
    ]
    if different:
        raise UserError(f"{workdir} differs in {', '.join(different)}; killed {moments}.")
    return moments


def soak(directory: Path, kills: int, steps: int, seed: int) -> int:
    """Make the chains, and print their progress; returns the number of chains."""
    images = directory / "images"
    write_images(images, 100)
    interpreter = (sys.executable,)
    flags = (*FLAGS, f"--steps={steps}")
    commands = {
        "memory": (*interpreter, "-m", "ssl_keras.train", *flags),
        "streamed": (*interpreter, "-c", STREAMED, *flags, f"--source=folder:{images}"),
    }
    subjects = [uninterrupted(name, line, steps, directory) for name, line in commands.items()]
    generator = random.Random(seed)
    done = chains = 0
    while done < kills:
        subject = subjects[chains % len(subjects)]
        workdir = directory / f"chain-{chains}"
        moments = chain(subject, workdir, min(KILLS_OF_A_CHAIN, kills - done), generator)
        chains, done = chains + 1, done + len(moments)
        print(f"Chain {chains} ({subject.name}): {len(moments)} kills, equal.", flush=True)
        for moment in moments:
            print(f"  {moment}", flush=True)
        shutil.rmtree(workdir)
    return chains


def main(arguments: list[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    parser = build_parser("tools.soak", __doc__)
    parser.add_argument("--kills", type=int, default=20, help="how often runs are killed")
    parser.add_argument("--steps", type=int, default=300, help="training steps of a run")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--runs", type=Path, default=Path("runs/soak"), help="folder; emptied")
    options: Any = parser.parse_args(arguments)

    def body() -> None:
        startup.start_tensorflow()
        if options.kills < 1 or options.steps < 1:
            raise UserError("kills and steps must be at least 1.")
        if options.runs.exists():
            shutil.rmtree(options.runs)
        chains = soak(options.runs, options.kills, options.steps, options.seed)
        print(f"{options.kills} kills in {chains} chains, 0 mismatches.")

    return startup.guarded("tools.soak", body, lambda: False)


if __name__ == "__main__":
    sys.exit(main())
