"""Table, page and figure of a study, and the page of all studies."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_keras import files, plots
from ssl_keras.reproduce.measured import Measured
from ssl_keras.reproduce.records import all_recorded
from ssl_keras.reproduce.studies import SECTIONS, STUDIES, Study
from ssl_keras.reproduce.verdicts.claims import UNDECIDED, VERDICTS


def table(study: Study, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows as lines of Markdown."""
    by_target = study.by_target
    shown = [*study.measures, *(["chance"] if by_target else [])]
    header = ["run", *(["target"] if by_target else []), *shown, "time"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for row in rows:
        names = [row["cell"], *([row["target"]] if by_target else [])]
        cells = [*names, *(_cell(row, column) for column in shown), f"{row['seconds']:.0f} s"]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _cell(row: Mapping[str, Any], column: str) -> str:
    if column not in row:
        return ""
    text = f"{row[column]:.3f}"
    if f"{column}_sd" in row:
        text += f" ± {row[f'{column}_sd']:.3f}"
    if f"{column}_published" in row:
        text += f" ({row[f'{column}_published']:.3f})"
    return text


def write(measured: Measured, output: Path) -> Measured:
    """Write NAME.csv and, from what it holds, NAME.md and the figure as NAME.png and NAME.svg;
    returns what it holds."""
    name = measured.name
    for file, picture in measured.pictures.items():
        if picture != output / file:
            shutil.copyfile(picture, output / file)
    recorded = measured.record(output)
    runs = all_recorded(name, recorded.scale, recorded.seeds, output)
    files.write_text(output / f"{name}.md", "\n".join(_page(recorded, runs)) + "\n")
    _draw(recorded, output)
    return recorded


def _page(measured: Measured, has_records: bool) -> list[str]:
    """The page of one study, beside its table, its figure and the records of its runs, if it has
    them."""
    name, study = measured.name, measured.study
    lines = [f"# {name.replace('_', ' ').capitalize()}", "", f"*{study.question}*", ""]
    lines += [f"**Claim.** {study.claim}", ""] if study.claim else []
    lines += [*measured.verdict.lines(), ""] if measured.verdict else []
    lines += [f"![{study.question}]({name}.png)", ""]
    for path in measured.pictures:
        lines += [f"![{path.removesuffix('.png').replace('-', ' ')}]({path})", ""]
    if study.published:
        lines += [f"Published values are in brackets ({study.published_on}).", ""]
    elif study.claim:
        lines += ["Published values for this protocol: none that we know.", ""]
    if measured.scale == "laptop" and study.differs:
        lines += [f"**What differs here.** {study.differs}", ""]
    if study.leaderboard is not None:
        lines += [*study.leaderboard(measured.rows), ""]
    lines += [measured.note, "", *table(study, measured.rows), ""]
    made = "[How the numbers are made](../results.md#how-the-numbers-are-made)"
    records = f", each run as [JSON lines](runs/{name}.jsonl)" if has_records else ""
    files_of = f"the table as [CSV]({name}.csv), the figure as [SVG]({name}.svg){records}"
    return [*lines, f"{made}; {files_of}."]


def _draw(measured: Measured, output: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    name, study = measured.name, measured.study
    lines = 1 + (study.panels > 3)  # four panels in a row are too small to read
    columns = study.panels // lines
    figure, axes = plt.subplots(lines, columns, squeeze=False, figsize=(4.2 * columns, 3.5 * lines))
    try:
        study.figure(list(axes.flat), measured.rows)
    except KeyError as error:  # the rest of the report is still of use
        figure.clear()
        figure.text(0.05, 0.5, f"Not drawn: some run has not measured {error}.")
    plots.finish(figure, measured.rows)
    plots.write(figure, output / f"{name}.png", dpi=130)
    # The same numbers give the same file.
    with plt.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        plots.write(figure, output / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def write_report(measured: Mapping[str, Measured], scale: str, output: Path) -> Path:
    """Write the tables and figures of all studies, and their page beside the folder; returns its
    path.

    Args:
        measured: name -> measurements, of the studies that have any.
        scale: scale of the other studies, for their command on the page.
        output: the folder of tables and figures.
    """
    recorded = {name: write(study, output) for name, study in measured.items()}
    path = output.with_name(f"{output.name}.md")
    files.write_text(path, "\n".join(results_page(recorded, scale, output)) + "\n")
    return path


def results_page(measured: Mapping[str, Measured], scale: str, output: Path) -> list[str]:
    """The lines of the page of all studies, see `write_report`."""
    lines = [
        "# Results",
        "",
        "What the papers claim, and what this program measures on a laptop. Each question leads to "
        "its own page: the claim, every part of the verdict with its numbers and margins, the "
        "table, and how it was made.",
        "",
        *_summary(measured, output),
    ]
    for title, names in SECTIONS.items():
        lines += [f"## {title}", "", "| | |", "|---|---|"]
        lines += [_line(name, measured.get(name), scale, output) for name in names] + [""]
    others = [
        f"[{name}]({output.name}/{name}.md)"
        for name in STUDIES
        if not any(name in names for names in SECTIONS.values())
        and (output / f"{name}.md").exists()
    ]
    if others:
        lines += [f"More tables, made at the commits that they name: {', '.join(others)}.", ""]
    return [
        *lines,
        "## How the numbers are made",
        "",
        "`python -m ssl_keras.reproduce NAME --jobs=2` makes the missing runs of a study, `python "
        "-m ssl_keras.reproduce report` renews these pages. `--recorded=docs/results` adds seeds "
        "to studies with runs there. `--scale=full` takes the papers' data from TensorFlow "
        "Datasets, for a GPU; `--estimate` prints the time.",
        "",
        "Numbers are means over seeds. `ssl_keras/reproduce/verdicts` computes verdicts: a "
        "difference counts if it exceeds its margin, the smallest that would have been seen: twice "
        "its standard error over seeds and at least 0.01, or, of one seed, 0.03. Values agree "
        "within 0.03. *Linear* and *knn* are measured on test images with frozen features, "
        "*untrained* is the same encoder before training ([how](evaluation.md)).",
    ]


def _summary(measured: Mapping[str, Measured], output: Path) -> list[str]:
    """The first table of the page: the studies by their verdict, and how many claims are told."""
    names = [name for members in SECTIONS.values() for name in members if name in measured]
    verdicts = {n: verdict for n in names if (verdict := measured[n].verdict) and verdict.answers}
    if not verdicts:
        return []
    parts = [answer.holds for verdict in verdicts.values() for answer in verdict.answers]
    words = [verdict.word for verdict in verdicts.values()]
    rows = [
        ", ".join(f"[{n}]({output.name}/{n}.md)" for n, v in verdicts.items() if v.word == word)
        for word in VERDICTS
    ]
    return [
        f"**{len(words) - words.count(UNDECIDED)} of {len(words)} claims are told one way or "
        f"the other.** Of their {len(parts)} parts {parts.count(True)} hold, {parts.count(False)} "
        f"do not, {parts.count(None)} cannot be told.",
        "",
        "| verdict | claims |",
        "|---|---|",
        *(f"| {word} | {row} |" for word, row in zip(VERDICTS, rows, strict=True) if row),
        "",
    ]


def _line(name: str, measured: Measured | None, scale: str, output: Path) -> str:
    """A row of the page: the question, the answer with numbers, and the figure."""
    study = STUDIES[name]
    if measured is None:
        command = f"python -m ssl_keras.reproduce {name} --scale={scale}"
        return f"| {study.question} Not run yet: `{command}`. | |"
    word = measured.verdict.word if measured.verdict else "not judged"
    seeds = "one seed" if measured.seeds == 1 else f"{measured.seeds} seeds"
    text = f"[{study.question}]({output.name}/{name}.md) **{word.capitalize()}** ({seeds})."
    picture = f'<img src="{output.name}/{name}.png" width="420" alt="{name}">'
    return f"| {text} {study.answered(measured.rows)} | {picture} |"
