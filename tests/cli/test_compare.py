"""Comparing runs: what differs, the numbers of each, means over seeds, and refusals."""

from __future__ import annotations

import csv
import math
import re
import shutil
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ssl_keras import plots
from ssl_keras.compare import __main__ as compare
from ssl_keras.compare import figure
from ssl_keras.compare.over_setting import comparison, text
from ssl_keras.config import Config
from ssl_keras.errors import UserError
from ssl_keras.losses import LOSSES
from ssl_keras.run import train_and_evaluate
from ssl_keras.run.collection import differing, find_runs, short_names, telling
from tests import quick
from tests.cli.folders import KEY, write_run, write_unfinished


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, data_dir: str
) -> list[tuple[Path, dict[str, Any]]]:
    base = tmp_path_factory.mktemp("compare")
    made = []
    for name, options in {"a": {"loss": "nt_xent"}, "b": {"loss": "simple", "num_bits": 3}}.items():
        workdir = base / name
        settings: dict[str, Any] = {"steps": 2, "batch_size": 64, "width_multiplier": 0.25}
        settings |= {"heads": "linear", "measure_images": 0, "workdir": str(workdir)}
        settings |= {"max_train_images": 300, "linear_max_iterations": 5}
        with quick.untraced(), pytest.MonkeyPatch.context() as patch:
            quick.without_exports(patch)
            made.append((workdir, train_and_evaluate(Config.make(**settings, **options))))
    return made


