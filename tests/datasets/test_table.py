"""Tables: those of scikit-learn, NumPy archives and CSV files, and what is said of bad ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets

from ssl_keras import datasets
from ssl_keras.datasets.sources.vectors import load_vectors
from ssl_keras.errors import UserError
from ssl_keras.inputs import Vectors


def numbers(count: int = 20, dim: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dim))


def archive(folder: Path, **arrays: Any) -> str:
    np.savez(folder / "table.npz", **arrays)
    return f"npz:{folder / 'table.npz'}"


def write_csv(folder: Path, text: str, encoding: str = "utf-8") -> str:
    (folder / "table.csv").write_text(text, encoding=encoding)
    return f"csv:{folder / 'table.csv'}"


def rows_with_labels(x: np.ndarray, labels: np.ndarray) -> list[tuple[bytes, int]]:
    return sorted((row.tobytes(), int(label)) for row, label in zip(x, labels, strict=True))


@pytest.mark.parametrize(
    ("source", "count", "dim", "classes"),
    [("breast_cancer", 569, 30, 2), ("wine", 178, 13, 3), ("digits", 1797, 64, 10)],
)
def test_tables_of_scikit_learn_are_whole(source: str, count: int, dim: int, classes: int) -> None:
    data = datasets.load("table", source=source)
    original = getattr(sklearn.datasets, f"load_{source}")()
    parts = (data.train, data.test)
    x = np.concatenate([part.example["x"] for part in parts])
    labels = np.concatenate([part.labels["class"] for part in parts])
    assert x.shape == (count, dim)
    assert x.dtype == original.data.dtype
    assert rows_with_labels(x, labels) == rows_with_labels(original.data, original.target)
    for label, size in enumerate(np.bincount(original.target)):
        assert np.sum(data.test.labels["class"] == label) == round(0.2 * size)
    assert data.targets["class"].names == tuple(map(str, original.target_names))
    assert data.input_shape == (dim,)
    assert data.num_bits == 0
    assert isinstance(data.modality, Vectors)
    assert data.targets["class"].size == classes
    shares = np.bincount(data.test.labels["class"]) / data.test.num_examples
    assert data.targets["class"].chance == shares.max()
    assert not data.local_targets


def test_the_test_split_follows_from_the_seed() -> None:
    first, again, other = (datasets.load("table", source="wine", seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.test.example["x"], again.test.example["x"])
    assert np.any(first.test.example["x"] != other.test.example["x"])


def test_fewer_training_examples_have_the_scale_of_all() -> None:
    every = datasets.load("table", source="wine")
    few = datasets.load("table", source="wine", max_train_images=20)
    assert few.train.num_examples == 20
    assert few.test.num_examples == every.test.num_examples
    known = {row.tobytes() for row in every.train.example["x"]}
    assert {row.tobytes() for row in few.train.example["x"]} < known
    np.testing.assert_array_equal(few.modality.mean, every.modality.mean)


class TestArchives:
    def test_splits_are_used_as_they_are(self, tmp_path: Path) -> None:
        x, labels = numbers(), np.arange(20) % 4
        source = archive(tmp_path, x_train=x, y_train=labels, x_test=x[:8], y_test=labels[:8])
        data = datasets.load("table", source=source)
        np.testing.assert_array_equal(data.train.example["x"], x)
        np.testing.assert_array_equal(data.test.example["x"], x[:8])
        np.testing.assert_array_equal(data.train.labels["class"], labels)
        np.testing.assert_array_equal(data.test.labels["class"], labels[:8])
        assert data.train.partner is None
        assert "partner" not in data.train.batches(4).element_spec
        assert data.targets["class"].names == ()

    def test_a_whole_is_split_with_labels_and_partners(self, tmp_path: Path) -> None:
        x, labels = numbers(50), np.arange(50) % 5
        source = archive(tmp_path, x=x, y=labels, partner=-2 * x)
        data = datasets.load("table", source=source)
        parts = (data.train, data.test)
        for part in parts:
            np.testing.assert_array_equal(part.partner["x"], -2 * part.example["x"])
        whole = np.concatenate([part.example["x"] for part in parts])
        every_label = np.concatenate([part.labels["class"] for part in parts])
        assert rows_with_labels(whole, every_label) == rows_with_labels(x, labels)
        for batch in data.train.training_batches(8, seed=1, num_steps=3):
            np.testing.assert_array_equal(batch["partner"]["x"], -2 * batch["example"]["x"])

    def test_partners_of_splits_take_the_type_of_the_vectors(self, tmp_path: Path) -> None:
        x = numbers().astype(np.float32)
        source = archive(
            tmp_path,
            x_train=x,
            x_test=x[:4],
            partner_train=np.arange(60).reshape(20, 3),
            partner_test=np.zeros((4, 3)),
        )
        data = datasets.load("table", source=source)
        assert data.train.partner["x"].dtype == np.float32
        np.testing.assert_array_equal(data.train.partner["x"], np.arange(60).reshape(20, 3))
        np.testing.assert_array_equal(data.test.partner["x"], np.zeros((4, 3)))

    def test_labels_may_be_left_out(self, tmp_path: Path) -> None:
        data = datasets.load("table", source=archive(tmp_path, x=numbers()))
        assert data.targets == {}
        assert data.train.num_examples + data.test.num_examples == 20
        (notice,) = data.notices
        assert notice.startswith("no labels: ")

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            ({"images": np.zeros((4, 3))}, "holds the arrays images; x_train, y_train, x_test and"),
            ({}, "holds the arrays none; x_train"),
            ({"x_train": np.zeros((4, 3))}, "holds the arrays x_train; x_train, y_train, x_test"),
            (
                {"x": np.zeros((4, 3, 3))},
                r"array x of .* has the shape \(4, 3, 3\) and the type float64; numbers \(N, dim\)",
            ),
            ({"x": np.zeros((4, 0))}, r"has the shape \(4, 0\)"),
            ({"x": np.full((4, 3), "a")}, "the type <U1; numbers"),
            ({"x": np.zeros((4, 3), complex)}, "the type complex128; numbers"),
            ({"x": np.zeros((4, 3), bool)}, "the type bool; numbers"),
            (
                {"x": np.where(np.eye(4, 3) * [0, 1, 0] > 0, np.nan, 1.0)},
                "array x of .* has nan in row 1, column 1: fill in or leave out",
            ),
            ({"x": np.array([[1.0], [np.inf]])}, "has inf in row 1, column 0"),
            (
                {"x": np.zeros((4, 3)), "partner": np.zeros((4, 2))},
                r"array partner of .* has the shape \(4, 2\); .* \(4, 3\), is needed",
            ),
            (
                {"x": np.zeros((4, 3)), "partner": np.full((4, 3), np.nan)},
                "array partner of .* has nan in row 0, column 0",
            ),
            ({"x": np.zeros((9, 3)), "y": np.arange(8)}, r"array y of .* has the shape \(8,\)"),
            (
                {"x": np.zeros((9, 3)), "y": np.arange(9) / 2},
                "one whole number or one text for each",
            ),
            ({"x": np.zeros((9, 3)), "y": np.arange(9) - 1}, "go from -1 to 7"),
            ({"x": np.zeros((10, 3)), "y": np.zeros(10, int)}, "has one class only"),
            ({"x": np.zeros((1, 3))}, "too few vectors for training and testing"),
            (
                {"x_train": np.zeros((4, 3)), "x_test": np.zeros((4, 2))},
                "The training vectors of .* one (length|shape) is needed",
            ),
            (
                {"x_train": np.zeros((4, 3)), "x_test": np.zeros((4, 3)), "y_test": np.arange(4)},
                "training labels",
            ),
            (
                {"x_train": np.zeros((4, 3)), "x_test": np.zeros((4, 3)), "y_train": np.arange(4)},
                "test labels",
            ),
            (
                {
                    "x_train": np.zeros((4, 3)),
                    "x_test": np.zeros((4, 3)),
                    "y_train": np.arange(4),
                    "y_test": np.arange(4) + 1,
                },
                "The test labels of .* have the class 4, which the training labels do not have",
            ),
        ],
    )
    def test_what_does_not_fit_is_named(
        self, arrays: dict[str, np.ndarray], message: str, tmp_path: Path
    ) -> None:
        with pytest.raises(UserError, match=message) as caught:
            load_vectors(archive(tmp_path, **arrays))
        assert "\n" not in str(caught.value)

    def test_messages_about_labels_speak_of_vectors(self, tmp_path: Path) -> None:
        for labels in (np.zeros(10, int), np.arange(9)):
            with pytest.raises(UserError) as caught:
                load_vectors(archive(tmp_path, x=numbers(10), y=labels))
            assert "image" not in str(caught.value)

    def test_partners_of_one_split_alone_are_refused(self, tmp_path: Path) -> None:
        source = archive(
            tmp_path, x_train=numbers(), x_test=numbers(4), partner_train=numbers(20, seed=1)
        )
        with pytest.raises(UserError, match="partner_test"):
            load_vectors(source)

    def test_files_that_are_none(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"The file .*none\.npz.* does not exist"):
            load_vectors(f"npz:{tmp_path / 'none.npz'}")
        (tmp_path / "text.npz").write_text("no archive")
        with pytest.raises(UserError, match="cannot be read as a NumPy archive"):
            load_vectors(f"npz:{tmp_path / 'text.npz'}")


class TestCsv:
    def test_numbers_and_a_class_by_text_in_natural_order(self, tmp_path: Path) -> None:
        names = ["grade 10", "grade 2", "grade 1", "other"]
        lines = [f"{k},{names[k % 4]},{-k / 4}" for k in range(40)]
        source = write_csv(tmp_path, "a,Class,b\n" + "\n".join(lines) + "\n\n")
        data = datasets.load("table", source=source)
        assert data.targets["class"].names == ("grade 1", "grade 2", "grade 10", "other")
        assert data.train.example["x"].dtype == np.float64
        for part in (data.train, data.test):
            x, labels = part.example["x"], part.labels["class"]
            np.testing.assert_array_equal(x[:, 1], -x[:, 0] / 4)
            texts = [names[int(k) % 4] for k in x[:, 0]]
            assert [data.targets["class"].names[label] for label in labels] == texts
        assert data.train.num_examples + data.test.num_examples == 40

    @pytest.mark.parametrize("title", ["label", "class", "target", " Label "])
    def test_numbers_as_classes_are_in_order_of_their_value(
        self, title: str, tmp_path: Path
    ) -> None:
        lines = [f"{k},{(10, 2, 1)[k % 3]}" for k in range(30)]
        source = write_csv(tmp_path, f"a,{title}\n" + "\n".join(lines))
        assert load_vectors(source).class_names == ("1", "2", "10")

    def test_the_mark_of_byte_order_and_quotes_are_no_part_of_a_title(self, tmp_path: Path) -> None:
        lines = [f'{"xy"[k % 2]},"{k}"' for k in range(10)]
        source = write_csv(tmp_path, 'label,"a, b"\r\n' + "\r\n".join(lines), "utf-8-sig")
        table = load_vectors(source)
        assert table.class_names == ("x", "y")
        assert table.train.count + table.test.count == 10

    def test_without_a_column_of_labels(self, tmp_path: Path) -> None:
        lines = [f"{k},{k * k},1e-3" for k in range(10)]
        data = datasets.load("table", source=write_csv(tmp_path, "a,b,c\n" + "\n".join(lines)))
        assert data.targets == {}
        assert data.input_shape == (3,)
        # A column that does not vary becomes 0, and nothing divides by its deviation.
        assert np.all(data.inputs(next(iter(data.train.batches(8))))[:, 2] == 0)

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "has 0 lines; a header and at least two rows are needed"),
            ("a,label\n1,2\n", "has 2 lines; a header and at least two rows are needed"),
            ("label\nx\ny\n", "has no column of numbers"),
            ("a,b\n1,2\n3\n", r"Line 3 of .* has 1 entries, the header 2: \w+ that line"),
            ("a,b\n1,2,3\n3,4\n", "Line 2 of .* has 3 entries, the header 2"),
            (
                "label,a,b\nx,1,2\ny,3,four\n",
                "Line 3 of .* has 'four' in 'b': only numbers are read, and the class from a "
                "column label or class or target",
            ),
            ("a,b\n1,\n3,4\n", "Line 2 of .* has '' in 'b'"),
            ("a,b\n1,nan\n3,4\n", "has nan in row 0, column 1"),
            ("a,label\n" + "1,x\n" * 10, "has one class only"),
        ],
    )
    def test_what_does_not_fit_is_named(self, text: str, message: str, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=message) as caught:
            load_vectors(write_csv(tmp_path, text))
        assert "\n" not in str(caught.value)

    def test_lines_are_counted_as_in_the_file(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"Line 5 of .* has 'x' in 'a'"):
            load_vectors(write_csv(tmp_path, "a,b\n\n1,2\n\nx,4\n"))

    def test_a_file_of_blank_lines_is_no_table(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="a header and at least two rows are needed"):
            load_vectors(write_csv(tmp_path, "a,b\n\n\n\n"))

    def test_files_that_are_none(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"none.csv. of the source .* does not exist"):
            load_vectors(f"csv:{tmp_path / 'none.csv'}")
        (tmp_path / "binary.csv").write_bytes(b"a,b\n\xff\xfe\n1,2\n")
        with pytest.raises(UserError, match=r"binary\.csv of the source .* cannot be read"):
            load_vectors(f"csv:{tmp_path / 'binary.csv'}")


def test_names_and_settings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Unknown source of vectors 'vine'\. Did you mean 'wine'"):
        datasets.load("table", source="vine")
    for setting in ("image_size", "view_size"):
        message = f"{setting} has no effect on breast_cancer, whose examples are vectors"
        with pytest.raises(UserError, match=message):
            datasets.load("table", **{setting: 8})
    with pytest.raises(UserError, match="image_channels has no effect"):
        datasets.load("table", image_channels=1)
