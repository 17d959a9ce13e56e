"""A contrastive loss, and something else that the same features have to tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ssl_keras.annotations import Model, Tensor
from ssl_keras.datasets import DataSet
from ssl_keras.lazy import tf
from ssl_keras.losses.functional import normalize
from ssl_keras.methods.learner import Views, feature_dim
from ssl_keras.methods.simclr import SimCLR
from ssl_keras.networks import build_decoder

# Training examples that `unexplained_weights` looks at.
_LOOKED_AT = 1000


def unexplained_weights(data: DataSet) -> np.ndarray:
    """Weights of channels that are small where one number an image explains the channel.

        w_c ~ 1 / (variance over images of the mean of channel c), with a mean of 1

    A channel that is constant over each image, such as a bit, is explained by its mean; one whose
    images all have about the same mean is not. Labels are not used. Entries of vectors have equal
    weights.

    Args:
        data: the data set; the first thousand training examples count.

    Returns:
        float32 (channels,).
    """
    channels = data.input_shape[-1]
    if len(data.input_shape) == 1:
        return np.ones(channels, np.float32)
    rows = np.arange(min(_LOOKED_AT, data.train.num_examples))
    inputs = np.concatenate([data.inputs(b).numpy() for b in data.train.batches(500, rows)])
    weights = 1.0 / (inputs.mean(axis=(1, 2)).var(axis=0) + 1e-4)
    return np.asarray(weights / weights.mean(), np.float32)


class Hybrid(SimCLR):
    """SimCLR whose features also have to reconstruct the view.

        loss = contrastive loss + reconstruction_weight * mean_c w_c * (mean squared error of c)

    with channels c of the network input. What the contrastive loss does not need stays in the
    features, because the decoder needs it. After Li et al. 2020, "Information-preserving
    contrastive learning" (arXiv 2012.09962), who inpaint; this reconstructs the encoder's input.

    As a remedy it knows through the weights of the channels alone, see `unexplained_weights`. It
    costs the decoder: with the small convnet four to five times the time of SimCLR.

    Args:
        encoder, projection_head, linear_probe: see `SimCLR`.
        decoder: `keras.Model` from features to network inputs.
        reconstruction_weight: at least 0. Beside ten bits the class was read at .10 with a weight
            of 10, and at .84 with the default, 300, at the cost of bits.
        channel_weights: w, (channels,). Default: 1 each.
        **arguments: see `SimCLR`.
    """

    logged = (*SimCLR.logged, "reconstruction_error")

    def __init__(
        self,
        encoder: Model,
        projection_head: Model | None = None,
        linear_probe: Model | None = None,
        decoder: Model | None = None,
        *,
        reconstruction_weight: float = 300.0,
        channel_weights: Sequence[float] | np.ndarray | None = None,
        **arguments: Any,
    ):
        super().__init__(encoder, projection_head, linear_probe, **arguments)
        if decoder is None:
            decoder = build_decoder(feature_dim(encoder), self.modality.network_shape)
        self.decoder = decoder
        self.reconstruction_weight = reconstruction_weight
        channels = int(self.decoder.output_shape[-1])
        weights = np.ones(channels) if channel_weights is None else np.asarray(channel_weights)
        # A variable: a later run that shares the graph sets its own.
        self.channel_weights = self.add_weight(
            shape=(channels,), dtype="float32", trainable=False, name="channel_weights"
        )
        self.channel_weights.assign(weights.astype(np.float32))

    @property
    def parts(self) -> list[Model]:
        return [*super().parts, self.decoder]

    @property
    def progress_names(self) -> dict[str, str]:
        return super().progress_names | {"reconstruction_error": "error"}

    def describe(self, batch_size: int, loss_name: str = "") -> dict[str, str]:
        shown = ", ".join(f"{weight:.3g}" for weight in self.channel_weights.numpy()[:4])
        more = ", ..." if self.channel_weights.shape[0] > 4 else ""
        text = f"weight {self.reconstruction_weight:g}; channels weighed by {shown}{more}"
        return super().describe(batch_size, loss_name) | {"reconstruction": text}

    def reconstruct(self, inputs: Tensor) -> Tensor:
        """Reconstructions of network inputs, in inference mode; float32."""
        features = self.encoder(inputs, training=False)
        return tf.cast(self.decoder(features, training=False), tf.float32)

    def outputs(self, features: Tensor) -> Any:
        """The projections and the reconstructions."""
        reconstructions = tf.cast(self.decoder(features, training=True), tf.float32)
        return {"projections": super().outputs(features), "reconstructions": reconstructions}

    def objective(self, outputs: Any, views: Views) -> dict[str, Tensor]:
        values = super().objective(outputs["projections"], views)
        inputs = tf.cast(self.modality.compose(views.example), tf.float32)
        squares = tf.square(inputs - outputs["reconstructions"])
        error = tf.reduce_mean(squares * tf.convert_to_tensor(self.channel_weights))
        loss = values["loss"] + self.reconstruction_weight * error
        return values | {"loss": loss, "reconstruction_error": error}


class LatentTargetDecoding(SimCLR):
    """SimCLR whose features also have to tell those of the untrained encoder.

        loss = contrastive loss + decoding_weight * mean(1 - cos(decoder(features), target))

    with target the features that the encoder had before training, of the same view, in inference
    mode. What the untrained encoder holds, which suppression would remove, must stay readable.
    After Bleeker et al. 2022, "Reducing predictive feature suppression in resource-constrained
    contrastive image-caption retrieval" (arXiv 2204.13382), whose targets are of a sentence
    encoder, and who set the weight by a constraint.

    As a remedy it need not know which features are easy; it costs a forward pass of the untrained
    encoder and a small decoder.

    Args:
        encoder, projection_head, linear_probe: see `SimCLR`.
        target_encoder: a network like the encoder; it takes over the encoder's initial weights.
        decoder: `keras.Model` from features to features.
        decoding_weight: at least 0.
        **arguments: see `SimCLR`.
    """

    logged = (*SimCLR.logged, "decoding_error")

    def __init__(
        self,
        *networks: Any,
        target_encoder: Model,
        decoder: Model,
        decoding_weight: float = 1.0,
        **arguments: Any,
    ):
        super().__init__(*networks, **arguments)
        target_encoder.set_weights(self.encoder.get_weights())
        target_encoder.trainable = False
        self.target_encoder, self.decoder = target_encoder, decoder
        self.encode_target = self.modality.encoding(target_encoder)
        self.decoding_weight = decoding_weight

    @property
    def parts(self) -> list[Model]:
        return [*super().parts, self.decoder]

    def describe(self, batch_size: int, loss_name: str = "") -> dict[str, str]:
        text = f"the untrained encoder's features, weight {self.decoding_weight:g}"
        return super().describe(batch_size, loss_name) | {"decoded": text}

    def outputs(self, features: Tensor) -> Any:
        """The projections and the decoded features."""
        decoded = tf.cast(self.decoder(features, training=True), tf.float32)
        return {"projections": super().outputs(features), "decoded": decoded}

    def objective(self, outputs: Any, views: Views) -> dict[str, Tensor]:
        values = super().objective(outputs["projections"], views)
        targets = normalize(self.encode_target(views.example, training=False))
        cosines = tf.reduce_sum(normalize(outputs["decoded"]) * tf.stop_gradient(targets), axis=1)
        error = 1.0 - tf.reduce_mean(cosines)
        loss = values["loss"] + self.decoding_weight * error
        return values | {"loss": loss, "decoding_error": error}
