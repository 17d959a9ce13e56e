"""The autoencoder baseline: the same encoder, views and budget, without a contrastive loss."""

from __future__ import annotations

from typing import Any

from ssl_keras.annotations import Model, Tensor
from ssl_keras.inputs import Modality, modality_of
from ssl_keras.lazy import tf
from ssl_keras.methods.learner import Learner, Views, feature_dim, network_shape
from ssl_keras.networks import build_decoder


class Autoencoder(Learner):
    """An encoder and a decoder that reconstruct the network input.

        loss = example_error + extra_channels_weight * extra_channels_error

    Each error is the mean squared error over all entries of its channels: values in [0, 1] for the
    picture, 0 and their scale for bits. With `extra_channels_weight` = extra channels / picture
    channels all channels have equal weight. Vectors have no extra channels. The decoder
    reconstructs the input of the encoder, which is the augmented view.

    Args:
        encoder: see `Learner`.
        decoder: `keras.Model` from features to network inputs. Default: see
            `networks.build_decoder`.
        linear_probe: see `Learner`.
        extra_channels_weight: at least 0. Default: extra channels / picture channels.
        num_bits, modality: see `Learner`.
        **arguments: see `Learner`.
    """

    def __init__(
        self,
        encoder: Model,
        decoder: Model | None = None,
        linear_probe: Model | None = None,
        *,
        extra_channels_weight: float | None = None,
        num_bits: int = 0,
        modality: Modality | None = None,
        **arguments: Any,
    ):
        if modality is None:
            modality = modality_of(network_shape(encoder), num_bits)
        if decoder is None:
            decoder = build_decoder(feature_dim(encoder), modality.network_shape)
        main = modality.main_channels
        extra = int(decoder.output_shape[-1]) - main
        measures = ["loss", "example_error", *(["extra_channels_error"] if extra else [])]
        arguments |= {"measures": measures, "num_bits": num_bits, "modality": modality}
        super().__init__(encoder, linear_probe, **arguments)
        self.decoder = decoder
        self.extra_channels_weight = (
            extra / main if extra_channels_weight is None else extra_channels_weight
        )

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
