"""Pictures hold the pixels that they claim to show."""

from __future__ import annotations

import numpy as np

from ssl_keras import pictures


def test_rows_hold_images_bits_and_titles_where_they_belong() -> None:
    images = np.linspace(0, 1, 2 * 8 * 8).reshape(2, 8, 8, 1)
    bits = np.array([[1.0, 0.0], [0.0, 1.0]])
    channels = np.broadcast_to(bits[:, None, None, :], (2, 8, 8, 2))
    rows = {"image": np.concatenate([images, channels], axis=3), "view": images[:, ::-1]}
    picture = pictures.labelled_rows(rows, image_channels=1, pixels=8, titles=["a", "b\nc"])
    title, margin = 6 + 2 * 15, picture.shape[1] - 2 * 12
    assert picture.shape == (title + (8 + 4 + 4) + (8 + 4), margin + 2 * 12, 3)
    assert picture[:title, :margin].min() == 1 > picture[:title, margin:].min()
    assert picture[title:, :margin].min() < 0.5  # the names of the rows
    for column in range(2):
        left = margin + 12 * column + 2
        for top, expected in ((title + 2, images), (title + 16 + 2, images[:, ::-1])):
            cell = picture[top : top + 8, left : left + 8]
            np.testing.assert_allclose(cell, np.repeat(expected[column], 3, axis=2), atol=1e-6)
        stripes = picture[title + 2 + 8, left : left + 8, 0]
        assert (stripes[0] > 0.9) == (bits[column, 0] == 1)
        assert (stripes[5] > 0.9) == (bits[column, 1] == 1)


def test_rows_in_colour() -> None:
    images = np.random.default_rng(0).random((3, 6, 5, 3))
    picture = pictures.labelled_rows({"x": images}, pixels=6)
    margin = picture.shape[1] - 3 * 9
    np.testing.assert_allclose(picture[2:8, margin + 2 : margin + 7], images[0], atol=1e-6)


def test_enlarge_repeats_pixels() -> None:
    picture = np.arange(4).reshape(2, 2, 1)
    np.testing.assert_array_equal(
        pictures.enlarge(picture, 2)[..., 0],
        [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]],
    )


def test_a_long_title_is_shortened_and_keeps_its_distance_from_the_next_one() -> None:
    images = np.zeros((2, 60, 60, 1))
    picture = pictures.labelled_rows(
        {"x": images}, pixels=60, titles=["class: hubble_deep_field", "b"]
    )
    margin, height = picture.shape[1] - 2 * 64, 6 + 15
    assert picture[:height, margin : margin + 62].min() == 0
    np.testing.assert_array_equal(picture[:height, margin + 62 : margin + 66], 1)
    assert pictures._shortened("hubble_deep_field", 60).endswith("...")
    assert pictures._shortened("hubble", 60) == "hubble"
