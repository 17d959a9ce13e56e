"""The whole configuration of a run, and the checks that span several groups."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_keras.config.combinations import check_combinations
from ssl_keras.config.groups import (
    DataConfig,
    EngineConfig,
    EvaluationConfig,
    LossConfig,
    MethodConfig,
    NetworkConfig,
    OptimizationConfig,
    RunConfig,
)
from ssl_keras.config.views import ViewsConfig
from ssl_keras.datasets import DATASETS
from ssl_keras.datasets.base import DatasetBuilder
from ssl_keras.datasets.sources import absolute
from ssl_keras.errors import UserError, nearest
from ssl_keras.evaluators import EVALUATORS, Baseline, Evaluator
from ssl_keras.losses import LOSSES, Loss
from ssl_keras.methods.options import METHODS, Method
from ssl_keras.networks import ENCODERS, Encoder
from ssl_keras.optimizers import OPTIMIZERS, Optimizer
from ssl_keras.options import Registry

_GROUPS = {
    "data": DataConfig,
    "views": ViewsConfig,
    "training": MethodConfig,
    "objective": LossConfig,
    "network": NetworkConfig,
    "optimization": OptimizationConfig,
    "evaluation": EvaluationConfig,
    "engine": EngineConfig,
    "run": RunConfig,
}

# Ways of getting at the same data, and of telling about it.
_MEANS = ("data_dir", "download", "data_service", "quiet", "log_json", "profile_steps")

_CHECKPOINTING = ("checkpoint_every", "checkpoint_minutes", "checkpoint_keep")

DEFAULT_LOSS = "uniform_prior"

# The dictionaries, by the group that names an entry of theirs and the field that does.
REGISTRIES: dict[str, tuple[str, Registry]] = {
    "data": ("dataset", DATASETS),
    "training": ("method", METHODS),
    "objective": ("loss", LOSSES),
    "network": ("encoder", ENCODERS),
    "optimization": ("optimizer", OPTIMIZERS),
    "evaluation": ("heads", EVALUATORS),
}


@dataclass(frozen=True)
class Config:
    """Everything that determines a run. Make one with `Config.make(loss="nt_xent", ...)`.

    Attributes:
        data, views, training, objective, network, optimization, evaluation, engine, run: groups of
            plain values.
        builder, method, encoder, optimizer: the chosen entries, with their options.
        loss: the contrastive loss with its options, or None if the method has none.
        evaluators: the chosen evaluators, by name.
        notices: what the user should know of settings that are not used.
    """

    data: DataConfig
    views: ViewsConfig
    training: MethodConfig
    objective: LossConfig
    network: NetworkConfig
    optimization: OptimizationConfig
    evaluation: EvaluationConfig
    engine: EngineConfig
    run: RunConfig
    builder: DatasetBuilder
    method: Method
    loss: Loss | None
    encoder: Encoder
    optimizer: Optimizer
    evaluators: Mapping[str, Evaluator]
    notices: tuple[str, ...] = ()

    @classmethod
    def make(cls, **values: Any) -> Config:
        """A configuration from flat values, named like the flags; what is absent is default.

        Raises:
            UserError: an unknown name (the nearest is given), a bad value, or values that
                contradict each other.
        """
        fields = all_fields()
        if values.get("digit_source"):
            values["digit_source"] = absolute(values["digit_source"])
        for name in values:
            if name not in fields:
                guess = nearest(name, fields)
                raise UserError(
                    f"Unknown setting {name!r}." + (f" Did you mean {guess!r}?" if guess else "")
                )
        groups: dict[str, Any] = {
            key: group(
                **{f.name: values[f.name] for f in dataclasses.fields(group) if f.name in values}
            )
            for key, group in _GROUPS.items()
        }
        method = _entry(METHODS, groups["training"].method, values)
        notices: tuple[str, ...] = ()
        if method.contrastive:
            name = groups["objective"].loss or DEFAULT_LOSS
            groups["objective"] = dataclasses.replace(groups["objective"], loss=name)
        else:
            groups["objective"] = LossConfig()
            groups["network"], notices = _without_contrast(groups, values)
        if groups["network"].projection_layers is None:
            layers = 2 if method.contrastive else 0
            groups["network"] = dataclasses.replace(groups["network"], projection_layers=layers)
        entries: dict[str, Any] = {
            "builder": _entry(DATASETS, groups["data"].dataset, values),
            "method": method,
            "loss": _entry(LOSSES, groups["objective"].loss, values)
            if method.contrastive
            else None,
            "encoder": _entry(ENCODERS, groups["network"].encoder, values),
            "optimizer": _entry(OPTIMIZERS, groups["optimization"].optimizer, values),
            "evaluators": make_evaluators({**values, "heads": groups["evaluation"].heads}),
        }
        data = groups["data"]
        source = entries["builder"].source_name(data.source)
        data_dir = (
            None if data.data_dir is None else str(Path(data.data_dir).expanduser().resolve())
        )
        groups["data"] = dataclasses.replace(
            data, source=source and absolute(source), data_dir=data_dir
        )
        config = cls(**groups, **entries, notices=notices)
        config._check()
        return config

    def _check(self) -> None:
        network = self.network
        for name in ("projection_dim", "projection_batch_norm"):
            if network.projection_layers == 0 and getattr(network, name) is not None:
                raise UserError(
                    f"{name} has no effect with projection_layers=0: the projections are then the "
                    "features; leave one of the two out."
                )
        layers = network.projection_layers or 0
        if layers < 2 and network.projection_hidden_dim is not None:
            raise UserError(
                f"projection_hidden_dim has no effect with projection_layers="
                f"{network.projection_layers}: only 2 or more layers have hidden ones."
            )
        if self.optimization.steps is None and (
            self.optimization.warmup_epochs >= self.optimization.epochs
        ):
            raise UserError(
                f"warmup_epochs is {self.optimization.warmup_epochs:g}, but there are only "
                f"{self.optimization.epochs} epochs: warm up for less, or train for more."
            )
        for method in self.baselines:
            self.baseline(method)
        if self.run.measure_images == 1:
            raise UserError(
                "measure_images is 1, but geometry is about pairs: give at least 2, or 0 for none."
            )
        if self.run.quiet and self.run.log_json:
            raise UserError("quiet and log_json say what is to be printed: give one of them.")
        if not self.run.measure_images and self.run.measure_every is not None:
            raise UserError("measure_every has no effect with measure_images=0: leave one out.")
        several_steps = (
            {"steps_per_execution": "2 or more"} if self.engine.steps_per_execution > 1 else {}
        )
        check_combinations(
            {**self.engine.options(), "heads": self.evaluation.heads, **several_steps}
        )
        if self.engine.loss_impl == "tiled" and not (self.loss and self.loss.streams):
            streaming = ", ".join(name for name, loss in LOSSES.items() if loss.streams)
            raise UserError(
                f"loss_impl=tiled has no effect on {self.objective.loss or self.training.method}: "
                f"leave it out; only {streaming} go over all pairs in tiles."
            )
        if self.engine.devices is not None and self.engine.strategy != "mirrored":
            raise UserError(
                f"devices has no effect with strategy={self.engine.strategy}: give "
                "--strategy=mirrored, or leave it out."
            )

    def differences(self, other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        """What speaks against going on with a training that another configuration has begun.

        Heads, logging and measuring may differ, and the training may become longer.

        Args:
            other: what `replayable` has returned there.

        Returns:
            setting -> (value here, value there); None: not set.
        """
        free = {f.name for f in dataclasses.fields(EvaluationConfig)} | set(EVALUATORS.fields())
        free |= {"log_every", "measure_images", "measure_every", *_MEANS}
        free |= set(_CHECKPOINTING)
        here = json.loads(json.dumps(self.replayable()))
        found = {
            name: (here.get(name), other.get(name))
            for name in {**here, **other}
            if name not in free and here.get(name) != other.get(name)
        }
        length = "epochs" if "steps" not in {**here, **other} else "steps"
        if length in found and None not in found[length] and found[length][0] > found[length][1]:
            del found[length]
        return found

    @property
    def baselines(self) -> list[str]:
        """The methods that are trained beside the run."""
        return baselines(self.evaluators)

    def baseline(self, method: str) -> Config:
        """The same run with a baseline's method, and without evaluators.

        Raises:
            UserError: that is the method of the run itself.
        """
        if self.training.method == method:
            raise UserError(
                f"The head {method!r} trains the method of the run itself: leave it out of --heads."
            )
        options = {n for evaluator in self.evaluators.values() for n in evaluator.options()}
        kept = {n: value for n, value in self.replayable().items() if n not in options}
        own = next(
            (
                h.settings()
                for h in self.evaluators.values()
                if isinstance(h, Baseline) and h.method == method
            ),
            {"method": method},
        )
        # The data may be served elsewhere while a run goes on, but not when it is evaluated later.
        kept.pop("data_service", None)
        return Config.make(**{**kept, **own, "heads": ""})

    def in_directory(self, workdir: Path) -> Config:
        """The same run, written to `workdir`."""
        return Config.make(**{**self.replayable(), "workdir": str(workdir)})

    def flat(self) -> dict[str, Any]:
        """Every value in force, named like the flags; values that were left open are absent."""
        merged: dict[str, Any] = {}
        for key in _GROUPS:
            merged |= getattr(self, key).options()
        entries = (self.builder, self.method, self.loss, self.encoder, self.optimizer)
        for entry in (*entries, *self.evaluators.values()):
            merged |= {} if entry is None else entry.options()
        return {name: value for name, value in merged.items() if value is not None}

    def replayable(self) -> dict[str, Any]:
        """`flat` without where the run is written: what a repetition needs."""
        left_out = ("workdir", "overwrite")
        return {name: value for name, value in self.flat().items() if name not in left_out}

    def determining(self) -> dict[str, Any]:
        """`replayable` without where data comes from, what is printed, and how often the state of
        the training is kept: what the results depend on."""
        left_out = (*_MEANS, *_CHECKPOINTING)
        return {name: value for name, value in self.replayable().items() if name not in left_out}

    def flagfile_text(self) -> str:
        """`replayable` as a flagfile, one flag a line."""
        lines = []
        for name, value in self.replayable().items():
            if isinstance(value, bool):
                lines.append(f"--{name}" if value else f"--no{name}")
            else:
                lines.append(f"--{name}={value}")
        return "\n".join(lines) + "\n"

    def digest(self) -> str:
        """Eight hexadecimal digits that identify `determining`."""
        text = json.dumps(self.determining(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]

    def run_name(self) -> str:
        """The default name of the run's directory: what it is, and its digest."""
        parts = [self.objective.loss or self.training.method, self.data.dataset]
        if self.data.source is not None:
            # Of a path its last part; what it stands for is in the digest.
            parts.append(self.data.source.rstrip("/").rsplit("/", 1)[-1][-40:])
        parts += [f"seed{self.run.seed}", self.digest()]
        return re.sub(r"[^A-Za-z0-9_.-]+", "_", "-".join(parts))


