"""Base class of the methods' models: an encoder trained on views, with an online linear probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl_keras import losses, metrics, randomness
from ssl_keras.annotations import Model, Tensor
from ssl_keras.datasets.base import Target
from ssl_keras.errors import UserError
from ssl_keras.inputs import Example, Modality, modality_of
from ssl_keras.lazy import keras, tf
from ssl_keras.losses.base import first_row
from ssl_keras.methods.averages import GlobalMean, MovingAverage
from ssl_keras.methods.slicing import after, joined, slices
from ssl_keras.networks import build_linear_probe
from ssl_keras.networks.dropout import dropout_keys
from ssl_keras.traced import TracedFunctions
from ssl_keras.views.augmenter import build_augmenter


@dataclass(frozen=True)
class Views:
    """The views of one step, and what belongs to them.

    Attributes:
        example: prepared examples (2 batch, ...), the first views above the second.
        keys: keys of the dropout masks, uint32 (2 batch,).
        labels: target name -> labels of the examples (batch, ...).
        step: number of the step, int64 scalar.
        seed: key of the loss' random numbers in this step, see `randomness`.
        first_row: position of this replica's first example in the global batch.
    """

    example: Example
    keys: Any
    labels: Mapping[str, Any]
    step: Any
    seed: Any
    first_row: Any

    def sliced(self, count: int) -> list[tuple[Example, Tensor]]:
        """(example, keys) in `count` slices, each with both views of its examples."""
        stacked = tf.nest.map_structure(lambda rows: slices(rows, count), (self.example, self.keys))
        return [tf.nest.map_structure(lambda rows, k=k: rows[k], stacked) for k in range(count)]


def _variable(value: float, name: str, dtype: Any = None) -> tf.Variable:
    """A scalar that steps read. It is TensorFlow's: one of Keras would become part of the
    weights."""
    only_first = tf.VariableAggregation.ONLY_FIRST_REPLICA
    return tf.Variable(
        value, dtype=dtype or tf.float32, trainable=False, aggregation=only_first, name=name
    )


class Learner(keras.Model):
    """An encoder trained on views of examples; base class of the methods' models.

        example --augmenter--> view --> encoder --> features --> objective
                                                       |
                                                       +-- stop gradient --> linear_probe

    The parts are injected and can be used alone. Train it with `compile` and `fit` on a
    `tf.data.Dataset` of batches of equal size:

        images                          uint8, or float in [0, 1]: (batch, height, width, channels)
        (images, classes)               with integers (batch,), for a probe
        {"image": ..., "bits": ...}     with bits (batch, num_bits), alone or instead of `images`
        {"example": ..., "labels": {target: ...}, "partner": ...}    the form of a data set

    For vectors (batch, dim) the name is "x". `predict` and `call` return features (batch, dim) of
    examples in one of the first forms, or of network inputs: floats, with bits as channels.

    A method defines `parts` (networks trained with the encoder), `outputs` (what they compute from
    features) and `objective` (a function of the outputs).

    Randomness is a function of `seed` and `step`. The variable `step` counts the training steps and
    is saved with the weights; the training step has no other random state.

    Args:
        encoder: `keras.Model` from network inputs (batch, height, width, channels + num_bits) or
            (batch, dim), of a known shape, to features (batch, dim).
        linear_probe: `keras.Model` from features to {target name: logits}. Default: none, or with
            `num_classes` one of the class, and of the bits.
        num_classes: number of classes of the labels.
        num_bits: number of bits that are the last channels of the network inputs.
        augmentation: how views are drawn: a preset ("auto", "digits", "small_rgb", "large_rgb",
            "vectors", "none"), or operations that change those of "auto", such as {"flip": True,
            "crop_area_min": 0.3}; see `config.ViewsConfig`.
        augmenter: draws the views instead, see `views.augmenter.Augmenter`.
        modality: what an example is made of. Default: see `inputs.modality_of`.
        targets: name -> `Target`, predicted by `linear_probe`.
        seed: seed of the views and of everything else that is drawn.
        kernel_l2: weight of the sum of squares of all kernels, added to the objective.
        measures: names of the values of `objective`; the first is "loss".
        trained_encoder: the part of `encoder` that is trained. Default: all of it.
        **arguments: arguments of `keras.Model`, such as `dtype`.

    Raises:
        UserError: the encoder's input has no known shape, or another one than such examples.
    """

    def __init__(
        self,
        encoder: Model,
        linear_probe: Model | None = None,
        *,
        num_classes: int | None = None,
        num_bits: int = 0,
        augmentation: str | Mapping[str, Any] = "auto",
        augmenter: Any = None,
        modality: Modality | None = None,
        targets: Mapping[str, Target] | None = None,
        seed: int = 0,
        kernel_l2: float = 0.0,
        measures: Sequence[str] = ("loss",),
        trained_encoder: Model | None = None,
        **arguments: Any,
    ):
        super().__init__(**arguments)
        if modality is None:
            modality = modality_of(network_shape(encoder), num_bits)
        if augmenter is None:
            augmenter = build_augmenter(modality, augmentation, seed)
        if linear_probe is None and num_classes is not None:
            targets = default_targets(num_classes, num_bits)
            sizes = {name: target.size for name, target in targets.items()}
            linear_probe = build_linear_probe(feature_dim(encoder), sizes)
        self.augmenter = augmenter
        self.encoder = encoder
        self.trained_encoder = encoder if trained_encoder is None else trained_encoder
        self.modality = modality
        self.encode = modality.encoding(self.trained_encoder)
        self.linear_probe = linear_probe
        self.probed = dict(targets or {}) if linear_probe is not None else {}
        self._seed = randomness.Seed(seed)
        self.kernel_l2 = kernel_l2
        self.total_steps: int | None = None
        self.step = self.add_weight(
            shape=(), dtype="int64", initializer="zeros", trainable=False, name="step"
        )
        self.non_finite_step = _variable(-1, "non_finite_step", tf.int64)
        self.hyperparameters: dict[str, tf.Variable] = {}
        probes = [f"linear_probe/{name}/accuracy" for name in self.probed]
        self.trackers = {name: GlobalMean(name=name) for name in (*measures, *probes)}
        self.micro_batch: int | None = None
        self.loss_impl = "auto"
        self.average: MovingAverage | None = None
        self.traced = TracedFunctions()
        self.built = True

    def compile(
        self,
        optimizer: Any = None,
        loss: Any = None,
        probe_optimizer: Any = None,
        *,
        total_steps: int | None = None,
        micro_batch: int | None = None,
        loss_impl: str = "auto",
        ema_decay: float | None = None,
        **arguments: Any,
    ) -> None:
        """Configure training.

        Args:
            optimizer: optimizer of all networks but the probe. Default: Adam at 1e-3.
            loss: the loss of a contrastive method: made by `losses.get`, or its name.
            probe_optimizer: optimizer of the linear probe. Default: Adam at 1e-3.
            total_steps: length of the training, for schedules of the loss. Default: they keep their
                initial values.
            micro_batch: largest number of examples whose activations are held at once, see
                `_sliced_gradients`; it must divide the batch of a replica.
            loss_impl: see `losses.base.Loss.parts`.
            ema_decay: decay of a moving average of the weights, see `MovingAverage`.
            **arguments: arguments of `keras.Model.compile` (jit_compile, steps_per_execution, ...).
        """
        super().compile(optimizer=optimizer or keras.optimizers.Adam(1e-3), **arguments)
        self.contrastive_loss = losses.get(loss) if isinstance(loss, str) else loss
        constants = getattr(self.contrastive_loss, "constants", {})
        self.hyperparameters = {n: _variable(v, f"loss_{n}") for n, v in constants.items()}
        self.total_steps = total_steps
        self.micro_batch, self.loss_impl = micro_batch, loss_impl
        self.optimizer.build(self.learned_variables)
        if ema_decay is not None:
            self.average = MovingAverage(self.networks, ema_decay)
        self.probe_optimizer: Any = None
        if self.linear_probe is not None:
            self.probe_optimizer = probe_optimizer or keras.optimizers.Adam(1e-3)
            self.probe_optimizer.build(self.linear_probe.trainable_variables)

    @property
    def loss_with_variables(self) -> Any:
        """The contrastive loss whose constant hyperparameters are variables: the graph of a step
        does not depend on their values, so runs that differ in them share it."""
        values = {name: tf.identity(value) for name, value in self.hyperparameters.items()}
        return self.contrastive_loss.with_values(values) if values else self.contrastive_loss

    @property
    def seed(self) -> int:
        """The seed of everything that is drawn but the views."""
        return self._seed.value

    def take_state(self, other: Learner) -> None:
        """Take over the weights, the optimizers' state and the seeds of a compiled model that is
        made in the same way, so that this one goes on as `other` would."""
        for name, variables in self.state_groups.items():
            for variable, value in zip(variables, other.state_groups[name], strict=True):
                variable.assign(value)
        self.non_finite_step.assign(other.non_finite_step)
        for name, value in self.hyperparameters.items():
            value.assign(other.hyperparameters[name])
        self.contrastive_loss = other.contrastive_loss
        self._seed.value, self.augmenter.seed = other.seed, other.augmenter.seed

    # The projection head, and function(network inputs) -> reconstructions in inference mode; None
    # if the method has none.
    projection_head: Any = None
    reconstruct: Any = None
    # `representations` of second views, if another encoder takes them.
    partner_representations: Any = None

    @property
    def parts(self) -> list[Model]:
        """The networks trained with the encoder."""
        return []

    @property
    def layer_names(self) -> list[str]:
        """The names of `representations`."""
        return ["features"]

    @property
    def probed_layer(self) -> str:
        """The name of the layer that the online probe reads."""
        return "features"

    @property
    def progress_names(self) -> dict[str, str]:
        """Name of a logged value -> its short name in the progress bar, the most telling first."""
        probes = {f"linear_probe/{name}/accuracy": name for name in self.probed}
        return {**probes, "loss": "loss"}

    def describe(self, batch_size: int, loss_name: str = "") -> dict[str, str]:
        """Description of the method for the banner: label -> value."""
        return {"method": type(self).__name__}

    def outputs(self, features: Tensor) -> Tensor:
        """The arguments of the objective, in training mode: features (rows, dim) -> a float32
        tensor (rows, ...), or a dictionary of them."""
        raise NotImplementedError(f"{type(self).__name__} does not define its outputs")

    def objective(self, outputs: Tensor, views: Views) -> dict[str, Tensor]:
        """The loss and the other logged values.

        Args:
            outputs: the outputs for both views of all examples, see `outputs`.
            views: the views.

        Returns:
            "loss" and the other `measures`: float32 scalars, averages over this replica's batch.
            Their averages over replicas are the values of the global batch.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define its objective")

    def after_update(self, step: Tensor) -> None:
        """Called in each step after the variables have been updated."""

    def progress(self, step: Tensor) -> Tensor:
        """The completed share of the training at the start of `step`."""
        if self.total_steps is None:
            return 0.0
        return tf.cast(step, tf.float32) / float(self.total_steps)

    @property
    def networks(self) -> list[Model]:
        """The networks that the objective trains: the encoder and `parts`."""
        return [self.trained_encoder, *self.parts]

    @property
    def learned_variables(self) -> list[Any]:
        """The trainable variables of `networks`."""
        return [variable for network in self.networks for variable in network.trainable_variables]

    @property
    def metrics(self) -> list[Any]:
        return list(self.trackers.values())

    @property
    def state_groups(self) -> dict[str, list[Any]]:
        """Every variable that a resumed training needs, by group; the model must be compiled."""
        optimizers = {"optimizer": self.optimizer, "probe_optimizer": self.probe_optimizer}
        return {
            "weights": list(self.variables),
            **{n: list(o.variables) for n, o in optimizers.items() if o is not None},
            **({} if self.average is None else {"average": self.average.averages}),
            "metrics": [v for tracker in self.trackers.values() for v in tracker.variables],
        }

    def adopt_average(self) -> None:
        """Replace the weights by their moving average, if there is one."""
        if self.average is not None:
            self.average.adopt()

    def call(self, inputs: Any, training: bool = False) -> Tensor:
        """Features (batch, dim).

        Args:
            inputs: network inputs, or examples: {"image", "bits"}, {"x"}, or uint8 images.
            training: whether batch norm and dropout are in training mode.
        """
        if not isinstance(inputs, Mapping) and inputs.dtype == tf.uint8:
            inputs = {self.modality.column: inputs}
        if isinstance(inputs, Mapping):
            inputs = self.modality.inputs(inputs)
        return self.encoder(inputs, training=training)

    def representations(self, inputs: Tensor) -> list[Tensor]:
        """The outputs of every evaluated layer, in inference mode; the encoder's first.

        Args:
            inputs: network inputs.

        Returns:
            float32 tensors (batch, dim).
        """
        return [tf.cast(self.encoder(inputs, training=False), tf.float32)]

    def train_step(self, data: Any) -> dict[str, Tensor]:
        """One step on one batch: draw both views, update the networks and the probe.

        Args:
            data: a batch, in one of the forms above.

        Raises:
            UserError: labels that are needed are missing.
        """
        batch = self._batch(data)
        labels = batch.get("labels", {})
        rows = tf.nest.flatten(batch["example"])[0]
        row = first_row(tf.shape(rows)[0])
        step = tf.convert_to_tensor(self.step)

        drawn, keys = self.augmenter.two_views(
            batch, step, first_row=row, num_replicas=self._replicas
        )
        seed = randomness.fold(self._seed.key("loss"), step)
        views = Views(drawn, keys, labels, step, seed, row)

        if self.micro_batch is None or self.micro_batch == rows.shape[0]:
            values, gradients, features = self._gradients(views)
        else:
            count = rows.shape[0] // self.micro_batch
            values, gradients, features = self._sliced_gradients(views, count)
        self.optimizer.apply([_dense(each) for each in gradients], self.learned_variables)
        probe_accuracies = self._train_probe(tf.stop_gradient(features), labels)
        self._watch(values["loss"], step)
        self.step.assign_add(1)
        self.after_update(step)
        if self.average is not None:
            self.average.update(step)

        for name, value in {**values, **probe_accuracies}.items():
            self.trackers[name].update(value)
        results = {name: tracker.result() for name, tracker in self.trackers.items()}
        if self._several_workers:  # Keras concatenates the values of workers
            results = {name: value[None] for name, value in results.items()}
        return results

    def test_step(self, data: Any) -> dict[str, Tensor]:
        """There is none: what an encoder is worth is measured on frozen features.

        Raises:
            UserError: always.
        """
        raise UserError(
            f"{type(self).__name__} has no evaluate and takes no validation_data: measure the "
            "features that predict returns, or train with train_and_evaluate."
        )

    def _batch(self, data: Any) -> dict[str, Any]:
        """A batch in the form of a data set: {"example", "labels", "partner", if there is one}."""
        if isinstance(data, Mapping) and "example" in data:
            batch = dict(data)
        else:
            example, labels, *_ = (*data, None) if isinstance(data, tuple | list) else (data, None)
            if not isinstance(example, Mapping):
                example = {self.modality.column: example}
            if labels is not None and not isinstance(labels, Mapping):
                labels = {"class": labels}
            batch = {"example": example, "labels": dict(labels or {})}
        labels = dict(batch.get("labels", {}))
        bits = batch["example"].get("bits")
        if bits is not None and "bits" in self.probed:
            labels.setdefault("bits", tf.cast(bits > 0, tf.int32))
        for name in self.needed_labels:
            if name not in labels:
                raise UserError(
                    f"{type(self).__name__} needs labels of the {name}, and the batches have "
                    f"{', '.join(labels) or 'none'}: give (images, classes), or leave num_classes "
                    "out."
                )
        return {**batch, "labels": labels}

    @property
    def needed_labels(self) -> list[str]:
        """The names of the targets whose labels a batch must have."""
        return list(self.probed)

    @property
    def _replicas(self) -> int:
        return int(self.distribute_strategy.num_replicas_in_sync)

    @property
    def _several_workers(self) -> bool:
        strategy = self.distribute_strategy
        return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)

    def features(self, example: Example, keys: Tensor) -> Tensor:
        """Features (2 batch, dim) of both views of prepared examples, in training mode.

        Args:
            example: prepared examples (2 batch, ...), the first views above the second.
            keys: keys of the dropout masks, uint32 (2 batch,).
        """
        with dropout_keys(keys):
            return self.encode(example, training=True)

    def _forward(self, example: Example, keys: Any) -> tuple[Any, Any]:
        """(features, outputs) in training mode."""
        features = self.features(example, keys)
        return features, self.outputs(features)

    def _scaled(self, values: Mapping[str, Any]) -> Any:
        """The scalar to differentiate. Gradients are summed over replicas; the division makes them
        averages."""
        return self.optimizer.scale_loss((values["loss"] + self._kernel_penalty()) / self._replicas)

    def _gradients(self, views: Views) -> tuple[dict[str, Any], list[Any], Any]:
        """(values of the objective, gradients of the learned variables, features)."""
        with tf.GradientTape() as tape:
            features, outputs = self._forward(views.example, views.keys)
            values = self.objective(outputs, views)
            scaled = self._scaled(values)
        return values, tape.gradient(scaled, self.learned_variables), features

    def _sliced_gradients(self, views: Views, count: int) -> tuple[dict[str, Any], list[Any], Any]:
        """`_gradients` of the loss of the whole batch, in the memory of one of `count` slices.

        The first pass computes the outputs of all slices, then the gradient of the loss with
        respect to the outputs. The second pass computes each slice again and backpropagates its
        part of that gradient to the variables. Dropout repeats its masks. The step equals the
        un-sliced step except for batch norm, which normalises each slice separately and updates its
        averages once per slice. Gao et al. 2021, "Scaling Deep Contrastive Learning Batch Size
        under Memory Limited Setup" (arXiv 2101.06983).
        """
        learned = self.learned_variables
        parts = views.sliced(count)
        statistics = [v for network in self.networks for v in network.non_trainable_variables]
        before = [tf.identity(variable) for variable in statistics]

        def backward(example: Example, keys: Any, gradients: Any) -> list[Any]:
            with tf.GradientTape() as tape:
                _, outputs = self._forward(example, keys)
            return tape.gradient(outputs, learned, output_gradients=gradients)

        # A `tf.function` is traced once instead of once per slice; functions do not allow the
        # exchange of statistics between replicas.
        once = tf.function if self._replicas == 1 else lambda function: function
        forward, backward = once(self._forward), once(backward)

        # `after` makes slices run one after the other; together they would need the memory of the
        # whole batch.
        passes: list[Any] = []
        for example, keys in parts:
            passes.append(forward(after(example, passes[-1][0] if passes else None), keys))
        features, outputs = tf.nest.map_structure(lambda *rows: joined(rows), *passes)
        with tf.GradientTape() as tape:
            tape.watch(outputs)
            values = self.objective(outputs, views)
            scaled = self._scaled(values)
        # The gradients of the variables are those of the kernel penalty alone.
        output_gradients, penalty_gradients = tape.gradient(scaled, (outputs, learned))
        output_gradients = tf.nest.map_structure(
            lambda gradient, rows: tf.zeros_like(rows) if gradient is None else gradient,
            output_gradients,
            outputs,
        )
        total = [
            tf.zeros(variable.shape, variable.dtype) if gradient is None else gradient
            for variable, gradient in zip(learned, penalty_gradients, strict=True)
        ]
        with tf.control_dependencies(tf.nest.flatten(output_gradients)):
            for variable, value in zip(statistics, before, strict=True):
                variable.assign(value)
        sliced = tf.nest.map_structure(lambda rows: slices(rows, count), output_gradients)
        for k, (example, keys) in enumerate(parts):
            slice_gradients = tf.nest.map_structure(lambda rows, k=k: rows[k], sliced)
            previous = total[0] if k else tf.nest.flatten(output_gradients)[0]
            part = backward(after(example, previous), keys, slice_gradients)
            total = [sums + gradient for sums, gradient in zip(total, part, strict=True)]
        return values, total, features

    def _watch(self, loss: Any, step: Any) -> None:
        """Store the first step whose loss is not finite on at least one replica."""
        non_finite = tf.cast(tf.logical_not(tf.math.is_finite(loss)), tf.int64)
        if self._replicas > 1:
            non_finite = tf.distribute.get_replica_context().all_reduce("SUM", non_finite)
        stored = tf.convert_to_tensor(self.non_finite_step)
        first = tf.logical_and(stored < 0, non_finite > 0)
        self.non_finite_step.assign(tf.where(first, tf.cast(step, tf.int64), stored))

    def _kernel_penalty(self) -> Any:
        if not self.kernel_l2:
            return 0.0
        kernels = [v for v in self.learned_variables if len(v.shape) > 1]
        squares = [tf.reduce_sum(tf.square(tf.cast(v, tf.float32))) for v in kernels]
        return self.kernel_l2 * tf.add_n(squares)

    def _train_probe(self, features: Any, labels: Mapping[str, Any]) -> dict[str, Any]:
        """Update the probe on the features of both views; return its accuracies before it."""
        if self.linear_probe is None:
            return {}
        with tf.GradientTape() as tape:
            logits = self.linear_probe(features, training=True)
            terms, accuracies = target_terms(self.probed, logits, labels)
            objectives = [loss / self._replicas for loss in terms.values()]
        variables = self.linear_probe.trainable_variables
        self.probe_optimizer.apply(tape.gradient(objectives, variables), variables)
        return {f"linear_probe/{name}/accuracy": value for name, value in accuracies.items()}


