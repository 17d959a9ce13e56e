"""A directory is claimed once, and nothing of somebody else's is ever removed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ssl_keras import evaluate, export, files, finetune, train
from ssl_keras.config import Config
from ssl_keras.errors import UserError
from ssl_keras.run import run_directory


def config(workdir: Path | None = None, **values: Any) -> Config:
    return Config.make(workdir=None if workdir is None else str(workdir), **values)


def begun(made: Config) -> run_directory.ClaimedDirectory:
    """The directory of a run that has begun."""
    claimed = run_directory.claim(made)
    claimed.begin()
    return claimed


def test_a_claimed_directory_says_what_determines_the_run(tmp_path: Path) -> None:
    made = config(tmp_path / "a" / "b", num_bits=3)
    workdir = begun(made).workdir
    assert workdir == tmp_path / "a" / "b"
    assert run_directory.is_run(workdir)
    assert (workdir / "flags.txt").read_text().startswith(run_directory.MARK)
    assert json.loads((workdir / "config.json").read_text())["num_bits"] == 3


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["chapter.tex", "config.json", "flags.txt"])
def test_a_directory_of_something_else_is_never_touched(
    tmp_path: Path, name: str, overwrite: bool
) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(UserError, match="holds other things than a run"):
        begun(config(tmp_path, overwrite=overwrite))
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "precious"


@pytest.mark.parametrize("finished", [False, True])
def test_a_run_is_replaced_only_when_asked_and_only_what_is_its_own(
    tmp_path: Path, finished: bool
) -> None:
    claimed = begun(config(tmp_path / "run"))
    claimed.release()
    workdir = claimed.workdir
    (workdir / "checkpoints" / "ckpt").write_text("weights")
    (workdir / "finetuned" / "class-0.1-features").mkdir(parents=True)
    (workdir / "notes.md").write_text("mine")
    if finished:
        (workdir / "results.json").write_text('{"finished": true}')
    state = "a finished" if finished else "an unfinished"
    other = rf"holds {state} run with num_bits=2, not 5: .* --overwrite"
    with pytest.raises(UserError, match=other):
        begun(config(workdir, num_bits=5))
    if finished:
        with pytest.raises(UserError, match=r"holds a finished run: .* --overwrite"):
            begun(config(workdir))
    assert (workdir / "checkpoints" / "ckpt").exists()
    begun(config(workdir, overwrite=True))
    assert sorted(path.name for path in workdir.iterdir()) == [
        ".lock",
        "checkpoints",
        "config.json",
        "flags.txt",
        "notes.md",
    ]


def test_an_empty_directory_is_used_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert begun(config(Path("."))).workdir == Path(".")
    real = tmp_path / "real"
    real.mkdir()
    (tmp_path / "link").symlink_to(real)
    begun(config(tmp_path / "link"))
    assert run_directory.is_run(real)


def test_equal_commands_get_a_directory_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = config()
    claims = [begun(made) for _ in range(3)]
    name = made.run_name()
    assert [c.workdir.name for c in claims] == [name, f"{name}-2", f"{name}-3"]
    for claim in claims:
        claim.release()
    again = begun(config(overwrite=True))
    assert (again.workdir.name, again.resumes) == (name, False)


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(UserError, match="which is a file"):
        run_directory.check(config(tmp_path / "file"))
    with pytest.raises(UserError, match="cannot be written"):
        begun(config(tmp_path / "file" / "below"))


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    files.write_json(path, {"a": 1})
    with pytest.raises(TypeError):
        files.write_json(path, {"a": object()})
    assert json.loads(path.read_text()) == {"a": 1}


def test_a_directory_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "model"

    def fill(name: str, interrupted: bool = False) -> None:
        with files.whole_directory(path) as place:
            place.mkdir()
            (place / name).touch()
            if interrupted:
                raise KeyboardInterrupt

    fill("old")
    with pytest.raises(KeyboardInterrupt):
        fill("new", interrupted=True)
    assert [file.name for file in path.iterdir()] == ["old"]
    fill("new")
    assert [file.name for file in path.iterdir()] == ["new"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


@pytest.mark.exports
def test_a_run_that_was_stopped_while_it_was_exported_goes_on(tmp_path: Path) -> None:
    made = config(tmp_path / "run")
    begun(made).release()
    results = tmp_path / "run" / "results.json"
    results.write_text(json.dumps({"saved_model_relative_difference": 0.0, "finished": False}))
    assert run_directory.resumable(tmp_path / "run", made)
    again = run_directory.claim(made)
    assert again.resumes
    again.release()
    results.write_text(json.dumps({"saved_model_relative_difference": None, "finished": True}))
    assert not run_directory.resumable(tmp_path / "run", made)
    with pytest.raises(UserError, match="holds a finished run"):
        run_directory.claim(made)


def test_a_run_of_another_format_is_refused_by_every_program(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    workdir = tmp_path / "run"
    begun(config(workdir)).release()
    settings = json.loads((workdir / "config.json").read_text())
    current = settings.pop("format")
    later = current + 1
    for number, content in ((1, settings), (later, {"format": later, **settings})):
        files.write_json(workdir / "config.json", content)
        files.write_json(workdir / "results.json", {"finished": number == later})
        before = {path.name: path.read_bytes() for path in workdir.iterdir() if path.is_file()}
        sentence = (
            f"The run {workdir} has the format {number}, but this version of ssl_keras reads "
            f"format {current}: repeat the run, with --overwrite or in another directory.\n"
        )
        with pytest.raises(UserError) as caught:
            run_directory.claim(config(workdir))
        assert f"{caught.value}\n" == sentence
        for name, program in (("evaluate", evaluate), ("export", export), ("finetune", finetune)):
            assert program.main([name, f"--run={workdir}"]) == 2
            assert capfd.readouterr().err == f"ssl_keras.{name}: {sentence}"
        assert train.main(["train", f"--workdir={workdir}"]) == 2
        assert capfd.readouterr().err == f"ssl_keras.train: {sentence}"
        assert {
            path.name: path.read_bytes() for path in workdir.iterdir() if path.is_file()
        } == before
    # It is replaced when that is asked for.
    assert not begun(config(workdir, overwrite=True)).resumes
    assert json.loads((workdir / "config.json").read_text())["format"] == current


def test_a_run_in_use_is_left_alone(tmp_path: Path) -> None:
    claimed = begun(config(tmp_path / "run"))
    with pytest.raises(UserError, match=r"run is in use by another process: wait until"):
        run_directory.used(claimed.workdir).__enter__()
    claimed.release()
    with run_directory.used(claimed.workdir), run_directory.used(claimed.workdir):  # two readers
        for alone in (
            lambda: run_directory.used(claimed.workdir, alone=True).__enter__(),
            lambda: run_directory.claim(config(claimed.workdir)),
        ):
            with pytest.raises(UserError, match="another process"):
                alone()
    with (
        run_directory.used(claimed.workdir, alone=True),
        pytest.raises(UserError, match="in use by another process"),
    ):
        run_directory.used(claimed.workdir).__enter__()
    with run_directory.used(tmp_path / "not there"):
        pass


def test_commands_take_the_lock_of_the_run(tmp_path: Path) -> None:
    claimed = begun(config(tmp_path / "run"))
    for use in (
        lambda: evaluate.main(["evaluate", f"--run={claimed.workdir}"]),
        lambda: finetune.main(["finetune", f"--run={claimed.workdir}"]),
        lambda: export.main(["export", f"--run={claimed.workdir}"]),
    ):
        assert use() == 2
    claimed.release()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("runs/lr[0.1]", r"has the character '\[', which TensorFlow takes for a pattern"),
        ("runs/a\\b", "which TensorFlow takes for a pattern"),
        ("gs://bucket/run", "is remote, and only local ones .* a program for gs://"),
        ("runs/caf\udce9", r"caf\\udce9' has bytes of no encoding"),
    ],
    ids=["bracket", "backslash", "remote", "bytes of no encoding"],
)
def test_a_path_that_would_not_be_read_again_is_refused(path: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Config.make(workdir=path)


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    made = Config.make(workdir="~/run", data_dir="~/data")
    assert (made.run.workdir, made.data.data_dir) == (f"{tmp_path}/run", f"{tmp_path}/data")
