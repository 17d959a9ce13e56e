"""Characters drawn in fonts: those that come with matplotlib, or a folder of the user's.

A character is a class on which training matters: an untrained network hardly reads it in a font
that it has not seen. Sixteen text faces come with matplotlib (DejaVu Sans, Sans Mono, Serif, and
STIX, each in four styles), which also brings the FreeType that draws them.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras.datasets import hashing
from ssl_keras.datasets.base import Source
from ssl_keras.datasets.examples import ArrayExamples
from ssl_keras.datasets.sources.splitting import keyed_split, natural
from ssl_keras.errors import UserError, printable

# Latin letters and digits; Greek and Cyrillic ones that do not look like those before them.
CHARACTERS = (
    "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    "ΓΔΘΛΞΠΣΦΨΩαβγδεζηθλμξπσφχψω"
    "БДЖИЦЧШЩЪЫЬЭЮЯ"
)
LATIN = 62
_STYLES = {
    "DejaVuSans": ("", "-Bold", "-Oblique", "-BoldOblique"),
    "DejaVuSansMono": ("", "-Bold", "-Oblique", "-BoldOblique"),
    "DejaVuSerif": ("", "-Bold", "-Italic", "-BoldItalic"),
    "STIXGeneral": ("", "Bol", "Italic", "BolIta"),
}
EMBEDDED = tuple(family + style for family, styles in _STYLES.items() for style in styles)
# One style of each family: no test character is drawn in a font of training.
TEST_FONTS = ("DejaVuSans-Oblique", "DejaVuSansMono-Bold", "DejaVuSerif-Italic", "STIXGeneral")
SUFFIXES = (".ttf", ".otf")
DEFAULT_SIZE = 28
# Images of each character.
IMAGES = {"train": 100, "test": 32}
# Share of the canvas: the em, and the baseline from the top.
_EM, _BASELINE = 0.8, 0.74
# Pose: largest rotation in radians, factors of the size, largest shear, and shift as a share of the
# side.
ROTATION, SCALES, SHEAR, SHIFT = 0.35, (0.75, 1.15), 0.2, 0.1
# The images depend on this alone: they are a data set, the same for all seeds of a run.
_SEED = 0
# Pixels of the pose that are computed at once.
_CHUNK = 2_000_000


def is_glyphs(name: str) -> bool:
    """Whether a source is drawn from fonts."""
    return name == "glyphs" or name.startswith("fonts:")


def load_glyphs(name: str, image_size: int | None, seed: int, num_characters: int | None) -> Source:
    """Characters in fonts and random poses, white on black.

    100 training and 32 test images of each character, balanced; fonts are drawn at random, and
    those of the test images do not occur in training. A pose is a rotation of up to 20 degrees, a
    size of .75 to 1.15, a shear of up to .2 and a shift of up to a tenth of the side.

    Args:
        name: "glyphs" or "fonts:FOLDER".
        image_size: side in pixels; 28 by default.
        seed: draws the test fonts of a folder; the images do not depend on it.
        num_characters: the first so many of `CHARACTERS`; 62 by default.

    Raises:
        UserError: see `fonts`.
    """
    size, count = image_size or DEFAULT_SIZE, num_characters or LATIN
    characters = CHARACTERS[:count]
    train, test, notices = fonts(name, characters, seed)
    parts = {}
    for split, files in (("train", train), ("test", test)):
        atlas = draw_atlas(tuple(files), characters, max(64, size))
        labels = np.repeat(np.arange(count), IMAGES[split])
        stream = f"glyphs/{split}"
        chosen = hashing.random_below(_SEED, f"{stream}/font", len(labels), len(files))
        images = posed(atlas[chosen, labels], size, poses(stream, len(labels)))
        # Evenly mixed, so that the first images are of all characters.
        order = hashing.random_order(_SEED, f"{stream}/order", len(labels))
        parts[split] = ArrayExamples(
            {"image": images[order][..., None]}, labels[order].astype(np.int32)
        )
    return Source(
        name=name,
        train=parts["train"],
        test=parts["test"],
        num_classes=count,
        class_names=tuple(characters),
        augmentation="digits",
        notices=notices,
    )


def check_glyphs(name: str) -> None:
    """Check that the fonts are there.

    Raises:
        UserError: see `fonts`.
    """
    if name != "glyphs":
        font_files(name)


def fonts(name: str, characters: str, seed: int) -> tuple[list[Path], list[Path], tuple[str, ...]]:
    """(training fonts, test fonts, notices) of a source.

    Args:
        name, seed: see `load_glyphs`.
        characters: those that every font must have.

    Raises:
        UserError: the folder does not exist, or fewer than two fonts have the characters.
    """
    if name == "glyphs":
        files = embedded_fonts()
        test = [file for file in files if file.stem in TEST_FONTS]
        return [file for file in files if file not in test], test, ()
    root, files = font_files(name)
    usable, lacking, bad = [], 0, 0
    for file in files:
        try:
            known = _face(str(file)).get_charmap()
        except (RuntimeError, OSError, ValueError):
            bad += 1
            continue
        if all(ord(character) in known for character in characters):
            usable.append(file)
        else:
            lacking += 1
    left_out = [
        text.format(number)
        for number, text in ((bad, "{} cannot be read"), (lacking, "{} lack characters"))
        if number
    ]
    if len(usable) < 2:
        why = f" ({', '.join(left_out)})" if left_out else ""
        raise UserError(
            f"The folder of the source {name!r} has {len(usable)} of {len(files)} fonts with the "
            f"{len(characters)} characters{why}, and two are needed, one of them for testing: add "
            "fonts, or give fewer --num_characters."
        )
    keys = [str(file.relative_to(root)).encode(errors="surrogateescape") for file in usable]
    rows = keyed_split(keys, np.zeros(len(usable), np.int64), seed)
    notices = [f"{len(usable)} fonts, {len(rows[1])} of them for testing"]
    notices += [f"fonts left out: {', '.join(left_out)}"] if left_out else []
    train, test = ([usable[row] for row in part] for part in rows)
    return train, test, tuple(notices)


def embedded_fonts() -> list[Path]:
    """The files of `EMBEDDED`."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return [folder / f"{name}.ttf" for name in EMBEDDED]


