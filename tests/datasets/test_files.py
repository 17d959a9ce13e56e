"""Users' own files: IDX, NumPy archives and folders, as they should be and as they should not."""

from __future__ import annotations

import gzip
import io
import os
import struct
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ssl_keras import datasets, log
from ssl_keras.cli import startup
from ssl_keras.config import Config
from ssl_keras.datasets import load_source
from ssl_keras.datasets.sources import arrays, folder
from ssl_keras.errors import UserError

GENERATOR = np.random.default_rng(0)


def idx(array: np.ndarray) -> bytes:
    return (
        struct.pack(">HBB", 0, 8, array.ndim)
        + struct.pack(f">{array.ndim}I", *array.shape)
        + (array.astype(np.uint8).tobytes())
    )


def write_idx(root: Path, compress: bool = True) -> dict[str, np.ndarray]:
    content = {
        "train-images-idx3-ubyte": GENERATOR.integers(0, 256, (20, 8, 8)),
        "train-labels-idx1-ubyte": np.arange(20) % 3,
        "t10k-images-idx3-ubyte": GENERATOR.integers(0, 256, (6, 8, 8)),
        "t10k-labels-idx1-ubyte": np.arange(6) % 3,
    }
    for name, array in content.items():
        data = idx(array)
        if compress:
            (root / f"{name}.gz").write_bytes(gzip.compress(data))
        else:
            (root / name).write_bytes(data)
    return content


class TestIdx:
    @pytest.mark.parametrize("compress", [True, False])
    def test_files_are_read(self, tmp_path: Path, compress: bool) -> None:
        content = write_idx(tmp_path, compress)
        source = load_source(f"idx:{tmp_path}")
        np.testing.assert_array_equal(
            source.train.columns["image"][..., 0], content["train-images-idx3-ubyte"]
        )
        np.testing.assert_array_equal(source.test.labels, content["t10k-labels-idx1-ubyte"])
        assert source.num_classes == 3
        assert load_source(f"idx:{tmp_path}", image_size=16).image_shape == (16, 16, 1)

    @pytest.mark.parametrize(
        ("name", "change", "message"),
        [
            ("train-images-idx3-ubyte.gz", lambda d: d[:-30], "cannot be read"),
            ("train-images-idx3-ubyte.gz", lambda d: b"hello" + d, "is not an IDX file"),
            (
                "train-labels-idx1-ubyte.gz",
                lambda d: gzip.compress(gzip.decompress(d)[:-3]),
                "is truncated or damaged: 20 bytes of data are declared, 17 are there",
            ),
            (
                "t10k-labels-idx1-ubyte.gz",
                lambda d: gzip.compress(b"\0\0\x0d" + gzip.decompress(d)[3:]),
                "holds values of type 0x0d; unsigned bytes",
            ),
            (
                "t10k-labels-idx1-ubyte.gz",
                lambda d: gzip.compress(idx(np.array([0, 1, 2, 0, 1, 9]))),
                "The test labels of .* have the class 9, which the training labels do not have",
            ),
            (
                "t10k-labels-idx1-ubyte.gz",
                lambda d: gzip.compress(idx(np.arange(5) % 3)),
                r"have the shape \(6, 8, 8\) and the labels \(5,\)",
            ),
        ],
    )
    def test_damage_is_named(self, tmp_path: Path, name: str, change: Any, message: str) -> None:
        write_idx(tmp_path)
        (tmp_path / name).write_bytes(change((tmp_path / name).read_bytes()))
        with pytest.raises(UserError, match=message) as caught:
            load_source(f"idx:{tmp_path}")
        assert "\n" not in str(caught.value)

    def test_missing_files_and_folders_are_named(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match=r"The folder '/no/where' .* does not exist"):
            load_source("idx:/no/where")
        with pytest.raises(UserError, match=r"must hold one file of train images .* found: none"):
            load_source(f"idx:{tmp_path}")


