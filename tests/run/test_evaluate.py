"""Evaluating a finished run later: the same numbers as in the run, other heads, refusals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import evaluate
from ssl_keras.config import Config, make_evaluators
from ssl_keras.errors import UserError
from ssl_keras.methods.simclr import SimCLR
from ssl_keras.run import evaluate_run
from tests.run.conftest import Story


@pytest.fixture(scope="module")
def copied(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a finished run."""
    return story.copy(tmp_path_factory.mktemp("evaluate") / "run")


def test_the_heads_of_the_run_give_its_numbers_again(
    copied: Path, story: Story, capfd: pytest.CaptureFixture[str]
) -> None:
    record = evaluate_run(copied, make_evaluators({}))
    heads = ("linear", "knn", "geometry", "bits", "online_probe")
    prefixes = [f"{p}{head}/" for p in ("", "untrained/", "shuffled_labels/") for head in heads]
    results = story.results["results"]
    assert record["results"] == {
        name: value for name, value in results.items() if name.startswith(tuple(prefixes))
    }
    (path,) = (copied / "evaluations").glob("linear-knn-geometry-bits-*.json")
    assert json.loads(path.read_text())["results"] == record["results"]
    output = capfd.readouterr().out
    for title in ("Test accuracy on 1000 images", "How many of the 2 bits", "Geometry of 1000"):
        assert title in output


@pytest.mark.full
def test_evaluation_that_moves_the_model_is_noticed(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir = story.copy(tmp_path / "run")

    def careless(self: SimCLR, inputs: tf.Tensor) -> list[tf.Tensor]:
        return [self.encoder(inputs, training=True)] * 3

    monkeypatch.setattr(SimCLR, "representations", careless)
    with pytest.raises(RuntimeError, match="changed the weights or batch-norm statistics"):
        evaluate_run(workdir, make_evaluators({"heads": "knn"}))
    assert not (workdir / "evaluations").exists()


def test_labels_that_say_nothing_give_chance(story: Story) -> None:
    values = story.results["results"]
    # Four standard deviations of the share of 1000 answers that are right by chance.
    for head in ("linear", "knn", "linear_sgd"):
        accuracy = values[f"shuffled_labels/{head}/features/class/accuracy"]
        assert abs(accuracy - 0.1) < 4 * (0.1 * 0.9 / 1000) ** 0.5
    shuffled = [key for key in values if key.startswith("shuffled_labels")]
    assert {tuple(key.split("/")[1:4:2]) for key in shuffled} == {
        (head, "class") for head in ("linear", "knn", "linear_sgd", "mean_classifier", "retrieval")
    }


@pytest.mark.exhaustive
def test_other_heads_are_kept_beside_and_repeats_give_a_spread(
    copied: Path,
) -> None:
    workdir = copied
    arguments = ["evaluate", f"--run={workdir}", "--heads=mean_classifier", "--repeats=3"]
    assert evaluate.main([*arguments, "--mean_classifier_shots=2"]) == 0
    (path,) = (workdir / "evaluations").glob("mean_classifier-*.json")
    record = json.loads(path.read_text())
    assert record["heads"]["mean_classifier"]["mean_classifier_shots"] == 2
    name = "mean_classifier/features/class/few_shot_accuracy"
    single = [
        evaluate_run(
            workdir,
            make_evaluators(record["heads"]["mean_classifier"] | {"heads": "mean_classifier"}),
            seed,
        )["results"][name]
        for seed in range(3)
    ]
    np.testing.assert_allclose(record["results"][name], np.mean(single))
    np.testing.assert_allclose(record["results"][f"{name}_sd"], np.std(single, ddof=1))


@pytest.mark.full
def test_the_saved_model_of_a_run_gives_its_numbers_again(copied: Path, story: Story) -> None:
    workdir, results = copied, story.results
    heads = make_evaluators({"heads": "linear,knn"})
    record = evaluate_run(workdir / "saved_model", heads)
    (path,) = (workdir / "saved_model-evaluations").glob("linear-knn-*.json")
    assert json.loads(path.read_text())["results"] == record["results"]
    keys = [k for k in record["results"] if k.startswith(("linear/", "knn/", "shuffled_labels/"))]
    assert {key.split("/")[1] for key in keys} >= {"features", "projection_1", "projection_2"}
    for key in keys:
        np.testing.assert_allclose(record["results"][key], results["results"][key], atol=2e-3)


def test_a_saved_model_elsewhere_is_evaluated_on_the_data_it_is_given(
    story: Story, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "model"
    shutil.copytree(story.workdir / "saved_model", copy)
    command = ["evaluate", f"--run={copy}", "--heads=knn"]
    assert evaluate.main(command) == 2
    assert "does not lie in the directory of its run: say which data" in capfd.readouterr().err
    assert evaluate.main([*command, "--dataset=plain"]) == 2
    error = capfd.readouterr().err
    assert "takes images of 28x28x3, but mnist_5k gives 28x28x1" in error
    assert (
        evaluate.main([*command, "--dataset=bit_concat", "--num_bits=2", "--max_train_images=1000"])
        == 0
    )
    (path,) = (tmp_path / "model-evaluations").glob("knn-*.json")
    found = json.loads(path.read_text())["results"]
    name = "knn/features/class/accuracy"
    np.testing.assert_allclose(found[name], story.results["results"][name], atol=2e-3)
    (copy / "saved_model.pb").write_bytes(b"nothing of the kind")
    assert evaluate.main([*command, "--dataset=bit_concat"]) == 2
    assert f"The SavedModel {copy} cannot be read" in capfd.readouterr().err


def test_a_foreign_saved_model_without_images_or_features_is_refused(tmp_path: Path) -> None:
    module = tf.Module()
    function = tf.function(lambda x: {"y": 2.0 * x})
    signature = function.get_concrete_function(tf.TensorSpec((None, 3), tf.float32))
    tf.saved_model.save(module, str(tmp_path / "a"), signatures=signature)
    with pytest.raises(UserError, match="takes images of 3, but 2 random bits"):
        evaluate_run(tmp_path / "a", make_evaluators({}), config=Config.make())
    tf.saved_model.save(module, str(tmp_path / "b"))
    with pytest.raises(UserError, match="has no signature representations or serving_default"):
        evaluate_run(tmp_path / "b", make_evaluators({}), config=Config.make())


def test_data_flags_are_for_saved_models(story: Story, capfd: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["evaluate", f"--run={story.workdir}", "--num_bits=3"]) == 2
    assert "num_bits is for a SavedModel" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Which run? Give its directory: --run=DIR."),
        (["--run=/no/run"], "The run /no/run does not exist"),
        (["--run=x", "--heads=knnn"], "Unknown head 'knnn'. Did you mean 'knn'?"),
        (["--run=x", "--heads=linear", "--knn_k=3"], "knn_k belongs to the evaluator 'knn'"),
        (["--run=x", "--heads="], "heads is empty: name at least one evaluator"),
        (["--run=x", "--repeats=0"], "repeats must be at least 1"),
        (["--run=x", "--loss=nt_xent"], "Unknown flag --loss"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main(["evaluate", *arguments]) == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_neighbours_beyond_the_data_are_refused(
    story: Story, capfd: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main(["evaluate", f"--run={story.workdir}", "--knn_k=1001"]) == 2
    assert "knn_k is 1001, but there are 1000 training images" in capfd.readouterr().err


def test_help_lists_the_settings_of_heads_only(capfd: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["evaluate", "--help"]) == 0
    text = capfd.readouterr().out
    assert "--knn_k" in text
    assert "--run" in text
    assert "--batch_size" not in text
