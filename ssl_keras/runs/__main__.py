"""List the runs of a folder.

    python -m ssl_keras.runs runs
    python -m ssl_keras.runs runs/sweep --html=runs.html --csv=runs.csv

Prints a line for each run: its state (finished, running, interrupted or damaged), the settings in
which the runs differ, the accuracies on frozen features, and its time.

--html writes the same as one page for the browser, which needs no server and no network: its table
sorts and filters, and shows the loss, the views, and all settings and results of each run. --csv
writes all settings and results.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ssl_keras import files
from ssl_keras.cli import startup
from ssl_keras.cli.drawing import build_parser
from ssl_keras.errors import UserError
from ssl_keras.run.collection import find_runs, write_csv
from ssl_keras.runs.page import page
from ssl_keras.runs.table import notes, table


def _output(option: str, text: str | None, suffix: str) -> Path | None:
    """The file of an option, if it is given.

    Raises:
        UserError: it has another suffix, or its folder does not exist.
    """
    if text is None:
        return None
    path = Path(text)
    if path.suffix.lower() != suffix or not path.parent.is_dir():
        raise UserError(f"--{option} is {path}; a {suffix} file in an existing folder is needed.")
    return path


def main(arguments: list[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    parser = build_parser("ssl_keras.runs", __doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="folders of runs")
    parser.add_argument("--html", metavar="FILE", help="write a page for the browser")
    parser.add_argument("--csv", metavar="FILE", help="write all settings and results")
    options: Any = parser.parse_args(arguments)

    def body() -> None:
        html = _output("html", options.html, ".html")
        csv = _output("csv", options.csv, ".csv")
        runs = find_runs(options.folders)
        print(table(runs))
        for note in notes(runs):
            print(note)
        if html is not None:
            try:
                files.write_text(html, page(runs, ", ".join(map(str, options.folders))))
            except OSError as error:
                raise UserError(f"{html} cannot be written ({error.strerror}).") from error
            print(f"Written: {html}")
        if csv is not None:
            write_csv([run.row() for run in runs], csv)
            print(f"Written: {csv}")

    return startup.guarded("ssl_keras.runs", body, lambda: False, only_prints=True)


if __name__ == "__main__":
    sys.exit(main())
