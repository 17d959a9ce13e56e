"""What the documentation tells people to type is valid, and what it points to exists."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_keras import flags, train
from tools import show_views

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def commands() -> list[str]:
    """Every command of the README that takes the flags of a run."""
    text = README.replace("`", "\n")
    lines = (line.split(" #")[0].strip() for line in text.splitlines())
    programs = ("python -m ssl_keras.train", "python -m tools.show_views", "make train ARGS=")
    return sorted({line for line in lines if line.startswith(programs)})


@pytest.mark.parametrize("command", commands())
def test_every_command_of_the_readme_is_valid(
    command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)
    given = shlex.split(words[2].removeprefix("ARGS=")) if words[0] == "make" else words[3:]
    if "--help" in given or any("..." in word for word in given):
        return
    flags.parse(["program", *given], flags.define())


def test_the_ten_lines_for_own_images_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = next(part for part in README.split("```") if "a folder for each class" in part)
    lines = [line.split(" #")[0].split("  # ")[0].strip() for line in block.strip().splitlines()]
    assert len(lines) == 10
    generator = np.random.default_rng(0)
    for kind in ("cats", "dogs"):
        folder = tmp_path / "pictures" / kind
        folder.mkdir(parents=True)
        for index in range(20):
            shape = (int(generator.integers(64, 90)), int(generator.integers(64, 90)), 3)
            pixels = generator.integers(0, 256, shape).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"{index}.jpg")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    programs = {"ssl_keras.train": train.main, "tools.show_views": show_views.main}
    ran = 0
    for line in lines:
        words = shlex.split(line)
        if words[0] in ("mkdir", "cp"):
            subprocess.run(line, shell=True, check=True)
        elif words[0] == "python":
            given = [*words[2:], "--steps=1", "--batch_size=16", "--width_multiplier=0.25"]
            assert programs[words[2]](given) == 0
            ran += 1
    assert ran == 5
    assert len(list((tmp_path / "runs").iterdir())) == 4
    assert (tmp_path / "views.png").is_file()


def test_there_are_commands_to_check() -> None:
    assert len(commands()) >= 9


def test_every_linked_file_exists() -> None:
    for path in re.findall(r"\]\(([^)#]+)\)", README):
        if not path.startswith("http"):
            assert (ROOT / path).exists(), path


def test_every_setting_is_in_the_readme() -> None:
    from ssl_keras.config import all_fields

    assert {name for name in all_fields() if f"--{name}" not in README} == set()


def test_nothing_is_left_to_fill_in() -> None:
    for path in (ROOT / "README.md", ROOT / "flags" / "README.md", ROOT / "CONTRIBUTING.md"):
        assert "@@" not in path.read_text()
        assert "TODO" not in path.read_text()


def commands_of_other_programs() -> list[str]:
    """The README's commands of programs with flags of their own."""
    lines = (line.split(" #")[0].strip() for line in README.replace("`", "\n").splitlines())
    return sorted(
        {line for line in lines if re.match(r"python -m (ssl_keras\.(ev|fi|ex)|tools\.)", line)}
    )


@pytest.mark.parametrize("command", commands_of_other_programs())
def test_every_program_of_the_readme_knows_its_flags(
    command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    words = shlex.split(command)
    if words[2] == "tools.show_views":
        return
    main = importlib.import_module(
        "tools.reproduce.__main__" if words[2] == "tools.reproduce" else words[2]
    ).main
    program = ["program"] if words[2].startswith("ssl_keras") else []
    try:
        code = main([*program, "--help"])
    except SystemExit as end:
        code = end.code
    assert code == 0
    text = capfd.readouterr().out
    own, _, of_training = (list(part) for part in _parted(words[3:]))
    for word in own:
        if word.startswith("--"):
            assert word.split("=")[0] in text
    flags.parse(["program", *of_training], flags.define())


def _parted(words: list[str]) -> tuple[list[str], list[str], list[str]]:
    """What stands before "--", it, and what follows."""
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at : at + 1], words[at + 1 :]
