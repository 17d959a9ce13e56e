"""Views: statistics of every operation against its definition, and where randomness comes from."""

from __future__ import annotations

import itertools
from typing import Any

import keras_cv
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.inputs.images import Images, to_float
from ssl_keras.views import layers as aug
from ssl_keras.views.augmenter import Augmenter
from ssl_keras.views.images import Chain, ImageTransform, build_chain
from ssl_keras.views.mixup import Mixup
from tests.tiers import first_in_check


def draws(count: int, columns: int, seed: int = 0) -> tf.Tensor:
    return tf.constant(np.random.default_rng(seed).random((count, columns)), tf.float32)


def photos(count: int, size: int = 16, seed: int = 0) -> tf.Tensor:
    generator = np.random.default_rng(seed)
    return tf.constant(generator.random((count, size, size, 3)), tf.float32)


FULL = {
    "channels": 3,
    "crop_area_min": 0.08,
    "flip": True,
    "color_strength": 0.5,
    "grayscale": 0.2,
    "blur": 0.5,
}


def images_only(chain: Chain, seed: int = 0, mixup: Mixup | None = None) -> Augmenter:
    """The augmenter of examples {"image": ...}."""
    return Augmenter(
        lambda example: {**example, "image": to_float(example["image"])},
        ImageTransform(chain),
        seed,
        mixup,
    )


def build_augmenter(
    seed: int = 0, mixup: Mixup | None = None, compiled: bool = False, **operations: Any
) -> Augmenter:
    return images_only(build_chain(**operations, compiled=compiled), seed, mixup)


def two_views(augmenter: Augmenter, images: Any, step: Any, **position: Any) -> Any:
    """Both views of images, (2 batch, height, width, channels)."""
    return augmenter.two_views({"example": {"image": images}}, step, **position)[0]["image"]


def mixup(kind: str, alpha: float, extra_channels: bool = False, channels: int = 1) -> Mixup:
    """Mixup of images whose first `channels` channels are the picture."""
    return Mixup(kind, alpha, Images((16, 16, channels), channels).mix, extra_channels)


def mixed_images(layer: Mixup, images: Any, random: Any) -> Any:
    return layer({"image": images}, random)["image"]


class TestRandomResizedCrop:
    def test_whole_image_is_unchanged(self) -> None:
        layer = aug.RandomResizedCrop(1.0, aspect=(1.0, 1.0))
        images = photos(3)
        np.testing.assert_allclose(layer(images, draws(3, 4)), images, atol=1e-6)

    @pytest.mark.parametrize("image_aspect", [1.0, 2.0])
    def test_boxes_have_the_stated_distribution(self, image_aspect: float) -> None:
        layer = aug.RandomResizedCrop(0.08)
        top, left, height, width = (
            v.numpy() for v in layer.boxes(draws(40_000, 4), 100, round(100 * image_aspect))
        )
        area = height * width
        assert area.min() > 0.0799
        assert np.all(top >= 0)
        assert np.all(top + height <= 1 + 1e-6)
        assert np.all(left >= 0)
        assert np.all(left + width <= 1 + 1e-6)
        if image_aspect == 1.0:
            # Area uniform in (0.08, 1); the aspect in pixels within (3/4, 4/3).
            np.testing.assert_allclose(np.histogram(area, 4, (0.08, 1))[0] / 1e4, 1, atol=0.04)
            pixels = width / height
            assert pixels.min() > 0.7499
            assert pixels.max() < 1.3334
            small = area < 0.5  # any ratio of the range fits: log-uniform
            logs = np.log(pixels[small]) / np.log(4 / 3)
            np.testing.assert_allclose(
                np.histogram(logs, 4, (-1, 1))[0] / small.sum(), 0.25, atol=0.01
            )
            # Positions are uniform over what is left.
            np.testing.assert_allclose(np.mean(top[small] / (1 - height[small])), 0.5, atol=0.01)

    def test_equals_a_loop_of_bilinear_samples(self) -> None:
        layer, images, random = aug.RandomResizedCrop(0.2), photos(4, 9), draws(4, 4)
        result = layer(images, random).numpy()
        boxes = np.stack([v.numpy() for v in layer.boxes(random, 28, 28)], axis=1)
        source = images.numpy()
        for n, (top, left, height, width) in enumerate(boxes):
            for i in range(9):
                for j in range(9):
                    y = np.clip((top + height * (i + 0.5) / 9) * 9 - 0.5, 0, 8)
                    x = np.clip((left + width * (j + 0.5) / 9) * 9 - 0.5, 0, 8)
                    y0, x0 = int(y), int(x)
                    y1, x1 = min(y0 + 1, 8), min(x0 + 1, 8)
                    fy, fx = y - y0, x - x0
                    expected = (
                        source[n, y0, x0] * (1 - fy) * (1 - fx)
                        + source[n, y0, x1] * (1 - fy) * fx
                        + source[n, y1, x0] * fy * (1 - fx)
                        + source[n, y1, x1] * fy * fx
                    )
                    np.testing.assert_allclose(result[n, i, j], expected, atol=1e-5)

    def test_one_channel_equals_three(self) -> None:
        layer, random = aug.RandomResizedCrop(0.2), draws(4, 4)
        gray = photos(4)[..., :1]
        three = tf.repeat(gray, 3, axis=3)
        np.testing.assert_allclose(
            tf.repeat(layer(gray, random), 3, axis=3), layer(three, random), atol=1e-6
        )


