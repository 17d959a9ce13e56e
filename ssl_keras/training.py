"""The training loop: the compiled step of a Keras model, driven step by step.

`model.fit` works too. This loop exists because it counts in steps, not epochs, can start at any
step, and reads the metrics only when they are logged, so that the device never waits for Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ssl_keras.callbacks import Listener


def train(
    model: Any,
    batches: Any,
    *,
    total_steps: int,
    first_step: int = 0,
    steps_per_execution: int = 1,
    log_every: int,
    listeners: Sequence[Listener] = (),
) -> None:
    """Run the steps [first_step, total_steps) of a compiled model.

    Args:
        model: a compiled `keras.Model` with its own `train_step`.
        batches: `tf.data.Dataset` with one batch for each of those steps.
        total_steps: the step to stop at.
        first_step: steps done before.
        steps_per_execution: the value that the model was compiled with.
        log_every: steps between logs; the last step is always logged.
        listeners: told of everything, in order.
    """
    model.make_train_function()
    iterator = iter(batches)
    step, next_log = first_step, first_step + log_every
    model.reset_metrics()
    for listener in listeners:
        listener.on_start(first_step, total_steps)
    try:
        while step < total_steps:
            logs = model.train_function(iterator)
            step = min(step + steps_per_execution, total_steps)
            for listener in listeners:
                listener.on_steps(step)
            if step >= next_log or step == total_steps:
                values = {name: float(value) for name, value in logs.items()}
                model.reset_metrics()
                next_log += log_every
                for listener in listeners:
                    listener.on_log(step, values)
    finally:
        for listener in listeners:
            listener.on_end()
