"""The laws of crops, against the operation of TensorFlow and torchvision's loop."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.config import Config
from ssl_keras.views import CROP_LAWS
from ssl_keras.views.crops import LAWS
from ssl_keras.views.layers import RandomResizedCrop

COUNT = 20_000
ASPECT = (3 / 4, 4 / 3)


def drawn(law: str, area_min: float, size: tuple[int, int]) -> np.ndarray:
    """Boxes (COUNT, 4) in pixels: top, left, height, width."""
    draws = np.random.default_rng(0).random((COUNT, LAWS[law].num_draws), np.float32)
    layer = RandomResizedCrop(area_min, law=law)
    boxes = np.stack([part.numpy() for part in layer.boxes(tf.constant(draws), *size)], axis=1)
    return boxes * np.array([size[0], size[1], size[0], size[1]])


def of_tensorflow(area_min: float, size: tuple[int, int]) -> np.ndarray:
    """The same by the operation that the authors' code calls."""

    def box(seed: tf.Tensor) -> tf.Tensor:
        begin, extent, _ = tf.image.stateless_sample_distorted_bounding_box(
            tf.constant([*size, 1]),
            tf.constant([0.0, 0.0, 1.0, 1.0], shape=[1, 1, 4]),
            seed=tf.stack([seed, 1]),
            min_object_covered=0.1,
            aspect_ratio_range=[a * size[1] / size[0] for a in ASPECT],
            area_range=(area_min, 1.0),
            max_attempts=100,
            use_image_if_no_bounding_boxes=True,
        )
        return tf.concat([begin[:2], extent[:2]], axis=0)

    seeds = tf.range(COUNT, dtype=tf.int32)
    return tf.function(lambda s: tf.map_fn(box, s, fn_output_signature=tf.int32))(seeds).numpy()


def of_torchvision(area_min: float, size: tuple[int, int]) -> np.ndarray:
    """The same by a loop, after `RandomResizedCrop.get_params`."""
    generator = np.random.default_rng(1)
    height, width = size
    boxes = []
    for _ in range(COUNT):
        for _ in range(10):
            area = height * width * generator.uniform(area_min, 1)
            ratio = math.exp(generator.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                top = generator.integers(0, height - h + 1)
                left = generator.integers(0, width - w + 1)
                break
        else:
            if width / height < ASPECT[0]:
                w, h = width, round(width / ASPECT[0])
            elif width / height > ASPECT[1]:
                w, h = round(height * ASPECT[1]), height
            else:
                w, h = width, height
            top, left = (height - h) // 2, (width - w) // 2
        boxes.append((top, left, h, w))
    return np.array(boxes)


@pytest.mark.parametrize(
    ("law", "area_min", "mean"),
    [
        ("uniform", 0.08, 0.540),
        ("uniform", 0.5, 0.75),
        ("official", 0.08, 0.421),
        ("official", 0.5, 0.676),
        ("torchvision", 0.5, 0.693),
        ("torchvision", 0.08, 0.478),
    ],
)
def test_the_mean_area_is_that_of_the_law(law: str, area_min: float, mean: float) -> None:
    boxes = drawn(law, area_min, (224, 224))
    assert np.mean(boxes[:, 2] * boxes[:, 3]) / 224**2 == pytest.approx(mean, abs=0.006)


@pytest.mark.full
@pytest.mark.parametrize("size", [(28, 28), (224, 224), (60, 100), (40, 20)])
@pytest.mark.parametrize("area_min", [0.08, 0.5])
@pytest.mark.parametrize(
    ("law", "reference"), [("official", of_tensorflow), ("torchvision", of_torchvision)]
)
def test_boxes_are_distributed_like_those_of_the_reference(
    law: str, reference: Callable[..., np.ndarray], area_min: float, size: tuple[int, int]
) -> None:
    ours, theirs = drawn(law, area_min, size), reference(area_min, size)
    np.testing.assert_allclose(ours, np.round(ours), atol=1e-3)  # whole pixels
    assert np.all(ours[:, :2] >= -1e-3)
    assert np.all(ours[:, :2] + ours[:, 2:] <= np.array(size) + 1e-3)

    def described(boxes: np.ndarray) -> dict[str, np.ndarray]:
        top, left, height, width = np.round(boxes).astype(float).T
        sides = {"height": height, "width": width, "area": np.sqrt(height * width)}
        room = {"top": top - (size[0] - height) / 2, "left": left - (size[1] - width) / 2}
        return sides | room | {"log aspect": np.log(width / height)}

    here, there = described(ours), described(theirs)
    for name, values in here.items():
        scale = max(np.std(there[name]), 1e-9)
        assert abs(values.mean() - there[name].mean()) < 0.05 * scale, name
        quantiles = np.linspace(0.05, 0.95, 10)
        difference = np.quantile(values, quantiles) - np.quantile(there[name], quantiles)
        # A pixel, or a twentieth of the standard deviation.
        pixel = 1.0 if name != "log aspect" else 1.5 / min(size)
        assert np.abs(difference).max() <= max(pixel, 0.1 * scale), name


def test_the_laws_are_those_of_the_flag_and_are_recorded() -> None:
    assert tuple(LAWS) == CROP_LAWS
    config = Config.make(crop_law="official")
    assert config.flat()["crop_law"] == "official"
    whole = RandomResizedCrop(1.0, size=(8, 8), law="torchvision")
    boxes = whole.boxes(tf.zeros((3, 22)), 16, 16)
    np.testing.assert_array_equal(tf.stack(boxes, axis=1), [[0, 0, 1, 1]] * 3)
