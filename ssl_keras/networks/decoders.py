"""The decoder of the autoencoder and of the evaluator `decoder`."""

from __future__ import annotations

import math
from typing import Any

from ssl_keras.annotations import Model
from ssl_keras.lazy import keras
from ssl_keras.networks.normalization import build_batch_norm

# Largest side, in pixels, of the feature map that a decoder starts from.
_SMALLEST = 8


def build_decoder(
    input_dim: int, shape: tuple[int, ...], dtype: Any = "float32", smooth: bool = False
) -> Model:
    """A network from features to network inputs.

    For vectors: two times [dense 256 without bias, batch norm, ReLU], dense. For images: a dense
    layer to a feature map of 64 channels, at most eight pixels high and wide; stages that double
    its sides, each followed by batch norm and ReLU, until it covers the image; a 3x3 convolution to
    the channels of the image, cropped to its size. Outputs are not bounded. A stage is

    - a 4x4 transposed convolution of stride 2 with 32, 16, 16, ... channels: cheap, for the long
      training of the autoencoder;
    - or, if `smooth`, nearest upsampling and a 3x3 convolution with 64, 32, 16, 16, ... channels:
      2.5 times slower, without the grain of transposed convolutions after a short training.

    For 28x28 images: 7x7, then 14x14 and 28x28.

    Args:
        input_dim: dimension of the features.
        shape: (height, width, channels), or (dim,).
        dtype: dtype or mixed-precision policy of the layers; the output is float32.
        smooth: the kind of the stages.

    Returns:
        A `keras.Model` from (batch, input_dim) to (batch, *shape).
    """
    layers = keras.layers
    if len(shape) == 1:
        features = keras.Input((input_dim,), name="features", dtype="float32")
        x = features
        for _ in range(2):
            x = layers.Dense(256, use_bias=False, dtype=dtype)(x)
            x = layers.ReLU(dtype=dtype)(build_batch_norm(dtype=dtype)(x))
        return keras.Model(features, layers.Dense(shape[0], dtype="float32")(x), name="decoder")
    height, width, channels = shape
    stages = max(1, math.ceil(math.log2(max(height, width) / _SMALLEST)))
    rows, columns = math.ceil(height / 2**stages), math.ceil(width / 2**stages)
    features = keras.Input((input_dim,), name="features", dtype="float32")
    x = layers.Dense(rows * columns * 64, use_bias=False, dtype=dtype)(features)
    x = build_batch_norm(dtype=dtype)(x)
    x = layers.ReLU(dtype=dtype)(x)
    x = layers.Reshape((rows, columns, 64), dtype=dtype)(x)
    for stage in range(stages):
        common = {"padding": "same", "use_bias": False, "dtype": dtype}
        if smooth:
            x = layers.UpSampling2D(2, dtype=dtype)(x)
            x = layers.Conv2D(max(16, 64 >> stage), 3, **common)(x)
        else:
            x = layers.Conv2DTranspose(max(16, 32 >> stage), 4, strides=2, **common)(x)
        x = build_batch_norm(dtype=dtype)(x)
        x = layers.ReLU(dtype=dtype)(x)
    x = layers.Conv2D(channels, 3, padding="same", dtype="float32")(x)
    margins = ((0, 2**stages * rows - height), (0, 2**stages * columns - width))
    x = layers.Cropping2D(margins, dtype="float32")(x)
    return keras.Model(features, x, name="decoder")