def all_fields() -> dict[str, tuple[str, dataclasses.Field]]:
    """Every setting: name -> (group, field). Of options that several entries share, the first."""
    found: dict[str, tuple[str, dataclasses.Field]] = {}
    for key, group in _GROUPS.items():
        found |= {field.name: (key, field) for field in dataclasses.fields(group)}
    for key, (_, registry) in REGISTRIES.items():
        for name, uses in registry.fields().items():
            found.setdefault(name, (key, uses[0][1]))
    return found


def groups() -> Iterator[tuple[str, str, list[dataclasses.Field]]]:
    """(key, title, fields) of each group, in the order of `--help`."""
    for key, group in _GROUPS.items():
        yield key, str(group.__doc__), list(dataclasses.fields(group))


def _without_contrast(
    groups: Mapping[str, Any], values: Mapping[str, Any]
) -> tuple[NetworkConfig, tuple[str, ...]]:
    """The networks without a projection head, and what to tell of settings that are left aside.

    They are not refused, so that `--method=supervised` can follow the flags of a contrastive run.
    """
    network = groups["network"]
    head = [field.name for field in dataclasses.fields(network) if "projection" in field.name]
    aside = [name for name in ("loss", *LOSSES.fields(), *head) if values.get(name)]
    notices: tuple[str, ...] = ()
    if aside:
        notices = (
            f"method={groups['training'].method} has no contrastive loss and no projection head: "
            f"{', '.join(aside)} left aside",
        )
    return dataclasses.replace(network, **dict.fromkeys(head)), notices


