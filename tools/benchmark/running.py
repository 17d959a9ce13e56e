"""What surrounds the steps: checkpoints, devices, logs, a batch in parts, the start."""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tools.benchmark.measuring import Row, peak, trainer


def checkpoint(repeats: int) -> list[Row]:
    """Seconds of one checkpoint, and their share of a minute."""
    from ssl_keras.run.checkpoints import Checkpoints

    rows = []
    for encoder, batch in (("convnet", 250), ("resnet18", 16)):
        train = trainer(encoder=encoder, batch_size=batch, dataset="plain")
        model = train.setup.model  # type: ignore[attr-defined]
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
    from ssl_keras.run import loop
    from ssl_keras.run.callbacks import History, Listener, TensorBoardScalars
    from ssl_keras.run.geometry import build_geometry_log
    from ssl_keras.run.loop import batches

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

    built = trainer(loss="uniform_prior", epochs=100, steps=None, measure_images=128).setup  # type: ignore[attr-defined]
    steps, shares = 12 * built.steps_per_epoch, []
    with tempfile.TemporaryDirectory() as directory:
        board = TensorBoardScalars(Path(directory), built.schedules, built.chance_levels, 250)
        geometry = build_geometry_log(built, board)
        assert geometry is not None
        geometry.measure(0)  # compiles
        for _ in range(repeats):
            geometry.next = 0
            timed = Timed([History(), geometry, board])
            start = time.perf_counter()
            loop.train(
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


def inputs(repeats: int) -> list[Row]:
    """Images a second of the batches alone."""
    import numpy as np
    from PIL import Image

    from ssl_keras import datasets
    from ssl_keras.datasets.sources import folder
    from ssl_keras.run.loop import batches

    rows = []
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        generator = np.random.default_rng(0)
        for number in range(500):
            # Smooth, so that files are as large as those of photographs (some 30 kB).
            coarse = generator.integers(0, 256, (32, 32, 3), np.uint8)
            image = Image.fromarray(coarse).resize((256, 256), Image.Resampling.BILINEAR)
            image.save(place / f"{number}.jpg", quality=90)
        files = {"dataset": "plain", "source": f"folder:{directory}", "image_size": 224}
        for what, settings in (
            ("digits with 10 bits, in memory", {"num_bits": 10}),
            ("overlay on photographs at 48 px", {"dataset": "overlay", "image_size": 48}),
            ("four digits on 56 px", {"dataset": "multi_digit", "num_digits": 4, "image_size": 56}),
            ("JPEG files of 256 px, scaled to 224, in memory", files),
            ("JPEG files of 256 px, scaled to 224, decoded while training", files),
        ):
            kept = folder.IN_MEMORY_BYTES
            if what.endswith("while training"):
                datasets.IN_MEMORY_BYTES = folder.IN_MEMORY_BYTES = 0
            built = trainer(**settings, batch_size=100, width_multiplier=0.25).setup  # type: ignore[attr-defined]
            iterator, count = iter(batches(built, 0)), 5 if settings is files else 100
            seconds = []
            for _ in range(repeats + 1):
                start = time.perf_counter()
                for _ in range(count):
                    next(iterator)
                seconds.append(time.perf_counter() - start)
            datasets.IN_MEMORY_BYTES = folder.IN_MEMORY_BYTES = kept
            rate = 100 * count / statistics.median(seconds[1:])
            rows.append({"what": what, "images_per_second": rate})
        del built, iterator  # it reads ahead, and the files are about to go
        gc.collect()
    return rows


def micro_batch(repeats: int) -> list[Row]:
    """A batch in parts against the whole."""
    settings = {"dataset": "plain", "batch_size": 2000}
    whole, parts = trainer(**settings), trainer(**settings, micro_batch=250)
    times = [(whole(1), parts(1)) for _ in range(repeats)]
    peaks = [peak({**settings, "micro_batch": size}) for size in (None, 250)]
    return [
        {
            "what": "convnet, batch 2000: in parts of 250 / whole",
            "images_per_second": statistics.median(2000 / first for first, _ in times),
            "ratio": statistics.median(first / second for first, second in times),
            "peak_mb": peaks[0],
            "peak_mb_in_parts": peaks[1],
        }
    ]


def start_up(repeats: int) -> list[Row]:
    """Seconds of --help, and from the command to the end of a single step without evaluation."""
    rows = []
    short = ["--steps=1", "--heads=", "--measure_images=0", "--quiet", "--overwrite"]
    with tempfile.TemporaryDirectory() as directory:
        for what, arguments in (
            ("--help", ["--help"]),
            ("a run of one step, export included", [*short, f"--workdir={directory}/run"]),
        ):
            seconds = []
            for _ in range(repeats):
                start = time.perf_counter()
                command = [sys.executable, "-m", "ssl_keras.train", *arguments]
                subprocess.run(command, capture_output=True, check=True)
                seconds.append(time.perf_counter() - start)
            rows.append({"what": what, "seconds": statistics.median(seconds)})
    return rows
