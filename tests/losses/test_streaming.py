"""Tiles: what they sum up to is what whole matrices give, in value, gradient and every mode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import losses, metrics
from ssl_keras.config import Config
from ssl_keras.errors import UserError
from ssl_keras.losses import LOSSES, streaming
from ssl_keras.losses.functional import log_mean_potential, logsumexp_uniformity
from ssl_keras.losses.pairs import equal_rows, group
from tests import processes

STREAMING = [name for name, loss in LOSSES.items() if loss.streams]
ROOT = Path(__file__).parents[2]
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in STREAMING),
    *(("nt_xent", {"temperature": t}) for t in (0.01, 0.05, 5.0, "linear:0.1:1")),
    ("nt_xent", {"negatives": "cross"}),
    ("nt_xent", {"negatives": "cross", "direction": "one", "temperature": 0.02}),
    ("decoupled_nt_xent", {"temperature": 0.02}),
    ("hard_negative", {"beta": 2.0, "temperature": 0.07}),
    ("debiased", {"tau_plus": 0.3}),
    ("align_uniform", {"alpha": 1.0, "t": 20.0}),
]


def test_which_losses_go_in_tiles() -> None:
    assert set(STREAMING) == {
        "nt_xent", "decoupled_nt_xent", "align_uniform", "supcon", "debiased", "hard_negative",
        "n_pair", "logistic", "ifm",
    }  # fmt: skip


def draw(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, dim)).astype(np.float32)


@pytest.fixture(params=["one tile", "many tiles"])
def tiles(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Everything in one tile, or in tiles that do not divide what is tested."""
    if request.param == "many tiles":
        monkeypatch.setattr(streaming, "TILE_ENTRIES", 12)
        monkeypatch.setattr(streaming, "TILE_COLUMNS", 4)
        small = streaming._Tiles(tf.zeros([14, 2]), tf.zeros([14, 2]))
        assert (small.height, small.width) == (3, 4)
    return request.param


