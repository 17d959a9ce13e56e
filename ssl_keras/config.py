"""The configuration of a run: frozen dataclasses, validated when they are made. No TensorFlow.

Every value has one definition: a field here, or a field of an entry of a dictionary (a loss, a
data set, ...). `flags` derives the command line from the same fields.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_keras.datasets import DATASETS
from ssl_keras.datasets.base import Recipe
from ssl_keras.datasets.sources import ON_BAD_IMAGE, absolute
from ssl_keras.datasets.sources.decoding import RESIZE
from ssl_keras.errors import UserError, nearest, unknown_name
from ssl_keras.evaluation import HEADS, Head
from ssl_keras.losses import LOSSES, Loss
from ssl_keras.networks import BATCH_NORM, ENCODERS, Encoder
from ssl_keras.optimizers import DECAY, OPTIMIZERS, SCALING, Optimizer
from ssl_keras.registry import Options, Registry, option

# What each preset of views means; `auto` takes the one that the source declares.
VIEW_PRESETS: dict[str, dict[str, Any]] = {
    "digits": {"crop_area_min": 0.5, "flip": False, "color_strength": 0.0},
    "small_rgb": {"crop_area_min": 0.08, "flip": True, "color_strength": 0.5, "grayscale": 0.2},
    "large_rgb": {
        "crop_area_min": 0.08,
        "flip": True,
        "color_strength": 1.0,
        "grayscale": 0.2,
        "blur": 0.5,
    },
    "none": {"crop_area_min": 1.0},
}
# Below this height, a tenth of it is less than the three pixels of the smallest kernel.
BLUR_MINIMUM_HEIGHT = 20
VIEWS = ("augment", "mixup", "dropout")
_VIEW_OPTIONS = {
    "augment": (
        "augmentation",
        "crop_area_min",
        "flip",
        "color_strength",
        "grayscale",
        "blur",
    ),
    "mixup": ("mixup_kind", "mixup_alpha", "mixup_planes"),
    "dropout": ("dropout_rate",),
}
_VIEW_DEFAULTS = {"flip": False, "color_strength": 0.0, "grayscale": 0.0, "blur": 0.0}


@dataclass(frozen=True)
class DataConfig(Options):
    """Data set"""

    dataset: str = option("bit_concat", choices=tuple(DATASETS), help="data set")
    source: str | None = option(
        None,
        help="where images come from: mnist_5k, photos, idx:FOLDER, folder:FOLDER, npz:FILE, or a "
        "TensorFlow Datasets name (mnist_5k; overlay: photos)",
    )
    image_size: int | None = option(
        None, minimum=4, maximum=1024, help="side of the images in pixels (that of the source)"
    )
    resize: str = option(
        "squash", choices=RESIZE, help="scale image files whole, or their largest centred square"
    )
    on_bad_image: str = option(
        "refuse", choices=ON_BAD_IMAGE, help="what to do with unreadable image files"
    )
    data_dir: str | None = option(None, help="folder of prepared TensorFlow Datasets")
    download: bool = option(False, help="download the source if it is not prepared")


@dataclass(frozen=True)
class ViewsConfig(Options):
    """Views"""

    views: str = option(
        "augment",
        help=f"how views differ, comma-separated: {', '.join(VIEWS)}",
    )
    augmentation: str = option(
        "auto", choices=("auto", *VIEW_PRESETS), help="preset of the views; auto: by source"
    )
    crop_area_min: float | None = option(
        None, above=0, maximum=1, help="smallest area share of a crop; 1: no crop"
    )
    flip: bool | None = option(None, help="mirror half of the views")
    color_strength: float | None = option(
        None, minimum=0, maximum=1, help="strength s of the colour jitter; 0: none"
    )
    grayscale: float | None = option(None, minimum=0, maximum=1, help="probability of grey")
    blur: float | None = option(None, minimum=0, maximum=1, help="probability of blur")
    mixup_kind: str | None = option(
        None, choices=("linear", "geometric", "binary"), help="how mixup mixes (linear)"
    )
    mixup_alpha: float | None = option(
        None, minimum=0, maximum=1, help="smallest share of the image itself in mixup (0.9)"
    )
    mixup_planes: bool | None = option(None, help="mix the planes of random bits as well (false)")
    dropout_rate: float | None = option(
        None, above=0, below=1, help="dropout in the encoder for views=dropout (0.1)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.kinds():
            if name not in VIEWS:
                raise unknown_name("kind of views", name, VIEWS)
        for kind, names in _VIEW_OPTIONS.items():
            for name in names:
                value = getattr(self, name)
                given = value is not None and not (name == "augmentation" and value == "auto")
                if given and kind not in self.kinds():
                    raise UserError(
                        f"{name} has no effect without {kind!r} among the views: add it to "
                        "--views, or leave the option out."
                    )

    def kinds(self) -> list[str]:
        """The kinds of views, from the comma-separated list."""
        return [name.strip() for name in self.views.split(",") if name.strip()]

    def dropout(self) -> float:
        """The dropout rate of the encoder in training: 0 unless views differ by dropout."""
        if "dropout" not in self.kinds():
            return 0.0
        return 0.1 if self.dropout_rate is None else self.dropout_rate

    def mixup(self) -> dict[str, Any] | None:
        """The arguments of `augmentations.Mixup`, or None."""
        if "mixup" not in self.kinds():
            return None
        return {
            "kind": self.mixup_kind or "linear",
            "alpha": 0.9 if self.mixup_alpha is None else self.mixup_alpha,
            "planes": bool(self.mixup_planes),
        }

    def resolve(self, preset: str, image_shape: tuple[int, int, int]) -> dict[str, Any]:
        """The arguments of `augmentations.build_augmenter`: the preset, and what was given.

        What a preset has but these images cannot undergo is left out.

        Args:
            preset: the one that the data set declares.
            image_shape: (height, width, channels).

        Raises:
            UserError: an operation was asked for that these images cannot undergo.
        """
        name = preset if self.augmentation == "auto" else self.augmentation
        if "augment" not in self.kinds():
            name = "none"
        values = {name: getattr(self, name) for name in (*_VIEW_DEFAULTS, "crop_area_min")}
        given = {name: value for name, value in values.items() if value is not None}
        views = {**_VIEW_DEFAULTS, **VIEW_PRESETS[name], **given}
        height, _, channels = image_shape
        impossible = {}
        if channels != 3:
            reason = f"needs images with 3 channels; these have {channels}"
            impossible = {"color_strength": reason, "grayscale": reason}
        if height < BLUR_MINIMUM_HEIGHT:
            impossible["blur"] = (
                f"has a kernel of a tenth of the image height, so it needs images of at least "
                f"{BLUR_MINIMUM_HEIGHT} pixels; these have {height}"
            )
        for operation, reason in impossible.items():
            if given.get(operation):
                raise UserError(f"{operation} {reason}: leave --{operation} out.")
            views[operation] = 0.0
        return views


@dataclass(frozen=True)
class LossConfig(Options):
    """Loss"""

    loss: str = option("uniform_prior", choices=tuple(LOSSES), help="contrastive loss")


@dataclass(frozen=True)
class NetworkConfig(Options):
    """Networks"""

    encoder: str = option("convnet", choices=tuple(ENCODERS), help="encoder")
    projection_layers: int = option(
        2, minimum=0, maximum=10, help="layers of the projection head; 0: none"
    )
    projection_dim: int | None = option(None, minimum=1, help="dimension of projections (64)")
    projection_hidden_dim: int | None = option(
        None, minimum=1, help="width of the hidden layers of the projection head (256)"
    )
    projection_batch_norm: str | None = option(
        None, choices=BATCH_NORM, help="which layers of the head have batch norm (hidden)"
    )


@dataclass(frozen=True)
class OptimizationConfig(Options):
    """Optimization"""

    batch_size: int = option(250, minimum=2, help="images in the global batch")
    epochs: int = option(100, minimum=1, help="passes over the training data")
    steps: int | None = option(None, minimum=1, help="training steps; overrides --epochs")
    optimizer: str = option("adam", choices=tuple(OPTIMIZERS), help="optimizer")
    learning_rate: float | None = option(
        None, above=0, help="base learning rate (adam, adamw, lamb 0.001; sgd 0.05)"
    )
    learning_rate_scaling: str = option(
        "none",
        choices=SCALING,
        help="rule for the batch size: linear: *batch/256; sqrt: *sqrt(batch)",
    )
    learning_rate_decay: str = option("cosine", choices=DECAY, help="schedule after warm-up")
    warmup_epochs: float = option(0.0, minimum=0, help="epochs of linear warm-up")
    kernel_l2: float = option(
        0.0, minimum=0, help="weight of the sum of squares of all kernels, added to the loss"
    )
    probe_learning_rate: float = option(
        3e-3, above=0, help="peak learning rate of the online linear probe (Adam)"
    )


@dataclass(frozen=True)
class EvaluationConfig(Options):
    """Evaluation"""

    heads: str = option(
        "linear,knn",
        help=f"heads on frozen features, comma-separated: {', '.join(HEADS)}; or empty",
    )


@dataclass(frozen=True)
class RunConfig(Options):
    """Run"""

    seed: int = option(0, minimum=0, maximum=2**31 - 1, help="the one seed")
    workdir: str | None = option(None, help="directory of the run (runs/NAME-HASH)")
    overwrite: bool = option(False, help="replace a run that --workdir already holds")
    mixed_precision: str = option(
        "off", choices=("off", "float16", "bfloat16"), help="precision of the networks' layers"
    )
    jit: str = option("off", choices=("off", "on"), help="compile the training step with XLA")
    steps_per_execution: int = option(
        1, minimum=1, help="training steps in one call of the runtime"
    )
    log_every: int | None = option(None, minimum=1, help="steps between logs (an epoch)")


_GROUPS = {
    "data": DataConfig,
    "views": ViewsConfig,
    "objective": LossConfig,
    "network": NetworkConfig,
    "optimization": OptimizationConfig,
    "evaluation": EvaluationConfig,
    "run": RunConfig,
}

# The dictionaries, by the group that names an entry of theirs and the field that does.
REGISTRIES: dict[str, tuple[str, Registry]] = {
    "data": ("dataset", DATASETS),
    "objective": ("loss", LOSSES),
    "network": ("encoder", ENCODERS),
    "optimization": ("optimizer", OPTIMIZERS),
    "evaluation": ("heads", HEADS),
}


@dataclass(frozen=True)
class Config:
    """Everything that determines a run. Make one with `Config.make(loss="nt_xent", ...)`.

    Attributes:
        data, views, objective, network, optimization, evaluation, run: groups of plain values.
        recipe, loss, encoder, optimizer: the chosen entries, with their options.
        heads: the chosen heads, by name.
    """

    data: DataConfig
    views: ViewsConfig
    objective: LossConfig
    network: NetworkConfig
    optimization: OptimizationConfig
    evaluation: EvaluationConfig
    run: RunConfig
    recipe: Recipe
    loss: Loss
    encoder: Encoder
    optimizer: Optimizer
    heads: Mapping[str, Head]

    @classmethod
    def make(cls, **values: Any) -> Config:
        """A configuration from flat values, named like the flags; what is absent is default.

        Raises:
            UserError: an unknown name (the nearest is given), a bad value, or values that
                contradict each other.
        """
        fields = all_fields()
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
        entries: dict[str, Any] = {
            "recipe": _entry(DATASETS, groups["data"].dataset, values),
            "loss": _entry(LOSSES, groups["objective"].loss, values),
            "encoder": _entry(ENCODERS, groups["network"].encoder, values),
            "optimizer": _entry(OPTIMIZERS, groups["optimization"].optimizer, values),
            "heads": _heads(groups["evaluation"].heads, values),
        }
        data = groups["data"]
        source = entries["recipe"].source_name(data.source)
        data_dir = (
            None if data.data_dir is None else str(Path(data.data_dir).expanduser().resolve())
        )
        groups["data"] = dataclasses.replace(
            data, source=source and absolute(source), data_dir=data_dir
        )
        config = cls(**groups, **entries)
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
        if network.projection_layers < 2 and network.projection_hidden_dim is not None:
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
        if self.run.mixed_precision == "float16" and self.run.jit == "on":
            raise UserError(
                "mixed_precision=float16 with jit=on is not supported: choose bfloat16, or jit=off."
            )

    def flat(self) -> dict[str, Any]:
        """Every value in force, named like the flags; values that were left open are absent."""
        merged: dict[str, Any] = {}
        for key in _GROUPS:
            merged |= getattr(self, key).options()
        for entry in (self.recipe, self.loss, self.encoder, self.optimizer, *self.heads.values()):
            merged |= entry.options()
        return {name: value for name, value in merged.items() if value is not None}

    def replayable(self) -> dict[str, Any]:
        """`flat` without where the run is written: what a repetition needs."""
        left_out = ("workdir", "overwrite")
        return {name: value for name, value in self.flat().items() if name not in left_out}

    def determining(self) -> dict[str, Any]:
        """`replayable` without where prepared data lies: what the results depend on."""
        left_out = ("data_dir", "download")
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
        parts = [self.objective.loss, self.data.dataset]
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


def _given(registry: Registry, values: Mapping[str, Any]) -> dict[str, Any]:
    return {n: values[n] for n in registry.fields() if n in values and values[n] is not None}


def _entry(registry: Registry, name: str, values: Mapping[str, Any]) -> Any:
    return registry.get(name, **_given(registry, values))


def _heads(names: str, values: Mapping[str, Any]) -> dict[str, Head]:
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    given = _given(HEADS, values)
    heads = {}
    for name in chosen:
        known = {f.name for f in dataclasses.fields(HEADS[name])} if name in HEADS else set()
        heads[name] = HEADS.get(name, **{k: v for k, v in given.items() if k in known})
    for key in given:
        owners = [owner for owner, _ in HEADS.fields()[key]]
        if not set(owners) & set(chosen):
            raise UserError(
                f"{key} belongs to the head {owners[0]!r}, which is not among the heads: add it to "
                "--heads, or leave the option out."
            )
    return heads
