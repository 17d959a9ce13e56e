"""The table: every target, head and layer against chance and the control."""

from __future__ import annotations

from ssl_keras.datasets import Target
from ssl_keras.datasets.base import LocalTarget
from ssl_keras.run import tables

TARGETS = {
    "class": Target("class", "class", 10, 0.1, 0.1),
    "bits": Target("bits", "bits", 2, 0.5, 0.25),
}


def test_table() -> None:
    values = {
        "linear/features/class/accuracy": 0.9,
        "linear/projection_1/class/accuracy": 0.8,
        "linear/features/bits/accuracy": 0.75,
        "linear/projection_1/bits/accuracy": 0.5,
        "linear/features/bits/all_right": 0.6,
        "linear/projection_1/bits/all_right": 0.3,
        "untrained/linear/features/class/accuracy": 0.7,
    }
    table = tables.accuracy_table(values, TARGETS, ["linear"], ["features", "projection_1"])
    rows = [line.split("  ") for line in table.splitlines()]
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows]
    assert cells[0][:4] == ["target", "head", "chance", "shuffled"]
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
    table = tables.accuracy_table(values, TARGETS, ["linear"], ["features"])
    assert "0.900 ±.020" in table
    assert tables.accuracy_table({}, TARGETS, ["linear"], ["features"]) == ""


def test_measures_have_a_row_each_and_absent_ones_none() -> None:
    values = {
        "geometry/features/alignment": 0.5,
        "geometry/projection_1/alignment": 0.25,
        "untrained/geometry/features/alignment": 1.0,
    }
    labels = {"alignment": "how close", "uniformity": "how spread"}
    table = tables.measures_table(values, "geometry", labels, ["features", "projection_1"])
    lines = table.splitlines()
    assert lines[0].split() == ["untrained", "features", "projection_1"]
    assert lines[2].split() == ["how", "close", "1.000", "0.500", "0.250"]
    assert len(lines) == 3


def test_locations_have_a_row_for_each_block_and_measure() -> None:
    local = {
        "region": LocalTarget("region", ("nothing", "large", "small")),
        "digit": LocalTarget("digit", ("nothing", "0", "1")),
    }
    values = {
        "local_features/block_1/region/accuracy": 0.9,
        "local_features/block_1/region/chance": 0.8,
        "local_features/pixels_1/region/accuracy": 0.85,
        "untrained/local_features/block_1/region/accuracy": 0.7,
        "supervised/local_features/block_1/region/accuracy": 0.95,
        "local_features/block_2/digit/accuracy_at_small": 0.4,
        "local_features/block_2/digit/accuracy_at_nothing": 0.6,
        "local_features/block_2/digit/balanced_chance": 0.25,
    }
    rows = [line.split() for line in tables.local_table(values, local, ["supervised"]).splitlines()]
    assert rows[0] == ["block", "chance", "pixels", "untrained", "trained", "supervised"]
    assert rows[2] == ["block_1", "region", "0.800", "0.850", "0.700", "0.900", "0.950"]
    assert rows[3] == ["block_2", "digit", "at", "small,", "balanced", "0.250", "0.400"]
    assert len(rows) == 4
    assert tables.local_table({}, local) == ""


def test_features_in_one_line() -> None:
    assert tables.describe_targets(TARGETS) == (
        "class (10 classes, chance 0.1), bits (2, chance 0.5 each, 0.25 all right)"
    )


def test_banner_is_aligned() -> None:
    assert tables.banner({"a": "1", "long": "2"}) == "a     1\nlong  2"
