"""Parts from outside the package: modules that add entries to the dictionaries.

A plug-in is a module that anyone can import. When it is loaded it adds its parts:

    from ssl_keras.losses import LOSSES
    LOSSES.add("mine", Mine)

It is named by `--plugins=package.module`, or declared by an installed package as an entry point of
the group `ssl_keras.plugins`, which is always loaded.
"""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import os
import sys

from ssl_keras.errors import UserError


def load(names: str) -> None:
    """Load plug-ins: those named, comma-separated, and those that installed packages declare.

    Modules are looked for in the current folder too, as `python -m` does.

    Raises:
        UserError: one of them cannot be imported, or what it adds is refused.
    """
    _load_installed()
    for name in filter(None, (name.strip() for name in names.split(","))):
        _load_one(name)


@functools.cache
def _load_installed() -> None:
    for entry in importlib.metadata.entry_points(group="ssl_keras.plugins"):
        _load_one(entry.module)


@functools.cache
def _load_one(name: str) -> None:
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:
        sys.path.insert(0, folder)
    try:
        importlib.import_module(name)
    except ImportError as error:
        raise UserError(
            f"The plug-in {name!r} cannot be imported ({error}): give the name of a module, such "
            "as mypackage.losses, that lies in the current folder or is installed."
        ) from error
    except UserError as error:
        raise UserError(f"The plug-in {name!r} is refused: {error}") from error