def _dense(gradient: Any) -> Any:
    """The gradient of a table of words as a tensor: optimizers are slower with a sparse one."""
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    shape = tf.cast(gradient.dense_shape, gradient.indices.dtype)
    return tf.scatter_nd(gradient.indices[:, None], gradient.values, shape)


def network_shape(encoder: Model) -> tuple[int | None, ...]:
    """The shape of an encoder's input, without batch axis.

    Raises:
        UserError: it is not known.
    """
    try:
        shape = encoder.input_shape
    except (AttributeError, ValueError):
        shape = None
    if not isinstance(shape, tuple):
        raise UserError(
            "The encoder must have one input of a known shape: begin it with keras.Input(shape)."
        )
    return shape[1:]


def feature_dim(encoder: Model) -> int:
    """The dimension of an encoder's features.

    Raises:
        UserError: see `network_shape`; or the outputs are no features (batch, dim).
    """
    network_shape(encoder)
    shape = encoder.output_shape
    if not isinstance(shape, tuple) or len(shape) != 2 or shape[1] is None:
        raise UserError(
            f"The encoder gives outputs of the shape {shape}; features (batch, dim) are needed: "
            "end it with a pooling or a flattening layer."
        )
    return int(shape[1])


def default_targets(num_classes: int, num_bits: int = 0) -> dict[str, Target]:
    """Targets of examples with classes that are balanced, and with random bits, if any."""
    targets = {"class": Target("class", "class", num_classes, 1 / num_classes, 1 / num_classes)}
    if num_bits:
        targets["bits"] = Target("bits", "bits", num_bits, 0.5, 0.5**num_bits)
    return targets


def target_terms(
    targets: Mapping[str, Target], logits: Mapping[str, Any], labels: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(losses, accuracies) of classifiers of both views: target name -> float32 scalar.

    Args:
        targets: name -> `Target`.
        logits: target name -> (2 batch, size), the first views above the second.
        labels: target name -> labels of the examples (batch, ...).
    """
    terms, accuracies = {}, {}
    for name, target in targets.items():
        both = tf.concat([labels[name], labels[name]], axis=0)
        terms[name] = metrics.target_loss(target.kind, both, logits[name])
        accuracies[name] = metrics.target_accuracy(target.kind, both, logits[name])
    return terms, accuracies
