"""The figure of a measure over a setting."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_keras import plots
from ssl_keras.compare.over_setting import Comparison, Series, text
from ssl_keras.plots import METHODS, SERIES, Style
from ssl_keras.run.tables import CONTROL

ACCURACY = "test accuracy"
# The only series.
TRAINED = "trained"


def draw(result: Comparison, output: Path) -> None:
    """Write the figure of a comparison, and print its path."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    several, on_scale = len(result.series) > 1, _are_numbers(result.values)
    figure, axis = plt.subplots(figsize=(7.6 if several else 5.8, 4.0))
    axis.set_xscale(**scale(result.values))
    drawn = [row for k in range(len(result.series)) for row in _draw_series(axis, result, k)]
    control, style = METHODS[CONTROL], {"linewidth": 1.3}
    _draw_level(axis, result, CONTROL, {"color": control.color, "linestyle": control.line} | style)
    _draw_level(axis, result, "chance", plots.CHANCE)
    places = _places(result.values)
    axis.set_xticks(list(places.values()), [text(value) for value in result.values])
    axis.minorticks_off()
    if not on_scale:
        axis.set_xlim(-0.5, len(result.values) - 0.5)
    title, y = words(result.y)
    plots.describe(axis, title, result.x, y)
    axis.grid(axis="y", alpha=0.3)
    # The series come first in the legend.
    handles, labels = axis.get_legend_handles_labels()
    order = [labels.index(series.label or TRAINED) for series in result.series]
    order += [k for k in range(len(labels)) if k not in order]
    legend: dict[str, Any] = {"fontsize": 8}
    if several:
        legend |= {"loc": "upper left", "bbox_to_anchor": (1.01, 1), "frameon": False}
    axis.legend([handles[k] for k in order], [labels[k] for k in order], **legend)
    plots.finish(figure, drawn, ACCURACY)
    plots.write(figure, output, dpi=150)
    plt.close(figure)
    print(f"Written: {output}")


def words(measure: str) -> tuple[str, str]:
    """(title, label of the axis) of a measure: ("class: linear, on features", "test accuracy")."""
    *controls, evaluator, layer, target, kind = ["", "", "", *measure.split("/")][-5:]
    if kind in ("accuracy", "all_right") and measure.count("/") >= 3:
        name = ACCURACY if kind == "accuracy" else "share of test examples that are all right"
        whose = "".join(f" ({word})" for word in controls if word)
        return f"{target}: {evaluator}, on {layer}{whose}", name
    return measure, kind


def scale(values: Sequence[Any]) -> dict[str, Any]:
    """The scale of the axis, as arguments of `set_xscale`.

    It is logarithmic for numbers that span a decade or more; where a zero is among numbers that
    span two, it is linear up to the smallest of the others. Elsewhere it is linear.
    """
    if not _are_numbers(values) or min(values) < 0:
        return {"value": "linear"}
    positive = [value for value in values if value > 0]
    decades = math.log10(max(positive) / min(positive)) if positive else 0.0
    if len(positive) == len(values) and decades >= 1:
        return {"value": "log"}
    if decades >= 2:
        return {"value": "symlog", "linthresh": min(positive)}
    return {"value": "linear"}


def _are_numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)


def _places(values: Sequence[Any]) -> dict[str, float]:
    """The place of each value on the axis: its own if it is a number, else its position."""
    if _are_numbers(values):
        return {repr(value): float(value) for value in values}
    return {repr(value): float(index) for index, value in enumerate(values)}


def _style(series: Series, index: int) -> Style:
    """A method has its own style, everything else the next one."""
    if list(series.settings) == ["method"] and series.settings["method"] in METHODS:
        return METHODS[series.settings["method"]]
    return SERIES[index % len(SERIES)]


def _draw_series(axis: Any, result: Comparison, index: int) -> list[dict[str, Any]]:
    """Draw a series; categories have points side by side, and no line between them."""
    series, places = result.series[index], _places(result.values)
    shift, changes = 0.0, {}
    if not _are_numbers(result.values):
        shift = 0.5 * ((index + 0.5) / len(result.series) - 0.5)
        changes = {"linestyle": "none", "markersize": 6}
    rows = []
    for point in series.points:
        row = {"x": places[repr(point.value)] + shift, "y": point.mean, "seeds": len(point.seeds)}
        rows.append(row | ({} if point.deviation is None else {"y_sd": point.deviation}))
    label = series.label or TRAINED
    plots.curve(axis, rows, "x", "y", _style(series, index), label, **changes)
    return rows


def _draw_level(axis: Any, result: Comparison, name: str, style: dict[str, Any]) -> None:
    """Draw chance, or the untrained encoder: one line if the series share it, else one each."""
    places = _places(result.values)
    levels = [
        {
            places[repr(point.value)]: level
            for point in series.points
            if (level := getattr(point, name)) is not None
        }
        for series in result.series
    ]
    shared: dict[float, float] = {}
    alike = all(
        math.isclose(shared.setdefault(place, value), value, abs_tol=1e-9)
        for level in levels
        for place, value in level.items()
    )
    if alike:
        _draw_line(axis, result, shared, {**style, "label": name})
        return
    for index, level in enumerate(levels):
        series = result.series[index]
        own = {"color": _style(series, index).color, "alpha": 0.7}
        _draw_line(axis, result, level, {**style, **own, "label": f"{series.label}, {name}"})


def _draw_line(axis: Any, result: Comparison, level: dict[float, float], style: Any) -> None:
    different = {round(value, 9) for value in level.values()}
    if len(level) == len(result.values) and len(different) == 1:
        axis.axhline(next(iter(level.values())), **style)
    elif _are_numbers(result.values) and len(level) > 1:
        axis.plot(*zip(*sorted(level.items()), strict=True), **style)
    elif level:
        begins, ends = [place - 0.35 for place in level], [place + 0.35 for place in level]
        axis.hlines(list(level.values()), begins, ends, **style)