def font_files(name: str) -> tuple[Path, list[Path]]:
    """(folder, files of fonts in it at any depth, in natural order) of a source "fonts:FOLDER".

    Raises:
        UserError: the folder does not exist, or holds none.
    """
    text = name.partition(":")[2]
    root = Path(text).expanduser()
    if not root.is_dir():
        raise UserError(f"The folder {printable(text)!r} of the source {name!r} does not exist.")
    found = [path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES]
    files = sorted((path for path in found if path.is_file()), key=lambda path: natural(str(path)))
    if not files:
        raise UserError(
            f"The folder {printable(text)!r} of the source {name!r} holds no fonts "
            f"({' or '.join(SUFFIXES)})."
        )
    return root, files


def drawn_by() -> str:
    """What the pixels of embedded glyphs depend on: the version of matplotlib's FreeType."""
    from matplotlib import ft2font

    return f"FreeType {ft2font.__freetype_version__}"


@functools.lru_cache(maxsize=256)
def _face(file: str) -> Any:
    from matplotlib.ft2font import FT2Font

    return FT2Font(file)


@functools.lru_cache(maxsize=16)
def draw_atlas(files: Sequence[Path], characters: str, side: int) -> np.ndarray:
    """Every character in every font: uint8 (fonts, characters, side, side), white on black.

    The em is 80% of the side, the baseline at 74% of the height, the character's width centred. So
    capital and small letters differ in size.
    """
    atlas = np.zeros((len(files), len(characters), side, side), np.uint8)
    for row, file in enumerate(files):
        face = _face(str(file))
        face.set_size(_EM * side, 72)
        for column, character in enumerate(characters):
            _draw(face, character, atlas[row, column])
    atlas.setflags(write=False)
    return atlas


