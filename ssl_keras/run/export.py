"""Exports the encoder of a finished run, and compares it in a process without this package."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras import files, log
from ssl_keras.errors import UserError
from ssl_keras.run import run_directory
from ssl_keras.run.restore import restored
from ssl_keras.run.saved_models import (
    CARD,
    ONNX,
    check_onnx,
    compare_export,
    export_encoder,
    export_onnx,
    load_encoder,
    relative_difference,
)
from ssl_keras.run.setup import TrainingSetup, in_float32

# The program of a user without this package.
_LOAD = """
import sys
import numpy as np
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
arguments = {name: tf.constant(value) for name, value in np.load(sys.argv[2]).items()}
np.save(sys.argv[3], loaded.signatures["features"](**arguments)["features"].numpy())
"""
_COMPARED_EXAMPLES = 16


def export_run(
    workdir: Path | str, directory: Path | str, overwrite: bool = False, onnx: bool = False
) -> float:
    """Export the encoder of a finished run, load it in a fresh process, and compare.

    Args:
        workdir: directory of the run.
        directory: directory of the export.
        overwrite: whether to replace an existing export.
        onnx: whether to write the encoder as ONNX too.

    Returns:
        The relative difference of features, see `compare_export`.

    Raises:
        UserError: it is not a finished run, or `directory` holds something else.
        RuntimeError: the export gives other features.
    """
    workdir, directory = Path(workdir), Path(directory)
    if onnx:
        check_onnx()
    inside = directory.resolve().is_relative_to(workdir.resolve())
    with run_directory.used(workdir, alone=inside):
        return _export(workdir, directory, overwrite, onnx)


def _export(workdir: Path, directory: Path, overwrite: bool, onnx: bool) -> float:
    """`export_run` of a run that is locked."""
    config, results = run_directory.read(workdir, with_data=True)
    is_export = run_directory.is_saved_model(directory)
    if directory.exists() and not (is_export or not any(directory.iterdir())):
        raise UserError(
            f"{directory} holds other things than an export: choose a new directory for --output."
        )
    if is_export and not overwrite:
        raise UserError(
            f"{directory} holds an export: choose another --output, or pass --overwrite."
        )
    if not directory.parent.is_dir():
        raise UserError(
            f"The folder {directory.parent} does not exist: make it, or choose another."
        )
    setup = restored(config, results, workdir)
    export_setup(setup, directory, results)
    difference = _in_a_fresh_process(setup, directory)
    if not difference <= 1e-5:
        raise RuntimeError(f"a fresh process reads other features (difference {difference:.2g})")
    if onnx:
        export_onnx(load_encoder(directory), directory / ONNX)
    log.info(f"Exported: {directory} (in a fresh process: relative difference {difference:.1g})")
    log.info(f"Description and signatures: {directory / CARD}")
    return difference


def export_setup(setup: TrainingSetup, directory: Path, results: Mapping[str, Any]) -> float:
    """Export a trained setup in float32, with a card, and compare its features with the model's.

    Args:
        setup: the setup after training.
        directory: is replaced atomically.
        results: contents of results.json.

    Returns:
        The largest relative difference, see `compare_export`.
    """
    data, model = setup.data, in_float32(setup).model
    names = ("setup", "results", "steps", "seed", "weights_sha256", "data", "config", "versions")
    card = {name: results[name] for name in names}
    inputs = data.inputs(next(iter(data.test.batches(_COMPARED_EXAMPLES))))
    with files.whole_directory(directory) as place:
        export_encoder(data.modality, model.encoder, model.projection_head, place, card)
        return compare_export(place, inputs, model.encoder(inputs, training=False))


def _in_a_fresh_process(setup: TrainingSetup, directory: Path) -> float:
    data, model = setup.data, setup.model
    batch = next(iter(data.test.batches(_COMPARED_EXAMPLES)))
    expected = model.encoder(data.inputs(batch), training=False).numpy()
    arguments = data.modality.arguments(batch["example"])
    with tempfile.TemporaryDirectory() as folder:
        sent, received = Path(folder) / "inputs.npz", Path(folder) / "features.npy"
        np.savez(sent, **arguments)  # type: ignore[arg-type]
        command = [sys.executable, "-c", _LOAD, str(directory.resolve()), str(sent), str(received)]
        process = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if process.returncode:
            raise RuntimeError(f"a fresh process cannot read the export: {process.stderr[-500:]}")
        return relative_difference(np.load(received), expected)
