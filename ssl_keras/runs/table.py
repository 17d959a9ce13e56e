"""The runs of a folder as a table for the terminal, and what its columns are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl_keras.options import plain
from ssl_keras.run.collection import FINISHED, FoundRun, differing, telling
from ssl_keras.run.tables import CONTROL, ONLINE, aligned, duration

# The evaluators whose accuracy is shown, the first that there is.
_SHOWN = ("linear", "knn", "linear_sgd", ONLINE)


@dataclass(frozen=True)
class Measure:
    """A column of results.

    Attributes:
        title: evaluator and target, such as "linear class".
        key: its name in the results; that of the control is `untrained`.
        chance: chance level, or None if the runs differ in it.
    """

    title: str
    key: str
    chance: float | None

    @property
    def untrained(self) -> str:
        """The name of the same measure of the encoder before training."""
        return f"{CONTROL}/{self.key}"


def measures(runs: Sequence[FoundRun]) -> list[Measure]:
    """The main results: the accuracy of each target on the features."""
    targets = dict.fromkeys(
        name for run in runs for name in run.record.get("data", {}).get("targets", {})
    )
    columns = []
    for target in targets:
        keys = {f"{name}/features/{target}/accuracy": name for name in _SHOWN}
        key = next((key for key in keys if any(key in run.results for run in runs)), None)
        if key is not None:
            levels = {run.chances.get(f"{target}/accuracy") for run in runs if key in run.results}
            chance = levels.pop() if len(levels) == 1 else None
            columns.append(Measure(f"{keys[key]} {target}", key, chance))
    return columns


def differing_settings(runs: Sequence[FoundRun]) -> tuple[list[str], list[str]]:
    """(settings that tell the runs apart; others that differ with them).

    A run whose settings cannot be read does not count.
    """
    known = differing([run.settings for run in runs if run.settings])
    apart = sorted(telling(known), key=lambda name: name == "seed")
    return apart, [name for name in known if name not in apart]


def table(runs: Sequence[FoundRun]) -> str:
    """A line for each run."""
    (settings, _), columns = differing_settings(runs), measures(runs)
    lines = [["run", "state", *settings, *(column.title for column in columns), "time"]]
    for run in runs:
        lines.append(
            [
                run.name,
                state(run),
                *(value_text(run, name) for name in settings),
                *(number(run.results, column.key) for column in columns),
                "" if run.seconds is None else duration(run.seconds),
            ]
        )
    return aligned(lines, left=2)


def notes(runs: Sequence[FoundRun]) -> list[str]:
    """Lines below the table: how many runs there are, and what is wrong with which."""
    counts = Counter(run.state for run in runs)
    lines = ["", ", ".join(f"{count} {name}" for name, count in counts.items())]
    _, others = differing_settings(runs)
    if others:
        lines.append(f"Settings that differ with these: {', '.join(others)}")
    return lines + [f"{run.name}: {run.problem}" for run in runs if run.problem]


def state(run: FoundRun) -> str:
    """The state, with the steps done if it is not finished."""
    return run.state if run.state == FINISHED or not run.step else f"{run.state} at step {run.step}"


def value_text(run: FoundRun, name: str) -> str:
    """The value of a setting; "-" if the run does not have it, "" if it cannot be read."""
    if not run.settings:
        return ""
    value = run.settings.get(name)
    return "-" if value is None else short(value)


def short(value: Any) -> str:
    """A value as on the command line."""
    return str(value).lower() if isinstance(value, bool) else plain(value)


def number(values: Mapping[str, float], key: str) -> str:
    """A result as text; "" without one."""
    return f"{values[key]:.3f}" if key in values else ""
