"""The measurements of a study, from the results of its runs or from its recorded table."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl_keras.errors import UserError
from ssl_keras.options import plain
from ssl_keras.reproduce.studies import STUDIES, Study
from ssl_keras.reproduce.studies.base import either
from ssl_keras.reproduce.verdicts import Verdict
from ssl_keras.run.collection import write_csv

# Columns of texts; a commit may look like a number.
_TEXTS = ("cell", "target", "scale", "steps", "cores", "hardware", "commit")


@dataclass(frozen=True)
class Measured:
    """The measurements of a study.

    Attributes:
        name: name of the study.
        scale: smoke, laptop or full.
        rows: see `Study.summary`.
        pictures: pictures of single runs: file name in the report -> file.
        is_record: whether the rows were read from a table.
    """

    name: str
    scale: str
    rows: Sequence[Mapping[str, Any]]
    pictures: Mapping[str, Path] = field(default_factory=dict)
    is_record: bool = False

    @classmethod
    def from_results(
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
                    pictures[_file_name(name, cell, picture)] = path
        return cls(name, scale, study.summary(scale, seeds, results), pictures)

    @classmethod
    def recorded(cls, name: str, scale: str, folder: Path) -> Measured | None:
        """From NAME.csv in the folder; None if there is none of that scale, or if cells or settings
        of the study have changed since.

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
            return None  # of an earlier version; it is kept
        needed = {"cell", "seeds", "seconds", "scale", "steps", "cores", "hardware", "commit"}
        for number, row in enumerate(rows, 2):
            if missing := sorted(needed - set(row)):
                raise UserError(
                    f"{path} lacks {', '.join(missing)} in line {number}: restore the file, or "
                    f"remove it and run python -m ssl_keras.reproduce {name}."
                )
        cells = STUDIES[name].cells(scale) if rows[0]["scale"] == scale else {}
        asked = {cell: texts(settings) for cell, settings in cells.items()}
        if asked != {
            row["cell"]: texts({key: row.get(key) for key in cells.get(row["cell"], {})})
            for row in rows
        }:
            return None
        # Settings as the study has them: a text may look like a number.
        rows = [row | cells[row["cell"]] for row in rows]
        pictures = {
            path.name: path
            for row in rows
            for picture in STUDIES[name].pictures
            for path in [folder / _file_name(name, row["cell"], picture)]
            if path.is_file()
        }
        return cls(name, scale, rows, pictures, True)

    def record(self, folder: Path) -> Measured:
        """Write NAME.csv; returns what it holds."""
        write_csv([texts(row) for row in self.rows], folder / f"{self.name}.csv")
        recorded = Measured.recorded(self.name, self.scale, folder)
        assert recorded is not None
        return recorded

    @property
    def study(self) -> Study:
        """The study."""
        return STUDIES[self.name]

    @property
    def seeds(self) -> int:
        """Number of runs of each cell."""
        return int(self.rows[0]["seeds"])

    @property
    def command(self) -> str:
        """The command that measures it again."""
        return (
            f"python -m ssl_keras.reproduce {self.name} --scale={self.scale} --seeds={self.seeds}"
        )

    @property
    def note(self) -> str:
        """Command, length, machine and commit of the runs."""

        def values(column: str) -> str:
            return either(str(row[column]) for row in self.rows)

        spread = "mean ± standard deviation over seeds" if self.seeds > 1 else "one seed"
        seconds = {row["cell"]: row["seconds"] for row in self.rows}
        return (
            f"`{self.command}`: {self.seeds * len(seconds)} runs of {values('steps')} steps, "
            f"{spread}; {self.seeds * sum(seconds.values()) / 3600:.1f} hours in all on "
            f"{values('cores')} core(s) of {values('hardware')} for each run; "
            f"commit {values('commit')}."
        )

    @property
    def verdict(self) -> Verdict | None:
        """What the numbers say about the claim; None if there is no claim, or at smoke scale."""
        if self.study.verdict is None or self.scale == "smoke":
            return None
        try:
            return self.study.verdict(self.rows)
        except KeyError as error:  # a run that has not measured everything
            return Verdict((), f"some run has not measured {error}")


def _file_name(name: str, cell: str, picture: str) -> str:
    """The file name of a picture of a run, beside the tables."""
    return f"{name}-{cell}-{Path(picture).name}"


def texts(row: Mapping[str, Any]) -> dict[str, str]:
    """Values as in the file."""
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
