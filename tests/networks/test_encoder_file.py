"""Encoders from a file and from `keras.applications`: they train, or are refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import datasets, randomness
from ssl_keras.config import Config
from ssl_keras.datasets import DataSet
from ssl_keras.errors import UserError
from ssl_keras.networks import ENCODERS, Encoder
from ssl_keras.networks.dropout import KeyedDropout, dropout_keys, with_dropout
from ssl_keras.run import build
from ssl_keras.run.loop import batches
from ssl_keras.run.setup import slow_batch_norm

layers = keras.layers


def saved(folder: Path, inputs: Any, outputs: Any) -> str:
    return save(keras.Model(inputs, outputs), folder)


def save(model: Any, folder: Path) -> str:
    model.save(folder / "encoder.keras")
    return str(folder / "encoder.keras")


def from_file(file: str, shape: tuple[int, ...] = (6,), dropout_rate: float = 0.0) -> Any:
    return ENCODERS.get("keras", encoder_file=file).build(shape, "float32", dropout_rate)


def dense(units: int = 4, shape: tuple[int, ...] = (6,)) -> tuple[Any, Any]:
    inputs = keras.Input(shape)
    return inputs, layers.Dense(units, "relu")(inputs)


@pytest.fixture(scope="module")
def wine() -> DataSet:
    return datasets.load("table", source="wine")


def setup(data: DataSet, file: str) -> Any:
    values: dict[str, Any] = {"encoder": "keras", "encoder_file": file}
    values |= {"loss": "nt_xent", "heads": "", "batch_size": 16, "steps": 1, "jit": "off"}
    dataset = "table" if data.modality.name == "vectors" else "bit_concat"
    return build(Config.make(dataset=dataset, **values), data)


def trained(training_setup: Any) -> list[np.ndarray]:
    """The encoder's trainable weights after one step."""
    training_setup.model.make_train_function()
    training_setup.model.train_function(iter(batches(training_setup, 0)))
    return [variable.numpy() for variable in training_setup.model.encoder.trainable_variables]


