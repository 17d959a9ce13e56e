"""Errors that a user can mend, and the search for the name that the user meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class Interrupted(KeyboardInterrupt):
    """The user has stopped the program; its text says how to go on."""


class UserError(ValueError):
    """A mistake in what the user asked for: one sentence, shown without a traceback.

    The message says what was given, what is valid and what to do.
    """


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name closest to `name`, or None when nothing is close."""
    by_lower = {candidate.lower(): candidate for candidate in valid}
    matches = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.5)
    return by_lower[matches[0]] if matches else None


def unknown_name(kind: str, name: object, valid: Iterable[str]) -> UserError:
    """The error for a name that is in no dictionary: it proposes the nearest valid one.

    Args:
        kind: what the name stands for, such as "loss" or "data set".
        name: what was given.
        valid: every name that would have been accepted.
    """
    valid = sorted(valid)
    guess = nearest(str(name), valid)
    hint = f" Did you mean {guess!r}?" if guess else ""
    return UserError(f"Unknown {kind} {name!r}.{hint} Valid: {', '.join(valid)}.")
