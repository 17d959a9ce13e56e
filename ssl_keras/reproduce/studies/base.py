"""What a study is, and how its results become the rows of a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ssl_keras.cli import flags
from ssl_keras.config import Config, groups
from ssl_keras.reproduce.verdicts import Claims
from ssl_keras.sweep.pool import Run

SCALES = ("smoke", "laptop", "full")


@dataclass(frozen=True)
class Study:
    """A study: its runs at a scale, and the columns of its table.

    Attributes:
        question: the question, in a sentence.
        grid: "laptop" or "full" -> label of a cell -> settings; see `cells`.
        measures: column -> key of results.json or of its "results", or "chance/TARGET"; of several,
            joined by " or ", the first that a run has measured. Where keys hold "{target}", each
            cell has a row for each target of its data set.
        published: label of a cell -> column -> the value in the paper.
        published_on: the data of the paper.
        figure: (axes, rows) -> None; draws the figure, see `summary`.
        panels: number of axes of the figure.
        pictures: files in a run's directory to show as well, of the first seed of each cell.
        claim: what a paper says, with its source; empty if no paper asks the question.
        differs: what differs on the laptop from that paper.
        verdict: the claim as data; called with the rows, it gives the verdict.
        leaderboard: rows -> further lines of the page, before the table.
        smoke: labels of the cells of a smoke test, which measure every column and can be drawn.
            Default: the last.
        answer: the answer in a sentence or two; "{CELL:COLUMN}" is a value of the table,
            "{CELL:TARGET:COLUMN}" where each target has a row.
    """

    question: str
    grid: Callable[[str], dict[str, dict[str, Any]]]
    measures: Mapping[str, str]
    figure: Callable[[Sequence[Any], Sequence[Mapping[str, Any]]], None]
    panels: int
    pictures: Sequence[str] = ()
    published: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    published_on: str = ""
    claim: str = ""
    differs: str = ""
    verdict: Claims | None = None
    leaderboard: Callable[[Sequence[Mapping[str, Any]]], list[str]] | None = None
    smoke: tuple[str, ...] = ()
    answer: str = ""

    def answered(self, rows: Sequence[Mapping[str, Any]]) -> str:
        """`answer` with the values of the rows; "?" for those that are missing."""
        by_cell = {(row["cell"], row.get("target")): row for row in rows}

        def value(place: re.Match[str]) -> str:
            found = by_cell.get((place[1], place[2]), {}).get(place[3])
            return "?" if found is None else f"{found:.2f}"

        return re.sub(r"\{([^{}:]+):(?:(\w+):)?(\w+)\}", value, self.answer)

    def cells(self, scale: str) -> dict[str, dict[str, Any]]:
        """Label of a cell -> settings; a run is made for each cell and seed. A smoke test is a cell
        of the laptop or two, for a few steps."""
        if scale != "smoke":
            return self.grid(scale)
        cells = self.grid("laptop")
        chosen = self.smoke or list(cells)[-1:]
        return {label: _shrunk(cells[label]) for label in chosen}

    def runs(self, scale: str, seeds: int) -> list[Run]:
        """One run for each cell and seed, without an export."""
        return [
            Run(f"{label}-seed{seed}", {**settings, "export": False, "seed": seed})
            for label, settings in self.cells(scale).items()
            for seed in range(seeds)
        ]

    def summary(
        self, scale: str, seeds: int, results: Sequence[Mapping[str, Any]]
    ) -> list[dict[str, Any]]:
        """One row for each cell, or for each cell and target: {"cell", "target" if so, "seeds",
        the settings, COLUMN and, of several seeds, COLUMN_sd; COLUMN_published; "seconds" of a
        run, the median "training_seconds", and how it was made: "scale", "steps", "cores",
        "hardware", "commit"}.

        A measure that a cell does not have is left out of its row.

        Raises:
            KeyError: no cell has a measure: its key is wrong.
        """
        rows = []
        for index, (label, settings) in enumerate(self.cells(scale).items()):
            runs = results[index * seeds : (index + 1) * seeds]
            for target in self._targets(runs[0]):
                row: dict[str, Any] = {"cell": label}
                row |= {} if target is None else {"target": target}
                row |= {"seeds": seeds, **settings}
                for column, key in self.measures.items():
                    name = key.format(target=target)
                    values = [
                        v for v in (_measured(result, name) for result in runs) if v is not None
                    ]
                    if len(values) == len(runs):
                        row |= _mean_and_deviation(column, values)
                    if column in self.published.get(label, {}):
                        row[f"{column}_published"] = self.published[label][column]
                if target is not None:
                    row["chance"] = runs[0]["data"]["targets"][target]["chance"]
                row["seconds"] = float(np.mean([result["times"]["total"] for result in runs]))
                row["training_seconds"] = float(np.median([_training(result) for result in runs]))
                rows.append(row | {"scale": scale} | _made(runs))
        for column, key in self.measures.items():
            of_the_record = key in results[0]  # where it may be unknown
            if not of_the_record and not any(column in row for row in rows):
                raise KeyError(f"no run has measured {key}")
        return rows

    @property
    def by_target(self) -> bool:
        """Whether there is a row for each target."""
        return any("{target}" in key for key in self.measures.values())

    def _targets(self, result: Mapping[str, Any]) -> list[str | None]:
        return list(result["data"]["targets"]) if self.by_target else [None]


def _training(result: Mapping[str, Any]) -> float:
    """The seconds of a run's training, earlier stages included."""
    times = result["times"]
    others = ("build", "control", "baselines", "evaluation", "export")
    return float(times["total"] - sum(times.get(part, 0.0) for part in others))


