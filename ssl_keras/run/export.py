"""The export of a finished run, compared in a process that knows nothing of this package."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from ssl_keras.errors import UserError
from ssl_keras.run import run_directory
from ssl_keras.run.fitting import export
from ssl_keras.run.restore import restored
from ssl_keras.run.saved_models import CARD, ONNX, check_onnx, export_onnx, load_encoder
from ssl_keras.run.setup import TrainingSetup

# What a user without this package would do.
_LOAD = """
import sys
import numpy as np
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
given = {name: tf.constant(value) for name, value in np.load(sys.argv[2]).items()}
np.save(sys.argv[3], loaded.signatures["features"](**given)["features"].numpy())
"""
_COMPARED_IMAGES = 16


def export_run(
    workdir: Path, directory: Path, overwrite: bool = False, onnx: bool = False
) -> float:
    """Export the encoder of a finished run, load it in a fresh process, and compare.

    Args:
        workdir: directory of the run.
        directory: where to.
        overwrite: whether an export that is there is replaced.
        onnx: whether to write the encoder as ONNX too.

    Returns:
        The largest absolute difference of features, relative to the largest magnitude.

    Raises:
        UserError: it is not a finished run, or something else is in the way.
        RuntimeError: the export gives other features.
    """
    if onnx:
        check_onnx()
    config, results = run_directory.read(workdir)
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
    export(setup, directory, results)
    difference = _in_a_fresh_process(setup, directory)
    if not difference <= 1e-5:
        raise RuntimeError(f"a fresh process reads other features (difference {difference:.2g})")
    if onnx:
        export_onnx(load_encoder(directory), directory / ONNX)
    print(f"Exported: {directory} (in a fresh process: relative difference {difference:.1g})")
    print(f"What it is, and how to call it: {directory / CARD}")
    return difference


def _in_a_fresh_process(setup: TrainingSetup, directory: Path) -> float:
    data, model = setup.data, setup.model
    batch = next(iter(data.test.batches(_COMPARED_IMAGES)))
    expected = model.encoder(data.inputs(batch), training=False).numpy()
    given = {"images": data.inputs({"image": batch["image"]}).numpy()}
    if "bits" in batch:
        given["bits"] = batch["bits"].numpy()
    with tempfile.TemporaryDirectory() as folder:
        sent, received = Path(folder) / "inputs.npz", Path(folder) / "features.npy"
        np.savez(sent, **given)
        command = [sys.executable, "-c", _LOAD, str(directory.resolve()), str(sent), str(received)]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"a fresh process cannot read the export: {done.stderr[-500:]}")
        found = np.load(received)
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-12))
