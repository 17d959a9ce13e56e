"""Mistakes that cost nothing to find are told before TensorFlow is imported."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ssl_keras import train
from ssl_keras.config import Config
from ssl_keras.datasets.sources import check_source
from ssl_keras.datasets.sources import tfds as tfds_source
from ssl_keras.errors import UserError

# In a fresh process: every command line is refused, and TensorFlow stays away.
CHECK = """
import json, sys
from ssl_keras import train
for line in json.load(sys.stdin):
    assert train.main(["program", *line]) == 2, line
assert "tensorflow" not in sys.modules
"""


def pictures(folder: Path, count: int) -> Path:
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.full((8, 8, 3), 10 * number, np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def test_they_are_told_without_tensorflow(tmp_path: Path) -> None:
    folder = pictures(tmp_path / "pictures", 10)
    prepared = tmp_path / "data" / "mnist" / "3.0.1"
    prepared.mkdir(parents=True)
    splits = [
        {"name": "train", "shardLengths": ["30", "20"]},
        {"name": "test", "shardLengths": ["9"]},
    ]
    (prepared / "dataset_info.json").write_text(json.dumps({"splits": splits}))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "letter.txt").write_text("dear")
    count = check_source(f"folder:{folder}", None, False, seed=0)
    assert 9 < count < 20
    cases = {
        ("--source=cifar10", f"--data_dir={tmp_path}"): "'cifar10' is not prepared in",
        ("--source=cifar1", f"--data_dir={tmp_path}"): "Did you mean 'cifar10'?",
        ("--data_dir=/nowhere/data",): "The folder '/nowhere/data' of --data_dir does not exist",
        ("--source=folder:/nowhere",): "'/nowhere' of the source 'folder:/nowhere' does not exist",
        ("--source=npz:/nowhere",): "'/nowhere', which the source 'npz:/nowhere' names",
        (
            "--dataset=factors",
            "--font_source=fonts:/nowhere",
        ): "'/nowhere' of the source 'fonts:/no",
        ("--dataset=multi_digit", "--digit_source=npz:/nowhere"): "'/nowhere', which the source",
        ("--source=fonts:/nowhere",): "'/nowhere' of the source 'fonts:/nowhere' does not exist",
        ("--dataset=table", "--source=csv:/nowhere"): "'/nowhere' of the source 'csv:/nowhere'",
        ("--dataset=table", "--source=win"): "Did you mean 'wine'?",
        (f"--source=folder:{folder}", "--batch_size=21"): f"has {count} training examples",
        ("--source=mnist", f"--data_dir={tmp_path / 'data'}", "--batch_size=51"): "has 50 training",
        (
            "--batch_size=20",
            "--max_train_images=19",
            f"--source=folder:{folder}",
        ): f"has {count} training",
        ("--batch_size=20", "--max_train_images=9", f"--source=folder:{folder}"): "has 9 training",
        (f"--workdir={tmp_path / 'notes'}",): "holds other things than a run",
    }
    lines = [[*arguments, "--only_check_args"] for arguments in cases]
    done = subprocess.run(
        [sys.executable, "-c", CHECK], input=json.dumps(lines), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told = done.stderr.splitlines()
    assert len(told) == len(cases)
    for sentence, expected in zip(told, cases.values(), strict=True):
        assert expected in sentence


def test_a_valid_line_says_what_is_set_aside(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.flags").write_text("--loss=nt_xent\n--temperature=0.3\n")
    line = [f"--flagfile={tmp_path / 'a.flags'}", "--loss=hinge", "--only_check_args"]
    assert train.main(["program", *line]) == 0
    told = capfd.readouterr().out
    assert "Note: loss=hinge decides: temperature set aside." in told
    assert "The flags are valid." in told


@pytest.mark.parametrize(
    ("count", "step", "batch"), [(16, 1, 16), (250, 1, 250), (17, 4, 16), (3, 1, 3)]
)
def test_the_default_batch_shrinks_to_the_data(count: int, step: int, batch: int) -> None:
    config = Config.make(loss="nt_xent").for_examples(count, "pictures", step)
    assert config.optimization.batch_size == batch
    told = [notice for notice in config.notices if f"batch_size={batch} in place of 250" in notice]
    assert len(told) == (batch < 250)


def test_a_given_batch_is_kept_or_refused() -> None:
    given = Config.make(batch_size=250)
    assert given.for_examples(250, "pictures") is given
    with pytest.raises(UserError, match="batch_size is 250, but pictures has 16 training examples"):
        given.for_examples(16, "pictures")
    with pytest.raises(UserError, match="more are needed"):
        Config.make().for_examples(3, "pictures", 4)


def test_a_download_without_a_network_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, int]] = []

    def refuse(address: tuple[str, int], timeout: float) -> None:
        asked.append(address)
        raise socket.gaierror(-2, "Name or service not known")

    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "create_connection", refuse)
    urls = {"https://a.org/x": 1, "https://a.org/y": 1, "http://b.org:81/x": 1}
    builder: Any = types.SimpleNamespace(name="things", url_infos=urls)
    with pytest.raises(UserError, match=r"does not reach a.org: Name .* `tfds build things` on"):
        tfds_source._check_network(builder)
    assert asked == [("a.org", 443), ("b.org", 81)]
    # One host that answers is enough; nothing is asked behind a proxy, or without addresses.
    monkeypatch.setattr(socket, "create_connection", lambda *_, **__: socket.socket())
    tfds_source._check_network(builder)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setenv("https_proxy", "http://proxy")
    tfds_source._check_network(builder)
    monkeypatch.delenv("https_proxy")
    tfds_source._check_network(types.SimpleNamespace(name="things", url_infos=None))