def _measured(result: Mapping[str, Any], name: str) -> float | None:
    """A value of a run's results; "chance/TARGET" is the chance level of a target."""
    if name.startswith("chance/"):
        target = result["data"]["targets"].get(name.removeprefix("chance/"))
        return None if target is None else target["chance"]
    if name in result:  # a field of the record
        return result[name]
    found = (result["results"].get(key) for key in name.split(" or "))
    return next((value for value in found if value is not None), None)


def _mean_and_deviation(column: str, values: Sequence[float]) -> dict[str, float]:
    summary = {column: float(np.mean(values))}
    if len(values) > 1:
        summary[f"{column}_sd"] = float(np.std(values, ddof=1))
    return summary


def _made(results: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """How the runs of a cell were made, as texts; different values are joined by "or"."""

    def commit(result: Mapping[str, Any]) -> str:
        digits, changed, _ = str(result["versions"].get("commit")).partition("+")
        return digits[:10] + changed + ("changes" if changed else "")

    machines = [result["hardware"] for result in results]
    return {
        "steps": either(str(result["steps"]) for result in results),
        "cores": either(str(machine["cores"]) for machine in machines),
        "hardware": either(gpu for m in machines for gpu in m["gpus"] or [m["processor"]]),
        "commit": either(commit(result) for result in results),
    }


def either(values: Iterable[str]) -> str:
    """Different values as "a or b"; a value may be such a text already."""
    parts = {part for value in values for part in value.split(" or ")}
    return " or ".join(sorted(parts, key=lambda part: (not part.isdigit(), len(part), part)))


def _shrunk(cell: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a cell, with a few small steps on few images."""
    smaller = {
        "steps": 2,
        "batch_size": min(48 if "neighbours" in cell else 50, cell.get("batch_size", 50)),
        "width_multiplier": 0.25,
        "max_train_images": 200,
    }
    smaller |= {"measure_images": 0} | ({"stage_epochs": 1} if "stages" in cell else {})
    if cell.get("encoder") == "transformer":
        smaller |= {"embedding_dim": 16}
        del smaller["width_multiplier"]
    if "linear" in cell.get("heads", "linear").split(","):
        smaller |= {"linear_max_iterations": 10}
    if cell.get("dataset") in ("multi_digit", "factors"):
        del smaller["max_train_images"]
        smaller |= {"num_train_images": 200, "num_test_images": 100}
    left_out = {"epochs"}
    if "local_features" in cell.get("heads", ""):
        smaller |= {"local_features_images": 6}
    elif cell.get("encoder") == "resnet18":
        left_out |= {"encoder", "stem"}  # the convnet is traced in a third of the time
    return {name: value for name, value in cell.items() if name not in left_out} | smaller


def flagfile_settings(name: str) -> dict[str, Any]:
    """The settings in a flagfile of the package, without those of groups that are at their
    defaults."""
    values = flags.values(["reproduce", f"--flagfile={name}"], flags.define())
    config = Config.make()
    defaults = {s.name: config.flat().get(s.name) for _, _, group in groups() for s in group}
    return {n: value for n, value in values.items() if defaults.get(n) != value}


def size(scale: str, epochs: int) -> dict[str, Any]:
    """The data, encoder and length of a study, with `epochs` on the laptop."""
    settings: dict[str, dict[str, Any]] = {
        "laptop": {"epochs": epochs, "batch_size": 250},
        "full": {"source": "cifar10", "encoder": "resnet18", "batch_size": 512, "epochs": 200},
    }
    return settings[scale]


# Characters in fonts that training has not seen: an untrained encoder reads them at .27.
GLYPHS = {"dataset": "plain", "source": "glyphs"}
FASHION_MNIST = "idx:/usr/share/datasets/fashion-mnist"

# Views that tell its classes apart, and what makes them harder to tell by outlines alone.
FASHION_VIEWS = {"crop_area_min": 0.08, "flip": True, "blur": 0.5}
MIXUP = {"views": "augment,mixup", "mixup_alpha": 0.7}

# Keys of what is measured most often.
ACCURACY = "linear/features/class/accuracy"
UNTRAINED = f"untrained/{ACCURACY}"
INFORMATION = "bits/features/bits/information"
# Measures of the class.
CLASS = {
    "accuracy": ACCURACY,
    "knn": "knn/features/class/accuracy",
    "accuracy_projections": "linear/projection_2/class/accuracy",
}
