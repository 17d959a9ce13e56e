"""A run directory may be damaged, or made by someone else: one sentence, no traceback, and nothing
is written through a link."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

import ssl_keras
from ssl_keras import evaluate, export, files, finetune, train
from ssl_keras.cli import startup
from ssl_keras.compare import __main__ as compare
from ssl_keras.config import Config
from ssl_keras.errors import Failure, UserError
from ssl_keras.run import run as run_module
from ssl_keras.run import run_directory, train_and_evaluate
from ssl_keras.run.callbacks import _remove_after
from ssl_keras.run.collection import find_runs
from ssl_keras.run.record import RunRecord
from ssl_keras.runs.page import page
from ssl_keras.runs.table import table

from ..cli.folders import write_run
from .conftest import Story

JUNK: tuple[Any, ...] = (
    None, True, -1, 0, 1e400, float("nan"), 10**30, "", "x", "\x1b[2J\n", "../..", [], {}, [[]],
    ["class"], {"chance": "0.1"}, {"": None},
)  # fmt: skip


def places(value: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to all values inside of JSON."""
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    found = [(*place, key) for key, _ in inner]
    inner = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in inner:
        if isinstance(part, (dict, list)):
            found += places(part, (*place, key))
    return found


def spoil(value: Any, generator: random.Random) -> Any:
    """JSON with one value replaced or removed."""
    spoilt = json.loads(json.dumps(value))
    *above, last = generator.choice(places(spoilt))
    parent = spoilt
    for key in above:
        parent = parent[key]
    if generator.random() < 0.3:
        del parent[last]
    else:
        parent[last] = generator.choice(JUNK)
    return spoilt


def readers(folder: Path, workdir: Path, config: Config) -> list[Callable[[], object]]:
    """What programs do with a run before they use its weights."""
    arguments = [str(folder), "--x=temperature", f"--output={folder / 'x.png'}"]
    return [
        lambda: run_directory.read(workdir, with_data=True),
        lambda: run_directory.check(config),
        lambda: run_directory.holds(workdir, config),
        lambda: run_directory.other_run(workdir, config),
        lambda: page(find_runs([folder]), "runs"),
        lambda: table(find_runs([folder])),
        lambda: compare.main(arguments),
    ]


