"""Files, written whole or not at all, never through a link; what is read may be damaged, or made by
someone else."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ssl_keras.errors import UserError, one_line, printable

# The file of a directory that its process locks.
LOCK = ".lock"
# No record of a run is longer: bytes.
_MAX_JSON = 2**28
# Files that an interrupted process has left: a dot, the name, and perhaps the process.
_LEFTOVER = re.compile(r"\..+\.tmp")


def read_text(path: Path, limit: int = _MAX_JSON) -> str:
    """The start of a regular file, as text of at most `limit` bytes.

    Raises:
        OSError: it cannot be opened, or is a link, a pipe or a directory.
        ValueError: it is not UTF-8.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError("it is not a regular file")
        return file.read(limit).decode()


def read_json(path: Path) -> Any:
    """The contents of a JSON file.

    Raises:
        UserError: it cannot be read, or is no JSON.
    """
    try:
        return json.loads(read_text(path))
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise UserError(f"{path} cannot be read: {printable(one_line(error))}") from error


def write_json(path: Path, value: Any) -> None:
    """Write JSON, or leave what was there."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text, or leave what was there."""
    with whole_file(path) as temporary:
        temporary.write_text(text, "utf-8")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary file that replaces `path` when the context ends without an error."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_directory(path: Path) -> Iterator[Path]:
    """A temporary directory that replaces `path` when the context ends without an error."""
    temporary = path.with_name(f".{path.name}.tmp")
    remove(temporary)
    try:
        yield temporary
        remove(path)
        os.replace(temporary, path)
    finally:
        remove(temporary)


def remove(path: Path) -> None:
    """Remove a file, a link or a directory, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def linked_copy(source: Path, target: Path) -> None:
    """A copy of a file or a directory that shares its contents on disk, where that is possible."""

    def copy(one: str, other: str) -> None:
        try:
            os.link(one, other)
        except OSError:
            shutil.copy2(one, other)

    if source.is_dir():
        shutil.copytree(source, target, copy_function=copy)
    elif source.exists():
        copy(str(source), str(target))


def check_own(directory: Path, names: Iterable[str]) -> None:
    """Check that what a program will write into are files and directories, and no links.

    Args:
        directory: directory of a run.
        names: of the entries to check, with everything in them.

    Raises:
        UserError: one is a link, a pipe or the like.
    """
    for path in _tree(directory, names):
        kind = path.lstat().st_mode
        if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
            wrong = "a link" if stat.S_ISLNK(kind) else "no regular file"
            raise UserError(
                f"{printable(str(path))} is {wrong}, and nothing inside a run is read or written "
                "through one: put the file itself there, or remove it."
            )


def remove_leftovers(directory: Path, names: Iterable[str]) -> None:
    """Remove what killed processes have left of files that they were writing.

    Args:
        directory, names: see `check_own`. No other process may write there.
    """
    for path in (*directory.glob(".*.tmp"), *_tree(directory, names)):
        if _LEFTOVER.fullmatch(path.name):
            remove(path)


def _tree(directory: Path, names: Iterable[str]) -> Iterator[Path]:
    """The entries of a directory, and everything below them that is no link."""
    for name in names:
        top = directory / name
        if os.path.lexists(top):
            yield top
        if top.is_dir() and not top.is_symlink():
            for folder, folders, files in os.walk(top):
                yield from (Path(folder, inner) for inner in (*folders, *files))


def lock(directory: Path, shared: bool = False, create: bool = False) -> Any:
    """The open lock file of a directory, or None if another process holds it.

    Args:
        directory: it must exist.
        shared: whether others may hold it too, who share it.
        create: whether to create the file.

    Raises:
        OSError: there is no such file, it is a link, or the file system has no locks.
    """
    how = os.O_RDWR | os.O_CREAT if create else os.O_RDONLY
    how |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = os.fdopen(os.open(directory / LOCK, how, 0o666), "rb", buffering=0)
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    except OSError:
        file.close()
        raise
    return file
