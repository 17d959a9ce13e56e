"""Characters with independent factors, each of which can be learnt instead of the others.

"Color distribution" against "object class" is the example of Chen, Luo, Li 2021 (section 1) for
competing features. Here each image is a character in a font, a colour, on a background of another
colour and texture, of some size, at some place, and each of these is a target. The set contains,
as special cases, the idea of Trifeature (Hermann and Lampinen 2020: shape, texture, colour),
coloured MNIST and dominoes (a factor that is correlated with another one in training alone).
"""

from __future__ import annotations

import colorsys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssl_keras.datasets import hashing
from ssl_keras.datasets.base import (
    BuildContext,
    DataSet,
    DatasetBuilder,
    Target,
    absolute_source,
    class_target,
)
from ssl_keras.datasets.examples import ArrayExamples
from ssl_keras.datasets.sources import glyphs
from ssl_keras.datasets.splits import Split
from ssl_keras.errors import UserError, unknown_name
from ssl_keras.inputs import Images
from ssl_keras.lazy import tf
from ssl_keras.options import option

TEXTURES = ("plain", "horizontal", "vertical", "diagonal", "checkered", "dotted")
# Factor -> default number of its values.
FACTORS = {
    "character": 20,
    "font": 12,
    "color": 8,
    "background": 8,
    "texture": len(TEXTURES),
    "size": 4,
    "position": 4,
}
DEFAULT_SIZE = 32
# Sides of the character, as shares of its cell, from the smallest to the largest.
_SIZES = (0.45, 1.0)
# Share of the pose of the source glyphs: images of equal factors differ.
_POSE = 0.4
# Difference in brightness of the two parts of a texture.
_CONTRAST = 70


