"""Runs of several stages: conditioned negatives, resume, replicas, evaluation, export."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import evaluate, finetune
from ssl_keras.config import Config
from ssl_keras.errors import UserError
from ssl_keras.methods import conditioning
from ssl_keras.run import build, restore_run, run_directory, stages, train_and_evaluate
from ssl_keras.run.export import export_run
from ssl_keras.run.run import train_run
from ssl_keras.run.saved_models import load_encoder
from tests import quick
from tests.run.test_resume import stop_after

pytestmark = pytest.mark.long

TINY: dict[str, Any] = {
    "loss": "nt_xent",
    "num_bits": 6,
    "max_train_images": 128,
    "batch_size": 32,
    "steps": 6,
    "neighbours": 4,
    "stages": 2,
    "stage_epochs": 2,
    "width_multiplier": 0.25,
    "heads": "linear,bits",
    "measure_images": 8,
}

ONE_STAGE: dict[str, Any] = {"stages": None, "stage_epochs": None}


def make(workdir: Path, **settings: Any) -> Config:
    return Config.make(**{**TINY, "workdir": str(workdir), **settings})


def results(workdir: Path) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((workdir / "results.json").read_text())
    return {key: values[key] for key in ("weights_sha256", "results", "history")}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data_dir: str) -> Path:
    workdir = tmp_path_factory.mktemp("stages") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        quick.without_exports(patch)
        train_and_evaluate(make(workdir))
    return workdir


@pytest.mark.full
def test_a_stage_is_a_run_of_its_own_and_its_weights_are_taken_over(whole: Path) -> None:
    earlier = restore_run(whole / stages.FOLDER)
    assert earlier.config.method.stages == 1
    assert earlier.config.method.grouped is None
    assert (earlier.total_steps, earlier.config.baselines) == (8, [])
    setup = restore_run(whole)
    first, last = setup.model.stages
    for ours, theirs in zip(first.get_weights(), earlier.model.encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert all(np.abs(a - b).max() > 0 for a, b in _kernels(first, last))
    # An ordinary run of the first stage's settings gives the same encoder.
    alone = train_run(earlier.config.in_directory(whole.with_name("alone")))
    alone.claimed.release()
    record = json.loads((whole / stages.FOLDER / "results.json").read_text())
    assert alone.record.weights_sha256 == record["weights_sha256"]


def _kernels(first: Any, last: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    pairs = zip(first.trainable_weights or first.weights, last.weights, strict=False)
    return [(a.numpy(), b.numpy()) for a, b in pairs if len(a.shape) > 1]


@pytest.mark.full
def test_each_stage_and_their_concatenation_are_measured(whole: Path) -> None:
    found = results(whole)["results"]
    layers = {name.split("/")[1] for name in found if name.startswith("linear/")}
    assert layers == {"features", "stage_1", "stage_2", "projection_1", "projection_2"}
    assert "online_probe/stage_2/class/accuracy" in found
    model = restore_run(whole).model
    inputs = tf.random.stateless_uniform([5, 28, 28, 7], [0, 1])
    features, first, last, *_ = model.representations(inputs)
    np.testing.assert_array_equal(features, np.concatenate([first, last], axis=1))


@pytest.mark.full
def test_batches_are_groups_of_examples_with_near_projections(whole: Path) -> None:
    """Neighbours of the first stage, which reads bits, share more bits than two at random."""
    setup = build(make(whole))
    stages.prepare(setup, whole, lambda config: pytest.fail("it is trained already"))
    labels = setup.data.train.read_labels("bits")
    rows = np.concatenate([setup.train.step_rows(step, 32, 0).numpy() for step in range(4)])
    assert sorted(rows) == list(range(128))
    groups = labels[rows].reshape(-1, 4, 6)
    inside = np.mean(groups == groups[:, :1])
    shuffled = labels[np.random.default_rng(0).permutation(128)].reshape(-1, 4, 6)
    assert inside > np.mean(shuffled == shuffled[:, :1]) + 0.05


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(5, id="in the first stage", marks=pytest.mark.exhaustive),
        pytest.param(10, id="in the last stage", marks=pytest.mark.exhaustive),
    ],
)
def test_stopped_and_resumed_equals_never_stopped(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    config = make(tmp_path / "run")
    if step < 8:
        told = stop_after(step, config, monkeypatch)
        assert not (tmp_path / "run" / "results.json").exists()
    else:  # the first stage is there already
        config = make(tmp_path / "run")
        told = stop_after(3, config, monkeypatch)  # in the first stage
        train_stage(tmp_path / "run", config)
        told = stop_after(3, config, monkeypatch)
    assert f"--workdir={tmp_path / 'run'}" in told or str(tmp_path / "run") in told
    train_and_evaluate(config)
    assert results(tmp_path / "run") == results(whole)


@pytest.mark.exhaustive
def test_groups_of_the_size_that_the_stage_finds_are_those_of_that_size(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = json.loads((whole / "results.json").read_text())
    assert about["group_size"] is None  # it is given
    monkeypatch.setattr(conditioning, "near_neighbours", lambda cosines: 5)
    workdir = tmp_path / "run"
    config = make(workdir, neighbours=0)
    stop_after(1, config, monkeypatch)  # in the first stage
    shutil.rmtree(workdir / stages.FOLDER)
    shutil.copytree(whole / stages.FOLDER, workdir / stages.FOLDER)
    stop_after(3, config, monkeypatch)
    train_and_evaluate(config)
    assert results(workdir) == results(whole)
    about = json.loads((workdir / "results.json").read_text())
    assert (about["near_neighbours"], about["group_size"]) == (5, 4)


@pytest.mark.full
@pytest.mark.parametrize(
    ("near", "settings", "size"),
    [
        (None, {}, 32),
        (1, {}, 2),
        (7, {}, 4),  # of 2, 4, 8, 16, 32
        (40, {}, 32),
        (40, {"micro_batch": 8}, 8),
        (5, {"batch_size": 30}, 5),
        (5, {"neighbours": 8}, 8),
    ],
)
def test_the_size_of_groups_fills_the_batch(
    near: int | None, settings: dict[str, Any], size: int
) -> None:
    setup = build(Config.make(**{**TINY, "neighbours": 0, **settings}))
    assert ("whose size" in setup.loss.compared_with(32)) == ("neighbours" not in settings)
    assert setup.fit_groups(near) == size
    assert setup.loss.compared_with(32).endswith(f", in groups of {size}")
    assert setup.loss.size == setup.model.contrastive_loss.size == size
    assert setup.chance_levels["contrastive_accuracy"](0) == 1 / size


def train_stage(workdir: Path, config: Config) -> None:
    earlier = build(config).config.earlier_stage().in_directory(workdir / stages.FOLDER)
    train_and_evaluate(earlier)


@pytest.mark.exhaustive
def test_two_devices_equal_one(whole: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    train_and_evaluate(make(shared, strategy="mirrored", devices=2))
    alone, both = (results(folder)["history"][-1] for folder in (whole, shared))
    assert both["loss"] == pytest.approx(alone["loss"], rel=0.02)


@pytest.mark.full
@pytest.mark.exports
def test_the_export_holds_all_stages(whole: Path, tmp_path: Path) -> None:
    export_run(whole, tmp_path / "exported")  # compared in a fresh process
    setup = restore_run(whole)
    batch = next(iter(setup.data.test.batches(7)))
    encoder = load_encoder(tmp_path / "exported")
    found = encoder(setup.data.inputs(batch))
    expected = setup.model.encoder(setup.data.inputs(batch), training=False)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found.shape[1] == 2 * setup.model.stages[0].output_shape[1]


@pytest.mark.exhaustive
def test_it_is_evaluated_again_and_fine_tuned(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main(["evaluate", f"--run={whole}", "--heads=linear"]) == 0
    again = json.loads(next((whole / "evaluations").glob("*.json")).read_text())
    name = "linear/stage_2/class/accuracy"
    assert again["results"][name] == results(whole)["results"][name]
    arguments = [f"--run={whole}", "--label_fraction=0.5", "--finetune_from=projection_1"]
    assert finetune.main(["finetune", *arguments, "--epochs=1"]) == 0
    assert "class" in capsys.readouterr().out


@pytest.mark.exhaustive
@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize(
    "settings",
    [
        {"condition_on": "clusters", "clusters": 3, "stage_epochs": 1},
        {"condition_on": "bits", **ONE_STAGE},
        {"condition_on": "nothing", **ONE_STAGE},
    ],
    ids=lambda settings: settings["condition_on"],
)
def test_other_conditions(tmp_path: Path, settings: dict[str, Any]) -> None:
    config = make(tmp_path / "run", steps=2, **settings)
    train_and_evaluate(config)
    count = config.method.grouped.stages  # type: ignore[union-attr]
    folders = [tmp_path / "run" / "/".join([stages.FOLDER] * k) for k in range(count)]
    assert all(run_directory.finished(folder) for folder in folders)
    found = results(tmp_path / "run")["results"]
    assert (f"linear/stage_{count}/class/accuracy" in found) == (count > 1)
    if settings["condition_on"] == "bits":
        setup = build(config)
        stages.prepare(setup, tmp_path / "run", pytest.fail)
        rows = setup.train.step_rows(0, 32, 0).numpy()
        groups = setup.data.train.read_labels("bits")[rows].reshape(-1, 4, 6)
        assert np.mean(groups == groups[:, :1]) > 0.75


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (ONE_STAGE, "takes the groups from an earlier stage: add --stages=2"),
        ({"condition_on": "clas", **ONE_STAGE}, "did you mean class?"),
        ({"batch_size": 30}, "groups of 4 examples \\(neighbours\\) cannot fill the 30"),
        ({"method": "two_towers"}, "has one stage"),
        ({"neighbours": 1}, "give 2 or more; 0 takes the size of groups from the neighbours"),
        ({"neighbours": 0, "condition_on": "bits", **ONE_STAGE}, "with condition_on=bits: give 2"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        build(make(tmp_path / "run", **settings))


def test_options_without_groups_are_refused_and_a_default_batch_fits() -> None:
    with pytest.raises(UserError, match="stages has no effect"):
        Config.make(stages=2)
    values = {**TINY, "neighbours": 3, "batch_size": None, "max_train_images": None}
    config = Config.make(**values)
    setup = build(config)
    assert setup.config.optimization.batch_size == 249
    assert setup.chance_levels["contrastive_accuracy"](0) == pytest.approx(1 / 3)
    setup = build(Config.make(**{**values, "neighbours": 0}))
    assert setup.config.optimization.batch_size == 240  # which groups of many sizes fill