@pytest.mark.full
@pytest.mark.parametrize("count", [20, pytest.param(150, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize("name", ["config.json", "results.json"])
def test_any_value_may_be_wrong(
    tmp_path: Path, name: str, count: int, capfd: pytest.CaptureFixture[str]
) -> None:
    generator = random.Random(name)
    for temperature in (0.1, 0.2):
        folder = tmp_path / str(temperature)
        write_run(folder, 0.9, temperature=temperature, measure_images=0)
    workdir = tmp_path / "0.1"
    config = Config.make(
        **{**run_directory.read(workdir)[0].replayable(), "steps": 8, "workdir": str(workdir)}
    )
    whole = json.loads((workdir / name).read_text())
    sentences = []
    for _ in range(count):
        (workdir / name).write_text(json.dumps(spoil(whole, generator)))
        for read in readers(tmp_path, workdir, config):
            try:
                read()
            except UserError as error:
                sentences.append(str(error))
    assert len(sentences) > count / 3
    assert all(sentences)
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("name", ["config.json", "results.json"])
@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"3", b"\xff\xfe\x00", b"[" * 100_000,
        b'{"a": 1' + b"0" * 5000 + b"}", b'{"format": 3}',
    ],
    ids=["empty", "cut", "list", "null", "number", "binary", "deep", "long", "nothing"],
)  # fmt: skip
def test_a_file_that_is_something_else_is_a_sentence(
    tmp_path: Path, name: str, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    workdir = write_run(tmp_path / "run", 0.9)
    (workdir / name).write_bytes(content)
    with pytest.raises(UserError, match=rf"{name}|finished"):
        run_directory.read(workdir)
    for program, label in ((evaluate, "evaluate"), (export, "export"), (finetune, "finetune")):
        assert program.main([label, f"--run={workdir}"]) == 2
        told = capfd.readouterr().err
        assert told.startswith(f"ssl_keras.{label}: ")
        assert told.count("\n") == 1
    assert find_runs([workdir])[0].state == "damaged"
    assert train.main(["train", f"--workdir={workdir}", "--steps=4"]) == 2


def test_the_record_of_a_real_run_has_the_types_that_it_says(story: Story) -> None:
    contents = json.loads((story.workdir / "results.json").read_text())
    assert RunRecord.problem(contents) is None
    assert RunRecord.problem(contents | {"results": {"a": "1"}}) == "its results has another type"
    assert RunRecord.problem(contents | {"steps": True}) == "its steps has another type"
    assert RunRecord.problem({}) == "it has no setup"


@pytest.mark.parametrize("name", [".lock", "results.json", "views.png", "checkpoints", "pictures"])
def test_nothing_is_written_through_a_link(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("precious")
    workdir = write_run(tmp_path / "run", 0.9)
    files.remove(workdir / name)
    folder = name in ("checkpoints", "pictures")
    (workdir / name).symlink_to(outside if folder else outside / "precious")
    link = f"{workdir / name} is a link, and nothing inside a run is read or written"
    for program, label in ((evaluate, "evaluate"), (export, "export"), (finetune, "finetune")):
        assert program.main([label, f"--run={workdir}"]) == 2
        assert link in capfd.readouterr().err
    with pytest.raises(UserError):
        run_directory.claim(Config.make(workdir=str(workdir), overwrite=True))
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert (outside / "precious").read_text() == "precious"


def test_a_pipe_does_not_hang(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in ("flags.txt", "config.json", "results.json"):
        workdir = write_run(tmp_path / name, 0.9)
        (workdir / name).unlink()
        os.mkfifo(workdir / name)
        assert evaluate.main(["evaluate", f"--run={workdir}"]) == 2
        assert capfd.readouterr().err.count("\n") == 1


def test_leftovers_of_killed_processes_go(tmp_path: Path) -> None:
    config = Config.make(workdir=str(tmp_path / "run"))
    claimed = run_directory.claim(config)
    claimed.begin()
    claimed.release()
    workdir = claimed.workdir
    (workdir / "pictures").mkdir()
    mine = workdir / ".mine"
    left = [
        workdir / ".config.json.17.tmp",
        workdir / ".saved_model.tmp",
        workdir / "pictures" / ".decoder.png.17.tmp",
    ]
    for path in left:
        path.mkdir() if path.name == ".saved_model.tmp" else path.touch()
    mine.touch()
    run_directory.claim(config).release()
    assert not [path for path in left if path.exists()]
    assert mine.exists()


def test_a_run_whose_checkpoints_are_gone_is_not_begun_again_in_silence(tmp_path: Path) -> None:
    config = Config.make(workdir=str(tmp_path / "run"))
    claimed = run_directory.claim(config)
    claimed.begin()
    claimed.release()
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(UserError, match=r"unfinished run whose folder checkpoints is gone: put it"):
        run_directory.claim(config)
    assert not run_directory.resumable(tmp_path / "run", config)


def test_a_damaged_saved_model_is_a_sentence(
    story: Story, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    workdir = story.copy(tmp_path / "run")
    model = workdir / "saved_model"
    generator = random.Random(0)
    for path in [model / "saved_model.pb", *sorted(model.glob("*.keras"))]:
        whole = bytearray(path.read_bytes())
        for _ in range(3):
            spoilt = bytearray(whole)
            start = generator.randrange(len(spoilt) // 2)
            spoilt[start : start + 40] = generator.randbytes(40)
            path.write_bytes(spoilt[: -len(spoilt) // 4])
            if path.suffix == ".keras":
                with pytest.raises(UserError, match=r"The encoder in .* cannot be read: "):
                    ssl_keras.load_encoder(model)
                continue
            assert evaluate.main(["evaluate", f"--run={model}", "--heads=knn"]) == 2
            told = capfd.readouterr().err
            assert re.match(r"ssl_keras.evaluate: The SavedModel .* cannot be read: ", told)
            assert told.count("\n") == 1
        path.write_bytes(whole)


@pytest.mark.parametrize("damage", ["nothing", "noise", "cut", "no event", "empty"])
def test_a_damaged_event_file_keeps_what_is_before_the_damage(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1.host"
    whole = [tf.compat.v1.Event(step=step).SerializeToString() for step in (1, 2, 5)]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in whole[:2]:
            writer.write(record)
        if damage == "no event":
            writer.write(b"\xff\xff\xff")
        writer.write(whole[2])
    content = path.read_bytes()
    if damage == "noise":
        path.write_bytes(content[:-10] + b"\x00" * 10)
    elif damage == "cut":
        path.write_bytes(content[:-5])
    elif damage == "empty":
        path.write_bytes(b"")
    _remove_after(tmp_path, 3)
    kept = [record.numpy() for record in tf.data.TFRecordDataset(str(path))]
    assert kept == ([] if damage == "empty" else whole[:2])
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


@pytest.mark.exhaustive
@pytest.mark.parametrize("moment", ["evaluation", "training", "export"])
def test_a_folder_that_vanishes_is_a_sentence_and_fails(
    moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir = tmp_path / "run"
    name = {"training": "train_setup", "evaluation": "measure", "export": "export_setup"}[moment]
    original = getattr(run_module, name)

    def vanish(*arguments: Any, **options: Any) -> Any:
        shutil.rmtree(workdir)
        return original(*arguments, **options)

    monkeypatch.setattr(run_module, name, vanish)
    settings = {"steps": 2, "batch_size": 16, "max_train_images": 60, "measure_images": 0}
    config = Config.make(
        **settings, heads="linear,retrieval", width_multiplier=0.25, workdir=str(workdir)
    )
    with pytest.raises(Failure, match=r"run has vanished, so nothing can be written there: put"):
        train_and_evaluate(config)


def test_a_failure_has_the_exit_code_1(capfd: pytest.CaptureFixture[str]) -> None:
    def body() -> None:
        raise Failure("It has vanished.")

    assert startup.guarded("ssl_keras.train", body, lambda: False) == 1
    assert capfd.readouterr().err == "ssl_keras.train: It has vanished.\n"
