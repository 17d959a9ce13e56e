"""The training loop of an setup: its batches, divided among the devices that share them."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from ssl_keras.config import Config
from ssl_keras.datasets.examples import untuned
from ssl_keras.errors import UserError
from ssl_keras.run import loop
from ssl_keras.run.setup import TrainingSetup


def train(setup: TrainingSetup, listeners: list[Any], first_step: int) -> float | None:
    """Train from `first_step` to the end.

    Returns:
        The share of the time that was spent waiting for input, see `training.train`.
    """
    config = setup.config
    return loop.train(
        setup.model,
        batches(setup, first_step),
        total_steps=setup.total_steps,
        first_step=first_step,
        steps_per_execution=config.engine.steps_per_execution,
        log_every=config.run.log_every or setup.steps_per_epoch,
        listeners=listeners,
    )


def batches(setup: TrainingSetup, first_step: int) -> Any:
    """The batches of the steps from `first_step` on; each device gets its share of every batch.

    Raises:
        UserError: a data service cannot be reached, or cannot make the batches of this source.
    """
    config, engine = setup.config, setup.engine
    split, size, seed = setup.data.train, config.optimization.batch_size, config.run.seed
    addresses = check_services(config)

    def of(shares: range, num_steps: int | None) -> Any:
        parts = [
            split.training_batches(
                size,
                seed=seed,
                num_steps=num_steps,
                start_step=first_step,
                shares=shares,
                num_shares=engine.replicas,
                every=max(1, len(addresses)),
                offset=number,
            )
            for number in range(max(1, len(addresses)))
        ]
        return served(parts, addresses, setup.data.name) if addresses else parts[0]

    if engine.strategy is None:
        return of(range(1), setup.total_steps)

    def of_worker(context: Any) -> Any:
        own = engine.replicas // context.num_input_pipelines
        first = own * context.input_pipeline_id
        # Without an end: where it is, workers would have to agree on at every step.
        return of(range(first, first + own), None)

    return engine.strategy.distribute_datasets_from_function(of_worker)


def served(parts: Sequence[Any], addresses: Sequence[str], name: str) -> Any:
    """Batches that tf.data services make, in the order in which this process would make them.

    Each service makes every so many-th batch, and they are taken in turn.

    Args:
        parts: what each service is to make.
        addresses: HOST:PORT of each service.
        name: of the data, for messages.

    Raises:
        UserError: see `batches`.
    """
    for part in parts:
        content = tf.raw_ops.DatasetToGraphV2(input_dataset=part._variant_tensor).numpy()
        if b"PyFunc" in content:
            raise UserError(
                f"data_service cannot make the batches of {name}, whose images are decoded by "
                "Python: leave it out, or use a source that fits in memory."
            )
    services = [
        part.apply(
            tf.data.experimental.service.distribute(
                tf.data.experimental.service.ShardingPolicy.OFF, f"grpc://{address.strip()}"
            )
        )
        for part, address in zip(parts, addresses, strict=True)
    ]
    turns = tf.data.Dataset.range(len(services)).repeat()
    return untuned(tf.data.Dataset.choose_from_datasets(services, turns).prefetch(2))


def check_services(config: Config) -> list[str]:
    """The addresses of the data services.

    Raises:
        UserError: one of them is no address, or does not answer.
    """
    addresses = config.engine.data_service.split(",") if config.engine.data_service else []
    for address in addresses:
        _check_reachable(address)
    return addresses


def _check_reachable(address: str) -> None:
    host, _, port = address.strip().rpartition(":")
    if not host or not port.isdigit():
        raise UserError(
            f"data_service is {address!r}: give HOST:PORT, or several of them with commas between."
        )
    try:
        with socket.create_connection((host, int(port)), timeout=5):
            pass
    except (OSError, OverflowError) as error:
        raise UserError(
            f"No data service answers at {address.strip()} ({error}): start one with "
            "python -m tools.data_service --port=PORT, or leave out --data_service."
        ) from error
