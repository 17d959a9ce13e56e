"""Table, page and figure of a study, and the page of all studies."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_keras import plots
from ssl_keras.reproduce.measured import Measured
from ssl_keras.reproduce.studies import SECTIONS, STUDIES, Study

# Longer tables have a separate page.
_ROWS_SHOWN = 16


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
    (output / f"{name}.md").write_text("\n".join(_page(recorded)) + "\n")
    _draw(recorded, output)
    return recorded


def _page(measured: Measured) -> list[str]:
    study = measured.study
    lines = [study.question, ""]
    lines += [*measured.verdict.lines(), ""] if measured.verdict else []
    lines += [measured.note, "", *table(study, measured.rows)]
    if study.published:
        lines += ["", f"In brackets: published values ({study.published_on})."]
    return lines


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
    figure.savefig(output / f"{name}.png", dpi=130)
    # The same numbers give the same file.
    with plt.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(output / f"{name}.svg", metadata={"Date": None})
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
    path.write_text("\n".join(results_page(recorded, scale, output)) + "\n")
    return path


def results_page(measured: Mapping[str, Measured], scale: str, output: Path) -> list[str]:
    """The lines of the page of all studies, see `write_report`."""
    lines = [
        "# Results",
        "",
        "What the papers claim, and what this program measures. Made by `python -m "
        "ssl_keras.reproduce report` from the directories of the runs, or from the tables that "
        "were made from them earlier: each number is the mean over the seeds, ± their "
        "standard deviation where there are several, and each verdict is computed from the "
        "numbers, by `ssl_keras/reproduce/verdicts`: a difference counts if it exceeds its margin, "
        "twice its standard error over seeds and at least 0.01, or, of one seed, 0.03; values "
        "agree within 0.03. Each answer shows the margins and borders that decide. *Linear* and "
        "*knn* are measured on test images with frozen features, *untrained* is the same encoder "
        "before training ([how](evaluation.md)). Each figure lies beside its table as SVG too.",
        "",
        "`python -m ssl_keras.reproduce NAME --jobs=2` makes the missing runs of a study; "
        "`python -m ssl_keras.reproduce report` then renews this page. `--scale=smoke` tries "
        "everything in a few steps, `--scale=full` takes the papers' data from TensorFlow "
        "Datasets, for a GPU (`--estimate` measures a few steps, and prints how long the training "
        "would take on this machine).",
        "",
        "| question | seeds | verdict |",
        "|---|---|---|",
    ]
    for names in SECTIONS.values():
        for name in names:
            study = measured.get(name)
            word = study.verdict.word if study and study.verdict else "not judged"
            word = word if study else "not run yet"
            seeds = str(study.seeds) if study else ""
            lines.append(
                f"| [{STUDIES[name].question}](#{name.replace('_', '-')}) | {seeds} | {word} |"
            )
    for title, names in SECTIONS.items():
        lines += ["", f"## {title}"]
        for name in names:
            lines += ["", *_section(name, measured.get(name), scale, output)]
    others = [
        f"- [{STUDIES[name].question}]({output.name}/{name}.md)"
        for name in STUDIES
        if not any(name in names for names in SECTIONS.values())
        and (output / f"{name}.md").exists()
    ]
    older = "Made at the commits that they name; by the same command they can be made again."
    return [*lines, "", "## More tables", "", older, "", *others] if others else lines


def _section(name: str, measured: Measured | None, scale: str, output: Path) -> list[str]:
    study = STUDIES[name]
    lines = [f"### {name.replace('_', ' ')}", "", f"*{study.question}*", ""]
    lines += [f"**Claim.** {study.claim}", ""] if study.claim else []
    if measured is None:
        return [*lines, f"Not run yet: `python -m ssl_keras.reproduce {name} --scale={scale}`."]
    lines += [*measured.verdict.lines(), ""] if measured.verdict else []
    lines += [f"![{study.question}]({output.name}/{name}.png)", ""]
    for path in measured.pictures:
        lines += [f"![{path.removesuffix('.png').replace('-', ' ')}]({output.name}/{path})", ""]
    if study.published:
        lines += [f"Published values are in brackets ({study.published_on}).", ""]
    elif study.claim:
        lines += ["Published values for this protocol: none that we know.", ""]
    if scale == "laptop":
        lines += [f"**What differs here.** {study.differs}", ""]
    lines += [measured.note, ""]
    rows = measured.rows
    if len(rows) > _ROWS_SHOWN:
        return [*lines, f"All {len(rows)} rows: [table]({output.name}/{name}.md), "
                f"[CSV]({output.name}/{name}.csv)."]  # fmt: skip
    return [*lines, *table(study, rows)]
