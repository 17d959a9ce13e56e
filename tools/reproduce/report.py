"""What has been measured: table and figure of an experiment, and the report of all of them."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_keras.registry import plain
from tools.reproduce.experiments import EXPERIMENTS, SECTIONS, Experiment
from tools.reproduce.verdicts import Verdict

# Tables with more rows stand on a page of their own.
_ROWS_SHOWN = 16


@dataclass(frozen=True)
class Measured:
    """An experiment whose runs are done.

    Attributes:
        name: of the experiment.
        scale: smoke, laptop or full.
        seeds: runs of each cell.
        results: of the runs, in the order of `Experiment.runs`.
    """

    name: str
    scale: str
    seeds: int
    results: Sequence[Mapping[str, Any]]

    @property
    def experiment(self) -> Experiment:
        """What was asked."""
        return EXPERIMENTS[self.name]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """See `Experiment.summary`."""
        return self.experiment.summary(self.scale, self.seeds, self.results)

    @property
    def command(self) -> str:
        """What makes it."""
        return f"python -m tools.reproduce {self.name} --scale={self.scale} --seeds={self.seeds}"

    @property
    def note(self) -> str:
        """How the numbers came about, read from the results."""

        def found(values: Any) -> str:
            return " or ".join(map(str, sorted(set(values))))

        results = self.results
        spread = "mean ± standard deviation over seeds" if self.seeds > 1 else "one seed"
        hours = sum(result["times"]["total"] for result in results) / 3600
        gpus = found(gpu for result in results for gpu in result["hardware"]["gpus"])
        hardware = gpus or found(result["hardware"]["processor"] for result in results)
        cores = found(result["hardware"]["cores"] for result in results)
        commits = found(_short(r["versions"].get("commit")) for r in results)
        return (
            f"`{self.command}`: {len(results)} runs of {found(r['steps'] for r in results)} steps, "
            f"{spread}; {hours:.1f} hours in all on {cores} core(s) of {hardware} for each run; "
            f"commit {commits}."
        )

    @property
    def verdict(self) -> Verdict | None:
        """What it says about its claim; None if there is nothing to be said."""
        if self.experiment.verdict is None or self.scale == "smoke":
            return None
        try:
            return self.experiment.verdict(self.rows)
        except KeyError as error:  # a run that has not measured everything
            return Verdict((), f"some run has not measured {error}")


def _short(commit: Any) -> str:
    """A commit in ten digits, with the mark of what is not committed."""
    digits, changed, _ = str(commit).partition("+")
    return digits[:10] + changed + ("changes" if changed else "")


def table(experiment: Experiment, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows as lines of Markdown."""
    by_feature = experiment.by_feature
    shown = [*experiment.measures, *(["chance"] if by_feature else [])]
    header = ["run", *(["feature"] if by_feature else []), *shown, "time"]
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for row in rows:
        names = [row["cell"], *([row["feature"]] if by_feature else [])]
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


