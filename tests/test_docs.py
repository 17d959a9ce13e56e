"""What the documentation tells people to type is valid, and what it points to exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from ssl_keras import flags

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


def test_there_are_commands_to_check() -> None:
    assert len(commands()) >= 9


def test_every_linked_file_exists() -> None:
    for path in re.findall(r"\]\(([^)#]+)\)", README):
        if not path.startswith("http"):
            assert (ROOT / path).exists(), path


def test_every_setting_is_in_the_readme() -> None:
    from ssl_keras.config import all_fields

    assert {name for name in all_fields() if f"--{name}" not in README} == set()
