"""Flagfiles by name: `--flagfile=randbit` is the one that comes with the package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from ssl_keras.errors import UserError, unknown_name

# A link to flags/ in the clone, a folder in the wheel.
FOLDER = Path(__file__).resolve().parents[1] / "flagfiles"


def names() -> list[str]:
    """The names of the flagfiles that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.flags"))


def path_of(name: str) -> Path | None:
    """The flagfile `name`: a file, or the name of one that comes with the package; or None."""
    if Path(name).expanduser().is_file():
        return Path(name).expanduser()
    return FOLDER / f"{name}.flags" if name in names() else None


def with_paths(arguments: Sequence[str]) -> list[str]:
    """A command line with the names of flagfiles replaced by their paths.

    Raises:
        UserError: there is no such flagfile.
    """
    return list(_with_paths(arguments))


def _with_paths(arguments: Sequence[str]) -> Iterator[str]:
    follows = False
    for argument in arguments:
        flag, equals, value = argument.partition("=")
        if follows:
            yield str(_existing(argument))
        elif equals and flag in ("--flagfile", "-flagfile"):
            yield f"{flag}={_existing(value)}"
        else:
            yield argument
        follows = not follows and argument in ("--flagfile", "-flagfile")


def _existing(name: str) -> Path:
    path = path_of(name)
    if path is None and "/" in name:
        raise UserError(f"The flagfile {name} does not exist.")
    if path is None:
        raise unknown_name("flagfile", name, names())
    return path
