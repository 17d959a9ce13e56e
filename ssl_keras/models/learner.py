"""What all methods share: views in, an encoder that learns, an online probe beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from ssl_keras import metrics, randomness
from ssl_keras.datasets.base import Feature
from ssl_keras.datasets.composing import compose_images
from ssl_keras.losses.base import first_row
from ssl_keras.networks.dropout import dropout_keys


@dataclass(frozen=True)
class Views:
    """What a method learns from in one step.

    Attributes:
        inputs: composed views (2 batch, h, w, channels + num_bits), the first above the second.
        features: the encoder's output for them (2 batch, dim), in training mode.
        labels: feature name -> labels of the images (batch, ...).
        step: number of the step, int64 scalar.
        seed: a key for what is random in the step, see `randomness`.
        first_row: position of this replica's first image in the global batch.
    """

    inputs: Any
    features: Any
    labels: Mapping[str, Any]
    step: Any
    seed: Any
    first_row: Any


class Learner(keras.Model):
    """An encoder that learns from views of images; base of the methods.

        image --augmenter--> view --[+ planes]--> encoder --> features --> objective
                                                     |
                                                     +-- stop gradient --> linear_probe

    The parts are injected and usable alone. `call` gives the features of composed images. Train it
    with `compile` and `fit` on batches {"image": (batch, h, w, c), "labels": {feature: ...},
    "planes": (batch, num_bits), optional}.

    A method defines `objective`, and `parts` that learn beside the encoder.

    Randomness is a function of `seed` and `step`, a variable that counts the training steps and is
    saved with the weights; the training step itself has no other state.

    Args:
        augmenter: draws the views, see `augmentations.Augmenter`.
        encoder: `keras.Model` from composed images to features.
        linear_probe: `keras.Model` from features to {feature name: logits}, or None.
        features: the features that the probe predicts: name -> `Feature`.
        seed: the run's seed.
        kernel_l2: weight of the sum of squares of all kernels, added to the objective.
        measures: names of the values of `objective`, the first being "loss".
    """

    def __init__(
        self,
        augmenter: Any,
        encoder: Any,
        linear_probe: Any = None,
        *,
        features: Mapping[str, Feature] | None = None,
        seed: int = 0,
        kernel_l2: float = 0.0,
        measures: Sequence[str] = ("loss",),
        **arguments: Any,
    ):
        super().__init__(**arguments)
        self.augmenter = augmenter
        self.encoder = encoder
        self.linear_probe = linear_probe
        self.probed = dict(features or {}) if linear_probe is not None else {}
        self.seed = seed
        self.kernel_l2 = kernel_l2
        self.total_steps: int | None = None
        self.step = self.add_weight(
            shape=(), dtype="int64", initializer="zeros", trainable=False, name="step"
        )
        # Not one of Keras' variables, so that it is no part of the weights.
        self.non_finite_step = tf.Variable(
            -1,
            dtype=tf.int64,
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            name="non_finite_step",
        )
        probes = [f"linear_probe/{name}/accuracy" for name in self.probed]
        self.trackers = {name: keras.metrics.Mean(name=name) for name in (*measures, *probes)}
        self.built = True

    def compile(
        self,
        optimizer: Any,
        loss: Any = None,
        probe_optimizer: Any = None,
        *,
        total_steps: int | None = None,
        **arguments: Any,
    ) -> None:
        """Configure training.

        Args:
            optimizer: for everything that learns but the probe.
            loss: made by `losses.get`, for methods with a contrastive loss.
            probe_optimizer: for the linear probe. Default: Adam at 1e-3.
            total_steps: length of the training, for what is scheduled over it; without it the
                values of the start are kept.
            **arguments: passed to `keras.Model.compile` (jit_compile, steps_per_execution, ...).
        """
        super().compile(optimizer=optimizer, **arguments)
        self.contrastive_loss = loss
        self.total_steps = total_steps
        self.optimizer.build(self.learned_variables)
        self.probe_optimizer: Any = None
        if self.linear_probe is not None:
            self.probe_optimizer = probe_optimizer or keras.optimizers.Adam(1e-3)
            self.probe_optimizer.build(self.linear_probe.trainable_variables)

    @property
    def parts(self) -> list[Any]:
        """The networks that learn beside the encoder."""
        return []

    def objective(self, views: Views) -> dict[str, Any]:
        """What is minimised, and what else is logged.

        Returns:
            "loss" and the other `measures`: float32 scalars, this replica's averages, of which the
            averages over replicas are those of the global batch.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define its objective")

    def progress(self, step: Any) -> Any:
        """The share of the training that has been done before `step`."""
        if self.total_steps is None:
            return 0.0
        return tf.cast(step, tf.float32) / float(self.total_steps)

    @property
    def learned_variables(self) -> list[Any]:
        """What the objective trains: the encoder and the other parts, without the probe."""
        networks = [self.encoder, *self.parts]
        return [variable for network in networks for variable in network.trainable_variables]

    @property
    def metrics(self) -> list[Any]:
        return list(self.trackers.values())

    @property
    def state_groups(self) -> dict[str, list[Any]]:
        """Every variable that training goes on from, by group; the model must be compiled."""
        optimizers = {"optimizer": self.optimizer, "probe_optimizer": self.probe_optimizer}
        return {
            "weights": list(self.variables),
            **{n: list(o.variables) for n, o in optimizers.items() if o is not None},
            "metrics": [v for tracker in self.trackers.values() for v in tracker.variables],
        }

    def call(self, images: Any, training: bool = False) -> Any:
        """Features of composed images: (batch, h, w, image channels + num_bits) -> (batch, dim)."""
        return self.encoder(images, training=training)

    def representations(self, images: Any) -> list[Any]:
        """Features at every depth that is evaluated, in inference mode; the encoder's first.

        Args:
            images: composed images.

        Returns:
            float32 tensors (batch, dim).
        """
        return [tf.cast(self.encoder(images, training=False), tf.float32)]

    def train_step(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """One step on one batch: draw both views, update the parts that learn and the probe."""
        images, labels = batch["image"], batch.get("labels", {})
        num_replicas = self.distribute_strategy.num_replicas_in_sync
        row = first_row(tf.shape(images)[0])
        step = tf.convert_to_tensor(self.step)

        drawn, planes, keys = self.augmenter.two_views(
            images, step, batch.get("planes"), first_row=row, num_replicas=num_replicas
        )
        inputs = compose_images(drawn, planes)
        seed = randomness.fold(randomness.key(self.seed, "loss"), step)

        with tf.GradientTape() as tape:
            with dropout_keys(keys):
                features = self.encoder(inputs, training=True)
            values = self.objective(Views(inputs, features, labels, step, seed, row))
            objective = values["loss"] + self._kernel_penalty()
            probe_losses, probe_accuracies = self._probe(tf.stop_gradient(features), labels)
            # Gradients are summed over replicas: this division makes them averages.
            objectives = [self.optimizer.scale_loss(objective / num_replicas)]
            objectives += [loss / num_replicas for loss in probe_losses]

        learned = self.learned_variables
        probe = [] if self.linear_probe is None else self.linear_probe.trainable_variables
        gradients = tape.gradient(objectives, learned + probe)
        self.optimizer.apply(gradients[: len(learned)], learned)
        if probe:
            self.probe_optimizer.apply(gradients[len(learned) :], probe)
        self._watch(objective, step, num_replicas)
        self.step.assign_add(1)

        for name, value in {**values, **probe_accuracies}.items():
            self.trackers[name].update_state(value)
        return {name: tracker.result() for name, tracker in self.trackers.items()}

    def _watch(self, objective: Any, step: Any, num_replicas: int) -> None:
        """Remember the first step whose objective is not a finite number on some replica."""
        wrong = tf.cast(tf.logical_not(tf.math.is_finite(objective)), tf.int64)
        if num_replicas > 1:
            wrong = tf.distribute.get_replica_context().all_reduce("SUM", wrong)
        known = tf.convert_to_tensor(self.non_finite_step)
        first = tf.logical_and(known < 0, wrong > 0)
        self.non_finite_step.assign(tf.where(first, tf.cast(step, tf.int64), known))

    def _kernel_penalty(self) -> Any:
        if not self.kernel_l2:
            return 0.0
        kernels = [v for v in self.learned_variables if len(v.shape) > 1]
        squares = [tf.reduce_sum(tf.square(tf.cast(v, tf.float32))) for v in kernels]
        return self.kernel_l2 * tf.add_n(squares)

    def _probe(self, features: Any, labels: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """Losses and accuracies of the online probe on the features of both views."""
        if self.linear_probe is None:
            return [], {}
        losses, accuracies = feature_terms(
            self.probed, self.linear_probe(features, training=True), labels
        )
        named = {f"linear_probe/{name}/accuracy": value for name, value in accuracies.items()}
        return list(losses.values()), named


def feature_terms(
    features: Mapping[str, Feature], logits: Mapping[str, Any], labels: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(losses, accuracies) of classifiers of both views: feature name -> float32 scalar.

    Args:
        features: what is predicted.
        logits: feature name -> (2 batch, size), the first views above the second.
        labels: feature name -> labels of the images (batch, ...).
    """
    losses, accuracies = {}, {}
    for name, feature in features.items():
        both = tf.concat([labels[name], labels[name]], axis=0)
        losses[name] = metrics.feature_loss(feature.kind, both, logits[name])
        accuracies[name] = metrics.feature_accuracy(feature.kind, both, logits[name])
    return losses, accuracies
