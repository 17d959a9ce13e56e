"""The autoencoder baseline: the same encoder, views and budget, without a contrastive loss."""

from __future__ import annotations

from typing import Any

from ssl_keras.annotations import Model, Tensor
from ssl_keras.lazy import tf
from ssl_keras.methods.learner import Learner, Views


class Autoencoder(Learner):
    """An encoder and a decoder that reconstruct the network input.

        loss = example_error + extra_channels_weight * extra_channels_error

    Each error is the mean squared error over all entries of its channels: values in [0, 1] for the
    picture, 0 and their scale for bits. With `extra_channels_weight` = extra channels / picture
    channels all channels have equal weight. Vectors have no extra channels. The decoder
    reconstructs the input of the encoder, which is the augmented view.

    Args:
        augmenter, encoder: see `Learner`.
        decoder: `keras.Model` from features to network inputs.
        linear_probe: see `Learner`.
        extra_channels_weight: at least 0.
        **arguments: see `Learner`.
    """

    def __init__(
        self,
        augmenter: Any,
        encoder: Model,
        decoder: Model,
        linear_probe: Model = None,
        *,
        extra_channels_weight: float = 1.0,
        **arguments: Any,
    ):
        has_extra = decoder.output_shape[-1] > arguments["modality"].main_channels
        measures = ["loss", "example_error", *(["extra_channels_error"] if has_extra else [])]
        super().__init__(augmenter, encoder, linear_probe, measures=measures, **arguments)
        self.decoder = decoder
        self.extra_channels_weight = extra_channels_weight

    @property
    def progress_names(self) -> dict[str, str]:
        names = {"loss": "loss", "example_error": "error", "extra_channels_error": "extra"}
        return super().progress_names | names

    def describe(self, batch_size: int, loss_name: str = "") -> dict[str, str]:
        text = f"autoencoder: mean squared error of the {self.modality.name}"
        if "extra_channels_error" in self.trackers:
            text += f" + {self.extra_channels_weight:g} * that of the extra channels"
        return {"method": text, "decoder": f"{self.decoder.count_params():,} parameters"}

    @property
    def parts(self) -> list[Model]:
        return [self.decoder]

    def reconstruct(self, inputs: Tensor) -> Tensor:
        """Reconstructions of network inputs, in inference mode; float32."""
        features = self.encoder(inputs, training=False)
        return tf.cast(self.decoder(features, training=False), tf.float32)

    def outputs(self, features: Tensor) -> Tensor:
        """The reconstructions."""
        return tf.cast(self.decoder(features, training=True), tf.float32)

    def objective(self, outputs: Tensor, views: Views) -> dict[str, Tensor]:
        return self.errors(self.modality.compose(views.example), outputs)

    def errors(self, inputs: Tensor, reconstructions: Tensor) -> dict[str, Tensor]:
        """The loss and its parts for network inputs and their reconstructions."""
        squares = tf.square(tf.cast(inputs, tf.float32) - reconstructions)
        example_error = tf.reduce_mean(squares[..., : self.modality.main_channels])
        if "extra_channels_error" not in self.trackers:
            return {"loss": example_error, "example_error": example_error}
        extra_channels_error = tf.reduce_mean(squares[..., self.modality.main_channels :])
        return {
            "loss": example_error + self.extra_channels_weight * extra_channels_error,
            "example_error": example_error,
            "extra_channels_error": extra_channels_error,
        }
