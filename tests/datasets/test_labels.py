"""Splits that do not move, and labels as people have them."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_keras import datasets
from ssl_keras.datasets import load_source
from ssl_keras.datasets.base import Source
from ssl_keras.datasets.sources import folder
from ssl_keras.datasets.sources.digests import source_digest
from ssl_keras.datasets.sources.splitting import TEST_SHARE, keyed_split
from ssl_keras.datasets.sources.vectors import load_vectors
from ssl_keras.errors import UserError
from tests.datasets.test_files import idx

GENERATOR = np.random.default_rng(0)


def images(count: int, side: int = 6) -> np.ndarray:
    return GENERATOR.integers(0, 256, (count, side, side, 1)).astype(np.uint8)


def write_images(root: Path, names: Sequence[str]) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images(1)[0, ..., 0]).save(root / name)


def files_for_testing(root: Path, seed: int = 0) -> set[str]:
    _, test, _ = folder._parts("folder", str(root), seed)
    return {str(Path(file).relative_to(root)) for file, _ in test}


class TestSplit:
    def test_one_more_file_moves_no_other(self, tmp_path: Path) -> None:
        names = [f"{kind}/{number}.png" for kind in ("cat", "dog") for number in range(60)]
        write_images(tmp_path, names)
        before = files_for_testing(tmp_path)
        new = ["ant/1.png", "ant/2.png", "cat/0_first.png", "dog/999.png", "cat/30b.png"]
        write_images(tmp_path, new)
        assert files_for_testing(tmp_path) - set(new) == before
        assert before != files_for_testing(tmp_path, seed=1) - set(new)

    def test_a_folder_has_one_split_wherever_it_lies(self, tmp_path: Path) -> None:
        names = [f"{kind}/{number}.png" for kind in ("cat", "dog") for number in range(30)]
        for place in ("here", "there"):
            write_images(tmp_path / place, names)
        assert files_for_testing(tmp_path / "here") == files_for_testing(tmp_path / "there")

    @pytest.mark.parametrize("kind", ["images", "vectors"])
    def test_one_more_row_in_any_order_moves_no_other(self, tmp_path: Path, kind: str) -> None:
        x = images(200) if kind == "images" else GENERATOR.normal(size=(200, 5))
        labels, order = np.arange(200) % 4, GENERATOR.permutation(200)
        extra = x[:1] + x[1:2]
        np.savez(tmp_path / "a.npz", x=x, y=labels)
        np.savez(tmp_path / "b.npz", x=np.concatenate([extra, x[order]]), y=[3, *labels[order]])

        def test_rows(name: str) -> set[bytes]:
            source = f"npz:{tmp_path / name}"
            made = load_source(source) if kind == "images" else load_vectors(source)
            column = "image" if kind == "images" else "x"
            return {row.tobytes() for row in made.test.columns[column]}  # type: ignore[attr-defined]

        assert test_rows("a.npz") - {extra[0].tobytes()} == test_rows("b.npz") - {
            extra[0].tobytes()
        }

    def test_equal_contents_are_in_one_part(self) -> None:
        keys = [bytes([value]) for value in range(200)] * 2
        train, test = keyed_split(keys, np.zeros(400, int), seed=3)
        assert not {keys[row] for row in train} & {keys[row] for row in test}
        assert len(train) + len(test) == 400

    def test_the_share_of_test_examples(self) -> None:
        counts = [
            len(keyed_split((b"%d" % k for k in range(1000)), np.zeros(1000), seed)[1])
            for seed in range(50)
        ]
        # 1000 draws of a fifth: standard deviation 12.6 of one split, 1.8 of their mean.
        assert abs(np.mean(counts) - 1000 * TEST_SHARE) < 4 * 1.8
        assert 8 < np.std(counts) < 18

    @pytest.mark.parametrize("seed", range(20))
    def test_a_small_class_has_both_parts(self, seed: int) -> None:
        labels = np.array([0, 0, 1, 1, 1, 2])
        train, test = keyed_split((b"%d" % k for k in range(6)), labels, seed)
        assert set(labels[train]) == {0, 1, 2}
        assert set(labels[test]) == {0, 1}


def npz(path: Path, labels: object, test_labels: object = None, **more: object) -> Source:
    labels = np.asarray(labels)
    arrays = {"x_train": images(len(labels)), "y_train": labels}
    arrays |= {"x_test": images(4), "y_test": labels[:4] if test_labels is None else test_labels}
    np.savez(path / "data.npz", **arrays, **more)  # type: ignore[arg-type]
    return load_source(f"npz:{path / 'data.npz'}")


class TestLabels:
    @pytest.mark.parametrize(
        ("given", "expected", "names"),
        [
            ([10, 9000, 500, 10], [0, 2, 1, 0], ("10", "500", "9000")),
            ([1, 2, 3, 1], [0, 1, 2, 0], ("1", "2", "3")),
            ([0, 1, 2, 0], [0, 1, 2, 0], ()),
            ([[0], [1], [2], [0]], [0, 1, 2, 0], ()),
            ([0.0, 1.0, 2.0, 0.0], [0, 1, 2, 0], ()),
            (np.array([4, 2, 4, 2], np.uint8), [1, 0, 1, 0], ("2", "4")),
            (["b10", "b2", "a", "b2"], [2, 1, 0, 1], ("a", "b2", "b10")),
        ],
    )
    def test_they_become_dense_and_keep_their_names(
        self, tmp_path: Path, given: object, expected: list[int], names: tuple[str, ...]
    ) -> None:
        source = npz(tmp_path, given)
        np.testing.assert_array_equal(source.train.labels, expected)
        np.testing.assert_array_equal(source.test.labels, expected)
        assert source.class_names == names
        assert source.num_classes == max(expected) + 1

    def test_an_archive_names_its_classes(self, tmp_path: Path) -> None:
        source = npz(tmp_path, [0, 2, 0, 2], class_names=["ant", "bee", "cow"])
        assert source.class_names == ("ant", "cow")
        np.testing.assert_array_equal(source.train.labels, [0, 1, 0, 1])

    @pytest.mark.parametrize(
        ("labels", "more", "message"),
        [
            ([0, 1, 0, 1], {"test_labels": [0, 1, 7, 0]}, "have the class 7, which the training"),
            ([0, 1, -1, 1], {}, "go from -1 to 1; they must be numbers of classes, from 0 on"),
            ([0, 1, 0.5, 1], {}, r"type float64; one whole number or one text for each of the 4"),
            (np.eye(4), {}, r"has the shape \(4, 4\) .* one whole number or one text"),
            ([3, 3, 3, 3], {}, "has one class only, 3: two are needed"),
            (np.arange(300), {}, "have 300 different values: labels must be classes that"),
            ([0, 1, 0, 1], {"class_names": ["ant"]}, "has 1 class names, but labels up to 1"),
            ([0, 1, 0, 1], {"class_names": [1, 2]}, "one text for each class is needed"),
        ],
    )
    def test_others_are_refused(
        self, tmp_path: Path, labels: object, more: dict[str, object], message: str
    ) -> None:
        with pytest.raises(UserError, match=message):
            npz(tmp_path, labels, **more)

    @pytest.mark.parametrize(
        ("part", "labels", "names"),
        [
            ("letters", [1, 26, 2], ("A", "B", "Z")),
            ("balanced", [0, 36, 46], ("0", "a", "t")),
            ("digits", [0, 1, 2], ()),
        ],
    )
    def test_emnist_is_upright_and_has_its_letters(
        self, tmp_path: Path, part: str, labels: list[int], names: tuple[str, ...]
    ) -> None:
        stored = GENERATOR.integers(0, 256, (3, 8, 8)).astype(np.uint8)
        for split in ("train", "test"):
            for kind, array in (("images-idx3", stored), ("labels-idx1", np.array(labels))):
                file = tmp_path / f"emnist-{part}-{split}-{kind}-ubyte.gz"
                file.write_bytes(gzip.compress(idx(array)))
        source = load_source(f"idx:{tmp_path}")
        np.testing.assert_array_equal(
            source.train.columns["image"][..., 0],  # type: ignore[attr-defined]
            stored.transpose(0, 2, 1),
        )
        assert source.class_names == names
        assert source.num_classes == 3
        assert any("transposed" in notice for notice in source.notices)

    @pytest.mark.parametrize("shape", [(20, 3, 8, 8), (20, 1, 28, 28), (20, 4, 9, 8)])
    def test_channels_that_come_first_are_refused_with_the_mend(
        self, tmp_path: Path, shape: tuple[int, ...]
    ) -> None:
        x = np.zeros(shape, np.uint8)
        np.savez(tmp_path / "data.npz", images=x)
        with pytest.raises(UserError, match=r"channels come first: save numpy.moveaxis\(images, 1"):
            load_source(f"npz:{tmp_path / 'data.npz'}")
        np.savez(tmp_path / "data.npz", images=np.moveaxis(x, 1, -1))
        assert load_source(f"npz:{tmp_path / 'data.npz'}").image_shape == (*shape[2:], shape[1])


def test_chance_is_what_a_constant_reaches_on_the_test_images(tmp_path: Path) -> None:
    arrays = {"x_train": images(8), "y_train": [0, 0, 0, 0, 0, 1, 1, 2]}
    np.savez(tmp_path / "data.npz", x_test=images(10), y_test=[2] * 6 + [0] * 3 + [1], **arrays)
    data = datasets.load("plain", source=f"npz:{tmp_path / 'data.npz'}")
    assert data.targets["class"].chance == 0.6
    assert data.training_chances["class"] == 0.625


class TestDigest:
    def test_of_a_folder_depends_on_names_and_sizes(self, tmp_path: Path) -> None:
        names = [f"{kind}/{number}.png" for kind in ("cat", "dog") for number in range(10)]
        write_images(tmp_path / "a", names)
        first = source_digest(f"folder:{tmp_path / 'a'}")
        assert first is not None
        (tmp_path / "a").rename(tmp_path / "b")
        (tmp_path / "b" / "notes.txt").write_text("no image")
        assert source_digest(f"folder:{tmp_path / 'b'}") == first
        file = tmp_path / "b" / "cat" / "3.png"
        content = file.read_bytes()
        for change in (
            lambda: write_images(tmp_path / "b", ["cat/new.png"]),
            lambda: (
                (tmp_path / "b" / "cat" / "new.png").unlink() or file.write_bytes(content + b" ")
            ),
            lambda: file.write_bytes(content) and file.rename(file.with_name("33.png")),
        ):
            change()
            assert source_digest(f"folder:{tmp_path / 'b'}") != first
        file.with_name("33.png").rename(tmp_path / "b" / "cat" / "3.png")
        assert source_digest(f"folder:{tmp_path / 'b'}") == first

    @pytest.mark.parametrize("kind", ["npz", "csv", "idx"])
    def test_of_files_depends_on_their_contents(self, tmp_path: Path, kind: str) -> None:
        for part in ("train", "t10k"):
            for content in ("images", "labels"):
                (tmp_path / f"{part}-{content}").write_bytes(b"1234")
        path = tmp_path / "train-labels"
        name = f"{kind}:{tmp_path if kind == 'idx' else path}"
        first = source_digest(name)
        assert first is not None
        path.write_bytes(b"1235")
        assert source_digest(name) != first
        path.write_bytes(b"1234")
        assert source_digest(name) == first

    def test_of_a_prepared_data_set_depends_on_its_version_and_counts(self, tmp_path: Path) -> None:
        file = tmp_path / "flowers" / "1.0.0" / "dataset_info.json"
        file.parent.mkdir(parents=True)
        text = '{"name": "flowers", "version": "1.0.0", "splits": [{"name": "train", %s}]}'
        file.write_text(text % '"shardLengths": ["10"]')
        first = source_digest("flowers", str(tmp_path))
        assert first is not None
        file.write_text(text % '"shardLengths": ["11"]')
        assert source_digest("flowers", str(tmp_path)) not in (first, None)
        file.write_text("{")
        assert source_digest("flowers", str(tmp_path)) is None

    def test_embedded_sources_have_one_and_missing_ones_none(self, tmp_path: Path) -> None:
        assert source_digest("mnist_5k") != source_digest("photos")
        assert source_digest(f"folder:{tmp_path / 'missing'}") is None
        builder = datasets.DATASETS.get("overlay", digit_source="mnist_5k", source="photos")
        assert set(datasets.digests(builder)) == {"source", "digit_source"}
