"""Encoders, heads and probe: parameter counts, shapes, layer, dtype, and training mode."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.errors import UserError
from ssl_keras.networks import (
    ENCODERS,
    as_plain_keras,
    build_backbone,
    build_linear_probe,
    build_projection_head,
    in_order,
)
from ssl_keras.networks.normalization import build_batch_norm


@pytest.mark.parametrize(("channels", "parameters"), [(1, 89_504), (4, 89_504 + 3 * 288)])
def test_convnet_has_the_published_number_of_parameters(channels: int, parameters: int) -> None:
    encoder = ENCODERS.get("convnet").build((28, 28, channels))
    assert encoder.count_params() == parameters
    assert encoder.output_shape == (None, 128)


# Parameters of the published architectures (He et al. 2015, 1000 classes) without the last layer:
# 11,689,512 - 513,000, 21,797,672 - 513,000 and 25,557,032 - 2,049,000 trainable ones, of which
# the batch-norm statistics are extra.
@pytest.mark.parametrize(
    ("name", "trainable", "dim"),
    [
        ("resnet18", 11_176_512, 512),
        pytest.param("resnet34", 21_284_672, 512, marks=pytest.mark.full),
        pytest.param("resnet50", 23_508_032, 2048, marks=pytest.mark.full),
    ],
)
def test_resnets_have_the_published_number_of_parameters(
    name: str, trainable: int, dim: int
) -> None:
    encoder = ENCODERS.get(name).build((224, 224, 3))
    assert sum(int(np.prod(v.shape)) for v in encoder.trainable_variables) == trainable
    assert encoder.output_shape == (None, dim)


def test_resnet_stem_follows_the_image_size() -> None:
    entry = ENCODERS.get("resnet18", width_multiplier=1 / 32)
    small, large = entry.build((32, 32, 3)), entry.build((96, 96, 3))
    assert small.layers[1].kernel_size == (3, 3)
    assert large.layers[2].kernel_size == (7, 7)
    assert "small" in entry.describe((32, 32, 3))
    assert "large" in entry.describe((96, 96, 3))
    forced = ENCODERS.get("resnet18", stem="large", width_multiplier=1 / 32)
    assert forced.build((32, 32, 3)).layers[2].strides == (2, 2)


def test_resnet_blocks_start_as_identity() -> None:
    encoder = ENCODERS.get("resnet18", width_multiplier=0.125).build((16, 16, 3))
    gammas = [layer.gamma.numpy() for layer in encoder.layers if hasattr(layer, "gamma")]
    assert sum(bool(np.all(gamma == 0)) for gamma in gammas) == 8


def test_width_multiplier_scales_every_layer() -> None:
    assert ENCODERS.get("convnet", width_multiplier=2.0).build((28, 28, 1)).output_shape[1] == 256
    assert ENCODERS.get("resnet18", width_multiplier=0.5).build((32, 32, 7)).output_shape[1] == 256


def test_image_too_small_is_refused() -> None:
    with pytest.raises(UserError, match="8x8 are too small for this encoder: at least 15x15"):
        ENCODERS.get("convnet").build((8, 8, 1))


@pytest.mark.parametrize("name", ["convnet", "resnet18"])
def test_inference_moves_no_statistics_and_training_does(name: str) -> None:
    encoder = ENCODERS.get(name, width_multiplier=0.25).build((16, 16, 2))
    images = tf.random.stateless_uniform((8, 16, 16, 2), (0, 0))
    before = [v.numpy() for v in encoder.non_trainable_variables]
    encoder(images, training=False)
    for old, new in zip(before, encoder.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new)
    encoder(images, training=True)
    assert any(
        not np.array_equal(old, new)
        for old, new in zip(before, encoder.non_trainable_variables, strict=True)
    )


@pytest.mark.parametrize("num_layers", [0, 1, 2, 3])
def test_projection_head_gives_every_depth(num_layers: int) -> None:
    head = build_projection_head(16, num_layers=num_layers, hidden_dim=8, dim=4)
    outputs = in_order(head(tf.ones((5, 16)), training=False))
    widths = [output.shape[1] for output in outputs]
    assert widths == ([16] if num_layers == 0 else [8] * (num_layers - 1) + [4])
    kernels = [16 * 8] + [8 * 8] * (num_layers - 2) + [8 * 4]
    expected = {0: 0, 1: 16 * 4}.get(num_layers, sum(kernels))
    weights = [v for v in head.trainable_variables if len(v.shape) > 1]
    assert sum(int(np.prod(v.shape)) for v in weights) == expected


def test_outputs_are_in_the_order_of_the_layers_beyond_nine() -> None:
    head = build_projection_head(4, num_layers=11, hidden_dim=5, dim=3)
    widths = [output.shape[1] for output in in_order(head(tf.ones((1, 4)), training=False))]
    assert widths == [5] * 10 + [3]


def test_head_without_layers_is_the_identity() -> None:
    features = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
    head = build_projection_head(16, num_layers=0, hidden_dim=8, dim=4)
    np.testing.assert_array_equal(in_order(head(features, training=True))[0], features)


@pytest.mark.parametrize(
    ("batch_norm", "normalised"),
    [("all", [True, True]), ("hidden", [True, False]), ("none", [False] * 2)],
)
def test_batch_norm_of_the_head(batch_norm: str, normalised: list[bool]) -> None:
    head = build_projection_head(16, num_layers=2, hidden_dim=64, dim=32, batch_norm=batch_norm)
    features = 5.0 * tf.random.stateless_normal((256, 16), (1, 2))
    hidden, last = in_order(head(features, training=True))
    # ReLU of a standard normal variable has the mean square 1/2.
    assert (abs(float(tf.reduce_mean(hidden**2)) - 0.5) < 0.05) == normalised[0]
    assert (abs(float(tf.reduce_mean(last**2)) - 1.0) < 0.05) == normalised[1]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(("layer", "kernels"), [("features", 4), ("projection_1", 5)])
def test_backbone_is_the_encoder_and_the_layers_of_the_head_up_to_one(
    layer: str, kernels: int, training: bool
) -> None:
    encoder = ENCODERS.get("convnet", width_multiplier=0.25).build((28, 28, 1))
    head = build_projection_head(32, num_layers=3, hidden_dim=16, dim=8)
    network = build_backbone(encoder, head, layer)
    assert sum(len(variable.shape) > 1 for variable in network.trainable_variables) == kernels
    images = tf.random.stateless_uniform((6, 28, 28, 1), (0, 1))
    # Batch norm in training mode moves its averages, but does not use them.
    expected = encoder(images, training=training)
    if layer != "features":
        expected = head(expected, training=training)[layer]
    np.testing.assert_allclose(network(images, training=training), expected, atol=1e-6)


def test_probe_has_one_output_for_each_feature_in_float32() -> None:
    probe = build_linear_probe(16, {"class": 10, "bits": 3})
    logits = probe(tf.ones((5, 16), tf.float32), training=False)
    assert {name: value.shape for name, value in logits.items()} == {
        "class": (5, 10),
        "bits": (5, 3),
    }
    assert all(value.dtype == tf.float32 for value in logits.values())


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_float32_weights(policy: str) -> None:
    encoder = ENCODERS.get("convnet").build((28, 28, 1), policy)
    assert all(v.dtype == "float32" for v in encoder.variables)
    assert encoder(tf.ones((2, 28, 28, 1)), training=False).dtype == policy.removeprefix("mixed_")


@pytest.mark.full
@pytest.mark.parametrize(
    "dtype", ["float32", pytest.param("mixed_bfloat16", marks=pytest.mark.exhaustive)]
)
@pytest.mark.parametrize("shape", [(6, 5, 4, 3), (8, 3)])
@pytest.mark.parametrize("mode", ["graph", "xla"])
def test_fused_batch_norm_is_that_of_keras(shape: tuple[int, ...], dtype: str, mode: str) -> None:
    generator = np.random.default_rng(0)
    inputs = tf.constant(generator.normal(2.0, 3.0, shape), tf.float32)
    weights = tf.constant(generator.normal(size=shape), tf.float32)
    results = []
    for layer in (
        build_batch_norm(epsilon=1e-4, dtype=dtype),
        keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-4, dtype=dtype),
    ):
        layer.build(shape)
        layer.gamma.assign([0.5, 1.0, 2.0])
        layer.beta.assign([0.0, 1.0, -1.0])

        @tf.function(jit_compile=mode == "xla")
        def step(layer: Any = layer) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                outputs = layer(inputs, training=True)
                total = tf.reduce_sum(tf.cast(outputs, tf.float32) * weights)
            return outputs, *tape.gradient(total, [inputs, *layer.trainable_variables])

        values = [tf.cast(value, tf.float32).numpy() for value in step()]
        values += [variable.numpy() for variable in layer.non_trainable_variables]
        results.append([*values, tf.cast(layer(inputs, training=False), tf.float32).numpy()])
    assert len(results[0]) == 7
    tolerance = 2e-5 if dtype == "float32" else 5e-2
    for value, expected in zip(*results, strict=True):
        size = np.abs(expected).max()
        np.testing.assert_allclose(value, expected, rtol=tolerance, atol=tolerance * size)


def test_a_plain_copy_gives_the_same_and_needs_keras_alone(tmp_path: Path) -> None:
    encoder = ENCODERS.get("convnet", width_multiplier=0.25).build((28, 28, 1), dropout_rate=0.1)
    for variable in encoder.variables:
        variable.assign(np.random.default_rng(0).uniform(0.5, 1.5, variable.shape))
    copy = as_plain_keras(encoder)
    images = np.random.default_rng(1).random((3, 28, 28, 1)).astype(np.float32)
    np.testing.assert_array_equal(copy(images, training=False), encoder(images, training=False))
    copy.save(tmp_path / "encoder.keras")
    with zipfile.ZipFile(tmp_path / "encoder.keras") as archive:
        assert "ssl_keras" not in archive.read("config.json").decode()
