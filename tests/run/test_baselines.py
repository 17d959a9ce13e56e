"""Baselines as heads: the method on its own gives the same, and every head measures it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.config import Config, make_evaluators
from ssl_keras.errors import UserError
from ssl_keras.run import evaluate_run, train_and_evaluate
from tests.run.conftest import STORY, Story
from tests.tiers import first_in_check

# The story is made early: other tests would wait for it.
pytestmark = pytest.mark.long

# A run that ends early, for what is refused.
TINY: dict[str, Any] = {"steps": 4, "batch_size": 64, "max_train_images": 500, "loss": "nt_xent"}


def make(workdir: Path, **settings: Any) -> Config:
    return Config.make(**{**TINY, "workdir": str(workdir), **settings})


@pytest.mark.exhaustive
@pytest.mark.parametrize("method", first_in_check(["supervised", "autoencoder"]))
def test_a_baseline_is_the_method_on_its_own(method: str, story: Story, tmp_path: Path) -> None:
    contrastive = ("loss", "distribution_weight")
    left_out = (*contrastive, "decoder_steps", "linear_sgd_epochs", "profile_steps")
    settings = {name: value for name, value in STORY.items() if name not in left_out}
    settings |= {"method": method, "heads": "linear", "workdir": str(tmp_path / method)}
    alone = train_and_evaluate(Config.make(**settings))
    directory = story.workdir / "baselines" / method
    beside = json.loads((directory / "results.json").read_text())
    assert beside["weights_sha256"] == alone["weights_sha256"] != story.results["weights_sha256"]
    values = {n: v for n, v in alone["results"].items() if n.startswith(("linear/", "recon"))}
    assert len(values) >= 10
    for name, value in values.items():
        if not name.startswith("linear/projection"):
            measured = story.results["results"][f"{method}/{name}"]
            np.testing.assert_allclose(measured, value, rtol=1e-6, err_msg=name)


def test_every_head_measures_every_encoder(story: Story) -> None:
    values = story.results["results"]
    for prefix in ("", "untrained/", "supervised/", "autoencoder/"):
        for measure in (
            "linear/features/class/accuracy",
            "retrieval/features/bits/precision",
            "decoder/features/extra_channels_explained",
            "bits/features/",
            "geometry/features/effective_rank",
        ):
            assert any(name.startswith(prefix + measure) for name in values), prefix + measure
    for prefix in ("", "supervised/", "autoencoder/"):
        assert f"{prefix}online_probe/features/class/accuracy" in values
    assert "autoencoder/reconstruction/features/train_extra_channels_error" in values
    assert not any(name.startswith("supervised/reconstruction") for name in values)


def test_tables_pictures_and_tensorboard_have_them_side_by_side(story: Story) -> None:
    workdir, results = story.workdir, story.results
    header = next(line for line in story.output.splitlines() if line.startswith("target  "))
    assert header.split()[-2:] == ["supervised", "autoencoder"]
    names = {path.name for path in (workdir / "pictures").iterdir()}
    assert "decoder-reconstructions.png" in names
    assert {"retrieval-features.png", "retrieval-supervised_features.png"} <= names
    tag = "results/linear/features/class/accuracy"
    for directory, prefix in (
        (workdir, ""),
        (workdir / "baselines" / "supervised", "supervised/"),
        (workdir / "baselines" / "autoencoder", "autoencoder/"),
    ):
        logged = [
            float(tf.make_ndarray(value.tensor))
            for file in (directory / "tensorboard").glob("*tfevents*")
            for event in tf.compat.v1.train.summary_iterator(str(file))
            for value in event.summary.value
            if value.tag == tag
        ]
        expected = results["results"][f"{prefix}linear/features/class/accuracy"]
        np.testing.assert_allclose(logged, [expected], rtol=1e-6)


@pytest.mark.exhaustive
def test_evaluating_later_trains_what_is_missing_and_nothing_else(
    story: Story, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    workdir = story.copy(tmp_path / "run")
    heads = make_evaluators({"heads": "knn,supervised,autoencoder"})
    results = story.results["results"]
    record = evaluate_run(workdir, heads)
    output = capfd.readouterr().out
    assert "Training" not in output
    header = next(line for line in output.splitlines() if line.startswith("target"))
    assert header.split()[-2:] == ["supervised", "autoencoder"]
    assert "supervised/knn/features/class/accuracy" in record["results"]
    assert record["results"].items() <= results.items()
    shutil.rmtree(workdir / "baselines" / "supervised")
    again = evaluate_run(workdir, heads)
    output = capfd.readouterr().out
    assert "Baseline: supervised" in output
    assert "Baseline: autoencoder" not in output
    assert again["results"] == record["results"]


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
