"""The autoencoder baseline: the same encoder, views and budget, without any contrast."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from ssl_keras.methods.learner import Learner, Views


class Autoencoder(Learner):
    """An encoder and a decoder that reconstruct the input, extra channels included.

        loss = image_error + extra_channels_weight * extra_channels_error

    each the mean squared error over all entries of its channels: values in [0, 1] for the image,
    0 and their scale for the bits. With `extra_channels_weight` = extra channels / image channels
    every channel weighs alike. What is reconstructed is what the encoder saw: the view, augmented
    if there is an augmentation.

    Args:
        augmenter, encoder: see `Learner`.
        decoder: `keras.Model` from features to (batch, h, w, channels + num_bits).
        linear_probe: see `Learner`.
        image_channels: how many of the first channels are the image; the others are bits.
        extra_channels_weight: at least 0.
        **arguments: see `Learner`.
    """

    def __init__(
        self,
        augmenter: Any,
        encoder: Any,
        decoder: Any,
        linear_probe: Any = None,
        *,
        image_channels: int,
        extra_channels_weight: float,
        **arguments: Any,
    ):
        has_extra_channels = decoder.output_shape[-1] > image_channels
        measures = [
            "loss",
            "image_error",
            *(["extra_channels_error"] if has_extra_channels else []),
        ]
        super().__init__(augmenter, encoder, linear_probe, measures=measures, **arguments)
        self.decoder = decoder
        self.image_channels = image_channels
        self.extra_channels_weight = extra_channels_weight

    @property
    def parts(self) -> list[Any]:
        return [self.decoder]

    def reconstruct(self, images: Any) -> Any:
        """Reconstructions of composed images, in inference mode; float32."""
        features = self.encoder(images, training=False)
        return tf.cast(self.decoder(features, training=False), tf.float32)

    def outputs(self, features: Any) -> Any:
        """The reconstructions."""
        return tf.cast(self.decoder(features, training=True), tf.float32)

    def objective(self, outputs: Any, views: Views) -> dict[str, Any]:
        return self.errors(views.inputs, outputs)

    def errors(self, images: Any, reconstructions: Any) -> dict[str, Any]:
        """The loss and its parts for composed images and their reconstructions."""
        squares = tf.square(tf.cast(images, tf.float32) - reconstructions)
        image_error = tf.reduce_mean(squares[..., : self.image_channels])
        if "extra_channels_error" not in self.trackers:
            return {"loss": image_error, "image_error": image_error}
        extra_channels_error = tf.reduce_mean(squares[..., self.image_channels :])
        return {
            "loss": image_error + self.extra_channels_weight * extra_channels_error,
            "image_error": image_error,
            "extra_channels_error": extra_channels_error,
        }
