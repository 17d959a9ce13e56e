"""The operations, as keras-cv layers whose randomness is an input."""

from __future__ import annotations

import itertools
from typing import Any

import tensorflow as tf
from keras_cv import layers as keras_cv_layers


class StatelessLayer(keras_cv_layers.VectorizedBaseImageAugmentationLayer):
    """A keras-cv vectorized augmentation layer whose randomness is an input.

    Subclasses set `num_draws`, turn draws into transformations, and use keras-cv's
    `augment_images` or define their own.
    """

    num_draws = 1
    # Whether pixels change places, rather than values.
    geometric = False

    def __init__(self, **arguments: Any):
        super().__init__(dtype="float32", **arguments)
        self.built = True  # it has no variables; `fit` under a strategy asks

    def transformations(self, draws: Any) -> Any:
        """What `augment_images` takes as `transformations`.

        Args:
            draws: (batch, num_draws), uniform in [0, 1).
        """
        raise NotImplementedError(f"{type(self).__name__} does not use its draws")

    def describe(self) -> str:
        """What it does, for the banner."""
        return type(self).__name__

    def still(self, planes: Any) -> Any:
        """Planes that are to stay where they are, at the size of what the layer returns."""
        return planes

    def call(self, images: Any, draws: Any) -> Any:
        return self.augment_images(images, transformations=self.transformations(draws))


class RandomResizedCrop(StatelessLayer):
    """A random part of the image, resized to `size` (bilinear).

    Area ~ U(area_min, 1) of the image; aspect ratio (width / height, in pixels) log-uniform in
    `aspect`, restricted to the ratios at which a part of that area fits; position uniform. This is
    the distribution of the usual rejection sampling with the area exactly uniform. Borders need
    not fall on pixel borders: pixel centres are at half-integers, as in `tf.image.resize`, and
    samples beyond the outermost centres take the value there.

    Source: Szegedy et al. 2015; Chen et al. 2020, appendix A (area 0.08 to 1, aspect 3/4 to 4/3).
    Crop and resize are two small batched matrix products. Where a part is scaled down, the triangle
    filter is widened by that factor (antialiasing).

    Args:
        area_min: smallest share of the area, in (0, 1]; 1 takes the whole image.
        aspect: (smallest, largest) ratio of width to height.
        size: (height, width) of the result; None for that of the images.
    """

    num_draws = 4
    geometric = True

    def __init__(
        self,
        area_min: float,
        aspect: tuple[float, float] = (3 / 4, 4 / 3),
        size: tuple[int, int] | None = None,
    ):
        super().__init__()
        self.area_min, self.aspect, self.size = area_min, aspect, size

    def describe(self) -> str:
        what = f"crop to {self.area_min:g} of the area" if self.area_min < 1 else "the whole image"
        return what if self.size is None else f"{what} at {self.size[0]}x{self.size[1]}"

    def boxes(self, draws: Any, image_aspect: float) -> tuple[Any, Any, Any, Any]:
        """(top, left, height, width) of the parts, each (batch,), relative to the image.

        Args:
            draws: (batch, 4).
            image_aspect: width / height of the image in pixels.
        """
        area = self.area_min + (1.0 - self.area_min) * draws[:, 0]
        # Relative aspect: width share / height share. The part fits if area <= aspect <= 1/area.
        smallest = tf.maximum(self.aspect[0] / image_aspect, area)
        largest = tf.minimum(self.aspect[1] / image_aspect, 1.0 / area)
        # Where no ratio of the range fits (very flat images), take the nearest that does.
        largest = tf.maximum(largest, area)
        smallest = tf.minimum(smallest, largest)
        log_smallest, log_largest = tf.math.log(smallest), tf.math.log(largest)
        aspect = tf.exp(log_smallest + (log_largest - log_smallest) * draws[:, 1])
        height = tf.minimum(tf.sqrt(area / aspect), 1.0)
        width = tf.minimum(tf.sqrt(area * aspect), 1.0)
        return (1.0 - height) * draws[:, 2], (1.0 - width) * draws[:, 3], height, width

    def call(self, images: Any, draws: Any) -> Any:
        return self._parts(images, *self.boxes(draws, images.shape[2] / images.shape[1]))

    def still(self, planes: Any) -> Any:
        if self.size is None:
            return planes
        nothing = tf.zeros([tf.shape(planes)[0]])
        return self._parts(planes, nothing, nothing, nothing + 1.0, nothing + 1.0)

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


