"""A `tf.data.Dataset` as source: read once, stored by its contents, and then like any file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import datasets
from ssl_keras.config import Config
from ssl_keras.datasets.sources import stored
from ssl_keras.errors import UserError
from ssl_keras.run import restore_run, train_and_evaluate

GENERATOR = np.random.default_rng(0)
PIXELS = GENERATOR.integers(0, 256, (40, 16, 16, 3)).astype(np.uint8)
VECTORS = GENERATOR.normal(size=(40, 5)).astype(np.float32)
LABELS = np.arange(40, dtype=np.int64) % 4


def dataset(*columns: Any) -> Any:
    return tf.data.Dataset.from_tensor_slices(columns if len(columns) > 1 else columns[0])


def stored_arrays(source: Any, images: bool, folder: Path) -> dict[str, np.ndarray]:
    name = stored.store(source, images, str(folder))
    kind, _, path = name.partition(":")
    assert kind == "npz"
    assert Path(path).is_relative_to(folder)
    with np.load(path) as archive:
        return dict(archive)


@pytest.mark.parametrize(
    "source",
    [
        lambda: dataset(PIXELS, LABELS),
        lambda: dataset(PIXELS, LABELS).batch(7),
        lambda: dataset({"image": PIXELS, "label": LABELS, "id": np.arange(40)}),
        lambda: dataset({"x": PIXELS, "y": LABELS}).batch(40, drop_remainder=True),
        lambda: dataset((PIXELS / 255).astype(np.float64), LABELS.astype(np.uint8)),
        lambda: tf.data.Dataset.from_generator(
            lambda: zip(PIXELS, LABELS, strict=True),
            output_signature=(
                tf.TensorSpec((16, 16, 3), tf.uint8),
                tf.TensorSpec((), tf.int64),
            ),
        ),
    ],
    ids=["pairs", "batches", "dictionaries", "batched dictionaries", "floats", "generator"],
)
def test_every_form_gives_the_same_examples(source: Callable[[], Any], tmp_path: Path) -> None:
    arrays = stored_arrays(source(), True, tmp_path)
    np.testing.assert_array_equal(arrays["x"], PIXELS)
    np.testing.assert_array_equal(arrays["y"], LABELS)


@pytest.mark.parametrize("batch", [None, 7])
def test_examples_without_labels(batch: int | None, tmp_path: Path) -> None:
    for images, columns, expected in (
        (True, PIXELS, PIXELS),
        (True, PIXELS[..., 0], PIXELS[..., :1]),  # grey: (16, 16), in batches (None, 16, 16)
        (False, VECTORS, VECTORS),
    ):
        source = dataset(columns) if batch is None else dataset(columns).batch(batch)
        arrays = stored_arrays(source, images, tmp_path)
        assert list(arrays) == ["x"]
        np.testing.assert_array_equal(arrays["x"], expected)


def test_batches_of_grey_images_that_look_like_one_image(tmp_path: Path) -> None:
    source = dataset(PIXELS[..., 0]).batch(20, drop_remainder=True)  # (20, 16, 16)
    assert stored_arrays(source, True, tmp_path)["x"].shape == (40, 16, 16, 1)
    source = dataset(PIXELS[..., 0], LABELS).batch(20, drop_remainder=True)
    assert stored_arrays(source, True, tmp_path)["x"].shape == (40, 16, 16, 1)


def test_equal_contents_are_stored_once_and_others_apart(tmp_path: Path) -> None:
    name = stored.store(dataset(PIXELS, LABELS), True, str(tmp_path))
    assert stored.store(dataset(PIXELS, LABELS).batch(9), True, str(tmp_path)) == name
    others = [
        dataset(PIXELS[::-1].copy(), LABELS[::-1].copy()),
        dataset(PIXELS, LABELS[::-1].copy()),
        dataset(PIXELS),
        (dataset(PIXELS[:30], LABELS[:30]), dataset(PIXELS[30:], LABELS[30:])),
    ]
    names = {stored.store(other, True, str(tmp_path)) for other in others}
    assert len(names - {name}) == len(others)
    assert len(list((tmp_path / "ssl_keras").iterdir())) == len(others) + 1


def test_a_pair_is_for_training_and_testing(tmp_path: Path) -> None:
    source = (dataset(PIXELS[:30], LABELS[:30]), dataset(PIXELS[30:], LABELS[30:]))
    config = Config.make(dataset="plain", source=source, data_dir=tmp_path)
    data = datasets.load("plain", source=config.flat()["source"])
    (train,), (test,) = list(data.train.batches(64)), list(data.test.batches(64))
    np.testing.assert_array_equal(train["example"]["image"], PIXELS[:30])
    np.testing.assert_array_equal(test["labels"]["class"], LABELS[30:])


def test_vectors_with_partners_are_pairs(tmp_path: Path) -> None:
    columns = {"x": VECTORS, "partner": VECTORS + 1, "label": LABELS}
    config = Config.make(dataset="table", source=dataset(columns), views="given", data_dir=tmp_path)
    data = datasets.load("table", source=config.flat()["source"])
    batch = next(iter(data.train.batches(4)))
    np.testing.assert_allclose(batch["partner"]["x"], batch["example"]["x"] + 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (lambda: dataset(PIXELS, LABELS).repeat(), "is endless: leave its repeat() out"),
        (lambda: dataset(PIXELS[:0]), "is empty."),
        (lambda: dataset(PIXELS.astype(np.float32)), "floats must lie in [0, 1]"),
        (lambda: dataset(PIXELS.astype(np.int32)), "has the type int32; uint8, or float"),
        (lambda: dataset(PIXELS, tf.one_hot(LABELS, 4)), "one text for each of the 40"),
        (lambda: dataset({"picture": PIXELS}), 'have picture; "image" (or "x") is needed'),
        (lambda: dataset(PIXELS, LABELS, LABELS), "have 3 parts: (example, label) is needed"),
        (lambda: dataset(PIXELS).map(lambda x: {"image": {"a": x}}), "each must be one tensor"),
        (
            lambda: tf.data.Dataset.from_generator(
                lambda: iter([PIXELS[0], PIXELS[0, :9]]),
                output_signature=tf.TensorSpec((None, None, 3), tf.uint8),
            ),
            "cannot be read as examples of one shape",
        ),
        (lambda: [dataset(PIXELS)] * 3, "one for training and one for tests"),
        (lambda: PIXELS, "source must be a name, a path, a tf.data.Dataset or a pair of them"),
        (lambda: 3, "a pair of them, not int."),
    ],
)
def test_what_cannot_be_repeated_is_refused_in_one_sentence(
    source: Callable[[], Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        Config.make(dataset="plain", source=source(), data_dir=tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("*.npz"))


def test_data_without_an_end_are_refused_by_their_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored, "MOST_BYTES", 10**6)
    endless = tf.data.Dataset.range(10).repeat().map(lambda i: tf.constant(PIXELS[0]))
    endless = endless.filter(lambda x: True)  # of unknown length
    with pytest.raises(UserError, match=r"has more than .* GiB"):
        stored.store(endless, True, str(tmp_path))


@pytest.mark.exhaustive
def test_a_run_on_a_dataset_resumes_and_is_restored(tmp_path: Path) -> None:
    settings = {
        "dataset": "plain",
        "batch_size": 8,
        "steps": 2,
        "checkpoint_every": 1,
        "width_multiplier": 0.25,
        "heads": "knn",
        "measure_images": 0,
        "data_dir": tmp_path,
        "workdir": tmp_path / "run",
    }
    results = train_and_evaluate(Config.make(source=dataset(PIXELS, LABELS), **settings))
    data = results["data"]
    assert data["train_images"] + data["test_images"] == len(PIXELS)
    longer = {**settings, "steps": 3}
    resumed = train_and_evaluate(Config.make(source=dataset(PIXELS, LABELS).batch(5), **longer))
    assert resumed["times"]["resumed_at"] == [2]
    assert restore_run(tmp_path / "run").data.train.num_examples == data["train_images"]
