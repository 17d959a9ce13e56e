"""What is installed: the supported Pythons, ranges and locks, the extras, and what make does.

The lower ends of the ranges in setup.cfg were tested together: on Python 3.11 with the lowest
version of each (keras 3.12.0, numpy 2.0.0, scikit-learn 1.5.0, scikit-image 0.24.0, tensorflow
2.20.0, ...) the smoke run and `make test` passed, without the tests of exact numbers; matplotlib
3.9 then warns of a newer pyparsing. With tensorflow-datasets 4.9.9 the digits cannot be prepared
beside protobuf 7. The upper ends are those of requirements.lock, with which all tests run. Where
there is none, the newest were tried too, on Python 3.13: numpy 2.5.5, scipy 1.18.1.
"""

from __future__ import annotations

import configparser
import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PYTHONS = ("3.11", "3.12", "3.13")


def setup(section: str, key: str) -> list[str]:
    """The lines of a value in setup.cfg, without comments."""
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    lines = [line.strip() for line in parser[section][key].splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def needed(key: str = "install_requires") -> list[Requirement]:
    section = "options" if key == "install_requires" else "options.extras_require"
    return [Requirement(line) for line in setup(section, key)]


def locked(name: str) -> dict[str, str]:
    """Package -> version in a lock file."""
    lines = (line.strip() for line in (ROOT / name).read_text().splitlines())
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(package): version for package, version in pins}


def closure(requirements: list[Requirement]) -> set[str]:
    """Packages that some requirements bring, in this environment."""
    found: set[tuple[str, str]] = set()
    rest = [(canonicalize_name(r.name), extra) for r in requirements for extra in ("", *r.extras)]
    while rest:
        name, extra = rest.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        for line in importlib.metadata.requires(name) or ():
            inner = Requirement(line)
            if inner.marker is None or inner.marker.evaluate({"extra": extra}):
                rest += [(canonicalize_name(inner.name), each) for each in ("", *inner.extras)]
    return {name for name, _ in found}


def test_three_pythons_are_supported_everywhere_alike() -> None:
    supported = SpecifierSet(",".join(setup("options", "python_requires")))
    assert [f"3.{n}" for n in range(8, 20) if f"3.{n}.1" in supported] == list(PYTHONS)
    classifiers = setup("metadata", "classifiers")
    assert [c.split(" :: ")[-1] for c in classifiers if "Python ::" in c] == list(PYTHONS)
    assert "(3, 11) <= sys.version_info[:2] <= (3, 13)" in (ROOT / "Makefile").read_text()


def test_the_lock_is_what_the_program_needs_within_its_ranges() -> None:
    pins = locked("requirements.lock")
    assert set(pins) == closure(needed())
    for requirement in needed():
        assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement
    # What was brought for crumbs.
    assert not {"mlxtend", "pandas", "scikit-image", "networkx"} & set(pins)


def test_the_lock_of_developers_holds_the_rest() -> None:
    pins, program = locked("requirements-dev.lock"), locked("requirements.lock")
    extras = [*needed("dev"), *needed("onnx"), *needed("photos"), *needed("text")]
    assert set(pins) == closure(extras) - set(program)
    for requirement in extras:
        assert {**program, **pins}[canonicalize_name(requirement.name)] in requirement.specifier


def test_the_gpu_extra_is_tensorflow_in_the_same_range() -> None:
    (extra,) = needed("gpu")
    (tensorflow,) = (r for r in needed() if r.name == "tensorflow")
    assert (extra.name, extra.extras) == ("tensorflow", {"and-cuda"})
    assert extra.specifier == tensorflow.specifier
    image = re.search(r"(?m)^ARG TENSORFLOW=(.+)$", (ROOT / "Dockerfile").read_text())
    assert image is not None
    assert image[1] in tensorflow.specifier


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a user's `make` does: without what a `make` around these tests passes on to it."""
    of_make = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS", "MAKEOVERRIDES", "VENV", "PYTHON", "ARGS")
    own = {name: value for name, value in os.environ.items() if name not in of_make}
    return subprocess.run(
        ["make", *arguments],
        cwd=ROOT,
        env={**own, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("target", "installs"),
    [
        ("train", False),
        ("test", True),
        ("check", True),
        ("lint", True),
        ("docs", True),
        ("test-gpu", True),
    ],
)
def test_training_installs_nothing_for_developers(
    target: str, installs: bool, tmp_path: Path
) -> None:
    commands = make("--dry-run", target, f"VENV={tmp_path / 'venv'}").stdout
    assert "pip install --quiet --requirement requirements.lock\n" in commands
    assert ("requirements-dev.lock" in commands) == installs


def test_an_unsupported_python_is_one_sentence(tmp_path: Path) -> None:
    other = tmp_path / "python3.10"
    other.write_text("#!/bin/sh\nexit 1\n")
    other.chmod(0o755)
    done = make("train", f"VENV={tmp_path / 'venv'}", f"PYTHON={other}")
    assert done.returncode != 0
    assert done.stdout == (
        f"Python 3.11, 3.12 or 3.13 is needed, and '{other}' is not one of them: "
        "make PYTHON=/path/to/python3.13\n"
    )
    assert not (tmp_path / "venv").exists()


def test_make_takes_the_first_python_that_works(tmp_path: Path) -> None:
    """Not one that is listed but does not start, as a version manager's stand-in."""
    for name, code in (("python3.11", 127), ("python3.12", 1), ("python3.13", 0), ("python3", 0)):
        (tmp_path / name).write_text(f"#!/bin/sh\nexit {code}\n")
        (tmp_path / name).chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    commands = make("--dry-run", "train", f"VENV={tmp_path / 'venv'}", PATH=path).stdout
    assert f"\npython3.13 -m venv {tmp_path / 'venv'}\n" in commands


@pytest.mark.exhaustive
def test_the_tests_for_a_gpu_run_on_a_cpu_when_told_to() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "--confcutdir=tests/gpu", "tests/gpu"]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    # One precision, and the smaller network: the tests themselves are tried, not the CPU.
    pretend = ["--pretend", "-k", "not bfloat16 and not float16 and not ResNet"]
    for more, ends in ((pretend, r"passed, \d+ deselected"), ([], "skipped")):
        done = subprocess.run(
            [*command, *more],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-3000:]
        last = done.stdout.strip().splitlines()[-1]
        assert re.match(rf"\d+ {ends}( in |, \d+ warnings)", last), last
    assert done.stdout.count("TensorFlow sees no GPU here") == 1
