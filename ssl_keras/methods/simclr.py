"""SimCLR with any loss of `ssl_keras.losses`, and a linear probe for each competing feature."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ssl_keras import metrics
from ssl_keras.losses.base import gather
from ssl_keras.methods.learner import Learner, Views
from ssl_keras.networks import in_order


class SimCLR(Learner):
    """Two views of each image, encoded, projected, and compared by a contrastive loss.

        features --> projection_head --> projections --> contrastive loss

    Compile it with a loss, see `Learner.compile`.

    Args:
        augmenter, encoder: see `Learner`.
        projection_head: `keras.Model` from features to the outputs of its layers, see
            `networks.build_projection_head`.
        linear_probe: see `Learner`.
        **arguments: see `Learner`.
    """

    def __init__(
        self,
        augmenter: Any,
        encoder: Any,
        projection_head: Any,
        linear_probe: Any = None,
        **arguments: Any,
    ):
        measures = ("loss", "alignment", "distribution", "contrastive_accuracy")
        super().__init__(augmenter, encoder, linear_probe, measures=measures, **arguments)
        self.projection_head = projection_head

    @property
    def parts(self) -> list[Any]:
        return [self.projection_head]

    def representations(self, images: Any) -> list[Any]:
        """Features at every layer, in inference mode: encoder output, then each head layer.

        Args:
            images: composed images.

        Returns:
            float32 tensors (batch, dim).
        """
        features = self.encoder(images, training=False)
        outputs = in_order(self.projection_head(features, training=False))
        return [tf.cast(value, tf.float32) for value in (features, *outputs)]

    def outputs(self, features: Any) -> Any:
        """The projections."""
        projections = in_order(self.projection_head(features, training=True))[-1]
        return tf.cast(projections, tf.float32)

    def objective(self, outputs: Any, views: Views) -> dict[str, Any]:
        projections_1, projections_2 = tf.split(outputs, 2)
        values = self.contrastive_loss.parts(
            projections_1,
            projections_2,
            views.labels,
            views.seed,
            self.progress(views.step),
            self.loss_impl,
        )
        values["contrastive_accuracy"] = metrics.contrastive_accuracy(
            tf.stop_gradient(projections_1),
            tf.stop_gradient(projections_2),
            keys_2=gather(tf.stop_gradient(projections_2)),
            first_row=views.first_row,
        )
        return values
