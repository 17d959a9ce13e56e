"""Compare runs: side by side, or over a setting.

    python -m ssl_keras.compare runs/a runs/b runs/c --output=compare.png
    python -m ssl_keras.compare runs/sweep --x=temperature
    python -m ssl_keras.compare runs/sweep --x=temperature --y=knn/features/class/accuracy

Takes runs, and folders of runs. Side by side it prints the settings that differ and a table of
accuracies with 95% intervals; the picture shows those of linear evaluation as bars, and the online
probes over the training.

With --x it prints, for each value of that setting, the mean over seeds of the measure --y and its
standard deviation; other settings that differ make a line of their own each. It draws the same
with chance level and untrained encoder, by default into the folder of the runs. A CSV with the
numbers is written beside each picture.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_keras.cli import startup
from ssl_keras.cli.drawing import build_parser, png_path
from ssl_keras.compare import figure, side_by_side
from ssl_keras.compare.over_setting import comparison, rows, table
from ssl_keras.errors import UserError
from ssl_keras.run import run_directory
from ssl_keras.run.collection import FINISHED, FoundRun, differing, find_runs, write_csv


def finished_runs(places: Sequence[Path]) -> list[FoundRun]:
    """The finished runs in `places`; those in folders that are not finished are named.

    Raises:
        UserError: a place does not exist or is no run, or nothing there is finished.
    """
    for place in places:
        if run_directory.is_run(place):
            run_directory.read(place)
    found = find_runs(places)
    runs = [run for run in found if run.state == FINISHED]
    others = [f"{run.name} ({run.state})" for run in found if run.state != FINISHED]
    if not runs:
        raise UserError(f"No run is finished there: {', '.join(others)}.")
    if others:
        print(f"Note: left out: {', '.join(others)}.")
    for key, values in differing([run.record["versions"] for run in runs]).items():
        print(f"Note: {key} differs: {', '.join(dict.fromkeys(map(str, values)))}.")
    return runs


def default_output(places: Sequence[Path], setting: str) -> Path:
    """The picture over a setting: in the folder of the runs, if there is one."""
    if len(places) == 1 and not run_directory.is_run(places[0]):
        return places[0] / f"{setting}.png"
    return Path(f"{setting}.png")


def compare_over(runs: Sequence[FoundRun], x: str, y: str | None, output: Path) -> None:
    """Print a measure over a setting; write the figure to `output`, and a CSV beside it.

    Raises:
        UserError: see `comparison`.
    """
    result = comparison(runs, x, y)
    for note in result.notes:
        print(f"Note: {note}.")
    print(f"{result.y}: mean over seeds, standard deviation")
    print(table(result))
    path = output.with_suffix(".csv")
    write_csv(rows(result), path)
    figure.draw(result, output)
    print(f"Written: {path}")


def main(arguments: list[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    parser = build_parser("ssl_keras.compare", __doc__)
    parser.add_argument(
        "runs", nargs="+", type=Path, metavar="RUN", help="finished runs, or folders of runs"
    )
    parser.add_argument("--x", metavar="SETTING", help="the setting on the axis")
    parser.add_argument(
        "--y",
        metavar="MEASURE",
        help="the measure, named as in results.json (linear accuracy of the class on features)",
    )
    parser.add_argument(
        "--output", help="file of the picture (none; with --x SETTING.png in the folder)"
    )
    options: Any = parser.parse_args(arguments)

    def body() -> None:
        if options.y is not None and options.x is None:
            raise UserError("--y is the measure over a setting: give the setting too, as --x=loss.")
        output = None if options.output is None else png_path(options.output)
        runs = finished_runs(options.runs)
        if options.x is None:
            side_by_side.compare(runs, output)
        else:
            place = output or default_output(options.runs, options.x)
            compare_over(runs, options.x, options.y, place)

    return startup.guarded("ssl_keras.compare", body, lambda: False, only_prints=True)


if __name__ == "__main__":
    sys.exit(main())
