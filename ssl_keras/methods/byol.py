"""BYOL: a view predicts what an averaged network makes of the other view. No negatives."""

from __future__ import annotations

import math
from typing import Any

from ssl_keras.annotations import Model, Tensor
from ssl_keras.lazy import keras, tf
from ssl_keras.losses.functional import normalize
from ssl_keras.methods.learner import Learner, Views
from ssl_keras.networks import in_order
from ssl_keras.networks.normalization import build_batch_norm


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


class BYOL(Learner):
    """Bootstrap your own latent: predict the averaged network's projection of the other view.

        features --> projection_head --> predictor --> predictions p
        target_encoder --> target_head --> targets t (without gradient)

        loss = mean over both views of ||p / |p| - t' / |t'|||^2 = 2 - 2 cos(p, t')

    with t' the target of the other view. After each step the target's variables follow:

        target <- d * target + (1 - d) * trained,   d = 1 - (1 - target_decay) (1 + cos(pi p)) / 2

    with p the progress of the training. Grill et al. 2020 (arXiv 2006.07733), eq. 2 and section
    3.2; google-deepmind/deepmind-research, byol (d starts at 0.996 there, for a thousand epochs).
    The target starts with the weights of the trained networks, and normalises by the statistics of
    its batch. The authors add the two directions; this is their mean.

    Chen, Luo and Li report that it suffers from easy features as SimCLR does. As a remedy it need
    not know which features are easy; it costs a second forward pass and a second set of weights.

    Args:
        encoder, linear_probe: see `Learner`.
        projection_head: see `networks.build_projection_head`.
        predictor: from projections to predictions, see `build_predictor`.
        target_encoder, target_head: networks like the encoder and the projection head.
        target_decay: d at the start, in [0, 1).
        **arguments: see `Learner`.
    """

    def __init__(
        self,
        encoder: Model,
        projection_head: Model,
        linear_probe: Model | None = None,
        *,
        predictor: Model,
        target_encoder: Model,
        target_head: Model,
        target_decay: float = 0.99,
        **arguments: Any,
    ):
        super().__init__(encoder, linear_probe, **arguments)
        self.projection_head, self.predictor = projection_head, predictor
        self.target_encoder, self.target_head = target_encoder, target_head
        for target, trained in self._followed:
            target.trainable = False
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

    @property
    def parts(self) -> list[Model]:
        return [self.projection_head, self.predictor]

    @property
    def layer_names(self) -> list[str]:
        return ["features", *(n for n in self.projection_head.output if n != "projection_0")]

    @property
    def projection_dim(self) -> int:
        """Dimension of the projections."""
        return int(in_order(self.projection_head.output)[-1].shape[-1])

    def describe(self, batch_size: int, loss_name: str = "") -> dict[str, str]:
        return {
            "method": f"BYOL: predict the averaged network (decay {self.target_decay:g} to 1)",
            "projections": f"{len(self.layer_names) - 1} layers, dimension {self.projection_dim}",
        }

    def representations(self, inputs: Tensor) -> list[Tensor]:
        """See `Learner.representations`: the features, then each layer of the projection head."""
        features = self.encoder(inputs, training=False)
        outputs = in_order(self.projection_head(features, training=False))
        return [tf.cast(value, tf.float32) for value in (features, *outputs)]

    def outputs(self, features: Tensor) -> Tensor:
        """The predictions."""
        projections = in_order(self.projection_head(features, training=True))[-1]
        return tf.cast(self.predictor(projections, training=True), tf.float32)

    def objective(self, outputs: Tensor, views: Views) -> dict[str, Tensor]:
        features = self.encode_target(views.example, training=True)
        targets = in_order(self.target_head(features, training=True))[-1]
        first, second = tf.split(normalize(tf.stop_gradient(targets)), 2)
        others = tf.concat([second, first], axis=0)
        return {"loss": tf.reduce_mean(2.0 - 2.0 * tf.reduce_sum(normalize(outputs) * others, 1))}

    def after_update(self, step: Tensor) -> None:
        """The target follows the trained networks."""
        progress = tf.cast(self.progress(step), tf.float32)
        share = (1.0 - self.target_decay) * (1.0 + tf.cos(math.pi * progress)) / 2.0
        for target, trained in self._followed:
            for average, variable in zip(target.variables, trained.variables, strict=True):
                old = tf.convert_to_tensor(average)
                average.assign(old + tf.cast(share, old.dtype) * (variable - old))
