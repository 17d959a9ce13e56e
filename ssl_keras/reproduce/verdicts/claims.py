"""Claims as data, and the predicates that judge them by the rows of `Study.summary`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any

import numpy as np

Rows = Sequence[Mapping[str, Any]]
Numbers = Sequence[float]
# Setting -> its value in the rows to use, a tuple of them, or a function that picks them from all
# its values in order.
Where = Mapping[str, Any]
Result = tuple[bool | None, list[str]]  # whether something holds, and what was measured
Judge = Callable[[Rows], Result]

# Differences of accuracy below a point never count, whatever the seeds say: the test sets are
# small. Where the spread over seeds is not known, three points are asked for.
POINT, POINTS = 0.01, 0.03
AGREE = 0.03  # what is meant where a paper says that nothing changes, or that values agree
VERDICTS = ("reproduced", "partly reproduced", "not reproduced", "undecided")
REPRODUCED, PARTLY, NOT_REPRODUCED, UNDECIDED = VERDICTS
MANY = 7  # of more groups of one value only the lowest and the highest are shown


@dataclass(frozen=True)
class Answer:
    """A part of a claim, whether it holds (None: undecided), and what was measured."""

    claim: str
    holds: bool | None
    measured: str

    def __str__(self) -> str:
        word = {True: "Yes", False: "No", None: "Undecided"}[self.holds]
        return f"{word}: {self.claim}. {self.measured}."


@dataclass(frozen=True)
class Verdict:
    """The answers to the parts of a claim, and a note on what is no part of it."""

    answers: tuple[Answer, ...]
    note: str = ""

    @property
    def word(self) -> str:
        """Reproduced if every part holds, partly if some do, and so on."""
        holds = [answer.holds for answer in self.answers]
        if not holds:
            return "reported, not judged"
        if any(holds):
            return REPRODUCED if all(holds) else PARTLY
        return UNDECIDED if all(held is None for held in holds) else NOT_REPRODUCED

    def lines(self) -> list[str]:
        """As Markdown."""
        texts = [*map(str, self.answers), *([f"Note: {self.note}."] if self.note else [])]
        return [f"**{self.word.capitalize()}.**", "", *(f"- {text}" for text in texts)]


def margin(*rows: Mapping[str, Any], column: str = "accuracy") -> float:
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


def is_above(difference: float, least: float) -> bool:
    """Whether a difference is larger than that; equal ones are not, whatever their last digits."""
    return difference - least > 1e-9


def every(*answers: bool | None) -> bool | None:
    """Whether all of it holds: no, if a part does not, and None if one is undecided."""
    if not all(answer or answer is None for answer in answers):
        return False
    return None if any(answer is None for answer in answers) else True


# Predicates: (values, margin, values to compare with, border) -> yes, no, or None for undecided.


def falls(values: Numbers, least: float, *_: Any) -> bool | None:
    """Whether values end lower than they begin by more than the margin, and never rise between two
    neighbours by more than that and than `AGREE`: of many steps one is large by chance.

    Where beginning and end differ by less: no, if the margin is so small that a fall of `AGREE`
    would have been seen, and undecided if it is larger.
    """
    fall = values[0] - values[-1]
    if any(is_above(step, max(least, AGREE)) for step in np.diff(values)):
        return False
    if is_above(abs(fall), least):
        return fall > 0
    return False if least <= AGREE else None


def rises(values: Numbers, least: float, *_: Any) -> bool | None:
    """The same upwards."""
    return falls([-value for value in values], least)


def agrees(values: Numbers, least: float, against: Numbers, border: float) -> bool | None:
    """Whether values lie within the border of each other, having learnt something.

    Values that have all gained little over `against` agree without meaning it: where they differ
    by more than half of the mean gain, or one has gained nothing that counts, it is undecided.
    """
    gap, gained = float(np.ptp(values)), np.subtract(values, against)
    if is_above(gap, border):
        return False
    if is_above(gap, min(border, max(float(np.mean(gained)), 0.0) / 2)):
        return None
    return all(is_above(gain, least) for gain in gained) or None


def stays(values: Numbers, _least: float, _against: Numbers, border: float) -> bool:
    """Whether no value is larger than the border: yes or no."""
    return max(values) <= border


def exceeds(values: Numbers, least: float, against: Numbers, *_: Any) -> bool:
    """Whether each value exceeds what it is compared with by more than the margin: yes or no."""
    return all(is_above(difference, least) for difference in np.subtract(values, against))


def improves(values: Numbers, least: float, against: Numbers, *_: Any) -> bool | None:
    """Whether one value is larger than another; undecided within the margin."""
    difference = values[0] - against[0]
    return difference > 0 if is_above(abs(difference), least) else None


def halves(values: Numbers, _least: float, against: Numbers, *_: Any) -> bool:
    """Whether one value is less than half of another: yes or no."""
    return values[0] < against[0] / 2


def selected(rows: Rows, where: Where) -> Rows:
    """The rows that have these values."""
    for setting, allowed in where.items():
        rows = [row for row in rows if setting in row]
        if callable(allowed):
            allowed = tuple(allowed(sorted({row[setting] for row in rows})))
        values = allowed if isinstance(allowed, tuple) else (allowed,)
        rows = [row for row in rows if row[setting] in values]
    return rows


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _texts(settings: Iterable[str], row: Mapping[str, Any]) -> str:
    return ", ".join(f"{setting} {_text(row[setting])}" for setting in settings)


def _all_rows(groups: Mapping[str, Rows]) -> set[int]:
    return {id(row) for rows in groups.values() for row in rows}


@dataclass(frozen=True)
class Check:
    """Whether a predicate holds for values of a column, in each of their groups.

    Attributes:
        column: its name.
        predicate: one of this module.
        derived: (rows in order, column) -> values, for what follows from the column.
        where: of which rows.
        over: the setting that they are ordered by; rows without it are left out.
        by: settings; each combination of their values is a group, judged by itself.
        take: the one number of a group that counts; none where all do.
        against: what they are compared with, group by group: the attributes above that differ
            there; zero if none do.
        border: see the predicate.
        least: the margin; none if the spread over seeds sets it.
        pooled: the rows whose spread that is; none for those of the group.
    """

    column: str
    predicate: Callable[[Numbers, float, Numbers, float], bool | None] = falls
    derived: Callable[[Rows, str], Numbers] | None = None
    where: Where = field(default_factory=dict)
    over: str = ""
    by: tuple[str, ...] = ()
    take: Callable[[Numbers], float] | None = None
    against: Mapping[str, Any] = field(default_factory=dict)
    border: float = AGREE
    least: float | None = None
    pooled: Where | None = None

    def __call__(self, rows: Rows) -> Result:
        """The answer, and what was measured; yes and nothing if no row is meant."""
        groups, answers, margins = self.groups(rows), [], []
        if not groups:
            return True, []
        pieces, other = [self.describe(rows)], replace(self, **self.against)
        others = other.groups(rows)
        if "column" in self.against or not _all_rows(others) <= _all_rows(groups):
            text, settings = other.describe(rows), self.settings(rows)
            pieces.append(text.replace(settings, "") if settings else text)
        for group, members in groups.items():
            against = other.counted(others[group]) if self.against else [0.0]
            compared = members if self.pooled is None else selected(rows, self.pooled)
            pooled = margin(*compared, column=self.column)
            margins.append(pooled if self.least is None else self.least)
            answers.append(self.predicate(self.counted(members), margins[-1], against, self.border))
        if self.predicate not in (stays, halves) and any(margins):
            ends = dict.fromkeys(f"{end:.3f}" for end in (min(margins), max(margins)))
            pieces.append(f"Margin {' to '.join(ends)}")
        if self.predicate in (stays, agrees):
            pieces.append(f"Border {self.border:g}")
        return every(*answers), pieces

    def groups(self, rows: Rows) -> dict[str, Rows]:
        """The rows of each group, by its settings as text."""
        rows = selected(rows, self.where)
        if self.over:
            rows = sorted(selected(rows, {self.over: tuple}), key=itemgetter(self.over))
        groups: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            groups.setdefault(_texts(self.by, row), []).append(row)
        return dict(groups)

    def values(self, rows: Rows) -> Numbers:
        """The values of a group. Raises KeyError if a row lacks the column."""
        if self.derived:
            return self.derived(rows, self.column)
        return [row[self.column] for row in rows]

    def counted(self, rows: Rows) -> Numbers:
        """The values of a group, or the one number."""
        return [self.take(self.values(rows))] if self.take else self.values(rows)

    def settings(self, rows: Rows) -> str:
        """Of which rows, and over which setting, in words."""
        chosen = [row for group in self.groups(rows).values() for row in group]
        names = [name for name in self.where if name not in (*self.by, self.over)]
        single = [name for name in names if len({row[name] for row in chosen}) == 1]
        text = f" with {_texts(single, chosen[0])}" if single else ""
        labels = dict.fromkeys(_text(row[self.over]) for row in chosen) if self.over else ()
        return text + (f" over {self.over} {', '.join(labels)}" if labels else "")

    def describe(self, rows: Rows) -> str:
        """The values in words, with their settings."""
        groups, name = self.groups(rows), f"`{self.column}`"
        if self.derived:
            name = f"{self.derived.__name__.replace('_', ' ').capitalize()} of {name}"
        name += self.settings(rows)
        if len(groups) > MANY and not self.over:
            ends = {group: self.counted(members)[-1] for group, members in groups.items()}
            low, high = min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)
            return f"{name}: {ends[low]:.3f} ({low}) to {ends[high]:.3f} ({high})"
        series = []
        for group, members in groups.items():
            numbers = [f"{value:.3f}" for value in self.values(members)]
            joint = ", " if self.over and isinstance(members[0][self.over], str) else " → "
            series.append(f"{group}: {joint.join(numbers)}".removeprefix(": "))
        return f"{name}: {'; '.join(series)}"


def together(rows: Rows, *checks: Judge) -> Result:
    """Whether all of it holds; undecided if nothing was measured."""
    results = [check(rows) for check in checks]
    pieces = list(dict.fromkeys(piece for _, texts in results for piece in texts))
    return every(*(answer for answer, _ in results)) if pieces else None, pieces


@dataclass(frozen=True)
class Not:
    """That checks do not hold together."""

    checks: Sequence[Judge]

    def __call__(self, rows: Rows) -> Result:
        answer, pieces = together(rows, *self.checks)
        return None if answer is None else not answer, pieces


@dataclass(frozen=True)
class Provided:
    """A check, undecided unless the condition holds, without which there is nothing to judge."""

    condition: Judge
    check: Judge

    def __call__(self, rows: Rows) -> Result:
        answer, pieces = self.check(rows)
        return answer if self.condition(rows)[0] else None, pieces


@dataclass(frozen=True)
class Claims:
    """The claim of a study: rows of `Study.summary` -> `Verdict`.

    Attributes:
        parts: text of each part -> what must hold together.
        notes: what is reported without being judged.
        prepare: rows -> rows with more columns.
    """

    parts: Mapping[str, Sequence[Judge]] = field(default_factory=dict)
    notes: Sequence[Check] = ()
    prepare: Callable[[Rows], Rows] = list

    def __call__(self, rows: Rows) -> Verdict:
        rows, answers = self.prepare(rows), []
        for text, checks in self.parts.items():
            answer, pieces = together(rows, *checks)
            holds = None if answer is None else bool(answer)
            answers.append(Answer(text, holds, ". ".join(pieces)))
        return Verdict(tuple(answers), ". ".join(note.describe(rows) for note in self.notes))
