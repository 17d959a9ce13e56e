"""Modalities: what an example is made of, images or vectors."""

from __future__ import annotations

from ssl_keras.inputs.base import Example, Modality
from ssl_keras.inputs.images import Images
from ssl_keras.inputs.vectors import Vectors

__all__ = ["PRESETS", "Example", "Images", "Modality", "Vectors"]

# The presets of `--augmentation` of all modalities.
PRESETS = tuple(dict.fromkeys([*Images.presets, *Vectors.presets]))
