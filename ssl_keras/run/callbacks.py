"""Listeners of the training loop: progress, TensorBoard, checkpoints, the guard against NaN."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_keras import files
from ssl_keras.errors import Interrupted, UserError
from ssl_keras.lazy import keras, tf
from ssl_keras.run import environment


class Listener:
    """Base class of listeners: every event does nothing."""

    def on_start(self, first_step: int, total_steps: int) -> None:
        """Training starts after `first_step` of `total_steps` steps."""

    def on_steps(self, step: int) -> None:
        """`step` steps are done; after each call of the runtime."""

    def on_metrics(self, step: int, read: Callable[[], Mapping[str, float]]) -> None:
        """After `on_steps`. `read` gives the means of the metrics over the steps since the last
        log; it waits for the device."""

    def on_log(self, step: int, values: Mapping[str, float]) -> None:
        """`values` are the means of the metrics over the steps since the last log."""

    def on_input_wait(self, share: float) -> None:
        """`share` of the time since the start was spent waiting for input; called before a log."""

    def on_done(self, step: int) -> None:
        """All listeners have handled `step` and its log."""

    def on_end(self) -> None:
        """Training has ended, completed or not."""

    def state(self) -> dict[str, Any]:
        """The state that another process needs to resume, as JSON."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Resume from a `state` of an earlier process; called before `on_start`."""


class Progress(Listener):
    """A progress bar with rate, time left and as many metrics as the terminal has room for.

    If the output is no terminal, or one of unknown width, a line at each tenth of the training
    instead.

    Args:
        batch_size: examples in a step.
        shown: metric name -> its short name, the most important first.
        kind: what the examples are, such as "images".
    """

    # Columns of the bar, the step, the rate and the time left.
    BAR = 56

    def __init__(self, batch_size: int, shown: Mapping[str, str], kind: str = "examples"):
        self.batch_size = batch_size
        self.shown = shown
        self.kind = kind
        self.bar: Any = None

    def on_start(self, first_step: int, total_steps: int) -> None:
        from tqdm import tqdm

        self.first, self.total, self.start = first_step, total_steps, time.perf_counter()
        self.next_line = 0.1
        if _columns():
            self.bar = tqdm(total=total_steps, initial=first_step, unit="step", dynamic_ncols=True)

    def on_steps(self, step: int) -> None:
        if self.bar is not None:
            self.bar.update(step - self.bar.n)

    def on_log(self, step: int, values: Mapping[str, float]) -> None:
        numbers = {name: f"{values[key]:.3f}" for key, name in self.shown.items() if key in values}
        elapsed = max(time.perf_counter() - self.start, 1e-9)
        rate = (step - self.first) * self.batch_size / elapsed
        if self.bar is not None:
            parts = [f"{name}={value}" for name, value in numbers.items()]
            parts.insert(2, f"{self.kind}/s={rate:.0f}")
            room = _columns() - self.BAR
            while parts and len(", ".join(parts)) > room:
                parts.pop()
            self.bar.set_postfix_str(", ".join(parts), refresh=False)
        elif step / self.total >= self.next_line:
            self.next_line = math.floor(10 * step / self.total + 1) / 10
            left = elapsed / max(step - self.first, 1) * (self.total - step)
            text = "  ".join(f"{name} {value}" for name, value in numbers.items())
            print(
                f"  step {step:>6}/{self.total}  {rate:6.0f} {self.kind}/s  {left:4.0f} s left  "
                f"{text}",
                flush=True,
            )

    def on_end(self) -> None:
        if self.bar is not None:
            self.bar.close()


def tag(metric: str) -> str:
    """A metric's tag in TensorBoard: "accuracy/TARGET/PROBE", so that accuracies come first of all,
    or "train/METRIC"."""
    probe, _, rest = metric.partition("/")
    target = rest.removesuffix("/accuracy")
    return f"accuracy/{target}/{probe}" if rest != target else f"train/{metric}"


