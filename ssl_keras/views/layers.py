"""Augmentations of images, as keras-cv layers whose randomness is an input."""

from __future__ import annotations

import itertools
from typing import Any

from ssl_keras import lazy
from ssl_keras.annotations import Tensor
from ssl_keras.lazy import tf
from ssl_keras.views.crops import LAWS, Boxes

lazy.start()  # keras_cv imports TensorFlow
from keras_cv import layers as keras_cv_layers  # noqa: E402


class StatelessLayer(keras_cv_layers.VectorizedBaseImageAugmentationLayer):
    """A keras-cv vectorized augmentation layer whose randomness is an input.

    Subclasses set `num_draws`, turn draws into transformations, and use keras-cv's
    `augment_images` or define their own.
    """

    num_draws = 1
    # Whether the operation moves pixels; otherwise it changes their values.
    geometric = False

    def __init__(self, **arguments: Any):
        super().__init__(dtype="float32", **arguments)
        self.built = True  # no variables; a strategy requires built layers

    def transformations(self, draws: Tensor) -> Tensor:
        """The argument `transformations` of `augment_images`.

        Args:
            draws: (batch, num_draws), uniform in [0, 1).
        """
        raise NotImplementedError(f"{type(self).__name__} does not use its draws")

    def describe(self) -> str:
        """The operation, for the banner."""
        return type(self).__name__

    def still(self, bits: Tensor) -> Tensor:
        """Channels that the layer does not move, scaled to the size of its outputs."""
        return bits

    def call(self, images: Tensor, draws: Tensor) -> Tensor:
        """Augmented images, each a function of the image and its row of draws.

        Args:
            images: float32 (batch, height, width, channels) in [0, 1].
            draws: float32 (batch, num_draws), uniform in [0, 1).
        """
        return self.augment_images(images, transformations=self.transformations(draws))


class RandomResizedCrop(StatelessLayer):
    """A random part of the image, resized to `size` (bilinear).

    Which part is a matter of the law, see `crops`. Pixel centres are at half-integers, as in
    `tf.image.resize`, and samples beyond the outermost centres take the value there.

    Source: Szegedy et al. 2015; Chen et al. 2020, appendix A (area 0.08 to 1, aspect 3/4 to 4/3).
    Crop and resize are two small batched matrix products. Where a part is scaled down, the triangle
    filter is widened by the same factor (antialiasing).

    Args:
        area_min: smallest share of the area, in (0, 1]; 1 for the whole image.
        aspect: (smallest, largest) ratio of width to height.
        size: (height, width) of the result; None for that of the images.
        law: a key of `crops.LAWS`.
    """

    geometric = True

    def __init__(
        self,
        area_min: float,
        aspect: tuple[float, float] = (3 / 4, 4 / 3),
        size: tuple[int, int] | None = None,
        law: str = "uniform",
    ):
        super().__init__()
        self.area_min, self.aspect, self.size, self.law = area_min, aspect, size, law
        self.num_draws = LAWS[law].num_draws

    def describe(self) -> str:
        text = f"crop to {self.area_min:g} of the area" if self.area_min < 1 else "the whole image"
        text += "" if self.law == "uniform" or self.area_min == 1 else f" ({self.law} law)"
        return text if self.size is None else f"{text} at {self.size[0]}x{self.size[1]}"

    def boxes(self, draws: Tensor, height: int, width: int) -> Boxes:
        """(top, left, height, width) of the parts, each (batch,), relative to the image.

        Args:
            draws: (batch, num_draws).
            height, width: of the image in pixels.
        """
        if self.area_min == 1:
            zeros = tf.zeros_like(draws[:, 0])
            return zeros, zeros, zeros + 1.0, zeros + 1.0
        return LAWS[self.law].boxes(draws, self.area_min, self.aspect, (height, width))

    def call(self, images: Tensor, draws: Tensor) -> Tensor:
        """See `StatelessLayer.call`."""
        return self._parts(images, *self.boxes(draws, *images.shape[1:3]))

    def still(self, bits: Tensor) -> Tensor:
        if self.size is None:
            return bits
        zeros = tf.zeros([tf.shape(bits)[0]])
        return self._parts(bits, zeros, zeros, zeros + 1.0, zeros + 1.0)

    def _parts(self, images: Any, top: Any, left: Any, part_height: Any, part_width: Any) -> Any:
        height, width, channels = images.shape[1:]
        new_height, new_width = self.size or (height, width)
        rows = interpolation_matrix(top, part_height, height, new_height)
        columns = interpolation_matrix(left, part_width, width, new_width)
        # (b,o,h) x (b,h,w*c), then (b,p,w) x (b,w,c) for each output row.
        flat = tf.reshape(images, [-1, height, width * channels])
        cropped = tf.reshape(tf.matmul(rows, flat), [-1, new_height, width, channels])
        if channels == 1:
            return tf.matmul(cropped[..., 0], columns, transpose_b=True)[..., None]
        return tf.einsum("bpw,bowc->bopc", columns, cropped)


