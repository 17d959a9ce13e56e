"""A whole run at small size: the directory, determinism, what is refused, and nothing lost."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import randomness
from ssl_keras.cli import flags
from ssl_keras.config import Config, make_evaluators
from ssl_keras.datasets import DataSet, Target
from ssl_keras.errors import UserError
from ssl_keras.evaluators import EVALUATORS, Baseline
from ssl_keras.networks.dropout import dropout_keys
from ssl_keras.run import (
    build,
    evaluate_run,
    messages,
    restore_run,
    run_directory,
    train_and_evaluate,
)
from ssl_keras.run.geometry import GeometryLog, build_measure, diagnosis
from tests.run.conftest import HEADS, STORY, Story

LAYERS = ("features", "projection_1", "projection_2")
# Without evaluators, and without their options.
HEADLESS = {"heads": "", "decoder_steps": None, "linear_sgd_epochs": None}
# Small runs with one graph, which is traced for the first of them.
QUICK = {"heads": "knn,autoencoder", "max_train_images": 100, "measure_images": 0}
SMALL = {"num_bits": 2, "steps": 6, "batch_size": 64, "log_every": 2, "width_multiplier": 0.25}


def run(workdir: Path, **values: Any) -> dict[str, Any]:
    return train_and_evaluate(
        Config.make(
            **{k: v for k, v in {**SMALL, **values}.items() if v is not None}, workdir=str(workdir)
        )
    )


def comparable(results: dict[str, Any]) -> dict[str, Any]:
    return {
        key: value for key, value in results.items() if key not in ("times", "paths", "requested")
    }


def scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for file in directory.glob("events.*"):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == "scalars":
                    number = float(tf.make_ndarray(value.tensor))
                    found.setdefault(value.tag, []).append((event.step, number))
                else:
                    found.setdefault(value.tag, [])
    return found


def test_the_directory_holds_everything(story: Story) -> None:
    workdir, results = story.workdir, story.results
    names = {path.name for path in workdir.iterdir()} - {".lock"}
    assert names == set(run_directory.NAMES) - {
        "earlier_stage",
        "evaluations",
        "finetuned",
        "shorter",
        "non_finite.json",
        "initial_encoder.keras",
    }
    assert json.loads((workdir / "results.json").read_text()) == results
    kept = json.loads((workdir / "config.json").read_text())
    assert kept.pop("format") == run_directory.FORMAT
    requested = Config.make(**STORY)
    assert kept.pop("requested") == requested.replayable()
    assert results["requested"] == requested.determining()
    assert results["config"].items() <= kept.items()
    assert set(kept) - set(results["config"]) == {
        "download",
        "plugins",
        "profile_steps",
        "quiet",
        "log_json",
        "checkpoint_minutes",
        "checkpoint_keep",
        "data_digests",
        "export",
    }
    assert [record["step"] for record in results["history"]] == [2, 4, 6]
    assert results["training"] == results["history"][-1]
    assert results["setup"]["encoder"].startswith("convnet, ")
    assert {path.stem for path in (workdir / "checkpoints").iterdir()} == {"step-6"}
    times = results["times"]
    parts = ("build", "control", "training", "baselines", "evaluation", "export")
    assert sum(times[part] for part in parts) <= times["total"]


def test_what_to_do_next_repeats_the_flags_of_the_run(story: Story) -> None:
    lines = [line.split() for line in story.output.split("Next:\n")[1].splitlines()]
    assert lines[0][1:] == ["--logdir", str(story.workdir)]
    programs = [words[2].removeprefix("ssl_keras.") for words in lines[1:]]
    assert programs == ["train", "train", "finetune"]  # every head has been evaluated
    more, other = (flags.parse(words[2:], flags.define()) for words in lines[1:3])
    assert more == Config.make(**{**STORY, "num_bits": 4})
    without = {name: value for name, value in STORY.items() if name != "distribution_weight"}
    assert other == Config.make(**{**without, "loss": "nt_xent"})
    assert f"--run={story.workdir}" in lines[3]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ["train --num_bits=4", "train --loss=nt_xent", "evaluate R --heads=retrieval"]),
        (
            {"dataset": "table", "source": "wine", "loss": "nt_xent", "temperature": 0.3},
            ["train --dataset=table --source=wine", "evaluate R --heads=retrieval"],
        ),
        (
            {"method": "autoencoder", "num_bits": 16, "heads": "retrieval", "workdir": "x y"},
            ["train --loss=nt_xent --heads=retrieval --num_bits=16", "evaluate R --heads=knn"],
        ),
        ({"flip": True, "num_bits": 0}, ["train --flip --num_bits=1"]),
        (
            {"loss": "nt_xent", "loss_impl": "tiled", "num_bits": 0},
            ["train --num_bits=0", "train --loss=nt_xent --loss_impl=tiled --num_bits=1"],
        ),
    ],
    ids=str,
)
def test_what_to_do_next_fits_the_run(values: dict[str, Any], expected: list[str]) -> None:
    targets = {"class": Target("class", "class", 10, 0.1, 0.1)}
    config = Config.make(**values)
    setup: Any = SimpleNamespace(requested=config, data=SimpleNamespace(targets=targets))
    lines = messages._next(setup, Path("a run"))
    assert [line for line in lines if line.startswith("finetune --run='a run'")]
    for line in expected:
        assert line.replace(" R ", " --run='a run' ") in lines
    for words in map(shlex.split, lines):
        if words[0] == "train":
            flags.parse(words, flags.define())


def test_finished_is_a_state(story: Story, tmp_path: Path) -> None:
    assert story.results["finished"] is True
    workdir = story.copy(tmp_path / "run")
    assert run_directory.finished(workdir)
    assert run_directory.finished(workdir / "baselines" / "supervised")
    # Whatever else is known: it says by itself whether it has ended.
    for state in ({**story.results, "finished": False}, {"finished": "yes"}, {}, []):
        (workdir / "results.json").write_text(json.dumps(state))
        assert not run_directory.finished(workdir)
    (workdir / "results.json").unlink()
    assert not run_directory.finished(workdir)


def test_results_cover_every_head_and_layer(story: Story) -> None:
    values = story.results["results"]
    for head in ("linear", "knn", "linear_sgd", "mean_classifier"):
        for layer in LAYERS:
            for measure in ("class/accuracy", "bits/accuracy", "bits/all_right"):
                assert f"{head}/{layer}/{measure}" in values
            # A vector that is right has right entries; one with a wrong entry has one at most.
            accuracy, whole = (
                values[f"{head}/{layer}/bits/{name}"] for name in ("accuracy", "all_right")
            )
            assert whole <= accuracy <= (1 + whole) / 2 + 1e-9
        assert f"untrained/{head}/features/class/accuracy" in values
    assert values["linear/features/bits/all_right"] > 0.9
    assert set(story.results["protocol"]) == set(HEADS)


def test_neighbours_vote_as_the_table_says(story: Story) -> None:
    setup = restore_run(story.workdir)
    data = setup.data
    train, test = (
        [x.numpy() for x in setup.model.representations(data.inputs({"example": split.example}))]
        for split in (data.train, data.test)
    )
    for layer, keys, queries in zip(LAYERS, train, test, strict=True):
        keys, queries = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (keys, queries))
        right = 0
        for cosines, label in zip(queries @ keys.T, data.test.labels["class"], strict=True):
            votes = np.zeros(10)
            for row in np.argsort(-cosines)[:20]:
                votes[data.train.labels["class"][row]] += np.exp(cosines[row] / 0.07)
            right += int(votes.argmax() == label)
        measured = story.results["results"][f"knn/{layer}/class/accuracy"]
        # Two images whose votes are as good as equal may fall to the other side.
        assert abs(measured - right / 1000) <= 0.002


def test_event_file_holds_the_documented_tags(story: Story) -> None:
    results = story.results
    logged = scalars(story.workdir / "tensorboard")
    assert [step for step, _ in logged["train/loss"]] == [2, 4, 6]
    for tag in (
        "train/alignment",
        "train/distribution",
        "train/contrastive_accuracy",
        "accuracy/class/linear_probe",
        "accuracy/bits/linear_probe",
        "optimization/learning_rate",
        "optimization/distribution_weight",
        "speed/steps_per_second",
        "geometry/features/effective_rank",
        "geometry/projections/uniformity",
        "geometry/projections/tolerance/class",
        "geometry/projections/distance_to_cube",
    ):
        assert len(logged[tag]) == 3
    weights = [value for _, value in logged["optimization/distribution_weight"]]
    np.testing.assert_allclose(weights, [3, 4, 5])
    assert {"similarities/positives", "similarities/negatives"} <= set(logged)
    assert "views" in logged
    ((step, value),) = logged["results/linear/features/class/accuracy"]
    assert step == 6
    np.testing.assert_allclose(value, results["results"]["linear/features/class/accuracy"])
    np.testing.assert_allclose(logged["train/loss"][-1][1], results["training"]["loss"], rtol=1e-6)


@pytest.mark.full
def test_geometry_is_measured_while_training_and_after(story: Story) -> None:
    results = story.results
    assert [record["step"] for record in results["geometry_history"]] == [2, 4, 6]
    for record in results["geometry_history"]:
        # Of points on the sphere: distances of at most 2, and 254 others for each of 2 * 128.
        assert -8 < record["projections/uniformity"] < 0
        assert 0 < record["projections/penalty_entropy"] < np.log(254)
    values = results["results"]
    for layer, dim in zip(LAYERS, (32, 256, 64), strict=True):
        assert 1 <= values[f"geometry/{layer}/effective_rank"] <= dim
    # The last measurement is one of the restored network.
    setup = restore_run(story.workdir)
    again = build_measure(setup, setup.config.run.measure_images)(6)
    for name, value in results["geometry_history"][-1].items():
        if name != "step":
            np.testing.assert_allclose(again[name], value, rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.exhaustive
def test_measuring_changes_nothing_in_the_training(story: Story, tmp_path: Path) -> None:
    options = {**STORY, **HEADLESS, "profile_steps": None}
    without = run(tmp_path / "run", **{**options, "measure_images": 0})
    assert without["weights_sha256"] == story.results["weights_sha256"]
    assert without["geometry_history"] == []
    rarely = run(tmp_path / "rarely", **options, measure_every=5)
    assert [record["step"] for record in rarely["geometry_history"]] == [2, 6]
    assert rarely["weights_sha256"] == story.results["weights_sha256"]


@pytest.mark.exhaustive
def test_scheduled_hyperparameters_change_the_training_and_are_logged(tmp_path: Path) -> None:
    options = {"loss": "nt_xent", "heads": "", "measure_images": 0}
    results = run(tmp_path / "run", temperature="linear:1.0:0.1", **options)
    assert "temperature=linear:1.0:0.1" in results["setup"]["loss"]
    logged = scalars(tmp_path / "run" / "tensorboard")["optimization/temperature"]
    np.testing.assert_allclose([value for _, value in logged], [0.7, 0.4, 0.1], rtol=1e-5)
    start = run(tmp_path / "start", temperature=1.0, **options)
    assert start["weights_sha256"] != results["weights_sha256"]
    # The step that makes the first log used progress 0 and 1/6.
    setup = build(Config.make(**SMALL, loss="nt_xent", temperature="linear:1.0:0.1"))
    assert setup.model.progress(tf.constant(3, tf.int64)) == 0.5


@pytest.mark.usefixtures("eagerly")
@pytest.mark.exhaustive
def test_a_warning_is_told_at_once_and_at_the_end(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    values = {"loss": "hypersphere_prior", "distribution_weight": 0}
    results = run(tmp_path / "run", steps=40, log_every=10, heads="", **values)
    assert "distribution_weight is 0, so nothing keeps examples apart" in results["warning"]
    told = capfd.readouterr()
    # At once, and again in the end.
    assert f"Warning: {results['warning']}" in told.err
    assert f"Warning: {results['warning']}" in told.out


@pytest.mark.full
def test_measuring_divergence_is_a_sentence(bit_data: DataSet) -> None:
    setup = build(Config.make(**SMALL), bit_data)
    measure = build_measure(setup, 16)
    log = GeometryLog(measure, NoBoard(), 1, lambda *_: None, "Do this.")  # type: ignore[arg-type]
    log.on_start(0, 6)
    log.on_log(1, {"loss": 1.0})
    setup.model.projection_head.trainable_variables[0].assign(
        setup.model.projection_head.trainable_variables[0] * np.nan
    )
    with pytest.raises(UserError, match=r"not finite numbers at step 2: .*Do this\."):
        log.on_log(2, {"loss": 1.0})


class NoBoard:
    """Takes what would be written, and forgets it."""

    def scalars(self, *_: Any) -> None:
        """Nothing."""

    def histogram(self, *_: Any) -> None:
        """Nothing."""


HEALTHY = {"projections/uniformity": -2.0, "projections/effective_rank": 20.0}


@pytest.mark.full
@pytest.mark.parametrize(
    ("values", "loss", "measures", "message"),
    [
        ({"loss": "nt_xent"}, 4.0, {}, None),
        ({"loss": "nt_xent"}, 4.76, {}, None),
        # At a high temperature every value is close to that of equal projections.
        ({"loss": "nt_xent", "temperature": 20.0}, np.log(127) - 0.04, {}, None),
        (
            {"loss": "nt_xent"},
            np.log(127),
            {},
            r"^nothing lowers the loss at step 50 \(loss 4.844, that of equal projections\)",
        ),
        (
            {"loss": "nt_xent"},
            4.0,
            {"projections/uniformity": -0.04},
            r"^the projections have collapsed at step 50 \(uniformity -0.040\)",
        ),
        (
            {"loss": "nt_xent"},
            4.0,
            {"projections/effective_rank": 1.05},
            r"\(effective rank 1.05 of 64\). No single cause is evident; try a lower "
            r"--learning_rate or a lower --temperature",
        ),
        ({"loss": "triplet", "mining": "hard"}, 0.2, {}, "mining=hard from the start"),
        (
            {"loss": "align_uniform", "uniformity_weight": 0},
            0.0,
            {},
            "uniformity_weight is 0, so nothing keeps examples apart",
        ),
        (
            {"loss": "nt_xent", "learning_rate": 0.1},
            np.log(127),
            {},
            "a learning rate of 0.1, where 0.001 is usual",
        ),
        (
            {"loss": "simple", "distribution_weight": 0.1},
            -0.9,
            {},
            "try a lower --learning_rate or a higher --distribution_weight",
        ),
    ],
)
def test_a_collapse_is_recognised_and_its_cause_named(
    values: dict[str, Any],
    loss: float,
    measures: dict[str, float],
    message: str | None,
    bit_data: DataSet,
) -> None:
    setup = build(Config.make(**{**SMALL, **values, "steps": 100}), bit_data)
    diagnose = diagnosis(setup)
    assert diagnose(9, {"loss": loss}, {**HEALTHY, **measures}) is None  # too early to tell
    found = diagnose(50, {"loss": loss}, {**HEALTHY, **measures})
    if message is None:
        assert found is None
    else:
        assert found is not None
        assert re.search(message, found)


def test_a_finished_run_is_restored(story: Story, tmp_path: Path) -> None:
    workdir, results = story.workdir, story.results
    restored = restore_run(workdir)
    from ssl_keras.run.checkpoints import weights_digest

    assert weights_digest(restored.model.variables) == results["weights_sha256"]
    with pytest.raises(UserError, match="does not exist: give the directory of a finished run"):
        restore_run(tmp_path / "none")
    (tmp_path / "some").mkdir()
    with pytest.raises(UserError, match="is not the directory of a run"):
        restore_run(tmp_path / "some")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("results.json", None, "is not finished: it has no results.json"),
        ("results.json", "{", "results.json cannot be read: .*; repeat the run"),
        ("config.json", "[", "config.json cannot be read"),
    ],
)
def test_a_damaged_run_is_refused(
    story: Story,
    tmp_path: Path,
    name: str,
    content: str | None,
    message: str,
) -> None:
    copy = story.copy(tmp_path / "copy")
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_text(content)
    with pytest.raises(UserError, match=message):
        restore_run(copy)


def test_other_weights_than_those_measured_are_refused(story: Story, tmp_path: Path) -> None:
    copy = story.copy(tmp_path / "copy")
    results = json.loads((copy / "results.json").read_text())
    (copy / "results.json").write_text(json.dumps({**results, "weights_sha256": "0"}))
    with pytest.raises(UserError, match="are not those that the results of the run were measured"):
        restore_run(copy)
    for file in (copy / "checkpoints").glob("*.data*"):
        file.write_bytes(b"torn")
    with pytest.raises(UserError, match=r"No checkpoint in .* can be read"):
        restore_run(copy)


@pytest.mark.exhaustive
def test_flags_txt_repeats_the_run(story: Story, tmp_path: Path) -> None:
    flagfile = story.workdir / "flags.txt"
    arguments = ["program", f"--flagfile={flagfile}", f"--workdir={tmp_path / 'replay'}"]
    config = flags.parse(arguments, flags.define())
    assert config.determining() == story.results["config"]
    assert config.flagfile_text() == "".join(flagfile.read_text().splitlines(True)[1:])
    # The baselines are the same method on its own, see test_baselines; numbers of the two others
    # are held by test_numbers.
    dear = ("decoder", "local_features")
    heads = [n for n in HEADS if not issubclass(EVALUATORS[n], Baseline) and n not in dear]
    replay = train_and_evaluate(config.with_values(heads=",".join(heads)))
    kept = {n: v for n, v in story.results["config"].items() if not n.startswith(dear)}
    assert replay["config"] == {**kept, "heads": ",".join(heads)}
    assert replay["results"].items() <= story.results["results"].items()
    assert {name.split("/")[0] for name in replay["results"]} >= {*heads, "untrained"}
    for key in ("weights_sha256", "history", "geometry_history", "data", "engine"):
        assert replay[key] == story.results[key], key


def test_another_seed_gives_other_weights_batches_and_views(bit_data: DataSet) -> None:
    one, other = (build(Config.make(**SMALL, seed=seed, heads=""), bit_data) for seed in (0, 1))
    kernels = [setup.model.encoder.trainable_variables[0].numpy() for setup in (one, other)]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01
    rows = [bit_data.train.step_rows(3, 64, seed).numpy() for seed in (0, 1)]
    assert np.any(rows[0] != rows[1])
    batch = next(iter(bit_data.train.batches(8)))
    views = [setup.model.augmenter.two_views(batch, tf.constant(3))[0] for setup in (one, other)]
    assert np.any(views[0]["image"].numpy() != views[1]["image"].numpy())


def test_saved_model_gives_the_features_that_were_evaluated(story: Story) -> None:
    setup = restore_run(story.workdir)
    batch = next(iter(setup.data.test.batches(9)))
    inputs = setup.data.inputs(batch)
    expected = [layer.numpy() for layer in setup.model.representations(inputs)]
    loaded = tf.saved_model.load(str(story.workdir / "saved_model"))
    features = loaded.signatures["representations"](inputs=inputs)
    for name, values in zip(LAYERS, expected, strict=True):
        np.testing.assert_allclose(features[name], values, rtol=1e-4, atol=1e-5)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(loaded.representations(inputs)["features"] ** 2)
    gradients = tape.gradient(value, loaded.trainable_variables)
    # Four kernels of the encoder, with the beta and gamma of the batch norm behind each; what comes
    # after the features has no part in them.
    assert sum(gradient is not None and np.any(gradient) for gradient in gradients) == 12


@pytest.mark.usefixtures("eagerly")
@pytest.mark.exhaustive
@pytest.mark.parametrize("layers", [0, 3])
def test_every_depth_of_the_head_runs(layers: int, tmp_path: Path) -> None:
    options: dict[str, Any] = {"steps": 2, **QUICK, "heads": "knn"}
    results = run(tmp_path / "run", projection_layers=layers, **options)["results"]
    measured = {name.split("/")[1] for name in results if name.startswith("knn/")}
    assert measured == {"features", *(f"projection_{i + 1}" for i in range(layers))}


@pytest.mark.full
@pytest.mark.parametrize(
    "values",
    [
        {"views": "mixup", "mixup_kind": "geometric", "mixup_extra_channels": True},
        {"views": "augment,mixup,dropout", "mixup_kind": "binary", "mixed_precision": "bfloat16"},
    ],
    ids=str,
)
def test_the_first_loss_is_that_of_the_views_of_the_first_batch(
    values: dict[str, Any], tmp_path: Path
) -> None:
    results = run(tmp_path / "run", steps=1, log_every=1, heads="", measure_images=0, **values)
    setup = build(Config.make(**{**SMALL, **values, "steps": 1, "heads": ""}))
    model = setup.model
    batch = next(iter(setup.data.train.training_batches(64, seed=0, num_steps=1)))
    views, keys = model.augmenter.two_views(batch, tf.constant(0, tf.int64))
    with dropout_keys(keys):
        features = model.encoder(setup.data.modality.compose(views), training=True)
    first, second = tf.split(model.outputs(features), 2)
    seed = randomness.fold(randomness.key(0, "loss"), tf.constant(0, tf.int64))
    loss = float(setup.config.loss(first, second, seed=seed))
    rtol = 1e-4 if "mixed_precision" not in values else 0.02
    np.testing.assert_allclose(results["training"]["loss"], loss, rtol=rtol)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.full
def test_unlabelled_data_trains_with_probes_and_heads_off(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    images = np.random.default_rng(0).integers(0, 256, (100, 16, 16)).astype(np.uint8)
    np.savez(tmp_path / "mine.npz", x=images)
    source = f"npz:{tmp_path / 'mine.npz'}"
    results = run(tmp_path / "run", dataset="plain", num_bits=None, source=source, steps=1)
    assert {key.split("/")[-3] for key in results["results"]} == {"geometry"}
    assert not any("tolerance" in key for key in results["results"])
    assert (tmp_path / "run" / "saved_model").is_dir()
    output = capfd.readouterr().out
    assert output.count("no labels") == 2  # the banner and one notice


@pytest.mark.exhaustive
def test_other_axes_run_together(tmp_path: Path) -> None:
    results = run(
        tmp_path / "run",
        dataset="plain",
        num_bits=None,
        loss="decoupled_nt_xent",
        temperature=0.5,
        optimizer="lamb",
        learning_rate_scaling="sqrt",
        learning_rate=1e-4,
        warmup_epochs=0.01,
        weight_decay=1e-4,
        steps_per_execution=4,
        mixed_precision="bfloat16",
        heads="",
        measure_images=0,
    )
    assert results["results"] == {}
    assert results["training"]["step"] == 6
    assert "linear_probe/bits/accuracy" not in results["training"]


@pytest.mark.exhaustive
@pytest.mark.usefixtures("eagerly")
def test_quiet_says_where_the_run_is_and_nothing_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    # A notice is information too.
    results = run(tmp_path / "run", quiet=True, epochs=7, **QUICK)
    printed = capfd.readouterr()
    assert printed.out == f"{tmp_path / 'run'}\n"
    assert printed.err == ""
    assert "autoencoder/knn/features/class/accuracy" in results["results"]
    record = evaluate_run(tmp_path / "run", make_evaluators({"heads": "knn"}))
    assert record["results"].items() <= results["results"].items()


@pytest.mark.usefixtures("eagerly")
@pytest.mark.exhaustive
def test_logs_as_json_are_the_history_and_the_results(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results = run(tmp_path / "run", log_json=True, **QUICK)
    printed = capfd.readouterr()
    assert printed.err == ""
    *logs, last = map(json.loads, printed.out.splitlines())
    assert all(log.pop("images_per_second") > 0 for log in logs)
    # Those of the run alone: its baseline trains in silence.
    assert logs == results["history"]
    assert last == {"workdir": str(tmp_path / "run"), "results": results["results"]}
    assert "quiet" not in results["config"]


@pytest.mark.usefixtures("eagerly")
@pytest.mark.exhaustive
def test_what_was_trained_in_low_precision_is_measured_in_float32(tmp_path: Path) -> None:
    options = {**QUICK, "heads": "knn"}
    results = run(tmp_path / "run", mixed_precision="bfloat16", **options)
    assert results["engine"]["precision"] == "bfloat16"
    assert results["setup"]["precision"].startswith("mixed_bfloat16")
    restored = restore_run(tmp_path / "run")
    assert {layer.compute_dtype for layer in restored.model.encoder.layers} == {"float32"}
    record = evaluate_run(tmp_path / "run", make_evaluators({"heads": "knn"}))
    assert record["results"] == results["results"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"batch_size": 4001}, "batch_size is 4001, but .* has 4000 training examples"),
        ({"knn_k": 4001}, "knn_k is 4001, but there are 4000 training images"),
        (
            {"loss": "hard_contrastive", "num_negatives": 127},
            "num_negatives is 127, but in a batch of 64 images each view has 126 negatives",
        ),
        (
            {"loss": "supcon", "positive_target": "digit"},
            r"needs labels of the target 'digit', but the data has none \(it has class, bits\)",
        ),
        ({"color_strength": 0.5}, "color_strength needs images with 3 channels; these have 1"),
        ({"image_size": 16, "blur": 0.5}, "blur has a kernel of a tenth of the image height"),
        ({"warmup_epochs": 2.0}, "are 124 steps, but only 6 are trained"),
        ({"source": "mnist_6k"}, "Did you mean 'mnist_5k'"),
    ],
)
def test_what_does_not_fit_the_data_is_refused_before_anything_is_written(
    values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        run(tmp_path / "run", **values)
    assert not (tmp_path / "run").exists()


@pytest.mark.full
def test_a_non_finite_loss_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"The loss was not a finite number in step \d+"):
        run(tmp_path / "run", optimizer="sgd", learning_rate=1e30, loss="gaussian_prior")
    assert not (tmp_path / "run" / "results.json").exists()


def test_every_setting_reaches_the_model(bit_data: DataSet) -> None:
    setup = build(
        Config.make(
            **{**SMALL, "steps": 100},
            kernel_l2=0.25,
            jit="on",
            steps_per_execution=3,
            learning_rate=0.5,
            learning_rate_scaling="linear",
            learning_rate_decay="linear",
            warmup_epochs=10 / (4000 // 64),
            probe_learning_rate=0.125,
            optimizer="sgd",
            momentum=0.25,
            weight_decay=0.75,
            projection_batch_norm="all",
            projection_hidden_dim=48,
            projection_dim=24,
            crop_area_min=0.25,
            flip=True,
            mixed_precision="bfloat16",
            seed=9,
        ),
        bit_data,
    )
    model = setup.model
    assert model.kernel_l2 == 0.25
    assert model.jit_compile is True
    assert model.steps_per_execution == 3
    assert model.seed == model.augmenter.seed == 9
    assert model.optimizer.momentum == 0.25
    assert model.optimizer.weight_decay == 0.75
    peak = 0.5 * 64 / 256
    rates = [float(setup.schedule(step)) for step in (5, 10, 55, 100)]
    np.testing.assert_allclose(rates, [peak / 2, peak, peak / 2, 0.0], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(float(model.optimizer._learning_rate(10)), peak, rtol=1e-6)
    np.testing.assert_allclose(float(model.probe_optimizer._learning_rate(10)), 0.125, rtol=1e-6)
    widths = [v.shape for v in model.projection_head.trainable_variables if len(v.shape) == 2]
    assert widths == [(32, 48), (48, 24)]
    assert sum("gamma" in v.path for v in model.projection_head.trainable_variables) == 2
    assert model.augmenter.describe() == ("crop to 0.25 of the area, flip with probability 0.5")
    for variable in model.learned_variables:
        assert model.optimizer._use_weight_decay(variable) == (len(variable.shape) > 1)
    assert model.encoder.layers[1].compute_dtype == "bfloat16"


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd", "lamb"])
def test_every_optimizer_builds_without_decay(optimizer: str, bit_data: DataSet) -> None:
    setup = build(Config.make(**SMALL, optimizer=optimizer, weight_decay=0), bit_data)
    assert not setup.model.optimizer.weight_decay


@pytest.mark.full
def test_the_model_counts_the_steps_whatever_the_execution(bit_data: DataSet) -> None:
    from ssl_keras.run import loop

    setup = build(Config.make(**SMALL, steps_per_execution=4), bit_data)
    batches = bit_data.train.training_batches(64, seed=0, num_steps=6)
    wait = loop.train(setup.model, batches, total_steps=6, steps_per_execution=4, log_every=2)
    assert wait is None
    assert int(setup.model.step) == 6


@pytest.mark.usefixtures("eagerly")
@pytest.mark.exhaustive
def test_evaluation_that_moves_the_model_is_found_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssl_keras.methods.simclr import SimCLR

    def careless(self: SimCLR, images: tf.Tensor) -> list[tf.Tensor]:
        return [self.encoder(images, training=True)] * 3

    monkeypatch.setattr(SimCLR, "representations", careless)
    with pytest.raises(RuntimeError, match="changed the weights or batch-norm statistics"):
        run(tmp_path / "run", heads="knn", max_train_images=200, measure_images=0)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.full
def test_images_with_extra_channels_and_smaller_views(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (200, 24, 24, 4)).astype(np.uint8)
    np.savez(tmp_path / "data.npz", images=images, labels=np.arange(200) % 2)
    source = f"npz:{tmp_path}/data.npz"
    options: dict[str, Any] = {"source": source, "view_size": 16, "num_bits": 3}
    few = {"steps": 2, "heads": "knn", "measure_images": 0}
    results = run(tmp_path / "run", **options, **few, extra_channels_move=False)
    assert "test images of 16x16x7" in results["setup"]["data set"]
    assert "colour jitter" in results["setup"]["views"]
    grey = build(Config.make(**{**SMALL, **options}, image_channels=1))
    assert "colour" not in grey.model.augmenter.describe()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"view_size": 32}, "view_size is 32, but the images of .* are only 28x28 pixels"),
        ({"extra_channels_move": False}, "extra_channels_move has no effect on images, which have"),
        ({"image_channels": 3}, "image_channels is 3, but the images of 'mnist_5k' have 1"),
        (
            {"dataset": "multi_digit", "num_bits": None, "image_channels": 1},
            "image_channels has no effect on 'multi_digit'",
        ),
    ],
)
def test_views_that_do_not_fit_the_images_are_refused(
    values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        run(tmp_path / "run", **values)
