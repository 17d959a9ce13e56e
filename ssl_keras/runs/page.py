"""The runs of a folder as one HTML page, which needs no server and no network."""

from __future__ import annotations

import base64
import io
import shlex
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from ssl_keras import commands
from ssl_keras.run.collection import FINISHED, INTERRUPTED, FoundRun
from ssl_keras.run.tables import duration
from ssl_keras.runs.script import SCRIPT
from ssl_keras.runs.style import STYLE, TINTS
from ssl_keras.runs.table import (
    Measure,
    differing_settings,
    measures,
    number,
    short,
    state,
    value_text,
)

# Size of a sparkline, and of the picture of views, in pixels.
_WIDTH, _HEIGHT, _POINTS = 130, 30, 120
_PICTURE = 520

# Nothing is loaded from anywhere.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def page(runs: Sequence[FoundRun], title: str) -> str:
    """The page.

    Args:
        runs: the runs, in the order of the table.
        title: what they are the runs of.

    Returns:
        The whole HTML text.
    """
    apart, others = differing_settings(runs)
    columns = measures(runs)
    counts = Counter(run.state for run in runs)
    tints = {name: _tints(runs, name) for name in apart}
    heads = [("run", ""), ("state", "")]
    heads += [(name, "setting") for name in apart]
    heads += [(column.title, "number") for column in columns]
    heads += [("loss", "number"), ("views", "still"), ("time", "number")]
    bodies = [_run(run, apart, others, columns, tints) for run in runs]
    states = "".join(
        f'<label><input type="checkbox" value="{name}" checked> {count} {name}</label>'
        for name, count in counts.items()
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<title>Runs: {escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>Runs <span>{escape(title)}</span></h1>
<p>As they were on {time.strftime("%Y-%m-%d at %H:%M")}. A click on a heading sorts; one on a run \
opens it. Bars show accuracy from 0 to 1, with a line at the chance level.</p>
</header>
<form id="filter">
<input type="search" placeholder="Filter: nt_xent temperature=0.1" aria-label="Filter" autofocus>
<fieldset>{states}</fieldset>
<output></output>
</form>
<div class="scroll">
<table>
<thead><tr>{"".join(map(_head, heads))}</tr></thead>
{"".join(bodies)}
</table>
</div>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _head(head: tuple[str, str]) -> str:
    title, kind = head
    if kind == "still":
        return f"<th>{escape(title)}</th>"
    return f'<th class="{kind}" aria-sort="none"><button>{escape(title)}</button></th>'


def _run(
    run: FoundRun,
    apart: Sequence[str],
    others: Sequence[str],
    columns: Sequence[Measure],
    tints: Mapping[str, Mapping[str, int]],
) -> str:
    """A run: a row of the table, and a row that a click opens."""
    cells = [
        f'<td class="name"><button aria-expanded="false">{escape(run.name)}</button></td>',
        f'<td><span class="state {run.state}" title="{escape(run.problem, quote=True)}">'
        f"{escape(state(run))}</span></td>",
    ]
    for name in apart:
        text = value_text(run, name)
        cells.append(
            f'<td class="setting" data-value="{escape(text, quote=True)}">'
            f'<span class="tint{tints[name].get(text, 0)}">{escape(text)}</span></td>'
        )
    cells += [_accuracy(run, column) for column in columns]
    losses = [record["loss"] for record in run.history if "loss" in record]
    last = losses[-1] if losses else ""
    cells.append(f'<td class="number" data-value="{last}">{sparkline(losses)}</td>')
    picture = _picture(run.path / "views.png")
    image = f'<img src="{picture}" alt="views of {escape(run.name, quote=True)}">'
    cells.append(f'<td class="views">{image if picture else ""}</td>')
    seconds = "" if run.seconds is None else run.seconds
    text = "" if run.seconds is None else duration(run.seconds)
    cells.append(f'<td class="number" data-value="{seconds}">{text}</td>')
    words = [run.name, run.state, *(f"{n}={short(v)}" for n, v in run.settings.items())]
    return (
        f'<tbody data-state="{run.state}" data-words="{escape(" ".join(words), quote=True)}">'
        f"<tr>{''.join(cells)}</tr>"
        f'<tr class="more" hidden><td colspan="{len(cells)}">{_more(run, {*apart, *others})}</td>'
        "</tr></tbody>\n"
    )


def _accuracy(run: FoundRun, column: Measure) -> str:
    """The cell of an accuracy, with a bar."""
    text = number(run.results, column.key)
    if not text:
        return '<td class="number" data-value=""></td>'
    low, high = (run.results.get(f"{column.key}_{end}") for end in ("low", "high"))
    about = [column.key]
    if low is not None and high is not None:
        about.append(f"95% interval {low:.3f} to {high:.3f}")
    if column.untrained in run.results:
        about.append(f"untrained {number(run.results, column.untrained)}")
    if column.chance is not None:
        about.append(f"chance {column.chance:.3g}")
    style = f"--value:{run.results[column.key]:.4f}"
    style += "" if column.chance is None else f";--chance:{column.chance:.4f}"
    return (
        f'<td class="number" data-value="{run.results[column.key]}">'
        f'<span class="bar" style="{style}" title="{escape("; ".join(about), quote=True)}">{text}'
        "</span></td>"
    )


def _more(run: FoundRun, differ: set[str]) -> str:
    """Everything about a run."""
    place = shlex.quote(str(run.path))
    flagfile = shlex.quote(str(run.path / "flags.txt"))
    lines = {
        FINISHED: f"python -m ssl_keras.evaluate --run={place} --heads=retrieval",
        INTERRUPTED: f"python -m ssl_keras.train --flagfile={flagfile} --workdir={place}",
    }
    command = commands.as_typed(lines.get(run.state, ""))
    words = {FINISHED: "measure it again", INTERRUPTED: "resume it"}.get(run.state, "")
    settings = {name: short(value) for name, value in run.settings.items()}
    problem = f'<p class="problem">{escape(run.problem)}</p>' if run.problem else ""
    hint = f"<p>{words}: <code>{escape(command)}</code></p>" if words else ""
    return (
        f"<p><code>{escape(str(run.path))}</code></p>{problem}{hint}"
        '<div class="columns">'
        f"<section><h2>Settings</h2>{_pairs(settings, differ)}</section>"
        f"<section><h2>Results</h2>{_pairs(_results(run), set()) or '<p>none yet</p>'}</section>"
        '<section class="large"></section></div>'
    )


def _results(run: FoundRun) -> dict[str, str]:
    """Name -> value, with the interval, if there is one."""
    texts = {}
    for name, value in run.results.items():
        low, high = (run.results.get(f"{name}_{end}") for end in ("low", "high"))
        interval = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
        if name.removesuffix("_low").removesuffix("_high") not in {*run.results} - {name}:
            texts[name] = f"{value:.4g}{interval}"
    return texts


def _pairs(values: Mapping[str, str], marked: set[str]) -> str:
    """Names and values; the marked ones come first, and are highlighted."""
    rows = [
        f"<dt>{escape(name)}</dt><dd>"
        + (f"<mark>{escape(value)}</mark>" if name in marked else escape(value))
        + "</dd>"
        for name, value in sorted(values.items(), key=lambda pair: pair[0] not in marked)
    ]
    return f"<dl>{''.join(rows)}</dl>" if rows else ""


def _tints(runs: Sequence[FoundRun], name: str) -> dict[str, int]:
    """Value of a setting, as text -> the number of its tint; with many values there are none."""
    values = list(dict.fromkeys(value_text(run, name) for run in runs if run.settings))
    return {v: k + 1 for k, v in enumerate(values)} if len(values) <= TINTS else {}


def sparkline(losses: Sequence[Any]) -> str:
    """A line of values, the last one as text; "" without finite values."""
    finite = [(k, v) for k, v in enumerate(losses) if abs(v) < float("inf")]
    if not finite:
        return ""
    step = max(1, len(finite) // _POINTS)
    points = [*finite[:-1:step], finite[-1]]
    low, high = min(v for _, v in points), max(v for _, v in points)
    across, up = max(points[-1][0], 1), (high - low) or 1.0
    path = " ".join(
        f"{3 + (_WIDTH - 6) * k / across:.1f},{3 + (_HEIGHT - 6) * (high - v) / up:.1f}"
        for k, v in points
    )
    end = path.split(" ")[-1].split(",")
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img">'
        f"<title>loss {points[0][1]:.4g} to {points[-1][1]:.4g}</title>"
        f'<polyline points="{path}"/><circle cx="{end[0]}" cy="{end[1]}" r="2.2"/></svg>'
        f"<small>{points[-1][1]:.3g}</small>"
    )


def _picture(path: Path) -> str:
    """A picture as the address of an embedded, smaller one; "" if it cannot be read."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            small = image.convert("RGB")
            small.thumbnail((_PICTURE, _PICTURE))
    except OSError:
        return ""
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=75)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