def interpolation_matrix(start: Tensor, extent: Tensor, size: int, samples: int) -> Tensor:
    """Linear interpolation of `samples` samples from a part of an axis, as a matrix.

    Args:
        start, extent: (batch,), the part, relative to the whole axis.
        size: pixels of the axis.
        samples: number of samples, evenly spaced over the part. If their distance is larger than a
            pixel, each is a weighted average of the pixels around it (a triangle two distances
            wide).

    Returns:
        (batch, samples, size), each row sums to 1.
    """
    centers = (tf.range(samples, dtype=tf.float32) + 0.5) / samples
    positions = (start[:, None] + extent[:, None] * centers[None, :]) * size - 0.5
    positions = tf.clip_by_value(positions, 0.0, size - 1.0)
    distances = tf.abs(positions[:, :, None] - tf.range(size, dtype=tf.float32))
    if samples >= size:
        return tf.maximum(0.0, 1.0 - distances)
    spacing = tf.maximum(1.0, extent * (size / samples))[:, None, None]
    weights = tf.maximum(0.0, 1.0 - distances / spacing)
    return weights / tf.reduce_sum(weights, axis=2, keepdims=True)


class RandomFlip(StatelessLayer, keras_cv_layers.RandomFlip):
    """Left-right flip with probability `rate`; keras-cv's pixel code."""

    geometric = True

    def __init__(self, rate: float = 0.5):
        super().__init__(mode="horizontal", rate=rate)

    def describe(self) -> str:
        return f"flip with probability {self.rate:g}"

    def transformations(self, draws: Tensor) -> Tensor:
        return {"flip_horizontals": draws, "flip_verticals": tf.zeros_like(draws)}


class ColorJitter(StatelessLayer):
    """Brightness, contrast, saturation and hue in random order, with probability `rate`.

    Each image has its own order (all 24 are equally likely) and one factor for each operation;
    values are clipped to [0, 1] after each. At strength s: brightness, contrast and saturation
    times U(1 - 0.8 s, 1 + 0.8 s), at least 0; hue plus U(-0.2 s, 0.2 s) turns. Brightness scales
    values (as in SimCLR v2), contrast scales their distance to the mean of the channel, saturation
    and hue are those of HSV.

    The first three have one form, clip(g x + (1 - g) w), where w is 0, the mean, or the largest
    channel of the pixel. So every order is three such steps with hue before, between or after them.
    The layer computes three steps, hue, and three steps; each image uses three of the six. (One
    step for each operation and place would be sixteen.)

    Source: Chen et al. 2020, appendix A; google-research/simclr, tf2/data_util.py. RGB only.

    Args:
        strength: s; 1 for large photographs, 0.5 for CIFAR.
        rate: probability of any jitter at all.
    """

    num_draws = 6

    def __init__(self, strength: float, rate: float = 0.8):
        super().__init__()
        self.strength, self.rate = strength, rate
        # Brightness, contrast, saturation, hue: 0 to 3. An order is stored as the order of the
        # first three, and the number of them before hue.
        orders = list(itertools.permutations(range(4)))
        self.steps = [[kind for kind in order if kind < 3] for order in orders]
        self.before_hue = [order.index(3) for order in orders]

    def describe(self) -> str:
        return f"colour jitter of strength {self.strength:g}"

    def call(self, images: Tensor, draws: Tensor) -> Tensor:
        """See `StatelessLayer.call`."""
        order = tf.cast(draws[:, 1] * float(len(self.steps)), tf.int32)
        kinds = tf.gather(tf.constant(self.steps, tf.int32), order)
        before_hue = tf.gather(tf.constant(self.before_hue, tf.int32), order)
        factors = tf.gather(_factor(draws[:, 2:5], 0.8 * self.strength), kinds, batch_dims=1)
        turns = (2.0 * draws[:, 5] - 1.0) * (0.2 * self.strength)

        channels = tf.unstack(images, axis=-1)
        for now in (True, False):
            for step in range(3):
                active = (step < before_hue) == now
                kind = tf.where(active, kinds[:, step], 0)
                factor = tf.where(active, factors[:, step], 1.0)
                channels = _scaled_towards(channels, kind, factor)
            if now:
                channels = _hue_turned(channels, turns)
        jittered = tf.stack(channels, axis=-1)
        return tf.where((draws[:, 0] < self.rate)[:, None, None, None], jittered, images)


def _factor(draws: Any, delta: float) -> Any:
    low = max(0.0, 1.0 - delta)
    return low + (1.0 + delta - low) * draws