@dataclass(frozen=True)
class Factors(DatasetBuilder):
    """Images (--image_size pixels, 32 by default) of characters with independent factors.

    The factors in `factors` vary, and are the targets; the others keep their first value. They are
    drawn independently and uniformly, in the test images always. With `correlation` A:B:r factor A
    follows factor B in a share r of the training images: there its value is that of B modulo the
    number of values of A; in the others it is drawn. So A has that value with the probability
    r + (1 - r) / values of A. Images of equal factors differ by a slight pose (rotation, shear,
    shift, size).

    Args:
        factors: those that vary, see `FACTORS`, separated by commas.
        num_fonts, num_colors, num_backgrounds, num_textures, num_sizes, num_positions: number of
            values of a factor; characters have --num_characters. Positions are the cells of a
            square grid: 4, 9, 16 or 25.
        correlation: A:B:r, or several, separated by commas; None: all are independent.
        num_train_images, num_test_images: number of images in each split.
        font_source: "glyphs" or "fonts:FOLDER", see `sources.glyphs`.
    """

    factors: str = option(
        "character,font,color",
        help=f"factors that vary, comma-separated: {', '.join(FACTORS)}",
        is_list=True,
    )
    num_fonts: int = option(FACTORS["font"], minimum=2, maximum=1000, help="number of fonts")
    num_colors: int = option(
        FACTORS["color"], minimum=2, maximum=32, help="number of colours of characters"
    )
    num_backgrounds: int = option(
        FACTORS["background"], minimum=2, maximum=32, help="number of background colours"
    )
    num_textures: int = option(
        FACTORS["texture"],
        minimum=2,
        maximum=len(TEXTURES),
        help="number of background textures",
    )
    num_sizes: int = option(
        FACTORS["size"], minimum=2, maximum=16, help="number of sizes of characters"
    )
    num_positions: int = option(
        FACTORS["position"],
        minimum=4,
        maximum=25,
        help="number of positions: cells of a square grid",
    )
    correlation: str | None = option(
        None,
        help="factor that follows another one in a share of the training images, such as "
        "color:character:0.9 (none)",
        is_list=True,
    )
    num_train_images: int = option(4000, minimum=2, help="number of training images")
    num_test_images: int = option(1000, minimum=1, help="number of test images")
    font_source: str = option(
        "glyphs", help="fonts of the characters: glyphs, fonts:FOLDER", convert=absolute_source
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        names = self.names
        for name in names:
            if name not in FACTORS:
                raise unknown_name("factor", name, FACTORS)
        if not names or len(set(names)) < len(names):
            raise UserError(f"factors must be one or more different ones, not {self.factors!r}.")
        if round(self.num_positions**0.5) ** 2 != self.num_positions:
            raise UserError(
                f"num_positions is {self.num_positions}; the cells of a square grid are 4, 9, 16 "
                "or 25."
            )
        if not glyphs.is_glyphs(self.font_source):
            raise UserError(
                f"font_source is {self.font_source!r}; glyphs or fonts:FOLDER is needed."
            )
        self.correlations()

    @property
    def names(self) -> list[str]:
        """The factors that vary."""
        return [name.strip() for name in self.factors.split(",") if name.strip()]

    def correlations(self) -> dict[str, tuple[str, float]]:
        """Factor -> (the factor that it follows, in which share of the training images).

        Raises:
            UserError: the option is written otherwise, names a factor that does not vary, or lets
                factors follow each other.
        """
        found: dict[str, tuple[str, float]] = {}
        for entry in (self.correlation or "").split(","):
            if not entry.strip():
                continue
            parts = [part.strip() for part in entry.split(":")]
            try:
                follower, leader, share = parts[0], parts[1], float(parts[2])
                right = len(parts) == 3 and 0 <= share <= 1
            except (IndexError, ValueError):
                right = False
            if not right:
                raise UserError(
                    f"correlation must be FACTOR:FACTOR:SHARE, such as color:character:0.9, not "
                    f"{entry.strip()!r}."
                )
            for name in (follower, leader):
                if name not in self.names:
                    raise UserError(
                        f"correlation names {name!r}, which does not vary: factors are "
                        f"{', '.join(self.names)}."
                    )
            if follower in found or follower == leader:
                raise UserError(
                    f"correlation lets {follower} follow itself or two others: name each follower "
                    "once."
                )
            found[follower] = (leader, share)
        for name in found:
            followed, steps = name, 0
            while followed in found:
                followed, steps = found[followed][0], steps + 1
                if steps > len(found):
                    raise UserError("correlation lets factors follow each other in a circle.")
        return found

    def counts(self, num_characters: int | None) -> dict[str, int]:
        """Factor -> number of its values."""
        values = {"character": num_characters or FACTORS["character"]}
        return values | {n: getattr(self, f"num_{n}s") for n in FACTORS if n != "character"}

    def build(self, context: BuildContext) -> DataSet:
        size = context.image_size or DEFAULT_SIZE
        counts = self.counts(context.num_characters)
        characters = glyphs.CHARACTERS[: counts["character"]]
        train, test, notices = glyphs.fonts(self.font_source, characters, context.seed)
        # A font that is a target occurs in both splits.
        files = sorted([*train, *test], key=lambda path: path.name)
        if "font" in self.names and len(files) < counts["font"]:
            raise UserError(
                f"num_fonts is {counts['font']}, but there are {len(files)} fonts: give a smaller "
                "--num_fonts."
            )
        chosen = files[: counts["font"]] if "font" in self.names else files[:1]
        atlas = glyphs.draw_atlas(tuple(chosen), characters, max(64, size))
        names = {"character": tuple(characters), "font": tuple(file.stem for file in chosen)}
        names["texture"] = TEXTURES[: counts["texture"]]
        splits, labels = {}, {}
        for split, number in (("train", self.num_train_images), ("test", self.num_test_images)):
            labels[split] = self.draw(split, number, counts, context.seed)
            images = paint(labels[split], counts, atlas, size, f"factors/{split}")
            splits[split] = self._split(images, labels[split])
        targets: dict[str, Target] = {
            name: class_target(name, labels["test"][name], counts[name], names.get(name, ()))
            for name in self.names
        }
        followed = [f"{a} follows {b} in {r:g}" for a, (b, r) in self.correlations().items()]
        return DataSet(
            name=f"{' x '.join(f'{counts[name]} {name}s' for name in self.names)}"
            + (f" ({', '.join(followed)} of the training images)" if followed else ""),
            train=splits["train"],
            test=splits["test"],
            targets=targets,
            modality=Images((size, size, 3), 3, augmentation="digits"),
            notices=notices,
        )

    def draw(
        self, split: str, number: int, counts: Mapping[str, int], seed: int
    ) -> dict[str, np.ndarray]:
        """Factor -> its values in the images of a split: int32 (images,)."""
        values = {
            name: hashing.random_below(seed, f"factors/{split}/{name}", number, counts[name])
            if name in self.names
            else np.zeros(number, np.int64)
            for name in FACTORS
        }
        following = self.correlations() if split == "train" else {}

        def follow(name: str) -> np.ndarray:
            """The values of a factor, after those that it follows."""
            if name not in following:
                return values[name]
            leader, share = following.pop(name)
            stream = f"factors/{split}/{name}/follows"
            follows = hashing.random_integers(seed, stream, number) < share * 2.0**32
            values[name] = np.where(follows, follow(leader) % counts[name], values[name])
            return values[name]

        for name in FACTORS:
            follow(name)
        return {name: array.astype(np.int32) for name, array in values.items()}

    def _split(self, images: np.ndarray, labels: Mapping[str, np.ndarray]) -> Split:
        table = {name: tf.constant(labels[name]) for name in self.names}

        def compose(batch: Mapping[str, Any]) -> dict[str, Any]:
            found = {name: tf.gather(rows, batch["index"]) for name, rows in table.items()}
            return {"example": {"image": batch["image"]}, "labels": found}

        return Split(ArrayExamples({"image": images}, None), compose)


def paint(
    labels: Mapping[str, np.ndarray],
    counts: Mapping[str, int],
    atlas: np.ndarray,
    size: int,
    stream: str,
) -> np.ndarray:
    """The images: uint8 (images, size, size, 3).

    Args:
        labels: factor -> its values.
        counts: factor -> number of its values.
        atlas: see `glyphs.draw_atlas`.
        size: side of the images.
        stream: name of the draws of the poses.
    """
    number = len(labels["character"])
    colors, backgrounds = (palette(counts[n], n) for n in ("color", "background"))
    patterns = np.stack([texture(k, size) for k in range(counts["texture"])])
    cells = round(counts["position"] ** 0.5) if labels["position"].any() else 1
    shares = np.geomspace(*_SIZES, counts["size"])
    sides = shares[labels["size"]] if labels["size"].any() else np.full(number, shares[-1])
    # From the image to the cell, to the glyph in its slight pose.
    maps = glyphs.poses(stream, number, _POSE)
    scale = cells / sides
    row, column = np.divmod(labels["position"], cells)
    centers = (2 * np.stack([column, row], axis=1) + 1) / cells - 1
    matrix = maps[:, :, :2] * scale[:, None, None]
    offset = maps[:, :, 2] - np.einsum("nij,nj->ni", matrix, centers)
    placed = np.concatenate([matrix, offset[:, :, None]], axis=2)
    images = np.empty((number, size, size, 3), np.uint8)
    for start in range(0, number, 1000):
        part = slice(start, start + 1000)
        chosen = atlas[labels["font"][part], labels["character"][part]]
        mask = glyphs.posed(chosen, size, placed[part])[..., None] / 255.0
        below = backgrounds[labels["background"][part]][:, None, None]
        below = np.clip(below + patterns[labels["texture"][part]][..., None], 0, 255)
        above = colors[labels["color"][part]][:, None, None]
        images[part] = np.floor(below + mask * (above - below) + 0.5).astype(np.uint8)
    return images


def palette(count: int, name: str) -> np.ndarray:
    """Colours (count, 3) in [0, 255]: bright ones of characters, dark ones of backgrounds, whose
    hues are evenly spaced."""
    light, saturation = (0.62, 0.95) if name == "color" else (0.22, 0.55)
    hues = (np.arange(count) + (0.0 if name == "color" else 0.5)) / count
    return np.array([colorsys.hls_to_rgb(hue, light, saturation) for hue in hues]) * 255.0


def texture(kind: int, size: int) -> np.ndarray:
    """The brightness that a texture adds: (size, size), of mean 0 up to rounding."""
    y, x = np.mgrid[:size, :size]
    period = max(4, size // 8)
    stripes = {
        "plain": np.zeros((size, size)),
        "horizontal": y % period < period / 2,
        "vertical": x % period < period / 2,
        "diagonal": (x + y) % period < period / 2,
        "checkered": (x // (period // 2) + y // (period // 2)) % 2,
        "dotted": (x % period - period / 2 + 0.5) ** 2 + (y % period - period / 2 + 0.5) ** 2
        < (period / 2.6) ** 2,
    }
    pattern = np.asarray(stripes[TEXTURES[kind]], np.float64)
    return _CONTRAST * (pattern - pattern.mean())
