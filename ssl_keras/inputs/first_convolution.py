"""Images and bits into an encoder without writing the bits into every pixel."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from ssl_keras.inputs.images import compose_images


def encoding(encoder: Any) -> Callable[..., Any]:
    """The features of composed images as a function of images and bits, without composing them.

    A plane is constant over space, so a first convolution w that pads nothing sees the same of it
    everywhere: at each location its share is plane * (sum of w over the window). So

        w * compose_images(images, bits) = w_images * images + bits @ (sum over the window of
        w_bits),

    a small matrix product in place of a convolution of as many channels as there are bits. Where
    the encoder begins with another layer, or branches, images are composed. Both are equal up to
    rounding.

    Args:
        encoder: `keras.Model` from composed images (batch, h, w, channels + num_bits).

    Returns:
        function(images, bits=None, *, training=False): images (batch, h, w, channels), float in
        [0, 1]; bits (batch, num_bits) values, or None.
    """

    def composed(images: Any, bits: Any = None, *, training: bool = False) -> Any:
        return encoder(compose_images(images, bits), training=training)

    if not _begins_unpadded(encoder):
        return composed
    first = encoder.layers[1]
    others = keras.Model(first.output, encoder.output, name="after_bits")

    def apart(images: Any, bits: Any = None, *, training: bool = False) -> Any:
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
        of_window = tf.reduce_sum(kernel[:, :, channels:], axis=(0, 1))
        bits_term = tf.matmul(tf.cast(bits, kernel.dtype), of_window)
        return others(x + tf.cast(bits_term, dtype)[:, None, None, :], training=training)

    return apart


def _begins_unpadded(encoder: Any) -> bool:
    """Whether it is a chain of layers, the first a plain convolution that pads nothing."""
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
