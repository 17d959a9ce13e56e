"""What verdicts are made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Rows = Sequence[Any]

# Differences of accuracy below a point are never called one, whatever the seeds say: the test sets
# are small. Where the spread over seeds is not known, three points are asked for.
POINT, POINTS = 0.01, 0.03
# What is meant where a paper says that nothing changes, or that values agree.
AGREE = 0.03
CHANCE = 0.1  # of ten classes

REPRODUCED, PARTLY, NOT = "reproduced", "partly reproduced", "not reproduced"
UNTOLD, UNJUDGED = "cannot be told", "told, not judged"


@dataclass(frozen=True)
class Finding:
    """Attributes:
    claim: a part of a claim.
    holds: whether it does; None if the numbers cannot tell.
    measured: the numbers, and what was asked of them.
    """

    claim: str
    holds: bool | None
    measured: str

    def __str__(self) -> str:
        word = {True: "Yes", False: "No", None: "Cannot be told"}[self.holds]
        return f"{word}: {self.claim} ({self.measured})."


@dataclass(frozen=True)
class Verdict:
    """Attributes:
    findings: about each part of the claim.
    beside: what was measured too, without being part of the claim.
    """

    findings: tuple[Finding, ...]
    beside: str = ""

    @property
    def word(self) -> str:
        """Reproduced if every part holds, partly if some do, and so on."""
        holds = [found.holds for found in self.findings]
        if not holds:
            return UNJUDGED
        if any(holds):
            return REPRODUCED if all(holds) else PARTLY
        return UNTOLD if all(held is None for held in holds) else NOT

    def lines(self) -> list[str]:
        """As Markdown."""
        told = [str(found) for found in self.findings]
        told += [f"Beside it: {self.beside}."] if self.beside else []
        return [f"**{self.word.capitalize()}.**", "", *(f"- {line}" for line in told)]


Judge = Callable[[Rows], Verdict]


def judged(*findings: tuple[str, Any, str], beside: str = "") -> Verdict:
    """A verdict from (part of the claim, whether it holds, what was measured)."""
    return Verdict(
        tuple(
            Finding(claim, None if holds is None else bool(holds), measured)
            for claim, holds, measured in findings
        ),
        beside,
    )


def margin(*rows: Any, column: str = "accuracy") -> float:
    """What the difference between means of two of the rows must exceed to count.

    Twice the standard error of such a difference, from the spread over seeds of all the rows that
    are compared (pooled, so that it does not grow with their number), and at least `POINT`;
    `POINTS` where the spread is not known.
    """
    known = [row[f"{column}_sd"] for row in rows if f"{column}_sd" in row]
    if not known:
        return POINTS
    pooled = math.sqrt(float(np.mean(np.square(known))))
    return max(POINT, 2 * pooled * math.sqrt(2 / rows[0]["seeds"]))


def exceeds(difference: float, least: float) -> bool:
    """Whether a difference is larger than that; equal ones are not, whatever their last digits."""
    return difference - least > 1e-9


def falls(values: Sequence[float], least: float) -> bool | None:
    """Whether values end lower than they begin by more than that, and never rise between two
    neighbours by more than that and than `AGREE`: of many steps one is large by chance.

    Where beginning and end do not differ by so much: no, if `least` is so small that a fall of
    `AGREE` would have been seen, and None, it cannot be told, if it is larger.
    """
    steps, fall = np.diff(values), values[0] - values[-1]
    if any(exceeds(x, max(least, AGREE)) for x in steps):
        return False
    if exceeds(abs(fall), least):
        return fall > 0
    return False if least <= AGREE else None


def rises(values: Sequence[float], least: float) -> bool | None:
    """The same upwards."""
    return falls([-value for value in values], least)


def every(*holds: bool | None) -> bool | None:
    """Whether all of it holds: no, if a part does not, and None if one cannot be told."""
    if not all(found or found is None for found in holds):
        return False
    return None if any(found is None for found in holds) else True


def kept(value: float, untouched: float, chance: float) -> float:
    """The share of what was above chance that is left; all of it where nothing was."""
    above = untouched - chance
    return (value - chance) / above if exceeds(above, POINT) else 1.0


def arrow(values: Sequence[float], digits: int = 3) -> str:
    """Values in their order, as a text."""
    return " → ".join(f"{value:.{digits}f}" for value in values)


def points(value: float) -> str:
    """A difference of accuracies in hundredths."""
    return f"{100 * value:.1f}"


def percent(share: float) -> str:
    """A share in whole hundredths."""
    return f"{round(100 * share)}%"


def over(rows: Rows, setting: str, column: str) -> tuple[list[Any], list[float]]:
    """A setting's values in order, and the column over them.

    Raises:
        KeyError: a row lacks the column.
    """
    own = sorted(rows, key=lambda row: row[setting])
    return [row[setting] for row in own], [row[column] for row in own]


def curves(rows: Rows, setting: str, *columns: str) -> tuple[list[Any], dict[str, list[float]]]:
    """A setting's values in order, and several columns over them, see `over`."""
    return sorted(row[setting] for row in rows), {
        column: over(rows, setting, column)[1] for column in columns
    }
