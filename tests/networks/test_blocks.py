"""Blocks: what is named, and that the centres of their locations are those of receptive fields."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.networks import ENCODERS, Encoder, Grid, block_outputs
from ssl_keras.networks.dropout import KeyedDropout

full, exhaustive = pytest.mark.full, pytest.mark.exhaustive


def receptive_field(blocks: Any, block: int, location: tuple[int, int]) -> np.ndarray:
    """Which pixels a location sees: bool (height, width).

    Weights are positive, so that nothing cancels and every ReLU is open.
    """

    @tf.function  # computes no gradients but the one of the image
    def gradient(image: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(image)
            values = blocks(image, training=False)[block]
            value = tf.reduce_sum(values[0, location[0], location[1]])
        return tape.gradient(value, image)

    image = tf.random.stateless_uniform((1, *blocks.input_shape[1:]), (0, 0))
    return np.any(gradient(image).numpy()[0] != 0, axis=-1)


@pytest.mark.full
@pytest.mark.parametrize(
    ("name", "options", "shape", "block", "location"),
    [
        ("convnet", {}, (61, 48, 1), 0, (4, 9)),
        ("convnet", {}, (61, 48, 1), 1, (3, 5)),
        ("convnet", {}, (61, 48, 1), 2, (0, 0)),
        ("convnet", {}, (61, 48, 1), 2, (4, 2)),
        ("resnet18", {"stem": "small"}, (63, 48, 2), 0, (30, 20)),
        pytest.param("resnet18", {"stem": "small"}, (63, 48, 2), 1, (15, 12), marks=full),
        pytest.param("resnet18", {"stem": "small"}, (128, 127, 2), 2, (16, 15), marks=exhaustive),
        ("resnet18", {"stem": "large"}, (120, 122, 1), 0, (14, 15)),
        pytest.param("resnet18", {"stem": "large"}, (130, 127, 1), 0, (14, 15), marks=full),
        pytest.param("resnet18", {"stem": "large"}, (224, 226, 1), 1, (14, 14), marks=exhaustive),
        pytest.param("resnet50", {"stem": "large"}, (128, 130, 1), 0, (15, 16), marks=exhaustive),
    ],
)
def test_centres_are_the_middles_of_receptive_fields(
    name: str,
    options: dict[str, str],
    shape: tuple[int, int, int],
    block: int,
    location: tuple[int, int],
) -> None:
    entry = ENCODERS.get(name, width_multiplier=1 / 32, **options)
    encoder = entry.build(shape)
    for variable in encoder.trainable_variables:
        variable.assign(tf.ones_like(variable) * (1.0 / np.prod(variable.shape[:-1])))
    seen = receptive_field(block_outputs(encoder), block, location)
    centres = entry.grids(shape)[f"block_{block + 1}"].centres()
    for axis in (0, 1):
        pixels = np.flatnonzero(seen.any(axis=1 - axis))
        first, last = pixels.min(), pixels.max()
        assert first > 0 or name == "convnet"
        assert last < shape[axis] - 1
        # A max-pool looks at one of its three pixels: the field ends up to two pixels earlier.
        slack = 2 if options.get("stem") == "large" else 0
        assert abs((first + last) / 2 - centres[axis][location[axis]]) <= slack


@pytest.mark.parametrize(
    ("shape", "offset"), [((64, 64, 1), (2, 2)), ((62, 65, 1), (0, 0)), ((63, 61, 1), (2, 0))]
)
def test_average_pool_in_place_of_max_pool_gives_the_exact_centre_of_the_large_stem(
    shape: tuple[int, int, int], offset: tuple[int, int]
) -> None:
    images = tf.Variable(tf.ones((1, *shape)))
    with tf.GradientTape() as tape:
        x = tf.pad(images, [[0, 0], [3, 3], [3, 3], [0, 0]])
        x = tf.nn.conv2d(x, tf.ones((7, 7, 1, 1)), 2, "VALID")
        value = tf.nn.avg_pool2d(x, 3, 2, "SAME")[0, 6, 5, 0]
    seen = tape.gradient(value, images)[0, :, :, 0] != 0
    centres = ENCODERS.get("resnet18", stem="large").grids(shape)["block_1"]
    assert centres.offset == offset
    for axis, location in ((0, 6), (1, 5)):
        pixels = np.flatnonzero(np.any(seen, axis=1 - axis))
        assert (pixels.min() + pixels.max()) / 2 == centres.centres()[axis][location]


LOCATED = sorted(name for name, entry in ENCODERS.items() if entry.grids is not Encoder.grids)


def test_encoders_without_locations_have_no_grids() -> None:
    assert sorted(set(ENCODERS) - set(LOCATED)) == [
        "bag", "embedding", "keras", "mlp", "transformer",
    ]  # fmt: skip
    assert ENCODERS.get("mlp").grids((30,)) == ENCODERS.get("keras").grids((28, 28, 1)) == {}


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=exhaustive if n in ("resnet34", "resnet50") else ()) for n in LOCATED],
)
@pytest.mark.parametrize("shape", [(48, 48, 3), (65, 70, 1), (33, 128, 2)])
def test_grids_have_the_shape_of_the_blocks_and_lie_inside(
    name: str, shape: tuple[int, int, int]
) -> None:
    entry = ENCODERS.get(name, width_multiplier=1 / 32)
    outputs = block_outputs(entry.build(shape)).output
    grids = entry.grids(shape)
    assert list(grids) == [f"block_{index + 1}" for index in range(len(outputs))]
    assert [grid.shape for grid in grids.values()] == [tuple(o.shape[1:3]) for o in outputs]
    for grid in grids.values():
        for centres, size in zip(grid.centres(), shape[:2], strict=True):
            assert centres[0] >= 0
            assert centres[-1] < size


def test_centres() -> None:
    rows, columns = Grid((2, 3), 4, (1, 2)).centres()
    np.testing.assert_array_equal(rows, [1, 5])
    np.testing.assert_array_equal(columns, [2, 6, 10])


@pytest.mark.parametrize("dropout_rate", [0.0, 0.5])
def test_blocks_end_after_activation_and_share_the_weights(dropout_rate: float) -> None:
    encoder = ENCODERS.get("convnet", width_multiplier=0.25).build(
        (28, 28, 1), "float32", dropout_rate
    )
    images = tf.random.stateless_uniform((2, 28, 28, 1), (0, 0))
    blocks = block_outputs(encoder)
    first = blocks(images, training=False)[0]
    x = encoder.layers[2](encoder.layers[1](images), training=False)
    np.testing.assert_allclose(first, tf.nn.relu(x), atol=1e-6)
    assert type(encoder.get_layer("block_1")).__name__ == "ReLU"
    # Four activations: three blocks, and the dense layer.
    count = sum(isinstance(layer, KeyedDropout) for layer in encoder.layers)
    assert count == (4 if dropout_rate else 0)
    assert {id(v) for v in blocks.variables} <= {id(v) for v in encoder.variables}
