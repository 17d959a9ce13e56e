"""The command line: every setting is a flag, and every mistake is one readable sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ssl_keras import train
from ssl_keras.cli import flags
from ssl_keras.config import Config, all_settings
from ssl_keras.errors import UserError
from ssl_keras.losses import LOSSES


def parse(*arguments: str) -> Config:
    return flags.parse(["program", *arguments], flags.define())


def test_no_flags_are_the_defaults() -> None:
    assert parse() == Config.make()


def test_values_are_read_by_their_type() -> None:
    config = parse("--loss=nt_xent", "--temperature", "0.1", "--flip", "--num_bits=4", "--steps=9")
    assert config == Config.make(loss="nt_xent", temperature=0.1, flip=True, num_bits=4, steps=9)
    assert parse("--noflip").views.flip is False


def test_flagfile_and_later_flags_win(tmp_path: Path) -> None:
    file = tmp_path / "a.flags"
    file.write_text("# a comment\n--loss=nt_xent\n--temperature=0.3\n")
    assert parse(f"--flagfile={file}").loss.options()["temperature"] == 0.3
    later = parse(f"--flagfile={file}", "--temperature=0.4")
    assert later.loss.options()["temperature"] == 0.4
    scheduled = parse(f"--flagfile={file}", "--temperature=linear:0.1:1")
    assert scheduled.loss.options()["temperature"] == "linear:0.1:1.0"


@pytest.mark.parametrize(
    ("flag", "gone", "kept"),
    [
        ("--loss=hinge", ("temperature",), ("knn_k", "momentum", "num_bits")),
        ("--heads=linear", ("knn_k",), ("temperature",)),
        ("--heads=", ("knn_k", "linear_max_iterations"), ("temperature",)),
        ("--optimizer=adam", ("momentum",), ("temperature",)),
        ("--dataset=plain", ("num_bits",), ("image_size",)),
        ("--method=supervised", ("temperature", "loss", "projection_dim"), ("knn_k",)),
        ("--encoder=mlp", ("stem",), ("temperature",)),
        ("--views=dropout", ("crop_area_min",), ("temperature",)),
    ],
)
def test_a_run_repeats_with_another_part(
    flag: str, gone: tuple[str, ...], kept: tuple[str, ...], tmp_path: Path
) -> None:
    # A run's flags.txt holds every value in force, options of the old part too.
    run = parse(
        *("--loss=nt_xent", "--heads=linear,knn", "--knn_k=5", "--optimizer=sgd", "--momentum=0.8"),
        *("--num_bits=3", "--encoder=resnet18", "--image_size=28", "--crop_area_min=0.3"),
    )
    assert {*gone, *kept} <= set(run.flat())
    file = tmp_path / "flags.txt"
    file.write_text(run.flagfile_text())
    dropout = ["--dropout_rate=0.1"] if "dropout" in flag else []
    repeated = parse(f"--flagfile={file}", flag, *dropout)
    assert not set(gone) & set(repeated.flat())
    assert {n: repeated.flat()[n] for n in kept} == {n: run.flat()[n] for n in kept}
    told = " ".join(repeated.notices)
    assert all(name in told for name in gone)
    if flag.startswith("--method"):  # sets the contrastive options aside wherever they are
        return
    # The same option beside the flag is a mistake.
    with pytest.raises(UserError):
        parse(f"--flagfile={file}", flag, *dropout, f"--{gone[0]}={run.flat()[gone[0]]}")


def test_a_flagfile_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.flags"
    file.write_text("--loss=hinge\n--temperature=0.3\n")
    with pytest.raises(UserError, match="temperature"):
        parse(f"--flagfile={file}")


def test_a_flagfile_of_the_package_is_known_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path(__file__).parents[2] / "flags" / "randbit.flags"
    expected = parse(f"--flagfile={file}")
    assert parse("--flagfile=randbit") == expected != Config.make()
    assert parse("--flagfile", "randbit") == expected
    # A file of that name in the current folder comes first.
    (tmp_path / "randbit").write_text("--num_bits=1\n")
    assert parse("--flagfile=randbit") == Config.make(num_bits=1)


def test_only_what_was_set_is_returned() -> None:
    arguments = ["program", "--loss=uniform_prior", "--noquiet", "--batch_size=250"]
    assert flags.values(arguments, flags.define()) == {
        "loss": "uniform_prior",
        "quiet": False,
        "batch_size": 250,
    }


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--temprature=0.1", "Unknown flag --temprature: did you mean --temperature?"),
        ("--zzzzzz=1", "Unknown flag --zzzzzz: --help lists all flags."),
        ("--loss=NT_XENT", "Unknown loss 'NT_XENT'. Did you mean 'nt_xent'?"),
        ("--loss=nt_xnet", "Unknown loss 'nt_xnet'. Did you mean 'nt_xent'?"),
        ("--num_bits=33", "num_bits must be at least 0 and at most 32, not 33."),
        ("--num_bits=many", "num_bits must be a whole number, not 'many'."),
        ("--batch_size=2.5", "batch_size must be a whole number, not '2.5'."),
        ("--temperature=0.1", "The loss 'uniform_prior' has no temperature"),
        (
            "--temperature=hot",
            "temperature must be a number, linear:START:END or cosine:START:END[:PERIODS], not "
            "'hot'.",
        ),
        ("--num_bits=linear:0:1", "num_bits must be a whole number, not 'linear:0:1'."),
        ("--distribution_weight=linear:-1:1", "distribution_weight must be at least 0"),
        ("--measure_images=1", "measure_images is 1, but geometry is about pairs"),
        ("--distribution_weight=nan", "distribution_weight must be at least 0, not nan."),
        ("--flip=maybe", "it must be true or false, not 'maybe'."),
        ("--flagfile=/no/such/file", "The flagfile /no/such/file does not exist."),
        ("--flagfile=randbits", "Unknown flagfile 'randbits'. Did you mean 'randbit'?"),
        ("--plugins=no_such_module", "The plug-in 'no_such_module' cannot be imported"),
        ("--heads=knnn", "Did you mean 'knn'?"),
        ("train", "Unexpected argument 'train': every setting is a --flag=value."),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_two(
    argument: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert train.main(["train", argument]) == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.startswith("ssl_keras.train: ")
    assert error.count("\n") == 1
    assert "Traceback" not in error


def test_traceback_on_request(capfd: pytest.CaptureFixture[str]) -> None:
    assert train.main(["train", "--verbosity=1", "--temperature=0.1"]) == 2
    assert "Traceback" in capfd.readouterr().err


def test_only_check_args(capfd: pytest.CaptureFixture[str]) -> None:
    assert train.main(["train", "--only_check_args", "--loss=nt_xent"]) == 0
    assert capfd.readouterr().out == "The flags are valid.\n"


def test_help_lists_every_setting_and_every_loss(capfd: pytest.CaptureFixture[str]) -> None:
    assert train.main(["train", "--help"]) == 0
    text = capfd.readouterr().out
    for name in (*all_settings(), *LOSSES):
        assert name in text
    assert max(len(line) for line in text.splitlines()) <= 100
    assert "Example:" in text


def test_every_flagfile_parses_and_is_listed() -> None:
    folder = Path(__file__).parents[2] / "flags"
    files = sorted(folder.glob("*.flags"))
    assert len(files) >= 7
    table = (folder / "README.md").read_text()
    for file in files:
        parse(f"--flagfile={file}")
        assert f"`{file.name}`" in table
        first = file.read_text().splitlines()[0]
        assert first.startswith("# make train ARGS=")
        assert file.name in first


@pytest.mark.parametrize(
    ("name", "title"),
    [("loss", "Loss"), ("heads", "Evaluation"), ("encoder", "Networks"), ("Other", "Other")],
)
def test_help_shows_one_group(name: str, title: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["program", f"--help={name}"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.endswith(":") and line[0].isupper()] == [f"{title}:"]
    assert train.main(["program", "--help"]) == 0
    whole = capsys.readouterr().out.splitlines()
    assert set(lines) <= set(whole)


def test_help_names_the_nearest_group(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["program", "--help=los"]) == 2
    assert "Unknown group of flags 'los'. Did you mean 'loss'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "program", [["ssl_keras.train"], ["ssl_keras.show_views"], ["ssl_keras.compare"], ["ssl_keras"]]
)
def test_a_reader_that_leaves_ends_the_program_in_silence(program: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)  # like `| true`
    done = subprocess.run(
        [sys.executable, "-m", *program, "--help"], stdout=write, stderr=subprocess.PIPE
    )
    os.close(write)
    assert done.returncode in (0, 141)
    assert done.stderr == b""
