"""Putting images and bits together: the encoder's input."""

from __future__ import annotations

from typing import Any

import numpy as np

from ssl_keras.lazy import tf


def to_float(images: Any) -> Any:
    """uint8 images as float32 in [0, 1]; float images as they are."""
    images = tf.convert_to_tensor(images)
    return tf.cast(images, tf.float32) / 255.0 if images.dtype == tf.uint8 else images


def compose_images(images: Any, bits: Any = None, size: tuple[int, int] | None = None) -> Any:
    """The encoder's input: images, and one channel for each plane, constant over space.

    Args:
        images: (batch, height, width, channels), uint8 or float in [0, 1].
        bits: (batch, num_bits) values, or None.
        size: (height, width) to scale images to, bilinear with antialiasing; None: as they are.

    Returns:
        float32 (batch, height, width, channels + num_bits).
    """
    images = to_float(images)
    if size is not None and tuple(images.shape[1:3]) != tuple(size):
        images = tf.clip_by_value(tf.image.resize(images, size, antialias=True), 0.0, 1.0)
    if bits is None:
        return images
    shape = tf.shape(images)
    bits = tf.cast(bits, images.dtype)
    spread = tf.broadcast_to(bits[:, None, None, :], [shape[0], shape[1], shape[2], bits.shape[-1]])
    return tf.concat([images, spread], axis=-1)


def nearest_pixels(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps (count, height, width) scaled to (height, width): the pixel at each new one's centre."""
    rows, columns = (
        ((np.arange(wanted) + 0.5) * given / wanted).astype(np.int64)
        for wanted, given in zip(size, maps.shape[1:], strict=True)
    )
    return maps[:, rows[:, None], columns]
