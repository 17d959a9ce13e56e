"""Listeners of a training run: progress, TensorBoard, the guard against non-finite losses.

A listener implements any of `on_start(first_step, total_steps)`, `on_steps(step)` after each call
of the runtime, `on_log(step, values)` when the metrics have been read, and `on_end()`.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ssl_keras.errors import UserError
from ssl_keras.lazy import tf


class Listener:
    """Does nothing at every event; the listeners below override what they need."""

    def on_start(self, first_step: int, total_steps: int) -> None:
        """Training starts; `first_step` steps of `total_steps` have been done."""

    def on_steps(self, step: int) -> None:
        """`step` steps have been done."""

    def on_log(self, step: int, values: Mapping[str, float]) -> None:
        """`values` are the means of the metrics over the steps since the last log."""

    def on_input_wait(self, share: float) -> None:
        """`share` of the time since the start was spent waiting for input; told before a log."""

    def on_end(self) -> None:
        """Training is over, whether it was completed or not."""


class Progress(Listener):
    """A progress bar with rate, time left and the numbers that matter.

    Where the output is not a terminal, a line at each tenth of the training instead.

    Args:
        batch_size: images in a step.
        shown: metric name -> the short name it is shown by.
    """

    def __init__(self, batch_size: int, shown: Mapping[str, str]):
        self.batch_size = batch_size
        self.shown = shown
        self.bar: Any = None

    def on_start(self, first_step: int, total_steps: int) -> None:
        from tqdm import tqdm

        self.first, self.total, self.start = first_step, total_steps, time.perf_counter()
        self.next_line = 0.1
        if sys.stderr.isatty():
            self.bar = tqdm(total=total_steps, initial=first_step, unit="step", dynamic_ncols=True)

    def on_steps(self, step: int) -> None:
        if self.bar is not None:
            self.bar.update(step - self.bar.n)

    def on_log(self, step: int, values: Mapping[str, float]) -> None:
        numbers = {name: f"{values[key]:.3f}" for key, name in self.shown.items() if key in values}
        elapsed = max(time.perf_counter() - self.start, 1e-9)
        images = (step - self.first) * self.batch_size / elapsed
        if self.bar is not None:
            self.bar.set_postfix({"images/s": f"{images:.0f}", **numbers}, refresh=False)
        elif step / self.total >= self.next_line:
            self.next_line = math.floor(10 * step / self.total + 1) / 10
            left = elapsed / max(step - self.first, 1) * (self.total - step)
            text = "  ".join(f"{name} {value}" for name, value in numbers.items())
            print(
                f"  step {step:>6}/{self.total}  {images:6.0f} images/s  "
                f"{left:4.0f} s left  {text}",
                flush=True,
            )

    def on_end(self) -> None:
        if self.bar is not None:
            self.bar.close()


class TensorBoardScalars(Listener):
    """Writes the metrics and what is scheduled as scalars; x is the optimizer step.

    Args:
        directory: where the event file goes.
        schedules: name -> function from the step to a value, such as the learning rate.
    """

    def __init__(self, directory: Path, schedules: Mapping[str, Callable[[int], Any]]):
        self.writer = tf.summary.create_file_writer(str(directory))
        self.schedules = dict(schedules)
        self.last = (0, 0.0)
        self.input_wait: float | None = None

    def on_start(self, first_step: int, total_steps: int) -> None:
        self.last = (first_step, time.perf_counter())

    def on_log(self, step: int, values: Mapping[str, float]) -> None:
        now = time.perf_counter()
        rate = (step - self.last[0]) / max(now - self.last[1], 1e-9)
        self.last = (step, now)
        with self.writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(f"train/{name}", value)
            for name, schedule in self.schedules.items():
                tf.summary.scalar(f"optimization/{name}", schedule(step))
            tf.summary.scalar("speed/steps_per_second", rate)
            if self.input_wait is not None:
                tf.summary.scalar("speed/input_wait", self.input_wait)

    def on_input_wait(self, share: float) -> None:
        self.input_wait = share

    def image(self, tag: str, picture: Any, step: int) -> None:
        """Write a picture (height, width, 3) in [0, 1]."""
        with self.writer.as_default(step=step):
            tf.summary.image(tag, picture[None])

    def text(self, tag: str, text: str, step: int) -> None:
        """Write Markdown."""
        with self.writer.as_default(step=step):
            tf.summary.text(tag, text)

    def histogram(self, tag: str, values: Any, step: int) -> None:
        """Write the distribution of `values`, an array of any shape."""
        with self.writer.as_default(step=step):
            tf.summary.histogram(tag, values)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write `values` under their own names."""
        with self.writer.as_default(step=step):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def on_end(self) -> None:
        self.writer.flush()


class NonFiniteGuard(Listener):
    """Stops the run at the first log in which the loss is not a finite number.

    Args:
        advice: what the user may change, ends the message.
    """

    def __init__(self, advice: str):
        self.advice = advice

    def on_log(self, step: int, values: Mapping[str, float]) -> None:
        if not math.isfinite(values["loss"]):
            raise UserError(
                f"The loss is {values['loss']} in the steps up to {step}: training was stopped. "
                f"{self.advice}"
            )


class History(Listener):
    """Keeps the values of every log: `records` is a list of {"step", metric names}."""

    def __init__(self) -> None:
        self.records: list[dict[str, float]] = []

    def on_log(self, step: int, values: Mapping[str, float]) -> None:
        self.records.append({"step": step, **values})