def _draw(face: Any, character: str, canvas: np.ndarray) -> None:
    from matplotlib import ft2font

    flags: Any = getattr(ft2font, "LoadFlags", ft2font)  # an enumeration since matplotlib 3.10
    unhinted = getattr(flags, "NO_HINTING", None) or flags.LOAD_NO_HINTING
    face.set_text(character, 0.0, flags=unhinted)
    face.draw_glyphs_to_bitmap(antialiased=True)
    bitmap = np.asarray(face.get_image())
    height, width = bitmap.shape
    side = len(canvas)
    below = int(np.ceil(face.get_descent() / 64))
    top, left = round(_BASELINE * side) + below - height, (side - width) // 2
    rows, columns = slice(max(top, 0), top + height), slice(max(left, 0), left + width)
    target = canvas[rows, columns]
    start = max(-top, 0), max(-left, 0)
    target[:] = bitmap[start[0] :, start[1] :][: target.shape[0], : target.shape[1]]


def poses(stream: str, count: int, strength: float = 1.0) -> np.ndarray:
    """Random affine maps from an image to the glyph: float64 (count, 2, 3).

    Coordinates are x, y in [-1, 1]; the map of a point of the image is A (x, y) + b.

    Args:
        stream: name of the draws.
        count: number of maps.
        strength: factor on the rotation, the shear, the shift and the range of sizes.
    """

    def uniform(purpose: str, low: float, high: float) -> np.ndarray:
        draws = hashing.random_integers(_SEED, f"{stream}/{purpose}", count) / 2.0**32
        return low + (high - low) * draws

    angle = strength * uniform("rotation", -ROTATION, ROTATION)
    shear = strength * uniform("shear", -SHEAR, SHEAR)
    low, high = (1 + strength * (scale - 1) for scale in SCALES)
    scale = uniform("scale", low, high)
    shift = 2 * strength * np.stack([uniform(axis, -SHIFT, SHIFT) for axis in "xy"], axis=1)
    cosine, sine = np.cos(angle), np.sin(angle)
    # The inverse of scale * rotation * shear.
    inverse = np.stack(
        [
            np.stack([cosine + shear * sine, sine - shear * cosine], axis=1),
            np.stack([-sine, cosine], axis=1),
        ],
        axis=1,
    )
    inverse /= scale[:, None, None]
    offset = -np.einsum("nij,nj->ni", inverse, shift)
    return np.concatenate([inverse, offset[:, :, None]], axis=2)


def posed(glyphs: np.ndarray, size: int, maps: np.ndarray) -> np.ndarray:
    """Glyphs in their poses, anti-aliased: uint8 (count, size, size).

    Args:
        glyphs: uint8 (count, side, side).
        size: side of the images in pixels.
        maps: see `poses`.
    """
    count, side = glyphs.shape[:2]
    finer = size * (2 if size < side else 1)
    centers = (np.arange(finer) + 0.5) / finer * 2 - 1
    images = np.empty((count, size, size), np.uint8)
    rows_at_once = max(1, _CHUNK // finer**2)
    for start in range(0, count, rows_at_once):
        part = slice(start, min(start + rows_at_once, count))
        a = maps[part]
        x = a[:, 0, 0, None, None] * centers + a[:, 0, 1, None, None] * centers[:, None]
        y = a[:, 1, 0, None, None] * centers + a[:, 1, 1, None, None] * centers[:, None]
        x, y = ((v + a[:, k, 2, None, None] + 1) * side / 2 - 0.5 for k, v in ((0, x), (1, y)))
        values = _bilinear(glyphs[part], x, y)
        if finer != size:
            values = values.reshape(-1, size, finer // size, size, finer // size).mean(axis=(2, 4))
        images[part] = np.floor(values + 0.5).astype(np.uint8)
    return images


def _bilinear(glyphs: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Values of glyphs at points (count, height, width) in pixels; 0 outside."""
    side = glyphs.shape[1]
    padded = np.pad(glyphs, ((0, 0), (1, 1), (1, 1))).reshape(len(glyphs), -1)
    # Points beyond the border of zeros have the value of the border.
    x, y = (np.clip(v + 1, 0, side + 1 - 1e-9) for v in (x, y))
    left, top = x.astype(np.int64), y.astype(np.int64)
    right, down = x - left, y - top
    place = (top * (side + 2) + left).reshape(len(glyphs), -1)

    def corner(offset: int) -> np.ndarray:
        return np.take_along_axis(padded, place + offset, axis=1).reshape(x.shape)

    above = (1 - right) * corner(0) + right * corner(1)
    below = (1 - right) * corner(side + 2) + right * corner(side + 3)
    return (1 - down) * above + down * below
