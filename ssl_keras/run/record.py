"""The record of a run: what results.json holds."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ssl_keras.run import environment, run_directory
from ssl_keras.run.setup import TrainingSetup


@dataclass
class RunRecord:
    """Everything that a run has measured, and what it was made with.

    Attributes:
        setup: the banner: label -> value.
        config: the settings in force that determine the run.
        requested: those that were asked for.
        data: name, version, notices, sizes and targets of the data.
        engine: what the last digits depend on.
        steps, seed: of the training.
        times: seconds of each part; "resumed_at" lists steps.
        paths: where things lie.
        training: the last logged metrics.
        history: the metrics of every log.
        geometry_history: the measures of geometry.
        warning: the warning of a collapse, or None.
        weights_sha256: digest of the weights at the end of the training.
        results: "evaluator/layer/measure" -> value, see `measure.measure`.
        protocol: what each evaluator does, in words.
        saved_model_relative_difference: of features, between the export and the model.
        finished: whether the run has come to its end.
        versions, hardware: of what it ran on.
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
    weights_sha256: str = ""
    results: dict[str, float] = field(default_factory=dict)
    protocol: dict[str, str] = field(default_factory=dict)
    saved_model_relative_difference: float | None = None
    finished: bool = False
    versions: dict[str, str] = field(default_factory=environment.versions)
    hardware: dict[str, Any] = field(default_factory=environment.hardware)

    @classmethod
    def begin(cls, setup: TrainingSetup, workdir: Path, banner: dict[str, str]) -> RunRecord:
        """The record of a run that is about to train."""
        config, data = setup.config, setup.data
        targets = {name: dataclasses.asdict(target) for name, target in data.targets.items()}
        return cls(
            setup=banner,
            config=config.determining(),
            requested=setup.requested.determining(),
            data={
                "name": data.name,
                "version": config.builder.version,
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
        )

    def as_json(self) -> dict[str, Any]:
        """What results.json holds."""
        return dataclasses.asdict(self)

    def write(self, workdir: Path) -> None:
        """Write results.json, all of it or nothing."""
        run_directory.write_json(workdir / "results.json", self.as_json())
