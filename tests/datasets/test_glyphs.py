"""Characters in fonts: pixels by hash, disjoint fonts, balanced classes, a user's folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ssl_keras import datasets
from ssl_keras.config import Config
from ssl_keras.datasets import load_source
from ssl_keras.datasets.sources import check_source, glyphs
from ssl_keras.datasets.sources.digests import source_digest
from ssl_keras.errors import UserError

ROOT = Path(__file__).parents[2]
# The version of FreeType of requirements.lock, and the SHA-256 of the images that it draws.
FREETYPE = "FreeType 2.14.3"
DIGESTS = {
    "train": "cacae9177b17e9f95df159cae56b368e4a717499636a17182bf3d256d8f342f9",
    "test": "c4f116e3a22af0ec7cc54f4a097b7a6dd65f1fcc941def37eef9405f20424794",
}


def sha256(array: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def test_pixels_are_the_same_on_all_machines() -> None:
    source = load_source("glyphs")
    assert source.image_shape == (28, 28, 1)
    assert (source.train.count, source.test.count) == (6200, 1984)
    if glyphs.drawn_by() == FREETYPE:
        found = {n: sha256(getattr(source, n).columns["image"]) for n in ("train", "test")}
        assert found == DIGESTS


def test_another_process_draws_the_same() -> None:
    code = (
        "import hashlib; from ssl_keras.datasets import load_source; "
        "a = load_source('glyphs', num_characters=3, image_size=20).train.columns['image']; "
        "print(hashlib.sha256(a.tobytes()).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )  # fmt: skip
    here = load_source("glyphs", num_characters=3, image_size=20, seed=5).train
    assert done.stdout.strip() == sha256(here.columns["image"])


@pytest.mark.full
def test_classes_are_balanced_and_named_and_the_first_images_show_all() -> None:
    source = load_source("glyphs", num_characters=70)
    assert source.num_classes == 70
    assert source.class_names == tuple(glyphs.CHARACTERS[:70])
    for examples, each in ((source.train, 100), (source.test, 32)):
        assert np.bincount(examples.labels).tolist() == [each] * 70
    assert len(np.unique(source.train.labels[:500])) == 70
    assert len(set(glyphs.CHARACTERS)) == len(glyphs.CHARACTERS) > 100


def test_fonts_of_testing_do_not_occur_in_training() -> None:
    train, test, notices = glyphs.fonts("glyphs", glyphs.CHARACTERS, 0)
    assert (len(train), len(test), notices) == (12, 4, ())
    assert not set(train) & set(test)
    assert all(path.is_file() for path in (*train, *test))


def test_every_font_draws_every_character_whole_and_differently() -> None:
    atlas = glyphs.draw_atlas(tuple(glyphs.embedded_fonts()), glyphs.CHARACTERS, 64)
    assert atlas.max(axis=(2, 3)).min() > 200
    # Nothing is cut off: the border is black, but for the widest bold letters.
    border = np.concatenate([atlas[:, :, 0], atlas[:, :, -1], atlas[:, :, :, 0]], axis=-1)
    assert np.mean(border.max(axis=-1) > 0) < 0.01
    flat = atlas.reshape(-1, 64 * 64)
    assert len(np.unique(flat, axis=0)) > 0.95 * len(flat)
    # Small letters stay smaller than capital ones.
    first, second = (glyphs.CHARACTERS.index(c) for c in "Oo")
    assert np.all(atlas[:, first].sum(axis=(1, 2)) > 1.2 * atlas[:, second].sum(axis=(1, 2)))


def test_a_pose_of_strength_zero_is_the_glyph_itself() -> None:
    atlas = glyphs.draw_atlas(tuple(glyphs.embedded_fonts()[:1]), "Ag", 64)
    still = glyphs.posed(atlas[0], 64, glyphs.poses("still", 2, strength=0.0))
    np.testing.assert_array_equal(still, atlas[0])
    half = glyphs.posed(atlas[0], 32, glyphs.poses("still", 2, strength=0.0))
    means = atlas[0].reshape(2, 32, 2, 32, 2).mean(axis=(2, 4))
    # Two points for each pixel of half the size lie between four pixels.
    np.testing.assert_allclose(half, means, atol=1.0)


@pytest.mark.parametrize("axis", [0, 1])
def test_a_pose_moves_turns_and_scales_as_its_map_says(axis: int) -> None:
    square = np.zeros((1, 64, 64), np.uint8)
    square[0, 24:40, 24:40] = 255
    shift = np.array([[[1.0, 0, 0], [0, 1.0, 0]]])
    shift[0, axis, 2] = -0.25  # the image at 0 shows what is at -0.25: it moves by 8 pixels
    moved = glyphs.posed(square, 64, shift)
    np.testing.assert_array_equal(moved, np.roll(square, 8, axis=2 - axis))
    doubled = glyphs.posed(square, 64, np.array([[[0.5, 0, 0], [0, 0.5, 0]]]))
    assert doubled[0, 18:46, 18:46].min() == 255
    assert abs(doubled.astype(int).sum() - 4 * square.astype(int).sum()) < 0.02 * doubled.sum()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in glyphs.embedded_fonts():
        shutil.copy(file, tmp_path / file.name)
    (tmp_path / "deeper").mkdir()
    shutil.copy(glyphs.embedded_fonts()[0], tmp_path / "deeper" / "copy.TTF")
    return tmp_path


def test_a_folder_of_fonts(folder: Path) -> None:
    name = f"fonts:{folder}"
    source = load_source(name, num_characters=5)
    train, test, _ = glyphs.fonts(name, "abc", 0)
    assert len(train) + len(test) == 17
    assert len(test) >= 1
    assert not {*train} & {*test}
    assert source.notices[0] == f"17 fonts, {len(test)} of them for testing"
    before = source_digest(name)
    shutil.copy(glyphs.embedded_fonts()[1], folder / "one_more.otf")
    more_train, more_test, _ = glyphs.fonts(name, "abc", 0)
    assert {*train} <= {*more_train}  # one more moves no other
    assert {*test} <= {*more_test}
    assert source_digest(name) != before
    assert source_digest("glyphs") is not None


def test_bad_fonts_and_those_that_lack_characters_are_counted(folder: Path) -> None:
    (folder / "broken.ttf").write_bytes(b"no font" * 100)
    symbols = next(folder.glob("*.ttf")).parent / "symbols.ttf"
    shutil.copy(glyphs.embedded_fonts()[0].with_name("cmsy10.ttf"), symbols)
    _, _, notices = glyphs.fonts(f"fonts:{folder}", glyphs.CHARACTERS, 0)
    assert notices[1] == "fonts left out: 1 cannot be read, 1 lack characters"


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, r"The folder .*none' of the source .* does not exist"),
        ([], r"holds no fonts \(\.ttf or \.otf\)"),
        (["DejaVuSans.ttf"], r"has 1 of 1 fonts with the 62 characters, and two are needed"),
    ],
)
def test_a_folder_without_enough_fonts_is_a_sentence(
    tmp_path: Path, files: list[str] | None, message: str
) -> None:
    place = tmp_path / "none"
    for file in files or []:
        place.mkdir(exist_ok=True)
        shutil.copy(glyphs.embedded_fonts()[0].with_name(file), place / file)
    if files == []:
        place.mkdir()
    with pytest.raises(UserError, match=message):
        load_source(f"fonts:{place}")
    if not files:
        with pytest.raises(UserError, match=message):
            check_source(f"fonts:{place}", None, False, 0)


def test_settings_that_have_no_effect_are_refused() -> None:
    with pytest.raises(UserError, match="num_characters has no effect on 'plain' without a source"):
        datasets.load("plain", num_characters=5)
    with pytest.raises(UserError, match="resize=crop has no effect on the source 'glyphs'"):
        load_source("glyphs", resize="crop")
    with pytest.raises(UserError, match="num_characters must be at least 2 and at most 103, not"):
        Config.make(num_characters=1000)


def test_glyphs_are_digits_of_other_data_sets() -> None:
    data = datasets.load(
        "multi_digit", digit_source="glyphs", num_characters=12, num_train_images=8,
        num_test_images=4,
    )  # fmt: skip
    assert data.targets["presence"].size == 12
    assert data.targets["presence"].names == tuple("0123456789AB")
