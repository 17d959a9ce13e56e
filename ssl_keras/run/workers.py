"""Several processes that train one model: worker 0, the chief, evaluates and writes."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ssl_keras.config import Config
from ssl_keras.errors import UserError
from ssl_keras.lazy import tf
from ssl_keras.run import devices
from ssl_keras.run.callbacks import NonFiniteGuard
from ssl_keras.run.devices import Engine
from ssl_keras.run.interruption import Interruption
from ssl_keras.run.loop import train_setup
from ssl_keras.run.setup import build

# Errors of an exchange between workers when one of them has stopped.
_LOST = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
    tf.errors.InternalError,
    tf.errors.UnavailableError,
)


def follow(config: Config, engine: Engine) -> dict[str, Any]:
    """Train together with the chief, which evaluates and writes.

    Only the chief reacts to Ctrl-C and SIGTERM: it saves the state and stops. A second signal ends
    this process.

    Returns:
        {}.

    Raises:
        UserError: the configuration is not that of the chief, or the chief has stopped.
    """
    addresses, index = devices.worker()
    number = len(addresses)
    setup = build(config, engine=engine)
    print(f"Worker {index} of {number}: follows worker 0, which writes the results.", flush=True)
    with lost_workers_as_errors(engine):
        with Interruption():
            first_step = start(engine, setup.model, setup.config, 0)
            guard = NonFiniteGuard(setup.model.non_finite_step, lambda _: "See worker 0.")
            train_setup(setup, [guard], first_step)
        # The barrier waits inside TensorFlow, where Python does not handle signals.
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signal_number, signal.SIG_DFL)
        _barrier(engine)
    print(f"Worker {index} of {number}: done.", flush=True)
    return {}


def start(engine: Engine, model: Any, config: Config, first_step: int) -> int:
    """Give all workers the variables and the first step of the chief.

    Args:
        engine: the engine of the model.
        model: the compiled model.
        config: the configuration, which must be the same for all workers.
        first_step: the chief's first step; that of other workers is ignored.

    Returns:
        The chief's first step.

    Raises:
        UserError: the configuration is not that of the chief.
    """
    if engine.kind != "multi_worker":
        return first_step
    digest = int(config.digest(), 16)
    with lost_workers_as_errors(engine):
        message = tf.constant([digest, first_step], tf.int64)
        chief_digest, first_step = _from_chief(engine, [message])[0]
        if digest != chief_digest:
            raise UserError(
                "The flags of this worker are not those of worker 0: give all workers the same "
                "command."
            )
        variables = [v for group in model.state_groups.values() for v in group]
        for variable, value in zip(variables, _from_chief(engine, variables), strict=True):
            variable.assign(value)
    return int(first_step)


def dismiss(engine: Engine) -> None:
    """End the other workers after the chief has written everything."""
    if engine.kind == "multi_worker":
        try:
            _barrier(engine)
        except _LOST:
            print("Note: another worker has stopped before the end.", file=sys.stderr, flush=True)


def _barrier(engine: Engine) -> None:
    """Return when all workers have called this."""
    _from_chief(engine, [tf.zeros([1], tf.int64)])


@contextmanager
def lost_workers_as_errors(engine: Engine) -> Iterator[None]:
    """Context in which the loss of a worker raises a `UserError`.

    Raises:
        UserError: another worker has stopped.
    """
    try:
        yield
    except _LOST as error:
        if engine.kind != "multi_worker":
            raise
        raise UserError(
            f"Another worker has stopped, or cannot be reached any more ({type(error).__name__}): "
            "run the same command on all workers again, and training resumes from the last "
            "checkpoint."
        ) from error


def _from_chief(engine: Engine, values: Sequence[Any]) -> list[Any]:
    """The chief's values of variables or tensors, the same on all workers, bit for bit."""
    kinds = [(np.dtype(tf.as_dtype(value.dtype).as_numpy_dtype), value.shape) for value in values]

    def exchange() -> Any:
        context = tf.distribute.get_replica_context()
        # As integers: their sum with zeros is exact for any type of values.
        parts = [tf.bitcast(tf.convert_to_tensor(value), tf.int32) for value in values]
        bits = tf.concat([tf.reshape(part, [-1]) for part in parts], axis=0)
        is_chief = context.replica_id_in_sync_group == 0
        return context.all_reduce("SUM", tf.where(is_chief, bits, tf.zeros_like(bits)))

    run = tf.autograph.experimental.do_not_convert(lambda: engine.strategy.run(exchange))
    bits = engine.strategy.experimental_local_results(tf.function(run)())[0].numpy()
    results, first = [], 0
    for kind, shape in kinds:
        size = int(np.prod(shape)) * kind.itemsize // bits.itemsize
        results.append(bits[first : first + size].view(kind).reshape(shape))
        first += size
    return results