def test_flip_mirrors_half_of_the_images_exactly() -> None:
    layer, images, random = aug.RandomFlip(), photos(2000, 4), draws(2000, 1)
    result = layer(images, random).numpy()
    flipped = random.numpy()[:, 0] > 0.5
    np.testing.assert_array_equal(result[flipped], images.numpy()[flipped][:, :, ::-1])
    np.testing.assert_array_equal(result[~flipped], images.numpy()[~flipped])
    assert 0.45 < flipped.mean() < 0.55


BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


def by_keras_cv(kind: int, images: Any, factor: float) -> Any:
    """One operation of the jitter with keras-cv's pixel code; brightness it has in another form."""
    count = len(images)
    if kind == BRIGHTNESS:
        return tf.clip_by_value(images * factor, 0.0, 1.0)
    if kind == CONTRAST:
        layer = keras_cv.layers.RandomContrast(value_range=(0, 1), factor=0.5)
        return layer.augment_images(images, tf.fill((count, 1, 1, 1), factor))
    if kind == SATURATION:
        layer = keras_cv.layers.RandomSaturation(factor=(0.5, 0.5))
        # It multiplies by y = x / (1 - x): this is the x at which y is the factor.
        return layer.augment_images(images, tf.fill((count,), factor / (1.0 + factor)))
    layer = keras_cv.layers.RandomHue(factor=(0.0, 0.0), value_range=(0, 1))
    return layer.augment_images(images, tf.fill((count,), factor))


def jitter(kinds: tuple[int, ...], values: list[float], strength: float) -> Any:
    """The draws of one image at which the jitter does `kinds` in this order, with these values
    (brightness, contrast, saturation, hue)."""
    position = list(itertools.permutations(range(4))).index(kinds)
    low, high = max(0.0, 1 - 0.8 * strength), 1 + 0.8 * strength
    drawn = [(value - low) / (high - low) for value in values[:3]]
    drawn.append((values[3] / (0.2 * strength) + 1) / 2)
    return tf.constant([[0.0, (position + 0.5) / 24, *drawn]], tf.float32)


