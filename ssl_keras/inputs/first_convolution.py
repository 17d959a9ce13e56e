"""Encodes images and bits without writing the bits into every pixel."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from ssl_keras.inputs.images import compose_images
from ssl_keras.lazy import keras, tf


def encoding(encoder: Any) -> Callable[..., Any]:
    """The features of images and bits, as a function of both.

    A bit channel is constant over space. So a first convolution w without padding adds the same
    term at every location:

        w * compose_images(images, bits) = w_images * images + bits @ (sum of w_bits over the
        window)

    This is a small matrix product instead of a convolution over one channel for each bit. If the
    encoder begins with another layer, or branches, the images are composed with the bits. Both give
    the same features up to rounding.

    Args:
        encoder: `keras.Model` from composed images (batch, h, w, channels + num_bits).

    Returns:
        function(images, bits=None, *, training=False) of images (batch, h, w, channels), float in
        [0, 1], and bits (batch, num_bits) or None.
    """

    def composed(images: Any, bits: Any = None, *, training: bool = False) -> Any:
        return encoder(compose_images(images, bits), training=training)

    if not _begins_unpadded(encoder):
        return composed
    first = encoder.layers[1]
    others = keras.Model(first.output, encoder.output, name="after_bits")

    def separate(images: Any, bits: Any = None, *, training: bool = False) -> Any:
        if bits is None:
            return composed(images, training=training)
        dtype = first.compute_dtype
        kernel = tf.convert_to_tensor(first.kernel)
        channels = images.shape[-1]
        x = tf.nn.conv2d(
            tf.cast(images, dtype),
            tf.cast(kernel[:, :, :channels], dtype),
            strides=first.strides,
            padding="VALID",
        )
        window_sums = tf.reduce_sum(kernel[:, :, channels:], axis=(0, 1))
        bits_term = tf.matmul(tf.cast(bits, kernel.dtype), window_sums)
        return others(x + tf.cast(bits_term, dtype)[:, None, None, :], training=training)

    return separate


def _begins_unpadded(encoder: Any) -> bool:
    """Whether the encoder is a chain of layers that begins with a convolution without padding."""
    layers = getattr(encoder, "layers", [])
    if len(layers) < 2 or not isinstance(layers[0], keras.layers.InputLayer):
        return False
    first = layers[1]
    return (
        type(first) is keras.layers.Conv2D
        and first.padding == "valid"
        and first.data_format == "channels_last"
        and first.groups == 1
        and set(first.dilation_rate) == {1}
        and not first.use_bias
        and first.activation is keras.activations.linear
        and encoder.output is layers[-1].output
        and all(after.input is before.output for before, after in itertools.pairwise(layers))
    )
