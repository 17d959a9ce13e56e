"""Methods with an averaged copy of the networks: BYOL, and SimCLR with a queue of keys (MoCo)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ssl_keras import metrics
from ssl_keras.annotations import Model, Tensor
from ssl_keras.lazy import keras, tf
from ssl_keras.losses.base import gather
from ssl_keras.losses.functional import normalize
from ssl_keras.methods.learner import Views
from ssl_keras.methods.projecting import ProjectingLearner
from ssl_keras.networks import in_order
from ssl_keras.networks.normalization import build_batch_norm


class MomentumLearner(ProjectingLearner):
    """Base of methods whose targets come from an averaged copy of encoder and projection head.

        target <- d * target + (1 - d) * trained     after each step

    The target starts with the weights of the trained networks. It has no gradient, and normalises
    by the statistics of its batch.

    Args:
        encoder, linear_probe: see `Learner`.
        projection_head: see `networks.build_projection_head`.
        target_encoder, target_head: networks like the encoder and the projection head.
        target_decay: d, in [0, 1).
        **arguments: see `Learner`.
    """

    # Whether d grows from `target_decay` to 1: 1 - (1 - target_decay) (1 + cos(pi progress)) / 2.
    decay_grows = False

    def __init__(
        self,
        encoder: Model,
        projection_head: Model,
        linear_probe: Model | None = None,
        *,
        target_encoder: Model,
        target_head: Model,
        target_decay: float = 0.99,
        **arguments: Any,
    ):
        super().__init__(encoder, linear_probe, **arguments)
        self.projection_head = self.trained_head = projection_head
        self.target_encoder, self.target_head = target_encoder, target_head
        # They stay trainable: Keras' batch norm would take its averages otherwise, not its batch.
        for target, trained in self._followed:
            target.set_weights(trained.get_weights())
        self.encode_target = self.modality.encoding(target_encoder)
        self.target_decay = target_decay

    @property
    def _followed(self) -> list[tuple[Model, Model]]:
        """(averaged network, trained network)."""
        return [
            (self.target_encoder, self.encoder),
            (self.target_head, self.projection_head),
        ]

    def describe(self, batch_size: int, loss_name: str = "") -> dict[str, str]:
        growing = ", growing to 1" if self.decay_grows else ""
        text = f"by an averaged network, decay {self.target_decay:g}{growing}"
        described = super().describe(batch_size, loss_name)
        return {"method": type(self).__name__, **described, "targets": text}

    def targets(self, views: Views) -> tuple[Tensor, Tensor]:
        """The normalised projections of both views by the target, float32 (batch, dim) each."""
        features = self.encode_target(views.example, training=True)
        targets = in_order(self.target_head(features, training=True))[-1]
        first, second = tf.split(normalize(tf.stop_gradient(targets)), 2)
        return first, second

    def after_update(self, step: Tensor) -> None:
        """The target follows the trained networks."""
        share = 1.0 - self.target_decay
        if self.decay_grows:
            progress = tf.cast(self.progress(step), tf.float32)
            share *= (1.0 + tf.cos(math.pi * progress)) / 2.0
        for target, trained in self._followed:
            for average, variable in zip(target.variables, trained.variables, strict=True):
                old = tf.convert_to_tensor(average)
                average.assign(old + tf.cast(share, old.dtype) * (variable - old))


def build_predictor(head: Model, hidden_dim: int, policy: Any = "float32") -> Model:
    """Dense without bias, batch norm, ReLU, dense: from projections to projections.

    Args:
        head: the projection head.
        hidden_dim: width of the hidden layer.
        policy: precision policy of the layers.
    """
    dim = int(in_order(head.output)[-1].shape[-1])
    projections = keras.Input((dim,), name="projections", dtype="float32")
    x = keras.layers.Dense(hidden_dim, use_bias=False, dtype=policy)(projections)
    x = keras.layers.ReLU(dtype=policy)(build_batch_norm(dtype=policy)(x))
    return keras.Model(projections, keras.layers.Dense(dim, dtype="float32")(x), name="predictor")


class BYOL(MomentumLearner):
    """Bootstrap your own latent: predict the averaged network's projection of the other view.

        loss = mean over both views of ||p / |p| - t' / |t'|||^2 = 2 - 2 cos(p, t')

    with predictions p of the trained networks and targets t' of the other view. d grows from
    `target_decay` to 1. No negatives. Grill et al. 2020 (arXiv 2006.07733), eq. 2 and section 3.2;
    google-deepmind/deepmind-research, byol (d starts at 0.996 there, for a thousand epochs). The
    authors add the two directions; this is their mean.

    Chen, Luo and Li report that it suffers from easy features as SimCLR does. As a remedy it need
    not know which features are easy; it costs a second forward pass and a second set of weights.

    Args:
        *networks: encoder, projection head and probe, see `MomentumLearner`.
        predictor: from projections to predictions, see `build_predictor`.
        **arguments: see `MomentumLearner`.
    """

    decay_grows = True

    def __init__(self, *networks: Any, predictor: Model, **arguments: Any):
        super().__init__(*networks, **arguments)
        self.predictor = predictor

    @property
    def parts(self) -> list[Model]:
        return [*super().parts, self.predictor]

    def outputs(self, features: Tensor) -> Tensor:
        """The predictions."""
        return tf.cast(self.predictor(super().outputs(features), training=True), tf.float32)

    def objective(self, outputs: Tensor, views: Views) -> dict[str, Tensor]:
        first, second = self.targets(views)
        others = tf.concat([second, first], axis=0)
        return {"loss": tf.reduce_mean(2.0 - 2.0 * tf.reduce_sum(normalize(outputs) * others, 1))}


class MoCo(MomentumLearner):
    """Momentum contrast: the negatives are a queue of the averaged network's projections.

        loss = mean over both views of [ -q . k'/t + log( exp(q . k'/t) + sum_j exp(q . n_j/t) ) ]

    with normalised projections q of the trained networks, k' the target of the other view, and n_j
    the queue: the targets of the last steps. The number of negatives does not depend on the batch.
    After each step the targets of both views enter the queue, and the oldest leave it. It begins
    with random points on the sphere.

    He et al. 2020 (arXiv 1911.05722), eq. 1 and algorithm 1, with the head and the temperature 0.2
    of version 2 (arXiv 2003.04297). Departure: they take the first views as queries and the second
    ones as keys; this is the mean over both directions.

    As a remedy it need not know which features are easy: with a long queue an anchor has more
    negatives that share the easy ones. It costs a second forward pass.

    Args:
        *networks: encoder, projection head and probe, see `MomentumLearner`.
        queue_size: length of the queue; of a step that brings more, the first ones stay.
        queue_temperature: t, above 0.
        **arguments: see `MomentumLearner`.
    """

    def __init__(
        self,
        *networks: Any,
        queue_size: int = 4096,
        queue_temperature: float = 0.2,
        **arguments: Any,
    ):
        measures = ("loss", "contrastive_accuracy")
        super().__init__(*networks, measures=measures, **arguments)
        self.queue_temperature = queue_temperature
        points = np.random.default_rng([self.seed, 5]).normal(
            size=(queue_size, self.projection_dim)
        )
        points /= np.linalg.norm(points, axis=1, keepdims=True)
        self.queue = self.add_weight(
            shape=points.shape, dtype="float32", trainable=False, name="queue"
        )
        self.queue.assign(points.astype(np.float32))

    @property
    def progress_names(self) -> dict[str, str]:
        return super().progress_names | {"contrastive_accuracy": "contrastive"}

    def describe(self, batch_size: int, loss_name: str = "") -> dict[str, str]:
        text = f"{self.queue.shape[0]} projections of earlier steps, at temperature "
        return super().describe(batch_size, loss_name) | {
            "compared with": f"{text}{self.queue_temperature:g}"
        }

    def objective(self, outputs: Tensor, views: Views) -> dict[str, Tensor]:
        first, second = self.targets(views)
        queries = normalize(outputs)
        negatives = tf.convert_to_tensor(self.queue)
        positives = tf.reduce_sum(queries * tf.concat([second, first], axis=0), axis=1)
        logits = tf.concat(
            [positives[:, None], tf.matmul(queries, negatives, transpose_b=True)], axis=1
        )
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
            tf.zeros_like(positives, tf.int32), logits / self.queue_temperature
        )
        entering = tf.concat([gather(first), gather(second)], axis=0)
        self.queue.assign(tf.concat([entering, negatives], axis=0)[: negatives.shape[0]])
        query_1, _ = tf.split(tf.stop_gradient(queries), 2)
        accuracy = metrics.contrastive_accuracy(
            query_1, second, keys_2=gather(second), first_row=views.first_row
        )
        return {"loss": tf.reduce_mean(losses), "contrastive_accuracy": accuracy}
