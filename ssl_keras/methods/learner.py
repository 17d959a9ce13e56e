"""Base class of the methods' models: an encoder trained on views, with an online linear probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ssl_keras import metrics, randomness
from ssl_keras.annotations import Model, Tensor
from ssl_keras.datasets.base import Target
from ssl_keras.inputs import Example, Modality
from ssl_keras.lazy import keras, tf
from ssl_keras.losses.base import first_row
from ssl_keras.methods.averages import GlobalMean, MovingAverage
from ssl_keras.methods.slicing import after, joined, slices
from ssl_keras.networks.dropout import dropout_keys


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


class Learner(keras.Model):
    """An encoder trained on views of examples; base class of the methods' models.

        example --augmenter--> view --> encoder --> features --> objective
                                                       |
                                                       +-- stop gradient --> linear_probe

    The parts are injected and can be used alone. `call` returns the features of network inputs.
    Train it with `compile` and `fit` on batches {"example": nest of (batch, ...), "labels":
    {target: ...}, "partner": nest, optional}, see `inputs`.

    A method defines `parts` (networks trained with the encoder), `outputs` (what they compute from
    features) and `objective` (a function of the outputs).

    Randomness is a function of `seed` and `step`. The variable `step` counts the training steps and
    is saved with the weights; the training step has no other random state.

    Args:
        augmenter: draws the views, see `views.augmenter.Augmenter`.
        encoder: `keras.Model` from network inputs to features.
        linear_probe: `keras.Model` from features to {target name: logits}, or None.
        targets: name -> `Target`, predicted by the probe.
        modality: what an example is made of.
        seed: the run's seed.
        kernel_l2: weight of the sum of squares of all kernels, added to the objective.
        measures: names of the values of `objective`; the first is "loss".
    """

    def __init__(
        self,
        augmenter: Any,
        encoder: Model,
        linear_probe: Model = None,
        *,
        modality: Modality,
        targets: Mapping[str, Target] | None = None,
        seed: int = 0,
        kernel_l2: float = 0.0,
        measures: Sequence[str] = ("loss",),
        **arguments: Any,
    ):
        super().__init__(**arguments)
        self.augmenter = augmenter
        self.encoder = encoder
        self.modality = modality
        self.encode = modality.encoding(encoder)
        self.linear_probe = linear_probe
        self.probed = dict(targets or {}) if linear_probe is not None else {}
        self.seed = seed
        self.kernel_l2 = kernel_l2
        self.total_steps: int | None = None
        self.step = self.add_weight(
            shape=(), dtype="int64", initializer="zeros", trainable=False, name="step"
        )
        # A TensorFlow variable: a variable of Keras would become part of the weights.
        self.non_finite_step = tf.Variable(
            -1,
            dtype=tf.int64,
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            name="non_finite_step",
        )
        probes = [f"linear_probe/{name}/accuracy" for name in self.probed]
        self.trackers = {name: GlobalMean(name=name) for name in (*measures, *probes)}
        self.micro_batch: int | None = None
        self.loss_impl = "auto"
        self.average: MovingAverage | None = None
        self.built = True

    def compile(
        self,
        optimizer: Any,
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
            optimizer: optimizer of all networks but the probe.
            loss: the loss of a contrastive method, made by `losses.get`.
            probe_optimizer: optimizer of the linear probe. Default: Adam at 1e-3.
            total_steps: length of the training, for schedules of the loss. Default: they keep their
                initial values.
            micro_batch: largest number of examples whose activations are held at once, see
                `_sliced_gradients`; it must divide the batch of a replica.
            loss_impl: see `losses.base.Loss.parts`.
            ema_decay: decay of a moving average of the weights, see `MovingAverage`.
            **arguments: arguments of `keras.Model.compile` (jit_compile, steps_per_execution, ...).
        """
        super().compile(optimizer=optimizer, **arguments)
        self.contrastive_loss = loss
        self.total_steps = total_steps
        self.micro_batch, self.loss_impl = micro_batch, loss_impl
        self.optimizer.build(self.learned_variables)
        if ema_decay is not None:
            self.average = MovingAverage(self.networks, ema_decay)
        self.probe_optimizer: Any = None
        if self.linear_probe is not None:
            self.probe_optimizer = probe_optimizer or keras.optimizers.Adam(1e-3)
            self.probe_optimizer.build(self.linear_probe.trainable_variables)

    # The projection head, and function(network inputs) -> reconstructions in inference mode; None
    # if the method has none.
    projection_head: Any = None
    reconstruct: Any = None

    @property
    def parts(self) -> list[Model]:
        """The networks trained with the encoder."""
        return []

    @property
    def layer_names(self) -> list[str]:
        """The names of `representations`."""
        return ["features"]

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

    def progress(self, step: Tensor) -> Tensor:
        """The completed share of the training at the start of `step`."""
        if self.total_steps is None:
            return 0.0
        return tf.cast(step, tf.float32) / float(self.total_steps)

    @property
    def networks(self) -> list[Model]:
        """The networks that the objective trains: the encoder and `parts`."""
        return [self.encoder, *self.parts]

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

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """Features (batch, dim) of network inputs."""
        return self.encoder(inputs, training=training)

    def representations(self, inputs: Tensor) -> list[Tensor]:
        """The outputs of every evaluated layer, in inference mode; the encoder's first.

        Args:
            inputs: network inputs.

        Returns:
            float32 tensors (batch, dim).
        """
        return [tf.cast(self.encoder(inputs, training=False), tf.float32)]

    def train_step(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """One step on one batch: draw both views, update the networks and the probe."""
        labels = batch.get("labels", {})
        rows = tf.nest.flatten(batch["example"])[0]
        row = first_row(tf.shape(rows)[0])
        step = tf.convert_to_tensor(self.step)

        drawn, keys = self.augmenter.two_views(
            batch, step, first_row=row, num_replicas=self._replicas
        )
        seed = randomness.fold(randomness.key(self.seed, "loss"), step)
        views = Views(drawn, keys, labels, step, seed, row)

        if self.micro_batch is None or self.micro_batch == rows.shape[0]:
            values, gradients, features = self._gradients(views)
        else:
            count = rows.shape[0] // self.micro_batch
            values, gradients, features = self._sliced_gradients(views, count)
        self.optimizer.apply(gradients, self.learned_variables)
        probe_accuracies = self._train_probe(tf.stop_gradient(features), labels)
        self._watch(values["loss"], step)
        self.step.assign_add(1)
        if self.average is not None:
            self.average.update(step)

        for name, value in {**values, **probe_accuracies}.items():
            self.trackers[name].update(value)
        results = {name: tracker.result() for name, tracker in self.trackers.items()}
        if self._several_workers:  # Keras concatenates the values of workers
            results = {name: value[None] for name, value in results.items()}
        return results

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
            losses, accuracies = target_terms(self.probed, logits, labels)
            objectives = [loss / self._replicas for loss in losses.values()]
        variables = self.linear_probe.trainable_variables
        self.probe_optimizer.apply(tape.gradient(objectives, variables), variables)
        return {f"linear_probe/{name}/accuracy": value for name, value in accuracies.items()}


def target_terms(
    targets: Mapping[str, Target], logits: Mapping[str, Any], labels: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """(losses, accuracies) of classifiers of both views: target name -> float32 scalar.

    Args:
        targets: name -> `Target`.
        logits: target name -> (2 batch, size), the first views above the second.
        labels: target name -> labels of the examples (batch, ...).
    """
    losses, accuracies = {}, {}
    for name, target in targets.items():
        both = tf.concat([labels[name], labels[name]], axis=0)
        losses[name] = metrics.target_loss(target.kind, both, logits[name])
        accuracies[name] = metrics.target_accuracy(target.kind, both, logits[name])
    return losses, accuracies
