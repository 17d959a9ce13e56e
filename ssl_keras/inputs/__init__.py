"""Modalities: what an example is made of, images, vectors or tokens."""

from __future__ import annotations

import numpy as np

from ssl_keras.errors import UserError
from ssl_keras.inputs.base import Example, Modality
from ssl_keras.inputs.images import Images, preset_for
from ssl_keras.inputs.tokens import Tokens
from ssl_keras.inputs.vectors import Vectors

__all__ = ["PRESETS", "Example", "Images", "Modality", "Tokens", "Vectors", "modality_of"]

# The presets of `--augmentation` of all modalities.
PRESETS = tuple(dict.fromkeys([*Images.presets, *Vectors.presets, *Tokens.presets]))


def modality_of(shape: tuple[int | None, ...], num_bits: int = 0) -> Modality:
    """The modality of the examples that a network takes.

    Args:
        shape: shape of the network's input without batch axis: (height, width, channels) of
            images, or (dim,) of vectors, which are not standardised.
        num_bits: number of the last channels that are bits.

    Raises:
        UserError: another shape, or fewer channels than bits and one more.
    """
    if None in shape or len(shape) not in (1, 3):
        raise UserError(
            f"The encoder takes inputs of the shape {shape}; (height, width, channels) or (dim,), "
            "all known, are needed."
        )
    sides = tuple(side for side in shape if side is not None)
    if len(sides) == 1:
        if num_bits:
            raise UserError("num_bits is about images, and the encoder takes vectors.")
        return Vectors(np.zeros(sides, np.float32), np.ones(sides, np.float32))
    height, width, channels = sides
    if not 0 <= num_bits < channels:
        raise UserError(
            f"num_bits is {num_bits}, but the encoder takes {channels} channels, the picture "
            "included."
        )
    image_shape = (height, width, channels - num_bits)
    picture = 3 if image_shape[2] >= 3 else 1
    return Images(image_shape, picture, num_bits, augmentation=preset_for(image_shape))
