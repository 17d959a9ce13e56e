"""Run an experiment, as many runs as it takes, and write its table and figure.

    python -m tools.reproduce temperature --scale=laptop --seeds=3 --jobs=2

Runs that are done are kept: the same command, repeated after an interruption, does the rest. It
writes NAME.csv, NAME.md and NAME.png to --output, made from the runs' directories and nothing
else.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_keras import startup
from ssl_keras.errors import UserError, unknown_name
from ssl_keras.registry import plain
from tools.common import build_parser
from tools.reproduce.experiments import EXPERIMENTS, SCALES, Experiment
from tools.reproduce.sweep import finish


def write(
    name: str, experiment: Experiment, rows: Sequence[Mapping[str, Any]], output: Path, note: str
) -> None:
    """NAME.csv, NAME.md and NAME.png from the summary."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    columns = list(dict.fromkeys(key for row in rows for key in row))
    with (output / f"{name}.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({key: plain(value) for key, value in row.items()})
    lines = [experiment.question, "", note, ""]
    by_feature = experiment.by_feature
    shown = [*experiment.measures, *(["chance"] if by_feature else [])]
    header = ["run", *(["feature"] if by_feature else []), *shown, "time"]
    lines += ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    for row in rows:
        names = [row["cell"], *([row["feature"]] if by_feature else [])]
        cells = [*names, *(_cell(row, column) for column in shown), f"{row['seconds']:.0f} s"]
        lines.append("| " + " | ".join(cells) + " |")
    if experiment.published:
        lines += ["", f"In brackets: published values ({experiment.published_on})."]
    (output / f"{name}.md").write_text("\n".join(lines) + "\n")
    figure, axes = plt.subplots(1, experiment.panels, figsize=(3.8 * experiment.panels, 3.3))
    experiment.figure(list(axes) if experiment.panels > 1 else [axes], rows)
    figure.tight_layout()
    figure.savefig(output / f"{name}.png", dpi=130)
    plt.close(figure)


def _cell(row: Mapping[str, Any], column: str) -> str:
    if column not in row:
        return ""
    text = f"{row[column]:.3f}"
    if f"{column}_sd" in row:
        text += f" ± {row[f'{column}_sd']:.3f}"
    if f"{column}_published" in row:
        text += f" ({row[f'{column}_published']:.3f})"
    return text


def _note(name: str, scale: str, seeds: int, results: Sequence[Mapping[str, Any]]) -> str:
    """How the numbers came about, read from the results."""
    cores = sorted({result["hardware"]["cores"] for result in results})
    processors = sorted({result["hardware"]["processor"] for result in results})
    commits = sorted({str(result["versions"].get("commit"))[:10] for result in results})
    spread = "mean ± standard deviation over seeds" if seeds > 1 else "one seed"
    return (
        f"Made by `python -m tools.reproduce {name} --scale={scale} --seeds={seeds}`: {spread}; "
        f"{' or '.join(map(str, cores))} core(s) of {', '.join(processors)} for each run; commit "
        f"{', '.join(commits)}."
    )


def main(arguments: list[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    parser = build_parser("reproduce", __doc__)
    parser.add_argument("name", help=f"one of {', '.join(EXPERIMENTS)}")
    parser.add_argument("--scale", choices=SCALES, default="laptop", help="size of the runs")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each cell")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--runs", type=Path, default=Path("runs/reproduce"), help="their folder")
    parser.add_argument("--output", type=Path, default=Path("docs/results"), help="of the results")
    given: Any = parser.parse_args(arguments)

    def body() -> None:
        if given.name not in EXPERIMENTS:
            raise unknown_name("experiment", given.name, EXPERIMENTS)
        for option in ("seeds", "jobs"):
            if getattr(given, option) < 1:
                raise UserError(f"{option} is {getattr(given, option)}; at least 1 is needed.")
        try:
            given.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"output {given.output} cannot be made ({error.strerror}): choose another folder."
            ) from error
        experiment = EXPERIMENTS[given.name]
        runs = experiment.runs(given.scale, given.seeds)
        results = finish(runs, given.runs / given.scale / given.name, given.jobs)
        rows = experiment.summary(given.scale, given.seeds, results)
        note = _note(given.name, given.scale, given.seeds, results)
        write(given.name, experiment, rows, given.output, note)
        print((given.output / f"{given.name}.md").read_text())
        print(f"Written: {given.output / given.name}.csv, .md, .png")

    return startup.guarded("tools.reproduce", body, lambda: False)


if __name__ == "__main__":
    sys.exit(main())
