"""Any TFDS name takes the path of the embedded source; what cannot be read is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
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
    assert source.train.images.shape == (8, 8, 8, 3)
    assert source.test.images.shape == (4, 8, 8, 3)
    assert source.class_names == ("red", "blue")
    assert source.augmentation == "small_rgb"
    for image, label in zip(source.train.images, source.train.labels, strict=True):
        assert image[0, 0, label * 2] >= 100
        assert image[0, 0, 2 - label * 2] == 0


def test_a_name_that_is_not_prepared_says_how_to_prepare_it(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'cifar10' is not prepared in .*--download"):
        load_source("cifar10", str(tmp_path))
    assert not any(tmp_path.rglob("*.tfrecord*"))


@pytest.mark.parametrize(("given", "meant"), [("mnist5k", "mnist_5k"), ("cifar_10", "cifar10")])
def test_an_unknown_name_suggests_the_nearest(tmp_path: Path, given: str, meant: str) -> None:
    with pytest.raises(UserError, match=f"Unknown source '{given}'. Did you mean '{meant}'"):
        load_source(given, str(tmp_path))


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
            features=tfds.features.FeaturesDict({"text": tfds.features.Text()})
        )

    def _generate_examples(self, count=0):  # type: ignore[no-untyped-def]
        for index in range(count):
            yield index, {"text": "no image"}


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (TinySizes, r"The images of 'tiny_sizes' have several sizes: choose one with --image_size"),
        (TinyTexts, r"has the columns text; 'image' is needed"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, builder: type, message: str) -> None:
    builder(data_dir=str(tmp_path)).download_and_prepare()
    with pytest.raises(UserError, match=message):
        load_source(builder.name, str(tmp_path))