@pytest.mark.full
@pytest.mark.parametrize("strength", [pytest.param(0.5, marks=pytest.mark.exhaustive), 1.0])
def test_jitter_does_what_keras_cv_does_in_the_drawn_order(strength: float) -> None:
    generator = np.random.default_rng(0)
    gray = tf.repeat(photos(1, 4)[..., :1], 3, axis=-1)
    low, high = max(0.0, 1 - 0.8 * strength), 1 + 0.8 * strength
    for images in (photos(1, 5), gray, tf.zeros((1, 2, 2, 3)), tf.ones((1, 2, 2, 3))):
        for kinds in itertools.permutations(range(4)):
            values = [*generator.uniform(low, high, 3), generator.uniform(-0.2, 0.2) * strength]
            expected = images
            for kind in kinds:
                expected = by_keras_cv(kind, expected, values[kind])
            measured = aug.ColorJitter(strength)(images, jitter(kinds, values, strength))
            np.testing.assert_allclose(measured, expected, atol=2e-5)


def test_each_image_has_an_order_of_its_own() -> None:
    images, random = photos(50, 3), draws(50, 6)
    together = aug.ColorJitter(0.7)(images, random)
    for row in range(50):
        alone = aug.ColorJitter(0.7)(images[row : row + 1], random[row : row + 1])
        np.testing.assert_allclose(together[row], alone[0], atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "ends"),
    [
        (BRIGHTNESS, (0.6, 1.4)),
        (CONTRAST, (0.6, 1.4)),
        (SATURATION, (0.6, 1.4)),
        (HUE, (-0.1, 0.1)),
    ],
)
def test_factors_are_uniform_over_the_stated_range(kind: int, ends: tuple[float, float]) -> None:
    count = 4000
    drawn = np.full((count, 6), 0.5, np.float32)  # factors of 1, no turn
    drawn[:, 0] = 0.0
    drawn[:, 2 + kind] = np.random.default_rng(0).random(count)
    images = tf.tile(0.3 + 0.2 * photos(1, 4), (count, 1, 1, 1))
    result = aug.ColorJitter(0.5)(images, tf.constant(drawn)).numpy()
    if kind == BRIGHTNESS:
        measured = result.mean(axis=(1, 2, 3)) / images.numpy().mean(axis=(1, 2, 3))
    elif kind == CONTRAST:
        measured = result.std(axis=(1, 2)).mean(axis=1) / images.numpy().std(axis=(1, 2)).mean(
            axis=1
        )
    else:
        before, after = (tf.image.rgb_to_hsv(x).numpy()[:, 0, 0] for x in (images, result))
        turned = (after[:, 0] - before[:, 0] + 0.5) % 1 - 0.5
        measured = turned if kind == HUE else after[:, 1] / before[:, 1]
    np.testing.assert_allclose([measured.min(), measured.max()], ends, atol=0.01)
    np.testing.assert_allclose(np.histogram(measured, 4, ends)[0] / (count / 4), 1, atol=0.12)


def test_grayscale_with_the_stated_probability() -> None:
    images, random = photos(4000, 2), draws(4000, 1)
    result = aug.RandomGrayscale(0.2)(images, random).numpy()
    gray = np.abs(result - result[..., :1]).max(axis=(1, 2, 3)) < 1e-6
    np.testing.assert_allclose(gray.mean(), 0.2, atol=0.02)
    np.testing.assert_array_equal(result[~gray], images.numpy()[~gray])
    luma = images.numpy()[gray] @ np.array([0.2989, 0.587, 0.114], np.float32)
    np.testing.assert_allclose(result[gray][..., 0], luma, atol=1e-4)


def test_jitter_has_the_stated_probability() -> None:
    layer = aug.ColorJitter(1.0)
    images, random = photos(1, 4), draws(3000, 6).numpy()
    images = tf.repeat(images, 3000, axis=0)
    result = layer(images, tf.constant(random)).numpy()
    unchanged = np.abs(result - images.numpy()).max(axis=(1, 2, 3)) == 0
    np.testing.assert_allclose(unchanged.mean(), 0.2, atol=0.025)
    assert result.min() >= 0
    assert result.max() <= 1


