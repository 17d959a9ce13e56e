"""Independent factors: each is what its label says, independent in testing, as correlated in
training as asked."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from ssl_keras import datasets
from ssl_keras.datasets import factors as module
from ssl_keras.datasets.factors import FACTORS, Factors, palette, texture
from ssl_keras.datasets.sources import glyphs
from ssl_keras.errors import UserError

ALL = ",".join(FACTORS)


def labels(split: str = "train", number: int = 20_000, **options: Any) -> dict[str, np.ndarray]:
    builder = Factors(**options)
    return builder.draw(split, number, builder.counts(None), seed=3)


def chi_squared(first: np.ndarray, second: np.ndarray) -> float:
    """The statistic of independence, in standard deviations from what independent ones have."""
    table = np.zeros((first.max() + 1, second.max() + 1))
    np.add.at(table, (first, second), 1)
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / table.sum()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    statistic = float(np.sum((table - expected) ** 2 / expected))
    return (statistic - freedom) / np.sqrt(2 * freedom)


@pytest.mark.parametrize("split", ["train", "test"])
def test_factors_are_uniform_and_independent(split: str) -> None:
    found = labels(split, factors=ALL)
    for name, values in found.items():
        share = np.bincount(values) / len(values)
        assert len(share) == FACTORS[name]
        np.testing.assert_allclose(share, 1 / len(share), atol=5 * np.sqrt(1 / 20_000 / len(share)))
    for one, other in itertools.combinations(found, 2):
        assert chi_squared(found[one], found[other]) < 4.5, (one, other)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 1.0])
def test_the_asked_correlation_holds_in_training_alone(share: float) -> None:
    options = {"factors": "character,color,size", "correlation": f"color:character:{share}"}
    train, test = labels("train", **options), labels("test", **options)
    agree = train["character"] % 8 == train["color"]
    expected = share + (1 - share) / 8
    error = 4 * np.sqrt(max(expected * (1 - expected), 1e-9) / len(agree)) + 1e-9
    assert abs(agree.mean() - expected) <= error
    assert abs(np.mean(test["character"] % 8 == test["color"]) - 1 / 8) < 0.01
    assert chi_squared(train["character"], train["size"]) < 4.5
    # The leader is what it is without a correlation.
    alone = labels("train", factors="character,color,size")
    np.testing.assert_array_equal(train["character"], alone["character"])


def test_correlations_in_a_chain() -> None:
    found = labels(
        factors="character,color,background",
        correlation="background:color:1,color:character:1",
        num_backgrounds=4,
    )
    np.testing.assert_array_equal(found["color"], found["character"] % 8)
    np.testing.assert_array_equal(found["background"], found["color"] % 4)


def test_what_does_not_vary_keeps_its_first_value() -> None:
    data = datasets.load("factors", factors="color", num_train_images=20, num_test_images=5)
    assert set(data.targets) == {"color"}
    found = labels(factors="color", number=50)
    assert all(not values.any() for name, values in found.items() if name != "color")


def pictures(count: int, side: int = 56, **values: Any) -> np.ndarray:
    """Images with given values of some factors; the others are 0."""
    counts = dict(FACTORS)
    rows = {name: np.resize(np.asarray(values.get(name, 0), np.int32), count) for name in FACTORS}
    atlas = glyphs.draw_atlas(tuple(glyphs.embedded_fonts()[:12]), glyphs.CHARACTERS[:20], 64)
    return module.paint(rows, counts, atlas, side, "test")


def test_colours_are_those_of_the_labels() -> None:
    images = pictures(64, color=np.arange(64) % 8, background=np.arange(64) // 8).astype(float)
    colors, backgrounds = palette(8, "color"), palette(8, "background")
    for k, image in enumerate(images):
        np.testing.assert_allclose(image[0, 0], backgrounds[k // 8], atol=0.51)
        brightest = image.reshape(-1, 3)[np.abs(image - image[0, 0]).sum(axis=-1).argmax()]
        np.testing.assert_allclose(brightest, colors[k % 8], atol=0.51)


def mass(images: np.ndarray) -> np.ndarray:
    """Where the character is: float (images, size, size)."""
    return np.abs(images.astype(float) - images[:, :1, :1]).sum(axis=-1)


@pytest.mark.full
def test_positions_and_sizes_are_those_of_the_labels() -> None:
    shown = mass(pictures(400, position=np.arange(400) % 4, size=3, character=8))
    total = shown.sum(axis=(1, 2))
    grid = np.arange(56) + 0.5
    rows = (shown.sum(axis=2) @ grid) / total
    columns = (shown.sum(axis=1) @ grid) / total
    found = 2 * (rows > 28) + (columns > 28)
    np.testing.assert_array_equal(found, np.arange(400) % 4)
    areas = mass(pictures(400, size=np.arange(400) % 4, character=8)).sum(axis=(1, 2))
    means = [areas[k::4].mean() for k in range(4)]
    ratio = (1.0 / 0.45) ** 2  # of the areas
    np.testing.assert_allclose(means[3] / means[0], ratio, rtol=0.1)
    assert np.all(np.diff(means) > 0)


def test_textures_differ_and_leave_the_mean() -> None:
    for size in (16, 32, 56):
        patterns = [texture(k, size) for k in range(6)]
        for pattern in patterns:
            assert abs(pattern.mean()) < 1e-9
        for one, other in itertools.combinations(patterns, 2):
            assert np.abs(one - other).mean() > 10


def test_images_of_equal_factors_differ_a_little() -> None:
    shown = pictures(50)
    assert len(np.unique(shown.reshape(50, -1), axis=0)) == 50
    varied = pictures(50, character=np.arange(50) % 20).astype(float)
    assert np.std(shown.astype(float), axis=0).mean() < np.std(varied, axis=0).mean()


def test_the_data_set_is_what_was_drawn() -> None:
    data = datasets.load(
        "factors", factors=ALL, num_train_images=40, num_test_images=20, image_size=40, seed=3,
        num_characters=30, num_colors=5,
    )  # fmt: skip
    assert data.input_shape == (40, 40, 3)
    assert data.targets["character"].names == tuple(glyphs.CHARACTERS[:30])
    assert data.targets["texture"].names == module.TEXTURES
    assert len(data.targets["font"].names) == 12
    assert data.targets["color"].size == 5
    expected = Factors(factors=ALL, num_colors=5)
    drawn = expected.draw("test", 20, expected.counts(30), seed=3)
    for name in FACTORS:
        np.testing.assert_array_equal(data.test.read_labels(name), drawn[name])
        share = np.bincount(drawn[name]).max() / 20
        assert data.targets[name].chance == pytest.approx(share)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factors": "character,colour"}, r"Unknown factor 'colour'. Did you mean 'color'\?"),
        ({"factors": ""}, "factors must be one or more different ones, not ''"),
        ({"factors": "color,color"}, "factors must be one or more different ones"),
        ({"num_positions": 6}, "num_positions is 6; the cells of a square grid are 4, 9, 16"),
        ({"correlation": "color"}, "correlation must be FACTOR:FACTOR:SHARE, such as color:char"),
        ({"correlation": "color:character:2"}, "correlation must be FACTOR:FACTOR:SHARE"),
        ({"correlation": "color:character:x"}, "correlation must be FACTOR:FACTOR:SHARE"),
        ({"correlation": "color:character:.5:1"}, "correlation must be FACTOR:FACTOR:SHARE"),
        ({"correlation": "size:character:0.5"}, "names 'size', which does not vary: factors are"),
        ({"correlation": "color:color:0.5"}, "correlation lets color follow itself"),
        (
            {"correlation": "color:font:0.5,font:color:0.5"},
            "correlation lets factors follow each other in a circle",
        ),
        ({"font_source": "mnist_5k"}, "font_source is 'mnist_5k'; glyphs or fonts:FOLDER"),
        ({"num_fonts": 17}, "num_fonts is 17, but there are 16 fonts: give a smaller --num_fonts"),
    ],
)
def test_mistakes_are_a_sentence(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        datasets.load("factors", num_train_images=4, num_test_images=2, **options)
