"""Digits over any background: the DigitOnImageNet data set, on any source.

Chen, Luo, Li 2021, section 4.3, and the authors' notebook (google-research/simclr,
colabs/intriguing_properties/digits_on_tf_flowers.ipynb): a digit is drawn nine times on a 3x3
grid over a background of 224 pixels, before any augmentation, so both views share it. "Unique
digits" counts digit *images*, not classes: the more there are, the better the digit identifies
its image.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ssl_keras.datasets import hashing
from ssl_keras.datasets.base import (
    BuildContext,
    DataSet,
    ImageBuilder,
    LocalTarget,
    Target,
    absolute_source,
    class_target,
    images,
)
from ssl_keras.datasets.digits import DigitPool, digit_pool
from ssl_keras.datasets.examples import Examples
from ssl_keras.datasets.plain import source_targets
from ssl_keras.datasets.splits import Locate, Split
from ssl_keras.errors import UserError
from ssl_keras.lazy import tf
from ssl_keras.options import Needs, option

# Top-left corners of the nine digits, as shares of the side of the canvas, and the digit's side.
GRID = (0.15, 0.45, 0.75)
DIGIT_SHARE = 28 / 224
# The order in which copies fill the 3x3 grid (row * 3 + column): the centre, the corners, the
# middles of the sides.
CELL_ORDER = (4, 0, 8, 2, 6, 1, 7, 3, 5)

BLEND = ("max", "add", "alpha")
CONTENT = ("both", "background", "digits")
_WITH_DIGITS = Needs("overlay_content", ("both", "digits"))
_WITH_BOTH = Needs("overlay_content", ("both",))


def corners(canvas: tuple[int, int], copies: int) -> list[tuple[int, int]]:
    """(top, left) of each copy, on a canvas (height, width); 33, 100 and 168 at 224 pixels."""
    cells = sorted(CELL_ORDER[:copies])
    return [(int(GRID[cell // 3] * canvas[0]), int(GRID[cell % 3] * canvas[1])) for cell in cells]


def blend(background: Any, mask: Any, mode: str, alpha: float = 0.5) -> Any:
    """Draw `mask` over `background`.

        max:    max(background, mask)
        add:    min(background + mask, 255)
        alpha:  background + alpha * mask / 255 * (255 - background)

    Args:
        background: uint8 (batch, height, width, channels).
        mask: uint8 (batch, height, width, 1), 0 where nothing is drawn.
        mode: one of `BLEND`.
        alpha: opacity of a white pixel of the mask, for "alpha".

    Returns:
        uint8 like `background`.
    """
    if mode == "max":
        return tf.maximum(background, mask)
    below, above = tf.cast(background, tf.float32), tf.cast(mask, tf.float32)
    if mode == "add":
        return tf.cast(tf.minimum(below + above, 255.0), tf.uint8)
    return tf.cast(tf.round(below + alpha * above / 255.0 * (255.0 - below)), tf.uint8)


@dataclass(frozen=True)
class Overlay(ImageBuilder):
    """Images of the source with one digit drawn on them, several times.

    Targets: "class" (of the background) and "digit" (0 to 9), if `overlay_content` shows them.
    Local targets: "region" (background, or digit where the drawn digit is brighter than 127 of 255)
    and "digit" (nothing, or the class).

    Training images take their digit from a pool of `num_unique_digits` images of the digit
    source's training split, drawn by the seed; n images are the first n of n + 1. Test images take
    theirs from the whole test split, so no digit of the pool occurs in testing. Evaluators are
    fitted on the same backgrounds with digits of the whole training split. So they measure what the
    encoder keeps of digits, not the number of digits that they were fitted on.

    Args:
        num_unique_digits: number of digit images in the pool; None for all.
        overlay_copies: 1 to 9, the number of cells of the 3x3 grid, see `CELL_ORDER`.
        blend: see `blend`. The authors' notebook has max, their project page "addition".
        blend_alpha: opacity for blend=alpha.
        overlay_content: "both"; as controls "background" without digits, or "digits" on black.
        digit_size: side of the digits in pixels; None for 28/224 of the canvas.
        digit_source: source of the digits.
    """

    source: str = option("photos", help="source of the backgrounds", convert=absolute_source)
    num_unique_digits: int | None = option(
        None, minimum=1, help="number of digit images in the pool (all)", needs=_WITH_DIGITS
    )
    overlay_copies: int = option(
        9, minimum=1, maximum=9, help="number of times the digit is drawn", needs=_WITH_DIGITS
    )
    blend: str = option(
        "max", choices=BLEND, help="how digits are drawn over the background", needs=_WITH_BOTH
    )
    blend_alpha: float = option(
        0.5,
        above=0,
        maximum=1,
        help="opacity of digits for blend=alpha",
        needs=(_WITH_BOTH, Needs("blend", ("alpha",))),
    )
    overlay_content: str = option("both", choices=CONTENT, help="content of the images")
    digit_size: int | None = option(
        None, minimum=1, help="side of a digit in pixels (canvas/8)", needs=_WITH_DIGITS
    )
    digit_source: str = option("mnist_5k", help="source of the digits", convert=absolute_source)

    version: ClassVar[int] = 2

    def build(self, context: BuildContext) -> DataSet:
        source = self.main_source(context)
        height, width, _ = source.image_shape
        size = self.digit_size or max(1, round(DIGIT_SHARE * min(height, width)))
        places = corners((height, width), self.overlay_copies)
        if any(top + size > height or left + size > width for top, left in places):
            raise UserError(
                f"Digits of {size} pixels do not fit on a canvas of {height}x{width}: the last "
                f"starts at {max(places)}; choose a smaller --digit_size or a larger --image_size."
            )
        digits = context.load_images(self.digit_source, None)
        pools = {
            "train": digit_pool(digits, "train", size, context.seed, self.num_unique_digits),
            "test": digit_pool(digits, "test", size, context.seed, None),
        }
        few = pools["train"].count < digits.train.count
        pools["probing"] = (
            digit_pool(digits, "train", size, context.seed, None) if few else pools["train"]
        )
        notices = [*source.notices, *digits.notices]
        if few and self.overlay_content != "background":
            notices.append(
                f"evaluators are fitted on images with {pools['probing'].count} different digits; "
                f"the training shows {pools['train'].count}"
            )
        targets: dict[str, Target] = {}
        local: dict[str, LocalTarget] = {}
        if self.overlay_content != "digits":
            targets |= source_targets(source)
        assignment = {
            name: hashing.random_below(
                context.seed, f"overlay/{stream}", examples.count, pools[name].count
            )
            for name, stream, examples in (
                ("train", "train", source.train),
                ("probing", "train", source.train),
                ("test", "test", source.test),
            )
        }
        if self.overlay_content != "background":
            drawn = pools["test"].labels[assignment["test"]]
            targets["digit"] = class_target("digit", drawn, digits.num_classes, digits.class_names)
            classes = map(str, range(digits.num_classes))
            local["region"] = LocalTarget("region", ("background", "digit"))
            local["digit"] = LocalTarget("digit", ("nothing", *classes))

        def split(name: str, examples: Examples) -> Split:
            composer = self._composer(pools[name], assignment[name], places, source.image_channels)
            locate = locator(pools[name], assignment[name], places, (height, width))
            return Split(examples, composer, locate if local else None)

        titles = {"both": "digits over", "background": "no digits over", "digits": "digits without"}
        return DataSet(
            name=f"{titles[self.overlay_content]} {source.name}",
            train=split("train", source.train),
            test=split("test", source.test),
            targets=targets,
            modality=images(source),
            notices=tuple(notices),
            local_targets=local,
            probing_split=split("probing", source.train) if few else None,
        )

    def _composer(
        self,
        pool: DigitPool,
        assignment: np.ndarray,
        places: list[tuple[int, int]],
        image_channels: int,
    ) -> Any:
        members, pool_images, pool_labels = map(tf.constant, (assignment, pool.images, pool.labels))

        def compose(batch: Mapping[str, Any]) -> dict[str, Any]:
            image, labels = batch["image"], {}
            if "label" in batch and self.overlay_content != "digits":
                labels["class"] = batch["label"]
            if self.overlay_content == "digits":
                image = tf.zeros_like(image)
            if self.overlay_content != "background":
                member = tf.gather(members, batch["index"])
                digit = tf.gather(pool_images, member)
                labels["digit"] = tf.gather(pool_labels, member)
                mask = draw(digit, image.shape[1:3], places)
                picture, extra = image[..., :image_channels], image[..., image_channels:]
                picture = blend(picture, mask, self.blend, self.blend_alpha)
                image = tf.concat([picture, extra], axis=-1)
            return {"example": {"image": image}, "labels": labels}

        return compose


def draw(digits: Any, canvas: tuple[int, int], places: list[tuple[int, int]]) -> Any:
    """Copies of digits on black canvases: uint8 (batch, height, width, 1).

    Where copies overlap, the brighter pixel counts.

    Args:
        digits: uint8 (batch, side, side, 1).
        canvas: (height, width).
        places: (top, left) of each copy; copies must lie inside.
    """
    height, width = canvas
    side_y, side_x = digits.shape[1], digits.shape[2]
    mask = None
    for top, left in places:
        margins = [[0, 0], [top, height - top - side_y], [left, width - left - side_x], [0, 0]]
        copy = tf.pad(digits, margins)
        mask = copy if mask is None else tf.maximum(mask, copy)
    return mask


def locator(
    pool: DigitPool,
    assignment: np.ndarray,
    places: list[tuple[int, int]],
    canvas: tuple[int, int],
) -> Locate:
    """The function that gives the local labels of examples, see `Overlay`.

    Args:
        pool: the digits.
        assignment: int (examples,), each example's index into the pool.
        places, canvas: see `draw`.
    """

    def locate(rows: np.ndarray) -> dict[str, np.ndarray]:
        members = assignment[rows]
        mask = np.asarray(draw(tf.constant(pool.images[members]), canvas, places))[..., 0]
        region = (mask > 127).astype(np.int16)
        labels = (pool.labels[members] + 1).astype(np.int16)
        return {"region": region, "digit": region * labels[:, None, None]}

    return locate
