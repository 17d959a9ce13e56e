"""A measure over a setting: means over seeds, as a table."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl_keras.config import all_settings
from ssl_keras.errors import UserError, nearest
from ssl_keras.options import plain
from ssl_keras.run.collection import FoundRun, differing, telling
from ssl_keras.run.tables import CONTROL, aligned

# The value of a setting that a run does not have.
NOT_SET = "not set"


@dataclass(frozen=True)
class Point:
    """The runs with one value of the setting.

    Attributes:
        value: the value; None: not set.
        seeds: the seeds of the runs.
        mean: mean of the measure over the runs.
        deviation: standard deviation over the runs (n - 1); None of one run.
        untrained: mean of the measure of the same encoders before training; None without one.
        chance: chance level of the measure; None if it has none.
    """

    value: Any
    seeds: tuple[int, ...]
    mean: float
    deviation: float | None
    untrained: float | None
    chance: float | None


@dataclass(frozen=True)
class Series:
    """The points of runs that differ in the setting and the seed alone.

    Attributes:
        settings: what tells the series from the others; {} if there is one series.
        points: in the order of the values.
    """

    settings: Mapping[str, Any]
    points: Sequence[Point]

    @property
    def label(self) -> str:
        """What tells it from the others, as text."""
        return ", ".join(f"{name}={text(value)}" for name, value in self.settings.items())


@dataclass(frozen=True)
class Comparison:
    """A measure over a setting.

    Attributes:
        x, y: the setting and the measure.
        values: the values of the setting, in order; None, if there, comes last.
        series: one for each combination of the other settings.
        notes: sentences for the user.
    """

    x: str
    y: str
    values: Sequence[Any]
    series: Sequence[Series]
    notes: Sequence[str]


def text(value: Any) -> str:
    """A value of a setting, for people."""
    if value is None:
        return NOT_SET
    return str(value).lower() if isinstance(value, bool) else plain(value)


def comparison(runs: Sequence[FoundRun], x: str, y: str | None) -> Comparison:
    """The means over seeds of a measure, for each value of a setting.

    Args:
        runs: finished runs.
        x: the setting.
        y: the measure. Default: linear accuracy of the class (or the first target) on features.

    Raises:
        UserError: an unknown setting or measure (the message has the nearest), or a setting that
            does not differ.
    """
    runs, notes = _distinct(runs)
    settings = differing([run.settings for run in runs])
    _check_setting(runs, x, settings)
    y = _measure(runs, y)
    without = [run.name for run in runs if y not in run.results]
    if without:
        notes.append(f"{', '.join(without)} did not measure {y}")
    runs = [run for run in runs if y in run.results]
    settings = differing([run.settings for run in runs])
    places = [run.settings.get(x) for run in runs]
    others = {n: values for n, values in settings.items() if n not in (x, "seed")}
    following = [n for n, values in others.items() if _follows(values, places)]
    if following:
        notes.append(f"with {x} also differ {', '.join(following)}")
    apart = telling({n: v for n, v in others.items() if n not in following})
    groups: dict[str, list[FoundRun]] = {}
    for index, run in enumerate(runs):
        groups.setdefault(repr([values[index] for values in apart.values()]), []).append(run)
    order = _ordered(x, places)
    series = [
        Series(
            {name: group[0].settings.get(name) for name in apart},
            [_point(y, value, same) for value in order if (same := _having(group, x, value))],
        )
        for group in groups.values()
    ]
    ranks = [{repr(v): k for k, v in enumerate(_ordered(n, values))} for n, values in apart.items()]
    series.sort(key=lambda s: [r[repr(v)] for r, v in zip(ranks, s.settings.values(), strict=True)])
    return Comparison(x, y, order, series, notes)


def _distinct(runs: Sequence[FoundRun]) -> tuple[list[FoundRun], list[str]]:
    """(the runs without repetitions, notes about these)."""
    known: dict[str, FoundRun] = {}
    notes = []
    for run in runs:
        first = known.setdefault(repr(sorted(run.settings.items())), run)
        if first is not run:
            notes.append(f"{run.name} repeats {first.name}, and is left out")
    return list(known.values()), notes


def _check_setting(runs: Sequence[FoundRun], x: str, settings: Mapping[str, Any]) -> None:
    present = dict.fromkeys(name for run in runs for name in run.settings)
    differ = f"these differ: {', '.join(settings)}" if settings else "no setting differs"
    if x not in present:
        if x in all_settings():
            raise UserError(f"--x={x}: the runs have no such setting; {differ}.")
        guess = nearest(x, {**settings, **present})
        if guess:
            differ = f"did you mean {guess!r}? {differ[0].upper()}{differ[1:]}"
        raise UserError(f"--x={x} is no setting: {differ}.")
    if x not in settings:
        raise UserError(f"--x={x}: it is {text(runs[0].settings[x])} in all runs; {differ}.")


def _measure(runs: Sequence[FoundRun], y: str | None) -> str:
    measured = dict.fromkeys(key for run in runs for key in run.results)
    if y is None:
        targets = [name for run in runs for name in run.record["data"]["targets"]]
        names = ["class", *targets]
        usual = [f"linear/features/{name}/accuracy" for name in names]
        accuracies = [key for key in measured if key.endswith("/accuracy")]
        chosen = next((key for key in [*usual, *accuracies] if key in measured), None)
        if chosen is None:
            raise UserError("The runs measured no accuracy: choose a measure with --y.")
        return chosen
    if y not in measured:
        guess = nearest(y, measured)
        hint = f"did you mean {guess!r}? " if guess else ""
        raise UserError(
            f"--y={y}: no run measured that; {hint}results.json of a run has all measures."
        )
    return y


def _follows(values: Sequence[Any], places: Sequence[Any]) -> bool:
    """Whether a setting is a function of the one on the axis."""
    pairs = {(repr(place), repr(value)) for place, value in zip(places, values, strict=True)}
    return len(pairs) == len({place for place, _ in pairs})


def _having(runs: Iterable[FoundRun], name: str, value: Any) -> list[FoundRun]:
    return [run for run in runs if repr(run.settings.get(name)) == repr(value)]


def _ordered(name: str, values: Iterable[Any]) -> list[Any]:
    """Each value once: numbers by size, choices in their order, others as they come; None last."""
    different = list({repr(value): value for value in values}.values())
    _, setting = all_settings().get(name, (None, None))
    choices = list(setting.choices or ()) if setting is not None else []

    def rank(value: Any) -> tuple[int, float]:
        if value is None:
            return 3, 0
        if isinstance(value, bool | int | float):
            return 0, value
        return (1, choices.index(value)) if value in choices else (2, different.index(value))

    return sorted(different, key=rank)


def _point(y: str, value: Any, runs: Sequence[FoundRun]) -> Point:
    measured = [run.results[y] for run in runs]
    untrained = [run.results[f"{CONTROL}/{y}"] for run in runs if f"{CONTROL}/{y}" in run.results]
    target = "/".join(y.split("/")[-2:])
    chances = [run.chances[target] for run in runs if target in run.chances]
    return Point(
        value,
        tuple(run.settings.get("seed", 0) for run in runs),
        statistics.fmean(measured),
        statistics.stdev(measured) if len(measured) > 1 else None,
        _mean(untrained),
        _mean(chances),
    )


def _mean(values: Sequence[float]) -> float | None:
    """The mean; of equal values exactly their value; None of none."""
    if not values:
        return None
    return values[0] if len(set(values)) == 1 else statistics.fmean(values)


def rows(result: Comparison) -> list[dict[str, Any]]:
    """The numbers, a row for each value and series."""
    return [
        {
            result.x: "" if point.value is None else point.value,
            **series.settings,
            "measure": result.y,
            "seeds": len(point.seeds),
            "mean": point.mean,
            "standard_deviation": point.deviation,
            "untrained": point.untrained,
            "chance": point.chance,
        }
        for series in result.series
        for point in series.points
    ]


def table(result: Comparison) -> str:
    """A row for each value of the setting, a column for each series."""
    points = [{repr(p.value): p for p in series.points} for series in result.series]
    usual = Counter(len(p.seeds) for by_value in points for p in by_value.values())
    seeds = usual.most_common(1)[0][0]
    header = [result.x, *(series.label or "mean" for series in result.series)]
    lines = [[*header, "untrained", "chance"]]
    for value in result.values:
        here = [by_value.get(repr(value)) for by_value in points]
        lines.append(
            [
                text(value),
                *(_cell(point, seeds) for point in here),
                _common([point.untrained for point in here if point]),
                _common([point.chance for point in here if point]),
            ]
        )
    shown = [k for k in range(len(lines[0])) if k == 0 or any(line[k] for line in lines[1:])]
    note = f"\n({seeds} seed{'s' * (seeds > 1)}; another number of seeds stands in brackets)"
    return aligned([[line[k] for k in shown] for line in lines], left=1) + note


def _cell(point: Point | None, seeds: int) -> str:
    if point is None:
        return ""
    spread = "" if point.deviation is None else f" ±{point.deviation:.3f}".replace("±0.", "±.")
    count = "" if len(point.seeds) == seeds else f" ({len(point.seeds)})"
    return f"{point.mean:.3f}{spread}{count}"


def _common(values: Sequence[float | None]) -> str:
    """A control that the series share; if they do not, its range."""
    known = [value for value in values if value is not None]
    texts = list(dict.fromkeys(f"{value:.3f}" for value in sorted(known)))
    return texts[0] if len(texts) == 1 else " to ".join([texts[0], texts[-1]]) if texts else ""
