"""Decoders: errors in closed form, and features that hold an image or nothing of it."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_keras.evaluators.base import FrozenFeatures, Inputs
from ssl_keras.evaluators.decoder import Decoder, Errors, blocks, reconstruction_errors
from ssl_keras.inputs import Images

GENERATOR = np.random.default_rng(0)


def pictures(codes: np.ndarray) -> np.ndarray:
    """8x8 images with the first code as the brightness of the left half, and the second as a
    constant bit channel."""
    images = np.zeros((len(codes), 8, 8, 2), np.float32)
    images[:, :, :4, 0] = codes[:, 0, None, None]
    images[..., 1] = codes[:, 1, None, None]
    return images


def sample(features: str) -> FrozenFeatures:
    train, test = (GENERATOR.random((n, 2)) for n in (300, 80))
    modality = Images((8, 8, 1), 1, num_bits=1)
    inputs = Inputs(lambda rows: pictures(train)[rows], lambda rows: pictures(test)[rows], modality)
    codes = {
        "all": (train, test),
        "image": (train[:, :1], test[:, :1]),
        "noise": (GENERATOR.random((300, 2)), GENERATOR.random((80, 2))),
    }[features]
    first, second = (np.asarray(split, np.float32) for split in codes)
    return FrozenFeatures(first, second, {}, {}, {}, inputs=inputs)


def test_errors_in_closed_form() -> None:
    images = GENERATOR.random((50, 3, 4, 5))
    mean = images.mean(axis=0)
    for guess, explained in ((images, 1.0), (np.broadcast_to(mean, images.shape), 0.0)):
        errors = Errors(mean, image_channels=3)
        for rows in blocks(50, 20):
            errors.add(images[rows], guess[rows])
        values = errors.values()
        parts = {"example": slice(0, 3), "extra_channels": slice(3, 5)}
        assert set(values) == {f"{part}_{key}" for part in parts for key in ("error", "explained")}
        for part, channels in parts.items():
            expected = np.mean((images - guess)[..., channels] ** 2)
            np.testing.assert_allclose(values[f"{part}_error"], expected)
            np.testing.assert_allclose(values[f"{part}_explained"], explained, atol=1e-12)
    alone = Errors(mean[..., :3], image_channels=3)
    alone.add(images[..., :3], images[..., :3] + 0.1)
    assert set(alone.values()) == {"example_error", "example_explained"}
    np.testing.assert_allclose(alone.values()["example_error"], 0.01)


@pytest.mark.full
@pytest.mark.parametrize(
    ("features", "image", "bits"),
    [
        ("image", (0.8, 1.0), (-0.6, 0.2)),
        pytest.param("all", (0.8, 1.0), (0.8, 1.0), marks=pytest.mark.exhaustive),
        pytest.param("noise", (-1, 0.2), (-1, 0.2), marks=pytest.mark.exhaustive),
    ],
)
def test_what_features_hold_is_reconstructed_and_nothing_else(
    features: str, image: tuple[float, float], bits: tuple[float, float]
) -> None:
    values = dict(Decoder(decoder_steps=150).evaluate(sample(features), seed=0))
    assert image[0] < values["example_explained"] < image[1]
    assert bits[0] < values["extra_channels_explained"] < bits[1]


def test_the_seed_decides_and_the_picture_shows_every_representation() -> None:
    head = Decoder(decoder_steps=5, decoder_shown=3)
    frozen = sample("all")
    first = dict(head.evaluate(frozen, seed=1))
    assert dict(head.evaluate(frozen, seed=1)) == first
    assert dict(head.evaluate(frozen, seed=2)) != first
    assert frozen.cache["decoder/shown"].shape == (3, 8, 8, 2)
    subjects = {"features": frozen, "untrained features": frozen, "not measured": sample("all")}
    ((name, picture),) = head.draw(subjects, seed=0)
    assert name == "reconstructions"
    # Test images, and two representations: three rows of images with a stripe below.
    assert picture.shape[0] == 3 * (64 + 8 + 4)
    assert not list(head.draw({"features": sample("all")}, seed=0))


def test_reconstructions_of_an_autoencoder() -> None:
    inputs = sample("all").inputs
    assert inputs is not None
    perfect = reconstruction_errors(lambda images: images, inputs, 300, 80)
    assert perfect["example_error"] == perfect["train_extra_channels_error"] == 0.0
    assert perfect["example_explained"] == perfect["train_example_explained"] == 1.0
    mean = inputs.train(np.arange(300)).mean(axis=0)
    ignorant = reconstruction_errors(lambda images: 0 * images + mean, inputs, 300, 80)
    np.testing.assert_allclose(ignorant["train_example_explained"], 0.0, atol=1e-6)
    np.testing.assert_allclose(ignorant["example_explained"], 0.0, atol=1e-6)
