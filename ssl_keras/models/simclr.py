"""SimCLR with any loss of `ssl_keras.losses`, and a linear probe for each competing feature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from ssl_keras import metrics, randomness
from ssl_keras.datasets.base import Feature
from ssl_keras.datasets.composing import compose_images
from ssl_keras.losses.base import Loss, first_row, gather
from ssl_keras.networks import in_order
from ssl_keras.networks.dropout import dropout_keys


class SimCLR(keras.Model):
    """Two views of each image, encoded, projected, and compared by a contrastive loss.

        image --augmenter--> view --[+ planes]--> encoder --> features --> projection_head --> loss
                                                     |
                                                     +-- stop gradient --> linear_probe

    The parts are injected and usable alone. `call` gives the features of composed images. Train it
    with `compile` and `fit` on batches {"image": (batch, h, w, c), "labels": {feature: ...},
    "planes": (batch, num_bits), optional}.

    Randomness is a function of `seed` and `step`, a variable that counts the training steps and is
    saved with the weights; the training step itself has no other state.

    Args:
        augmenter: draws the views, see `augmentations.Augmenter`.
        encoder: `keras.Model` from composed images to features.
        projection_head: `keras.Model` from features to the outputs of its layers, see
            `networks.build_projection_head`.
        linear_probe: `keras.Model` from features to {feature name: logits}, or None.
        features: the features that the probe predicts: name -> `Feature`.
        seed: the run's seed.
        kernel_l2: weight of the sum of squares of all kernels, added to the loss.
    """

    def __init__(
        self,
        augmenter: Any,
        encoder: Any,
        projection_head: Any,
        linear_probe: Any = None,
        *,
        features: Mapping[str, Feature] | None = None,
        seed: int = 0,
        kernel_l2: float = 0.0,
        **arguments: Any,
    ):
        super().__init__(**arguments)
        self.augmenter = augmenter
        self.encoder = encoder
        self.projection_head = projection_head
        self.linear_probe = linear_probe
        self.probed = dict(features or {}) if linear_probe is not None else {}
        self.seed = seed
        self.kernel_l2 = kernel_l2
        self.step = self.add_weight(
            shape=(), dtype="int64", initializer="zeros", trainable=False, name="step"
        )
        self.trackers = {
            name: keras.metrics.Mean(name=name)
            for name in (
                "loss",
                "alignment",
                "distribution",
                "contrastive_accuracy",
                *(f"linear_probe/{name}/accuracy" for name in self.probed),
            )
        }
        self.built = True

    def compile(
        self,
        optimizer: Any,
        loss: Loss,
        probe_optimizer: Any = None,
        *,
        total_steps: int | None = None,
        **arguments: Any,
    ) -> None:
        """Configure training.

        Args:
            optimizer: for encoder and projection head.
            loss: made by `losses.get`.
            probe_optimizer: for the linear probe. Default: Adam at 1e-3.
            total_steps: length of the training, for losses with scheduled hyperparameters; without
                it they keep the values of the start.
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

    def progress(self, step: Any) -> Any:
        """The share of the training that has been done before `step`."""
        if self.total_steps is None:
            return 0.0
        return tf.cast(step, tf.float32) / float(self.total_steps)

    @property
    def learned_variables(self) -> list[Any]:
        """What the contrastive loss trains: encoder and projection head, without the probe."""
        return self.encoder.trainable_variables + self.projection_head.trainable_variables

    @property
    def metrics(self) -> list[Any]:
        return list(self.trackers.values())

    def call(self, images: Any, training: bool = False) -> Any:
        """Features of composed images: (batch, h, w, image channels + num_bits) -> (batch, dim)."""
        return self.encoder(images, training=training)

    def representations(self, images: Any) -> list[Any]:
        """Features at every depth, in inference mode: encoder output, then each head layer.

        Args:
            images: composed images.

        Returns:
            float32 tensors (batch, dim).
        """
        features = self.encoder(images, training=False)
        outputs = in_order(self.projection_head(features, training=False))
        return [tf.cast(value, tf.float32) for value in (features, *outputs)]

    def train_step(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """One step on one batch: draw both views, update encoder, head and probe."""
        images, labels = batch["image"], batch.get("labels", {})
        num_replicas = self.distribute_strategy.num_replicas_in_sync
        row = first_row(tf.shape(images)[0])
        step = tf.convert_to_tensor(self.step)

        views, planes, keys = self.augmenter.two_views(
            images, step, batch.get("planes"), first_row=row, num_replicas=num_replicas
        )
        inputs = compose_images(views, planes)
        loss_seed = randomness.fold(randomness.key(self.seed, "loss"), step)

        with tf.GradientTape() as tape:
            with dropout_keys(keys):
                features = self.encoder(inputs, training=True)
            projections = in_order(self.projection_head(features, training=True))[-1]
            projections_1, projections_2 = tf.split(tf.cast(projections, tf.float32), 2)
            parts = self.contrastive_loss.parts(
                projections_1, projections_2, labels, loss_seed, self.progress(step)
            )
            objective = parts["loss"] + self._kernel_penalty()
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
        self.step.assign_add(1)

        accuracy = metrics.contrastive_accuracy(
            projections_1, projections_2, keys_2=gather(projections_2), first_row=row
        )
        values = {**parts, "contrastive_accuracy": accuracy, **probe_accuracies}
        for name, value in values.items():
            self.trackers[name].update_state(value)
        return {name: tracker.result() for name, tracker in self.trackers.items()}

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
        logits = self.linear_probe(features, training=True)
        losses, accuracies = [], {}
        for name, feature in self.probed.items():
            both = tf.concat([labels[name], labels[name]], axis=0)
            losses.append(metrics.feature_loss(feature.kind, both, logits[name]))
            accuracies[f"linear_probe/{name}/accuracy"] = metrics.feature_accuracy(
                feature.kind, both, logits[name]
            )
        return losses, accuracies
