"""Decodes image files to uint8 images of one size, with Pillow."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

# Errors that Pillow raises for damaged images and for files that are not images.
BAD_IMAGE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
EXTENSIONS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
RESIZE = ("squash", "crop")


def decode(encoded: bytes, image_shape: tuple[int, int, int], resize: str = "squash") -> np.ndarray:
    """Decode an image (JPEG, PNG, BMP, WebP, ...) and scale it, bilinear with antialiasing.

    A JPEG much larger than the result is decoded at a reduced size.

    Args:
        encoded: the bytes of the file.
        image_shape: (height, width, channels) of the result; channels 1 (grey) or 3 (RGB).
        resize: "squash" scales the whole image and may change its aspect ratio; "crop" takes the
            largest centred part with the aspect ratio of the result.

    Returns:
        uint8 of `image_shape`.

    Raises:
        One of `BAD_IMAGE`: not an image, or a damaged one.
    """
    height, width, channels = image_shape
    mode = "L" if channels == 1 else "RGB"
    with Image.open(io.BytesIO(encoded)) as image:
        image.draft(mode, (2 * width, 2 * height))
        wide, tall = image.size
        box = (0.0, 0.0, float(wide), float(tall))
        if resize == "crop":
            scale = min(wide / width, tall / height)
            left, top = (wide - width * scale) / 2, (tall - height * scale) / 2
            box = (left, top, left + width * scale, top + height * scale)
        if image.mode in ("F", "CMYK;16"):
            raise ValueError(f"images of the mode {image.mode} are not supported")
        if image.mode.startswith("I"):
            # 16 bits per pixel: Pillow's conversion would clip them instead of scaling.
            deep = np.clip(np.asarray(image, np.float64) / 257.0, 0, 255)
            image = Image.fromarray(np.round(deep).astype(np.uint8))  # type: ignore[assignment]
        converted = image.convert(mode)
        if box != (0.0, 0.0, float(width), float(height)):
            converted = converted.resize((width, height), Image.Resampling.BILINEAR, box=box)
        return np.asarray(converted, np.uint8).reshape(image_shape)


def probe(path: str) -> tuple[tuple[int, int], int]:
    """((height, width), channels 1 or 3) of an image file, read from its header.

    Raises:
        One of `BAD_IMAGE`: not an image.
    """
    with Image.open(path) as image:
        wide, tall = image.size
        return (tall, wide), 1 if image.mode in ("1", "L", "I;16", "I;16B", "I", "F") else 3
