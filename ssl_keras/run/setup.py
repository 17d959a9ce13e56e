"""The training setup: from a configuration to a compiled model with its data."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ssl_keras import datasets, networks, optimizers
from ssl_keras.config import Config, baselines
from ssl_keras.datasets import DataSet
from ssl_keras.errors import UserError
from ssl_keras.evaluators import Evaluator
from ssl_keras.lazy import keras, tf
from ssl_keras.methods import Parts
from ssl_keras.run import devices, sharing
from ssl_keras.run.devices import Engine
from ssl_keras.views.augmenter import Augmenter
from ssl_keras.views.mixup import Mixup

# Above this momentum the moving averages of batch norm lag after a short training.
_SLOW_MOMENTUM = 0.95
# The largest group whose size an earlier stage decides: half of the neighbours that it looks at.
LARGEST_GROUP = 32
# Default number of measurements of geometry in a run.
MEASUREMENTS = 25


@dataclass
class TrainingSetup:
    """A built model with its data: everything that training needs.

    Attributes:
        config: the configuration, with every value in force.
        requested: the configuration as requested.
        data: the data set.
        model: compiled, with initial weights.
        steps_per_epoch, total_steps: the length of the training.
        peak_learning_rate: peak learning rate, scaled by the rule for the batch size.
        schedule: step -> learning rate.
        engine: precision, compilation and devices.
        graph: what identifies the graphs of `model`, see `sharing.key`.
        train: the training split, in the order of the method.
        near_neighbours: how many neighbours of an example are alike in the earlier stages, see
            `conditioning.near_neighbours`; None if that is not known.
        group_size: examples in a group, where an earlier stage has decided it.
    """

    config: Config
    requested: Config
    data: DataSet
    model: Any
    steps_per_epoch: int
    total_steps: int
    peak_learning_rate: float
    schedule: Any
    engine: Engine
    graph: str | None = None
    train: Any = None
    near_neighbours: int | None = None
    group_size: int | None = None

    def __post_init__(self) -> None:
        if self.train is None:
            self.train = self.data.train

    @property
    def loss(self) -> Any:
        """The contrastive loss as it is trained, or None."""
        trained = self.config.trained_loss
        if self.group_size is None:
            return trained
        return replace(trained, size=self.group_size, known=True)

    def fit_groups(self, near_neighbours: int | None) -> int:
        """The size of the groups; where an earlier stage decides it, the largest that fills the
        batch of a device and does not exceed `near_neighbours`, from 2 to `LARGEST_GROUP`.

        The graphs of the model depend on it, so no other run uses them."""
        self.near_neighbours = near_neighbours
        method = self.config.method.grouped
        assert method is not None
        if method.neighbours:
            return int(method.neighbours)
        rows = self.config.optimization.batch_size // self.engine.replicas
        rows = self.config.engine.micro_batch or rows
        largest = LARGEST_GROUP if near_neighbours is None else near_neighbours
        sizes = range(2, max(2, min(largest, LARGEST_GROUP)) + 1)
        self.group_size = max(size for size in sizes if rows % size == 0)
        self.model.contrastive_loss, self.graph = self.loss, None
        return self.group_size

    @property
    def schedules(self) -> dict[str, Callable[[int], Any]]:
        """Name of a scheduled value -> function from the step to the value."""
        loss, total = self.config.loss, self.total_steps

        def scheduled(name: str) -> Callable[[int], Any]:
            return lambda step: getattr(loss.at(step / total), name) if loss else None

        names = [] if loss is None else list(loss.schedules)
        return {"learning_rate": self.schedule} | {name: scheduled(name) for name in names}

    @property
    def chance_levels(self) -> dict[str, Callable[[int], float]]:
        """Name of a logged metric -> function from the step to its chance level.

        The chance level of the loss is its value for equal projections.
        """
        loss, batch = self.loss, self.config.optimization.batch_size

        def constant(value: float) -> Callable[[int], float]:
            return lambda step: value

        levels = {name: constant(chance) for name, chance in self.data.training_chances.items()}
        if loss is not None:
            levels["contrastive_accuracy"] = constant(1.0 / loss.compared_rows(batch))
            levels["loss"] = lambda step: loss.at(step / self.total_steps).collapse_value(
                batch, self.model.projection_dim
            )
        return levels


def build(
    config: Config, data: DataSet | None = None, engine: Engine | None = None
) -> TrainingSetup:
    """Load the data, build the networks and compile the model.

    Args:
        config: the configuration.
        data: the data set, if it is already loaded.
        engine: the engine. Default: that of the configuration.

    Raises:
        UserError: the configuration does not fit the data, or the devices.
    """
    if engine is None:
        engine = build_engine(config)
    if data is None:
        data = load_data(config)
    requested = config
    grouped = config.method.grouped
    # Of an unknown size of groups, a batch that many sizes divide.
    size = 1 if grouped is None else grouped.neighbours or 12
    share = engine.replicas * math.lcm(config.engine.micro_batch or 1, size)
    config = config.for_examples(data.train.num_examples, data.name, share)
    batch = config.optimization.batch_size
    _check_batch(config, engine)
    if config.trained_loss is not None:
        config.trained_loss.check(batch, data.targets)
    config.method.check(data)
    check_evaluators(config.evaluators, config, data)
    augmenter, operations = build_views(config, data)
    steps_per_epoch = data.train.num_examples // batch
    total_steps = config.optimization.steps or config.optimization.epochs * steps_per_epoch
    config = _in_force(config, operations, steps_per_epoch, total_steps)

    _set_seeds(config, data)
    with engine.scope():
        model = _build_model(config, data, engine, augmenter)
    warmup_steps = round(config.optimization.warmup_epochs * steps_per_epoch)
    if warmup_steps >= total_steps and warmup_steps:
        raise UserError(
            f"warmup_epochs={config.optimization.warmup_epochs:g} are {warmup_steps} steps, but "
            f"only {total_steps} are trained: warm up for less, or train for more."
        )
    peak = optimizers.scaled_learning_rate(
        config.optimizer.learning_rate, batch, config.optimization.learning_rate_scaling
    )

    def schedule(top: float) -> Any:
        return optimizers.build_schedule(
            top,
            total_steps=total_steps,
            warmup_steps=warmup_steps,
            decay=config.optimization.learning_rate_decay,
        )

    with engine.scope():
        optimizer = config.optimizer.build(schedule(peak))
        optimizers.exclude_from_decay(optimizer, model.learned_variables)
        model.compile(
            optimizer,
            config.trained_loss,
            keras.optimizers.Adam(schedule(config.optimization.probe_learning_rate)),
            total_steps=total_steps,
            micro_batch=config.engine.micro_batch,
            loss_impl=config.engine.loss_impl,
            ema_decay=config.optimization.ema_decay,
            jit_compile=engine.jit,
            steps_per_execution=config.engine.steps_per_execution,
        )
    graph = sharing.key(config, data, engine, total_steps)
    return TrainingSetup(
        config,
        requested,
        data,
        sharing.traced_before(model, graph),
        steps_per_epoch,
        total_steps,
        peak,
        schedule(peak),
        engine,
        graph,
    )


def _set_seeds(config: Config, data: DataSet) -> None:
    """Seed what initialises the weights.

    Keras' initialisers take their seeds from Python. TensorFlow's seed is for parts from outside:
    setting it has TensorFlow prepare all functions again that it has traced, for a third of a
    second.
    """
    seed = config.run.seed
    if sharing.all_ours(config, data):
        random.seed(seed)
    else:
        keras.utils.set_random_seed(seed)


def _in_force(
    config: Config, operations: Mapping[str, Any], steps_per_epoch: int, total_steps: int
) -> Config:
    """The configuration with the values that follow from the data, so that a repetition does not
    depend on defaults."""
    values: dict[str, Any] = {"log_every": config.run.log_every or steps_per_epoch}
    if config.run.measure_images and config.run.measure_every is None:
        values["measure_every"] = max(1, total_steps // MEASUREMENTS)
    if "augment" in config.views.kinds():
        values |= operations
    return replace(config.with_values(**values), notices=config.notices)


def build_engine(config: Config, alone: bool = False) -> Engine:
    """The engine of the configuration on this machine.

    Args:
        config: the configuration.
        alone: whether to use one device, whatever the configuration.

    Raises:
        UserError: see `devices.resolve`.
    """
    settings = config.engine
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
        # The layers of keras-cv require it on construction; ours never draw from it.
        tf.random.set_global_generator(tf.random.Generator.from_seed(config.run.seed))
    if alone:
        return devices.resolve(settings.mixed_precision, settings.jit)
    return devices.resolve(
        settings.mixed_precision, settings.jit, settings.strategy, settings.devices
    )


def in_float32(setup: TrainingSetup) -> TrainingSetup:
    """The setup for evaluation and export: in float32, on one device."""
    if setup.engine.policy == "float32" and setup.engine.strategy is None:
        return setup
    twin = build(setup.config, setup.data, Engine())
    twin.model.set_weights(setup.model.get_weights())
    return twin


def _check_batch(config: Config, engine: Engine) -> None:
    """Check that the batch can be divided among devices and into micro-batches."""
    batch, micro_batch = config.optimization.batch_size, config.engine.micro_batch
    if batch % engine.replicas:
        raise UserError(
            f"batch_size is {batch}, which {engine.replicas} devices cannot share equally: give a "
            f"multiple of {engine.replicas}."
        )
    share = batch // engine.replicas
    grouped = config.method.grouped
    if grouped is not None and share % (size := grouped.group_size):
        nearest_multiple = max(share // size, 1) * size * engine.replicas
        raise UserError(
            f"batch_size is {batch}, but groups of {size} examples (neighbours) cannot fill the "
            f"{share} of a device: give a multiple, such as --batch_size={nearest_multiple}."
        )
    if micro_batch is not None and share % micro_batch:
        divisors = [n for n in range(1, share + 1) if share % n == 0]
        nearest_divisor = min(divisors, key=lambda n: abs(n - micro_batch))
        raise UserError(
            f"micro_batch is {micro_batch}, which does not divide the {share} examples of a "
            f"device: give a divisor, such as {nearest_divisor}."
        )


def check_evaluators(evaluators: Mapping[str, Evaluator], config: Config, data: DataSet) -> None:
    """Check that evaluators fit a run, before training starts.

    Raises:
        UserError: one does not fit.
    """
    for name, evaluator in evaluators.items():
        evaluator.check(data.train.num_examples)
        evaluator.check_data(data)
        missing = [target for target in evaluator.needs_targets if target not in data.targets]
        if missing:
            raise UserError(
                f"The evaluator {name} needs the target {missing[0]}, but {data.name} has "
                f"{', '.join(data.targets) or 'none'}: leave it out of --heads."
            )
        if evaluator.needs_pictures and not data.modality.has_pictures:
            raise UserError(
                f"The evaluator {name} needs images, but the examples of {data.name} are "
                f"{data.modality.name}: leave it out of --heads."
            )
        if evaluator.num_local_images and not config.encoder.grids(data.input_shape):
            raise UserError(
                f"The evaluator {name} reads locations of the image, but the encoder "
                f"{config.network.encoder} has no locations: leave it out of --heads."
            )
    for name in baselines(evaluators):
        config.baseline(name).method.check(data)


def load_data(config: Config) -> DataSet:
    """The data set of the configuration.

    Raises:
        UserError: see `datasets.load`.
    """
    data = config.data
    return datasets.load(
        data.dataset,
        seed=config.run.seed,
        data_dir=data.data_dir,
        download=data.download,
        max_train_images=data.max_train_images,
        held_out_classes=data.held_out_classes,
        held_out_target=data.held_out_target,
        **config.images.options(),
        **config.builder.options(),
    )


def build_views(
    config: Config, data: DataSet, seed: int | None = None
) -> tuple[Augmenter, dict[str, Any]]:
    """(the augmenter of the configuration, the operations of `augment` in force).

    Args:
        config: the configuration.
        data: its data set.
        seed: seed of the draws. Default: that of the run.

    Raises:
        UserError: an operation that does not fit the examples; or given pairs of data without
            pairs.
    """
    views, modality = config.views, data.modality
    given_pairs = "given" in views.kinds()
    if given_pairs and "partner" not in data.train.batches(1).element_spec:
        raise UserError(
            f"views=given takes pairs that the data give, but {data.name} gives single examples: "
            "choose other --views."
        )
    preset = views.augmentation if "augment" in views.kinds() else "none"
    operations = modality.operations(preset, views.operations())
    transform = modality.transform(operations, compiled=config.engine.jit != "off")
    settings = views.mixup()
    mixup = None if settings is None else Mixup(mix=modality.mix, **settings)
    if mixup is not None:
        if modality.unmixable:
            raise UserError(modality.unmixable)
        if mixup.extra_channels:
            modality.check_extra_channels()
    draws_seed = config.run.seed if seed is None else seed
    augmenter = Augmenter(
        modality.prepare,
        transform,
        draws_seed,
        mixup,
        given_pairs,
        equal_masks=views.dropout_masks == "equal",
    )
    return augmenter, operations


def build_encoder(config: Config, data: DataSet, policy: str) -> Any:
    """The encoder of the configuration, with a precision policy.

    Raises:
        UserError: it does not accept the examples of the data.
    """
    encoder, modality = config.encoder, data.modality
    if modality.name not in encoder.accepts:
        fitting = [n for n, e in networks.ENCODERS.items() if modality.name in e.accepts]
        raise UserError(
            f"The encoder {config.network.encoder} accepts {' and '.join(encoder.accepts)}, but "
            f"the examples of {data.name} are {modality.name}: choose --encoder="
            f"{' or '.join(fitting)}."
        )
    dropout = config.views.dropout()
    return encoder.build(data.input_shape, policy, dropout, **modality.encoder_arguments)


def slow_batch_norm(encoder: Any) -> float | None:
    """The largest momentum of an encoder's batch norm, if it is too large for a short training."""
    momenta = [
        layer.momentum
        for layer in encoder._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    return max((m for m in momenta if m > _SLOW_MOMENTUM), default=None)


def _build_model(config: Config, data: DataSet, engine: Engine, augmenter: Augmenter) -> Any:
    """The model of the configuration's method, with an online probe of the data's targets.

    The encoder is initialised first, so a seed gives the same encoder to all methods.
    """
    arguments = {
        "augmenter": augmenter,
        "modality": data.modality,
        "targets": data.targets,
        "seed": config.run.seed,
        "kernel_l2": config.optimization.kernel_l2,
        "dtype": keras.DTypePolicy(engine.policy),
    }

    def encoder() -> Any:
        return build_encoder(config, data, engine.policy)

    parts = Parts(data, augmenter, encoder(), encoder, engine.policy, arguments)
    return config.method.build(parts)
