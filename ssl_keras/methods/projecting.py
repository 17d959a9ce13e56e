"""Base of the methods with a projection head."""

from __future__ import annotations

from ssl_keras.annotations import Model, Tensor
from ssl_keras.lazy import tf
from ssl_keras.methods.learner import Learner
from ssl_keras.networks import in_order


class ProjectingLearner(Learner):
    """A learner whose encoder is followed by a projection head, `trained_head`.

    The layers of the head are evaluated beside the features.
    """

    trained_head: Model

    @property
    def parts(self) -> list[Model]:
        return [self.trained_head]

    @property
    def layer_names(self) -> list[str]:
        return ["features", *self.head_layers]

    @property
    def head_layers(self) -> list[str]:
        """The names of the layers of the projection head; without layers it has none."""
        return [name for name in self.trained_head.output if name != "projection_0"]

    @property
    def projection_dim(self) -> int:
        """Dimension of the projections."""
        return int(in_order(self.trained_head.output)[-1].shape[-1])

    def describe(self, batch_size: int, loss_name: str = "") -> dict[str, str]:
        text = f"{len(self.head_layers)} layers, dimension {self.projection_dim}"
        return {"projections": text}

    def representations(self, inputs: Tensor) -> list[Tensor]:
        """See `Learner.representations`: the features, then each layer of the projection head."""
        features = self.encoder(inputs, training=False)
        outputs = in_order(self.trained_head(features, training=False))
        return [tf.cast(value, tf.float32) for value in (features, *outputs)]

    def outputs(self, features: Tensor) -> Tensor:
        """The projections."""
        projections = in_order(self.trained_head(features, training=True))[-1]
        return tf.cast(projections, tf.float32)
