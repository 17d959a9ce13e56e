"""What the documentation tells people to type works, and what it points to exists."""

from __future__ import annotations

import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_keras import train
from ssl_keras.cli import flags, startup
from tools import show_views

pytestmark = pytest.mark.long

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
GUIDES = sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "results.md")
DOCUMENTS = [ROOT / "README.md", *GUIDES]
EVERYTHING = "\n".join(path.read_text() for path in DOCUMENTS)

# What makes a training of the documentation a short one, and what belongs to a head.
SHORT = ["--steps=2", "--batch_size=16", "--width_multiplier=0.25"]
SMALL_SOURCE = ["--max_train_images=300"]
OF_HEADS = {
    "decoder": ["--decoder_steps=2"],
    "linear_sgd": ["--linear_sgd_epochs=1"],
    "local_features": ["--local_features_images=20"],
}
# Programs of which the same commands, shorter, are run by other tests.
ELSEWHERE = (
    "ssl_keras.reproduce",
    "ssl_keras.launch",
    "tools.benchmark",
    "tools.soak",
    "tools.scaling",
)


def blocks(path: Path, language: str = "") -> list[str]:
    """The code blocks of a document."""
    found: list[list[str]] = []
    inside: str | None = None
    for line in path.read_text().splitlines():
        if line.startswith("```"):
            inside = line[3:].strip() if inside is None else None
            if inside == language:
                found.append([])
        elif inside == language:
            found[-1].append(line)
    return ["\n".join(lines) for lines in found]


def typed(path: Path) -> Iterator[list[str]]:
    """The words of every `python -m` command in the blocks of a document."""
    for block in blocks(path):
        for line in block.splitlines():
            command = re.split(r"\s#|\s>", line)[0].strip()
            if command.startswith("python -m "):
                yield shlex.split(command)


def shortened(program: str, given: list[str]) -> list[str]:
    """The arguments of a command that takes seconds."""
    text = " ".join(given)
    own = [flag for head, flags in OF_HEADS.items() if head in text for flag in flags]
    if program == "ssl_keras.train":
        small = ["--num_train_images=300", "--num_test_images=60"]
        return [*given, *own, *SHORT, *(small if "multi_digit" in text else SMALL_SOURCE)]
    if program == "tools.downstream":
        return [*given, "--steps=2", "--repeats=1"]
    if program == "ssl_keras.finetune":
        return [*given, "--steps=2", "--repeats=1"]
    return [*given, *own]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_the_commands_of_a_document_run_one_after_the_other(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flags").symlink_to(ROOT / "flags")
    (tmp_path / "encoders").mkdir()
    needs_geometry = "tools.mean_classifier" in path.read_text()
    for words in typed(path):
        program, given = words[2], words[3:]
        text = " ".join(given)
        # A cluster, somebody else's model, and the pets of the test below.
        known = not any(part in text for part in ("multi_worker", "DIR_OF", "data/pets", "..."))
        if program in ELSEWHERE or not known:
            continue
        main = importlib.import_module(program).main
        with_name = program.startswith("ssl_keras") or program == "ssl_keras.show_views"
        if "--help" not in given:
            given = shortened(program, given)
            if program == "ssl_keras.train" and not needs_geometry:
                given.append("--measure_images=0")
        assert main([*([program] if with_name else []), *given]) == startup.OK, words


@pytest.mark.parametrize("name", ["extending.md"])
def test_the_programs_of_a_guide_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    program = "\n".join(blocks(ROOT / "docs" / name, "python"))
    program = program.replace("steps=200", "steps=2, batch_size=16, max_train_images=100")
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert 0 <= float(done.stdout.split()[-1]) <= 1


def commands() -> list[str]:
    """Every command of the documents that takes the flags of a run, in lines of text too."""
    lines = (
        re.split(r"\s#", line)[0].strip() for line in EVERYTHING.replace("`", "\n").splitlines()
    )
    programs = ("python -m ssl_keras.train", "python -m ssl_keras.show_views", "make train ARGS=")
    return sorted({line for line in lines if line.startswith(programs)})


@pytest.mark.parametrize("command", commands())
def test_every_command_is_valid(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)
    given = shlex.split(words[2].removeprefix("ARGS=")) if words[0] == "make" else words[3:]
    given = [word for word in given if not word.startswith("--output")]
    if "--help" in given or any("..." in word for word in given):
        return
    flags.parse(["program", *given], flags.define())


def test_the_ten_lines_for_own_images_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = next(b for b in blocks(ROOT / "docs" / "features.md") if "a folder for each class" in b)
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
    programs = {"ssl_keras.train": train.main, "ssl_keras.show_views": show_views.main}
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


@pytest.mark.parametrize("path", [*DOCUMENTS, ROOT / "flags" / "README.md"], ids=str)
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        if target.startswith("http"):
            continue
        file, _, heading = target.partition("#")
        place = (path.parent / file) if file else path
        assert place.exists(), target
        if heading:
            titles = re.findall(r"(?m)^#+ (.+)$", place.read_text())
            assert heading in {re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles}


def test_every_setting_is_told() -> None:
    from ssl_keras.config import all_fields

    assert {name for name in all_fields() if f"--{name}" not in EVERYTHING} == set()


def test_nothing_is_left_to_fill_in() -> None:
    for path in (*DOCUMENTS, ROOT / "flags" / "README.md", ROOT / "CONTRIBUTING.md"):
        assert "@@" not in path.read_text()
        assert "TODO" not in path.read_text()


def commands_of_other_programs() -> list[str]:
    """The documents' commands of programs with flags of their own."""
    lines = (line.split(" #")[0].strip() for line in EVERYTHING.replace("`", "\n").splitlines())
    return sorted(
        {line for line in lines if re.match(r"python -m (ssl_keras\.(ev|fi|ex)|tools\.)", line)}
    )


@pytest.mark.parametrize("command", commands_of_other_programs())
def test_every_program_knows_its_flags(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(command)
    if words[2] == "ssl_keras.show_views":
        return
    main = importlib.import_module(
        f"{words[2]}.__main__" if ROOT.joinpath(*words[2].split(".")).is_dir() else words[2]
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
