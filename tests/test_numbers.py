"""No refactoring moves a number: weights and results are compared with recorded ones.

`tests/numbers.json` holds, for every flagfile, the losses of three steps and the hash of the
weights after them, and for every method the results of a small run. On a processor of the recorded
kind they must be equal to the bit; on another one up to rounding. After a change that is meant to
move numbers, record them again: RECORD_NUMBERS=1 python -m pytest tests/test_numbers.py
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_keras.cli import flags
from ssl_keras.config import Config
from ssl_keras.evaluators import EVALUATORS
from ssl_keras.run import build, train_and_evaluate
from ssl_keras.run.checkpoints import weights_digest
from ssl_keras.run.loop import batches
from tests.tiers import first_in_check

pytestmark = pytest.mark.long

ROOT = Path(__file__).parent.parent
RECORD = Path(__file__).parent / "numbers.json"
RECORDING = bool(os.environ.get("RECORD_NUMBERS"))
FLAGFILES = sorted(path.stem for path in (ROOT / "flags").glob("*.flags"))
METHODS = {
    "supervised": {"method": "supervised", "heads": "linear,knn,geometry"},
    "simclr": {
        "loss": "nt_xent",
        "heads": "linear,knn,geometry,bits,mean_classifier,retrieval,linear_sgd,decoder",
        "linear_sgd_epochs": 3,
        "decoder_steps": 5,
        "views": "augment,mixup,dropout",
    },
    "autoencoder": {"method": "autoencoder", "heads": "linear,knn,geometry"},
    "overlay": {
        "dataset": "overlay",
        "image_size": 40,
        "loss": "uniform_prior",
        "num_bits": None,
        "heads": "linear,local_features,supervised",
        "local_features_images": 20,
    },
}
SMALL = {"num_bits": 2, "steps": 6, "batch_size": 64, "log_every": 2, "width_multiplier": 0.25}
SMALL |= {"max_train_images": 300}


def processor() -> str:
    """The kind of processor and the versions that bits depend on, in twelve digits."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    lines = sorted({line for line in info.splitlines() if line.startswith(("model", "flags"))})
    lines += [importlib.metadata.version(name) for name in ("tensorflow", "keras", "numpy")]
    lines += [os.environ.get("OPENBLAS_CORETYPE", ""), str(len(os.sched_getaffinity(0)))]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


def recorded() -> dict[str, Any]:
    return json.loads(RECORD.read_text()) if RECORD.exists() else {}


def compare(kind: str, name: str, numbers: dict[str, Any]) -> None:
    """Compare `numbers` with the recorded ones, or record them."""
    numbers = json.loads(json.dumps(numbers))
    record = recorded()
    if RECORDING:
        if record.get("processor") != processor():
            record = {"processor": processor()}
        record.setdefault(kind, {})[name] = numbers
        RECORD.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")
        return
    expected = record[kind][name]
    # What was added on a processor of another kind has no hash.
    if record["processor"] == processor() and "sha256" in expected:
        assert numbers == expected
        return
    assert set(numbers["values"]) == set(expected["values"])
    for key, value in expected["values"].items():
        # Some steps of a decoder from random weights differ more between processors.
        near, factor = (0.3, 0.3) if "decoder/" in key else (0.1, 0.05)
        assert numbers["values"][key] == pytest.approx(value, rel=factor, abs=near), key


# One flagfile of each kind of examples, and one with stages; the others are exhaustive.
CHECKED = [
    "randbit",
    "overlay",
    "factors",
    "word2vec",
    "simcse",
    "dacl",
    "four_rooms",
    "neighbours",
]


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.full if n in CHECKED else pytest.mark.exhaustive)
        for n in FLAGFILES
    ],
)
def test_the_weights_after_three_steps_of_a_flagfile(name: str, data_dir: str) -> None:
    path = ROOT / "flags" / f"{name}.flags"
    config = flags.parse(["", f"--flagfile={path}"], flags.define())
    values = config.replayable() | {"batch_size": 32, "max_train_images": 200, "data_dir": data_dir}
    values |= {"steps": 3, "heads": "geometry"}
    if "fashion" in name:  # these data are not installed everywhere
        values["source"] = "mnist_5k"
    values = {n: v for n, v in values.items() if n not in EVALUATORS.settings()}
    setup = build(Config.make(**values))
    setup.model.make_train_function()
    losses = {}
    iterator = iter(batches(setup, 0))
    for step in range(3):
        logs = setup.model.train_function(iterator)
        losses[f"loss_{step}"] = float(np.mean(logs["loss"]))
        setup.model.reset_metrics()
    compare("flagfiles", name, {"values": losses, "sha256": weights_digest(setup.model.variables)})


@pytest.mark.parametrize("name", first_in_check(METHODS))
def test_the_results_of_a_small_run(name: str, tmp_path: Path) -> None:
    settings = {k: v for k, v in {**SMALL, **METHODS[name]}.items() if v is not None}
    if "geometry" in settings["heads"]:
        settings["geometry_images"] = 100
    results = train_and_evaluate(Config.make(**settings, workdir=str(tmp_path / "run")))
    values = {n: v for n, v in results["results"].items() if math.isfinite(v)}
    values |= {f"training/{n}": v for n, v in results["training"].items()}
    compare("runs", name, {"values": values, "sha256": results["weights_sha256"]})