def test_blur_keeps_the_mean_and_spreads_by_sigma() -> None:
    size = 41
    image = np.zeros((1, size, size, 3), np.float32)
    image[0, 20, 20] = 1.0
    layer = aug.RandomBlur(1.0, kernel_share=0.5)
    for random in (0.5, 0.9):
        result = layer(tf.constant(image), tf.constant([[0.0, random]])).numpy()[0, :, :, 0]
        np.testing.assert_allclose(result.sum(), 1.0, rtol=1e-4)
        offsets = np.arange(size) - 20
        variance = float((result.sum(axis=1) * offsets**2).sum())
        np.testing.assert_allclose(np.sqrt(variance), 0.1 + 1.9 * random, rtol=0.02)
    unchanged = layer(tf.constant(image), tf.constant([[0.9999, 0.5]]))
    assert aug.RandomBlur(0.5)(tf.constant(image), tf.constant([[0.6, 0.5]])).numpy().max() == 1.0
    assert unchanged.numpy().max() < 1.0


def test_constant_images_stay_constant_under_crop_and_blur() -> None:
    images = tf.fill((5, 12, 12, 3), 0.3)
    augmenter = Chain([aug.RandomResizedCrop(0.1), aug.RandomBlur(1.0)])
    np.testing.assert_allclose(augmenter(images, draws(5, 6)), 0.3, atol=1e-6)


def test_views_are_a_function_of_seed_step_view_and_position() -> None:
    images = tf.repeat(photos(1), 4, axis=0)
    augmenter = build_augmenter(**FULL, seed=1)
    first = two_views(augmenter, images, tf.constant(5)).numpy()
    np.testing.assert_array_equal(first, two_views(augmenter, images, tf.constant(5)))
    # The same image eight times: two views of four positions, all different.
    assert len(np.unique(first.reshape(8, -1), axis=0)) == 8
    assert np.abs(first - two_views(augmenter, images, tf.constant(6))).max() > 0
    other = build_augmenter(**FULL, seed=2)
    assert np.abs(first - two_views(other, images, tf.constant(5))).max() > 0


def test_replicas_draw_the_views_of_the_global_batch() -> None:
    images = photos(8)
    augmenter = build_augmenter(**FULL)
    whole = two_views(augmenter, images, tf.constant(3)).numpy()
    parts = [
        two_views(augmenter, images[row : row + 4], tf.constant(3), first_row=row, num_replicas=2)
        for row in (0, 4)
    ]
    first = np.concatenate([part[:4] for part in parts])
    second = np.concatenate([part[4:] for part in parts])
    np.testing.assert_allclose(np.concatenate([first, second]), whole, atol=1e-6)


@pytest.mark.full
def test_the_whole_recipe_compiles_under_xla_and_equals_eager() -> None:
    images = photos(6, 20)
    augmenter = build_augmenter(**FULL)
    eager = two_views(augmenter, images, tf.constant(3)).numpy()
    graph = tf.function(two_views)(augmenter, images, tf.constant(3)).numpy()
    compiled = tf.function(two_views, jit_compile=True)(augmenter, images, tf.constant(3)).numpy()
    np.testing.assert_allclose(graph, eager, atol=1e-5)
    np.testing.assert_allclose(compiled, eager, atol=1e-3)


def test_uint8_images_are_read_as_zero_to_one() -> None:
    images = tf.constant([[[[0], [255]], [[51], [102]]]], tf.uint8)
    augmenter = Augmenter(Images((2, 2, 1), 1).prepare, ImageTransform(Chain()))
    views = two_views(augmenter, images, tf.constant(0))
    np.testing.assert_allclose(views[0, :, :, 0], [[0, 1], [0.2, 0.4]], atol=1e-6)


def test_runs_of_the_same_recipe_share_what_is_compiled() -> None:
    first, second = (build_augmenter(**FULL, seed=seed, compiled=True) for seed in (1, 2))
    other = build_augmenter(**{**FULL, "blur": 0.25}, seed=1, compiled=True)
    assert first.transform.chain is second.transform.chain
    assert first.transform.chain is not other.transform.chain
    assert (
        other.transform.chain.layers[-1].describe() != first.transform.chain.layers[-1].describe()
    )


