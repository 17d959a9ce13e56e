"""What verdicts are made of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Rows = Sequence[Any]

# Accuracies closer than the spread over seeds are called the same, or than a point if that is more;
# where the spread is not known, closer than three.
POINT, POINTS = 0.01, 0.03
# What a correlation must exceed.
CORRELATED = 0.8


@dataclass(frozen=True)
class Verdict:
    """Attributes:
    word: "reproduced", "partly reproduced" or "not reproduced".
    reason: what has been measured about each part of the claim, and whether it holds.
    """

    word: str
    reason: str

    @classmethod
    def of(cls, *findings: tuple[bool, str], beside: str = "") -> Verdict:
        """From the parts of a claim: whether each holds, and what has been measured.

        Args:
            *findings: the texts tell what was measured, and nothing that depends on the outcome.
            beside: what was measured too, without being part of the claim.
        """
        holds = [bool(found) for found, _ in findings]
        word = "reproduced" if all(holds) else "partly reproduced" if any(holds) else ""
        told = [f"{'Yes' if found else 'No'}: {text}." for found, text in findings]
        told += [f"Beside it: {beside}."] if beside else []
        return cls(word or "not reproduced", " ".join(told))


Judge = Callable[[Rows], Verdict]


def margin(*rows: Any, column: str = "accuracy") -> float:
    """What a difference must exceed: the largest spread over seeds and `POINT`, or `POINTS`."""
    known = [row[f"{column}_sd"] for row in rows if f"{column}_sd" in row]
    return max(POINT, *known) if known else POINTS


def falls(values: Sequence[float], tolerance: float = POINTS) -> bool:
    """Whether values never rise by more than the tolerance, and end lower than they begin by
    more than that."""
    steps = np.diff(values)
    return bool((steps <= tolerance).all() and values[0] - values[-1] > tolerance)


def arrow(values: Sequence[float], digits: int = 3) -> str:
    """Values in their order, as a text."""
    return " → ".join(f"{value:.{digits}f}" for value in values)


def over(rows: Rows, setting: str, column: str) -> tuple[list[Any], list[float]]:
    """A setting's values in order, and the column over them."""
    own = sorted((row for row in rows if column in row), key=lambda row: row[setting])
    return [row[setting] for row in own], [row[column] for row in own]


def spread(*rows: Any) -> str:
    """The spread over seeds, for people."""
    known = [row["accuracy_sd"] for row in rows if "accuracy_sd" in row]
    return f"{max(known):.3f}" if known else "not known: one seed"