class TestNpz:
    def test_split_arrays(self, tmp_path: Path) -> None:
        train = GENERATOR.integers(0, 256, (12, 9, 7, 3)).astype(np.uint8)
        file = tmp_path / "data.npz"
        np.savez(
            file, x_train=train, y_train=np.arange(12) % 2, x_test=train[:4], y_test=[0, 1, 0, 1]
        )
        source = load_source(f"npz:{file}")
        np.testing.assert_array_equal(source.train.columns["image"], train)
        assert source.image_shape == (9, 7, 3)

    @pytest.mark.parametrize(
        ("channels", "image_channels", "expected"),
        [(1, None, 1), (2, None, 1), (3, None, 3), (5, None, 3), (5, 1, 1)],
    )
    def test_channels_after_the_picture_are_extra_channels(
        self, tmp_path: Path, channels: int, image_channels: int | None, expected: int
    ) -> None:
        images = GENERATOR.integers(0, 256, (20, 8, 8, channels)).astype(np.uint8)
        np.savez(tmp_path / "data.npz", images=images, labels=np.arange(20) % 2)
        source = load_source(f"npz:{tmp_path}/data.npz", image_channels=image_channels)
        assert (source.image_shape, source.image_channels) == ((8, 8, channels), expected)

    @pytest.mark.parametrize("image_channels", [2, 3])
    def test_more_picture_than_channels_is_refused(
        self, tmp_path: Path, image_channels: int
    ) -> None:
        np.savez(tmp_path / "data.npz", images=np.zeros((20, 8, 8, 2), np.uint8))
        with pytest.raises(
            UserError, match=f"image_channels is {image_channels}, but .* have 2 channels"
        ):
            load_source(f"npz:{tmp_path}/data.npz", image_channels=image_channels)

    def test_digits_are_drawn_on_the_picture_alone(self, tmp_path: Path, data_dir: str) -> None:
        images = GENERATOR.integers(0, 100, (30, 40, 40, 4)).astype(np.uint8)
        np.savez(tmp_path / "data.npz", images=images, labels=np.arange(30) % 2)
        source = f"npz:{tmp_path}/data.npz"
        data = datasets.load("overlay", source=source, data_dir=data_dir)
        plain = load_source(source).train.columns["image"]
        np.testing.assert_array_equal(data.train.example["image"][..., 3], plain[..., 3])
        assert np.all((data.train.example["image"][..., :3] != plain[..., :3]).any(axis=(1, 2)))

    def test_whole_arrays_of_floats_are_split_by_the_seed(self, tmp_path: Path) -> None:
        images = GENERATOR.random((50, 6, 6))
        file = tmp_path / "data.npz"
        np.savez(file, images=images, labels=np.arange(50) % 5)
        source, other = (load_source(f"npz:{file}", seed=seed) for seed in (0, 1))
        assert source.train.count + source.test.count == 50
        assert set(source.test.labels) == set(source.train.labels) == set(range(5))
        together = np.concatenate([source.train.columns["image"], source.test.columns["image"]])[
            ..., 0
        ]
        expected = np.round(images * 255).astype(np.uint8)
        assert {i.tobytes() for i in together} == {i.tobytes() for i in expected}
        assert not np.array_equal(source.test.columns["image"], other.test.columns["image"])

    def test_without_labels(self, tmp_path: Path) -> None:
        file = tmp_path / "data.npz"
        np.savez(file, x=GENERATOR.random((20, 6, 6)))
        source = load_source(f"npz:{file}")
        assert not source.labelled
        assert source.notices == ("no labels: probes and evaluators for the class are off",)
        data = datasets.load("bit_concat", source=f"npz:{file}", num_bits=2)
        assert list(data.targets) == ["bits"]
        assert datasets.load("plain", source=f"npz:{file}").targets == {}

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ({"pictures": np.zeros((4, 3, 3))}, "holds the arrays pictures; x_train"),
            ({"x": np.zeros((4, 3))}, r"has the shape \(4, 3\)"),
            ({"x": np.zeros((4, 3, 3, 0))}, r"has the shape \(4, 3, 3, 0\)"),
            ({"x": np.full((4, 3, 3), 7.0)}, "values from 7 to 7; floats must lie in"),
            ({"x": np.zeros((4, 3, 3), np.int64)}, "has the type int64; uint8"),
            ({"x": GENERATOR.random((9, 3, 3)), "y": np.zeros(9, int)}, "has one class only, 0"),
            ({"x": np.zeros((9, 3, 3)), "y": np.arange(9) - 4}, "go from -4 to 4"),
            ({"x": np.zeros((9, 3, 3)), "y": np.arange(8)}, r"has the shape \(8,\)"),
            ({"x": np.zeros((9, 3, 3)), "y": np.eye(9)}, r"has the shape \(9, 9\)"),
            ({"x": np.zeros((9, 3, 3)), "y": np.int64(3)}, r"has the shape \(\)"),
            ({"x": np.zeros((1, 3, 3))}, "too few images"),
        ],
    )
    def test_what_does_not_fit_is_named(
        self, tmp_path: Path, content: dict[str, np.ndarray], message: str
    ) -> None:
        file = tmp_path / "data.npz"
        np.savez(file, **content)
        with pytest.raises(UserError, match=message):
            load_source(f"npz:{file}")

    def test_not_an_archive(self, tmp_path: Path) -> None:
        file = tmp_path / "data.npz"
        file.write_text("no archive")
        with pytest.raises(UserError, match="cannot be read as a NumPy archive"):
            load_source(f"npz:{file}")
        with pytest.raises(UserError, match="does not exist"):
            load_source(f"npz:{tmp_path / 'none.npz'}")
        np.save(tmp_path / "single.npy", np.zeros(3))
        with pytest.raises(UserError, match="one array, not an archive"):
            load_source(f"npz:{tmp_path / 'single.npy'}")

    def test_what_becomes_large_by_scaling_is_scaled_on_demand(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "data.npz"
        np.savez(file, images=GENERATOR.random((50, 6, 6)), labels=np.arange(50) % 5)
        kept = datasets.load("plain", source=f"npz:{file}", image_size=9)
        monkeypatch.setattr(arrays, "IN_MEMORY_BYTES", 0)
        scaled = datasets.load("plain", source=f"npz:{file}", image_size=9)
        np.testing.assert_array_equal(kept.train.example["image"], scaled.train.example["image"])
        np.testing.assert_array_equal(kept.test.labels["class"], scaled.test.labels["class"])


def picture(value: int, size: tuple[int, int] = (10, 10)) -> Image.Image:
    return Image.fromarray(np.full((*size, 3), value, np.uint8))


def write_folder(root: Path, formats: tuple[str, ...] = ("png",), count: int = 10) -> None:
    for label, name in enumerate(("cats", "dogs")):
        (root / name).mkdir(parents=True)
        for index in range(count):
            suffix = formats[index % len(formats)]
            picture(100 * label + index).save(root / name / f"{index:02}.{suffix}")


class TestFolder:
    def test_class_folders_of_all_formats(self, tmp_path: Path) -> None:
        write_folder(tmp_path, ("png", "bmp", "jpg", "webp", "JPEG"))
        (tmp_path / "cats" / "notes.txt").write_text("not an image")
        source = load_source(f"folder:{tmp_path}")
        assert source.class_names == ("cats", "dogs")
        assert source.train.count + source.test.count == 20
        assert source.image_shape == (10, 10, 3)
        for part in (source.train, source.test):
            means = part.columns["image"].mean(axis=(1, 2, 3))
            np.testing.assert_array_equal(means > 50, part.labels == 1)

    def test_a_terminal_sees_how_far_long_decoding_is(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_folder(tmp_path)
        monkeypatch.setattr(folder, "DELAY", 0.0)
        for is_terminal, quiet in ((True, False), (True, True), (False, False)):
            monkeypatch.setattr("sys.stderr.isatty", lambda shown=is_terminal: shown)
            with log.warnings_only(quiet):
                load_source(f"folder:{tmp_path}")
            assert ("Decoding" in capsys.readouterr().err) == (is_terminal and not quiet)

    def test_train_and_test_folders_are_used_as_they_are(self, tmp_path: Path) -> None:
        write_folder(tmp_path / "train", count=6)
        write_folder(tmp_path / "val", count=2)
        source = load_source(f"folder:{tmp_path}", image_size=6)
        assert (source.train.count, source.test.count) == (12, 4)
        assert source.image_shape == (6, 6, 3)

    def test_a_flat_folder_trains_without_labels(self, tmp_path: Path) -> None:
        for index in range(10):
            picture(index).convert("L").save(tmp_path / f"{index}.png")
        source = load_source(f"folder:{tmp_path}")
        assert not source.labelled
        assert source.image_shape == (10, 10, 1)
        assert "no class folders" in source.notices[0]

    def test_split_depends_on_the_seed_only(self, tmp_path: Path) -> None:
        write_folder(tmp_path)
        first, again, other = (load_source(f"folder:{tmp_path}", seed=s) for s in (0, 0, 1))
        np.testing.assert_array_equal(first.test.columns["image"], again.test.columns["image"])
        assert not np.array_equal(first.test.columns["image"], other.test.columns["image"])

    def test_squash_keeps_everything_and_crop_the_centre(self, tmp_path: Path) -> None:
        write_folder(tmp_path)
        wide = np.zeros((10, 30, 3), np.uint8)
        wide[:, 10:20] = 255
        for file in tmp_path.rglob("*.png"):
            Image.fromarray(wide).save(file)
        cropped = load_source(f"folder:{tmp_path}", image_size=10, resize="crop")
        np.testing.assert_array_equal(cropped.train.columns["image"], 255)
        squashed = load_source(f"folder:{tmp_path}", image_size=10)
        np.testing.assert_allclose(squashed.train.columns["image"][..., 0].mean(), 85, atol=2)

    def test_large_folders_are_streamed_and_give_the_same(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_folder(tmp_path)
        kept = datasets.load("bit_concat", source=f"folder:{tmp_path}")
        monkeypatch.setattr(folder, "IN_MEMORY_BYTES", 0)
        monkeypatch.setattr(datasets, "IN_MEMORY_BYTES", 0)
        streamed = datasets.load("bit_concat", source=f"folder:{tmp_path}")
        assert type(streamed.train.examples).__name__ == "EncodedExamples"
        for one, other in zip(
            kept.train.training_batches(5, seed=1, num_steps=4, start_step=1),
            streamed.train.training_batches(5, seed=1, num_steps=4, start_step=1),
            strict=True,
        ):
            np.testing.assert_array_equal(one["example"]["image"], other["example"]["image"])
            np.testing.assert_array_equal(one["example"]["bits"], other["example"]["bits"])
            np.testing.assert_array_equal(one["labels"]["class"], other["labels"]["class"])

    def test_a_damaged_image_is_named_and_refused_or_skipped(self, tmp_path: Path) -> None:
        write_folder(tmp_path, ("jpg",))
        bad = tmp_path / "dogs" / "05.jpg"
        bad.write_bytes(bad.read_bytes()[:200])
        with pytest.raises(UserError, match=r"05\.jpg cannot be decoded .* --on_bad_image=skip"):
            load_source(f"folder:{tmp_path}")
        source = load_source(f"folder:{tmp_path}", on_bad_image="skip")
        assert source.train.count + source.test.count == 19
        assert "1 unreadable images skipped, the first is" in source.notices[0]
        assert "05.jpg" in source.notices[0]

    def test_skipping_works_for_streamed_folders_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_folder(tmp_path, ("jpg",))
        bad = tmp_path / "dogs" / "05.jpg"
        bad.write_bytes(bad.read_bytes()[:200])
        monkeypatch.setattr(folder, "IN_MEMORY_BYTES", 0)
        source = load_source(f"folder:{tmp_path}", on_bad_image="skip", image_size=8)
        assert source.train.count + source.test.count == 19
        assert "1 unreadable images skipped" in source.notices[0]
        kept = datasets.load(
            "plain", source=f"folder:{tmp_path}", on_bad_image="skip", image_size=8
        )
        assert kept.train.num_examples + kept.test.num_examples == 19

    def test_a_damaged_image_of_a_streamed_folder_is_named_when_it_is_met(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        write_folder(tmp_path, ("jpg",))
        bad = tmp_path / "dogs" / "05.jpg"
        bad.write_bytes(bad.read_bytes()[:200])
        monkeypatch.setattr(folder, "IN_MEMORY_BYTES", 0)

        def body() -> None:
            datasets.load("plain", source=f"folder:{tmp_path}", image_size=8)

        assert startup.guarded("program", body, lambda: False) == startup.MISTAKE
        error = capfd.readouterr().err
        assert error.startswith("program: The image ")
        assert "05.jpg cannot be decoded" in error
        assert "Traceback" not in error

    def test_hidden_files_and_folders_are_left_out(self, tmp_path: Path) -> None:
        write_folder(tmp_path)
        (tmp_path / ".ipynb_checkpoints").mkdir()
        picture(3).save(tmp_path / ".ipynb_checkpoints" / "a.png")
        (tmp_path / "._x.jpg").write_bytes(b"junk")
        (tmp_path / "cats" / "._y.jpg").write_bytes(b"junk")
        source = load_source(f"folder:{tmp_path}")
        assert source.class_names == ("cats", "dogs")
        assert source.train.count + source.test.count == 20

    def test_images_beside_class_folders_are_refused(self, tmp_path: Path) -> None:
        write_folder(tmp_path)
        picture(3).save(tmp_path / "stray.png")
        with pytest.raises(UserError, match=r"holds images \(stray.png\) beside class folders"):
            load_source(f"folder:{tmp_path}")

    def test_train_alone_is_split_and_test_alone_refused(self, tmp_path: Path) -> None:
        write_folder(tmp_path / "train")
        source = load_source(f"folder:{tmp_path}")
        assert source.train.count + source.test.count == 20
        (tmp_path / "train").rename(tmp_path / "valid")
        with pytest.raises(UserError, match="has a folder 'valid', but none called 'train'"):
            load_source(f"folder:{tmp_path}")

    def test_sixteen_bits_are_scaled_not_clipped(self, tmp_path: Path) -> None:
        deep = np.linspace(0, 65535, 100).reshape(10, 10).astype(np.uint16)
        for index in range(10):
            Image.fromarray(deep).save(tmp_path / f"{index}.png")
        images = load_source(f"folder:{tmp_path}").train.columns["image"]
        assert images.shape[1:] == (10, 10, 1)
        np.testing.assert_allclose(images[0, ..., 0], deep / 257.0, atol=0.51)

    def test_what_does_not_fit_is_named(self, tmp_path: Path) -> None:
        def refused(message: str, **options: Any) -> None:
            with pytest.raises(UserError, match=message):
                load_source(f"folder:{tmp_path}", **options)

        with pytest.raises(UserError, match="does not exist"):
            load_source("folder:/no/where")
        refused("holds no images")
        (tmp_path / "cats").mkdir()
        for index in range(5):
            picture(index).save(tmp_path / "cats" / f"{index}.png")
        refused("has one class only")
        (tmp_path / "dogs").mkdir()
        for index in range(5):
            picture(index, (10, 12)).save(tmp_path / "dogs" / f"{index}.png")
        refused("have several sizes .*: choose one with --image_size")
        assert load_source(f"folder:{tmp_path}", image_size=8).train.count == 8

    def test_test_folder_with_an_unknown_class(self, tmp_path: Path) -> None:
        write_folder(tmp_path / "train", count=3)
        write_folder(tmp_path / "test", count=2)
        (tmp_path / "test" / "dogs").rename(tmp_path / "test" / "wolves")
        with pytest.raises(UserError, match="has the class 'wolves' that"):
            load_source(f"folder:{tmp_path}")


class TestFilesAsPeopleHaveThem:
    def test_the_orientation_of_the_camera_is_followed(self, tmp_path: Path) -> None:
        pixels = np.zeros((8, 16, 3), np.uint8)
        pixels[:, :8] = 255  # the left half is white
        exif = Image.Exif()
        exif[0x0112] = 6  # held upright: the left of the sensor is the top of the picture
        for index in range(10):
            Image.fromarray(pixels).save(tmp_path / f"{index}.png", exif=exif)
        images = load_source(f"folder:{tmp_path}").train.columns["image"]
        assert images.shape[1:] == (16, 8, 3)
        assert images[0, :8].min() == 255
        assert images[0, 8:].max() == 0

    @pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
    def test_transparent_parts_are_white_and_told(self, mode: str, tmp_path: Path) -> None:
        image = Image.new("RGBA", (8, 8), (10, 10, 10, 255))
        image.paste((0, 0, 0, 0), (0, 0, 4, 8))
        for index in range(10):
            image.convert(mode).save(tmp_path / f"{index}.png")
        source = load_source(f"folder:{tmp_path}")
        first = source.train.columns["image"][0]
        assert first[:, :4].min() == 255
        assert first[:, 4:].max() <= 12
        assert "10 images have transparent parts, which are white here" in source.notices

    def test_one_file_in_colour_makes_all_of_them_colour(self, tmp_path: Path) -> None:
        # Grey and coloured files in turns: a sample of every second one would see grey alone.
        for index in range(40):
            image = Image.new("L", (8, 8), 9) if index % 2 else Image.new("RGB", (8, 8), "red")
            image.save(tmp_path / f"{index:02}.png")
        train = load_source(f"folder:{tmp_path}", image_size=4).train.columns["image"]
        assert train.shape[3] == 3
        assert {tuple(image[0, 0]) for image in train} == {(255, 0, 0), (9, 9, 9)}

    @pytest.mark.parametrize("suffix", ["tif", "TIFF", "jfif", "gif", "jpe"])
    def test_more_kinds_of_files_are_read(self, suffix: str, tmp_path: Path) -> None:
        kind = {"tif": "TIFF", "tiff": "TIFF", "gif": "GIF"}.get(suffix.lower(), "JPEG")
        for index in range(10):
            picture(index).save(tmp_path / f"{index}.{suffix}", kind)
        source = load_source(f"folder:{tmp_path}")
        assert source.train.count + source.test.count == 10

    def test_cmyk_has_its_colours(self, tmp_path: Path) -> None:
        for index in range(10):
            Image.new("RGB", (8, 8), (200, 30, 60)).convert("CMYK").save(tmp_path / f"{index}.jpg")
        first = load_source(f"folder:{tmp_path}").train.columns["image"][0, 0, 0]
        np.testing.assert_allclose(first, (200, 30, 60), atol=6)

    def test_other_programs_are_never_started(self, tmp_path: Path) -> None:
        write_folder(tmp_path)
        document = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n"
        (tmp_path / "cats" / "99.png").write_bytes(document)
        with pytest.raises(UserError, match=r"99\.png cannot be decoded \(cannot identify"):
            load_source(f"folder:{tmp_path}")

    def test_a_named_pipe_holds_nobody_up(self, tmp_path: Path) -> None:
        write_folder(tmp_path)
        os.mkfifo(tmp_path / "cats" / "pipe.png")
        (tmp_path / "cats" / "gone.png").symlink_to(tmp_path / "nowhere")
        source = load_source(f"folder:{tmp_path}")
        assert source.train.count + source.test.count == 20
        (notice,) = [n for n in source.notices if "left out" in n]
        assert "2 files of" in notice
        assert "1 no regular file" in notice
        assert "1 link to nothing" in notice

    def test_a_link_to_a_file_is_that_file(self, tmp_path: Path) -> None:
        write_folder(tmp_path / "data")
        for name in ("cats", "dogs"):
            (tmp_path / "links" / name).mkdir(parents=True)
            for file in (tmp_path / "data" / name).iterdir():
                (tmp_path / "links" / name / file.name).symlink_to(file)
        source = load_source(f"folder:{tmp_path / 'links'}")
        assert source.train.count + source.test.count == 20

    def test_a_large_image_is_named_and_allowed(self, tmp_path: Path) -> None:
        write_folder(tmp_path)
        Image.new("L", (1500, 1500)).save(tmp_path / "cats" / "poster.png")
        many = {"image_size": 8}
        with pytest.raises(
            UserError, match=r"poster\.png .*1500x1500 pixels, 2 million; at most 1 .*megapixels"
        ):
            load_source(f"folder:{tmp_path}", **many, max_megapixels=1)
        source = load_source(f"folder:{tmp_path}", **many, max_megapixels=3)
        assert source.train.count + source.test.count == 21
        Config.make(source=f"folder:{tmp_path}", max_megapixels=3)

    def test_what_is_left_out_is_counted(self, tmp_path: Path) -> None:
        write_folder(tmp_path)
        for name in ("a.txt", "b.txt", "c.heic", "README", ".hidden.png"):
            (tmp_path / "cats" / name).write_text("x")
        (tmp_path / "empty").mkdir()
        source = load_source(f"folder:{tmp_path}")
        assert source.class_names == ("cats", "dogs")
        told = " ".join(source.notices)
        assert "5 files of" in told
        assert "2 *.txt, 1 *.heic, 1 hidden, 1 without extension" in told
        assert "1 folders without images: empty" in told

    @pytest.mark.parametrize("names", [("Train", "TEST"), ("training", "dev"), ("TRAIN", "Val")])
    def test_parts_have_any_usual_name(self, names: tuple[str, str], tmp_path: Path) -> None:
        write_folder(tmp_path / names[0], count=6)
        write_folder(tmp_path / names[1], count=2)
        source = load_source(f"folder:{tmp_path}")
        assert (source.train.count, source.test.count) == (12, 4)

    def test_validation_beside_test_is_told(self, tmp_path: Path) -> None:
        for part, count in (("train", 6), ("test", 2), ("Validation", 3)):
            write_folder(tmp_path / part, count=count)
        source = load_source(f"folder:{tmp_path}")
        assert source.test.count == 4
        assert "'test' is used for testing, 'Validation' for nothing" in source.notices

    def test_folders_one_level_deeper_are_offered(self, tmp_path: Path) -> None:
        write_folder(tmp_path / "archive" / "PetImages")
        for depth in ("archive", "."):
            with pytest.raises(UserError, match=r"folder:\S*(archive|PetImages)\.$"):
                load_source(f"folder:{tmp_path / depth}")
        source = load_source(f"folder:{tmp_path / 'archive' / 'PetImages'}")
        assert source.train.count + source.test.count == 20

    def test_two_comes_before_ten(self, tmp_path: Path) -> None:
        for name in ("10", "9", "2", "a10", "a9"):
            (tmp_path / name).mkdir()
            for index in range(5):
                picture(index).save(tmp_path / name / f"{index}.png")
        assert load_source(f"folder:{tmp_path}").class_names == ("2", "9", "10", "a9", "a10")


def test_a_path_without_its_kind_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="looks like a path: write folder:"):
        load_source(str(tmp_path))


def npy_header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        stream, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    return stream.getvalue()


@pytest.mark.parametrize("compress", [False, True])
def test_a_header_that_promises_too_much_is_refused_before_memory_goes(
    tmp_path: Path, compress: bool
) -> None:
    write_idx(tmp_path, compress)
    suffix = ".gz" if compress else ""
    file = tmp_path / f"train-images-idx3-ubyte{suffix}"
    header = struct.pack(">HBB3I", 0, 8, 3, 10**6, 10**4, 10**2) + b"\0" * 100
    file.write_bytes(gzip.compress(header) if compress else header)
    with pytest.raises(UserError, match=r"promises 931.3 GiB of data, and .* GiB of memory are fr"):
        load_source(f"idx:{tmp_path}")
    archive = tmp_path / "images.npz"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED if compress else 0) as file_:
        file_.writestr("images.npy", npy_header((10**6, 10**4, 10**2)) + b"\0" * 100)
    with pytest.raises(UserError, match=r"images.npz promises 931.3 GiB of data"):
        load_source(f"npz:{archive}")


def test_what_expands_without_end_is_read_as_far_as_its_header_promises(tmp_path: Path) -> None:
    write_idx(tmp_path)
    bomb = io.BytesIO()
    with gzip.open(bomb, "w") as file:
        file.write(struct.pack(">HBB3I", 0, 8, 3, 20, 8, 8))
        for _ in range(300):
            file.write(b"\0" * 2**20)
    (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(bomb.getvalue())
    tracemalloc.start()
    with pytest.raises(UserError, match=r"1280 bytes of data are declared, more are there"):
        load_source(f"idx:{tmp_path}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


@pytest.mark.parametrize("kind", ["idx", "npz", "folder", "fonts"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path, kind: str) -> None:
    names = {"idx": "train-images-idx3-ubyte", "npz": "x.npz", "folder": "a.png", "fonts": "a.ttf"}
    os.mkfifo(tmp_path / names[kind])
    place = tmp_path / names[kind] if kind == "npz" else tmp_path
    with pytest.raises(UserError, match=r"does not exist|holds no|must hold one file"):
        load_source(f"{kind}:{place}")
