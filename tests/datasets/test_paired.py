"""Pairs that a table names: two columns of image files, or of vectors."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_keras import datasets
from ssl_keras.config import Config
from ssl_keras.datasets.sources import digests
from ssl_keras.errors import UserError
from ssl_keras.run import build

COUNT = 40


def write_table(path: Path, rows: list[list[str]]) -> str:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return f"pairs:{path}"


@pytest.fixture
def images(tmp_path: Path) -> str:
    """Pairs in which the second image is the first one, upside down; dark and bright in turn."""
    generator = np.random.default_rng(0)
    rows = [["left", "label", "right"]]
    for number in range(COUNT):
        image = generator.integers(0, 128, (16, 18, 3), dtype=np.uint8) + 100 * (number % 2)
        for name, pixels in ((f"a{number}.png", image), (f"b{number}.png", image[::-1])):
            Image.fromarray(pixels.astype(np.uint8)).save(tmp_path / name)
        rows.append([f"a{number}.png", ("dark", "bright")[number % 2], f"b{number}.png"])
    return write_table(tmp_path / "pairs.csv", rows)


@pytest.fixture
def vectors(tmp_path: Path) -> str:
    rows = [["first", "second"]]
    for number in range(COUNT):
        np.save(tmp_path / f"x{number}.npy", np.full(5, number, np.float64))
        np.save(tmp_path / f"y{number}.npy", np.full(5, -number, np.float64))
        rows.append([f"x{number}.npy", f"y{number}.npy"])
    return write_table(tmp_path / "vectors.csv", rows)


def test_images_keep_their_partners_and_labels(images: str, data_dir: str) -> None:
    data = datasets.load("plain", source=images, data_dir=data_dir)
    assert data.train.num_examples + data.test.num_examples == COUNT
    assert data.targets["class"].names == ("bright", "dark")
    for split in (data.train, data.test):
        for batch in split.batches(7):
            first, second = batch["example"]["image"].numpy(), batch["partner"]["image"].numpy()
            np.testing.assert_array_equal(first[:, ::-1], second)
            bright = first.mean(axis=(1, 2, 3)) > 110
            np.testing.assert_array_equal(batch["labels"]["class"], np.where(bright, 0, 1))


def test_the_part_of_a_pair_does_not_depend_on_the_others(images: str, data_dir: str) -> None:
    def test_images(source: str) -> set[bytes]:
        data = datasets.load("plain", source=source, data_dir=data_dir)
        return {
            bytes(image) for b in data.test.batches(9) for image in b["example"]["image"].numpy()
        }

    path = Path(images.removeprefix("pairs:"))
    everything = test_images(images)
    rows = list(csv.reader(path.open()))
    fewer = write_table(path.with_name("fewer.csv"), rows[:1] + rows[-1:10:-1])
    assert test_images(fewer) <= everything


def test_vectors_are_the_arrays_of_the_files(vectors: str, data_dir: str) -> None:
    data = datasets.load("table", source=vectors, data_dir=data_dir)
    assert not data.targets
    for batch in data.train.batches(8):
        x = batch["example"]["x"].numpy()
        np.testing.assert_array_equal(x, -batch["partner"]["x"].numpy())
        assert (x == x[:, :1]).all()


@pytest.mark.full
def test_two_towers_learn_which_images_belong_together(images: str) -> None:
    settings = {"dataset": "plain", "source": images, "views": "given", "method": "two_towers"}
    settings |= {"batch_size": 16, "steps": 30, "heads": "", "width_multiplier": 0.5}
    setup = build(Config.make(**settings))
    batches = setup.train.training_batches(16, seed=0, num_steps=30)
    history = setup.model.fit(batches, steps_per_epoch=15, epochs=2, verbose=0).history
    assert history["loss"][1] < history["loss"][0]


def test_the_digest_changes_with_the_table_and_the_files(images: str) -> None:
    path = Path(images.removeprefix("pairs:"))
    found = {digests.source_digest(images)}
    Image.new("RGB", (18, 16)).save(path.with_name("a0.png"))
    found.add(digests.source_digest(images))
    path.write_text(path.read_text().replace("a1.png", "a2.png"))
    found.add(digests.source_digest(images))
    assert len(found) == 3
    assert None not in found


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([["only"], ["a0.png"], ["a1.png"]], "has 1 columns beside the label; two"),
        ([["a", "b", "c"], ["x", "y", "z"], ["x", "y", "z"]], "has 3 columns beside the label"),
        ([["left", "right"], ["a0.png", "b0.png"]], "has 1 pairs; two are needed"),
        ([["left", "right"], ["a0.png"], ["a1.png", "b1.png"]], "Line 2 of .* has 1 entries"),
        ([["left", "right"], ["a0.png", "b0.png"], ["a1.png", "b9x.png"]], "Line 3 .*b9x.png"),
    ],
)
def test_a_bad_table_is_one_sentence(images: str, rows: list[list[str]], sentence: str) -> None:
    folder = Path(images.removeprefix("pairs:")).parent
    with pytest.raises(UserError, match=sentence):
        datasets.load("plain", source=write_table(folder / "bad.csv", rows))


def test_files_that_cannot_be_read_are_one_sentence(vectors: str, images: str) -> None:
    folder = Path(vectors.removeprefix("pairs:")).parent
    np.save(folder / "y3.npy", np.zeros(4))
    with pytest.raises(UserError, match=r"y3\.npy has 4 numbers, .*x0\.npy has 5: all vectors"):
        datasets.load("table", source=vectors)
    (folder / "y3.npy").write_text("no array")
    with pytest.raises(UserError, match=r"y3\.npy cannot be read as a NumPy array"):
        datasets.load("table", source=vectors)
    (folder / "b5.png").write_text("no image")
    with pytest.raises(UserError, match=r"b5\.png cannot be decoded"):
        datasets.load("plain", source=images)
    with pytest.raises(UserError, match="on_bad_image=skip has no effect on the pairs"):
        datasets.load("plain", source=images, on_bad_image="skip")
    with pytest.raises(UserError, match="does not exist"):
        datasets.load("plain", source=f"pairs:{folder / 'none.csv'}")
