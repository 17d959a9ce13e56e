"""Restores finished runs and exported encoders."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl_keras.config import Config
from ssl_keras.datasets import DataSet
from ssl_keras.errors import UserError, one_line
from ssl_keras.lazy import tf
from ssl_keras.networks import Grid
from ssl_keras.run import run_directory
from ssl_keras.run.checkpoints import Checkpoints, weights_digest
from ssl_keras.run.devices import Engine
from ssl_keras.run.setup import (
    TrainingSetup,
    build,
    build_views,
    in_float32,
    load_data,
)
from ssl_keras.traced import TracedFunctions


@dataclass(frozen=True)
class FrozenEncoder:
    """A frozen encoder, for evaluation.

    Attributes:
        data: the data to evaluate it on.
        layers: names of the layers.
        representations: network inputs -> one tensor (batch, dim) for each layer, in inference
            mode.
        augmenter: draws views.
        variables: variables that evaluation must not change.
        encoder: the encoder as a `keras.Model` with named blocks, or None for a SavedModel.
        grids: name of the block -> positions of its locations.
        traced: functions of `representations` that are traced already.
        partner_representations: those of second views, if another encoder takes them.
    """

    data: DataSet
    layers: Sequence[str]
    representations: Callable[[Any], Sequence[Any]]
    augmenter: Any
    variables: Sequence[Any]
    encoder: Any = None
    grids: Mapping[str, Grid] = field(default_factory=dict)
    traced: TracedFunctions = field(default_factory=TracedFunctions)
    partner_representations: Callable[[Any], Sequence[Any]] | None = None

    @classmethod
    def from_setup(cls, setup: TrainingSetup) -> FrozenEncoder:
        """The encoder of a setup, with its current weights."""
        model = setup.model
        return cls(
            setup.data,
            model.layer_names,
            model.representations,
            model.augmenter,
            model.variables,
            model.trained_encoder,
            setup.config.encoder.grids(setup.data.input_shape),
            model.traced,
            model.partner_representations,
        )


def restore_run(workdir: Path | str) -> TrainingSetup:
    """The setup of a finished run: its data, and its model with the final weights.

    Raises:
        UserError: it is not a finished run, its data cannot be loaded, or its results were measured
            on other weights.
    """
    workdir = Path(workdir)
    config, results = run_directory.read(workdir, with_data=True)
    return restored(config, results, workdir)


def restored(
    config: Config, results: Mapping[str, Any], workdir: Path, data: DataSet | None = None
) -> TrainingSetup:
    """`restore_run` for a configuration and results that were read from `workdir`.

    Args:
        config, results: see `run_directory.read`.
        workdir: directory of the run.
        data: its data set, if it is already loaded.
    """
    setup = build(config, data, recorded_engine(results))
    load_weights(setup, workdir, results)
    return in_float32(setup)


def recorded_engine(results: Mapping[str, Any]) -> Engine:
    """An engine that fits the checkpoint of a finished run: its precision, on one device."""
    return Engine(precision=results.get("engine", {}).get("precision", "off"))


def load_weights(setup: TrainingSetup, workdir: Path, results: Mapping[str, Any]) -> None:
    """Load the final weights of a run into a newly built setup.

    Args:
        setup: built with `recorded_engine`.
        workdir: directory of the run.
        results: results of the run.

    Raises:
        UserError: see `restore_run`.
    """
    directory = workdir / "checkpoints"
    if Checkpoints(directory, setup.model.state_groups).restore() is None:
        raise UserError(f"The run {workdir} has no checkpoint: repeat it.")
    setup.model.adopt_average()
    if weights_digest(setup.model.variables) != results.get("weights_sha256"):
        raise UserError(
            f"The weights in {directory} are not those that the results of the run were measured "
            "on: repeat the run."
        )


def load_saved_model(directory: Path, config: Config | None = None) -> FrozenEncoder:
    """A SavedModel as a frozen encoder.

    Its signature `representations`, or `serving_default`, takes network inputs, such as float32
    images (batch, height, width, channels) in [0, 1], and returns features (batch, dim) by name.

    Args:
        directory: directory of the SavedModel.
        config: configuration of the data. Default: that of the run whose directory contains it.

    Raises:
        UserError: it cannot be read, has no such signature, takes other inputs than those of the
            data, or is in no run's directory and `config` is None.
    """
    if config is None:
        if not run_directory.is_run(directory.parent):
            raise UserError(
                f"The SavedModel {directory} does not lie in the directory of its run: say which "
                "data to evaluate it on, with --dataset, --source and the like."
            )
        config, _ = run_directory.read(directory.parent, with_data=True)
    try:
        loaded = tf.saved_model.load(str(directory))
    except Exception as error:  # a damaged one raises errors of all kinds
        raise UserError(f"The SavedModel {directory} cannot be read: {one_line(error)}") from error
    signatures = loaded.signatures
    name = next((n for n in ("representations", "serving_default") if n in signatures), None)
    if name is None:
        raise UserError(
            f"The SavedModel {directory} has no signature representations or serving_default; it "
            f"has {', '.join(signatures) or 'none'}."
        )
    function = signatures[name]
    (argument, spec), *more = function.structured_input_signature[1].items()
    outputs = [key for key, out in function.structured_outputs.items() if len(out.shape) == 2]
    if more or not outputs:
        raise UserError(
            f"The signature {name} of {directory} does not take one tensor of examples and return "
            "features (batch, dim): it cannot be evaluated."
        )
    data = load_data(config)
    if not spec.shape[1:].is_compatible_with(data.input_shape):
        sizes = ["x".join(map(str, shape)) for shape in (spec.shape[1:], data.input_shape)]
        raise UserError(
            f"The SavedModel {directory} takes {data.modality.name} of {sizes[0]}, but {data.name} "
            f"gives {sizes[1]} (extra channels and bits included): change --dataset, --source, "
            "--image_size or --num_bits."
        )
    order = ["features", *sorted(set(outputs) - {"features"})]
    layers = [key for key in order if key in outputs]

    def representations(inputs: Any) -> list[Any]:
        results = function(**{argument: tf.cast(inputs, spec.dtype)})
        return [tf.cast(results[key], tf.float32) for key in layers]

    variables = getattr(loaded, "variables", [])
    return FrozenEncoder(
        data, layers, representations, build_views(config, data)[0], list(variables)
    )
