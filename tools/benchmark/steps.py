"""A training step against the bare one, and the loss in tiles against whole matrices."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from ssl_keras.reproduce.studies.base import flagfile_settings
from tools.benchmark.measuring import PHOTOS, Row, peak_so_far, trainer


def step(repeats: int) -> list[Row]:
    """The training step of the package against forward, backward and update alone on one batch.

    With bits there are two of the latter: on composed images, as in most programs, and on bits as
    numbers, as in the package.
    """
    rows = []
    for what, steps, settings in (
        ("default run", 20, {"loss": "uniform_prior"}),
        ("RandBit protocol, 10 bits", 5, {**flagfile_settings("randbit"), "num_bits": 10}),
        ("ResNet-18 at 32 px", 1, {**PHOTOS, "encoder": "resnet18", "batch_size": 128}),
    ):
        for precision in ("off", "bfloat16"):
            changed = {**settings, "mixed_precision": precision}
            train = trainer(**changed)
            config = train.setup.config  # type: ignore[attr-defined]
            sides = {"": _bare(changed, composed=True)}
            if getattr(config.builder, "num_bits", 0):
                sides["_of_bits_as_numbers"] = _bare(changed, composed=False)
            times = [
                (train(steps), {side: bare(steps) for side, bare in sides.items()})
                for _ in range(repeats)
            ]
            images = steps * config.optimization.batch_size
            row: Row = {
                "what": f"{what}, {'float32' if precision == 'off' else precision}",
                "images_per_second": statistics.median(images / took for took, _ in times),
            }
            for side in sides:
                pairs = [(took, others[side]) for took, others in times]
                row[f"bare_images_per_second{side}"] = statistics.median(
                    images / b for _, b in pairs
                )
                row[f"efficiency{side}"] = statistics.median(b / took for took, b in pairs)
            rows.append(row)
    return rows


def _bare(settings: Row, composed: bool) -> Callable[[int], float]:
    """A function that repeats forward, backward and update on one batch of views, which the
    encoder takes composed, or as the package does."""
    import tensorflow as tf

    from ssl_keras.run.loop import batches

    setup = trainer(**settings).setup  # type: ignore[attr-defined]
    model, modality = setup.model, setup.data.modality
    views, _ = model.augmenter.two_views(next(iter(batches(setup, 0))), tf.constant(0, tf.int64))
    inputs = modality.compose(views) if composed else views
    encode = model.encoder if composed else model.encode
    learned = model.learned_variables

    @tf.function(autograph=False)
    def update() -> Any:
        with tf.GradientTape() as tape:
            outputs = model.outputs(encode(inputs, training=True))
            value = tf.reduce_mean(tf.square(outputs))
        model.optimizer.apply(tape.gradient(value, learned), learned)
        return value

    def run(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            value = update()
        float(value)
        return time.perf_counter() - start

    run(3)
    return run


def loss(repeats: int) -> list[Row]:
    """The tiled NT-Xent against the dense one, forward and backward, and its memory."""
    import numpy as np
    import tensorflow as tf

    from ssl_keras import losses

    rows: list[Row] = []
    nt_xent = losses.get("nt_xent")
    for views, dim, steps in ((500, 64, 40), (2000, 64, 10), (8192, 128, 1)):
        drawn = [np.random.default_rng(s).normal(size=(views // 2, dim)) for s in (0, 1)]
        projections = [tf.constant(z, tf.float32) for z in drawn]

        def timed(
            implementation: str, steps: int = steps, projections: list[Any] = projections
        ) -> Callable[[], float]:
            @tf.function(autograph=False)
            def function(a: Any, b: Any) -> Any:
                with tf.GradientTape() as tape:
                    tape.watch([a, b])
                    value = nt_xent(a, b, implementation=implementation)
                return tape.gradient(value, [a, b])

            def run() -> float:
                start = time.perf_counter()
                for _ in range(steps):
                    gradients = function(*projections)
                gradients[0].numpy()
                return (time.perf_counter() - start) / steps

            run()
            return run

        dense, tiled = timed("dense"), timed("tiled")
        times = [(dense(), tiled()) for _ in range(repeats)]
        rows.append(
            {
                "what": f"{views} views of dimension {dim}: time in tiles / of whole matrices",
                "seconds": statistics.median(t for _, t in times),
                "ratio": statistics.median(t / d for d, t in times),
            }
        )
    for views in (8192, 32768, 131072):
        command = [sys.executable, "-m", "tools.benchmark", f"--loss_memory={views}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, megabytes = done.stdout.split()[-2:]
        rows.append(
            {
                "what": f"{views} views of dimension 128 in tiles",
                "seconds": float(seconds),
                "peak_mb_above_inputs": int(megabytes),
            }
        )
    return rows


def loss_memory(views: int) -> tuple[float, int]:
    """(seconds, megabytes above the inputs) of value and gradient, in this process."""
    import numpy as np
    import tensorflow as tf

    from ssl_keras import losses

    nt_xent = losses.get("nt_xent")

    @tf.function(autograph=False)
    def function(a: Any, b: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            value = nt_xent(a, b, implementation="tiled")
        return tape.gradient(value, [a, b])

    drawn = [np.random.default_rng(s).normal(size=(views // 2, 128)) for s in (0, 1)]
    projections = [tf.constant(z, tf.float32) for z in drawn]
    function(projections[0][:64], projections[1][:64])
    before = peak_so_far(anew=True)
    start = time.perf_counter()
    function(*projections)[0].numpy()
    seconds = time.perf_counter() - start
    return seconds, peak_so_far() - before
