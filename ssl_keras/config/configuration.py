"""The whole configuration of a run, and the checks that span several groups."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_keras import datasets, plugins
from ssl_keras.config.combinations import check_combinations
from ssl_keras.config.groups import (
    DataConfig,
    EngineConfig,
    EvaluationConfig,
    ImageConfig,
    LossConfig,
    MethodConfig,
    NetworkConfig,
    OptimizationConfig,
    RunConfig,
)
from ssl_keras.config.views import ViewsConfig
from ssl_keras.datasets import DATASETS
from ssl_keras.datasets.base import DatasetBuilder
from ssl_keras.datasets.sources import stored
from ssl_keras.errors import UserError, nearest
from ssl_keras.evaluators import EVALUATORS, Baseline, Evaluator
from ssl_keras.losses import LOSSES, Loss
from ssl_keras.methods import METHODS, Method
from ssl_keras.networks import ENCODERS, Encoder, store_model
from ssl_keras.optimizers import OPTIMIZERS, Optimizer
from ssl_keras.options import Registry, Setting, claim_names, settings

_GROUPS: dict[str, type] = {
    "data": DataConfig,
    "images": ImageConfig,
    "views": ViewsConfig,
    "training": MethodConfig,
    "objective": LossConfig,
    "network": NetworkConfig,
    "optimization": OptimizationConfig,
    "evaluation": EvaluationConfig,
    "engine": EngineConfig,
    "run": RunConfig,
}

# Group -> (its field that names an entry, the dictionary of entries).
REGISTRIES: dict[str, tuple[str, Registry]] = {
    "data": ("dataset", DATASETS),
    "training": ("method", METHODS),
    "objective": ("loss", LOSSES),
    "network": ("encoder", ENCODERS),
    "optimization": ("optimizer", OPTIMIZERS),
    "evaluation": ("heads", EVALUATORS),
}

for _group in _GROUPS.values():
    claim_names(f"group {_group.__doc__!r} of the settings", settings(_group).values())

# Settings without effect on the results: where data and code come from, and what is printed.
_WITHOUT_EFFECT = (
    "data_dir",
    "download",
    "export",
    "quiet",
    "log_json",
    "profile_steps",
    "plugins",
    "wait_minutes",
)

_CHECKPOINTING = ("checkpoint_every", "checkpoint_minutes", "checkpoint_keep")


@dataclass(frozen=True)
class Config:
    """Everything that determines a run. Make one with `Config.make(loss="nt_xent", ...)`.

    Attributes:
        data, images, views, training, objective, network, optimization, evaluation, engine, run:
            groups of plain values.
        builder, method, encoder, optimizer: the parts, with their options.
        loss: the contrastive loss with its options, or None if the method has none.
        evaluators: the evaluators, by name.
        notices: sentences for the user about settings that are not used.
        given: names of the settings that were given; the others are defaults.
    """

    data: DataConfig
    images: ImageConfig
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
    given: frozenset[str] = dataclasses.field(default=frozenset(), compare=False)

    @classmethod
    def make(cls, base: Mapping[str, Any] | None = None, /, **values: Any) -> Config:
        """A configuration from flat values, named like the flags; the others are the defaults.

        Numbers may be of any type (NumPy's too), texts may be paths, and comma-separated settings
        may be lists. `encoder` may be a `keras.Model` from network inputs to features, or the path
        of a .keras file, instead of a name. `source` may be a `tf.data.Dataset`, or one for
        training and one for testing, which is read once and stored, see `sources.stored.store`.

        Args:
            base: further values, such as those of an earlier run. Where they contradict what
                `values` select (the temperature of an earlier loss), they are set aside with a
                notice.
            values: see above.

        Raises:
            UserError: an unknown name (the message has the nearest), a bad value, or values that
                contradict each other.
        """
        given = {name for name, value in values.items() if value is not None}
        values = {**(base or {}), **values}
        plugins.load(settings(RunConfig)["plugins"].validated(values.get("plugins") or ""))
        known = all_settings()
        for name in values:
            if name not in known:
                guess = nearest(name, known)
                raise UserError(
                    f"Unknown setting {name!r}." + (f" Did you mean {guess!r}?" if guess else "")
                )
        values = {name: value for name, value in values.items() if value is not None}
        values |= _stored_encoder(values.get("encoder", ""))
        groups: dict[str, Any] = {
            key: group(**{name: values[name] for name in settings(group) if name in values})
            for key, group in _GROUPS.items()
        }
        values |= _stored_source(values.get("source", ""), groups["data"])
        for group in groups.values():
            values |= {name: value for name, value in group.options().items() if name in values}
        method_name, dataset = groups["training"].method, groups["data"].dataset
        contrastive = METHODS[method_name].contrastive
        aside = [] if contrastive else _contrastive_options(method_name, values)
        inherited = _unused_options(values, given)
        used = {n: value for n, value in values.items() if n not in (*aside, *inherited)}
        if groups["network"].encoder == "auto":
            encoder = DATASETS[dataset].default_encoder
            groups["network"] = dataclasses.replace(groups["network"], encoder=encoder)
        config = cls(
            **groups,
            builder=_part(DATASETS, dataset, used),
            method=_part(METHODS, method_name, used),
            loss=_part(LOSSES, groups["objective"].loss, used) if contrastive else None,
            encoder=_part(ENCODERS, groups["network"].encoder, used),
            optimizer=_part(OPTIMIZERS, groups["optimization"].optimizer, used),
            evaluators=make_evaluators({**used, "heads": groups["evaluation"].heads}),
        )
        notices = config._check(used, given)
        notices += [f"{choice} decides: {name} set aside" for name, choice in inherited.items()]
        if aside:
            notices.append(
                f"method={method_name} has no contrastive loss and no projection head: "
                f"{', '.join(aside)} set aside"
            )
        return dataclasses.replace(config, notices=tuple(notices), given=frozenset(values))

    def _check(self, requested: Collection[str], given: Collection[str]) -> list[str]:
        """Check values that depend on each other; return notices about those set aside."""
        notices = []
        for name, setting in self._settings().items():
            needs = self._unmet(setting)
            if name not in requested or needs is None:
                continue
            value = self._value(needs.setting)
            if needs.set_aside or (name not in given and needs.setting in given):
                notices.append(f"{needs.setting}={value} decides: {name} set aside")
                continue
            raise UserError(
                f"{name} has no effect with {needs.setting}={value}: it needs {needs}; leave one "
                "of the two out."
            )
        for name in self.images.options():
            if name in requested and not self.builder.has_images:
                if name in given:
                    raise UserError(
                        f"{name} is about images, and dataset={self.data.dataset} has none: leave "
                        "it out."
                    )
                notices.append(f"dataset={self.data.dataset} decides: {name} set aside")
        optimization, run = self.optimization, self.run
        if optimization.steps is None and optimization.warmup_epochs >= optimization.epochs:
            raise UserError(
                f"warmup_epochs is {optimization.warmup_epochs:g}, but there are only "
                f"{optimization.epochs} epochs: warm up for less, or train for more."
            )
        for method in self.baselines:
            self.baseline(method)
        if run.measure_images == 1:
            raise UserError(
                "measure_images is 1, but geometry is about pairs: give at least 2, or 0 for none."
            )
        if run.quiet and run.log_json:
            raise UserError("quiet and log_json contradict each other: give one of them.")
        values = {**self.engine.options(), "heads": self.evaluation.heads}
        if self.engine.steps_per_execution > 1:
            values["steps_per_execution"] = "2 or more"
        if self.method.grouped is not None:
            values["neighbours"] = "2 or more"
        check_combinations(values)
        loss = self.trained_loss
        if self.engine.loss_impl == "tiled" and not (loss and loss.streams):
            streaming = ", ".join(name for name, loss in LOSSES.items() if loss.streams)
            name = self.objective.loss if self.loss else self.training.method
            if self.loss and self.loss.streams:
                name += " with cancel_negatives"
            raise UserError(
                f"loss_impl=tiled has no effect on {name}: leave it out; only {streaming} go over "
                "all pairs in tiles."
            )
        return notices

    @property
    def _parts(self) -> list[Any]:
        """Everything that has options: groups, parts and evaluators."""
        unused = () if self.builder.has_images else ("images",)
        groups = [getattr(self, key) for key in _GROUPS if key not in unused]
        parts = [self.builder, self.method, self.loss, self.encoder, self.optimizer]
        return [*groups, *(part for part in parts if part is not None), *self.evaluators.values()]

    def _settings(self) -> dict[str, Setting]:
        return {n: s for part in self._parts for n, s in settings(type(part)).items()}

    def _value(self, name: str) -> Any:
        """The value of a setting; None if it is not set, or has no effect."""
        for part in self._parts:
            if name in settings(type(part)):
                return None if self._unmet(settings(type(part))[name]) else getattr(part, name)
        return None

    def _unmet(self, setting: Setting) -> Any:
        """The first condition of a setting that is not met, or None."""
        return next((n for n in setting.needs if not n.met(self._value(n.setting))), None)

    def differences(self, other: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
        """Settings that differ from those of an earlier run and forbid resuming it.

        Evaluators, logging and measuring may differ, and the training may become longer.

        Args:
            other: `replayable` of the earlier run.

        Returns:
            setting -> (value here, value there); None: not set.
        """
        free = set(settings(EvaluationConfig)) | set(EVALUATORS.settings())
        free |= {"log_every", "measure_images", "measure_every", *_WITHOUT_EFFECT, *_CHECKPOINTING}
        here = _with_contents(json.loads(json.dumps(self.replayable())))
        other = _with_contents(other)
        differing = {
            name: (here.get(name), other.get(name))
            for name in {**here, **other}
            if name not in free and here.get(name) != other.get(name)
        }
        if self.is_longer_than(other):
            del differing[self._length]
        return differing

    @property
    def _length(self) -> str:
        return "epochs" if self.optimization.steps is None else "steps"

    def is_longer_than(self, other: Mapping[str, Any]) -> bool:
        """Whether the training is longer, by the same setting, than that of an earlier run."""
        here, there = self.replayable().get(self._length), other.get(self._length)
        if self._length == "epochs" and other.get("steps") is not None:
            return False
        return isinstance(here, int) and isinstance(there, int) and here > there

    def for_examples(self, count: int, name: str, step: int = 1) -> Config:
        """The configuration for data with `count` training examples.

        A batch that was not given becomes smaller where it is larger than the data, or where groups
        do not fill it: the largest multiple of `step`, with a notice.

        Raises:
            UserError: the given batch is larger than the data, or there are too few examples.
        """
        batch = self.optimization.batch_size
        smaller = min(batch, count) // step * step
        fits = self.method.grouped is None or "batch_size" in self.given or smaller in (0, batch)
        if batch <= count and fits:
            return self
        if "batch_size" in self.given or smaller < 2:
            raise UserError(
                f"batch_size is {batch}, but {name} has {count} training examples: "
                + ("choose a smaller --batch_size." if smaller >= 2 else "more are needed.")
            )
        config = self.with_values(batch_size=smaller)
        reason = f"there are {count} training examples"
        if batch <= count:
            grouped = self.method.grouped
            known = grouped is not None and grouped.neighbours
            reason = f"groups of {step}" if known else "groups of many sizes fill it"
        notice = f"{reason}: batch_size={smaller} in place of {batch}"
        return dataclasses.replace(config, notices=(*self.notices, notice), given=self.given)

    @property
    def trained_loss(self) -> Any:
        """The contrastive loss as the method trains it, or None."""
        return None if self.loss is None else self.method.trained_loss(self.loss)

    def earlier_stage(self) -> Config:
        """The configuration of the stage before the last one: a run of its own, without
        evaluators. There must be one."""
        method = self.method.grouped
        assert method is not None
        values = self._without_evaluators() | {
            "stages": method.stages - 1,
            "epochs": method.stage_epochs,
            "warmup_epochs": min(self.optimization.warmup_epochs, method.stage_epochs / 10),
        }
        unused = {"steps", "measure_every"}
        if method.stages == 2:  # the first stage has no groups
            unused |= {"neighbours", "condition_on", "stages", "stage_epochs", "clusters"}
        return Config.make({n: v for n, v in values.items() if n not in unused})

    def _without_evaluators(self) -> dict[str, Any]:
        """`replayable` without evaluators and export."""
        options = {n for evaluator in self.evaluators.values() for n in evaluator.options()}
        shared = {n: value for n, value in self.replayable().items() if n not in options}
        return {**shared, "heads": "", "export": False}

    @property
    def baselines(self) -> list[str]:
        """The methods of the run's baselines."""
        return baselines(self.evaluators)

    def baseline(self, method: str) -> Config:
        """The configuration of a baseline: the same run with another method, without evaluators.

        Raises:
            UserError: it is the method of the run itself.
        """
        if self.training.method == method:
            raise UserError(
                f"The evaluator {method!r} trains the method of the run itself: leave it out of "
                "--heads."
            )
        differing = next(
            (
                evaluator.settings()
                for evaluator in self.evaluators.values()
                if isinstance(evaluator, Baseline) and evaluator.method == method
            ),
            {"method": method},
        )
        return Config.make(**{**self._without_evaluators(), **differing})

    def with_values(self, **values: Any) -> Config:
        """The same configuration with other values; values of None are ignored, options that they
        leave without effect are set aside.

        Raises:
            UserError: see `make`.
        """
        set_values = {name: value for name, value in values.items() if value is not None}
        return Config.make(self.flat(), **set_values)

    def flat(self) -> dict[str, Any]:
        """Every value in force, named like the flags; settings that are not set are absent."""
        values: dict[str, Any] = {}
        for part in self._parts:
            for name, setting in settings(type(part)).items():
                value = getattr(part, name)
                skipped = name == "loss" and self.loss is None
                if value is not None and not skipped and self._unmet(setting) is None:
                    values[name] = value
        return values

    def changed(self, **values: Any) -> dict[str, Any]:
        """The settings that differ from their defaults: what to type to get this configuration.

        Args:
            values: other values; what they leave without effect is left out, None is the default.
        """
        kept = {name: value for name, value in self.flat().items() if name not in values}
        values = {name: value for name, value in values.items() if value is not None}
        other = Config.make(kept, **values)
        defaults = {n: s.default for n, s in other._settings().items()}
        defaults["encoder"] = DATASETS[other.data.dataset].default_encoder
        return {n: value for n, value in other.flat().items() if value != defaults[n]}

    def replayable(self) -> dict[str, Any]:
        """The settings that repeat the run: `flat` without the directory."""
        excluded = ("workdir", "overwrite")
        return {name: value for name, value in self.flat().items() if name not in excluded}

    def determining(self) -> dict[str, Any]:
        """The settings that the results depend on: `replayable` without paths of data and code,
        printing and checkpoints; for the file of an encoder, its contents."""
        excluded = (*_WITHOUT_EFFECT, *_CHECKPOINTING)
        values = _with_contents(self.replayable())
        return {name: value for name, value in values.items() if name not in excluded}

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

    def data_digests(self) -> dict[str, str]:
        """What identifies the data at this moment, see `datasets.digests`."""
        return datasets.digests(self.builder, self.data.data_dir)

    def run_name(self) -> str:
        """The default name of the run's directory: loss, data set, source, seed, digest."""
        parts = [self.objective.loss if self.loss else self.training.method, self.data.dataset]
        if source := self.flat().get("source"):
            # The last part of a path; the digest has the whole.
            parts.append(source.rstrip("/").rsplit("/", 1)[-1][-40:])
        parts += [f"seed{self.run.seed}", self.digest()]
        return re.sub(r"[^A-Za-z0-9_.-]+", "_", "-".join(parts))

    def in_directory(self, workdir: Path) -> Config:
        """The same run, written to `workdir`."""
        return Config.make(**{**self.replayable(), "workdir": str(workdir)})


def all_settings() -> dict[str, tuple[str, Setting]]:
    """Every setting: name -> (group, `Setting`); the first one of options with the same name."""
    result: dict[str, tuple[str, Setting]] = {}
    for key, group in _GROUPS.items():
        result |= {name: (key, setting) for name, setting in settings(group).items()}
    for key, (_, registry) in REGISTRIES.items():
        for name, uses in registry.settings().items():
            result.setdefault(name, (key, next(iter(uses.values()))))
    return result


def groups() -> Iterator[tuple[str, str, list[Setting]]]:
    """(key, title, settings) of each group, in the order of `--help`."""
    for key, group in _GROUPS.items():
        yield key, str(group.__doc__), list(settings(group).values())


def _contrastive_options(method: str, values: Mapping[str, Any]) -> list[str]:
    """Names of values that contrastive methods alone use, and `method` does not.

    They are set aside, so that `--method=supervised` can follow the flags of a contrastive run.
    """
    names = dict.fromkeys(["loss", *LOSSES.settings()])
    for other in METHODS.values():
        if other.contrastive:
            names |= dict.fromkeys(settings(other))
    return [name for name in names if name in values and name not in settings(METHODS[method])]


def _unused_options(values: Mapping[str, Any], given: Collection[str]) -> dict[str, str]:
    """Options that are not `given` and belong to no part that `given` values select: option ->
    the value that decides."""
    unused: dict[str, str] = {}
    for field, registry in REGISTRIES.values():
        if field in given:
            selected = {name.strip() for name in str(values[field]).split(",")}
            unused |= {
                option: f"{field}={values[field]}"
                for option, uses in registry.settings().items()
                if option in values and option not in given and not selected & set(uses)
            }
    return unused


def _stored_encoder(encoder: Any) -> dict[str, Any]:
    """The settings for an encoder that is a path or a `keras.Model`; {} if it is a name.

    Raises:
        UserError: it is something else.
    """
    if isinstance(encoder, str):
        return {}
    if isinstance(encoder, os.PathLike):
        return {"encoder": "keras", "encoder_file": encoder}
    if not callable(getattr(encoder, "save", None)):
        raise UserError(
            f"encoder must be a name, a keras.Model or the path of a .keras file, not {encoder!r}."
        )
    return {"encoder": "keras", "encoder_file": store_model(encoder)}


def _stored_source(source: Any, data: DataConfig) -> dict[str, Any]:
    """The settings for a source that is a `tf.data.Dataset`; {} if it is a name or a path.

    Raises:
        UserError: it is something else, or cannot be stored.
    """
    if isinstance(source, str | os.PathLike):
        return {}
    if not stored.is_dataset(source):
        raise UserError(
            "source must be a name, a path, a tf.data.Dataset or a pair of them, not "
            f"{type(source).__name__}."
        )
    return {
        "source": stored.store(
            source, DATASETS[data.dataset].source_kind == "images", data.data_dir
        )
    }


def _part(registry: Registry, name: str, values: Mapping[str, Any]) -> Any:
    return registry.get(name, **{n: values[n] for n in registry.settings() if n in values})


def baselines(evaluators: Mapping[str, Evaluator]) -> list[str]:
    """The methods of the baselines among the evaluators."""
    return [e.method for e in evaluators.values() if isinstance(e, Baseline)]


def make_evaluators(values: Mapping[str, Any]) -> dict[str, Evaluator]:
    """The evaluators of a comma-separated list, with their options.

    Args:
        values: "heads", a list or a comma-separated text (default: that of a run), and options of
            evaluators; others are ignored.

    Raises:
        UserError: an unknown evaluator, an option of one that is not listed, or a bad value.
    """
    heads = settings(EvaluationConfig)["heads"].validated(
        values.get("heads", EvaluationConfig().heads)
    )
    names = [name.strip() for name in heads.split(",") if name.strip()]
    options = {
        name: uses for name, uses in EVALUATORS.settings().items() if values.get(name) is not None
    }
    evaluators = {
        name: EVALUATORS.get(name, **{n: values[n] for n, uses in options.items() if name in uses})
        for name in names
    }
    for option, uses in options.items():
        if not set(uses) & set(names):
            raise UserError(
                f"{option} belongs to the evaluator {next(iter(uses))!r}, which is not among "
                "--heads: add it, or leave the option out."
            )
    return evaluators


def _with_contents(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings with a digest of the encoder's file in place of its path."""
    if not values.get("encoder_file"):
        return dict(values)
    return {**values, "encoder_file": _contents(Path(values["encoder_file"]))}


def _contents(path: Path) -> str:
    """Eight hexadecimal digits of the architecture and the weights in a .keras file.

    The date in the file does not count. A file that cannot be read counts by its path.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(set(archive.namelist()) - {"metadata.json"})
            data = b"".join(name.encode() + archive.read(name) for name in names)
    except (OSError, zipfile.BadZipFile):
        data = str(path).encode()
    return hashlib.sha256(data).hexdigest()[:8]
