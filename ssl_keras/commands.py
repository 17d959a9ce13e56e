"""The names of the programs as the user has typed them, for messages and help.

Texts of this package say `python -m ssl_keras.train`. The console script says `ssl-keras train`:
`__main__` sets the names once, before it hands over.
"""

from __future__ import annotations

import re

MODULES = "python -m ssl_keras."
SCRIPT = "ssl-keras "

_prefix = MODULES


def use(prefix: str) -> None:
    """From now on the program NAME is called by `prefix` + NAME."""
    global _prefix
    _prefix = prefix


def as_typed(text: str) -> str:
    """A text whose `python -m ssl_keras.NAME` are replaced by what the user types for them."""
    return re.sub(r"python -m ssl_keras\.(?=[a-z_])", _prefix, text)


def label(program: str) -> str:
    """What stands before the messages of a program: "ssl_keras.train", or "ssl-keras train"."""
    return as_typed(f"python -m {program}").removeprefix("python -m ")
