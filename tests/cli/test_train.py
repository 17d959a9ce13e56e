"""The program itself, as a user starts it: a process, its output and what it leaves behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ssl_keras import train
from ssl_keras.cli import flags
from ssl_keras.run import train_and_evaluate
from tests.processes import run

ROOT = Path(__file__).parents[2]

LOAD = """
import sys
import numpy as np
import tensorflow as tf
assert not any(name.startswith("ssl_keras") for name in sys.modules)
loaded = tf.saved_model.load(sys.argv[1])
inputs = {name: tf.constant(value) for name, value in np.load(sys.argv[2]).items()}
np.save(sys.argv[3], loaded.signatures["serving_default"](**inputs)["features"].numpy())
"""


def python(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "1"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    workdir = tmp_path_factory.mktemp("smoke") / "run"
    result = python("-m", "ssl_keras.train", "--flagfile=flags/smoke.flags", f"--workdir={workdir}")
    assert result.returncode == 0, result.stderr
    # TensorFlow's start-up noise is silenced; nothing else went wrong.
    assert result.stderr == ""
    return workdir, result.stdout


def test_output_reads_as_promised(smoke: tuple[Path, str]) -> None:
    _, output = smoke
    for label in (
        "devices",
        "precision",
        "data set",
        "targets        class (10 classes, chance 0.1), bits (2, chance 0.5 each, 0.25 all right)",
        "encoder        convnet, 90,080 parameters",
        "compared with  none: 256 views are matched with as many samples of the prior",
        "learning rate  0.001 = 0.001 (adam, cosine decay, 0 warm-up epochs)",
        "seed           0",
        "workdir",
        "images/s",
        "Weights and batch-norm statistics unchanged",
        "SavedModel reloaded",
        "tensorboard --logdir",
        "--num_bits=4",
    ):
        assert label in output
    header = next(line for line in output.splitlines() if line.startswith("target  "))
    assert header.split() == [
        "target", "head", "chance", "shuffled", "untrained", "features", "projection_1",
        "projection_2",
    ]  # fmt: skip


def test_results_are_those_of_the_table(smoke: tuple[Path, str]) -> None:
    workdir, output = smoke
    results = json.loads((workdir / "results.json").read_text())
    row = next(
        line for line in output.splitlines() if line.startswith("class") and "linear" in line
    )
    shown = [float(cell) for cell in row.split()[2:] if "±" not in cell]
    values = results["results"]
    expected = [
        0.1,
        values["shuffled_labels/linear/features/class/accuracy"],
        values["untrained/linear/features/class/accuracy"],
        *(
            values[f"linear/{layer}/class/accuracy"]
            for layer in ("features", "projection_1", "projection_2")
        ),
    ]
    np.testing.assert_allclose(shown, expected, atol=6e-4)
    # What the flagfile promises.
    assert values["linear/features/class/accuracy"] > 0.5
    assert values["linear/features/bits/all_right"] > 0.95


def test_the_event_file_holds_the_training(smoke: tuple[Path, str]) -> None:
    import tensorflow as tf

    workdir, _ = smoke
    (file,) = (workdir / "tensorboard").glob("events.*")
    tags = [
        (event.step, value.tag)
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    ]
    assert {step for step, tag in tags if tag == "train/loss"} == {5, 10, 15, 20}
    assert (20, "results/linear/features/class/accuracy") in tags
    assert (0, "views") in tags


def test_the_export_works_without_this_package(smoke: tuple[Path, str], tmp_path: Path) -> None:
    workdir, _ = smoke
    images = np.random.default_rng(0).random((3, 28, 28, 1)).astype(np.float32)
    inputs = {"images": images, "bits": np.array([[0, 1], [1, 1], [0, 0]], np.float32)}
    np.savez(tmp_path / "inputs.npz", **inputs)
    result = python(
        "-c", LOAD, str(workdir / "saved_model"), str(tmp_path / "inputs.npz"),
        str(tmp_path / "features.npy"), cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    import tensorflow as tf

    here = tf.saved_model.load(str(workdir / "saved_model")).signatures["serving_default"]
    features = np.load(tmp_path / "features.npy")
    assert features.shape == (3, 128)
    np.testing.assert_allclose(features, here(**inputs)["features"], atol=1e-5)


@pytest.mark.full
def test_flags_txt_repeats_the_run_in_another_process(
    smoke: tuple[Path, str], tmp_path: Path
) -> None:
    workdir, _ = smoke
    arguments = ["train", f"--flagfile={workdir / 'flags.txt'}", f"--workdir={tmp_path / 'run'}"]
    here = train_and_evaluate(flags.parse(arguments, flags.define()))
    there = json.loads((workdir / "results.json").read_text())
    for key in ("weights_sha256", "results", "training", "history", "geometry_history", "config"):
        assert here[key] == there[key], key
    text = (tmp_path / "run" / "flags.txt").read_text()
    assert text == (workdir / "flags.txt").read_text()


@pytest.mark.exhaustive
def test_deterministic_runs_are_equal(tmp_path: Path) -> None:
    results = []
    for name in ("first", "second"):
        result = run([
            "-m", "ssl_keras.train", "--loss=nt_xent", "--steps=5", "--batch_size=64",
            "--width_multiplier=0.25", "--heads=knn", "--deterministic", "--measure_images=0",
            "--max_train_images=400", "--noexport", f"--workdir={tmp_path / name}",
        ])  # fmt: skip
        assert result.returncode == 0, result.stderr
        assert "deterministic operations only" in result.stdout
        results.append(json.loads((tmp_path / name / "results.json").read_text()))
    for key in ("weights_sha256", "results", "history"):
        assert results[0][key] == results[1][key], key


def test_a_second_start_refuses_to_lose_the_first(
    smoke: tuple[Path, str], capfd: pytest.CaptureFixture[str]
) -> None:
    workdir, _ = smoke
    assert train.main(["train", "--flagfile=smoke", f"--workdir={workdir}"]) == 2
    errors = capfd.readouterr().err
    assert errors.startswith("ssl_keras.train: workdir is ")
    assert "--overwrite" in errors
    assert "Traceback" not in errors


def test_an_unwritable_directory_is_one_sentence(capfd: pytest.CaptureFixture[str]) -> None:
    assert train.main(["train", "--flagfile=smoke", "--workdir=/proc/none/run"]) == 2
    errors = capfd.readouterr().err
    assert "cannot be written" in errors
    assert "Traceback" not in errors
