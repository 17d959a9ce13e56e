"""Kill a training again and again, go on each time, and compare with one that was never killed.

    python -m tools.soak --kills=20

Two runs of one configuration: one is left alone, the other is killed with SIGKILL at random moments
after its start, whatever it is doing, and started again until it has been killed often enough;
then it runs to its end. Weights, history and every measured number must be equal, bit for bit.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from ssl_keras import run_directory, startup
from ssl_keras.checkpoints import Checkpoints
from ssl_keras.errors import UserError
from tools.common import build_parser

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
# Not part of what must be equal: where it was written, how long it took, what for.
LEFT_OUT = ("times", "paths")


def start(workdir: Path, steps: int) -> subprocess.Popen:
    """Start the program, or go on with what it has begun."""
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "ssl_keras.train",
            *FLAGS,
            f"--steps={steps}",
            f"--workdir={workdir}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(workdir: Path, steps: int) -> float:
    """Run to the end; returns the seconds it took."""
    began = time.monotonic()
    process = start(workdir, steps)
    _, errors = process.communicate()
    if process.returncode:
        raise UserError(f"The run in {workdir} failed: {errors.strip().splitlines()[-1:]}")
    return time.monotonic() - began


def last_step(workdir: Path) -> int:
    """The newest checkpoint, 0 if there is none."""
    return max(Checkpoints(workdir / "checkpoints", {}).steps(), default=0)


def soak(directory: Path, kills: int, steps: int, seed: int) -> list[str]:
    """Do it, and say so while it is done.

    Returns:
        The names of what differs in results.json; none if all is well.
    """
    alone, killed = directory / "alone", directory / "killed"
    seconds = finish(alone, steps)
    print(f"Left alone: {seconds:.0f} s.", flush=True)
    generator = random.Random(seed)
    done = 0
    while done < kills:
        if run_directory.finished(killed):
            print("The kill came after its end: started anew.", flush=True)
            shutil.rmtree(killed)
        process = start(killed, steps)
        # From before training to a little into it, so that many starts make progress.
        deadline = time.monotonic() + generator.uniform(0.2, 0.9) * seconds
        before = last_step(killed)
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.001)
        if process.poll() is not None:
            if process.returncode:
                assert process.stderr is not None
                raise UserError(f"Going on failed: {process.stderr.read().strip()}")
            print("It came to its end: started anew.", flush=True)
            shutil.rmtree(killed)
            continue
        process.kill()
        process.wait()
        done += 1
        print(
            f"Kill {done}: after step {before} had been kept, now {last_step(killed)}.", flush=True
        )
    finish(killed, steps)
    first, second = (json.loads((run / "results.json").read_text()) for run in (alone, killed))
    print(f"Gone on at the steps {second['times']['resumed_at']}.")
    return [key for key in first if key not in LEFT_OUT and first[key] != second.get(key)]


def main(arguments: list[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    parser = build_parser("soak", __doc__)
    parser.add_argument("--kills", type=int, default=20, help="how often it is killed")
    parser.add_argument("--steps", type=int, default=2000, help="training steps")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--runs", type=Path, default=Path("runs/soak"), help="folder; emptied")
    given: Any = parser.parse_args(arguments)

    def body() -> None:
        startup.start_tensorflow()
        if given.kills < 1 or given.steps < 1:
            raise UserError("kills and steps must be at least 1.")
        for name in ("alone", "killed"):
            shutil.rmtree(given.runs / name, ignore_errors=True)
        different = soak(given.runs, given.kills, given.steps, given.seed)
        if different:
            raise UserError(f"The runs differ in {', '.join(different)}.")
        print(f"{given.kills} kills, 0 mismatches.")

    return startup.guarded("tools.soak", body, lambda: False)


if __name__ == "__main__":
    sys.exit(main())
