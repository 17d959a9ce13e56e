"""A run knows the commit of the program that made it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ssl_keras.run import environment

ROOT = Path(__file__).parents[2]


def test_the_commit_is_that_of_the_repository_of_the_package() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not in a clone")
    head = subprocess.run(
        ["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    commit = environment.commit.__wrapped__()
    assert commit.removesuffix("+changes") == head.stdout.strip()
    assert environment.versions()["commit"] == environment.commit()


def test_a_package_elsewhere_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Neither outside of a repository, nor inside of another one.
    package = tmp_path / "other" / "place" / "ssl_keras"
    (package / "run").mkdir(parents=True)
    monkeypatch.setattr(environment, "__file__", str(package / "run" / "environment.py"))
    assert environment.commit.__wrapped__() == "unknown"
    subprocess.run(["git", "init", "--quiet", str(tmp_path / "other")], check=True)
    assert environment.commit.__wrapped__() == "unknown"