def test_recipe_leaves_out_what_is_off() -> None:
    digits = build_augmenter(
        channels=1, crop_area_min=0.5, flip=False, color_strength=0, grayscale=0, blur=0
    )
    assert [type(layer).__name__ for layer in digits.transform.chain.layers] == [
        "RandomResizedCrop"
    ]
    names = [type(layer).__name__ for layer in build_augmenter(**FULL).transform.chain.layers]
    assert names == [
        "RandomResizedCrop",
        "RandomFlip",
        "ColorJitter",
        "RandomGrayscale",
        "RandomBlur",
    ]


class TestViewsSmallerThanImages:
    def test_the_whole_image_is_scaled_with_antialiasing(self) -> None:
        images = photos(3, size=30)
        layer = aug.RandomResizedCrop(1.0, size=(12, 10))
        expected = tf.image.resize(images, (12, 10), antialias=True)
        # Away from the borders, where TensorFlow's own filter is cut off.
        np.testing.assert_allclose(
            layer(images, draws(3, 4))[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1], atol=1e-5
        )

    def test_small_parts_keep_the_resolution_of_the_image(self) -> None:
        # A part of 8 of 32 pixels, at 8 pixels: the very pixels of the image.
        images = photos(1, size=32)
        matrix = aug.interpolation_matrix(tf.constant([0.25]), tf.constant([0.25]), 32, 8)
        np.testing.assert_allclose(tf.matmul(matrix, images[:, :, 0]), images[:, 8:16, 0])

    def test_views_have_the_size_and_the_same_boxes(self) -> None:
        images = photos(4, size=32)
        small = build_augmenter(**{**FULL, "blur": 0.0, "color_strength": 0.0}, size=(8, 8))
        views = two_views(small, images, tf.constant(0))
        assert views.shape == (8, 8, 8, 3)
        large = build_augmenter(**{**FULL, "blur": 0.0, "color_strength": 0.0})
        scaled = tf.image.resize(two_views(large, images, tf.constant(0)), (8, 8), antialias=True)
        assert float(tf.reduce_mean(tf.abs(scaled - views))) < 0.05


