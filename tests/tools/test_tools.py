"""The tools run as their documentation says, and refuse what they cannot do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_keras import show_views
from ssl_keras.datasets import load_source
from tests.tiers import first_in_test
from tools import prepare_tfds


@pytest.mark.parametrize(
    "arguments",
    first_in_test(
        [
            ["--num_bits=5", "--bit_scale=0.5"],
            ["--dataset=multi_digit", "--digit_sizes=10,30", "--num_train_images=20"],
            ["--dataset=multi_digit", "--num_train_images=20", "--num_test_images=5"],
            ["--dataset=overlay", "--image_size=40", "--views=augment,mixup"],
        ],
        2,
    ),
    ids=str,
)
def test_show_views_writes_a_picture(arguments: list[str], tmp_path: Path) -> None:
    output = tmp_path / "views.png"
    given = ["show_views", *arguments, f"--output={output}", "--show_images=3", "--show_pairs=1"]
    assert show_views.main([*given, "--batch_size=8"]) == 0
    with Image.open(output) as picture:
        assert picture.size[0] > 300
        assert np.asarray(picture.convert("L")).std() > 20


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output=/no/where/a.png"], "output is /no/where/a.png"),
        (["--output=a.gif"], "output is a.gif; a .png file"),
        (["--show_images=0"], "show_images and show_pairs must be at least 1"),
        (["--temprature=1"], "did you mean --temperature?"),
    ],
)
def test_show_views_refuses(
    arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert show_views.main(["show_views", *arguments]) == 2
    assert message in capfd.readouterr().err


def test_prepared_data_set_is_read_back(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 7, 7, 3)).astype(np.uint8)
    labels = np.arange(40) % 4
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    arguments = ["--name=my_data", f"--data_dir={tmp_path}", f"--source=npz:{tmp_path}/mine.npz"]
    assert prepare_tfds.main(arguments) == 0
    assert "--source=my_data" in capfd.readouterr().out
    written = load_source("my_data", str(tmp_path))
    original = load_source(f"npz:{tmp_path}/mine.npz")
    for ours, theirs in ((written.train, original.train), (written.test, original.test)):
        pairs = {
            (i.tobytes(), int(n)) for i, n in zip(ours.columns["image"], ours.labels, strict=True)
        }
        expected = {
            (i.tobytes(), int(n))
            for i, n in zip(theirs.columns["image"], theirs.labels, strict=True)
        }
        assert pairs == expected


def test_prepare_refuses_bad_names(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "taken").mkdir()
    for name, message in (
        ("My-Data", "small letters, digits and underscores"),
        ("taken", "exists already: choose another --name"),
        ("cifar10", "which is another data set: choose another, such as my_cifar10"),
    ):
        arguments = [f"--name={name}", f"--data_dir={tmp_path}", "--source=mnist_5k"]
        assert prepare_tfds.main(arguments) == 2
        assert message in capfd.readouterr().err