def _scaled_towards(channels: list[Any], kind: Any, factor: Any) -> list[Any]:
    """clip(g x + (1 - g) w) of red, green and blue, each (batch, h, w).

    Args:
        channels: values in [0, 1].
        kind: (batch,); 0: w = 0; 1: the mean of the channel; 2: the largest channel of the pixel,
            with g limited so that the smallest channel stays at least 0.
        factor: g, (batch,).
    """
    kind, factor = kind[:, None, None], factor[:, None, None]
    largest, smallest = _extremes(channels)
    # g above the reciprocal of the saturation would give a saturation above 1.
    most = largest / tf.maximum(largest - smallest, 1e-12)
    scale = tf.where(kind == 2, tf.minimum(factor, most), factor)
    towards_largest = tf.where(kind == 2, (1.0 - scale) * largest, 0.0)
    share_of_mean = tf.where(kind == 1, 1.0 - factor, 0.0)
    return [
        tf.clip_by_value(
            scale * x
            + (towards_largest + share_of_mean * tf.reduce_mean(x, axis=(1, 2), keepdims=True)),
            0.0,
            1.0,
        )
        for x in channels
    ]


def _hue_turned(channels: list[Any], turns: Any) -> list[Any]:
    """Red, green and blue with the hue of HSV shifted by `turns` (batch,); 1 is a whole turn.

    Value and saturation do not change: with the largest channel v, the range c, and the hue h in
    [0, 6), a channel is v - c min(max(min(k, 4 - k), 0), 1), k = (n + h) mod 6, n = 5, 3, 1.
    """
    red, green, blue = channels
    largest, smallest = _extremes(channels)
    spread = largest - smallest
    scale = 1.0 / tf.maximum(spread, 1e-12)
    hue = tf.where(
        largest == red,
        (green - blue) * scale,
        tf.where(largest == green, 2.0 + (blue - red) * scale, 4.0 + (red - green) * scale),
    )
    hue += 6.0 * turns[:, None, None]
    turned = []
    for offset in (5.0, 3.0, 1.0):
        k = hue + offset
        k -= 6.0 * tf.floor(k / 6.0)
        turned.append(largest - spread * tf.clip_by_value(tf.minimum(k, 4.0 - k), 0.0, 1.0))
    return turned


def _extremes(channels: list[Any]) -> tuple[Any, Any]:
    """(largest, smallest) channel of each pixel."""
    red, green, blue = channels
    return (
        tf.maximum(tf.maximum(red, green), blue),
        tf.minimum(tf.minimum(red, green), blue),
    )


class RandomGrayscale(StatelessLayer, keras_cv_layers.RandomColorDegeneration):
    """Grey with probability `rate`, otherwise unchanged; keras-cv's pixel code. RGB only."""

    def __init__(self, rate: float = 0.2):
        super().__init__(factor=(0.0, 1.0))
        self.rate = rate

    def describe(self) -> str:
        return f"grey with probability {self.rate:g}"

    def transformations(self, draws: Tensor) -> Tensor:
        return tf.cast(draws < self.rate, tf.float32)[:, :, None, None]


class RandomBlur(StatelessLayer):
    """Gaussian blur with probability `rate`, sigma ~ U(0.1, 2) pixels for each image.

    The kernel is separable; its width is `kernel_share` of the image height (made odd); borders are
    reflected. Source: Chen et al. 2020, appendix A.
    """

    num_draws = 2

    def __init__(self, rate: float = 0.5, kernel_share: float = 0.1):
        super().__init__()
        self.rate, self.kernel_share = rate, kernel_share

    def describe(self) -> str:
        return f"blur with probability {self.rate:g}"

    def call(self, images: Tensor, draws: Tensor) -> Tensor:
        """See `StatelessLayer.call`."""
        height, width = images.shape[1], images.shape[2]
        sigma = 0.1 + 1.9 * draws[:, 1]
        # Like the crop, a product with a banded matrix on each side.
        rows = self._blur_matrix(sigma, height, height)
        columns = self._blur_matrix(sigma, width, height)
        blurred = tf.einsum("boh,bhwc->bowc", rows, images)
        blurred = tf.einsum("bpw,bowc->bopc", columns, blurred)
        return tf.where((draws[:, 0] < self.rate)[:, None, None, None], blurred, images)

    def _blur_matrix(self, sigma: Any, size: int, height: int) -> Any:
        radius = int(height * self.kernel_share) // 2
        offsets = tf.range(-radius, radius + 1, dtype=tf.float32)
        weights = tf.exp(-tf.square(offsets) / (2.0 * tf.square(sigma[:, None])))
        weights /= tf.reduce_sum(weights, axis=1, keepdims=True)
        positions = tf.abs(tf.range(size)[:, None] + tf.range(-radius, radius + 1)[None, :])
        positions = tf.minimum(positions, 2 * (size - 1) - positions)
        taps = tf.one_hot(positions, size)
        return tf.einsum("bt,otp->bop", weights, taps)