class TestExtraChannels:
    def two(self, extra_channels_move: bool, size: tuple[int, int] | None = None) -> tuple:
        picture = photos(6)
        # The extra channels are copies of a channel, so that a move can be recognised.
        images = tf.concat([picture, picture[..., :1], picture[..., :1] * 0 + 0.7], axis=-1)
        augmenter = build_augmenter(
            **{**FULL, "blur": 0.0}, extra_channels_move=extra_channels_move, size=size
        )
        views = two_views(augmenter, images, tf.constant(0))
        without = build_augmenter(**{**FULL, "blur": 0.0}, size=size)
        np.testing.assert_allclose(
            views[..., :3], two_views(without, picture, tf.constant(0)), atol=1e-6
        )
        return picture, views.numpy()

    def test_geometry_moves_them_and_colours_leave_them(self) -> None:
        picture, views = self.two(extra_channels_move=True)
        np.testing.assert_allclose(views[..., 4], 0.7, atol=1e-5)
        whole = build_augmenter(**{**FULL, "blur": 0.0})
        crop, flip = whole.transform.chain.layers[:2]
        random = draws(6, whole.transform.chain.num_draws)
        images = tf.concat([picture, picture[..., :1]], axis=-1)
        moved = flip(crop(picture, random[:, :4]), random[:, 4:5])
        np.testing.assert_allclose(
            whole.transform.chain(images, random)[..., 3], moved[..., 0], atol=1e-6
        )

    @pytest.mark.full
    def test_compiled_or_not_the_values_are_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        images = tf.concat([photos(16), photos(16, seed=1)[..., :1]], axis=-1)
        compiled, plain = (build_augmenter(**FULL, compiled=on) for on in (True, False))
        random = draws(16, plain.transform.chain.num_draws)
        calls = []
        layers = plain.transform.chain.layers
        for layer in layers:
            noted = lambda *inputs, call=layer.call: calls.append(1) or call(*inputs)  # noqa: E731
            monkeypatch.setattr(layer, "call", noted)
        expected = plain.transform.chain(images, random)
        assert len(calls) == len(layers)  # not compiled: every call runs Python
        plain.transform.chain(images, random)
        assert len(calls) == 2 * len(layers)
        np.testing.assert_allclose(compiled.transform.chain(images, random), expected, atol=1e-5)
        assert tf.reduce_max(expected) > 0.99  # some are clipped

    def test_they_stay_when_asked(self) -> None:
        picture, views = self.two(extra_channels_move=False)
        np.testing.assert_array_equal(views[:6, ..., 3], picture[..., 0])
        np.testing.assert_array_equal(views[6:, ..., 3], picture[..., 0])

    def test_bits_that_stay_are_scaled_to_the_views(self) -> None:
        picture, views = self.two(extra_channels_move=False, size=(8, 8))
        expected = tf.image.resize(picture, (8, 8), antialias=True)[..., 0]
        np.testing.assert_allclose(views[:6, 1:-1, 1:-1, 3], expected[:, 1:-1, 1:-1], atol=1e-5)

    @pytest.mark.parametrize("kind", ["linear", "geometric", "binary"])
    @pytest.mark.parametrize("bits", [False, True])
    def test_mixup_mixes_them_only_when_asked(self, kind: str, bits: bool) -> None:
        images = tf.concat([photos(8), photos(8, seed=1)[..., :2]], axis=-1)
        mixed = mixed_images(mixup(kind, 0.2, bits, channels=3), images, draws(8, 3))
        everything = mixed_images(mixup(kind, 0.2, channels=5), images, draws(8, 3))
        np.testing.assert_array_equal(mixed[..., :3], everything[..., :3])
        kept = everything if bits else images
        np.testing.assert_array_equal(mixed[..., 3:], kept[..., 3:])


