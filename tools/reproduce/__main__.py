"""Run an experiment, as many runs as it takes, and write its table and figure.

    python -m tools.reproduce temperature --scale=laptop --seeds=3 --jobs=2

Runs that are done are kept: the same command, repeated after an interruption, does the rest. It
writes NAME.csv, NAME.md and NAME.png to --output, made from the runs' directories and nothing
else.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_keras import startup
from ssl_keras.errors import UserError, unknown_name
from ssl_keras.registry import plain
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
    lines.append("| " + " | ".join(["run", *experiment.measures, "time"]) + " |")
    lines.append("|---" * (len(experiment.measures) + 2) + "|")
    for row in rows:
        cells = [f"{row[c]:.3f} ± {row[f'{c}_sd']:.3f}" for c in experiment.measures]
        lines.append("| " + " | ".join([row["cell"], *cells, f"{row['seconds']:.0f} s"]) + " |")
    (output / f"{name}.md").write_text("\n".join(lines) + "\n")
    figure, axes = plt.subplots(1, experiment.panels, figsize=(3.8 * experiment.panels, 3.3))
    experiment.figure(list(axes) if experiment.panels > 1 else [axes], rows)
    figure.tight_layout()
    figure.savefig(output / f"{name}.png", dpi=130)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.reproduce",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
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
        experiment = EXPERIMENTS[given.name]
        runs = experiment.runs(given.scale, given.seeds)
        results = finish(runs, given.runs / given.scale / given.name, given.jobs)
        given.output.mkdir(parents=True, exist_ok=True)
        rows = experiment.summary(given.scale, given.seeds, results)
        hardware = results[0]["hardware"]
        note = (
            f"Made by `python -m tools.reproduce {given.name} --scale={given.scale} "
            f"--seeds={given.seeds}`: mean ± standard deviation over seeds; "
            f"{hardware['cores']} core(s) of {hardware['processor']} for each run."
        )
        write(given.name, experiment, rows, given.output, note)
        print((given.output / f"{given.name}.md").read_text())
        print(f"Written: {given.output / given.name}.csv, .md, .png")

    return startup.guarded("tools.reproduce", body, lambda: False)


if __name__ == "__main__":
    sys.exit(main())
