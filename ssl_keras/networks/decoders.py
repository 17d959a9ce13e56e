"""The decoder of the autoencoder and of the decoder head."""

from __future__ import annotations

import math
from typing import Any

from ssl_keras.lazy import keras


def build_decoder(input_dim: int, shape: tuple[int, int, int], dtype: Any = "float32") -> Any:
    """A network from features to images.

    A dense layer to a quarter of the height and width with 64 channels, then twice [nearest
    upsampling; 3x3 convolution; batch norm; ReLU] with 64 and 32 channels, a 3x3 convolution to the
    channels of the image, cropped to its size. Outputs are not bounded.

    Args:
        input_dim: dimension of the features.
        shape: (height, width, channels) of the images.
        dtype: dtype or mixed-precision policy of the layers; the output is float32.

    Returns:
        A `keras.Model` from (batch, input_dim) to (batch, *shape).
    """
    layers = keras.layers
    height, width, channels = shape
    rows, columns = math.ceil(height / 4), math.ceil(width / 4)
    features = keras.Input((input_dim,), name="features", dtype="float32")
    x = layers.Dense(rows * columns * 64, use_bias=False, dtype=dtype)(features)
    x = layers.BatchNormalization(momentum=0.9, dtype=dtype)(x)
    x = layers.ReLU(dtype=dtype)(x)
    x = layers.Reshape((rows, columns, 64), dtype=dtype)(x)
    for filters in (64, 32):
        x = layers.UpSampling2D(2, dtype=dtype)(x)
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, dtype=dtype)(x)
        x = layers.BatchNormalization(momentum=0.9, dtype=dtype)(x)
        x = layers.ReLU(dtype=dtype)(x)
    x = layers.Conv2D(channels, 3, padding="same", dtype="float32")(x)
    x = layers.Cropping2D(((0, 4 * rows - height), (0, 4 * columns - width)), dtype="float32")(x)
    return keras.Model(features, x, name="decoder")
