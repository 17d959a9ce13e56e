"""Any TFDS name takes the path of the embedded source; what cannot be read is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from ssl_keras.datasets import load_source
from ssl_keras.errors import UserError


class TinyColors(tfds.core.GeneratorBasedBuilder):
    """Twelve 8x8 RGB images, written by the test and read like any prepared data set."""

    name = "tiny_colors"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(8, 8, 3)),
                    "label": tfds.features.ClassLabel(names=["red", "blue"]),
                }
            )
        )

    def _split_generators(self, dl_manager):  # type: ignore[no-untyped-def]
        return {"train": self._generate_examples(8), "validation": self._generate_examples(4)}

    def _generate_examples(self, count=0):  # type: ignore[no-untyped-def]
        for index in range(count):
            image = np.zeros((8, 8, 3), np.uint8)
            image[..., index % 2 * 2] = 100 + index
            yield index, {"image": image, "label": index % 2}


def test_a_prepared_tfds_data_set_is_read(tmp_path: Path) -> None:
    TinyColors(data_dir=str(tmp_path)).download_and_prepare()
    source = load_source("tiny_colors", str(tmp_path))
    assert source.train.columns["image"].shape == (8, 8, 8, 3)
    assert source.test.columns["image"].shape == (4, 8, 8, 3)
    assert source.class_names == ("red", "blue")
    assert source.augmentation == "small_rgb"
    for image, label in zip(source.train.columns["image"], source.train.labels, strict=True):
        assert image[0, 0, label * 2] >= 100
        assert image[0, 0, 2 - label * 2] == 0


def test_a_name_that_is_not_prepared_says_how_to_prepare_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'cifar10' is not prepared in .*--download"):
        load_source("cifar10", str(tmp_path))
    assert not any(tmp_path.rglob("*.tfrecord*"))


@pytest.mark.parametrize(("name", "meant"), [("mnist5k", "mnist_5k"), ("cifar_10", "cifar10")])
def test_an_unknown_name_suggests_the_nearest(tmp_path: Path, name: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"Unknown source '{name}'. Did you mean '{meant}'"):
        load_source(name, str(tmp_path))


class TinySizes(TinyColors):
    """The same images, declared without a fixed size."""

    name = "tiny_sizes"

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.ClassLabel(num_classes=2),
                }
            )
        )


class TinyUnlabelled(TinyColors):
    """Images with another label column than `label`."""

    name = "tiny_unlabelled"

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict({"image": tfds.features.Image(shape=(8, 8, 3))})
        )

    def _generate_examples(self, count=0):  # type: ignore[no-untyped-def]
        for index in range(count):
            yield index, {"image": np.zeros((8, 8, 3), np.uint8)}


class TinyTexts(TinyColors):
    """No images at all."""

    name = "tiny_texts"

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "text": tfds.features.Text(),
                    "label": tfds.features.ClassLabel(num_classes=2),
                }
            )
        )

    def _generate_examples(self, count=0):  # type: ignore[no-untyped-def]
        for index in range(count):
            yield index, {"text": "no image", "label": index % 2}


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (TinySizes, r"The images of 'tiny_sizes' have several sizes: choose one with --image_size"),
        (TinyTexts, r"has the columns text, label; 'image' is needed"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, builder: type, message: str) -> None:
    builder(data_dir=str(tmp_path)).download_and_prepare()
    with pytest.raises(UserError, match=message):
        load_source(builder.name, str(tmp_path))


@pytest.mark.full
def test_large_data_sets_are_read_by_record_and_give_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssl_keras import datasets
    from ssl_keras.datasets.sources import tfds as tfds_source

    TinyColors(data_dir=str(tmp_path)).download_and_prepare()
    kept = datasets.load("bit_concat", source="tiny_colors", data_dir=str(tmp_path))
    monkeypatch.setattr(tfds_source, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(datasets, "IN_MEMORY_BYTES", 0)
    streamed = datasets.load("bit_concat", source="tiny_colors", data_dir=str(tmp_path))
    assert type(streamed.train.examples).__name__ == "EncodedExamples"
    for name in ("train", "test"):
        one = next(iter(getattr(kept, name).batches(100)))
        other = next(iter(getattr(streamed, name).batches(100)))
        np.testing.assert_array_equal(one["example"]["image"], other["example"]["image"])
        np.testing.assert_array_equal(one["example"]["bits"], other["example"]["bits"])
        np.testing.assert_array_equal(one["labels"]["class"], other["labels"]["class"])
    shuffled = list(streamed.train.training_batches(3, seed=0, num_steps=5, start_step=2))
    again = list(kept.train.training_batches(3, seed=0, num_steps=5, start_step=2))
    for one, other in zip(shuffled, again, strict=True):
        np.testing.assert_array_equal(one["example"]["image"], other["example"]["image"])


class TinyTrainOnly(TinyColors):
    """A data set without a test split."""

    name = "tiny_train_only"

    def _split_generators(self, dl_manager):  # type: ignore[no-untyped-def]
        return {"train": self._generate_examples(10)}


@pytest.mark.parametrize("in_memory", [True, False])
def test_without_a_test_split_the_last_fifth_of_train_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: bool
) -> None:
    from ssl_keras.datasets.sources import tfds as tfds_source

    TinyTrainOnly(data_dir=str(tmp_path)).download_and_prepare()
    if not in_memory:
        monkeypatch.setattr(tfds_source, "IN_MEMORY_BYTES", 0)
    source = load_source("tiny_train_only", str(tmp_path))
    assert (source.train.count, source.test.count) == (8, 2)
    assert "has no test split" in source.notices[0]
    seen = set()
    for part in (source.train, source.test):
        indices = tf.data.Dataset.range(part.count).batch(100)
        batch = next(iter(part.batched(indices, 100)))
        seen |= {image.tobytes() for image in batch["image"].numpy()}
    assert len(seen) == 10


class TinyDeep(TinyColors):
    """Images of 16 bits."""

    name = "tiny_deep"

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {"image": tfds.features.Image(shape=(8, 8, 1), dtype=np.uint16)}
            )
        )

    def _generate_examples(self, count=0):  # type: ignore[no-untyped-def]
        for index in range(count):
            yield index, {"image": np.zeros((8, 8, 1), np.uint16)}


class TinyUnsure(TinyColors):
    """Labels that are missing here and there."""

    name = "tiny_unsure"

    def _generate_examples(self, count=0):  # type: ignore[no-untyped-def]
        for index in range(count):
            yield index, {"image": np.zeros((8, 8, 3), np.uint8), "label": -1}


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (TinyDeep, "are of the type uint16; uint8 is needed"),
        (TinyUnsure, "Images of 'tiny_unsure' have no label \\(-1\\)"),
    ],
)
def test_pixels_and_labels_are_checked(tmp_path: Path, builder: type, message: str) -> None:
    builder(data_dir=str(tmp_path)).download_and_prepare()
    with pytest.raises(UserError, match=message):
        load_source(builder.name, str(tmp_path))


def test_unlabelled_images_are_a_source(tmp_path: Path) -> None:
    TinyUnlabelled(data_dir=str(tmp_path)).download_and_prepare()
    assert not load_source("tiny_unlabelled", str(tmp_path)).labelled


@pytest.mark.parametrize("name", ["mnist", "svhn_cropped", "kmnist", "emnist", "fashion_mnist"])
def test_names_with_a_handedness_exist_in_tfds(name: str) -> None:
    assert name in tfds.list_builders(with_community_datasets=False)


def test_names_of_tfds_take_the_same_path_by_mock(tmp_path: Path) -> None:
    # What TFDS mocks is the reading; the metadata of the data set must lie in data_dir.
    import json

    folder = tmp_path / "cifar10" / "3.0.2"
    folder.mkdir(parents=True)
    tfds.builder("cifar10", data_dir=str(tmp_path)).info.features.save_config(str(folder))
    splits = [
        {
            "name": name,
            "numBytes": "1",
            "shardLengths": [str(count)],
            "filepathTemplate": "{DATASET}",
        }
        for name, count in (("train", 12), ("test", 4))
    ]
    info = {"name": "cifar10", "version": "3.0.2", "fileFormat": "tfrecord", "splits": splits}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    with tfds.testing.mock_data(num_examples=12, data_dir=str(tmp_path)):
        source = load_source("cifar10", str(tmp_path))
    assert source.image_shape == (32, 32, 3)
    assert source.num_classes == 10
    assert source.augmentation == "small_rgb"


class TinyBlindTest(TinyColors):
    """A test split without labels, as imagenet2012 has it, and a validation split with them."""

    name = "tiny_blind_test"

    def _split_generators(self, dl_manager):  # type: ignore[no-untyped-def]
        return {
            "train": self._generate_examples(8),
            "test": self._blind(4),
            "validation": self._generate_examples(6),
        }

    def _blind(self, count):  # type: ignore[no-untyped-def]
        for index in range(count):
            yield index, {"image": np.zeros((8, 8, 3), np.uint8), "label": -1}


def test_a_test_split_without_labels_gives_way_to_validation(tmp_path: Path) -> None:
    TinyBlindTest(data_dir=str(tmp_path)).download_and_prepare()
    source = load_source("tiny_blind_test", str(tmp_path))
    assert source.test.count == 6
    assert source.test.labels.min() >= 0


class TinyShards(TinyColors):
    """Enough images for several record files."""

    name = "tiny_shards"

    def _split_generators(self, dl_manager):  # type: ignore[no-untyped-def]
        return {"train": self._generate_examples(60), "test": self._generate_examples(4)}


def test_the_order_is_the_same_in_memory_and_by_record_with_several_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ssl_keras.datasets.sources import tfds as tfds_source

    TinyShards(data_dir=str(tmp_path)).download_and_prepare(
        download_config=tfds.download.DownloadConfig(num_shards=3)
    )
    assert len(list(tmp_path.rglob("*train*tfrecord*"))) == 3

    def images() -> np.ndarray:
        examples = load_source("tiny_shards", str(tmp_path)).train
        return next(iter(examples.batched(tf.data.Dataset.range(60).batch(60), 60)))[
            "image"
        ].numpy()

    kept = images()
    monkeypatch.setattr(tfds_source, "IN_MEMORY_BYTES", 0)
    np.testing.assert_array_equal(images(), kept)


def test_a_missing_record_file_is_one_sentence(tmp_path: Path) -> None:
    TinyColors(data_dir=str(tmp_path)).download_and_prepare()
    next(tmp_path.rglob("*train*tfrecord*")).unlink()
    with pytest.raises(UserError, match=r"cannot be read .*: prepare it again"):
        load_source("tiny_colors", str(tmp_path))
