"""SimCLR with any loss of `ssl_keras.losses`."""

from __future__ import annotations

from typing import Any

from ssl_keras import metrics
from ssl_keras.annotations import Model, Tensor
from ssl_keras.inputs import Example
from ssl_keras.lazy import tf
from ssl_keras.losses.base import gather
from ssl_keras.methods.learner import Learner, Views
from ssl_keras.networks import in_order
from ssl_keras.networks.dropout import dropout_keys
from ssl_keras.options import plain


class SimCLR(Learner):
    """Two views of each example, encoded, projected, and compared by a contrastive loss.

        features --> projection_head --> projections --> contrastive loss

    Compile it with a loss, see `Learner.compile`.

    Args:
        augmenter, encoder: see `Learner`.
        projection_head: see `networks.build_projection_head`.
        linear_probe: see `Learner`.
        **arguments: see `Learner`.
    """

    def __init__(
        self,
        augmenter: Any,
        encoder: Model,
        projection_head: Model,
        linear_probe: Model = None,
        **arguments: Any,
    ):
        measures = ("loss", "alignment", "distribution", "contrastive_accuracy")
        super().__init__(augmenter, encoder, linear_probe, measures=measures, **arguments)
        self.projection_head = projection_head

    @property
    def parts(self) -> list[Model]:
        return [self.projection_head]

    @property
    def layer_names(self) -> list[str]:
        return ["features", *(n for n in self.projection_head.output if n != "projection_0")]

    @property
    def projection_dim(self) -> int:
        """Dimension of the projections."""
        return int(in_order(self.projection_head.output)[-1].shape[-1])

    @property
    def progress_names(self) -> dict[str, str]:
        parts = {"alignment": "align", "distribution": "distr"}
        return super().progress_names | {"contrastive_accuracy": "contrastive"} | parts

    def describe(self, batch_size: int, loss_name: str = "") -> dict[str, str]:
        loss, dim = self.contrastive_loss, self.projection_dim
        collapse = loss.at(0.0).collapse_value(batch_size, dim)
        values = {name: value for name, value in loss.options().items() if value is not None}
        options = ", ".join(f"{name}={plain(value)}" for name, value in values.items())
        return {
            "projections": f"{len(self.layer_names) - 1} layers, dimension {dim}",
            "loss": f"{loss_name} ({options or 'no options'}); {collapse:.4g} if all projections "
            "were equal",
            "compared with": loss.compared_with(batch_size),
        }

    def representations(self, inputs: Tensor) -> list[Tensor]:
        """See `Learner.representations`: the features, then each layer of the projection head."""
        features = self.encoder(inputs, training=False)
        outputs = in_order(self.projection_head(features, training=False))
        return [tf.cast(value, tf.float32) for value in (features, *outputs)]

    def outputs(self, features: Tensor) -> Tensor:
        """The projections."""
        projections = in_order(self.projection_head(features, training=True))[-1]
        return tf.cast(projections, tf.float32)

    def objective(self, outputs: Tensor, views: Views) -> dict[str, Tensor]:
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


class TwoTowers(SimCLR):
    """SimCLR with a separate encoder and projection head for the second views.

        first view  --> encoder         --> projection_head         --> projections_1
        second view --> partner_encoder --> partner_projection_head --> projections_2

    For pairs of two different kinds. The encoder of the first views is evaluated and exported.

    Args:
        partner_encoder, partner_projection_head: see `SimCLR`.
        **arguments: see `SimCLR`.
    """

    def __init__(
        self, *parts: Any, partner_encoder: Model, partner_projection_head: Model, **arguments: Any
    ):
        super().__init__(*parts, **arguments)
        self.partner_encoder = partner_encoder
        self.partner_projection_head = partner_projection_head
        self.encode_partner = self.modality.encoding(partner_encoder)

    @property
    def parts(self) -> list[Model]:
        return [self.projection_head, self.partner_encoder, self.partner_projection_head]

    def features(self, example: Example, keys: Tensor) -> Tensor:
        halves = tf.nest.map_structure(lambda rows: tf.split(rows, 2), example)
        features = []
        for k, encode in enumerate((self.encode, self.encode_partner)):
            with dropout_keys(tf.split(keys, 2)[k]):
                half = {name: rows[k] for name, rows in halves.items()}
                features.append(encode(half, training=True))
        return tf.concat(features, axis=0)

    def outputs(self, features: Tensor) -> Tensor:
        """The projections of both towers."""
        heads = (self.projection_head, self.partner_projection_head)
        outputs = [
            in_order(head(half, training=True))[-1]
            for head, half in zip(heads, tf.split(features, 2), strict=True)
        ]
        return tf.cast(tf.concat(outputs, axis=0), tf.float32)
