"""Measure what things cost, both sides of every ratio in one process, taking turns.

    python -m tools.benchmark checkpoint devices micro_batch --output=docs/results/benchmark.json

    checkpoint    keeping the state of the training once a minute: share of the time
    devices       training on two logical devices of the CPU, against one
    logging       logs, TensorBoard and measurements while training: share of the time
    micro_batch   a batch in parts, against the whole batch: speed, and peak memory of each in a
                  process of its own

Medians over repetitions after a warm-up. The table goes to the screen, the numbers to --output.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ssl_keras import startup
from ssl_keras.errors import UserError, unknown_name
from tools.common import build_parser

Row = dict[str, Any]


def trainer(**settings: Any) -> Callable[[int], float]:
    """A function that trains some steps and returns the seconds it took; it is warmed up."""
    from ssl_keras.config import Config
    from ssl_keras.experiment import build
    from ssl_keras.experiment.looping import batches

    base = {"heads": "", "steps": 10**6, "measure_images": 0, "loss": "nt_xent"}
    built = build(Config.make(**{**base, **settings}))
    built.model.make_train_function()
    iterator = iter(batches(built, 0))

    def train(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            logs = built.model.train_function(iterator)
        float(logs["loss"])  # waits for the device
        return time.perf_counter() - start

    train(3)
    train.built = built  # type: ignore[attr-defined]
    return train


def checkpoint(repeats: int) -> list[Row]:
    """Seconds of one checkpoint, and their share of a minute."""
    from ssl_keras.checkpoints import Checkpoints

    rows = []
    for encoder, batch in (("convnet", 250), ("resnet18", 16)):
        train = trainer(encoder=encoder, batch_size=batch, dataset="plain")
        model = train.built.model  # type: ignore[attr-defined]
        seconds = []
        with tempfile.TemporaryDirectory() as directory:
            kept = Checkpoints(Path(directory), model.state_groups)
            for step in range(repeats):
                train(2)
                start = time.perf_counter()
                kept.save(step, {})
                seconds.append(time.perf_counter() - start)
        median = statistics.median(seconds)
        rows.append(
            {
                "what": f"{encoder}, {model.count_params():,} parameters",
                "seconds": median,
                "share": median / (60 + median),
            }
        )
    return rows


def devices(repeats: int) -> list[Row]:
    """Training on two logical devices against one."""
    settings = {"dataset": "plain", "batch_size": 500}
    one = trainer(**settings)
    two = trainer(**settings, strategy="mirrored", devices=2)
    times = [(one(5), two(5)) for _ in range(repeats)]
    return [
        {
            "what": "convnet, batch 500: speed on two logical devices / on one",
            "images_per_second": statistics.median(5 * 500 / first for first, _ in times),
            "ratio": statistics.median(first / second for first, second in times),
        }
    ]


def logging(repeats: int) -> list[Row]:
    """The share of the default run's time that goes into logs, TensorBoard and geometry."""
    from ssl_keras import training
    from ssl_keras.callbacks import History, Listener, TensorBoardScalars
    from ssl_keras.experiment.fitting import build_geometry_log
    from ssl_keras.experiment.looping import batches

    class Timed(Listener):
        """Passes everything on, and adds up how long that takes."""

        def __init__(self, others: list[Any]):
            self.others, self.seconds = others, 0.0

        def on_start(self, first_step: int, total_steps: int) -> None:
            for other in self.others:
                other.on_start(first_step, total_steps)

        def on_log(self, step: int, values: Any) -> None:
            start = time.perf_counter()
            for other in self.others:
                other.on_log(step, values)
            self.seconds += time.perf_counter() - start

    built = trainer(loss="uniform_prior", epochs=100, steps=None, measure_images=128).built  # type: ignore[attr-defined]
    steps, shares = 12 * built.steps_per_epoch, []
    with tempfile.TemporaryDirectory() as directory:
        board = TensorBoardScalars(Path(directory), built.schedules, built.levels, 250)
        geometry = build_geometry_log(built, board)
        assert geometry is not None
        geometry.measure(0)  # compiles
        for _ in range(repeats):
            geometry.next = 0
            timed = Timed([History(), geometry, board])
            start = time.perf_counter()
            training.train(
                built.model,
                batches(built, 0),
                total_steps=steps,
                log_every=built.steps_per_epoch,
                listeners=[timed],
            )
            shares.append(timed.seconds / (time.perf_counter() - start))
    return [
        {
            "what": f"default run, {steps} steps: share of logs, TensorBoard and geometry",
            "share": statistics.median(shares),
            "lowest": min(shares),
            "highest": max(shares),
        }
    ]


def micro_batch(repeats: int) -> list[Row]:
    """A batch in parts against the whole."""
    settings = {"dataset": "plain", "batch_size": 2000}
    whole, parts = trainer(**settings), trainer(**settings, micro_batch=250)
    times = [(whole(1), parts(1)) for _ in range(repeats)]
    peaks = [_peak({**settings, "micro_batch": size}) for size in (None, 250)]
    return [
        {
            "what": "convnet, batch 2000: in parts of 250 / whole",
            "images_per_second": statistics.median(2000 / first for first, _ in times),
            "ratio": statistics.median(first / second for first, second in times),
            "peak_mb": peaks[0],
            "peak_mb_in_parts": peaks[1],
        }
    ]


def _peak(settings: Row) -> int:
    """Peak memory in megabytes of a few steps, in a process of its own."""
    command = [sys.executable, "-m", "tools.benchmark", f"--peak_of={json.dumps(settings)}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.strip().splitlines()[-1])


BENCHMARKS: dict[str, Callable[[int], list[Row]]] = {
    "checkpoint": checkpoint,
    "devices": devices,
    "logging": logging,
    "micro_batch": micro_batch,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    parser = build_parser("benchmark", __doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(BENCHMARKS)}; all")
    parser.add_argument("--repeats", type=int, default=7, help="repetitions (7)")
    parser.add_argument("--output", type=Path, help="JSON file; what it holds of others is kept")
    parser.add_argument("--peak_of", help="used by itself, to measure memory")
    given = parser.parse_args(arguments)

    def body() -> None:
        for name in given.names:
            if name not in BENCHMARKS:
                raise unknown_name("benchmark", name, BENCHMARKS)
        if given.repeats < 1:
            raise UserError(f"repeats is {given.repeats}: give at least 1.")
        if given.peak_of is not None:
            startup.start_tensorflow()
            trainer(**{k: v for k, v in json.loads(given.peak_of).items() if v is not None})
            print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
            return
        startup.start_tensorflow("mirrored", 2)
        from ssl_keras import environment

        found = {name: BENCHMARKS[name](given.repeats) for name in given.names or BENCHMARKS}
        for name, rows in found.items():
            for row in rows:
                numbers = ", ".join(
                    f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
                    for key, value in row.items()
                    if key != "what"
                )
                print(f"{name}: {row['what']}: {numbers}")
        if given.output is not None:
            about = {"hardware": environment.hardware(), "versions": environment.versions()}
            before = json.loads(given.output.read_text()) if given.output.exists() else {}
            for name, rows in found.items():
                before[name] = {"rows": rows, "repeats": given.repeats, **about}
            given.output.write_text(json.dumps(before, indent=2) + "\n")
            print(f"Written: {given.output}")

    return startup.guarded("tools.benchmark", body, lambda: False)


if __name__ == "__main__":
    sys.exit(main())
