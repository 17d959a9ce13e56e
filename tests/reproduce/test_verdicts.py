"""Verdicts on worlds in which claims hold, and in which they do not."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_keras.reproduce.measured import Measured
from ssl_keras.reproduce.studies import SECTIONS, STUDIES
from ssl_keras.reproduce.verdicts import Verdict
from ssl_keras.reproduce.verdicts.claims import every, falls, is_above, margin, rises
from tests.reproduce.worlds import (
    JUDGED,
    Values,
    as_claimed,
    columns_of_digit,
    pretended,
    sides,
)

RESULTS = Path(__file__).parents[2] / "docs" / "results"

# The studies that judge a claim; one only reports.
CLAIMED = [name for name in JUDGED if STUDIES[name].claim]


def judged(name: str, world: Values) -> Verdict:
    """The verdict on a world, by two seeds that agree."""
    verdict = Measured.from_results(name, "laptop", 2, pretended(name, world, 2)).verdict
    assert verdict is not None
    return verdict


@pytest.mark.parametrize("name", CLAIMED)
def test_verdicts_tell_a_world_as_claimed_from_one_in_which_nothing_matters(name: str) -> None:
    claimed = judged(name, partial(as_claimed, name))
    text = claimed.lines()
    if name == "lambda_temperature":  # two readings that exclude each other
        assert claimed.word == "partly reproduced", claimed
    else:
        assert claimed.word == "reproduced", claimed
        assert text[0] == "**Reproduced.**"
        assert all(line.startswith(("- Yes: ", "- Note: ")) for line in text[2:])
    for value in (0.5, 0.0):
        constant = judged(name, lambda *_, v=value: v)
        assert constant.word in ("not reproduced", "undecided"), constant


# The verdicts that follow from the committed tables: the word, and the answer to each part.
RECORDED = {
    "losses": ("partly reproduced", "no yes"),
    "lambda_temperature": ("partly reproduced", "yes no"),
    "randbit": ("partly reproduced", "yes yes yes no"),
    "randbit_fashion": ("reproduced", "yes yes"),
    "randbit_factors": ("partly reproduced", "yes yes undecided no yes"),
    "remedies": ("partly reproduced", "no no no yes no no yes"),
    "rivals": ("partly reproduced", "yes yes no no yes yes"),
    "overlay": ("partly reproduced", "no yes undecided"),
    "overlay_causes": ("reported, not judged", ""),
    "multi_digit": ("reproduced", "yes yes"),
    "augmentation": ("partly reproduced", "no yes no"),
    "depth": ("not reproduced", "no no no"),
    "local_features": ("not reproduced", "no no"),
    "views": ("reproduced", "yes yes"),
    "temperature": ("partly reproduced", "yes no yes yes"),
    "grids": ("reproduced", "yes yes yes"),
    "arora": ("partly reproduced", "no yes no"),
}


def test_every_chapter_of_the_report_has_a_recorded_verdict() -> None:
    chapters = [name for names in SECTIONS.values() for name in names]
    assert sorted(RECORDED) == sorted(name for name in chapters if name in JUDGED)


@pytest.mark.parametrize("name", RECORDED)
def test_verdict_of_the_committed_table(name: str) -> None:
    measured = Measured.recorded(name, "laptop", RESULTS)
    assert measured is not None
    assert measured.verdict is not None
    word, answers = RECORDED[name]
    words = {True: "yes", False: "no", None: "undecided"}
    assert measured.verdict.word == word
    assert [words[part.holds] for part in measured.verdict.answers] == answers.split()


def unhelped(setting: str, value: Any, column: str, cell: dict[str, Any]) -> float | None:
    """The class is as suppressed with this setting as without."""
    return 0.1 if column == "accuracy" and cell.get(setting) == value else None


# What can be wrong with a world as claimed: the parts of the claim that do not hold then, and
# (column, settings) -> what is measured instead, if so.
Spoil = Callable[[str, dict[str, Any]], float | None]
SPOILED: dict[str, list[tuple[set[int], Spoil]]] = {
    "losses": [
        # They differ under every head; agree under every head; without any; nothing is learnt.
        ({0}, lambda column, cell: at(column, accuracy=0.8 + 0.1 * (cell["loss"] == "nt_xent"))),
        ({1}, lambda column, cell: at(column, accuracy=0.75 + 0.01 * cell["projection_layers"])),
        (
            {1},
            lambda column, cell: at(
                column,
                accuracy=0.8 - 0.3 * (not cell["projection_layers"] and cell["loss"] == "nt_xent"),
            ),
        ),
        ({0, 1}, lambda *_: 0.7),
    ],
    "lambda_temperature": [
        # The best values move against each other; or the best is the same weight everywhere.
        (
            {0},
            lambda _, cell: (
                1 - abs(math.log(cell["distribution_weight"] * cell["temperature"])) / 10
            ),
        ),
        ({0, 1}, lambda _, cell: 1 - abs(math.log(cell["distribution_weight"] / 0.1)) / 10),
    ],
    "randbit": [
        ({0, 1, 2, 3}, lambda *_: 0.5),
        ({0, 3}, lambda column, cell: at(column, online=as_claimed("randbit", column, cell) - 0.1)),
        # Better with five bits alone; bits hide the digit without any training as well.
        (
            {3},
            lambda column, cell: (
                at(column, online=as_claimed("randbit", column, cell) + 0.05)
                if cell["num_bits"] == 5
                else None
            ),
        ),
        ({1}, lambda column, _: at(column, untrained=0.1)),
        # The higher the temperature the better; no decline, or half of one, at the highest.
        (
            {2, 3},
            lambda column, cell: at(column, online=0.9 - 0.008 * cell["num_bits"] / heat(cell)),
        ),
        ({1, 2, 3}, lambda column, cell: at(column, online=0.9) if heat(cell) == 0.2 else None),
        (
            {1, 2, 3},
            lambda column, cell: (
                at(column, online=0.9 - 0.01 * cell["num_bits"]) if heat(cell) == 0.2 else None
            ),
        ),
    ],
    "augmentation": [
        ({0}, lambda column, _: at(column, projections_color=0.9)),
        ({1}, lambda column, _: at(column, projections_character=0.5)),
        ({2}, lambda column, _: at(column, projections_font=0.5)),
    ],
    "depth": [
        # Nothing is lost; as much of the character is; a deeper head keeps less.
        ({0, 1}, lambda column, _: at(column, projection_3=0.75)),
        (
            {1},
            lambda column, cell: (
                at(column, projection_3=0.1) if cell["target"] == "character" else None
            ),
        ),
        ({2}, lambda column, cell: at(column, features=0.9 - 0.05 * cell["projection_layers"])),
    ],
    "arora": [
        ({0}, lambda column, _: at(column, mean_classifier_loss=0.5)),
        ({1}, lambda column, cell: at(column, accuracy=0.5 + 0.001 * cell["batch_size"])),
        ({2}, lambda column, _: at(column, avg_2_few_shot=0.6)),
    ],
    "randbit_fashion": [
        ({0, 1}, lambda _, cell: 0.9 - 0.035 * (cell["num_bits"] == 20)),
        ({0, 1}, lambda _, cell: 0.1 + 0.8 * (cell["num_bits"] == 10)),
        ({1}, lambda column, cell: at(column, online=0.9 - 0.008 * cell["num_bits"] / heat(cell))),
        ({0}, lambda column, _: at(column, untrained_knn=0.1)),
    ],
    "randbit_factors": [
        ({0, 1}, lambda column, cell: at(column, accuracy=0.9) if other_loss(cell) else None),
        (
            {1},
            lambda column, cell: (
                at(column, accuracy=0.8) if other_loss(cell) and cell["num_bits"] == 6 else None
            ),
        ),
        (
            {0, 2},
            lambda column, cell: at(column, accuracy=0.9) if cell["batch_size"] == 1000 else None,
        ),
        ({2}, lambda column, cell: at(column, accuracy=0.9 - 0.07 * cell["num_bits"])),
        (
            {3},
            lambda column, cell: (
                at(column, accuracy=0.7)
                if cell["width_multiplier"] == 2 and cell["num_bits"] == 6
                else None
            ),
        ),
        # Wider encoders read more before training too.
        (
            {3},
            lambda column, cell: (
                {"accuracy": 0.7, "untrained": 0.95}.get(column)
                if cell["width_multiplier"] == 2 and cell["num_bits"] == 6
                else None
            ),
        ),
        ({0}, lambda column, _: at(column, untrained=0.1)),
        ({4}, lambda column, cell: at(column, autoencoder=0.9 - 0.07 * cell["num_bits"])),
        ({4}, lambda column, cell: at(column, supervised=0.9 - 0.07 * cell["num_bits"])),
    ],
    "remedies": [
        ({0}, lambda column, cell: at(column, accuracy=0.1) if cell.get("loss") == "ifm" else None),
        ({1}, partial(unhelped, "temperature", "cosine:1:0.1:5")),
        ({2}, partial(unhelped, "channel_dropout", 0.3)),
        ({3}, partial(unhelped, "method", "hybrid")),
        ({4}, partial(unhelped, "method", "ltd")),
        ({5}, partial(unhelped, "condition_on", "clusters")),
        # Below NT-Xent, or below the untrained encoder, or as both.
        (
            {6},
            lambda column, cell: (
                at(column, untrained=0.9)
                if cell.get("neighbours") == 0 and "condition_on" not in cell
                else None
            ),
        ),
        ({0, 1, 2, 3, 4, 5, 6}, lambda column, _: at(column, accuracy=0.1)),
    ],
    "rivals": [
        ({0}, lambda column, _: at(column, untrained=0.4)),
        (
            {1},
            lambda column, cell: (
                at(column, features=0.5) if cell.get("temperature") == 0.05 else None
            ),
        ),
        ({2}, lambda column, cell: at(column, features=0.5) if cell.get("loss") == "ifm" else None),
        ({1, 2, 3, 4, 5}, lambda column, _: at(column, features=0.5)),
    ],
    "overlay": [
        ({0, 2}, lambda column, _: at(column, simclr_class=0.8)),
        ({1}, lambda column, _: at(column, simclr_digit=0.3)),
        ({1}, lambda column, _: at(column, untrained_digit=0.7)),
        (
            {2},
            lambda column, cell: at(
                column, supervised_class=0.8 - math.log10(cell["num_unique_digits"]) / 10
            ),
        ),
    ],
    "multi_digit": [
        # The digit is not learnt; it falls only as it does for the untrained; its rival is not.
        ({0, 1}, lambda column, cell: 0.2 if column in columns_of_digit("simclr", cell) else None),
        # It falls no faster than that of who has its labels.
        (
            {0},
            lambda column, cell: (
                as_claimed("multi_digit", column.replace("supervised", "simclr"), cell)
                if column in columns_of_digit("supervised", cell)
                else None
            ),
        ),
        (
            {0},
            lambda column, cell: (
                as_claimed("multi_digit", column.replace("untrained", "simclr"), cell) - 0.04
                if column in columns_of_digit("untrained", cell)
                else None
            ),
        ),
        ({1}, lambda column, cell: 0.2 if column == f"simclr_{sides(cell)[1]}_digit" else None),
    ],
    "local_features": [
        ({0, 1}, lambda column, _: 0.9 if column.startswith("pixels") else None),
        (
            {1},
            lambda column, cell: (
                0.9 if column.startswith("untrained") and cell["dataset"] == "overlay" else None
            ),
        ),
    ],
    "temperature": [
        (
            {0, 2},
            lambda column, cell: at(column, uniformity=-3.5) if cell["loss"] == "nt_xent" else None,
        ),
        ({0}, lambda column, cell: at(column, tolerance=1 - cell.get("temperature", 0))),
        (
            {1},
            lambda column, cell: at(column, accuracy=0.8 + heat(cell) / 10) if mild(cell) else None,
        ),
        ({1}, lambda column, cell: at(column, accuracy=0.9) if mild(cell) else None),
        (
            {2},
            lambda column, cell: (
                at(column, uniformity=-3.9 + heat(cell))
                if cell["loss"] == "hard_contrastive"
                else None
            ),
        ),
        ({3}, lambda column, cell: at(column, accuracy=0.95) if not mild(cell) else None),
        ({3}, lambda column, cell: at(column, uniformity=-3.9) if not mild(cell) else None),
    ],
    "grids": [
        (
            {0},
            lambda _, cell: 0.8 - cell.get("tau_plus", 0) if cell["loss"] == "debiased" else None,
        ),
        (
            {1},
            lambda _, cell: 0.8 - cell.get("beta", 0) if cell["loss"] == "hard_negative" else None,
        ),
        ({2}, lambda _, cell: 0.7 if cell["loss"] == "align_uniform" else None),
        ({2}, lambda _, cell: 0.805 if cell["loss"] == "align_uniform" else None),
    ],
    "views": [
        ({0}, lambda column, cell: at(column, accuracy=0.4) if of(cell, "mixup") else None),
        ({1}, lambda column, cell: at(column, accuracy=0.4) if of(cell, "dropout") else None),
        # Equal views teach as much.
        ({0, 1}, lambda column, cell: at(column, accuracy=0.6) if of(cell, None) else None),
    ],
}


def at(column: str, **values: float) -> float | None:
    """The value of one column; None, as claimed, for the others."""
    return values.get(column)


def of(cell: dict[str, Any], views: str | None) -> bool:
    """Whether a cell has those views; None for views that are equal."""
    return cell.get("views") == views and (views is not None or "crop_area_min" in cell)


def heat(cell: dict[str, Any]) -> float:
    return float(cell.get("temperature", 0.2))


def mild(cell: dict[str, Any]) -> bool:
    """Whether a loss does not treat all negatives alike."""
    return cell["loss"] not in ("simple", "hard_simple")


def other_loss(cell: dict[str, Any]) -> bool:
    return cell["loss"] == "uniform_prior"


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "parts", "spoil"),
    [(name, parts, spoil) for name, spoils in SPOILED.items() for parts, spoil in spoils],
)
def test_no_part_of_a_claim_can_fail_unseen(name: str, parts: set[int], spoil: Spoil) -> None:
    def value(column: str, cell: dict[str, Any]) -> float:
        spoilt = spoil(column, cell)
        return as_claimed(name, column, cell) if spoilt is None else spoilt

    verdict = judged(name, value)
    missing = {index for index, answer in enumerate(verdict.answers) if not answer.holds}
    assert missing == parts, verdict


def test_every_part_of_a_claim_is_spoilt() -> None:
    for name in CLAIMED:
        parts = range(len(judged(name, partial(as_claimed, name)).answers))
        assert set().union(*(spoiled for spoiled, _ in SPOILED[name])) == set(parts), name


def test_differences_count_by_their_standard_error() -> None:
    rows = [{"seeds": 3, "accuracy": 0.9, "accuracy_sd": sd} for sd in (0.03, 0.03)]
    np.testing.assert_allclose(margin(*rows), 2 * 0.03 * math.sqrt(2 / 3))
    np.testing.assert_allclose(margin(*rows * 20), margin(*rows))
    assert margin({"seeds": 3, "accuracy_sd": 0.001}) == 0.01
    assert margin({"seeds": 1}) == 0.03
    # Multiples of 0.001 whose difference is a hair above 0.03 as numbers of the machine.
    assert not is_above(0.514 - 0.484, 0.03)
    assert falls([0.9, 0.93, 0.5], 0.02)
    assert not falls([0.9, 0.94, 0.5], 0.02)
    assert falls([0.9, 0.89], 0.02) is False  # three points would have been seen
    assert falls([0.9, 0.89], 0.04) is None  # they would not
    assert falls([0.9, 0.95], 0.04) is False
    assert rises([0.9, 0.95], 0.04) is True
    assert every(True, None) is None
    assert every(True, None, False) is False
    assert every(True, True) is True


def test_of_noise_alone_a_difference_counts_seldom() -> None:
    generator = np.random.default_rng(0)
    counted = 0
    for _ in range(400):
        values = 0.5 + 0.05 * generator.standard_normal((2, 3))
        rows = [{"seeds": 3, "accuracy_sd": float(row.std(ddof=1))} for row in values]
        counted += is_above(float(values[0].mean() - values[1].mean()), margin(*rows))
    # One-sided, by Student's distribution with four degrees of freedom: 5.8%.
    assert 0.03 <= counted / 400 <= 0.09


def test_every_judged_experiment_has_its_claim_and_its_place() -> None:
    placed = [name for names in SECTIONS.values() for name in names]
    assert sorted(placed) == sorted(JUDGED)
    assert set(JUDGED) - set(CLAIMED) == {"overlay_causes"}
    for name in JUDGED:
        assert STUDIES[name].differs


def test_what_is_only_reported_is_not_judged() -> None:
    verdict = judged("overlay_causes", partial(as_claimed, "overlay_causes"))
    assert verdict.word == "reported, not judged"
    assert "variant mixup: 0.870 → 0.540" in verdict.note