def _columns() -> int:
    """The width of the terminal behind the standard error; 0 if there is none, or none is known."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns if sys.stderr.isatty() else 0
    except (OSError, ValueError):
        return 0


class JsonLines(Listener):
    """Prints every log as a line of JSON: {"step", "images_per_second", metric names}.

    Args:
        batch_size: examples in a step.
    """

    def __init__(self, batch_size: int):
        self.batch_size = batch_size

    def on_start(self, first_step: int, total_steps: int) -> None:
        self.last = (first_step, time.perf_counter())

    def on_log(self, step: int, values: Mapping[str, float]) -> None:
        now = time.perf_counter()
        rate = (step - self.last[0]) * self.batch_size / max(now - self.last[1], 1e-9)
        self.last = (step, now)
        finite = {name: v if math.isfinite(v) else None for name, v in values.items()}
        line = json.dumps({"step": step, "images_per_second": round(rate, 1), **finite})
        print(line, flush=True)


class TensorBoardScalars(Listener):
    """Writes metrics, schedules and chance levels as scalars; x is the optimizer step.

    Chance levels have the tags of their metrics, in a run `chance` inside the directory:
    TensorBoard draws them into the same charts, as lines of their own.

    Args:
        directory: directory of the event file.
        schedules: name -> function from the step to a value, such as the learning rate.
        chance_levels: name -> function from the step to the chance level.
        batch_size: examples in a step.
        resumed_at: the step after which training resumes; records of later steps, written by an
            earlier process, are removed. None: a new training.
    """

    def __init__(
        self,
        directory: Path,
        schedules: Mapping[str, Callable[[int], Any]] | None = None,
        chance_levels: Mapping[str, Callable[[int], float]] | None = None,
        batch_size: int = 0,
        resumed_at: int | None = None,
    ):
        if resumed_at is not None:
            _remove_after(directory, resumed_at)
            _remove_after(directory / "chance", resumed_at)
        self.writer = tf.summary.create_file_writer(str(directory))
        self.schedules, self.chance_levels = dict(schedules or {}), dict(chance_levels or {})
        self.chance = TensorBoardScalars(directory / "chance") if chance_levels else None
        self.batch_size = batch_size
        self.last = (0, 0.0)
        self.input_wait: float | None = None

    def on_start(self, first_step: int, total_steps: int) -> None:
        self.last = (first_step, time.perf_counter())

    def on_log(self, step: int, values: Mapping[str, float]) -> None:
        now = time.perf_counter()
        rate = (step - self.last[0]) / max(now - self.last[1], 1e-9)
        self.last = (step, now)
        scalars = {tag(name): value for name, value in values.items()}
        scalars |= {f"optimization/{name}": float(s(step)) for name, s in self.schedules.items()}
        scalars |= {
            "speed/steps_per_second": rate,
            "speed/images_per_second": rate * self.batch_size,
        }
        scalars |= {f"speed/{name}": value for name, value in environment.memory().items()}
        if self.input_wait is not None:
            scalars["speed/input_wait"] = self.input_wait
        self.scalars(scalars, step)
        if self.chance is not None:
            levels = {
                tag(key): level(step)
                for name, level in self.chance_levels.items()
                for key in values
                if key == name or key.endswith(f"/{name}/accuracy")
            }
            self.chance.scalars(levels, step)

    def on_input_wait(self, share: float) -> None:
        self.input_wait = share

    def image(self, tag: str, picture: Any, step: int) -> None:
        """Write a picture (height, width, 3) in [0, 1]."""
        with self.writer.as_default(step=step):
            tf.summary.image(tag, picture[None])

    def summary(self, content: bytes, step: int) -> None:
        """Write a summary of a plugin of TensorBoard."""
        with self.writer.as_default(step=step):
            tf.summary.experimental.write_raw_pb(content)

    def text(self, tag: str, text: str, step: int) -> None:
        """Write Markdown."""
        with self.writer.as_default(step=step):
            tf.summary.text(tag, text)

    def histogram(self, tag: str, values: Any, step: int) -> None:
        """Write the distribution of `values`, an array of any shape."""
        with self.writer.as_default(step=step):
            tf.summary.histogram(tag, values)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write scalars by name, as one summary: one by one they take ten times as long."""
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        parts = [scalar_pb(name, value) for name, value in values.items()]
        for part in parts[1:]:
            parts[0].value.extend(part.value)
        if parts:
            self.summary(parts[0].SerializeToString(), step)

    def on_end(self) -> None:
        self.writer.flush()
        if self.chance is not None:
            self.chance.on_end()


class Profiler(Listener):
    """Profiles some steps with TensorFlow's profiler, for TensorBoard.

    Args:
        directory: parent of `plugins/profile/`.
        steps: number of steps to profile.
        warmup: number of steps before them, in which TensorFlow compiles and allocates; fewer in a
            short training.
    """

    def __init__(self, directory: Path, steps: int, warmup: int = 10):
        self.directory, self.steps, self.warmup = directory, steps, warmup
        self.running = False

    def on_start(self, first_step: int, total_steps: int) -> None:
        spare = max(0, total_steps - first_step - self.steps)
        self.begin = first_step + min(self.warmup, spare)
        self.end = self.begin + self.steps
        self.on_steps(first_step)

    def on_steps(self, step: int) -> None:
        if self.running and step >= self.end:
            self.on_end()
        elif not self.running and self.begin <= step < self.end:
            tf.profiler.experimental.start(str(self.directory))
            self.running = True

    def on_end(self) -> None:
        if self.running:
            tf.profiler.experimental.stop()
            self.running = False


def _remove_after(directory: Path, step: int) -> None:
    """Remove records of steps after `step` from event files, and what follows a damaged one."""
    from google.protobuf.message import DecodeError

    for path in sorted(directory.glob("events.out.tfevents.*")):
        with (
            files.whole_file(path) as temporary,
            tf.io.TFRecordWriter(str(temporary)) as writer,
            contextlib.suppress(tf.errors.DataLossError, DecodeError),
        ):
            for record in tf.data.TFRecordDataset(str(path)):
                content = record.numpy()
                if tf.compat.v1.Event.FromString(content).step <= step:
                    writer.write(content)


