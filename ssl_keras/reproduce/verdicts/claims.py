"""Claims as data, and the predicates that judge them by the rows of `Study.summary`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
MANY = 7  # of more groups only the lowest and the highest value are shown


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
            return "reproduced" if all(holds) else "partly reproduced"
        return "undecided" if all(held is None for held in holds) else "not reproduced"

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


def exceeds(values: Numbers, least: float, against: Numbers, _border: float = 0) -> bool | None:
    """Whether each value exceeds what it is compared with by more than the margin: yes or no."""
    return all(is_above(difference, least) for difference in np.subtract(values, against))


def may_exceed(values: Numbers, least: float, against: Numbers, _border: float = 0) -> bool | None:
    """The same, but undecided in place of no."""
    return exceeds(values, least, against) or None


def improves(values: Numbers, least: float, against: Numbers, border: float) -> bool | None:
    """Whether one value exceeds another, by less than the border; undecided within the margin."""
    (difference,) = np.subtract(values, against)
    return 0 < difference < border if is_above(abs(difference), least) else None


def stays(values: Numbers, _least: float, _against: Numbers, border: float) -> bool | None:
    """Whether no value is larger than the border: yes or no."""
    return max(values) <= border


def halves(values: Numbers, _least: float, against: Numbers, _border: float) -> bool | None:
    """Whether each value is less than half of what it is compared with: yes or no."""
    return all(value < other / 2 for value, other in zip(values, against, strict=True))


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


@dataclass(frozen=True)
class Check:
    """Whether a predicate holds for values of a column, in each of their groups.

    Attributes:
        column: its name; of several, those that a row has.
        predicate: one of this module.
        derived: (rows in order, column) -> values, for what follows from a column.
        where: of which rows.
        over: the setting that they are ordered by; rows without it are left out.
        by: settings; each combination of their values is a group, judged by itself.
        take: the one number of a group that counts; none where all do.
        against: what they are compared with, group by group: a number, or the attributes above
            that differ there.
        border: see the predicate.
        least: the margin, or rows of a group -> margin; none if the spread over seeds sets it.
        pooled: the rows whose spread that is; none for those of the group.
        spread: the column whose spread that is; "" for that of the values.
    """

    column: str | tuple[str, ...]
    predicate: Callable[[Numbers, float, Numbers, float], bool | None] = falls
    derived: Callable[[Rows, str], Numbers] | None = None
    where: Where = field(default_factory=dict)
    over: str = ""
    by: tuple[str, ...] = ()
    take: Callable[[Numbers], float] | None = None
    against: Mapping[str, Any] | float = 0.0
    border: float = math.inf
    least: float | Callable[[Rows], float] | None = None
    pooled: Where | None = None
    spread: str = ""

    def __call__(self, rows: Rows) -> Result:
        """The answer, and what was measured; yes and nothing if no row is meant."""
        groups, answers, margins = self.groups(rows), [], []
        pieces = [self.describe(rows)] if groups else []
        if isinstance(self.against, Mapping):
            other = replace(self, **self.against)
            others = {group: other.counted(own) for group, own in other.groups(rows).items()}
            if {"column", "derived", "where"} & set(self.against) and groups:
                pieces.append(other.describe(rows))
        else:
            others = {group: [self.against] for group in groups}
        for group, own in groups.items():
            margins.append(self._margin(rows, own))
            values = self.counted(own)
            answers.append(self.predicate(values, margins[-1], others[group], self.border))
        if self.predicate not in (stays, halves) and any(margins):
            ends = dict.fromkeys(f"{end:.3f}" for end in (min(margins), max(margins)))
            pieces.append(f"Margin {' to '.join(ends)}")
        border = self.border if self.border < math.inf else self.against
        pieces += [f"Border {border:g}"] if isinstance(border, float) and border and groups else []
        return every(*answers), pieces

    def _margin(self, rows: Rows, own: Rows) -> float:
        if self.least is not None:
            return self.least(own) if callable(self.least) else self.least
        compared = own if self.pooled is None else selected(rows, self.pooled)
        return margin(*compared, column=self.spread or str(self.column))

    def groups(self, rows: Rows) -> dict[str, Rows]:
        """The rows of each group, by its settings as text."""
        rows = selected(rows, self.where)
        if self.over:
            rows = sorted((row for row in rows if self.over in row), key=lambda row: row[self.over])
        groups: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            groups.setdefault(_texts(self.by, row), []).append(row)
        return dict(groups)

    def values(self, rows: Rows) -> list[float]:
        """The values of a group. Raises KeyError if a row lacks the column."""
        if isinstance(self.column, tuple):
            return [row[name] for row in rows for name in self.column if name in row]
        if self.derived:
            return list(self.derived(rows, self.column))
        return [row[self.column] for row in rows]

    def counted(self, rows: Rows) -> list[float]:
        """The values of a group, or the one number."""
        return [self.take(self.values(rows))] if self.take else self.values(rows)

    def describe(self, rows: Rows) -> str:
        """The values in words, with their settings."""
        groups = self.groups(rows)
        name = str(self.column) if isinstance(self.column, str) else ", ".join(self.column)
        if self.derived:
            name = f"{self.derived.__name__.replace('_', ' ')} of {name}"
        chosen = [row for own in groups.values() for row in own]
        settings = [s for s in self.where if s not in (*self.by, self.over)]
        single = [s for s in settings if len({row[s] for row in chosen}) == 1]
        name += f" with {_texts(single, chosen[0])}" if single else ""
        if self.over:
            name += f" over {self.over} "
            name += ", ".join(dict.fromkeys(_text(row[self.over]) for row in chosen))
        if len(groups) > MANY:
            ends = {group: self.counted(own)[-1] for group, own in groups.items()}
            low, high = min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)
            return f"{name}: {ends[low]:.3f} ({low}) to {ends[high]:.3f} ({high})"
        series = []
        for group, own in groups.items():
            numbers = [f"{value:.3f}" for value in self.values(own)]
            shown = numbers if len(set(numbers)) > 1 else numbers[:1]
            series.append(f"{group}: {' → '.join(shown)}".removeprefix(": "))
        return f"{name}: {'; '.join(series)}"


def together(rows: Rows, *checks: Judge) -> Result:
    """Whether all of it holds; undecided if nothing was measured."""
    results = [check(rows) for check in checks]
    pieces = list(dict.fromkeys(piece for _, texts in results for piece in texts))
    return every(*(answer for answer, _ in results)) if pieces else None, pieces


def contrary(*checks: Judge) -> Judge:
    """That this does not hold together."""

    def judge(rows: Rows) -> Result:
        answer, pieces = together(rows, *checks)
        return None if answer is None else not answer, pieces

    return judge


def provided(condition: Judge, check: Judge) -> Judge:
    """The check, undecided unless the condition holds: there is nothing to judge then."""

    def judge(rows: Rows) -> Result:
        answer, pieces = check(rows)
        return answer if condition(rows)[0] else None, pieces

    return judge


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
