"""The training loop of an experiment: its batches, divided among the devices that share them."""

from __future__ import annotations

from typing import Any

from ssl_keras import training
from ssl_keras.experiment.building import Experiment


def train(experiment: Experiment, listeners: list[Any], first_step: int) -> float | None:
    """Train from `first_step` to the end.

    Returns:
        The share of the time that was spent waiting for input, see `training.train`.
    """
    config = experiment.config
    return training.train(
        experiment.model,
        batches(experiment, first_step),
        total_steps=experiment.total_steps,
        first_step=first_step,
        steps_per_execution=config.engine.steps_per_execution,
        log_every=config.run.log_every or experiment.steps_per_epoch,
        listeners=listeners,
    )


def batches(experiment: Experiment, first_step: int) -> Any:
    """The batches of the steps from `first_step` on; each device gets its share of every batch."""
    config, engine = experiment.config, experiment.engine
    split, size, seed = experiment.data.train, config.optimization.batch_size, config.run.seed
    if engine.strategy is None:
        steps = experiment.total_steps
        return split.training_batches(size, seed=seed, num_steps=steps, start_step=first_step)

    def of_worker(context: Any) -> Any:
        own = engine.replicas // context.num_input_pipelines
        first = own * context.input_pipeline_id
        # Without an end: where it is, workers would have to agree on at every step.
        return split.training_batches(
            size,
            seed=seed,
            num_steps=None,
            start_step=first_step,
            shares=range(first, first + own),
            num_shares=engine.replicas,
        )

    return engine.strategy.distribute_datasets_from_function(of_worker)