def interpolation_matrix(start: Any, extent: Any, size: int, samples: int) -> Any:
    """Linear interpolation of `samples` samples from a part of an axis, as a matrix.

    Args:
        start, extent: (batch,), the part, relative to the whole axis.
        size: pixels of the axis.
        samples: how many samples are taken, evenly spaced over the part. Where they lie further
            apart than pixels, each averages over the pixels around it (a triangle as wide as two
            distances).

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

    def transformations(self, draws: Any) -> Any:
        return {"flip_horizontals": draws, "flip_verticals": tf.zeros_like(draws)}


class Brightness(StatelessLayer):
    """Pixels times a factor ~ U(1 - delta, 1 + delta), clipped to [0, 1] (SimCLR v2's form)."""

    def __init__(self, delta: float):
        super().__init__()
        self.delta = delta

    def transformations(self, draws: Any) -> Any:
        return _factor(draws, self.delta)

    def augment_images(self, images: Any, transformations: Any, **_: Any) -> Any:
        return tf.clip_by_value(images * transformations[:, :, None, None], 0.0, 1.0)


class Contrast(StatelessLayer, keras_cv_layers.RandomContrast):
    """Distance to the mean of each channel times U(1 - delta, 1 + delta); keras-cv's pixel code."""

    def __init__(self, delta: float):
        super().__init__(value_range=(0.0, 1.0), factor=min(delta, 1.0))
        self.delta = delta

    def transformations(self, draws: Any) -> Any:
        return _factor(draws, self.delta)[:, :, None, None]


class Saturation(StatelessLayer, keras_cv_layers.RandomSaturation):
    """HSV saturation times U(1 - delta, 1 + delta), clipped to [0, 1]; keras-cv's pixel code."""

    def __init__(self, delta: float):
        super().__init__(factor=(0.5, 0.5))
        self.delta = delta

    def transformations(self, draws: Any) -> Any:
        # keras-cv multiplies by y = x / (1 - x): this is the x at which y is the factor.
        factor = _factor(draws[:, 0], self.delta)
        return factor / (1.0 + factor)


class Hue(StatelessLayer, keras_cv_layers.RandomHue):
    """HSV hue (in turns) plus U(-delta, delta), wrapped; keras-cv's pixel code."""

    def __init__(self, delta: float):
        super().__init__(factor=(0.0, 0.0), value_range=(0.0, 1.0))
        self.delta = delta

    def transformations(self, draws: Any) -> Any:
        return (2.0 * draws[:, 0] - 1.0) * self.delta


def _factor(draws: Any, delta: float) -> Any:
    low = max(0.0, 1.0 - delta)
    return low + (1.0 + delta - low) * draws


class ColorJitter(StatelessLayer):
    """Brightness, contrast, saturation and hue in random order, with probability `rate`.

    Each image has an order of its own (all 24 alike) and one factor for each operation; values are
    clipped to [0, 1] after each. At strength s: brightness, contrast and saturation 0.8 s, hue
    0.2 s.

    Source: Chen et al. 2020, appendix A; google-research/simclr, tf2/data_util.py. RGB only.

    Args:
        strength: s; 1 for large photographs, 0.5 for CIFAR.
        rate: probability of any jitter at all.
    """

    num_draws = 6

    def __init__(self, strength: float, rate: float = 0.8):
        super().__init__()
        self.strength, self.rate = strength, rate
        self.operations = [
            Brightness(0.8 * strength),
            Contrast(0.8 * strength),
            Saturation(0.8 * strength),
            Hue(0.2 * strength),
        ]

    def describe(self) -> str:
        return f"colour jitter of strength {self.strength:g}"

    def call(self, images: Any, draws: Any) -> Any:
        orders = list(itertools.permutations(range(len(self.operations))))
        chosen = tf.cast(draws[:, 1] * float(len(orders)), tf.int32)
        order = tf.gather(tf.constant(orders, tf.int32), chosen)
        jittered = images
        for slot in range(len(self.operations)):
            turn = order[:, slot]
            result = jittered
            for index, operation in enumerate(self.operations):
                changed = operation(jittered, draws[:, 2 + index : 3 + index])
                result = tf.where((turn == index)[:, None, None, None], changed, result)
            jittered = result
        return tf.where((draws[:, 0] < self.rate)[:, None, None, None], jittered, images)


class RandomGrayscale(StatelessLayer, keras_cv_layers.RandomColorDegeneration):
    """Grey with probability `rate`, otherwise unchanged; keras-cv's pixel code. RGB only."""

    def __init__(self, rate: float = 0.2):
        super().__init__(factor=(0.0, 1.0))
        self.rate = rate

    def describe(self) -> str:
        return f"grey with probability {self.rate:g}"

    def transformations(self, draws: Any) -> Any:
        return tf.cast(draws < self.rate, tf.float32)[:, :, None, None]


class RandomBlur(StatelessLayer):
    """Gaussian blur with probability `rate`, sigma ~ U(0.1, 2) pixels for each image.

    The kernel is `kernel_share` of the image height wide (made odd), separable, with reflected
    borders. Source: Chen et al. 2020, appendix A.
    """

    num_draws = 2

    def __init__(self, rate: float = 0.5, kernel_share: float = 0.1):
        super().__init__()
        self.rate, self.kernel_share = rate, kernel_share

    def describe(self) -> str:
        return f"blur with probability {self.rate:g}"

    def call(self, images: Any, draws: Any) -> Any:
        height, width = images.shape[1], images.shape[2]
        sigma = 0.1 + 1.9 * draws[:, 1]
        # A blur is a product with a banded matrix on each side, like the crop.
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
        positions = tf.range(size)[:, None] + tf.range(-radius, radius + 1)[None, :]
        positions = tf.abs(positions)
        positions = tf.minimum(positions, 2 * (size - 1) - positions)
        taps = tf.one_hot(positions, size)
        return tf.einsum("bt,otp->bop", weights, taps)