class NonFiniteGuard(Listener):
    """Stops the run when the loss is not a finite number.

    Args:
        first_step: a variable with the first step whose loss was not finite, or -1.
        report: function from that step to the end of the message.
    """

    def __init__(self, first_step: Any, report: Callable[[int], str]):
        self.first_step, self.report = first_step, report

    def check(self) -> None:
        """Stop if the loss was not finite.

        Raises:
            UserError: it was not.
        """
        step = int(self.first_step.numpy())
        if step >= 0:
            raise UserError(
                f"The loss was not a finite number in step {step}: training was stopped. "
                f"{self.report(step)}"
            )

    def on_log(self, step: int, values: Mapping[str, float]) -> None:
        self.check()


class History(Listener):
    """Keeps the values of every log: `records` is a list of {"step", metric names}."""

    def __init__(self) -> None:
        self.records: list[dict[str, float]] = []

    def on_log(self, step: int, values: Mapping[str, float]) -> None:
        self.records.append({"step": step, **values})

    def state(self) -> dict[str, Any]:
        return {"records": self.records}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.records = list(state["records"])


class KerasCallbacks(Listener):
    """Calls Keras callbacks as `fit` does. Their epoch is the interval between two logs.

    They get `on_train_begin`, `on_epoch_begin`, `on_train_batch_begin`, `on_train_batch_end`,
    `on_epoch_end` and `on_train_end`. As in `fit`, `logs` has the means of the metrics over the
    epoch up to now, by their names; epochs and batches are counted from 0, and after a training
    that fails or is interrupted `on_train_end` is not called.

    Args:
        model: the model of the callbacks.
        callbacks: `keras.callbacks.Callback`s.
        log_every: steps between logs.
    """

    def __init__(self, model: Any, callbacks: Sequence[Any], log_every: int):
        self.model, self.callbacks, self.log_every = model, callbacks, log_every
        # Metrics are read at each step only for a callback that asks for them.
        self.reads = not all(
            getattr(getattr(callback, name), "_is_default", False)
            for callback in callbacks
            for name in ("on_batch_end", "on_train_batch_end")
        )

    def on_start(self, first_step: int, total_steps: int) -> None:
        self.total = total_steps
        self.list = keras.callbacks.CallbackList(
            list(self.callbacks),
            model=self.model,
            epochs=-(-total_steps // self.log_every),
            steps=self.log_every,
            verbose=0,
        )
        self.model.stop_training = False
        self.list.on_train_begin()
        self._begin_epoch(first_step)

    def _begin_epoch(self, step: int) -> None:
        """Begin an epoch after `step` steps, and its first batch."""
        self.epoch, self.ended = step // self.log_every, False
        self.list.on_epoch_begin(self.epoch)
        self.list.on_train_batch_begin(step % self.log_every)

    def on_metrics(self, step: int, read: Callable[[], Mapping[str, float]]) -> None:
        batch = (step - 1) % self.log_every
        self.list.on_train_batch_end(batch, dict(read()) if self.reads else None)
        self._check()

    def on_log(self, step: int, values: Mapping[str, float]) -> None:
        self.list.on_epoch_end(self.epoch, dict(values))
        self.ended = True
        self._check()
        if step == self.total:
            self.list.on_train_end(dict(values))

    def on_done(self, step: int) -> None:
        if step == self.total:
            return
        if self.ended:
            self._begin_epoch(step)
        else:
            self.list.on_train_batch_begin(step % self.log_every)

    def _check(self) -> None:
        """Refuse a callback that stops the training.

        Raises:
            UserError: one has set `stop_training`.
        """
        if self.model.stop_training:
            raise UserError(
                "A callback has set model.stop_training, but the length of a run is one of its "
                "settings, so that its directory repeats it: give fewer --steps. The same "
                "configuration resumes from the last checkpoint."
            )


def check_callbacks(callbacks: Sequence[Any]) -> None:
    """Check that all are Keras callbacks.

    Raises:
        UserError: one is something else.
    """
    for callback in callbacks:
        if not isinstance(callback, keras.callbacks.Callback):
            raise UserError(
                "callbacks must be a list of keras.callbacks.Callback objects, and "
                f"{type(callback).__name__} is none."
            )


class Saver(Listener):
    """Saves the state of the training periodically, at its end, and before an interruption.

    Args:
        save: saves the state after a step.
        every: maximum number of steps between checkpoints, or None.
        minutes: maximum number of minutes between checkpoints.
        stop: whether the user has requested to stop; then the state is saved and training ends.
    """

    def __init__(
        self,
        save: Callable[[int], None],
        every: int | None,
        minutes: float,
        stop: Callable[[], bool],
    ):
        self.save, self.every, self.minutes, self.stop = save, every, minutes, stop

    def on_start(self, first_step: int, total_steps: int) -> None:
        self.saved, self.total, self.time = first_step, total_steps, time.monotonic()

    def on_done(self, step: int) -> None:
        stopped = self.stop()
        due = time.monotonic() - self.time >= 60 * self.minutes
        if self.every is not None:
            due = due or step // self.every > self.saved // self.every
        if step > self.saved and (due or stopped or step == self.total):
            self.save(step)
            self.saved, self.time = step, time.monotonic()
        if stopped and step < self.total:
            raise Interrupted(f" after step {step} of {self.total}")
