"""Several digits on one canvas: the MultiDigits data set.

Chen, Luo, Li 2021, section 4.2. No code of the authors is known; the geometry follows
re-implementations: a black canvas of 112 pixels, with digits of 28 pixels in distinct cells of a
4x4 grid or at random positions. The *modified* version has two digits of different size at random
positions; the larger is drawn first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssl_keras.datasets import hashing
from ssl_keras.datasets.base import (
    BuildContext,
    DataSet,
    DatasetBuilder,
    LocalTarget,
    Source,
    Target,
    absolute_source,
    class_target,
    vector_target,
)
from ssl_keras.datasets.digits import digit_pool
from ssl_keras.datasets.examples import EncodedExamples
from ssl_keras.datasets.splits import Split
from ssl_keras.errors import UserError
from ssl_keras.inputs import Images
from ssl_keras.lazy import tf
from ssl_keras.options import Needs, option

PLACEMENT = ("grid", "random")
_EQUAL_DIGITS = Needs("digit_sizes")


@dataclass(frozen=True)
class MultiDigit(DatasetBuilder):
    """Digits on a black canvas of --image_size pixels (112 by default).

    With `digit_sizes`: two digits of these sizes at random positions; targets "small_digit" and
    "large_digit" (with equal sizes, the first and the second). With one size: a digit alone, as a
    control; target "digit". Without it: `num_digits` digits of a quarter of the canvas; target
    "presence" (the classes in the image). The local targets "region" (nothing, then digit, or large
    and small) and "digit" (nothing, or the class) label the square of each digit; where squares
    overlap, the digit drawn later counts.

    Training images use digits of the digit source's training split, test images of its test split.

    Args:
        num_digits: number of digits on the canvas.
        placement: "grid": distinct cells of a 4x4 grid; "random": anywhere; where digits overlap,
            the brighter pixel counts.
        digit_repeats: whether a class may occur more than once.
        digit_sizes: the side in pixels of a digit alone, such as 20, or of two, such as 20,80; None
            for equal digits.
        num_train_images, num_test_images: number of images in each split.
        digit_source: source of the digits.
    """

    num_digits: int = option(
        2, minimum=1, maximum=16, help="number of digits on the canvas", needs=_EQUAL_DIGITS
    )
    placement: str = option(
        "grid", choices=PLACEMENT, help="positions of the digits", needs=_EQUAL_DIGITS
    )
    digit_repeats: bool = option(
        True, help="whether a class may occur more than once", needs=_EQUAL_DIGITS
    )
    digit_sizes: str | None = option(
        None,
        help="side in pixels of a digit alone, such as 20, or of two, such as 20,80, at random "
        "positions (equal digits)",
        is_list=True,
    )
    num_train_images: int = option(4000, minimum=2, help="number of training images")
    num_test_images: int = option(1000, minimum=1, help="number of test images")
    digit_source: str = option("mnist_5k", help="source of the digits", convert=absolute_source)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.sizes()
        if not self.digit_repeats and self.num_digits > 10:
            raise UserError(
                f"num_digits is {self.num_digits}, but without repeats there are only 10 classes: "
                "choose fewer digits or --digit_repeats."
            )

    def sizes(self) -> tuple[int, ...] | None:
        """The sides of `digit_sizes`, one or two, or None."""
        if not self.digit_sizes:
            return None
        parts = self.digit_sizes.split(",")
        if len(parts) > 2 or not all(p.strip().isdigit() and int(p) > 0 for p in parts):
            raise UserError(
                f"digit_sizes must be one or two whole numbers above 0, such as 20,80, not "
                f"{self.digit_sizes!r}."
            )
        return tuple(map(int, parts))

    @property
    def _has_two_sizes(self) -> bool:
        return len(self.sizes() or ()) == 2

    def build(self, context: BuildContext) -> DataSet:
        canvas = context.image_size or 112
        sizes = self.sizes() or (canvas // 4,) * self.num_digits
        if max(sizes) > canvas or min(sizes) < 1:
            raise UserError(
                f"Digits of {max(sizes)} pixels do not fit on a canvas of {canvas}: choose smaller "
                "--digit_sizes or a larger --image_size."
            )
        digits = context.load_images(self.digit_source, None)
        if digits.num_classes != 10 and not self.digit_repeats:
            raise UserError(
                f"digit_repeats=false needs the ten digits; {digits.name!r} has "
                f"{digits.num_classes} classes."
            )
        counts = {"train": self.num_train_images, "test": self.num_test_images}
        plans = {
            name: _Plan.draw(self, digits, name, counts[name], sizes, canvas, context.seed)
            for name in ("train", "test")
        }
        targets = self._targets(plans["test"], digits)
        title = f"{len(sizes)} digits"
        if self.digit_sizes:
            count = "two digits" if self._has_two_sizes else "a digit"
            title = f"{count} of {' and '.join(map(str, sizes))} pixels"
        return DataSet(
            name=f"{title} of {digits.name}",
            train=self._split(plans["train"], canvas, digits.num_classes),
            test=self._split(plans["test"], canvas, digits.num_classes),
            targets=targets,
            modality=Images((canvas, canvas, 1), 1),
            notices=digits.notices,
            local_targets=self._local_targets(digits.num_classes),
        )

    def _local_targets(self, num_classes: int) -> dict[str, LocalTarget]:
        kinds = ("large", "small") if self._has_two_sizes else ("digit",)
        return {
            "region": LocalTarget("region", ("nothing", *kinds)),
            "digit": LocalTarget("digit", ("nothing", *map(str, range(num_classes)))),
        }

    def _targets(self, plan: _Plan, digits: Source) -> dict[str, Target]:
        count, names = digits.num_classes, digits.class_names
        return {
            name: vector_target(name, "presence", labels, names)
            if labels.ndim == 2
            else class_target(name, labels, count, names)
            for name, labels in self._labels(plan, count).items()
        }

    def _labels(self, plan: _Plan, num_classes: int) -> dict[str, np.ndarray]:
        """Target name -> labels of all images in a split."""
        if self._has_two_sizes:
            # The larger digit is drawn first.
            return {"small_digit": plan.labels[:, 1], "large_digit": plan.labels[:, 0]}
        if self.digit_sizes:
            return {"digit": plan.labels[:, 0]}
        return {"presence": plan.presence(num_classes)}

    def _split(self, plan: _Plan, canvas: int, num_classes: int) -> Split:
        table = tf.nest.map_structure(tf.constant, self._labels(plan, num_classes))
        examples = EncodedExamples(
            len(plan.labels), (canvas, canvas, 1), None, False, plan.example(canvas)
        )

        def compose(batch: Mapping[str, Any]) -> dict[str, Any]:
            labels = {name: tf.gather(rows, batch["index"]) for name, rows in table.items()}
            return {"example": {"image": batch["image"]}, "labels": labels}

        def locate(rows: np.ndarray) -> dict[str, np.ndarray]:
            return plan.locations(rows, canvas, self._has_two_sizes)

        return Split(examples, compose, locate)


@dataclass(frozen=True)
class _Plan:
    """The digits of each image and their positions; arrays are (images, digits).

    Attributes:
        sizes: side of each digit, in drawing order.
        pools: size -> the digit images of that size.
        members: indices into the pool.
        labels: classes.
        tops, lefts: top-left corners.
    """

    sizes: tuple[int, ...]
    pools: dict[int, np.ndarray]
    members: np.ndarray
    labels: np.ndarray
    tops: np.ndarray
    lefts: np.ndarray

    @classmethod
    def draw(
        cls,
        builder: MultiDigit,
        digits: Any,
        split: str,
        count: int,
        sizes: tuple[int, ...],
        canvas: int,
        seed: int,
    ) -> _Plan:
        ordered = tuple(sorted(sizes, reverse=True))
        pools = {size: digit_pool(digits, split, size, seed) for size in set(ordered)}
        pool_labels = pools[ordered[0]].labels
        num_digits = len(ordered)

        def draws(purpose: str, limit: int, columns: int = num_digits) -> np.ndarray:
            stream = f"multi_digit/{split}/{purpose}"
            return hashing.random_below(seed, stream, count * columns, limit).reshape(
                count, columns
            )

        if not builder.digit_repeats:
            # A random order of the classes for each image, then a random digit of each class.
            keys = draws("classes", 2**31, columns=10)
            classes = np.argsort(keys, axis=1, kind="stable")[:, :num_digits]
            numbers = draws("members", 2**31)
            members = np.zeros((count, num_digits), np.int64)
            for label in range(10):
                rows, mask = np.flatnonzero(pool_labels == label), classes == label
                members[mask] = rows[numbers[mask] % len(rows)]
        else:
            members = draws("members", len(pool_labels))
        if not builder.digit_sizes and builder.placement == "grid":
            cells = np.argsort(draws("cells", 2**31, columns=16), axis=1, kind="stable")
            cells = cells[:, :num_digits]
            tops, lefts = cells // 4 * (canvas // 4), cells % 4 * (canvas // 4)
        else:
            room = canvas - np.array(ordered) + 1
            fractions = [draws(side, 2**31) / 2.0**31 for side in ("top", "left")]
            tops, lefts = ((fraction * room).astype(np.int64) for fraction in fractions)
        return cls(
            ordered,
            {size: pool.images for size, pool in pools.items()},
            members,
            pool_labels[members],
            tops,
            lefts,
        )

    def presence(self, num_classes: int) -> np.ndarray:
        """The classes in each image: binary, int32 (images, num_classes)."""
        presence = np.zeros((len(self.labels), num_classes), np.int32)
        presence[np.arange(len(presence))[:, None], self.labels] = 1
        return presence

    def locations(self, rows: np.ndarray, canvas: int, sizes_differ: bool) -> dict[str, np.ndarray]:
        """The local labels of some images, see `MultiDigit` and `splits.Locate`."""
        region = np.zeros((len(rows), canvas, canvas), np.int16)
        digit = np.zeros_like(region)
        for place, row in enumerate(rows):
            for column, size in enumerate(self.sizes):
                top, left = self.tops[row, column], self.lefts[row, column]
                square = place, slice(top, top + size), slice(left, left + size)
                region[square] = column + 1 if sizes_differ else 1
                digit[square] = self.labels[row, column] + 1
        return {"region": region, "digit": digit}

    def example(self, canvas: int) -> Any:
        """TensorFlow function from an index to (uint8 canvas, -1)."""
        # Tensors: arrays would be copied into the traced function at every use.
        pools = {size: tf.constant(pool) for size, pool in self.pools.items()}
        members, tops, lefts = map(tf.constant, (self.members, self.tops, self.lefts))

        def compose(index: Any) -> tuple[Any, Any]:
            picture = tf.zeros((canvas, canvas, 1), tf.uint8)
            for column, size in enumerate(self.sizes):
                digit = tf.gather(pools[size], members[index, column])
                top, left = tops[index, column], lefts[index, column]
                after_y, after_x = canvas - size - top, canvas - size - left
                padding = [[top, after_y], [left, after_x], [0, 0]]
                picture = tf.maximum(picture, tf.pad(digit, padding))
            return picture, tf.constant(-1)

        return compose
