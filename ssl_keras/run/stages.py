"""The earlier stages of a run, and the groups of examples that they give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras import log
from ssl_keras.config import Config
from ssl_keras.lazy import tf
from ssl_keras.methods import conditioning
from ssl_keras.neighbours import unit_rows
from ssl_keras.run import run_directory
from ssl_keras.run.restore import restored
from ssl_keras.run.setup import TrainingSetup

# The run of the stage before, in the directory of a run; it holds the run of the stage before it.
FOLDER = "earlier_stage"


def prepare(setup: TrainingSetup, workdir: Path, train: Callable[[Config], None]) -> None:
    """Train the earlier stages that are missing, take over their weights, and order the examples.

    Each stage is an ordinary run, in `earlier_stage` of the run of the next one.

    Args:
        setup: the setup of the last stage; its frozen encoders and `train` are set.
        workdir: directory of the run.
        train: trains an earlier stage, given its configuration with a directory.
    """
    method, split = setup.config.method.grouped, setup.data.train
    if method is None:
        return
    size, seed = method.group_size, setup.config.run.seed
    earlier = _earlier_stages(setup, method.stages, workdir, train) if method.stages > 1 else []
    # The stages of an earlier run are the frozen encoders of this one, in the same order.
    frozen = setup.model.stages[:-1] if earlier else []
    for encoder, stage in zip(frozen, earlier[-1].model.stages if earlier else [], strict=True):
        encoder.set_weights(stage.get_weights())

    condition = method.condition_on
    if condition == "neighbours":
        projections = [unit_rows(_output(stage, -1)) for stage in earlier]
        vectors = np.concatenate(projections, axis=1)
        candidates, cosines = conditioning.near_examples(vectors, size)
        near = conditioning.near_neighbours(cosines)
        size = setup.fit_groups(near)
        log.info(_about_neighbours(near, size))
        order = conditioning.neighbour_order(vectors, candidates, size, seed)
    else:
        if condition == "clusters":
            features = [_output(stage, -1 - len(stage.model.head_layers)) for stage in earlier]
            labels = np.stack(
                [conditioning.cluster_labels(f, method.clusters, seed) for f in features], axis=1
            )
        elif condition == "nothing":
            labels = np.zeros(split.num_examples, np.int32)
        else:
            labels = split.read_labels(condition)
        order = conditioning.label_order(labels, size, seed)
    setup.train = split.ordered(order)


def _about_neighbours(near: int | None, size: int) -> str:
    """What the earlier stages' similarities say of the size of the groups."""
    if near is None:
        return (
            "Note: seen from the earlier stages, no few neighbours of an example are much nearer "
            f"than all others: many share what was learnt, or none. Groups of {size}."
        )
    text = f"Note: seen from the earlier stages, an example has {near} near neighbours (median)"
    if size - 1 <= near:
        return f"{text}: groups of {size} share what was learnt."
    return (
        f"{text}, but groups of {size} take {size - 1}: what was learnt tells their members apart; "
        "try a smaller --neighbours (0 lets this number decide), or more examples."
    )


def _earlier_stages(
    setup: TrainingSetup, count: int, workdir: Path, train: Callable[[Config], None]
) -> list[TrainingSetup]:
    """The restored setups of the stages before the last of `count`, the first stage first."""
    directory, config = workdir / FOLDER, setup.config.earlier_stage()
    if not run_directory.holds(directory, config):
        log.info(f"\nStage {count - 1} of {count}")
        train(config.in_directory(directory))
    stages: list[TrainingSetup] = []
    for _ in range(count - 1):
        config, results = run_directory.read(directory)
        stages.insert(0, restored(config, results, directory, setup.data))
        directory = directory / FOLDER
    return stages


def _output(setup: TrainingSetup, index: int) -> np.ndarray:
    """One of the representations of all training examples, in inference mode."""
    model, modality = setup.model, setup.data.modality

    @tf.function(autograph=False, reduce_retracing=True)
    def output(example: Any) -> Any:
        return model.representations(modality.inputs(example))[index]

    batches = setup.data.train.batches(500)
    return np.concatenate([output(batch["example"]).numpy() for batch in batches])
