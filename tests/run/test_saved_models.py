"""What a run leaves for others: a SavedModel, its card, and Keras' own files."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import ssl_keras
from ssl_keras.config import Config
from ssl_keras.errors import UserError
from ssl_keras.export import main
from ssl_keras.run import restore_run, train_and_evaluate
from tests.run.conftest import Story

BITS = np.array([[0, 1], [1, 1], [0, 0]], np.float32)


@pytest.fixture(scope="module")
def finished(story: Story) -> Path:
    return story.workdir


@pytest.fixture(scope="module")
def model(finished: Path) -> Any:
    return restore_run(finished).model


def digits(dtype: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1)).astype(dtype)


def composed(images: np.ndarray) -> np.ndarray:
    bits = np.broadcast_to(BITS[:, None, None], (3, 28, 28, 2))
    return np.concatenate([images.astype(np.float32) / 255, bits], axis=-1)


def test_signatures_take_images_and_bits_as_they_are(finished: Path, model: Any) -> None:
    loaded = tf.saved_model.load(str(finished / "saved_model"))
    expected = [layer.numpy() for layer in model.representations(composed(digits()))]
    as_float = {"images": tf.constant(digits() / 255, tf.float32), "bits": tf.constant(BITS)}
    as_bytes = {"images": tf.constant(digits()), "bits": tf.constant(BITS)}
    for name, inputs in (
        ("serving_default", as_float), ("features", as_float), ("features_uint8", as_bytes),
    ):  # fmt: skip
        found = loaded.signatures[name](**inputs)
        assert set(found) == {"features"}
        np.testing.assert_allclose(found["features"], expected[0], rtol=1e-5, atol=1e-5)
    for name, inputs in (("projections", as_float), ("projections_uint8", as_bytes)):
        found = loaded.signatures[name](**inputs)
        assert set(found) == {"projection_1", "projection_2"}
        for layer, values in zip(("projection_1", "projection_2"), expected[1:], strict=True):
            np.testing.assert_allclose(found[layer], values, rtol=1e-5, atol=1e-5)


def test_other_inputs_are_refused_in_a_sentence(finished: Path) -> None:
    loaded = tf.saved_model.load(str(finished / "saved_model"))
    with pytest.raises(tf.errors.InvalidArgumentError, match="takes images of 28x28 pixels"):
        loaded.signatures["features"](images=tf.zeros((2, 20, 28, 1)), bits=tf.zeros((2, 2)))
    with pytest.raises(TypeError, match="bits"):
        loaded.signatures["features"](images=tf.zeros((2, 28, 28, 1)))
    message = r"takes images float32 .* and bits float32 \(any, 2\): give bits too"
    for images in (tf.zeros((2, 28, 28, 1)), tf.zeros((1, 28, 28, 1))):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            loaded.features(images)
    by_name = loaded.features(images=tf.zeros((3, 28, 28, 1)), bits=tf.constant(BITS))
    assert by_name["features"].shape == (3, 32)


@pytest.mark.full
@pytest.mark.parametrize("signature", ["serving_default", "features_uint8", "representations"])
def test_tflite_converts_it_and_gives_the_same(finished: Path, model: Any, signature: str) -> None:
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(finished / "saved_model"), signature_keys=[signature]
    )
    with warnings.catch_warnings():  # the interpreter of TensorFlow is to move to another package
        warnings.simplefilter("ignore", UserWarning)
        interpreter = tf.lite.Interpreter(model_content=converter.convert())
    inputs = {
        "serving_default": {"images": (digits() / 255).astype(np.float32), "bits": BITS},
        "features_uint8": {"images": digits(), "bits": BITS},
        "representations": {"inputs": composed(digits()).astype(np.float32)},
    }
    found = interpreter.get_signature_runner(signature)(**inputs[signature])
    expected = model.representations(composed(digits()))[0].numpy()
    np.testing.assert_allclose(found["features"], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.full
def test_it_is_trained_through_by_plain_tensorflow_and_by_keras(finished: Path) -> None:
    directory = str(finished / "saved_model")
    loaded = tf.saved_model.load(directory)
    images, bits = tf.constant(digits() / 255, tf.float32), tf.constant(BITS)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(loaded.features(images, bits)["features"] ** 2)
    gradients = tape.gradient(value, loaded.trainable_variables)
    assert sum(gradient is not None for gradient in gradients) >= 11

    layer = keras.layers.TFSMLayer(directory, call_endpoint="representations")
    inputs = keras.Input((28, 28, 3))
    network = keras.Model(inputs, keras.layers.Dense(2)(layer(inputs)["features"]))
    network.compile("sgd", "mse")
    before = [variable.numpy() for variable in layer.trainable_weights]
    network.fit(composed(digits()), np.ones((3, 2)), verbose=0)
    moved = [
        np.abs(v.numpy() - old).max() > 0
        for v, old in zip(layer.trainable_weights, before, strict=True)
    ]
    assert sum(moved) >= 11


@pytest.mark.parametrize("layer", ["features", "projection_1", "projection_2"])
def test_it_comes_back_as_a_keras_model(finished: Path, model: Any, layer: str) -> None:
    index = ["features", "projection_1", "projection_2"].index(layer)
    expected = model.representations(composed(digits()))[index]
    for directory in (finished, finished / "saved_model"):
        encoder = ssl_keras.load_encoder(directory, layer)
        found = encoder(composed(digits()), training=False)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert len(encoder.trainable_variables) >= 11


def test_the_card_says_what_it_is(finished: Path) -> None:
    card = json.loads((finished / "saved_model" / "card.json").read_text())
    results = json.loads((finished / "results.json").read_text())
    for name in ("results", "weights_sha256", "data", "config", "versions", "setup"):
        assert card[name] == results[name], name
    assert card["signatures"]["features_uint8"] == {
        "images": "uint8 (any, any, any, 1)",
        "bits": "float32 (any, 2)",
    }


@pytest.mark.exhaustive
@pytest.mark.exports
def test_without_bits_there_is_one_input(tmp_path: Path, data_dir: str) -> None:
    train_and_evaluate(
        Config.make(
            dataset="plain", steps=1, batch_size=16, width_multiplier=0.25, heads="",
            projection_layers=0, max_train_images=50, measure_images=0,
            workdir=str(tmp_path / "run"),
        )
    )  # fmt: skip
    loaded = tf.saved_model.load(str(tmp_path / "run" / "saved_model"))
    assert set(loaded.signatures) == {
        "serving_default", "features", "features_uint8", "representations",
    }  # fmt: skip
    assert loaded.signatures["features"](images=tf.zeros((2, 28, 28, 1)))["features"].shape == (
        2,
        32,
    )


@pytest.mark.exhaustive
def test_a_run_is_exported_again(finished: Path, tmp_path: Path, capfd: Any) -> None:
    target = tmp_path / "encoder"
    assert main(["export", f"--run={finished}", f"--output={target}"]) == 0
    assert "in a fresh process: relative difference" in capfd.readouterr().out
    assert (target / "saved_model.pb").is_file()
    assert main(["export", f"--run={finished}", f"--output={target}"]) == 2
    assert "holds an export: choose another --output, or pass --overwrite" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Which run? Give its directory"),
        (["--run=/nowhere"], "The run /nowhere does not exist"),
        (["--run={run}", "--output={other}"], "holds other things than an export"),
        (["--run={run}", "--output={other}/a/b"], "does not exist: make it, or choose another"),
        (["--run={run}"], "holds an export: choose another --output"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str], message: str, finished: Path, tmp_path: Path, capfd: Any
) -> None:
    (tmp_path / "file").write_text("mine")
    flags = [argument.format(run=finished, other=tmp_path) for argument in arguments]
    assert main(["export", *flags]) == 2
    told = capfd.readouterr().err
    assert message in told
    assert "Traceback" not in told
    assert (tmp_path / "file").read_text() == "mine"


def test_what_cannot_be_loaded_is_named(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no exported encoder"):
        ssl_keras.load_encoder(tmp_path)
    with pytest.raises(UserError, match="Did you mean 'projection_2'"):
        ssl_keras.load_encoder(finished, "projection_3")
    shutil.copytree(finished / "saved_model", tmp_path / "copy")
    (tmp_path / "copy" / "encoder.keras").write_bytes(b"torn")
    with pytest.raises(UserError, match="cannot be read"):
        ssl_keras.load_encoder(tmp_path / "copy")


@pytest.mark.exhaustive
def test_onnx_gives_the_same_features(finished: Path, model: Any, tmp_path: Path) -> None:
    import onnxruntime

    target = tmp_path / "encoder"
    assert main(["export", f"--run={finished}", f"--output={target}", "--onnx"]) == 0
    session = onnxruntime.InferenceSession(target / "encoder.onnx")
    (entry,) = session.get_inputs()
    assert list(entry.shape)[1:] == [28, 28, 3]
    (found,) = session.run(None, {entry.name: composed(digits())})
    expected = model.representations(composed(digits()))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_without_the_packages_onnx_is_refused_before_anything_is_written(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["export", f"--run={finished}", f"--output={tmp_path / 'new'}", "--onnx"]) == 2
    assert "pip install '.[onnx]'" in capfd.readouterr().err
    assert not (tmp_path / "new").exists()