def _given(registry: Registry, values: Mapping[str, Any]) -> dict[str, Any]:
    return {n: values[n] for n in registry.fields() if n in values and values[n] is not None}


def _entry(registry: Registry, name: str, values: Mapping[str, Any]) -> Any:
    return registry.get(name, **_given(registry, values))


def baselines(evaluators: Mapping[str, Evaluator]) -> list[str]:
    """The methods of the baselines among the evaluators."""
    return [
        evaluator.method for evaluator in evaluators.values() if isinstance(evaluator, Baseline)
    ]


def make_evaluators(values: Mapping[str, Any]) -> dict[str, Evaluator]:
    """The evaluators of a comma-separated list, with their options.

    Args:
        values: "heads" (default: that of a run), and options of evaluators; others are left alone.

    Raises:
        UserError: an unknown evaluator, an option of a head that is not among them, or a bad value.
    """
    names = values.get("heads", EvaluationConfig().heads)
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    given = _given(EVALUATORS, values)
    evaluators = {}
    for name in chosen:
        known = (
            {f.name for f in dataclasses.fields(EVALUATORS[name])} if name in EVALUATORS else set()
        )
        evaluators[name] = EVALUATORS.get(name, **{k: v for k, v in given.items() if k in known})
    for key in given:
        owners = [owner for owner, _ in EVALUATORS.fields()[key]]
        if not set(owners) & set(chosen):
            raise UserError(
                f"{key} belongs to the head {owners[0]!r}, which is not among --heads: add it, or "
                "leave the option out."
            )
    return evaluators
