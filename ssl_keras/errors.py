"""Errors that a user can correct, with the nearest valid name."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable


class Interrupted(KeyboardInterrupt):
    """The user has stopped the program; the message says how to resume."""


class UserError(ValueError):
    """A mistake in the user's input: one sentence, shown without a traceback.

    The message names the value, the valid ones and what to do.
    """


class Failure(UserError):
    """What has failed through no mistake of the user: one sentence too, but the exit code 1."""


def nearest(name: str, valid: Iterable[str]) -> str | None:
    """The valid name nearest to `name`; None if none is near."""
    by_lower = {candidate.lower(): candidate for candidate in valid}
    matches = difflib.get_close_matches(name.lower(), list(by_lower), n=1, cutoff=0.5)
    return by_lower[matches[0]] if matches else None


def one_line(error: Exception) -> str:
    """The message of an error in one line of at most 200 characters, to quote in a `UserError`."""
    return " ".join(str(error).split())[:200]


def printable(text: str) -> str:
    """A text from outside, such as a file's name, in one line that a terminal only shows: control
    characters, line breaks and bytes of no encoding become escapes like \\x1b."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


# Errors of the operating system that a user can mend.
_REFUSED = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.EIO,
    errno.ENAMETOOLONG,
    errno.EMFILE,
)
# The same in messages of TensorFlow, which come without a number.
_REFUSED_TEXTS = ("No space left", "Disk quota exceeded", "Read-only file", "Permission denied")


def of_the_system(error: Exception) -> str | None:
    """The sentence about a lack of space, of memory or of permission; None for other errors."""
    text = str(error)
    exhausted = type(error).__name__ == "ResourceExhaustedError"  # of TensorFlow
    said = next((part for part in _REFUSED_TEXTS if part in text), None)
    if isinstance(error, OSError) and error.errno in _REFUSED:
        place = f"{error.filename} " if error.filename else "A file "
        reason = error.strerror
    elif said is not None and type(error).__module__.startswith("tensorflow"):
        place, reason = "A file ", one_line(error)
    elif isinstance(error, MemoryError) or exhausted:
        return (
            f"The memory is exhausted ({one_line(error) or 'no reason is known'}): give a smaller "
            "--batch_size or a --micro_batch, --loss_impl=tiled, --mixed_precision=bfloat16 or a "
            "smaller network, and run the same command again."
        )
    else:
        return None
    return (
        f"{place}cannot be written or read ({reason}): free space or correct its permissions, or "
        "choose another place, and run the same command again; what was finished before is kept."
    )


def unknown_name(kind: str, name: object, valid: Iterable[str]) -> UserError:
    """The error for an unknown name, which proposes the nearest valid one.

    Args:
        kind: of the name, such as "loss" or "data set".
        name: the unknown name.
        valid: all valid names.
    """
    valid = sorted(valid)
    guess = nearest(str(name), valid)
    hint = f" Did you mean {guess!r}?" if guess else ""
    return UserError(f"Unknown {kind} {name!r}.{hint} Valid: {', '.join(valid)}.")
