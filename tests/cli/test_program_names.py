"""One command for every program, and messages that name programs as they were typed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from ssl_keras import __main__ as umbrella
from ssl_keras import commands, log

PACKAGE = Path(umbrella.__file__).parent


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `umbrella.main` changes is put back."""
    monkeypatch.setattr(commands, "_prefix", commands.MODULES)
    monkeypatch.setattr(sys, "argv", ["pytest"])


def test_every_main_of_the_package_is_a_program() -> None:
    """A new main is one line in PROGRAMS; worker processes are nobody's command."""
    with_main = {
        str(path.relative_to(PACKAGE).with_suffix("")).replace("/", ".").removesuffix(".__main__")
        for path in PACKAGE.rglob("*.py")
        if re.search(r"(?m)^def main\(", path.read_text())
    }
    assert with_main - {"__main__", "sweep.worker"} == set(umbrella.PROGRAMS)


def test_help_lists_the_programs_without_tensorflow() -> None:
    ask = (
        "import sys; from ssl_keras.__main__ import main; code = main(['ssl-keras', '--help']); "
        "assert not {'tensorflow', 'keras', 'numpy', 'absl'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: ssl-keras NAME ...\n")
    for name, line in umbrella.PROGRAMS.items():
        assert re.search(rf"(?m)^  {re.escape(name)} +{re.escape(line)}$", done.stdout), name
    assert all(len(line) <= 80 for line in done.stdout.splitlines())


@pytest.mark.parametrize("arguments", [[], ["-h"], ["--help"], ["help"]])
def test_whoever_asks_nothing_gets_the_list(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert umbrella.main(["/bin/ssl-keras", *arguments]) == 0
    assert capsys.readouterr().out == umbrella.help_text("ssl-keras") + "\n"


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    import ssl_keras

    assert umbrella.main(["ssl-keras", "--version"]) == 0
    assert capsys.readouterr().out == f"ssl_keras {ssl_keras.__version__}\n"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (
            "ssl-keras tarin --steps=2",
            "ssl-keras: There is no program 'tarin': did you mean 'train'? ssl-keras --help lists "
            "them.\n",
        ),
        ("ssl-keras 7", "ssl-keras: There is no program '7': ssl-keras --help lists them.\n"),
        (
            "ssl-keras --loss=n_pair --steps=2",
            "ssl-keras: Which program? Give its name first, as in: ssl-keras train --loss=n_pair "
            "--steps=2\n",
        ),
        (
            "/somewhere/ssl_keras/__main__.py evaluat",
            "python -m ssl_keras: There is no program 'evaluat': did you mean 'evaluate'? python "
            "-m ssl_keras --help lists them.\n",
        ),
    ],
)
def test_an_unknown_program_is_one_sentence(
    line: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert umbrella.main(line.split()) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", sentence)


@pytest.mark.parametrize("name", umbrella.PROGRAMS)
def test_help_names_what_was_typed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = umbrella.main(["/bin/ssl-keras", name, "--help"])
    except SystemExit as end:  # argparse
        code = int(end.code or 0)
    printed = capsys.readouterr().out
    assert code == 0
    assert f"ssl-keras {name}" in printed
    assert "python -m ssl_keras" not in printed


@pytest.mark.parametrize(
    ("line", "beginning"),
    [
        ("ssl-keras train --los=n_pair", "ssl-keras train: Unknown flag --los: did you mean"),
        ("ssl-keras evaluate", "ssl-keras evaluate: Which run? Give its directory"),
        ("ssl-keras compare /nowhere", "ssl-keras compare: "),
        ("__main__.py finetune", "ssl_keras finetune: Which run?"),
    ],
)
def test_errors_begin_with_what_was_typed(
    line: str, beginning: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert umbrella.main(line.split()) == 2
    assert capsys.readouterr().err.startswith(beginning)


def test_a_sentence_that_names_another_program_does_it_as_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert umbrella.main(["ssl-keras", "train", "--strategy=multi_worker"]) == 2
    assert "; ssl-keras launch sets it for several workers" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("prefix", "text", "shown"),
    [
        (commands.MODULES, "python -m ssl_keras.train --a", "python -m ssl_keras.train --a"),
        (commands.SCRIPT, "python -m ssl_keras.train --a", "ssl-keras train --a"),
        (commands.SCRIPT, "bin/python -m ssl_keras.theory.limits", "bin/ssl-keras theory.limits"),
        (commands.SCRIPT, "`python -m ssl_keras.NAME`", "`python -m ssl_keras.NAME`"),
        ("python -m ssl_keras ", "a python -m ssl_keras.tour.", "a python -m ssl_keras tour."),
    ],
)
def test_what_is_printed_names_programs_as_typed(
    prefix: str, text: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    commands.use(prefix)
    assert commands.as_typed(text) == shown
    log.info(text)
    assert capsys.readouterr().out == shown + "\n"
