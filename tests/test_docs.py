"""What the documentation tells people to type works, and what it points to exists."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_keras import show_views, train
from ssl_keras.cli import flags
from ssl_keras.config import all_settings
from tests import processes

pytestmark = pytest.mark.long

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
GUIDES = sorted(path for path in (ROOT / "docs").glob("*.md") if path.name != "results.md")
DOCUMENTS = [README, *GUIDES]
TABLES = ROOT / "flags" / "README.md"
EVERYTHING = "\n".join(path.read_text() for path in DOCUMENTS)

# Flags in the tables of flags and of flagfiles that are no settings.
OTHER_FLAGS = {"flagfile", "help", "jobs", "only_check_args"}

# What makes a training of the documentation a short one, and what belongs to an evaluator.
SHORT = ["--steps=2", "--batch_size=16"]
SHORT_EVALUATORS = {
    "decoder": ["--decoder_steps=1"],
    "linear_sgd": ["--linear_sgd_epochs=1"],
    "local_features": ["--local_features_images=6", "--local_features_shown=2"],
}
# A training with several evaluators, up to the first; the options of a plug-in's evaluator need it.
FIRST_HEAD = r"(?m)(^python -m ssl_keras\.train (?!.*--plugins).*--heads=\w+),[\w,]+"
# Programs of which the same commands, shorter, are run by other tests.
ELSEWHERE = (
    "ssl_keras.reproduce",
    "ssl_keras.launch",
    "ssl_keras.show_views",
    "ssl_keras.theory.limits",
    "ssl_keras.tour",
    "tools.benchmark",
    "tools.fuzz",
    "tools.soak",
    "tools.scaling",
)
# Runs whose pictures of local features take long; `test_smoke` makes such ones.
LONG = ("runs/overlay", "runs/four")
# A cluster, somebody else's model and data, and the pets and the ONNX file of other tests.
UNKNOWN = ("multi_worker", "DIR_OF", "data/pets", "clipart", "--onnx", "...")

# Stand-ins for packages that the documentation uses and this project does not need: they check what
# they are told, in a file that is found before the package.
STAND_INS = {
    "wandb": """
import contextlib, types
logged = []
def log(values):
    assert all(isinstance(value, float) for value in values.values())
    logged.append(values)
@contextlib.contextmanager
def init(project, config):
    assert config["loss"] == "nt_xent"
    run = types.SimpleNamespace(summary={})
    yield run
    assert "linear_probe/class/accuracy" in logged[0], logged
    assert "linear/features/class/accuracy" in run.summary
""",
    "mlflow": """
import contextlib
params, logged = {}, []
log_params = params.update
def log_metrics(values, step=None):
    assert all(isinstance(value, float | int) for value in values.values())
    logged.append((step, values))
@contextlib.contextmanager
def start_run():
    yield
    assert params["loss"] == "nt_xent"
    assert logged[0][0] == 0 and "linear_probe/class/accuracy" in logged[0][1]
    assert logged[-1][0] is None and "linear/features/class/accuracy" in logged[-1][1]
""",
}

# Runs the items of documents, in their order, in one process; each document has a folder. A
# training that an earlier document has made is not made again: its directory is copied.
DRIVER = """
import json, os, runpy, shutil, sys
from pathlib import Path
from ssl_keras.sweep.pool import Worker
from tests import quick
quick.prepare()
sys.path.insert(0, "")  # the folder of the document, wherever that is
Worker.command = quick.WORKER
made = {}
for folder, items in json.loads(Path("documents.json").read_text()):
    os.makedirs(folder + "/encoders")
    os.chdir(folder)
    for kind, item in items:
        print(f"{os.path.basename(folder)}: {item}")
        if kind == "file":
            Path(item[0]).write_text(item[1])
        elif kind == "program":
            exec(compile(item, "a block of the document", "exec"), {"__name__": "__main__"})
        else:
            place = [word[10:] for word in item if word.startswith("--workdir=")]
            same = " ".join(word for word in item if not word.startswith("--workdir="))
            if place and same in made:
                shutil.copytree(made[same], place[0])
                continue
            sys.argv = item
            run = runpy.run_path if item[0].endswith(".py") else runpy.run_module
            try:
                run(item[0], run_name="__main__")
            except SystemExit as end:
                if end.code:
                    sys.exit(f"{folder}: {' '.join(item)} ended with {end.code}")
            if place and item[0] == "ssl_keras.train":
                made[same] = Path(place[0]).resolve()
