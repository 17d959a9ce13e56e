"""Decodes image files to uint8 images of one size, with Pillow."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

# Errors that Pillow raises for damaged images and for files that are not images.
BAD_IMAGE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif"),
)
# No other decoder is ever tried, whatever a file is called: that of PostScript starts a program.
FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "GIF")
RESIZE = ("squash", "crop")
# Larger images are refused: a small file can unfold to any size.
MAX_MEGAPIXELS = 100


@contextlib.contextmanager
def _opened(source: Any, max_megapixels: int = MAX_MEGAPIXELS) -> Iterator[Any]:
    """An image file, its pixels not yet decoded.

    Raises:
        One of `BAD_IMAGE`: not an image, or one with too many pixels.
    """
    with warnings.catch_warnings():
        # Of metadata that are not needed; and of large images, which are counted here.
        warnings.simplefilter("ignore")
        with Image.open(source, formats=FORMATS) as image:
            wide, tall = image.size
            if wide * tall > 1_000_000 * max_megapixels:
                raise ValueError(
                    f"it has {wide}x{tall} pixels, {wide * tall / 1e6:.0f} million; at most "
                    f"{max_megapixels} million are read, see --max_megapixels"
                )
            yield image


def _turned(image: Any) -> bool:
    """Whether the camera was held upright (EXIF), so that width and height change places."""
    return image.getexif().get(0x0112, 1) in (5, 6, 7, 8)


def _transparent(image: Any) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def decode(
    encoded: bytes,
    image_shape: tuple[int, int, int],
    resize: str = "squash",
    max_megapixels: int = MAX_MEGAPIXELS,
) -> np.ndarray:
    """Decode an image (see `FORMATS`) and scale it, bilinear with antialiasing.

    A JPEG much larger than the result is decoded at a reduced size. The orientation of the camera
    (EXIF) is followed; transparent parts are white; of 16 bits the upper eight are kept; of an
    animation or of several pages the first.

    Args:
        encoded: the bytes of the file.
        image_shape: (height, width, channels) of the result; channels 1 (grey) or 3 (RGB).
        resize: "squash" scales the whole image and may change its aspect ratio; "crop" takes the
            largest centred part with the aspect ratio of the result.
        max_megapixels: images with more million pixels are refused.

    Returns:
        uint8 of `image_shape`.

    Raises:
        One of `BAD_IMAGE`: not an image, or a damaged one.
    """
    height, width, channels = image_shape
    mode = "L" if channels == 1 else "RGB"
    with _opened(io.BytesIO(encoded), max_megapixels) as image:
        side = max(width, height)  # the image may still be turned
        image.draft(mode, (2 * side, 2 * side))
        image = ImageOps.exif_transpose(image)
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
            image = Image.fromarray(np.round(deep).astype(np.uint8))
        if _transparent(image):
            picture = image.convert("RGBA")
            white = Image.new("RGBA", picture.size, "white")
            image = Image.alpha_composite(white, picture)
        converted = image.convert(mode)
        if box != (0.0, 0.0, float(width), float(height)):
            converted = converted.resize((width, height), Image.Resampling.BILINEAR, box=box)
        return np.asarray(converted, np.uint8).reshape(image_shape)


_GREY = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N", "I", "F")


def probe(path: str, max_megapixels: int = MAX_MEGAPIXELS) -> tuple[tuple[int, int], int, bool]:
    """((height, width), channels 1 or 3, whether parts are transparent), from an image's header.

    Raises:
        One of `BAD_IMAGE`: not an image, or one with too many pixels.
    """
    with _opened(path, max_megapixels) as image:
        wide, tall = image.size
        size = (wide, tall) if _turned(image) else (tall, wide)
        return size, 1 if image.mode in _GREY else 3, _transparent(image)


def left_out(path: str) -> str | None:
    """Why a file is not read as an image: "hidden", ...; None if it is."""
    name = os.path.basename(path)
    if name.startswith("."):
        return "hidden"
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return "no regular file"
    except OSError:
        return "link to nothing"
    suffix = Path(name).suffix.lower()
    if suffix in EXTENSIONS:
        return None
    return f"*{suffix}" if suffix else "without extension"
