"""Baselines as heads: the method on its own gives the same, and every head measures it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.config import Config, make_evaluators
from ssl_keras.errors import UserError
from ssl_keras.run import evaluate_run, train_and_evaluate

TINY: dict[str, Any] = {
    "steps": 4,
    "batch_size": 64,
    "width_multiplier": 0.25,
    "measure_images": 0,
    "max_train_images": 500,
    "loss": "nt_xent",
}
EVALUATORS = "linear,decoder,retrieval,supervised,autoencoder"


def make(workdir: Path, **settings: Any) -> Config:
    return Config.make(**{**TINY, "workdir": str(workdir), **settings})


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, data_dir: str
) -> tuple[Path, dict[str, Any]]:
    workdir = tmp_path_factory.mktemp("baselines") / "run"
    return workdir, train_and_evaluate(make(workdir, heads=EVALUATORS, decoder_steps=5))


def test_a_baseline_is_the_method_on_its_own(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    workdir, results = finished
    for method in ("supervised", "autoencoder"):
        alone = train_and_evaluate(
            make(tmp_path / method, method=method, loss=None, heads="linear")
        )
        beside = json.loads((workdir / "baselines" / method / "results.json").read_text())
        assert beside["weights_sha256"] == alone["weights_sha256"] != results["weights_sha256"]
        own = {n: v for n, v in alone["results"].items() if n.startswith(("linear/", "recon"))}
        assert own
        for name, value in own.items():
            np.testing.assert_allclose(results["results"][f"{method}/{name}"], value, rtol=1e-6)


def test_every_head_measures_every_encoder(finished: tuple[Path, dict[str, Any]]) -> None:
    _, results = finished
    values = results["results"]
    for prefix in ("", "untrained/", "supervised/", "autoencoder/"):
        for measure in (
            "linear/features/class/accuracy",
            "retrieval/features/bits/precision",
            "decoder/features/extra_channels_explained",
        ):
            assert prefix + measure in values
    for prefix in ("", "supervised/", "autoencoder/"):
        assert f"{prefix}online_probe/features/class/accuracy" in values
    assert "autoencoder/reconstruction/features/train_extra_channels_error" in values
    assert not any(name.startswith("supervised/reconstruction") for name in values)


def test_tables_pictures_and_tensorboard_have_them_side_by_side(
    finished: tuple[Path, dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    workdir, results = finished
    names = {path.name for path in (workdir / "pictures").iterdir()}
    assert "decoder-reconstructions.png" in names
    assert {"retrieval-features.png", "retrieval-supervised_features.png"} <= names
    tag = "evaluation/linear/features/class/accuracy"
    for directory, prefix in (
        (workdir, ""),
        (workdir / "baselines" / "supervised", "supervised/"),
        (workdir / "baselines" / "autoencoder", "autoencoder/"),
    ):
        found = [
            float(tf.make_ndarray(value.tensor))
            for file in (directory / "tensorboard").glob("*tfevents*")
            for event in tf.compat.v1.train.summary_iterator(str(file))
            for value in event.summary.value
            if value.tag == tag
        ]
        expected = results["results"][f"{prefix}linear/features/class/accuracy"]
        np.testing.assert_allclose(found, [expected], rtol=1e-6)


def test_evaluating_later_trains_what_is_missing_and_nothing_else(
    finished: tuple[Path, dict[str, Any]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    workdir, results = finished
    heads = make_evaluators({"heads": "linear,supervised"})
    record = evaluate_run(workdir, heads)
    output = capfd.readouterr().out
    assert "Training" not in output
    header = next(line for line in output.splitlines() if line.startswith("target"))
    assert header.split()[-1] == "supervised"
    for name, value in record["results"].items():
        assert results["results"][name] == value
    other = tmp_path / "run"
    train_and_evaluate(make(other, heads=""))
    again = evaluate_run(other, heads)
    assert "Baseline: supervised" in capfd.readouterr().out
    name = "supervised/linear/features/class/accuracy"
    assert again["results"][name] == results["results"][name]


def test_baselines_that_cannot_be_are_refused_before_training(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="'supervised' trains the method of the run itself"):
        make(tmp_path / "a", method="supervised", loss=None, heads="linear,supervised")
    images = np.zeros((80, 16, 16), np.uint8)
    np.savez(tmp_path / "data.npz", train_images=images, test_images=images[:20])
    config = make(
        tmp_path / "b", dataset="plain", source=f"npz:{tmp_path / 'data.npz'}", heads="supervised"
    )
    with pytest.raises(UserError, match="method=supervised needs labels"):
        train_and_evaluate(config)
    assert not (tmp_path / "b").exists()
    config = make(tmp_path / "c", num_bits=2, heads="supervised", baseline_target="bit")
    with pytest.raises(
        UserError, match=r"method=supervised is to learn 'bit', .* did you mean bits"
    ):
        train_and_evaluate(config)
    with pytest.raises(UserError, match="baseline_target"):
        make(tmp_path / "d", heads="linear", baseline_target="bits")


def test_a_baseline_learns_the_feature_that_it_is_told_to() -> None:
    config = Config.make(heads="supervised", baseline_target="bits")
    assert (
        config.baseline("supervised").method
        == Config.make(method="supervised", supervised_target="bits").method
    )
