"""Vectors: dtypes, standardisation, what they refuse, and the statistics of their views."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from ssl_keras import datasets, randomness
from ssl_keras.datasets.examples import ArrayExamples
from ssl_keras.errors import UserError
from ssl_keras.inputs import Images, Vectors
from ssl_keras.views.augmenter import Augmenter
from ssl_keras.views.mixup import Mixup
from ssl_keras.views.vectors import VectorTransform

COUNT, DIM = 400, 25


def table(dtype: Any = np.float64) -> np.ndarray:
    values = np.random.default_rng(0).normal(10.0, 5.0, (COUNT, DIM))
    return values.astype(dtype)


def uniform(rows: int, columns: int, seed: int = 0) -> Any:
    return randomness.uniform(randomness.key(seed, "test"), (rows, columns))


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.int64, np.int8, np.uint8])
def test_vectors_keep_their_dtype_until_they_are_prepared(dtype: Any, tmp_path: Path) -> None:
    x = table(dtype)
    np.savez(tmp_path / "table.npz", x_train=x, x_test=x[:50])
    data = datasets.load("table", source=f"npz:{tmp_path / 'table.npz'}")
    for split, expected in ((data.train, x), (data.test, x[:50])):
        assert split.example["x"].dtype == dtype
        np.testing.assert_array_equal(split.example["x"], expected)
    batch = next(iter(data.train.training_batches(16, seed=0, num_steps=1)))
    assert batch["example"]["x"].dtype == dtype
    rows = data.train.step_rows(0, 16, seed=0)
    np.testing.assert_array_equal(batch["example"]["x"], x[rows])
    inputs = data.inputs(batch)
    assert inputs.dtype == tf.float32
    values = x.astype(np.float64)
    expected = (values[rows] - values.mean(axis=0)) / values.std(axis=0)
    np.testing.assert_allclose(inputs, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int32])
def test_standardisation_is_that_of_numpy_and_constant_columns_become_0(dtype: Any) -> None:
    x = table(dtype)
    x[:, 3], x[:, 7] = 5, 0
    modality = Vectors.standardizing(x)
    values = x.astype(np.float64)
    deviation = values.std(axis=0)
    deviation[[3, 7]] = 1
    np.testing.assert_allclose(modality.mean, values.mean(axis=0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(modality.deviation, deviation, rtol=1e-6)
    inputs = modality.inputs({"x": tf.constant(x)}).numpy()
    np.testing.assert_allclose(
        inputs, (values - values.mean(axis=0)) / deviation, rtol=1e-4, atol=1e-5
    )
    assert np.all(inputs[:, [3, 7]] == 0)
    varying = np.delete(inputs, [3, 7], axis=1)
    np.testing.assert_allclose(varying.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(varying.std(axis=0), 1, rtol=1e-5)
    assert (modality.network_shape, modality.dim) == ((DIM,), DIM)


def test_a_large_constant_that_rounding_varies_counts_as_constant() -> None:
    x = table(np.float32)
    x[:, 0] = np.float32(123456.7)
    assert Vectors.standardizing(x).deviation[0] == 1
    # Small numbers are no constants.
    x[:, 1] *= 1e-12
    inputs = Vectors.standardizing(x).inputs({"x": tf.constant(x)}).numpy()
    np.testing.assert_allclose(inputs[:, 1].std(), 1, rtol=1e-3)


def test_the_test_split_does_not_count_in_the_standardisation(tmp_path: Path) -> None:
    x = table()
    np.savez(tmp_path / "table.npz", x_train=x, x_test=1e6 + x[:50])
    modality = datasets.load("table", source=f"npz:{tmp_path / 'table.npz'}").modality
    np.testing.assert_allclose(modality.mean, x.mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize(
    "operation", ["crop_area_min", "flip", "color_strength", "grayscale", "blur"]
)
def test_operations_on_images_are_refused(operation: str) -> None:
    with pytest.raises(UserError) as caught:
        Vectors.standardizing(table()).operations("auto", {operation: 0.5})
    assert str(caught.value) == (
        f"{operation} has no effect on vectors, which have noise_deviation, corruption_rate: leave "
        "it out."
    )


def test_presets_belong_to_their_modality() -> None:
    vectors, images = Vectors.standardizing(table()), Images((28, 28, 1), 1)
    preset = {"noise_deviation": 0.1, "corruption_rate": 0.3}
    assert vectors.operations("auto", {}) == vectors.operations("vectors", {}) == preset
    assert vectors.operations("auto", {"noise_deviation": 0.5}) == {
        **preset,
        "noise_deviation": 0.5,
    }
    assert set(vectors.operations("none", {}).values()) == {0.0}
    with pytest.raises(UserError) as caught:
        vectors.operations("digits", {})
    assert str(caught.value) == (
        "augmentation=digits is not for vectors: choose one of auto, vectors, none."
    )
    with pytest.raises(UserError, match="augmentation=vectors is not for images: choose one of"):
        images.operations("vectors", {})
    with pytest.raises(UserError, match="noise_deviation has no effect on images, which have"):
        images.operations("auto", {"noise_deviation": 0.1})
    with pytest.raises(UserError, match="has no effect on vectors without extra channels"):
        vectors.check_extra_channels()
    with pytest.raises(TypeError, match="vectors have no pictures"):
        vectors.pictures(np.zeros((1, DIM)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_images_in_memory_are_bytes(dtype: Any) -> None:
    with pytest.raises(TypeError, match=f"images must be uint8, not {np.dtype(dtype)}"):
        ArrayExamples({"image": np.zeros((3, 4, 4, 1), dtype)}, None)


def test_noise_is_normal_with_its_deviation() -> None:
    transform = VectorTransform(DIM, noise_deviation=0.3, corruption_rate=0.0)
    assert transform.num_draws == DIM
    x = tf.constant(table(np.float32))
    noise = (transform({"x": x}, uniform(COUNT, DIM))["x"] - x).numpy()
    # 10,000 draws: the deviation has a relative error of 0.7 %, the mean one of 0.003.
    assert abs(noise.std() - 0.3) < 0.01
    assert abs(noise.mean()) < 0.015
    assert stats.kstest(noise.ravel() / 0.3, "norm").pvalue > 1e-3
    assert np.abs(np.corrcoef(noise.T) - np.eye(DIM)).max() < 5 / np.sqrt(COUNT)
    for draw in (0.0, 1.0 - 2.0**-24):
        extreme = transform({"x": x}, tf.fill([COUNT, DIM], draw))["x"] - x
        assert np.all(np.isfinite(extreme))


@pytest.mark.parametrize("rate", [0.1, 0.6, 1.0])
def test_corrupted_entries_are_those_of_other_examples_in_the_same_column(rate: float) -> None:
    transform = VectorTransform(DIM, noise_deviation=0.0, corruption_rate=rate)
    assert transform.num_draws == 2 * DIM
    # Every entry says where it is from.
    rows, columns = np.meshgrid(np.arange(COUNT), np.arange(DIM), indexing="ij")
    x = (1000 * columns + rows).astype(np.float32)
    views = transform({"x": tf.constant(x)}, uniform(COUNT, 2 * DIM))["x"].numpy()
    np.testing.assert_array_equal(views // 1000, columns)
    replaced = views != x
    # Of those that are drawn anew, one in COUNT is the same again.
    share = rate * (1 - 1 / COUNT)
    assert abs(replaced.mean() - share) < 5 * np.sqrt(0.25 / replaced.size)
    origins = (views % 1000)[replaced]
    counts = np.bincount(origins.astype(int), minlength=COUNT)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_corruption_and_noise_together_are_one_after_the_other() -> None:
    both = VectorTransform(DIM, noise_deviation=0.2, corruption_rate=0.5)
    assert both.num_draws == 3 * DIM
    x, draws = tf.constant(table(np.float32)), uniform(COUNT, 3 * DIM)
    corrupted = VectorTransform(DIM, 0.0, 0.5)({"x": x}, draws[:, : 2 * DIM])
    expected = VectorTransform(DIM, 0.2, 0.0)(corrupted, draws[:, 2 * DIM :])
    np.testing.assert_array_equal(both({"x": x}, draws)["x"], expected["x"])
    assert both.describe() == "0.5 of the entries from other examples, Gaussian noise of 0.2"
    neither = VectorTransform(DIM, 0.0, 0.0)
    assert (neither.num_draws, neither.describe()) == (0, "")
    np.testing.assert_array_equal(neither({"x": x}, uniform(COUNT, 1))["x"], x)


def augmenter(noise: float = 0.1, corruption: float = 0.0, mixup: Any = None) -> Augmenter:
    modality = Vectors.standardizing(table())
    transform = VectorTransform(DIM, noise, corruption)
    mixing = None if mixup is None else Mixup(mixup, 0.6, modality.mix)
    return Augmenter(modality.prepare, transform, seed=3, mixup=mixing)


def batch(rows: slice = slice(8)) -> dict[str, Any]:
    return {"example": {"x": tf.constant(table()[rows])}}


@pytest.mark.parametrize("mixup", [None, "linear"])
def test_views_are_a_function_of_the_step(mixup: str | None) -> None:
    draw = augmenter(corruption=0.3, mixup=mixup).two_views
    views, keys = draw(batch(), 5)
    again, keys_again = draw(batch(), 5)
    compiled, _ = tf.function(draw)(batch(), tf.constant(5, tf.int64))
    later, later_keys = draw(batch(), 6)
    np.testing.assert_array_equal(views["x"], again["x"])
    np.testing.assert_array_equal(keys, keys_again)
    np.testing.assert_allclose(views["x"], compiled["x"], rtol=1e-6, atol=1e-6)
    assert np.all(np.any(views["x"] != later["x"], axis=1))
    assert np.any(keys != later_keys)
    first, second = np.split(views["x"].numpy(), 2)
    assert np.all(np.any(first != second, axis=1))
    other, _ = Augmenter(draw.__self__.prepare, draw.__self__.transform, seed=4).two_views(
        batch(), 5
    )
    assert np.any(views["x"] != other["x"])


def test_parts_of_the_global_batch_have_the_views_of_the_whole() -> None:
    # Without corruption and mixup, which look at the examples of a part.
    draw = augmenter().two_views
    whole, keys = draw(batch(), 2)
    for first in (0, 4):
        part, part_keys = draw(batch(slice(first, first + 4)), 2, first_row=first, num_replicas=2)
        rows = [*range(first, first + 4), *range(8 + first, 12 + first)]
        np.testing.assert_array_equal(part["x"], whole["x"].numpy()[rows])
        np.testing.assert_array_equal(part_keys, keys.numpy()[rows])


def test_the_second_view_is_that_of_the_partner() -> None:
    modality = Vectors.standardizing(table())
    pairs = Augmenter(modality.prepare, VectorTransform(DIM, 0.0, 0.0), given_pairs=True)
    x, partner = tf.constant(table()[:4]), tf.constant(table()[100:104])
    views, _ = pairs.two_views({"example": {"x": x}, "partner": {"x": partner}}, 0)
    np.testing.assert_array_equal(views["x"][:4], modality.inputs({"x": x}))
    np.testing.assert_array_equal(views["x"][4:], modality.inputs({"x": partner}))
    assert pairs.describe() == "pairs that the data give"


def mixed(kind: str, alpha: float, x: np.ndarray, draws: np.ndarray) -> np.ndarray:
    modality = Vectors.standardizing(table())
    mixup = Mixup(kind, alpha, modality.mix)
    return mixup({"x": tf.constant(x, tf.float32)}, tf.constant(draws, tf.float32))["x"].numpy()


@pytest.mark.parametrize("kind", ["linear", "geometric"])
def test_mixup_of_vectors_follows_its_formula(kind: str) -> None:
    # Two examples a view: the other one is sure. The share is 0.5 + 0.5 u.
    x = np.random.default_rng(1).normal(size=(4, DIM))
    draws = np.array([[0.9, 0.0, 0.3], [0.1, 0.5, 0.7], [0.5, 1.0, 0.2], [0.2, 0.25, 0.9]])
    other, share = x[[1, 0, 3, 2]], (0.5 + 0.5 * draws[:, 1])[:, None]
    if kind == "linear":
        expected = share * x + (1 - share) * other
    else:
        expected = np.sign(x) * np.abs(x) ** share * np.abs(other) ** (1 - share)
    np.testing.assert_allclose(mixed(kind, 0.5, x, draws), expected, rtol=1e-5, atol=1e-6)
    # A share of 1 leaves the example as it is.
    np.testing.assert_allclose(mixed(kind, 1.0, x, draws), x, rtol=1e-5, atol=1e-6)


def test_binary_mixup_of_vectors_takes_each_entry_from_one_of_two() -> None:
    x = np.random.default_rng(1).normal(size=(2 * COUNT, DIM)).astype(np.float32)
    draws = np.array(uniform(2 * COUNT, 3))
    draws[:, 1] = 0.0  # every share is 0.7
    views = mixed("binary", 0.7, x, draws)
    kept = views == x
    assert abs(kept.mean() - 0.7) < 5 * np.sqrt(0.25 / kept.size)
    offset = 1 + np.floor(draws[:, 0] * (COUNT - 1)).astype(int)
    rows = np.arange(2 * COUNT)
    partner = rows // COUNT * COUNT + (rows % COUNT + offset) % COUNT
    np.testing.assert_array_equal(views, np.where(kept, x, x[partner]))
    # Entries are drawn one by one.
    assert np.abs(np.corrcoef(kept.T) - np.eye(DIM)).max() < 6 / np.sqrt(2 * COUNT)


def test_the_export_standardises_as_training_does() -> None:
    modality = Vectors.standardizing(table())
    (spec,) = modality.signatures()[""]
    assert (spec.name, spec.shape.as_list(), spec.dtype) == ("x", [None, DIM], tf.float32)
    arguments = modality.arguments({"x": table()})
    assert arguments["x"].dtype == np.float32
    np.testing.assert_allclose(
        modality.serve(tf.constant(arguments["x"])),
        modality.inputs({"x": tf.constant(table())}),
        rtol=1e-5,
        atol=1e-5,
    )
