"""From configuration to a compiled model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from ssl_keras import datasets, networks, optimizers
from ssl_keras.config import Config, baselines
from ssl_keras.datasets import DataSet, Target
from ssl_keras.errors import UserError, nearest
from ssl_keras.evaluators import Evaluator
from ssl_keras.evaluators.baselines import SupervisedBaseline
from ssl_keras.evaluators.extraction import layer_names
from ssl_keras.methods.autoencoder import Autoencoder
from ssl_keras.methods.learner import Learner
from ssl_keras.methods.options import Reconstruction, Supervision
from ssl_keras.methods.simclr import SimCLR
from ssl_keras.methods.supervised import Supervised
from ssl_keras.run import devices
from ssl_keras.run.devices import Engine
from ssl_keras.views import Mixup, build_augmenter


@dataclass
class TrainingSetup:
    """What `build` makes: everything that training needs.

    Attributes:
        config: the configuration.
        data: the data set.
        model: compiled, with initial weights.
        steps_per_epoch, total_steps: the length of the training.
        peak_learning_rate: after the rule for the batch size.
        schedule: step -> learning rate.
        views: the arguments of `build_augmenter` in force.
        engine: what it runs on.
    """

    config: Config
    data: DataSet
    model: Learner
    steps_per_epoch: int
    total_steps: int
    peak_learning_rate: float
    schedule: Any
    views: Mapping[str, Any]
    engine: Engine

    @property
    def schedules(self) -> dict[str, Callable[[int], Any]]:
        """What changes over the training: name -> function from the step to a value."""
        loss, total = self.config.loss, self.total_steps

        def of_loss(name: str) -> Callable[[int], Any]:
            return lambda step: getattr(loss.at(step / total), name) if loss else None

        names = [] if loss is None else list(loss.schedules)
        return {"learning_rate": self.schedule} | {name: of_loss(name) for name in names}

    @property
    def chance_levels(self) -> dict[str, Callable[[int], float]]:
        """What one gets who has learnt nothing: name -> function from the step to a value.

        Of the loss it is that of equal projections, which may be scheduled; of a target chance.
        """
        loss, batch = self.config.loss, self.config.optimization.batch_size

        def constant(value: float) -> Callable[[int], float]:
            return lambda step: value

        chance_levels = {
            name: constant(chance) for name, chance in self.data.training_chances.items()
        }
        if loss is not None:
            chance_levels["contrastive_accuracy"] = constant(1.0 / batch)
            chance_levels["loss"] = lambda step: loss.at(step / self.total_steps).collapse_value(
                batch, self.projection_dim
            )
        return chance_levels

    @property
    def projection_dim(self) -> int:
        """Dimension of what the contrastive loss compares."""
        return int(networks.in_order(self.model.projection_head.output)[-1].shape[-1])

    @property
    def layers(self) -> list[str]:
        """Names of the layers that are evaluated."""
        return layer_names(self.config.network.projection_layers or 0)


def build(
    config: Config, data: DataSet | None = None, engine: Engine | None = None
) -> TrainingSetup:
    """Load the data, make the networks and compile the model.

    Args:
        config: the configuration.
        data: the data set, if it is loaded already.
        engine: what it is to run on. Default: what the configuration asks for.

    Raises:
        UserError: the configuration does not fit the data, or the devices.
    """
    if engine is None:
        engine = build_engine(config)
    if data is None:
        data = load_data(config)
    optimization = config.optimization
    batch = optimization.batch_size
    if batch > data.train.num_examples:
        raise UserError(
            f"batch_size is {batch}, but {data.name} has {data.train.num_examples} training "
            "images: choose a smaller --batch_size."
        )
    _check_shares(config, engine)
    if config.loss is not None:
        config.loss.check(batch, data.targets)
    check_evaluators(config.evaluators, config, data)
    augmenter, views = build_views(config, data)
    keras.utils.set_random_seed(config.run.seed)
    with engine.scope():
        model = build_model(
            config,
            data,
            engine.policy,
            augmenter,
            build_encoder(config, data, engine.policy),
            targets=data.targets,
            seed=config.run.seed,
            kernel_l2=optimization.kernel_l2,
            dtype=keras.DTypePolicy(engine.policy),
        )

    steps_per_epoch = data.train.num_examples // batch
    total_steps = optimization.steps or optimization.epochs * steps_per_epoch
    warmup_steps = round(optimization.warmup_epochs * steps_per_epoch)
    if warmup_steps >= total_steps and warmup_steps:
        raise UserError(
            f"warmup_epochs={optimization.warmup_epochs:g} are {warmup_steps} steps, but only "
            f"{total_steps} are trained: warm up for less, or train for more."
        )
    base = optimization.learning_rate or config.optimizer.default_learning_rate
    peak = optimizers.scaled_learning_rate(base, batch, optimization.learning_rate_scaling)

    def schedule(top: float) -> Any:
        return optimizers.build_schedule(
            top,
            total_steps=total_steps,
            warmup_steps=warmup_steps,
            decay=optimization.learning_rate_decay,
        )

    with engine.scope():
        optimizer = config.optimizer.build(schedule(peak))
        optimizers.exclude_from_decay(optimizer, model.learned_variables)
        model.compile(
            optimizer,
            config.loss,
            keras.optimizers.Adam(schedule(optimization.probe_learning_rate)),
            total_steps=total_steps,
            micro_batch=config.engine.micro_batch,
            loss_impl=config.engine.loss_impl,
            ema_decay=optimization.ema_decay,
            jit_compile=engine.jit,
            steps_per_execution=config.engine.steps_per_execution,
        )
    return TrainingSetup(
        config, data, model, steps_per_epoch, total_steps, peak, schedule(peak), views, engine
    )


def build_engine(config: Config, alone: bool = False) -> Engine:
    """What the configuration asks to run on, on this machine.

    Args:
        config: the configuration.
        alone: whether to leave several devices out.

    Raises:
        UserError: there are not the devices that it asks for.
    """
    wanted = config.engine
    if wanted.deterministic:
        tf.config.experimental.enable_op_determinism()
        # The layers of keras-cv ask for it when they are made; ours never draw from it.
        tf.random.set_global_generator(tf.random.Generator.from_seed(config.run.seed))
    sharing = ("none", None) if alone else (wanted.strategy, wanted.devices)
    return devices.resolve(wanted.mixed_precision, wanted.jit, *sharing)


def to_measure(setup: TrainingSetup) -> TrainingSetup:
    """The setup as it is evaluated and exported: in float32, on one device."""
    if setup.engine.policy == "float32" and setup.engine.strategy is None:
        return setup
    twin = build(setup.config, setup.data, Engine())
    twin.model.set_weights(setup.model.get_weights())
    return twin


def _check_shares(config: Config, engine: Engine) -> None:
    """Refuse a batch that cannot be divided among devices, or into parts."""
    batch, micro_batch = config.optimization.batch_size, config.engine.micro_batch
    if batch % engine.replicas:
        raise UserError(
            f"batch_size is {batch}, which {engine.replicas} devices cannot share equally: give a "
            f"multiple of {engine.replicas}."
        )
    share = batch // engine.replicas
    if micro_batch is not None and share % micro_batch:
        parts = [n for n in range(1, share + 1) if share % n == 0]
        fit = min(parts, key=lambda n: abs(n - micro_batch))
        raise UserError(
            f"micro_batch is {micro_batch}, which does not divide the {share} images of a device: "
            f"give a divisor, such as {fit}."
        )


def check_evaluators(evaluators: Mapping[str, Evaluator], config: Config, data: DataSet) -> None:
    """Refuse evaluators that do not fit a run, before anything is trained.

    Raises:
        UserError: they do not fit.
    """
    for evaluator in evaluators.values():
        evaluator.check(data.train.num_examples)
        if isinstance(evaluator, SupervisedBaseline):
            what = "the head 'supervised'"
            learned_target(evaluator.baseline_target, data, what, "baseline_target")
    for name in baselines(evaluators):
        config.baseline(name)


def load_data(config: Config) -> DataSet:
    """The data set of the configuration.

    Raises:
        UserError: it cannot be had.
    """
    return datasets.load(
        config.data.dataset,
        source=config.data.source,
        seed=config.run.seed,
        data_dir=config.data.data_dir,
        download=config.data.download,
        image_size=config.data.image_size,
        on_bad_image=config.data.on_bad_image,
        resize=config.data.resize,
        image_channels=config.data.image_channels,
        view_size=config.views.view_size,
        max_train_images=config.data.max_train_images,
        **config.builder.options(),
    )


def build_views(
    config: Config, data: DataSet, seed: int | None = None
) -> tuple[Any, dict[str, Any]]:
    """What draws the views of the configuration, and the arguments of `build_augmenter` in force.

    Args:
        config: the configuration.
        data: its data set.
        seed: chooses the draws. Default: that of the run.

    Raises:
        UserError: an operation was asked for that these images cannot undergo.
    """
    views = config.views.resolve(data.augmentation, data.input_shape[:2], data.image_channels)
    source_extra = data.image_shape[2] - data.image_channels
    if config.views.extra_channels_move is not None and not source_extra:
        raise UserError(
            f"extra_channels_move has no effect on {data.name}, which has no extra channels: leave "
            "it out."
        )
    mixup = config.views.mixup()
    if mixup and mixup["extra_channels"] and not (data.num_bits or source_extra):
        raise UserError(
            f"mixup_extra_channels has no effect on {data.name}, which has no extra channels: "
            "leave it out."
        )
    augmenter = build_augmenter(
        channels=data.image_channels,
        size=data.view_size,
        extra_channels_move=config.views.extra_channels_move is not False,
        seed=config.run.seed if seed is None else seed,
        mixup=Mixup(**mixup, channels=data.image_channels) if mixup else None,
        compiled=config.engine.jit != "off",
        **views,
    )
    return augmenter, views


def build_encoder(config: Config, data: DataSet, policy: str) -> Any:
    """The encoder of the configuration, with a precision policy."""
    return config.encoder.build(data.input_shape, policy, config.views.dropout())


def build_head(config: Config, encoder: Any, policy: str = "float32") -> Any:
    """The projection head of the configuration; without layers it passes features on."""
    network = config.network
    return networks.build_projection_head(
        encoder.output_shape[-1],
        num_layers=network.projection_layers or 0,
        hidden_dim=network.projection_hidden_dim or 256,
        dim=network.projection_dim or 64,
        batch_norm=network.projection_batch_norm or "hidden",
        dtype=policy,
    )


def build_model(
    config: Config,
    data: DataSet,
    policy: str,
    augmenter: Any,
    encoder: Any,
    **arguments: Any,
) -> Learner:
    """The model of the configuration's method, with an online probe of the data's features.

    Encoder, then the parts of the method, then the probe are initialised, in this order: the
    encoder of a seed is the same for all methods.

    Raises:
        UserError: the method does not fit the data.
    """
    method, dim = config.method, encoder.output_shape[-1]

    def probe() -> Any:
        sizes = {name: target.size for name, target in data.targets.items()}
        return networks.build_linear_probe(dim, sizes) if sizes else None

    if isinstance(method, Supervision):
        learned = _learned(method, data)
        sizes = {name: target.size for name, target in learned.items()}
        classifier = networks.build_linear_probe(dim, sizes)
        return Supervised(augmenter, encoder, classifier, probe(), learned=learned, **arguments)
    if isinstance(method, Reconstruction):
        extra_channels = data.input_shape[2] - data.image_channels
        if method.extra_channels_weight is not None and not extra_channels:
            raise UserError(
                f"extra_channels_weight has no effect on {data.name}, which has no extra "
                "channels: leave it out."
            )
        balance = extra_channels / data.image_channels
        return Autoencoder(
            augmenter,
            encoder,
            networks.build_decoder(dim, data.input_shape, policy),
            probe(),
            image_channels=data.image_channels,
            extra_channels_weight=balance
            if method.extra_channels_weight is None
            else method.extra_channels_weight,
            **arguments,
        )
    head = build_head(config, encoder, policy)
    return SimCLR(augmenter, encoder, head, probe(), **arguments)


def _learned(method: Supervision, data: DataSet) -> dict[str, Target]:
    """The target that the supervised baseline learns."""
    name = learned_target(method.supervised_target, data, "method=supervised", "supervised_target")
    return {name: data.targets[name]}


def learned_target(name: str | None, data: DataSet, learner: str, setting: str) -> str:
    """The name of the target that a classifier learns: what was given, or "class", or the first.

    Args:
        name: what was given, or None.
        data: the data set.
        learner, setting: what needs labels and what gave the name, for messages.

    Raises:
        UserError: there are no labels, or none of this name.
    """
    if not data.targets:
        raise UserError(f"{learner} needs labels, but {data.name} has none.")
    if name is None:
        return "class" if "class" in data.targets else next(iter(data.targets))
    if name not in data.targets:
        guess = nearest(name, list(data.targets))
        hint = f"; did you mean {guess}?" if guess else "."
        raise UserError(
            f"{setting} is {name!r}, but {data.name} has {', '.join(data.targets)}{hint}"
        )
    return name
