"""The record of a run, the contents of results.json."""

from __future__ import annotations

import dataclasses
import time
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl_keras import files
from ssl_keras.run import environment

if TYPE_CHECKING:
    from ssl_keras.run.setup import TrainingSetup


@contextmanager
def timed(times: dict[str, Any], name: str) -> Iterator[None]:
    """Add the seconds spent in the context to `times[name]`."""
    start = time.perf_counter()
    yield
    times[name] = times.get(name, 0.0) + time.perf_counter() - start


@dataclass
class RunRecord:
    """Everything that a run has measured, and its settings.

    Attributes:
        setup: the banner: label -> value.
        config: the settings in force that determine the results.
        requested: the same settings as requested, before values that follow from the data.
        data: name, version, digests, notices, sizes and targets of the data.
        engine: see `devices.Engine.described`.
        steps, seed: length and seed of the training.
        times: seconds of each part; "resumed_at" lists steps.
        paths: directories of the run and the data.
        training: the last logged metrics.
        history: the metrics of every log.
        geometry_history: the measures of geometry.
        warning: the warning of a collapse, or None.
        near_neighbours, group_size: see `setup.TrainingSetup`.
        weights_sha256: digest of the weights at the end of the training.
        results: "evaluator/layer/measure" -> value, see `measure.measure`.
        protocol: description of each evaluator.
        saved_model_relative_difference: difference of features between the export and the model;
            None without an export.
        finished: whether the run is complete.
        versions, hardware: see `environment`.
    """

    setup: dict[str, str]
    config: dict[str, Any]
    requested: dict[str, Any]
    data: dict[str, Any]
    engine: dict[str, Any]
    steps: int
    seed: int
    times: dict[str, Any]
    paths: dict[str, Any]
    training: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    geometry_history: list[dict[str, float]] = field(default_factory=list)
    warning: str | None = None
    near_neighbours: int | None = None
    group_size: int | None = None
    weights_sha256: str = ""
    results: dict[str, float] = field(default_factory=dict)
    protocol: dict[str, str] = field(default_factory=dict)
    saved_model_relative_difference: float | None = None
    finished: bool = False
    versions: dict[str, str] = field(default_factory=environment.versions)
    hardware: dict[str, Any] = field(default_factory=environment.hardware)

    @classmethod
    def begin(cls, setup: TrainingSetup, workdir: Path, banner: dict[str, str]) -> RunRecord:
        """The record of a run, without measurements."""
        config, data = setup.config, setup.data
        targets = {name: target.described() for name, target in data.targets.items()}
        return cls(
            setup=banner,
            config=config.determining(),
            requested=setup.requested.determining(),
            data={
                "name": data.name,
                "version": config.builder.version,
                "digests": dict(data.digests),
                "notices": list(data.notices),
                "train_images": data.train.num_examples,
                "test_images": data.test.num_examples,
                "targets": targets,
            },
            engine=setup.engine.described(),
            steps=setup.total_steps,
            seed=config.run.seed,
            times={},
            paths={"workdir": str(workdir), "data_dir": config.data.data_dir},
            near_neighbours=setup.near_neighbours,
            group_size=setup.group_size,
        )

    @classmethod
    def problem(cls, contents: Any) -> str | None:
        """What is wrong with the contents of a results.json, or None."""
        if not isinstance(contents, dict):
            return "it is no dictionary"
        for name, expected in _types(cls).items():
            if name in _LATER and name not in contents:
                continue
            if name not in contents:
                return f"it has no {name}"
            if not _fits(contents[name], expected):
                return f"its {name} has another type"
        targets = contents["data"].get("targets")
        if not _fits(targets, dict[str, dict[str, Any]]):
            return "its targets have another type"
        if not all(_fits(target.get("chance"), float) for target in targets.values()):
            return "a target has no chance level"
        if contents["finished"] and not _fits(contents["times"].get("total"), float):
            return "its total time has another type"
        return None

    def as_json(self) -> dict[str, Any]:
        """The contents of results.json."""
        return dataclasses.asdict(self)

    def write(self, workdir: Path) -> None:
        """Write results.json atomically."""
        files.write_json(workdir / "results.json", self.as_json())


# Fields that records of this format were without at first.
_LATER = ("near_neighbours", "group_size")


def _types(cls: type) -> dict[str, Any]:
    """Field -> its type."""
    return typing.get_type_hints(cls, {**globals(), "TrainingSetup": Any})


def _fits(value: Any, expected: Any) -> bool:
    """Whether a value read from JSON has a type: that of a field of `RunRecord`."""
    origin, inner = typing.get_origin(expected), typing.get_args(expected)
    if expected is Any:
        return True
    if origin is dict:
        return isinstance(value, Mapping) and all(_fits(v, inner[1]) for v in value.values())
    if origin is list:
        return isinstance(value, list) and all(_fits(v, inner[0]) for v in value)
    if inner:  # X | None
        return any(_fits(value, one) for one in inner)
    if expected is float:
        numeric = isinstance(value, (int, float)) and not isinstance(value, bool)
        return numeric and (isinstance(value, float) or abs(value) < 2**53)
    return isinstance(value, expected) and not (expected is int and isinstance(value, bool))
