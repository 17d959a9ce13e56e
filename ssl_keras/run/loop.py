"""The training loop: runs the compiled training step of a Keras model.

`model.fit` works too. This loop counts steps instead of epochs, can start at any step, and reads
the metrics only at logs, so that the device never waits for Python.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ssl_keras.run.callbacks import Listener
from ssl_keras.run.setup import TrainingSetup


def train_setup(
    setup: TrainingSetup, listeners: Sequence[Listener], first_step: int
) -> float | None:
    """Train a setup from `first_step` to the end.

    Returns:
        The share of time spent waiting for input, see `train`.
    """
    config = setup.config
    return train(
        setup.model,
        batches(setup, first_step),
        total_steps=setup.total_steps,
        first_step=first_step,
        steps_per_execution=config.engine.steps_per_execution,
        log_every=config.run.log_every or setup.steps_per_epoch,
        listeners=listeners,
    )


def batches(setup: TrainingSetup, first_step: int) -> Any:
    """The batches from step `first_step`; each device gets its share of every batch."""
    config, engine = setup.config, setup.engine
    split, size, seed = setup.train, config.optimization.batch_size, config.run.seed

    def shares(numbers: range, num_steps: int | None) -> Any:
        return split.training_batches(
            size,
            seed=seed,
            num_steps=num_steps,
            start_step=first_step,
            shares=numbers,
            num_shares=engine.replicas,
        )

    if engine.strategy is None:
        return shares(range(1), setup.total_steps)

    def worker_shares(context: Any) -> Any:
        count = engine.replicas // context.num_input_pipelines
        first = count * context.input_pipeline_id
        # Endless: for a finite range workers would have to agree at every step that it goes on.
        return shares(range(first, first + count), None)

    return engine.strategy.distribute_datasets_from_function(worker_shares)


class TimedIterator:
    """Batches, and the seconds spent waiting for them."""

    def __init__(self, batches: Any):
        self.iterator = iter(batches)
        self.seconds = 0.0

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        start = time.perf_counter()
        batch = next(self.iterator)
        self.seconds += time.perf_counter() - start
        return batch


def _values(logs: Mapping[str, Any]) -> dict[str, float]:
    """The metrics that a training step has returned, read from the device."""
    return {name: float(np.mean(value)) for name, value in logs.items()}


def train(
    model: Any,
    batches: Any,
    *,
    total_steps: int,
    first_step: int = 0,
    steps_per_execution: int = 1,
    log_every: int,
    listeners: Sequence[Listener] = (),
) -> float | None:
    """Run the steps [first_step, total_steps) of a compiled model.

    Args:
        model: a compiled `keras.Model` with its own `train_step`.
        batches: `tf.data.Dataset` with one batch for each of those steps.
        total_steps: the step to stop at.
        first_step: number of steps done before; the model has the metrics since the last log.
        steps_per_execution: the value that the model was compiled with.
        log_every: steps between logs; the last step is always logged.
        listeners: called at every event, in order.

    Returns:
        The share of time spent waiting for input, without the first step (which compiles); None if
        several steps run in one call, and for a single step.
    """
    model.make_train_function()
    # With one step per call, batches are fetched here and the wait is measured.
    timer = TimedIterator(batches) if steps_per_execution == 1 else None
    iterator = iter(batches) if timer is None else timer
    # Logs are at multiples of `log_every`, whatever the first step.
    step, next_log = first_step, (first_step // log_every + 1) * log_every
    start, share = 0.0, None
    if first_step == 0:
        model.reset_metrics()
    for listener in listeners:
        listener.on_start(first_step, total_steps)
    try:
        while step < total_steps:
            logs = model.train_function(iterator)
            if timer is not None and step == first_step:
                start, timer.seconds = time.perf_counter(), 0.0
            step = min(step + steps_per_execution, total_steps)
            read = functools.cache(functools.partial(_values, logs))
            for listener in listeners:
                listener.on_steps(step)
                listener.on_metrics(step, read)
            if step >= next_log or step == total_steps:
                values = read()
                model.reset_metrics()
                next_log = (step // log_every + 1) * log_every
                if timer is not None and step > first_step + 1:
                    share = timer.seconds / (time.perf_counter() - start)
                for listener in listeners:
                    if share is not None:
                        listener.on_input_wait(share)
                    listener.on_log(step, values)
            for listener in listeners:
                listener.on_done(step)
    finally:
        for listener in listeners:
            listener.on_end()
    return share
