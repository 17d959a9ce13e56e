"""The tools that show theory: numbers they print, pictures they write, what they refuse."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_keras.config import Config
from ssl_keras.run import train_and_evaluate
from ssl_keras.theory import limits, mean_classifier, penalties


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, data_dir: str) -> Path:
    workdir = tmp_path_factory.mktemp("theory") / "run"
    train_and_evaluate(
        Config.make(
            dataset="plain",
            loss="logistic",
            steps=12,
            log_every=3,
            batch_size=64,
            width_multiplier=0.25,
            heads="",
            workdir=str(workdir),
        )
    )
    return workdir


def is_drawn(path: Path) -> bool:
    with Image.open(path) as picture:
        return picture.size[0] > 300 and float(np.asarray(picture.convert("L")).std()) > 10


@pytest.mark.exhaustive
def test_penalties_of_a_run(run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "penalties.png"
    arguments = [f"--run={run}", f"--output={output}", "--images=60", "--temperatures=1,0.05,0.3"]
    assert penalties.main(arguments) == 0
    rows = re.findall(r"^ +([\d.]+) +([\d.]+) +([\d.]+) +([\d.]+)$", capfd.readouterr().out, re.M)
    numbers = np.array(rows, float)
    assert numbers[:, 0].tolist() == [0.05, 0.3, 1.0]
    assert np.all(np.diff(numbers[:, 1]) > 0)  # entropy rises with the temperature
    assert np.all(np.diff(numbers[:, 3]) < 0)  # the hardest carry less
    np.testing.assert_allclose(numbers[:, 2], np.log(118), atol=1e-3)
    assert is_drawn(output)


@pytest.mark.full
def test_limits_are_reached(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "limits.png"
    assert limits.main([f"--output={output}"]) == 0
    text = capfd.readouterr().out
    rows = np.array(re.findall(r"^ +([\d.]+) +(-?[\d.]+) +(-?[\d.]+)$", text, re.M), float)
    triplet, simple = map(float, re.findall(r"(-?[\d.]+) \(", text))
    np.testing.assert_allclose(rows[0, 1], triplet, rtol=0.05)
    np.testing.assert_allclose(rows[-1, 2], simple, rtol=0.005)
    differences = np.array(re.findall(r"^ +\d+  ([\d.]+) ±", text, re.M), float)
    assert np.all(np.diff(differences) < 0)
    assert differences[-1] < 0.005
    assert is_drawn(output)


@pytest.mark.exhaustive
def test_mean_classifier_over_a_run(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "bound.png"
    assert mean_classifier.main([f"--run={run}", f"--output={output}"]) == 0
    assert re.search(r"The bound holds at \d of 4 measurements", capfd.readouterr().out)
    assert is_drawn(output)
    steps, unsupervised, supervised, bound = mean_classifier.curves(run, "class")
    assert steps == [3, 6, 9, 12]
    for loss, limit in zip(unsupervised, bound, strict=True):
        np.testing.assert_allclose(0.9 * limit + 0.1, loss)
    # Before anything is learnt the classifier of the means is near one bit.
    assert 0.3 < supervised[0] < 1.2


@pytest.mark.parametrize(
    ("main", "arguments", "message"),
    [
        (penalties.main, ["--run=/no/run"], "The run /no/run does not exist"),
        (penalties.main, ["--run=/no/run", "--temperatures=0,1"], "all must be above 0"),
        (penalties.main, ["--run=/no/run", "--temperatures=a"], "numbers with commas are needed"),
        (penalties.main, ["--run=/no/run", "--images=1"], "images is 1; at least 2"),
        (penalties.main, ["--run=/no/run", "--output=x.gif"], "a .png file in an existing"),
        (limits.main, ["--output=/no/where/x.png"], "a .png file in an existing folder"),
        (limits.main, ["--seed=-1"], "seed is -1; at least 0 is needed"),
        (mean_classifier.main, ["--run=/no/run"], "The run /no/run does not exist"),
    ],
)
def test_mistakes_are_one_sentence(
    main: object, arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2  # type: ignore[operator]
    error = capfd.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.exhaustive
def test_a_run_without_classes_has_no_mean_classifier(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert mean_classifier.main([f"--run={run}", "--target=digit"]) == 2
    assert "did not measure the mean classifier of the target 'digit'" in capfd.readouterr().err
