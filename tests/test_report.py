"""The table: every feature, head and depth against chance and the control."""

from __future__ import annotations

from ssl_keras import report
from ssl_keras.datasets import Feature

FEATURES = {
    "class": Feature("class", "class", 10, 0.1, 0.1),
    "bits": Feature("bits", "bits", 2, 0.5, 0.25),
}


def test_table() -> None:
    values = {
        "linear/features/class/accuracy": 0.9,
        "linear/projection_1/class/accuracy": 0.8,
        "linear/features/bits/accuracy": 0.75,
        "linear/projection_1/bits/accuracy": 0.5,
        "linear/features/bits/all_right": 0.6,
        "linear/projection_1/bits/all_right": 0.3,
        "random_encoder/linear/features/class/accuracy": 0.7,
    }
    table = report.accuracy_table(values, FEATURES, ["linear"], ["features", "projection_1"])
    rows = [line.split("  ") for line in table.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells[0][:4] == ["feature", "head", "chance", "shuffled"]
    assert cells[0][4:] == ["untrained", "features", "projection_1"]
    assert cells[2] == ["class", "linear", "0.100", "0.700", "0.900", "0.800"]
    assert cells[3] == ["bits (mean)", "linear", "0.500", "0.750", "0.500"]
    assert cells[4] == ["bits (all right)", "linear", "0.250", "0.600", "0.300"]
    assert len({len(line) for line in table.splitlines()[:2]}) == 1


def test_intervals_stand_after_the_accuracy() -> None:
    values = {
        "linear/features/class/accuracy": 0.9,
        "linear/features/class/accuracy_low": 0.88,
        "linear/features/class/accuracy_high": 0.92,
    }
    table = report.accuracy_table(values, FEATURES, ["linear"], ["features"])
    assert "0.900 ±.020" in table
    assert report.accuracy_table({}, FEATURES, ["linear"], ["features"]) == ""


def test_measures_have_a_row_each_and_absent_ones_none() -> None:
    values = {
        "geometry/features/alignment": 0.5,
        "geometry/projection_1/alignment": 0.25,
        "random_encoder/geometry/features/alignment": 1.0,
    }
    labels = {"alignment": "how close", "uniformity": "how spread"}
    table = report.measures_table(values, "geometry", labels, ["features", "projection_1"])
    lines = table.splitlines()
    assert lines[0].split() == ["untrained", "features", "projection_1"]
    assert lines[2].split() == ["how", "close", "1.000", "0.500", "0.250"]
    assert len(lines) == 3


def test_features_in_one_line() -> None:
    assert report.describe_features(FEATURES) == (
        "class (10 classes, chance 0.1), bits (2, chance 0.5 each, 0.25 all right)"
    )


def test_banner_is_aligned() -> None:
    assert report.banner({"a": "1", "long": "2"}) == "a     1\nlong  2"