@pytest.mark.full
def test_tables_and_picture(
    runs: list[tuple[Path, dict[str, Any]]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "compare.png"
    assert compare.main([*(str(path) for path, _ in runs), f"--output={output}"]) == 0
    lines = capfd.readouterr().out.splitlines()
    cells = {line.split()[0]: line.split()[1:] for line in lines if line.strip()}
    assert cells["loss"] == ["nt_xent", "simple"]
    assert cells["num_bits"] == ["2", "3"]
    assert "batch_size" not in cells
    row = cells["linear/features/class/accuracy"]
    for (_, results), shown in zip(runs, (row[0], row[2]), strict=True):
        assert shown == f"{results['results']['linear/features/class/accuracy']:.3f}"
    drawn(output)


def drawn(path: Path) -> None:
    """There is a picture with something in it."""
    with Image.open(path) as picture:
        assert np.asarray(picture.convert("L")).std() > 10


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# Accuracy of each (loss, temperature), of seeds 0, 1, ...
MEASURED = {
    ("nt_xent", 0.05): [0.4, 0.5],
    ("nt_xent", 0.2): [0.6, 0.66],
    ("nt_xent", 1.0): [0.5, 0.7],
    ("n_pair", 0.05): [0.3, 0.32],
    ("decoupled_nt_xent", 0.2): [0.55],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Finished runs over temperature and seed, for two losses with a temperature."""
    folder = tmp_path_factory.mktemp("sweep")
    for (loss, temperature), accuracies in MEASURED.items():
        if loss == "n_pair":
            continue
        for seed, accuracy in enumerate(accuracies):
            values: dict[str, Any] = {"loss": loss, "temperature": temperature, "seed": seed}
            write_run(folder / f"{loss}-{temperature}-{seed}", accuracy, 0.3 + 0.1 * seed, **values)
    return folder


def test_means_and_deviations_over_seeds(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "figure.png"
    assert compare.main([str(folder), "--x=temperature", f"--output={output}"]) == 0
    rows = table(output.with_suffix(".csv"))
    assert list(rows[0]) == [
        "temperature", "loss", "measure", "seeds", "mean", "standard_deviation", "untrained",
        "chance",
    ]  # fmt: skip
    assert {row["measure"] for row in rows} == {KEY}
    assert len(rows) == 4
    for row in rows:
        accuracies = MEASURED[row["loss"], float(row["temperature"])]
        assert int(row["seeds"]) == len(accuracies)
        assert float(row["mean"]) == pytest.approx(statistics.fmean(accuracies))
        if len(accuracies) == 1:
            assert row["standard_deviation"] == ""
        else:
            low, high = accuracies
            assert float(row["standard_deviation"]) == pytest.approx((high - low) / math.sqrt(2))
        assert float(row["untrained"]) == pytest.approx(0.35 if len(accuracies) == 2 else 0.3)
        assert float(row["chance"]) == 0.1
    shown = capfd.readouterr().out
    assert "with temperature" not in shown
    header, _, *lines = shown.splitlines()[1:]
    assert header.split() == [
        "temperature", "loss=nt_xent", "loss=decoupled_nt_xent", "untrained", "chance"
    ]  # fmt: skip
    assert lines[0].split() == ["0.05", "0.450", "±.071", "0.350", "0.100"]
    assert lines[1].split()[:5] == ["0.2", "0.630", "±.042", "0.550", "(1)"]
    assert lines[2].split()[:3] == ["1", "0.600", "±.141"]
    drawn(output)


def test_the_figure_shows_what_the_table_says(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(plots, "finish", lambda figure, rows, word: kept.extend([figure, rows]))
    figure.draw(comparison(find_runs([folder]), "temperature", None), tmp_path / "a.png")
    (axis,) = kept[0].axes
    labels = [text.get_text() for text in axis.get_legend().get_texts()]
    assert labels[:2] == ["loss=nt_xent", "loss=decoupled_nt_xent"]
    assert {"chance", "loss=nt_xent, untrained"} <= set(labels[2:])
    assert axis.get_xscale() == "log"
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0.05", "0.2", "1"]
    assert axis.get_ylabel() == "test accuracy"
    assert axis.get_title() == "class: linear, on features"
    bars = axis.containers[0]
    assert list(bars.lines[0].get_xdata()) == [0.05, 0.2, 1]
    assert list(bars.lines[0].get_ydata()) == pytest.approx([0.45, 0.63, 0.6])
    np.testing.assert_allclose(
        bars.lines[2][0].get_segments()[0][:, 1],
        [0.45 - 0.1 / math.sqrt(2), 0.45 + 0.1 / math.sqrt(2)],
    )
    assert sum("y_sd" in row for row in kept[1]) == 3


def test_error_bars_are_explained_and_the_figure_lies_in_the_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = shutil.copytree(folder, tmp_path / "copy")
    kept: list[Any] = []
    finish = plots.finish

    def keep(figure: Any, rows: Any, word: str) -> None:
        finish(figure, rows, word)
        kept.append([text.get_text() for text in figure.texts])

    monkeypatch.setattr(plots, "finish", keep)
    assert compare.main([str(copy), "--x=temperature"]) == 0
    drawn(copy / "temperature.png")
    assert (copy / "temperature.csv").is_file()
    assert kept == [["Means over 1 to 2 seeds; error bars: ± one standard deviation."]]


def test_categories_come_in_their_order_and_consequences_are_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "losses"
    for loss, accuracy in {"simple": 0.3, "nt_xent": 0.5, "uniform_prior": 0.4}.items():
        for seed in (0, 1):
            write_run(folder / f"{loss}-{seed}", accuracy, loss=loss, seed=seed)
    write_run(folder / "more" / "nt_xent-0", 0.5, loss="nt_xent", seed=0)
    write_unfinished(folder / "simple-2", loss="simple", seed=2)
    assert compare.main([str(folder), "--x=loss"]) == 0
    shown = capfd.readouterr().out
    notes = [line for line in shown.splitlines() if line.startswith("Note: ")]
    assert notes[0] == "Note: left out: losses/simple-2 (interrupted)."
    assert notes[1] == "Note: losses/nt_xent-0 repeats more/nt_xent-0, and is left out."
    assert re.fullmatch(r"Note: with loss also differ .*temperature.*\.", notes[2])
    assert len(notes) == 3
    assert re.search(r"(?m)^loss +mean +untrained +chance$", shown)  # one series
    values = [line.split()[0] for line in shown.splitlines() if line.endswith("0.300   0.100")]
    assert values == [name for name in LOSSES if name in ("simple", "nt_xent", "uniform_prior")]
    assert {row["mean"] for row in table(folder / "loss.csv")} == {"0.3", "0.5", "0.4"}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.05, 0.1, 0.2], {"value": "linear"}),
        ([0.05, 0.1, 0.5], {"value": "log"}),
        ([0, 2, 5, 10, 20], {"value": "linear"}),
        ([0, 1, 100], {"value": "symlog", "linthresh": 1}),
        ([-1, 1, 100], {"value": "linear"}),
        (["a", "b"], {"value": "linear"}),
        ([False, True], {"value": "linear"}),
        ([1, 100, None], {"value": "linear"}),
        ([0], {"value": "linear"}),
    ],
)
def test_the_axis_is_logarithmic_where_values_span_decades(
    values: list[Any], expected: dict[str, Any]
) -> None:
    assert figure.scale(values) == expected


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (KEY, ("class: linear, on features", "test accuracy")),
        (
            "supervised/knn/features/bits/all_right",
            ("bits: knn, on features (supervised)", "share of test examples that are all right"),
        ),
        (
            "geometry/features/effective_rank",
            ("geometry/features/effective_rank", "effective_rank"),
        ),
    ],
)
def test_measures_in_words(measure: str, expected: tuple[str, str]) -> None:
    assert figure.words(measure) == expected


def test_a_value_that_is_not_set_is_a_category_of_its_own(tmp_path: Path) -> None:
    for number, images in enumerate((None, 1000, 200)):
        extra = {} if images is None else {"max_train_images": images}
        write_run(tmp_path / str(number), 0.5, **extra)
    result = comparison(find_runs([tmp_path]), "max_train_images", None)
    assert [text(value) for value in result.values] == ["200", "1000", "not set"]
    figure.draw(result, tmp_path / "a.png")


def test_a_measure_without_controls(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for bits in (2, 5):
        extra = {"geometry/features/effective_rank": 3.0 * bits}
        write_run(tmp_path / str(bits), 0.5, None, results=extra, num_bits=bits)
    arguments = [str(tmp_path), "--x=num_bits", "--y=geometry/features/effective_rank"]
    assert compare.main(arguments) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split() for line in lines[1:5:1] if "-" not in line] == [
        ["num_bits", "mean"], ["2", "6.000"], ["5", "15.000"]
    ]  # fmt: skip


def test_differences_and_names() -> None:
    rows = differing([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}])
    assert rows == {"b": [2, 3], "c": [None, 4]}
    assert short_names([Path("/x/one"), Path("/x/two")]) == ["one", "two"]
    assert short_names([Path("/x/a/run"), Path("/x/b/run")]) == ["a/run", "b/run"]
    with pytest.raises(UserError, match="The same run is listed twice"):
        short_names([Path("/x/a"), Path("/x/../x/a")])


def test_what_follows_from_a_choice_does_not_tell_runs_apart() -> None:
    settings = {"loss": ["a", "a", "b"], "temperature": [0.1, 0.1, None], "bits": [2, 5, 2]}
    assert list(telling(settings)) == ["loss", "bits"]
    assert telling({}) == {}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/no/run"], "/no/run does not exist"),
        (["/no/run", "--output=a.gif"], "a .png file in an existing folder is needed"),
        (["{folder}", "--y=a"], "--y is the measure over a setting"),
        (
            ["{folder}", "--x=temprature"],
            "--x=temprature is no setting: did you mean 'temperature'? These differ: loss, seed, ",
        ),
        (["{folder}", "--x=zzzz"], "--x=zzzz is no setting: these differ: loss, seed, "),
        (["{folder}", "--x=steps"], "--x=steps: it is 4 in all runs; these differ: loss, seed, "),
        (["{folder}", "--x=sigma"], "--x=sigma"),
        (
            ["{folder}", "--x=seed", "--y=linear/features/clas/accuracy"],
            "no run measured that; did you mean 'linear/features/class/accuracy'?",
        ),
        (["{unfinished}"], "No run is finished there: a (interrupted)."),
        (["{unfinished}/a"], "a is not finished"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str],
    message: str,
    folder: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    write_unfinished(tmp_path / "unfinished" / "a")
    places = {"folder": folder, "unfinished": tmp_path / "unfinished"}
    assert compare.main([argument.format(**places) for argument in arguments]) == 2
    told = capfd.readouterr().err
    assert message in told
    assert told.count("\n") == 1
