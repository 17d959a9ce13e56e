"""Verdicts on worlds in which claims hold, and in which they do not."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.tools.worlds import JUDGED, as_claimed, pretended, sides
from tools.reproduce.experiments import EXPERIMENTS, SECTIONS
from tools.reproduce.report import Measured


@pytest.mark.parametrize("name", JUDGED)
def test_verdicts_tell_a_world_as_claimed_from_one_in_which_nothing_matters(name: str) -> None:
    claimed = Measured(name, "laptop", 2, pretended(name, partial(as_claimed, name), 2))
    # Of two readings of a claim that exclude each other, one holds.
    two = name == "lambda_temperature"
    word = "Partly reproduced" if two else "Reproduced"
    assert claimed.verdict.startswith(f"**{word}.** Yes: "), claimed.verdict
    assert claimed.verdict.count("No: ") == two
    for value in (0.5, 0.0):
        constant = Measured(name, "laptop", 2, pretended(name, lambda *_, v=value: v, 2))
        # All losses do agree in such a world, and nothing gets above the untrained encoder.
        partly = name == "losses"
        word = "**Partly reproduced.**" if partly else "**Not reproduced.**"
        assert constant.verdict.startswith(word), constant.verdict


# What can be wrong with a world as claimed: (column, settings) -> what is measured instead, if so.
SPOILED: dict[str, list[Callable[[str, dict[str, Any]], float | None]]] = {
    "losses": [
        # They differ under every head, or agree under every head; none at all does not count.
        lambda _, cell: 0.7 + 0.1 * (cell["loss"] == "nt_xent"),
        lambda _, cell: 0.7 + 0.03 * cell["projection_layers"],
        lambda _, cell: 0.7 - 0.3 * (cell["projection_layers"] == 0 and cell["loss"] == "nt_xent"),
    ],
    "lambda_temperature": [
        # The best values move against each other; or the best is the same weight everywhere.
        lambda _, cell: 1 - abs(math.log(cell["distribution_weight"] * cell["temperature"])) / 10,
        lambda _, cell: 1 - abs(math.log(cell["distribution_weight"] / 0.1)) / 10,
    ],
    "randbit": [
        lambda *_: 0.5,
        # The higher the temperature the better; and no decline at the highest.
        lambda column, cell: (
            0.9 - 0.008 * cell["num_bits"] / cell["temperature"] if column == "online" else None
        ),
        lambda column, cell: 0.9 if column == "online" and cell["temperature"] == 0.2 else None,
    ],
    "randbit_factors": [
        lambda column, cell: 0.9 if column == "accuracy" and cell["loss"] != "nt_xent" else None,
        lambda column, cell: 0.9 if column == "accuracy" and cell["batch_size"] == 1000 else None,
        lambda column, cell: (
            0.9 if column == "accuracy" and cell["width_multiplier"] == 2 else None
        ),
        lambda column, cell: 0.9 - 0.07 * cell["num_bits"] if column == "autoencoder" else None,
    ],
    "overlay": [
        lambda column, _: 0.8 if column == "simclr_class" else None,
        lambda column, _: 0.3 if column == "simclr_digit" else None,
        lambda column, cell: (
            0.8 - math.log10(cell["num_unique_digits"]) / 10
            if column == "supervised_class"
            else None
        ),
    ],
    "overlay_causes": [
        lambda column, _: 0.8 if column == "simclr_class" else None,
        lambda column, _: 0.3 if column == "simclr_digit" else None,
        # Some lose the photograph, the others gain the digit.
        lambda column, cell: (
            {"simclr_class": 0.8, "simclr_digit": 0.3}.get(column)
            if ("flip" in cell) == (column == "simclr_class")
            else None
        ),
    ],
    "multi_digit": [
        lambda column, _: 0.6 if column in ("simclr_small_digit", "simclr_large_digit") else None,
        # The digit cannot be read, rival or not; the rival neither; labels do not keep the digit.
        lambda column, _: 0.9 if column.startswith("untrained") else None,
        lambda column, cell: (
            0.5 if column == f"simclr_{sides(cell)[1]}_digit" and "digit_sizes" in cell else None
        ),
        lambda column, cell: (
            as_claimed("multi_digit", column.replace("supervised", "simclr"), cell)
            if column.startswith("supervised")
            else None
        ),
    ],
    "local_features": [lambda column, _: 0.8 if column.startswith("pixels") else None],
    "temperature": [
        lambda column, cell: (
            cell.get("temperature", 0) if column in ("accuracy", "uniformity") else None
        ),
        lambda column, cell: (
            cell["temperature"]
            if column == "uniformity" and cell["loss"] == "hard_contrastive"
            else None
        ),
    ],
    "grids": [
        lambda _, cell: 0.8 - cell.get("tau_plus", 0) if cell["loss"] == "debiased" else None,
        lambda _, cell: 0.8 - cell.get("beta", 0) if cell["loss"] == "hard_negative" else None,
        lambda _, cell: -cell["alignment_weight"] if cell["loss"] == "align_uniform" else None,
    ],
    "views": [
        lambda column, cell: 0.4 if column == "accuracy" and cell["views"] == "mixup" else None,
        lambda column, cell: 0.4 if column == "accuracy" and cell["views"] == "dropout" else None,
    ],
}


@pytest.mark.parametrize(
    ("name", "spoil"), [(name, spoil) for name, spoils in SPOILED.items() for spoil in spoils]
)
def test_no_part_of_a_claim_can_fail_unseen(
    name: str, spoil: Callable[[str, dict[str, Any]], float | None]
) -> None:
    def value(column: str, cell: dict[str, Any]) -> float:
        found = spoil(column, cell)
        return as_claimed(name, column, cell) if found is None else found

    verdict = Measured(name, "laptop", 2, pretended(name, value, 2)).verdict
    assert not verdict.startswith("**Reproduced"), verdict
    assert "No: " in verdict


def test_every_judged_experiment_has_its_claim_and_its_place() -> None:
    placed = [name for names in SECTIONS.values() for name in names]
    assert sorted(placed) == sorted(JUDGED)
    for name in JUDGED:
        assert EXPERIMENTS[name].claim
        assert EXPERIMENTS[name].differs
