"""Comparing runs: what differs, the numbers of each, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ssl_keras import compare
from ssl_keras.config import Config
from ssl_keras.errors import UserError
from ssl_keras.run import train_and_evaluate

pytestmark = pytest.mark.full


@pytest.fixture(scope="module")
def runs(
    tmp_path_factory: pytest.TempPathFactory, data_dir: str
) -> list[tuple[Path, dict[str, Any]]]:
    base = tmp_path_factory.mktemp("compare")
    made = []
    for name, options in {"a": {"loss": "nt_xent"}, "b": {"loss": "simple", "num_bits": 3}}.items():
        workdir = base / name
        settings: dict[str, Any] = {"steps": 4, "batch_size": 64, "width_multiplier": 0.25}
        settings |= {"heads": "linear", "measure_images": 0, "workdir": str(workdir)}
        made.append((workdir, train_and_evaluate(Config.make(**settings, **options))))
    return made


def test_tables_and_picture(
    runs: list[tuple[Path, dict[str, Any]]], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "compare.png"
    assert compare.main([*(str(path) for path, _ in runs), f"--output={output}"]) == 0
    lines = capfd.readouterr().out.splitlines()
    cells = {line.split()[0]: line.split()[1:] for line in lines if line.strip()}
    assert cells["loss"] == ["nt_xent", "simple"]
    assert cells["num_bits"] == ["2", "3"]
    assert "batch_size" not in cells
    row = cells["linear/features/class/accuracy"]
    for (_, results), shown in zip(runs, (row[0], row[2]), strict=True):
        assert shown == f"{results['results']['linear/features/class/accuracy']:.3f}"
    with Image.open(output) as picture:
        assert np.asarray(picture.convert("L")).std() > 10


def test_differences_and_names() -> None:
    rows = compare.differing([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}])
    assert rows == {"b": [2, 3], "c": [None, 4]}
    assert compare.short_names([Path("/x/one"), Path("/x/two")]) == ["one", "two"]
    assert compare.short_names([Path("/x/a/run"), Path("/x/b/run")]) == ["a/run", "b/run"]
    with pytest.raises(UserError, match="The same run is listed twice"):
        compare.short_names([Path("/x/a"), Path("/x/../x/a")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/no/run"], "The run /no/run does not exist"),
        (["/no/run", "--output=a.gif"], "a .png file in an existing folder is needed"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert compare.main(arguments) == 2
    assert message in capfd.readouterr().err