def write(measured: Measured, output: Path) -> None:
    """NAME.csv, NAME.md, and the figure as NAME.png and NAME.svg."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    name, experiment, rows = measured.name, measured.experiment, measured.rows
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with (output / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: plain(value) for key, value in row.items()})
    lines = [experiment.question, ""]
    lines += [*measured.verdict.lines(), ""] if measured.verdict else []
    lines += [measured.note, "", *table(experiment, rows)]
    if experiment.published:
        lines += ["", f"In brackets: published values ({experiment.published_on})."]
    (output / f"{name}.md").write_text("\n".join(lines) + "\n")
    for path, picture in pictures(measured).items():
        shutil.copyfile(picture, output / path)
    figure, axes = plt.subplots(1, experiment.panels, figsize=(3.8 * experiment.panels, 3.3))
    try:
        experiment.figure(list(axes) if experiment.panels > 1 else [axes], rows)
    except KeyError as error:  # the rest of the report is worth having
        figure.clear()
        figure.text(0.05, 0.5, f"Not drawn: some run has not measured {error}.")
    figure.tight_layout()
    figure.savefig(output / f"{name}.png", dpi=130)
    # The same numbers give the same file.
    with plt.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(output / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)


def pictures(measured: Measured) -> dict[str, Path]:
    """What is shown of single runs: name of the file -> where it is, of those that are there."""
    found = {}
    for index, cell in enumerate(measured.experiment.cells(measured.scale)):
        workdir = measured.results[index * measured.seeds].get("paths", {}).get("workdir", "")
        for name in measured.experiment.pictures:
            path = Path(workdir) / name
            if path.is_file():
                found[f"{measured.name}-{cell}-{path.name}"] = path
    return found


def write_report(measured: Mapping[str, Measured], scale: str, output: Path) -> Path:
    """The page of all experiments, beside the folder of their tables and figures.

    Args:
        measured: name -> the experiments whose runs are done.
        scale: of the others, for the command that would make them.
        output: the folder; its tables and figures are written too.
    """
    for found in measured.values():
        write(found, output)
    lines = [
        "# Results",
        "",
        "What the papers claim, and what this program measures. Made by `python -m tools.reproduce "
        "report` from the directories of the runs: each number is the mean over the seeds, ± their "
        "standard deviation where there are several, and each verdict is computed from the "
        "numbers, by rules in `tools/reproduce/verdicts`: a difference counts if it exceeds twice "
        "its standard error over seeds and a point, or, of one seed, three points. *Linear* and "
        "*knn* are measured on test images with frozen features, *untrained* is the same encoder "
        "before training ([how](evaluation.md)). Each figure lies beside its table as SVG too.",
        "",
        "`python -m tools.reproduce NAME --jobs=2` repeats any of it, and does what is missing; "
        "`python -m tools.reproduce report` then renews this page. "
        "`--scale=smoke` tries everything in small, `--scale=full` is the papers' data through "
        "TensorFlow Datasets, for a GPU (`--estimate` measures a few steps, and tells how long it "
        "would take on this machine).",
        "",
        "| question | seeds | verdict |",
        "|---|---|---|",
    ]
    for names in SECTIONS.values():
        for name in names:
            found = measured.get(name)
            word = found.verdict.word if found and found.verdict else "not run yet"
            seeds = str(found.seeds) if found else ""
            lines.append(
                f"| [{EXPERIMENTS[name].question}](#{name.replace('_', '-')}) | {seeds} | {word} |"
            )
    for title, names in SECTIONS.items():
        lines += ["", f"## {title}"]
        for name in names:
            lines += ["", *_section(name, measured.get(name), scale, output)]
    others = [
        f"- [{EXPERIMENTS[name].question}]({output.name}/{name}.md)"
        for name in EXPERIMENTS
        if not any(name in names for names in SECTIONS.values())
        and (output / f"{name}.md").exists()
    ]
    lines += ["", "## More tables", "", *others] if others else []
    path = output.with_name(f"{output.name}.md")
    path.write_text("\n".join(lines) + "\n")
    return path


def _section(name: str, measured: Measured | None, scale: str, output: Path) -> list[str]:
    experiment = EXPERIMENTS[name]
    lines = [f"### {name.replace('_', ' ')}", "", f"*{experiment.question}*", ""]
    lines += [f"**Claim.** {experiment.claim}", ""] if experiment.claim else []
    if measured is None:
        return [*lines, f"Not run yet: `python -m tools.reproduce {name} --scale={scale}`."]
    lines += [*measured.verdict.lines(), ""] if measured.verdict else []
    lines += [f"![{experiment.question}]({output.name}/{name}.png)", ""]
    for path in pictures(measured):
        lines += [f"![{path.removesuffix('.png').replace('-', ' ')}]({output.name}/{path})", ""]
    if experiment.published:
        lines += [f"Published values are in brackets ({experiment.published_on}).", ""]
    elif experiment.claim:
        lines += ["Published values for this protocol: none that we know.", ""]
    if scale == "laptop":
        lines += [f"**What differs here.** {experiment.differs}", ""]
    lines += [measured.note, ""]
    rows = measured.rows
    if len(rows) > _ROWS_SHOWN:
        return [*lines, f"All {len(rows)} rows: [table]({output.name}/{name}.md), "
                f"[CSV]({output.name}/{name}.csv)."]  # fmt: skip
    return [*lines, *table(experiment, rows)]
