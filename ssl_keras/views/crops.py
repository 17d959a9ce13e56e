"""Laws of random crops: which parts of an image are drawn, and how often.

Three laws bear the name "random resized crop". They differ in how large crops are: with at least
0.08 of the area of a square image their mean area is 0.54 (`uniform`), 0.42 (`official`) and 0.48
(`torchvision`); with at least 0.5 it is 0.75, 0.68 and 0.69.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ssl_keras.annotations import Tensor
from ssl_keras.lazy import tf

# (top, left, height, width) of the parts, each (batch,), relative to the image.
Boxes = tuple[Any, Any, Any, Any]
# Attempts of torchvision before it takes the centre.
ATTEMPTS = 10
# The share of the image that the authors of SimCLR ask of a crop, whatever the smallest area.
COVERED = 0.1


@dataclass(frozen=True)
class CropLaw:
    """A law of crops.

    Attributes:
        num_draws: uniform numbers that a crop takes.
        boxes: function of draws (batch, num_draws), the smallest share of the area, (smallest,
            largest) aspect ratio, and (height, width) of the image in pixels.
    """

    num_draws: int
    boxes: Callable[[Tensor, float, tuple[float, float], tuple[int, int]], Boxes]


def uniform(
    draws: Tensor, area_min: float, aspect: tuple[float, float], size: tuple[int, int]
) -> Boxes:
    """Area uniform, aspect ratio log-uniform where a part of that area fits, position uniform.

    The law that papers describe (Chen et al. 2020, appendix A), without the bias of rejecting what
    does not fit. Borders may lie between pixels. Four draws.
    """
    area = area_min + (1.0 - area_min) * draws[:, 0]
    image_aspect = size[1] / size[0]
    # Relative aspect: width share / height share. The part fits if area <= aspect <= 1/area.
    smallest = tf.maximum(aspect[0] / image_aspect, area)
    largest = tf.minimum(aspect[1] / image_aspect, 1.0 / area)
    # Where no ratio of the range fits (very flat images), take the nearest that does.
    largest = tf.maximum(largest, area)
    smallest = tf.minimum(smallest, largest)
    log_smallest, log_largest = tf.math.log(smallest), tf.math.log(largest)
    ratio = tf.exp(log_smallest + (log_largest - log_smallest) * draws[:, 1])
    height = tf.minimum(tf.sqrt(area / ratio), 1.0)
    width = tf.minimum(tf.sqrt(area * ratio), 1.0)
    return (1.0 - height) * draws[:, 2], (1.0 - width) * draws[:, 3], height, width


def official(
    draws: Tensor, area_min: float, aspect: tuple[float, float], size: tuple[int, int]
) -> Boxes:
    """The law of `tf.image.sample_distorted_bounding_box`, which the authors of SimCLR use.

    Whole pixels. Aspect ratio uniform, relative to that of the image; then the *height* uniform
    among those whose area is allowed, so that small crops are more frequent. The authors ask for a
    tenth of the image in any case (`min_object_covered`). Four draws.

    Source: tensorflow/core/kernels/image/sample_distorted_bounding_box_op.cc, and
    google-research/simclr, data_util.py (`distorted_bounding_box_crop`).
    """
    height, width = float(size[0]), float(size[1])
    ratio = width / height * (aspect[0] + (aspect[1] - aspect[0]) * draws[:, 0])
    allowed = max(area_min, COVERED) * height * width
    most = tf.round(tf.sqrt(height * width / ratio))
    most = tf.where(tf.round(most * ratio) > width, tf.floor((width + 0.5 - 1e-4) / ratio), most)
    most = tf.minimum(most, height)
    least = tf.minimum(tf.round(tf.sqrt(allowed / ratio)), most)
    if area_min < COVERED:  # there what is too small is drawn again
        least = tf.minimum(least + _below(least, ratio, allowed), most)
    rows = least + tf.floor((most - least + 1.0) * draws[:, 1])
    # Here it becomes a pixel higher.
    rows = tf.minimum(rows + _below(rows, ratio, allowed), most)
    columns = tf.clip_by_value(tf.round(rows * ratio), 1.0, width)
    # The last position is never drawn.
    top = tf.floor((height - rows) * draws[:, 2])
    left = tf.floor((width - columns) * draws[:, 3])
    return top / height, left / width, rows / height, columns / width


def _below(rows: Any, ratio: Any, area: float) -> Any:
    """1 where a part of so many rows is smaller than the area, otherwise 0."""
    return tf.cast(rows * tf.round(rows * ratio) < area, tf.float32)


def torchvision(
    draws: Tensor, area_min: float, aspect: tuple[float, float], size: tuple[int, int]
) -> Boxes:
    """The law of torchvision's `RandomResizedCrop`.

    Area uniform and aspect ratio log-uniform, drawn up to ten times until the part, in whole
    pixels, fits, so that large areas are rejected more often; then the largest part at the centre
    whose ratio is allowed. 22 draws.

    Source: torchvision/transforms/transforms.py (`RandomResizedCrop.get_params`).
    """
    height, width = float(size[0]), float(size[1])
    attempts = tf.reshape(draws[:, : 2 * ATTEMPTS], [-1, ATTEMPTS, 2])
    area = height * width * (area_min + (1.0 - area_min) * attempts[..., 0])
    low, high = tf.math.log(aspect[0]), tf.math.log(aspect[1])
    ratio = tf.exp(low + (high - low) * attempts[..., 1])
    columns, rows = tf.round(tf.sqrt(area * ratio)), tf.round(tf.sqrt(area / ratio))
    fits = (columns <= width) & (rows <= height) & (columns > 0) & (rows > 0)
    first = tf.argmax(tf.cast(fits, tf.int32), axis=1)
    columns, rows = (tf.gather(sides, first, axis=1, batch_dims=1) for sides in (columns, rows))
    image_aspect = width / height
    centre_rows = tf.round(width / aspect[0]) if image_aspect < aspect[0] else height
    centre_columns = tf.round(height * aspect[1]) if image_aspect > aspect[1] else width
    found = tf.reduce_any(fits, axis=1)
    rows = tf.where(found, rows, centre_rows)
    columns = tf.where(found, columns, centre_columns)
    spare_rows, spare_columns = height - rows, width - columns
    top = tf.where(found, (spare_rows + 1.0) * draws[:, -2], spare_rows / 2.0)
    left = tf.where(found, (spare_columns + 1.0) * draws[:, -1], spare_columns / 2.0)
    return tf.floor(top) / height, tf.floor(left) / width, rows / height, columns / width


LAWS = {
    "uniform": CropLaw(4, uniform),
    "official": CropLaw(4, official),
    "torchvision": CropLaw(2 * ATTEMPTS + 2, torchvision),
}