class TestMixup:
    def test_linear_is_the_stated_average_with_another_image_of_the_same_view(self) -> None:
        batch = 6
        images = tf.reshape(tf.range(2.0 * batch), (-1, 1, 1, 1)) * tf.ones((1, 2, 2, 1))
        random = draws(2 * batch, 3)
        mixed = mixed_images(mixup("linear", 0.5), images, random)
        for row in range(2 * batch):
            share = 0.5 + 0.5 * float(random[row, 1])
            partner = (float(mixed[row, 0, 0, 0]) - share * row) / (1 - share)
            assert abs(partner - round(partner)) < 1e-3
            assert round(partner) // batch == row // batch
            assert round(partner) != row

    def test_partners_and_shares_are_uniform(self) -> None:
        # Image i is the unit vector i, so the mixed image names its partner and both shares.
        batch = 50
        images = tf.tile(tf.eye(batch), (2, 1))[:, None, None, :]
        partners, shares = [], []
        for seed in range(40):
            mixed = mixed_images(
                mixup("linear", 0.9, channels=batch), images, draws(2 * batch, 3, seed)
            )
            mixed = mixed.numpy()[:, 0, 0, :]
            positions = np.arange(2 * batch) % batch
            shares.append(mixed[np.arange(2 * batch), positions])
            mixed[np.arange(2 * batch), positions] = 0
            partners.append((mixed.argmax(axis=1) - positions) % batch)
        counts = np.bincount(np.concatenate(partners), minlength=batch)
        assert counts[0] == 0
        np.testing.assert_allclose(counts[1:] / counts.sum() * (batch - 1), 1.0, atol=0.4)
        shares = np.concatenate(shares)
        np.testing.assert_allclose([shares.min(), shares.max()], [0.9, 1.0], atol=1e-3)
        np.testing.assert_allclose(shares.mean(), 0.95, atol=2e-3)

    def test_geometric_mean(self) -> None:
        images = tf.reshape(tf.constant([0.25, 0.81, 0.5, 0.5]), (4, 1, 1, 1))
        random = tf.constant([[0.0, 0.0, 0.0]] * 4)
        mixed = mixed_images(mixup("geometric", 0.5), images, random)
        expected = [0.25**0.5 * 0.81**0.5] * 2 + [0.5] * 2
        np.testing.assert_allclose(mixed[:, 0, 0, 0], expected, rtol=1e-5)
        black = mixed_images(mixup("geometric", 0.5), tf.zeros((4, 1, 1, 1)), random)
        np.testing.assert_array_equal(black, 0.0)

    def test_binary_takes_whole_pixels_with_the_drawn_share(self) -> None:
        images = tf.reshape(tf.range(8.0), (8, 1, 1, 1)) * tf.ones((1, 40, 40, 3))
        random = draws(8, 3)
        mixed = mixed_images(mixup("binary", 0.6, channels=3), images, random)
        mixed = mixed.numpy()
        np.testing.assert_array_equal(mixed[..., 0], mixed[..., 2])
        for row in range(8):
            assert len(np.unique(mixed[row])) == 2
            share = 0.6 + 0.4 * float(random[row, 1])
            np.testing.assert_allclose(np.mean(mixed[row] == row), share, atol=0.05)

    @pytest.mark.parametrize("mixes", [False, True])
    def test_bits_are_mixed_only_when_asked(self, mixes: bool) -> None:
        images, bits = photos(8), tf.eye(8)
        layer = mixup("linear", 0.5, extra_channels=mixes, channels=3)
        batch = {"example": {"image": images, "bits": bits}}
        both, _ = images_only(Chain(), mixup=layer).two_views(batch, tf.constant(0))
        views, after = both["image"], both["bits"]
        assert np.abs(views[:8] - images).max() > 0.01
        unchanged = np.array_equal(after, np.concatenate([bits, bits]))
        assert unchanged != mixes
        np.testing.assert_allclose(tf.reduce_sum(after, axis=1), 1.0, rtol=1e-5)

    def test_views_have_their_own_partners(self) -> None:
        images = tf.eye(16)[:, None, None, :]
        augmenter = images_only(Chain(), mixup=mixup("linear", 0.5, channels=16))
        views = two_views(augmenter, images, tf.constant(3)).numpy()[:, 0, 0, :]
        views[np.arange(32), np.arange(32) % 16] = 0
        partners = views.argmax(axis=1)
        assert np.mean(partners[:16] == partners[16:]) < 0.5

    @pytest.mark.parametrize("kind", first_in_check(["linear", "binary"]))
    def test_compiled_equals_eager(self, kind: str) -> None:
        augmenter = build_augmenter(**FULL, mixup=mixup(kind, 0.6, channels=3))
        eager = two_views(augmenter, photos(8), tf.constant(3)).numpy()
        compiled = tf.function(two_views, jit_compile=True)(augmenter, photos(8), tf.constant(3))
        np.testing.assert_allclose(eager, compiled, atol=2e-3)
        assert f"{kind} mixup with a share of at least 0.6" in augmenter.describe()


def test_dropped_channels_are_zero_and_drawn_for_each_view_and_channel() -> None:
    images = np.full((400, 2, 2, 2), 0.5, np.float32)
    bits = np.ones((400, 3), np.float32)
    transform = ImageTransform(Chain(), channel_dropout=0.3, num_channels=5)
    assert transform.num_draws == 5
    draws = np.random.default_rng(0).random((400, 5), dtype=np.float32)
    view = transform({"image": tf.constant(images), "bits": tf.constant(bits)}, draws)
    kept = draws >= 0.3
    np.testing.assert_array_equal(view["bits"], kept[:, 2:])
    np.testing.assert_array_equal(view["image"], images * kept[:, None, None, :2])
    assert abs(np.mean(kept) - 0.7) < 0.03
    assert "0.3 of the channels dropped" in transform.describe()
    still = ImageTransform(Chain(), num_channels=5)
    assert still.num_draws == 0
    np.testing.assert_array_equal(still({"image": images}, draws[:, :0])["image"], images)
