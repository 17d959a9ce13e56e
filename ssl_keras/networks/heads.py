"""Projection heads and the online linear probe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ssl_keras.annotations import Model, Tensor
from ssl_keras.lazy import keras
from ssl_keras.networks.normalization import build_batch_norm

# Batch norm of a projection head: after every layer (SimCLR v2, the last without beta), after the
# hidden layers only (the RandBit experiment), or nowhere.
BATCH_NORM = ("all", "hidden", "none")


def build_projection_head(
    input_dim: int,
    *,
    num_layers: int,
    hidden_dim: int,
    dim: int,
    batch_norm: str = "hidden",
    dtype: Any = "float32",
) -> Model:
    """The network from features to projections.

    `num_layers` dense layers without bias; batch norm and ReLU follow the hidden layers. With 0
    layers the projections are the features.

    Args:
        input_dim: dimension of the features.
        num_layers: 0, 1 (linear), 2 (one hidden layer), ...
        hidden_dim: width of the hidden layers.
        dim: dimension of the projections.
        batch_norm: one of `BATCH_NORM`.
        dtype: dtype or mixed-precision policy of the layers.

    Returns:
        A `keras.Model` from features (batch, input_dim) to the outputs of all layers after their
        activations: {"projection_1": ..., ...}; see `in_order`. (Not a list: Keras turns a list of
        one output into the output itself.)
    """
    layers = keras.layers
    features = keras.Input((input_dim,), name="features", dtype="float32")
    outputs, x = {}, features
    for index in range(num_layers):
        last = index == num_layers - 1
        x = layers.Dense(dim if last else hidden_dim, use_bias=False, dtype=dtype)(x)
        if batch_norm == "all" or (batch_norm == "hidden" and not last):
            x = build_batch_norm(epsilon=1e-5, center=not last, dtype=dtype)(x)
        if not last:
            x = layers.ReLU(dtype=dtype)(x)
        outputs[f"projection_{index + 1}"] = x
    if not outputs:
        outputs["projection_0"] = layers.Identity(dtype="float32")(features)
    return keras.Model(features, outputs, name="projection_head")


def in_order(outputs: Mapping[str, Any]) -> list[Tensor]:
    """The outputs of a projection head, first layer first; the last are the projections."""
    return [outputs[name] for name in sorted(outputs, key=lambda name: int(name.split("_")[1]))]


def build_backbone(encoder: Model, projection_head: Model | None, layer: str) -> Model:
    """The encoder and the projection head up to a layer, as one network.

    Args:
        encoder: from network inputs to features.
        projection_head: see `build_projection_head`; None for a method without one.
        layer: the last layer: "features" for the encoder alone, or "projection_1", ...

    Returns:
        A `keras.Model` from network inputs to the output of that layer; it shares the variables of
        its parts.
    """
    if layer == "features":
        return encoder
    assert projection_head is not None
    head = keras.Model(projection_head.input, projection_head.output[layer], name=layer)
    inputs = keras.Input(encoder.input_shape[1:], name="inputs", dtype="float32")
    return keras.Model(inputs, head(encoder(inputs)), name="backbone")


def build_stages(encoders: Sequence[Model]) -> Model:
    """Several encoders of one input as one encoder: their features, concatenated.

    All but the last are frozen, batch norm included. The network shares the variables of its parts,
    which are named stage_1, stage_2, ...
    """
    for number, encoder in enumerate(encoders, 1):
        encoder.name = f"stage_{number}"
        encoder.trainable = number == len(encoders)
    inputs = keras.Input(encoders[0].input_shape[1:], name="inputs", dtype="float32")
    join = keras.layers.Concatenate(name="stages", dtype=encoders[-1].dtype_policy)
    return keras.Model(inputs, join([encoder(inputs) for encoder in encoders]), name="encoder")


def build_stage_head(encoder: Model, head: Model) -> Model:
    """The projection head of the last stage as one of all stages' features, see `build_stages`."""
    features = keras.Input(encoder.output_shape[1:], name="features", dtype="float32")
    last = features[:, -int(head.input_shape[-1]) :]
    return keras.Model(features, head(last), name="projection_head")


def build_linear_probe(
    input_dim: int, num_outputs: Mapping[str, int], initializer: Any = "glorot_uniform"
) -> Model:
    """One linear classifier for each target, in float32.

    Args:
        input_dim: dimension of the features.
        num_outputs: target name -> number of classes or bits.
        initializer: initializer of the kernels; biases are 0.

    Returns:
        A `keras.Model` from features to {target name: logits}.
    """
    features = keras.Input((input_dim,), name="features", dtype="float32")
    logits = {
        name: keras.layers.Dense(size, kernel_initializer=initializer, dtype="float32", name=name)(
            features
        )
        for name, size in num_outputs.items()
    }
    return keras.Model(features, logits, name="linear_probe")
