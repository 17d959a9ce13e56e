"""What a study has measured: from the results of its runs, or from the table that was written
of them."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl_keras.errors import UserError
from ssl_keras.options import plain
from ssl_keras.reproduce.studies import STUDIES, Study
from ssl_keras.reproduce.studies.base import either
from ssl_keras.reproduce.verdicts import Verdict

# Columns that are no numbers, whatever they look like: a commit may have no letters.
_TEXTS = ("cell", "target", "scale", "steps", "cores", "hardware", "commit")


@dataclass(frozen=True)
class Measured:
    """What a study has measured.

    Attributes:
        name: of the study.
        scale: smoke, laptop or full.
        rows: see `Study.summary`.
        pictures: what is shown of single runs: name of the file in the report -> where it is.
        is_record: whether it was read from a table.
    """

    name: str
    scale: str
    rows: Sequence[Mapping[str, Any]]
    pictures: Mapping[str, Path] = field(default_factory=dict)
    is_record: bool = False

    @classmethod
    def of(
        cls, name: str, scale: str, seeds: int, results: Sequence[Mapping[str, Any]]
    ) -> Measured:
        """From the results of its runs, in the order of `Study.runs`."""
        study = STUDIES[name]
        pictures = {}
        for index, cell in enumerate(study.cells(scale)):
            workdir = results[index * seeds].get("paths", {}).get("workdir", "")
            for picture in study.pictures:
                path = Path(workdir) / picture
                if path.is_file():
                    pictures[_shown_as(name, cell, picture)] = path
        return cls(name, scale, study.summary(scale, seeds, results), pictures)

    @classmethod
    def recorded(cls, name: str, scale: str, folder: Path) -> Measured | None:
        """From NAME.csv in the folder, if it is there, of that scale and of the study as it is
        now: not if cells or settings have changed since.

        Raises:
            UserError: the file is not such a table.
        """
        path = folder / f"{name}.csv"
        if not path.is_file():
            return None
        with path.open(newline="") as file:
            lines = list(csv.DictReader(file))
        rows = [
            {key: text if key in _TEXTS else _value(text) for key, text in line.items() if text}
            for line in lines
        ]
        if not any("scale" in row for row in rows):
            return None  # not made by this version: it stays as it is
        needed = {"cell", "seeds", "seconds", "scale", "steps", "cores", "hardware", "commit"}
        for number, row in enumerate(rows, 2):
            if missing := sorted(needed - set(row)):
                raise UserError(
                    f"{path} lacks {', '.join(missing)} in line {number}: restore the file, or "
                    f"remove it and run python -m ssl_keras.reproduce {name}."
                )
        cells = STUDIES[name].cells(scale) if rows[0]["scale"] == scale else {}
        asked = {cell: _told(settings) for cell, settings in cells.items()}
        if asked != {
            row["cell"]: _told({key: row.get(key) for key in cells.get(row["cell"], {})})
            for row in rows
        }:
            return None
        pictures = {
            path.name: path
            for row in rows
            for picture in STUDIES[name].pictures
            for path in [folder / _shown_as(name, row["cell"], picture)]
            if path.is_file()
        }
        return cls(name, scale, rows, pictures, True)

    def record(self, folder: Path) -> Measured:
        """Write NAME.csv; returns what can be read from it."""
        columns = list(dict.fromkeys(key for row in self.rows for key in row))
        path = folder / f"{self.name}.csv"
        unfinished = path.with_suffix(".tmp")
        with unfinished.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            for row in self.rows:
                writer.writerow(_told(row))
        os.replace(unfinished, path)
        found = Measured.recorded(self.name, self.scale, folder)
        assert found is not None
        return found

    @property
    def study(self) -> Study:
        """What was asked."""
        return STUDIES[self.name]

    @property
    def seeds(self) -> int:
        """Runs of each cell."""
        return int(self.rows[0]["seeds"])

    @property
    def command(self) -> str:
        """What makes it."""
        return (
            f"python -m ssl_keras.reproduce {self.name} --scale={self.scale} --seeds={self.seeds}"
        )

    @property
    def note(self) -> str:
        """How the numbers came about."""

        def found(column: str) -> str:
            return either(str(row[column]) for row in self.rows)

        spread = "mean ± standard deviation over seeds" if self.seeds > 1 else "one seed"
        seconds = {row["cell"]: row["seconds"] for row in self.rows}
        return (
            f"`{self.command}`: {self.seeds * len(seconds)} runs of {found('steps')} steps, "
            f"{spread}; {self.seeds * sum(seconds.values()) / 3600:.1f} hours in all on "
            f"{found('cores')} core(s) of {found('hardware')} for each run; "
            f"commit {found('commit')}."
        )

    @property
    def verdict(self) -> Verdict | None:
        """What it says about its claim; None if there is nothing to be said."""
        if self.study.verdict is None or self.scale == "smoke":
            return None
        try:
            return self.study.verdict(self.rows)
        except KeyError as error:  # a run that has not measured everything
            return Verdict((), f"some run has not measured {error}")


def _shown_as(name: str, cell: str, picture: str) -> str:
    """What a picture of a run of that cell is called beside the tables."""
    return f"{name}-{cell}-{Path(picture).name}"


def _told(row: Mapping[str, Any]) -> dict[str, str]:
    """Values as they stand in the file."""
    return {key: plain(value) for key, value in row.items()}


def _value(text: str) -> Any:
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
