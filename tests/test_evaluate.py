"""Evaluating a finished run later: the same numbers as in the run, other heads, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_keras import evaluate, experiment
from ssl_keras.config import Config, make_heads


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, data_dir: str
) -> tuple[Path, dict[str, Any]]:
    workdir = tmp_path_factory.mktemp("evaluate") / "run"
    config = Config.make(
        loss="nt_xent", steps=6, batch_size=64, width_multiplier=0.25, workdir=str(workdir)
    )
    return workdir, experiment.run(config)


def test_the_heads_of_the_run_give_its_numbers_again(
    finished: tuple[Path, dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    workdir, results = finished
    record = experiment.evaluate(workdir, make_heads({}))
    assert record["results"] == results["results"]
    (path,) = (workdir / "evaluations").glob("linear-knn-geometry-bits-*.json")
    assert json.loads(path.read_text())["results"] == results["results"]
    output = capfd.readouterr().out
    for title in ("Test accuracy on 1000 images", "How many of the 2 bits", "Geometry of 1000"):
        assert title in output


def test_labels_that_say_nothing_give_chance(finished: tuple[Path, dict[str, Any]]) -> None:
    _, results = finished
    for head in ("linear", "knn"):
        values = results["results"]
        assert abs(values[f"shuffled_labels/{head}/features/class/accuracy"] - 0.1) < 0.04
    shuffled = [key for key in values if key.startswith("shuffled_labels")]
    assert {tuple(key.split("/")[1:4:2]) for key in shuffled} == {
        ("linear", "class"),
        ("knn", "class"),
    }


def test_other_heads_are_kept_beside_and_repeats_give_a_spread(
    finished: tuple[Path, dict[str, Any]],
) -> None:
    workdir, _ = finished
    arguments = ["evaluate", f"--run={workdir}", "--heads=mean_classifier", "--repeats=3"]
    assert evaluate.main([*arguments, "--mean_classifier_shots=2"]) == 0
    (path,) = (workdir / "evaluations").glob("mean_classifier-*.json")
    record = json.loads(path.read_text())
    assert record["heads"]["mean_classifier"]["mean_classifier_shots"] == 2
    name = "mean_classifier/features/class/few_shot_accuracy"
    single = [
        experiment.evaluate(
            workdir,
            make_heads(record["heads"]["mean_classifier"] | {"heads": "mean_classifier"}),
            seed,
        )["results"][name]
        for seed in range(3)
    ]
    np.testing.assert_allclose(record["results"][name], np.mean(single))
    np.testing.assert_allclose(record["results"][f"{name}_sd"], np.std(single, ddof=1))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Which run? Give its directory: --run=DIR."),
        (["--run=/no/run"], "The run /no/run does not exist"),
        (["--run=x", "--heads=knnn"], "Unknown head 'knnn'. Did you mean 'knn'?"),
        (["--run=x", "--heads=linear", "--knn_k=3"], "knn_k belongs to the head 'knn'"),
        (["--run=x", "--heads="], "heads is empty: name at least one head"),
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
    finished: tuple[Path, dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main(["evaluate", f"--run={finished[0]}", "--knn_k=4001"]) == 2
    assert "knn_k is 4001, but there are 4000 training images" in capfd.readouterr().err


def test_help_lists_the_settings_of_heads_only(capfd: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(["evaluate", "--help"]) == 0
    text = capfd.readouterr().out
    assert "--knn_k" in text
    assert "--run" in text
    assert "--batch_size" not in text