def value_and_gradients(
    loss: Any, z1: Any, z2: Any, labels: Any, implementation: str, mode: str
) -> list[np.ndarray]:
    def function(z1: Any, z2: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([z1, z2])
            value = loss(z1, z2, labels, progress=0.3, implementation=implementation)
        return [value, *tape.gradient(value, [z1, z2])]

    run = function
    if mode != "eager":
        shape = [None, z1.shape[1]] if mode == "dynamic" else z1.shape
        signature = [tf.TensorSpec(shape)] * 2
        run = tf.function(function, input_signature=signature, jit_compile=mode == "xla")
    return [part.numpy() for part in run(tf.constant(z1), tf.constant(z2))]


def in_modes() -> list[Any]:
    """(loss, options, mode): all eagerly; without options in graphs, which `make check` compiles of
    one loss."""
    cases: list[Any] = [(name, options, "eager") for name, options in VARIANTS]
    for name in STREAMING:
        marks = [] if name == "nt_xent" else pytest.mark.exhaustive
        # Labels are given for a known number of images.
        modes = ["graph", "xla"] if name == "supcon" else ["graph", "dynamic", "xla"]
        cases += [pytest.param(name, {}, mode, marks=marks) for mode in modes]
    return cases


@pytest.mark.full
@pytest.mark.parametrize(("name", "options", "mode"), in_modes(), ids=str)
def test_tiles_equal_whole_matrices(
    name: str, options: dict[str, Any], mode: str, tiles: str
) -> None:
    loss = losses.get(name, **options)
    labels = {"class": tf.constant([0, 1, 0, 2, 1, 0, 2])}
    z1 = draw(7, 5)
    z2 = z1 + 0.5 * draw(7, 5, seed=1)
    expected = value_and_gradients(loss, z1, z2, labels, "dense", "eager")
    tiled = value_and_gradients(loss, z1, z2, labels, "tiled", mode)
    # The loss is a difference of terms of 1 / temperature.
    temperature = options.get("temperature", 1.0)
    terms = 1.0 / temperature if isinstance(temperature, float) else 2.0
    np.testing.assert_allclose(tiled[0], expected[0], rtol=1e-6, atol=1e-6 * max(2.0, terms))
    size = max(np.abs(gradient).max() for gradient in expected[1:])
    for gradient, reference in zip(tiled[1:], expected[1:], strict=True):
        np.testing.assert_allclose(gradient, reference, rtol=1e-5, atol=1e-5 * size)


@pytest.mark.parametrize("name", STREAMING)
def test_one_image_and_equal_images(name: str) -> None:
    loss = losses.get(name)
    for rows in (np.ones((1, 3), np.float32), np.ones((5, 3), np.float32), np.zeros((3, 2), "f4")):
        labels = {"class": tf.zeros([len(rows)], tf.int32)}
        tiled = value_and_gradients(loss, rows, rows, labels, "tiled", "eager")
        dense = value_and_gradients(loss, rows, rows, labels, "dense", "eager")
        for part, expected in zip(tiled, dense, strict=True):
            np.testing.assert_allclose(part, expected, rtol=1e-5, atol=1e-5, equal_nan=False)


@pytest.mark.parametrize("scale", [0.5, 100.0])
@pytest.mark.parametrize("own", [True, False])
def test_sums_and_gradients_equal_the_loop(scale: float, own: bool, tiles: str) -> None:
    anchors = draw(7, 3).astype(np.float64)
    anchors /= np.linalg.norm(anchors, axis=1, keepdims=True)
    keys = anchors if own else draw(6, 3, seed=1).astype(np.float64) / 2
    excluded = np.array([[1, -1], [0, -1], [-1, 4], [5, -1], [-1, 2], [3, -1], [-1, -1]], np.int32)
    weights = np.arange(1.0, 8.0)

    def in_loops(anchors: np.ndarray, keys: np.ndarray) -> float:
        total = 0.0
        for i, anchor in enumerate(anchors):
            terms = [
                scale * anchor @ key for j, key in enumerate(keys) if j not in list(excluded[i])
            ]
            largest = max(terms)
            total += weights[i] * (largest + np.log(sum(np.exp(t - largest) for t in terms)))
        return total

    a, k = tf.constant(anchors, tf.float32), tf.constant(keys, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([a, k])
        sums = streaming.log_sum_exp(a, None if own else k, scale, excluded, product_bound=1.0)
        total = tf.reduce_sum(sums * weights.astype(np.float32))
    gradients = tape.gradient(total, [a] if own else [a, k])
    np.testing.assert_allclose(total, in_loops(anchors, keys), rtol=1e-5)
    for number, gradient in enumerate(gradients):
        for row, column in ((0, 0), (3, 1), (5, 2)):
            ends = []
            for sign in (1, -1):
                moved = [anchors.copy(), keys.copy()]
                moved[number][row, column] += sign * 1e-6
                ends.append(in_loops(moved[0], moved[0] if own else moved[1]))
            slope = (ends[0] - ends[1]) / 2e-6
            np.testing.assert_allclose(gradient[row, column], slope, rtol=2e-3, atol=1e-3)


def test_an_anchor_without_keys_has_no_sum_and_no_gradient() -> None:
    rows = tf.constant(draw(2, 3))
    excluded = tf.constant([[0, 1], [1, 0]])
    for bound in (None, 1.0):
        with tf.GradientTape() as tape:
            tape.watch(rows)
            sums = streaming.log_sum_exp(rows / 10.0, rows / 10.0, 1.0, excluded, bound)
        assert (sums.numpy() <= streaming.MASKED / 2).all()
        assert not np.any(tape.gradient(sums, rows))


def test_nearest_is_the_first_of_the_largest(tiles: str) -> None:
    keys = draw(11, 4, seed=1)
    keys[7] = keys[3] = 10.0 * keys[3]
    anchors = np.concatenate([draw(6, 4), keys[7:8]])
    expected = np.argmax(anchors @ keys.T, axis=1)
    assert expected[-1] == 3
    np.testing.assert_array_equal(streaming.nearest(anchors, keys), expected)
    assert streaming.nearest(np.zeros((2, 4), "f4"), keys).numpy().tolist() == [0, 0]


@pytest.mark.parametrize("shape", [(9,), (9, 1), (9, 3)])
def test_groups_are_those_of_equal_labels(shape: tuple[int, ...]) -> None:
    labels = np.random.default_rng(0).integers(-1, 2, shape).astype(np.int32)
    groups = group(labels).numpy()
    assert groups.min() == 0
    assert groups.max() < 9
    np.testing.assert_array_equal(groups[:, None] == groups[None, :], equal_rows(labels, labels))


def test_measures_of_many_rows_equal_those_of_few(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = draw(40, 6), draw(40, 6, seed=1)
    y[:20] = x[:20]

    def measured() -> dict[str, float]:
        return {
            "accuracy": float(metrics.contrastive_accuracy(x, y)),
            "entropy": float(metrics.contrastive_entropy(x, y, 0.3)),
            "uniformity": float(metrics.uniformity(x)),
            "information": float(metrics.mutual_information_bound(x, y, 0.3)[0]),
        }

    expected = measured()
    monkeypatch.setattr(streaming, "BETTER", 0)
    monkeypatch.setattr(streaming, "TILE_ENTRIES", 64)
    for name, value in measured().items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, err_msg=name)


def test_auto_decides_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not streaming.is_better(500, 500)  # the default batch of 250
    assert streaming.is_better(2000, 2000)
    assert not streaming.is_better(None, 2000)
    used = []
    original = streaming.log_sum_exp
    monkeypatch.setattr(
        streaming, "log_sum_exp", lambda *a, **k: used.append(1) or original(*a, **k)
    )
    small, large = draw(8, 4), draw(512, 4)
    losses.get("nt_xent")(small, small)
    losses.get("nt_xent")(large, large, implementation="dense")
    assert not used
    losses.get("nt_xent")(large, large)
    losses.get("nt_xent")(small, small, implementation="tiled")
    assert len(used) == 2


def test_tiles_that_would_have_no_effect_are_refused() -> None:
    assert Config.make(loss="nt_xent", loss_impl="tiled").engine.loss_impl == "tiled"
    for settings in ({"loss": "uniform_prior"}, {"method": "autoencoder"}):
        with pytest.raises(UserError, match="loss_impl=tiled has no effect on"):
            Config.make(**settings, loss_impl="tiled")


def test_functions_of_one_device() -> None:
    rows = draw(30, 5)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    for tiled in (False, True):
        np.testing.assert_allclose(
            logsumexp_uniformity(rows, 0.5, tiled=tiled), logsumexp_uniformity(rows, 0.5), rtol=1e-6
        )
        np.testing.assert_allclose(
            log_mean_potential(rows, 2.0, tiled), log_mean_potential(rows, 2.0), rtol=1e-6
        )


# Peak memory above what the inputs take, in megabytes, of loss and gradient.
MEMORY = """
import sys
import numpy as np
import tensorflow as tf
from ssl_keras import losses
from tools.benchmark.measuring import peak_so_far
rows = int(sys.argv[1])
z = [tf.constant(np.random.default_rng(s).normal(size=(rows // 2, 16)), tf.float32) for s in (0, 1)]
loss = losses.get("nt_xent")
@tf.function(autograph=False)
def step(a, b):
    with tf.GradientTape() as tape:
        tape.watch([a, b])
        value = loss(a, b, implementation="tiled")
    return tape.gradient(value, [a, b])
step(z[0][:64], z[1][:64])
before = peak_so_far(anew=True)
step(*z)
print(peak_so_far() - before)
"""


# The same of all measures of geometry.
GEOMETRY = """
import sys
import numpy as np
import tensorflow as tf
from ssl_keras.datasets import Target
from ssl_keras.evaluators.geometry import describe
from tools.benchmark.measuring import peak_so_far
images, views_1, views_2 = (
    tf.constant(np.random.default_rng(s).normal(size=(int(sys.argv[1]), 16)), tf.float32)
    for s in range(3)
)
labels = tf.range(len(images)) % 10
features = {"class": Target("class", "class", 10, 0.1, 0.1)}
describe(images[:64], views_1[:64], views_2[:64], {"class": labels[:64]}, features)
before = peak_so_far(anew=True)
describe(images, views_1, views_2, {"class": labels}, features)
print(peak_so_far() - before)
"""


@pytest.mark.full
@pytest.mark.parametrize(
    ("script", "fewer", "more"), [(MEMORY, 8192, 16384), (GEOMETRY, 2000, 4000)]
)
def test_memory_grows_with_the_rows_not_with_their_pairs(
    script: str, fewer: int, more: int
) -> None:
    def peak(rows: int) -> int:
        done = processes.run(["-c", script, str(rows)], cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    few, many = peak(fewer), peak(more)
    # Whole matrices would be 256 MB and 1 GB, or 64 and 256 MB, several times over: four times as
    # much for twice as many rows, where what grows with the rows doubles.
    assert few < 400
    assert many < 2.5 * max(few, 100)
