"""Bits: order, prefix, constancy, independence; batches: order, shuffling, resumption."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import datasets
from ssl_keras.datasets import DataSet, MemorySplit, load_source
from ssl_keras.datasets.bit_concat import binary_digits
from ssl_keras.datasets.hashing import random_integers
from ssl_keras.errors import UserError
from ssl_keras.inputs.images import compose_images


@pytest.fixture(scope="module", autouse=True)
def _sources_are_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load_source", functools.cache(load_source))
        yield


def test_binary_digits_least_significant_first() -> None:
    integers = np.array([0, 1, 2, 6, 2**32 - 1], np.uint32)
    expected = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 1], [1, 1, 1]]
    np.testing.assert_array_equal(binary_digits(integers, 3), expected)
    assert binary_digits(integers, 32)[4].sum() == 32


def test_integers_are_uniform_and_streams_are_independent() -> None:
    train = random_integers(0, "train", 20_000)
    assert train.dtype == np.uint32
    bits = binary_digits(train, 32)
    np.testing.assert_allclose(bits.mean(axis=0), 0.5, atol=0.015)
    correlations = np.corrcoef(bits.T) - np.eye(32)
    assert np.abs(correlations).max() < 0.04
    for other in (random_integers(0, "test", 20_000), random_integers(1, "train", 20_000)):
        agreement = (binary_digits(other, 32) == bits).mean(axis=0)
        np.testing.assert_allclose(agreement, 0.5, atol=0.015)
    np.testing.assert_array_equal(random_integers(0, "train", 5), train[:5])


def test_known_integers_never_change() -> None:
    # Published results depend on these values: a change here is a change of the data set.
    assert random_integers(0, "train", 3).tolist() == [2921450916, 987348743, 3064256272]


def test_k_bits_are_a_prefix_of_more(bit_data: DataSet, data_dir: str) -> None:
    more = datasets.load("bit_concat", data_dir=data_dir, num_bits=8)
    for split in ("train", "test"):
        few_bits = getattr(bit_data, split).labels["bits"]
        np.testing.assert_array_equal(few_bits, getattr(more, split).labels["bits"][:, :3])


def test_bits_are_the_bits_and_follow_the_image_channels(bit_data: DataSet) -> None:
    assert bit_data.input_shape == (28, 28, 4)
    assert bit_data.modality.image_channels == 1
    assert bit_data.num_bits == 3
    batch = next(iter(bit_data.test.batches(20)))
    inputs = bit_data.inputs(batch).numpy()
    assert inputs.shape == (20, 28, 28, 4)
    assert inputs.dtype == np.float32
    assert batch["labels"]["class"].dtype == tf.int32
    for index, image in enumerate(inputs):
        np.testing.assert_allclose(
            image[..., 0] * 255, bit_data.test.example["image"][index, ..., 0], atol=1e-3
        )
        for bit in range(3):
            assert np.all(image[..., 1 + bit] == batch["labels"]["bits"][index, bit].numpy())


def test_bits_of_an_image_never_change_over_epochs_or_in_evaluation(bit_data: DataSet) -> None:
    by_image = {
        image.tobytes(): plane.tobytes()
        for image, plane in zip(
            bit_data.train.example["image"], bit_data.train.example["bits"], strict=True
        )
    }
    assert len(by_image) == 4000
    seen = 0
    # Two epochs of training, with the last batch of one in the middle, and the pass of evaluation.
    training = bit_data.train.training_batches(1000, seed=0, num_steps=8, start_step=2)
    for batch in (*training, *bit_data.train.batches(700)):
        for image, plane in zip(
            batch["example"]["image"].numpy(), batch["example"]["bits"].numpy(), strict=True
        ):
            assert by_image[image.tobytes()] == plane.tobytes()
            seen += 1
    assert seen == 6 * 1000 + 4000


def test_bits_do_not_depend_on_the_class(bit_data: DataSet) -> None:
    classes, bits = bit_data.train.labels["class"], bit_data.train.labels["bits"]
    for label in range(10):
        np.testing.assert_allclose(bits[classes == label].mean(axis=0), 0.5, atol=0.1)


def test_no_bits_is_the_plain_source(data_dir: str) -> None:
    without = datasets.load("bit_concat", data_dir=data_dir, num_bits=0)
    plain = datasets.load("plain", data_dir=data_dir)
    assert list(without.targets) == ["class"]
    assert without.input_shape == plain.input_shape == (28, 28, 1)
    np.testing.assert_array_equal(without.train.example["image"], plain.train.example["image"])


def test_declared_features_and_chance(bit_data: DataSet) -> None:
    assert bit_data.targets["class"].chance == 0.1
    assert bit_data.targets["class"].all_right_chance == 0.1
    assert bit_data.targets["bits"].chance == 0.5
    assert bit_data.targets["bits"].all_right_chance == 0.125


@pytest.mark.parametrize("num_bits", [-1, 33, 1.5])
def test_number_of_bits_is_bounded(num_bits: float) -> None:
    with pytest.raises(UserError, match="num_bits must be"):
        datasets.load("bit_concat", num_bits=num_bits)


def numbered(count: int) -> MemorySplit:
    images = np.arange(count, dtype=np.uint8)[:, None, None, None]
    labels = {"class": np.arange(count, dtype=np.int32)}
    bits = np.arange(count, dtype=np.float32)[:, None]
    return MemorySplit({"image": images, "bits": bits}, labels)


def order(split: MemorySplit, **arguments: int) -> list[list[int]]:
    return [
        batch["labels"]["class"].numpy().tolist()
        for batch in split.training_batches(4, **arguments)
    ]


def test_every_epoch_is_a_fresh_permutation_without_the_remainder() -> None:
    batches = order(numbered(10), seed=0, num_steps=6)
    epochs = [batches[first] + batches[first + 1] for first in (0, 2, 4)]
    for epoch in epochs:
        assert len(set(epoch)) == 8
    assert epochs[0] != epochs[1] != epochs[2]
    # The two examples left out differ between epochs, so none is lost for good.
    left_out = [frozenset(range(10)) - set(epoch) for epoch in epochs]
    assert len(set(left_out)) > 1


def test_batches_are_a_function_of_seed_and_step() -> None:
    split = numbered(10)
    whole = order(split, seed=0, num_steps=7)
    assert order(split, seed=0, num_steps=7) == whole
    assert order(split, seed=0, num_steps=7, start_step=3) == whole[3:]
    assert order(split, seed=1, num_steps=7) != whole


def test_columns_of_a_batch_belong_together() -> None:
    for batch in numbered(10).training_batches(5, seed=0, num_steps=2):
        labels = batch["labels"]["class"].numpy()
        np.testing.assert_array_equal(batch["example"]["image"].numpy().ravel(), labels)
        np.testing.assert_array_equal(batch["example"]["bits"].numpy().ravel(), labels)


def test_batches_in_order_include_the_partial_last_one() -> None:
    sizes, labels = [], []
    for batch in numbered(10).batches(4):
        sizes.append(len(batch["example"]["image"]))
        labels += batch["labels"]["class"].numpy().tolist()
    assert sizes == [4, 4, 2]
    assert labels == list(range(10))


def test_batch_larger_than_the_data_is_refused() -> None:
    with pytest.raises(UserError, match="batch of 11 is larger than the training data"):
        numbered(10).training_batches(11, seed=0, num_steps=1)


def test_compose_without_planes_scales_to_one() -> None:
    images = np.array([[[[0], [255]]]], np.uint8)
    np.testing.assert_allclose(compose_images(images), [[[[0.0], [1.0]]]])


def test_fewer_training_images_are_some_of_all_with_their_labels_and_bits(
    bit_data: DataSet, data_dir: str
) -> None:
    def few(count: int, seed: int = 0) -> MemorySplit:
        return datasets.load(
            "bit_concat", data_dir=data_dir, num_bits=3, seed=seed, max_train_images=count
        ).train

    everything = bit_data.train
    where = {image.tobytes(): row for row, image in enumerate(everything.example["image"])}
    more, rows = few(90), []
    assert more.num_examples == 90
    for row, image in enumerate(more.example["image"]):
        rows.append(where[image.tobytes()])
        assert more.labels["class"][row] == everything.labels["class"][rows[-1]]
        np.testing.assert_array_equal(more.labels["bits"][row], everything.labels["bits"][rows[-1]])
        np.testing.assert_array_equal(
            more.example["bits"][row], everything.example["bits"][rows[-1]]
        )
    assert len(set(rows)) == 90
    fewer = {image.tobytes() for image in few(40).example["image"]}
    assert len(fewer) == 40
    assert fewer < {image.tobytes() for image in more.example["image"]}
    assert fewer != {image.tobytes() for image in few(40, seed=1).example["image"]}
    assert few(10**6).num_examples == everything.num_examples
    loaded = datasets.load("bit_concat", data_dir=data_dir, num_bits=3, max_train_images=40)
    np.testing.assert_array_equal(loaded.test.example["image"], bit_data.test.example["image"])


def test_no_tuner_is_left_waiting_for(bit_data: DataSet) -> None:
    # Its thread sleeps for up to a minute, and the end of a training would wait for it.
    for batches in (
        bit_data.test.batches(100),
        bit_data.train.training_batches(50, seed=0, num_steps=2),
        bit_data.train.training_batches(50, seed=0, num_steps=None, shares=range(1), num_shares=2),
    ):
        assert batches.options().autotune.enabled is False
