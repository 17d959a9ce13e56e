"""The models of the methods in a program of plain Keras: ten lines, with `compile` and `fit`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import losses
from ssl_keras.config import Config
from ssl_keras.datasets import DataSet
from ssl_keras.errors import UserError
from ssl_keras.inputs import Images, modality_of
from ssl_keras.methods import Autoencoder, Learner, SimCLR, Supervised, TwoTowers
from ssl_keras.run import build
from ssl_keras.run.loop import batches
from ssl_keras.views.augmenter import build_augmenter

GENERATOR = np.random.default_rng(0)
IMAGES = GENERATOR.integers(0, 256, (24, 8, 8, 1)).astype(np.uint8)
CLASSES = np.arange(24) % 3
BITS = GENERATOR.integers(0, 2, (24, 2)).astype(np.float32)


def encoder(*shape: int) -> Any:
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), keras.layers.Dense(16, "relu"), keras.layers.Dense(6)]
    return keras.Sequential([keras.Input(shape), *layers])


def batched(data: Any) -> Any:
    return tf.data.Dataset.from_tensor_slices(data).batch(8)


def fitted(model: Any, data: Any, **compiling: Any) -> dict[str, list[float]]:
    model.compile(**compiling)
    history: dict[str, list[float]] = model.fit(
        batched(data), epochs=2, verbose=0, shuffle=False
    ).history
    assert int(model.step) == 6
    assert all(np.isfinite(values).all() for values in history.values())
    return history


def test_ten_lines_train_an_encoder() -> None:
    model = SimCLR(encoder(8, 8, 1), num_classes=3)
    before = [value.numpy() for value in model.encoder.trainable_variables]
    history = fitted(model, (IMAGES, CLASSES))
    assert set(history) == {
        "loss",
        "alignment",
        "distribution",
        "contrastive_accuracy",
        "linear_probe/class/accuracy",
    }
    moved = zip(before, model.encoder.trainable_variables, strict=True)
    assert not any(np.array_equal(old, new.numpy()) for old, new in moved)
    assert isinstance(model.contrastive_loss, type(losses.get("nt_xent")))
    features = model.predict(IMAGES, verbose=0)
    np.testing.assert_allclose(
        features, model.encoder(IMAGES.astype(np.float32) / 255), rtol=1e-5, atol=1e-6
    )
    for data in (batched((IMAGES, CLASSES)), batched({"image": IMAGES})):
        np.testing.assert_allclose(model.predict(data, verbose=0), features, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def pairs_history() -> dict[str, list[float]]:
    return fitted(SimCLR(encoder(8, 8, 1), num_classes=3), (IMAGES, CLASSES))


@pytest.mark.full
@pytest.mark.parametrize(
    "data",
    [
        {"example": {"image": IMAGES}, "labels": {"class": CLASSES}},
        pytest.param((IMAGES.astype(np.float32) / 255, CLASSES), marks=pytest.mark.full),
        pytest.param(({"image": IMAGES}, {"class": CLASSES}), marks=pytest.mark.full),
    ],
    ids=["data set", "floats", "dictionaries"],
)
def test_every_form_of_a_batch_is_the_same_batch(
    data: Any, pairs_history: dict[str, list[float]]
) -> None:
    history = fitted(SimCLR(encoder(8, 8, 1), num_classes=3), data)
    for name, values in pairs_history.items():
        np.testing.assert_allclose(history[name], values, rtol=1e-3, err_msg=name)


@pytest.mark.full
def test_bits_are_channels_with_a_probe_of_their_own() -> None:
    model = SimCLR(encoder(8, 8, 3), num_bits=2, num_classes=3)
    history = fitted(model, ({"image": IMAGES, "bits": BITS}, CLASSES), loss="uniform_prior")
    assert {"linear_probe/class/accuracy", "linear_probe/bits/accuracy"} <= set(history)
    features = model.predict(batched({"image": IMAGES, "bits": BITS}), verbose=0)
    planes = np.broadcast_to(BITS[:, None, None], (24, 8, 8, 2))
    inputs = np.concatenate([IMAGES / 255, planes], axis=-1).astype(np.float32)
    np.testing.assert_allclose(features, model.encoder(inputs), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model.predict(inputs, verbose=0), features, rtol=1e-5, atol=1e-6)


@pytest.mark.full
def test_vectors_need_no_more() -> None:
    x = GENERATOR.normal(size=(24, 5)).astype(np.float32)
    model = SimCLR(encoder(5), num_classes=3)
    assert "linear_probe/class/accuracy" in fitted(model, (x, CLASSES))
    np.testing.assert_allclose(model.predict(x, verbose=0), model.encoder(x), rtol=1e-5, atol=1e-6)
    assert set(fitted(SimCLR(encoder(5)), {"x": x})) >= {"loss"}


@pytest.mark.full
def test_the_baselines_need_no_more() -> None:
    supervised = Supervised(encoder(8, 8, 1), num_classes=3)
    assert set(fitted(supervised, (IMAGES, CLASSES))) == {"loss", "supervised/class/accuracy"}
    autoencoder = Autoencoder(encoder(8, 8, 3), num_bits=2)
    history = fitted(autoencoder, {"image": IMAGES, "bits": BITS})
    assert set(history) == {"loss", "example_error", "extra_channels_error"}
    assert autoencoder.extra_channels_weight == 2
    assert "extra_channels_error" not in fitted(Autoencoder(encoder(8, 8, 1)), IMAGES)


@pytest.mark.exhaustive
def test_two_towers_take_pairs() -> None:
    augmenter = build_augmenter(Images((8, 8, 1), 1), "none", given_pairs=True)
    model = TwoTowers(encoder(8, 8, 1), partner_encoder=encoder(8, 8, 1), augmenter=augmenter)
    fitted(model, {"example": {"image": IMAGES}, "partner": {"image": 255 - IMAGES}})


def test_the_defaults_are_those_of_a_run(bit_data: DataSet) -> None:
    setup = build(Config.make(loss="nt_xent", num_bits=3, batch_size=32, steps=3), bit_data)
    batch = next(iter(batches(setup, 0)))
    plain = SimCLR(setup.model.encoder, num_bits=3)
    for ours, theirs in zip(
        plain.projection_head.weights, setup.model.projection_head.weights, strict=True
    ):
        ours.assign(theirs)
    plain.compile()
    assert plain.modality == setup.data.modality
    expected = setup.model.augmenter.two_views(batch, 0)[0]["image"]
    np.testing.assert_array_equal(plain.augmenter.two_views(batch, 0)[0]["image"], expected)
    loss = plain.train_step(batch["example"])["loss"]
    setup = build(setup.config, bit_data)
    np.testing.assert_allclose(loss, setup.model.train_step(batch)["loss"], rtol=1e-5)


def test_views_are_chosen_by_name_or_operation() -> None:
    names = {
        "none": "",
        "small_rgb": "crop to 0.08 of the area",
        "auto": "crop to 0.08 of the area",
    }
    for augmentation, text in names.items():
        model = SimCLR(encoder(8, 8, 3), augmentation=augmentation)
        assert model.augmenter.describe().startswith(text)
    model = SimCLR(encoder(8, 8, 3), augmentation={"crop_area_min": 1.0, "flip": True})
    assert model.augmenter.describe().startswith("flip")
    first, second = (
        SimCLR(encoder(8, 8, 3), seed=seed, augmentation="digits").augmenter for seed in (0, 1)
    )
    batch = {"example": {"image": np.repeat(IMAGES, 3, axis=-1)}}
    assert not np.array_equal(*(a.two_views(batch, 0)[0]["image"] for a in (first, second)))


def test_the_modality_of_a_network() -> None:
    assert modality_of((28, 28, 3), 2) == Images((28, 28, 1), 1, 2, augmentation="digits")
    assert modality_of((96, 96, 4)) == Images((96, 96, 4), 3, augmentation="large_rgb")
    assert modality_of((7,)).network_shape == (7,)


def step(model: Learner, data: Any) -> Any:
    model.compile()
    return model.fit(batched(data), verbose=0, shuffle=False)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: SimCLR(keras.Sequential([keras.layers.Dense(3)])), "begin it with keras.Input"),
        (
            lambda: SimCLR(
                keras.Sequential(
                    [keras.Input((None, None, 3)), keras.layers.GlobalAveragePooling2D()]
                )
            ),
            "takes inputs of the shape (None, None, 3); (height, width, channels) or (dim,)",
        ),
        (
            lambda: SimCLR(keras.Sequential([keras.Input((8, 8, 3)), keras.layers.ReLU()])),
            "end it with a pooling or a flattening layer",
        ),
        (lambda: SimCLR(encoder(8, 8, 3), num_bits=3), "num_bits is 3, but the encoder takes 3"),
        (lambda: SimCLR(encoder(8), num_bits=3), "num_bits is about images"),
        (lambda: SimCLR(encoder(8, 8, 3), augmentation="vectors"), "is not for images: choose"),
        (lambda: SimCLR(encoder(8, 8, 3), augmentation={"flop": True}), "flop has no effect on"),
        (lambda: Supervised(encoder(8, 8, 3)), "how many? Give num_classes."),
        (lambda: step(SimCLR(encoder(8, 8, 1), num_classes=3), IMAGES), "labels of the class"),
        (lambda: step(Supervised(encoder(8, 8, 1), num_classes=3), IMAGES), "labels of the class"),
        (
            lambda: step(SimCLR(encoder(8, 8, 1)), IMAGES).model.evaluate(batched(IMAGES)),
            "SimCLR has no evaluate and takes no validation_data",
        ),
    ],
)
def test_mistakes_are_one_sentence(mistake: Callable[[], Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        mistake()
    assert message in str(caught.value)