@pytest.mark.full
def test_training_begins_with_the_weights_in_the_file(wine: DataSet, tmp_path: Path) -> None:
    model = keras.Model(*dense(shape=(13,)))
    training_setup = setup(wine, save(model, tmp_path))
    encoder = training_setup.model.encoder
    for weights, value in zip(encoder.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(weights, value)
    x = np.random.default_rng(0).normal(size=(5, 13)).astype(np.float32)
    kernel, bias = model.get_weights()
    np.testing.assert_allclose(encoder(x), np.maximum(x @ kernel + bias, 0), rtol=1e-5, atol=1e-6)
    for weights, value in zip(trained(training_setup), model.get_weights(), strict=True):
        assert np.abs(weights - value).max() > 1e-5
    # The file itself stays as it is.
    again = keras.models.load_model(tmp_path / "encoder.keras").get_weights()
    np.testing.assert_array_equal(again[0], kernel)


def test_a_keras_model_is_given_in_place_of_a_name(wine: DataSet) -> None:
    model = keras.Model(*dense(shape=(13,)))
    config = Config.make(dataset="table", encoder=model, heads="", batch_size=16, steps=1)
    assert config.network.encoder == "keras"
    encoder = build(config, wine).model.encoder
    np.testing.assert_array_equal(encoder.get_weights()[0], model.get_weights()[0])


@pytest.mark.exhaustive
def test_sides_of_any_length_take_those_of_the_data(bit_data: DataSet, tmp_path: Path) -> None:
    inputs = keras.Input((None, None, 4))
    outputs = layers.GlobalAveragePooling2D()(layers.Conv2D(5, 3, activation="relu")(inputs))
    training_setup = setup(bit_data, saved(tmp_path, inputs, outputs))
    assert training_setup.model.encoder.output_shape == (None, 5)
    before = training_setup.model.encoder.get_weights()
    assert all(map(np.any, [b - a for a, b in zip(before, trained(training_setup), strict=True)]))


def no_pooling(folder: Path) -> str:
    inputs = keras.Input((28, 28, 4))
    return saved(folder, inputs, layers.Conv2D(5, 3)(inputs))


def two_outputs(folder: Path) -> str:
    inputs, outputs = dense()
    return saved(folder, inputs, [outputs, outputs])


def two_inputs(folder: Path) -> str:
    pair = [keras.Input((6,)), keras.Input((6,))]
    return saved(folder, pair, layers.Add()(pair))


def text(folder: Path) -> str:
    (folder / "encoder.keras").write_text("no archive")
    return str(folder / "encoder.keras")


@pytest.mark.filterwarnings("ignore:You are saving a model that has not yet been built")
@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (
            no_pooling,
            (28, 28, 4),
            r"^This encoder gives outputs of the shape \(None, 26, 26, 5\); features \(batch, "
            r"dim\) are needed: end it with a pooling or a flattening layer\.$",
        ),
        (
            two_outputs,
            (6,),
            r"gives outputs of the shape \[\(None, 4\), \(None, 4\)\]; features \(batch, dim\)",
        ),
        (
            lambda folder: saved(folder, *dense()),
            (7,),
            r"^The encoder in .*encoder\.keras takes inputs of the shape \(None, 6\), but the data "
            r"give \(None, 7\)\.$",
        ),
        (
            lambda folder: saved(folder, *dense()),
            (28, 28, 1),
            r"takes inputs of the shape \(None, 6\), but the data give \(None, 28, 28, 1\)\.$",
        ),
        (two_inputs, (6,), r"takes inputs of the shape \[\(None, 6\), \(None, 6\)\], but the data"),
        (
            lambda folder: save(keras.Sequential([layers.Dense(3)]), folder),
            (6,),
            "takes inputs of the shape None, but the data give",
        ),
        (text, (6,), r"^encoder_file .*encoder\.keras cannot be read: "),
        (
            lambda folder: str(folder / "none.keras"),
            (6,),
            r"^encoder_file .*none\.keras cannot be read: File not found",
        ),
        (lambda folder: "", (6,), "^encoder=keras reads an encoder from a file: give --encoder_fi"),
    ],
    ids=[
        "4-d output", "two outputs", "length", "rank", "two inputs", "not built", "text", "missing",
        "none",
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_one_sentence(
    make: Callable[[Path], str], shape: tuple[int, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message) as caught:
        from_file(make(tmp_path), shape)
    assert "\n" not in str(caught.value)


def keys(count: int) -> tf.Tensor:
    return randomness.row_keys(randomness.uniform(randomness.key(0, "test"), (count,)))


def functional() -> Any:
    inputs = keras.Input((6,))
    x = layers.ReLU()(layers.Dense(40)(inputs))
    return keras.Model(inputs, layers.Activation("tanh")(layers.Dense(30)(x)))


def sequential() -> Any:
    inner = [layers.Dense(40), layers.ReLU(), layers.Dense(30), layers.Activation("tanh")]
    return keras.Sequential([keras.Input((6,)), *inner])


def nested() -> Any:
    inputs = keras.Input((6,))
    inner = keras.Sequential([layers.Dense(40), layers.ReLU()])
    return keras.Model(inputs, layers.Activation("tanh")(layers.Dense(30)(inner(inputs))))


@pytest.mark.parametrize("make", [functional, sequential, nested])
def test_dropout_reaches_the_layers_of_a_file(make: Callable[[], Any], tmp_path: Path) -> None:
    model = make()
    encoder = from_file(save(model, tmp_path), dropout_rate=0.5)
    assert sum(isinstance(layer, KeyedDropout) for layer in encoder._flatten_layers()) == 2
    x = tf.ones((64, 6))
    np.testing.assert_allclose(encoder(x, training=False), model(x), rtol=1e-6, atol=1e-6)
    with dropout_keys(keys(64)):
        features = encoder(x, training=True).numpy()
    # 1,920 draws of the last layer: half of them are 0, within five deviations.
    assert abs(np.mean(features == 0) - 0.5) < 5 * np.sqrt(0.25 / features.size)
    # The rows are equal, so entries that are kept differ by the masks of the first layer alone.
    kept = np.where(features == 0, np.nan, features)
    assert np.nanstd(kept, axis=0).min() > 1e-3


def test_dropout_without_a_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"^views=dropout drops outputs .* but this encoder has none: "
    ):
        from_file(saved(tmp_path, *dense()), dropout_rate=0.1)


@dataclass(frozen=True)
class Mobile(Encoder):
    """A small MobileNetV2 of Keras."""

    def network(self, x: Any) -> Any:
        network = keras.applications.MobileNetV2(
            include_top=False, weights=None, input_tensor=x, alpha=0.35, pooling="avg"
        )
        return network.output


@pytest.fixture(scope="module")
def mobile() -> Any:
    keras.utils.set_random_seed(0)
    return Mobile().build((32, 32, 3))


class TestApplications:
    def test_features_and_parameters_are_those_of_keras(self, mobile: Any) -> None:
        original = keras.applications.MobileNetV2(
            include_top=False, weights=None, input_shape=(32, 32, 3), alpha=0.35, pooling="avg"
        )
        assert mobile.output_shape == original.output_shape == (None, 1280)
        assert mobile.count_params() == original.count_params()
        original.set_weights(mobile.get_weights())
        images = tf.random.stateless_uniform((2, 32, 32, 3), (0, 0))
        np.testing.assert_allclose(
            mobile(images, training=False), original(images, training=False), rtol=1e-5, atol=1e-6
        )

    def test_its_slow_batch_norm_is_noticed(self, mobile: Any) -> None:
        assert slow_batch_norm(mobile) == 0.999
        for name in ("convnet", "resnet18"):
            fast = ENCODERS.get(name, width_multiplier=0.125).build((32, 32, 3))
            assert slow_batch_norm(fast) is None

    @pytest.mark.parametrize(
        ("momentum", "expected"), [(0.99, 0.99), (0.96, 0.96), (0.95, None), (0.9, None)]
    )
    def test_momenta_above_0_95_are_slow(self, momentum: float, expected: float | None) -> None:
        inputs = keras.Input((6,))
        inner = keras.Sequential([layers.Dense(3), layers.BatchNormalization(momentum=momentum)])
        assert slow_batch_norm(keras.Model(inputs, inner(inputs))) == expected

    def test_dropout_keeps_its_weights(self, mobile: Any) -> None:
        copy = with_dropout(mobile, 0.2)
        for weights, value in zip(copy.get_weights(), mobile.get_weights(), strict=True):
            np.testing.assert_array_equal(weights, value)
        count = sum(isinstance(layer, layers.ReLU) for layer in mobile.layers)
        dropouts = [layer for layer in copy.layers if isinstance(layer, KeyedDropout)]
        assert [layer.number for layer in dropouts] == list(range(count))
        images = tf.random.stateless_uniform((2, 32, 32, 3), (0, 0))
        np.testing.assert_allclose(
            copy(images, training=False), mobile(images, training=False), rtol=1e-5, atol=1e-6
        )
