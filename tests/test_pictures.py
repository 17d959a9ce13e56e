"""Pictures hold the pixels that they claim to show."""

from __future__ import annotations

import numpy as np

from ssl_keras import pictures


def test_grid_holds_images_views_and_bits_where_they_belong() -> None:
    images = np.linspace(0, 1, 2 * 8 * 8).reshape(2, 8, 8, 1)
    views_1, views_2 = images[:, ::-1], images[:, :, ::-1]
    bits = np.array([[1.0, 0.0], [0.0, 1.0]])
    grid = pictures.view_grid(images, views_1, views_2, bits)
    assert grid.shape == (2 + 3 * 10 + 6, 2 + 2 * 10, 3)
    for column in range(2):
        left = 2 + 10 * column
        for row, expected in enumerate((images, views_1, views_2)):
            top = 2 + 10 * row
            cell = grid[top : top + 8, left : left + 8]
            np.testing.assert_allclose(cell, np.repeat(expected[column], 3, axis=2), atol=1e-6)
        stripes = grid[33, left : left + 8, 0]
        assert (stripes[0] > 0.9) == (bits[column, 0] == 1)
        assert (stripes[5] > 0.9) == (bits[column, 1] == 1)


def test_grid_without_bits_and_in_colour() -> None:
    images = np.random.default_rng(0).random((3, 6, 5, 3))
    grid = pictures.view_grid(images, images, images)
    assert grid.shape == (2 + 3 * 8, 2 + 3 * 7, 3)
    np.testing.assert_allclose(grid[2:8, 2:7], images[0], atol=1e-6)


def test_enlarge_repeats_pixels() -> None:
    picture = np.arange(4).reshape(2, 2, 1)
    np.testing.assert_array_equal(
        pictures.enlarge(picture, 2)[..., 0],
        [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]],
    )
