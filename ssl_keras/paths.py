"""Paths that a user gives."""

from __future__ import annotations

import os
import re
from typing import Any

from ssl_keras.errors import UserError, printable

# TensorFlow reads these in the name of a checkpoint as a pattern, and does not find the file.
_PATTERNS = "[\\"


def local_path(value: Any) -> str:
    """A path with ~ expanded.

    Raises:
        UserError: it is remote (gs://BUCKET), or has bytes of no encoding.
    """
    text = os.fspath(value)
    scheme = re.match(r"(\w+)://", text)
    if scheme:
        raise UserError(
            f"The path {text!r} is remote, and only local ones are read and written: mount it, or "
            f"copy it with a program for {scheme[1]}://."
        )
    if any("\udc80" <= character <= "\udcff" for character in text):
        raise UserError(
            f"The path '{printable(text)}' has bytes of no encoding, which TensorFlow cannot open: "
            "rename it."
        )
    return os.path.expanduser(text)


def tensorflow_path(value: Any) -> str:
    """`local_path` of checkpoints and SavedModels, which TensorFlow reads.

    Raises:
        UserError: see `local_path`; or it has a character that TensorFlow takes for a pattern.
    """
    text = local_path(value)
    found = next((character for character in _PATTERNS if character in text), None)
    if found is not None:
        raise UserError(
            f"The path {text!r} has the character {found!r}, which TensorFlow takes for a pattern "
            "of names, so that it would not find the files again: choose another name."
        )
    return text