"""


def blocks(path: Path) -> Iterator[tuple[str, str]]:
    """(language, text) of each code block of a document."""
    yield from re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", path.read_text())


def items(path: Path, every: bool = True) -> Iterator[tuple[str, object]]:
    """What a document has its reader do: ("file", (name, text)) for a block that begins with the
    name of its file, ("program", text) for other Python, ("command", words).

    Args:
        path: the document.
        every: whether a training has every evaluator that is named, and is made although nothing
            reads it, however long; otherwise it has the first of them, and what nothing reads is
            only checked.
    """
    # One of the programs reads the geometry that was logged.
    extra = [] if "theory.mean_classifier" in path.read_text() else ["--measure_images=0"]
    # All evaluators of the default are for the README.
    heads = "" if path == README else ', heads="linear"'
    extra += [] if path == README else ["--heads=linear"]
    for package, text in STAND_INS.items():
        if f"import {package}\n" in path.read_text():
            yield "file", (f"{package}.py", text)
    for language, text in blocks(path):
        name = re.match(r"# (\w+\.py)\n", text)
        if language == "python" and name:
            yield "file", (name[1], text)
        elif language == "python":
            short = r"\1steps=2, batch_size=16, max_train_images=100, measure_images=0, "
            short += "" if "load_encoder" in text else "export=False, "
            short += "" if "encoder=" in text or "source=" in text else "width_multiplier=0.25, "
            short += "linear_max_iterations=5" + ("" if "heads=" in text else heads)
            yield "program", re.sub(r"(Config\.make\([^)]*)steps=\d+", short, text)
        elif not language:
            commands = commands_of(text if every else re.sub(FIRST_HEAD, r"\1", text))
            if not every:
                commands = (c for c in commands if not any(run in " ".join(c) for run in LONG))
            for words in commands:
                if every or words[0] != "ssl_keras.train" or is_read(words):
                    yield "command", shortened(words, extra)
                else:
                    yield "command", [*words, "--only_check_args"]


def commands_of(block: str) -> Iterator[list[str]]:
    """The words after `python` or `python -m` of the commands of a block that run here."""
    for line in block.splitlines():
        command = re.split(r"\s#|\s>", line)[0].strip()
        if not re.match(r"python (-m |\w+\.py)", command):
            continue
        words = shlex.split(command.removeprefix("python ").removeprefix("-m "))
        if words[0] not in ELSEWHERE and not any(part in command for part in UNKNOWN):
            yield words


def shortened(words: list[str], extra: list[str]) -> list[str]:
    """A command that takes seconds; a training gets `extra` flags, evaluators if it names none."""
    text = " ".join(words)
    if "--help" in words:
        return words
    own = [flag for name, given in SHORT_EVALUATORS.items() if name in text for flag in given]
    if words[0] == "ssl_keras.sweep":
        few = [re.sub(r"^(--\w+=[^,;]+,[^,;]+),.*", r"\1", word) for word in words]
        few = [re.sub(r"^(--seed=\d+),.*", r"\1", word) for word in few]
        short = [*SHORT, "--max_train_images=100", "--width_multiplier=0.25", "--jobs=1", *extra]
        short += ["--noexport"]
        names = {flag.split("=")[0] for flag in short} | {"--epochs"}
        return [word for word in few if word.split("=")[0] not in names] + short
    if words[0] == "ssl_keras.train":
        own += ["--micro_batch=8"] if "--micro_batch" in text else []
        own += ["--stage_epochs=1"] if "--stages" in text else []
        small = ["--num_train_images=300", "--num_test_images=60"]
        other = ("--encoder=", "--dataset=table", "--flagfile=word2vec", "--flagfile=simcse")
        width = [] if any(part in text for part in other) else ["--width_multiplier=0.25"]
        source = small if "multi_digit" in text else ["--max_train_images=300"]
        heads = re.search(r"--heads=(\S+)", text)
        directory = workdir_of(words)
        # A run that nothing reads is trained only: other tests evaluate such runs.
        if heads is None and "--heads=linear" in extra and not is_read(words):
            own += ["--heads="]
        elif heads is None or "linear" in heads[1].split(","):
            own += ["--linear_max_iterations=5"]
        if heads is not None or "--heads=" in own:
            extra = [flag for flag in extra if not flag.startswith("--heads")]
        if f"{directory}/saved_model" not in EVERYTHING:
            own += ["--noexport"]
        return [*words, *own, *SHORT, *width, *source, *extra]
    if words[0] in ("ssl_keras.finetune", "ssl_keras.theory.downstream"):
        return [*words, "--steps=2", "--repeats=1"]
    return [*words, *own]


def is_read(words: list[str]) -> bool:
    """Whether a document names the directory of a training again."""
    directory = workdir_of(words)
    return directory is not None and EVERYTHING.count(directory) > 1


def workdir_of(words: list[str]) -> str | None:
    """The directory that a command names."""
    return next((word[10:] for word in words if word.startswith("--workdir=")), None)


def adds_parts(path: Path) -> bool:
    """Whether a document adds parts to the package, which others must not see."""
    return "--plugins=" in path.read_text()


PLAIN = [path for path in GUIDES if not adds_parts(path)]
EXTENDING = [path for path in GUIDES if adds_parts(path)]


@pytest.mark.parametrize(
    ("paths", "every"),
    [
        pytest.param([README], True, id="README"),
        pytest.param(PLAIN, False, id="guides", marks=pytest.mark.full),
        pytest.param(EXTENDING, False, id="guides with plug-ins", marks=pytest.mark.full),
        pytest.param(PLAIN, True, id="guides, every training", marks=pytest.mark.exhaustive),
        pytest.param(EXTENDING, True, id="plug-ins, every training", marks=pytest.mark.exhaustive),
    ],
)
def test_documents_run_from_top_to_bottom(paths: list[Path], every: bool, tmp_path: Path) -> None:
    assert paths
    documents = [(str(tmp_path / path.stem), list(items(path, every))) for path in paths]
    (tmp_path / "documents.json").write_text(json.dumps(documents))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = processes.run(["-c", DRIVER], cwd=tmp_path, env=env, timeout=900)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def commands() -> list[str]:
    """Every command of the documents that takes the flags of a run, in lines of text too."""
    lines = (
        re.split(r"\s#", line)[0].strip() for line in EVERYTHING.replace("`", "\n").splitlines()
    )
    programs = ("python -m ssl_keras.train", "python -m ssl_keras.show_views", "make train ARGS=")
    return sorted({line for line in lines if line.startswith(programs) and "--plugins" not in line})


@pytest.mark.parametrize("command", commands())
def test_every_command_is_valid(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    words = shlex.split(command)
    given = shlex.split(words[2].removeprefix("ARGS=")) if words[0] == "make" else words[3:]
    given = [word for word in given if not word.startswith("--output")]
    if "--help" in given or any("..." in word for word in given):
        return
    flags.parse(["program", *given], flags.define())


@pytest.mark.usefixtures("eagerly")
@pytest.mark.full
def test_the_lines_for_own_images_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = next(
        text
        for _, text in blocks(ROOT / "docs" / "features.md")
        if "a folder for each class" in text
    )
    lines = [line.split(" #")[0].strip() for line in block.strip().splitlines()]
    assert len(lines) == 9
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
            if words[2] == "ssl_keras.train":
                given += ["--measure_images=0", "--linear_max_iterations=5", "--noexport"]
            assert programs[words[2]](given) == 0
            ran += 1
    assert ran == 5
    assert len(list((tmp_path / "runs").iterdir())) == 4
    assert (tmp_path / "views.png").is_file()


def test_there_are_commands_to_check() -> None:
    assert len(commands()) >= 9
    assert len([words for path in GUIDES for kind, words in items(path) if kind == "command"]) >= 30


def test_guides_begin_with_something_to_run() -> None:
    for path in GUIDES:
        lengths = [
            len(text.splitlines())
            for language, text in blocks(path)
            if language or "python" in text
        ]
        assert lengths[0] <= 30, path.name
        assert max(lengths) <= 40, path.name


def test_what_users_run_needs_no_clone() -> None:
    for path in DOCUMENTS:
        text = path.read_text()
        if "python -m tools." in text:
            assert "clone" in text, path.name


@pytest.mark.parametrize("path", [*DOCUMENTS, TABLES], ids=lambda path: path.stem)
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


def test_every_setting_is_explained() -> None:
    assert {name for name in all_settings() if f"--{name}" not in EVERYTHING} == set()


def test_every_flag_of_the_guides_exists() -> None:
    text = (ROOT / "docs" / "flags.md").read_text() + TABLES.read_text()
    assert set(re.findall(r"(?<![\w-])--(\w+)", text)) - set(all_settings()) <= OTHER_FLAGS


def test_nothing_is_left_to_fill_in() -> None:
    for path in (*DOCUMENTS, TABLES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"):
        assert "@@" not in path.read_text()
        assert "TODO" not in path.read_text()


def commands_of_other_programs() -> list[str]:
    """The documents' commands of programs with flags of their own."""
    lines = (
        re.split(r"\s#|\s>", line)[0].strip() for line in EVERYTHING.replace("`", "\n").splitlines()
    )
    programs = r"python -m (ssl_keras(?!\.train|\.show_views)|tools)\."
    return sorted({line for line in lines if re.match(programs, line) and "--plugins" not in line})


@pytest.mark.parametrize("command", commands_of_other_programs())
def test_every_program_knows_its_flags(
    command: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, program, *words = shlex.split(command)
    monkeypatch.setattr(sys, "argv", [program, "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module(program, run_name="__main__")
    assert not end.value.code
    text = capfd.readouterr().out
    position = words.index("--") if "--" in words else len(words)
    for word in words[:position]:
        if word.startswith("--"):
            assert word.split("=")[0] in text
    flags.parse(["program", *words[position + 1 :]], flags.define())
