"""SimCLR with any loss of `ssl_keras.losses`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ssl_keras import metrics
from ssl_keras.annotations import Model, Tensor
from ssl_keras.inputs import Example
from ssl_keras.lazy import tf
from ssl_keras.losses.base import gather
from ssl_keras.methods import options
from ssl_keras.methods.learner import Views, feature_dim
from ssl_keras.methods.projecting import ProjectingLearner
from ssl_keras.networks import build_stage_head, build_stages, in_order
from ssl_keras.networks.dropout import dropout_keys
from ssl_keras.options import plain


def default_head(encoder: Model) -> Model:
    """The projection head that the options of `--method=simclr` give by default."""
    return options.SimCLR().build_head(feature_dim(encoder))


class SimCLR(ProjectingLearner):
    """Two views of each example, encoded, projected, and compared by a contrastive loss.

        features --> projection_head --> projections --> contrastive loss

        model = SimCLR(encoder, num_classes=10)
        model.compile()                      # NT-Xent and Adam, or compile(optimizer, loss)
        model.fit(batches, epochs=10)        # batches of (images, classes), see `Learner`
        features = model.predict(images)

    `fit` logs the loss, its two terms, the share of views that find their partner, and the accuracy
    of a linear probe that learns beside the encoder and does not change it.

    Args:
        encoder: see `Learner`.
        projection_head: see `networks.build_projection_head`. Default: two layers, of 256 and 64
            units, batch norm between them.
        linear_probe: see `Learner`.
        earlier: encoders of earlier stages, like `encoder`, which are not trained. The attribute
            `encoder` is then all stages, whose features are concatenated, those of the last stage
            at the end; the projection head and the probe read the last stage.
        **arguments: see `Learner`.
    """

    # The values of `objective`.
    logged: tuple[str, ...] = ("loss", "alignment", "distribution", "contrastive_accuracy")

    def __init__(
        self,
        encoder: Model,
        projection_head: Model | None = None,
        linear_probe: Model | None = None,
        *,
        earlier: Sequence[Model] = (),
        **arguments: Any,
    ):
        head = default_head(encoder) if projection_head is None else projection_head
        whole = build_stages([*earlier, encoder]) if earlier else encoder
        super().__init__(
            whole, linear_probe, measures=self.logged, trained_encoder=encoder, **arguments
        )
        self.stages = [*earlier, encoder]
        self.trained_head = head
        self.projection_head = build_stage_head(whole, head) if earlier else head

    def compile(
        self,
        optimizer: Any = None,
        loss: Any = "nt_xent",
        probe_optimizer: Any = None,
        **arguments: Any,
    ) -> None:
        """See `Learner.compile`; the default loss is NT-Xent."""
        super().compile(optimizer, loss, probe_optimizer, **arguments)

    @property
    def layer_names(self) -> list[str]:
        count = len(self.stages)
        stages = [f"stage_{k + 1}" for k in range(count)] if count > 1 else []
        return ["features", *stages, *self.head_layers]

    @property
    def probed_layer(self) -> str:
        return "features" if len(self.stages) == 1 else f"stage_{len(self.stages)}"

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
            **super().describe(batch_size),
            "loss": f"{loss_name} ({options or 'no options'}); {collapse:.4g} if all projections "
            "were equal",
            "compared with": loss.compared_with(batch_size),
        }

    def representations(self, inputs: Tensor) -> list[Tensor]:
        """See `Learner.representations`: the features, those of each stage if there are several,
        then each layer of the projection head."""
        features = self.encoder(inputs, training=False)
        stages = tf.split(features, [feature_dim(stage) for stage in self.stages], axis=1)
        outputs = in_order(self.trained_head(stages[-1], training=False))
        values = (features, *(stages if len(stages) > 1 else ()), *outputs)
        return [tf.cast(value, tf.float32) for value in values]

    def objective(self, outputs: Tensor, views: Views) -> dict[str, Tensor]:
        projections_1, projections_2 = tf.split(outputs, 2)
        values = self.loss_with_variables.parts(
            projections_1,
            projections_2,
            views.labels,
            views.seed,
            self.progress(views.step),
            self.loss_impl,
        )
        views_1, views_2 = tf.stop_gradient(projections_1), tf.stop_gradient(projections_2)
        rows = views_1.shape[0]
        batch = rows and rows * self._replicas
        compared = batch and self.contrastive_loss.compared_rows(batch)
        if compared != batch:
            accuracy = metrics.grouped_accuracy(views_1, views_2, math.gcd(compared, rows))
        else:
            accuracy = metrics.contrastive_accuracy(
                views_1, views_2, keys_2=gather(views_2), first_row=views.first_row
            )
        values["contrastive_accuracy"] = accuracy
        return values


class TwoTowers(SimCLR):
    """SimCLR with a separate encoder and projection head for the second views.

        first view  --> encoder         --> projection_head         --> projections_1
        second view --> partner_encoder --> partner_projection_head --> projections_2

    For pairs of two different kinds. The encoder of the first views is evaluated and exported.

    Args:
        *parts: encoder, projection head and probe of the first views, see `SimCLR`.
        partner_encoder, partner_projection_head: those of the second views, see `SimCLR`.
        **arguments: see `SimCLR`; for pairs that the data give, an `augmenter` that takes them.
    """

    def __init__(
        self,
        *parts: Any,
        partner_encoder: Model,
        partner_projection_head: Model | None = None,
        **arguments: Any,
    ):
        super().__init__(*parts, **arguments)
        self.partner_encoder = partner_encoder
        self.partner_projection_head = partner_projection_head or default_head(partner_encoder)
        self.encode_partner = self.modality.encoding(partner_encoder)

    @property
    def parts(self) -> list[Model]:
        return [self.trained_head, self.partner_encoder, self.partner_projection_head]

    def partner_representations(self, inputs: Tensor) -> list[Tensor]:
        """`representations` of second views, by the partner's encoder and projection head."""
        features = self.partner_encoder(inputs, training=False)
        outputs = in_order(self.partner_projection_head(features, training=False))
        return [tf.cast(value, tf.float32) for value in (features, *outputs)]

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
        heads = (self.trained_head, self.partner_projection_head)
        outputs = [
            in_order(head(half, training=True))[-1]
            for head, half in zip(heads, tf.split(features, 2), strict=True)
        ]
        return tf.cast(tf.concat(outputs, axis=0), tf.float32)
