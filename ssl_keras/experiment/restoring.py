"""A finished run, as it was at its end."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf

from ssl_keras import run_directory
from ssl_keras.errors import UserError
from ssl_keras.evaluation.extraction import weights_digest
from ssl_keras.experiment.building import Experiment, build


def restore(workdir: Path | str) -> Experiment:
    """The experiment of a finished run: its data, and its model with the final weights.

    Raises:
        UserError: it is not a finished run, its data is gone, or its weights are not those that
            its results were measured on.
    """
    workdir = Path(workdir)
    config, results = run_directory.read(workdir)
    experiment = build(config)
    load_weights(experiment, workdir, results)
    return experiment


def load_weights(experiment: Experiment, workdir: Path, results: Mapping[str, Any]) -> None:
    """Give a newly built experiment the final weights of its run.

    Raises:
        UserError: see `restore`.
    """
    latest = tf.train.latest_checkpoint(str(workdir / "checkpoints"))
    if latest is None:
        raise UserError(f"The run {workdir} has no checkpoint: repeat it.")
    try:
        checkpoint = tf.train.Checkpoint(model=experiment.model)
        checkpoint.restore(latest).assert_existing_objects_matched().expect_partial()
    except (tf.errors.OpError, AssertionError, ValueError, IndexError) as error:
        raise UserError(f"The checkpoint {latest} cannot be read: repeat the run.") from error
    if weights_digest(experiment.model.variables) != results.get("weights_sha256"):
        raise UserError(
            f"The weights of {latest} are not those that the results of the run were measured on: "
            "repeat the run."
        )
