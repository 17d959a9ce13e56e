"""Combinations of valid settings that are refused, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ssl_keras.errors import UserError

# The strategies with several devices.
_SEVERAL = ("mirrored", "multi_worker")


@dataclass(frozen=True)
class Refused:
    """A combination that cannot work.

    Attributes:
        first, second: (setting, its values).
        because: the reason, as the end of a sentence.
        instead: the advice, as the end of a sentence.
    """

    first: tuple[str, tuple[str, ...]]
    second: tuple[str, tuple[str, ...]]
    because: str
    instead: str


# The table of the README is made of these.
REFUSED = (
    Refused(
        ("mixed_precision", ("float16",)),
        ("jit", ("on",)),
        "XLA cannot compile the loss scaling that float16 needs",
        "choose bfloat16, or jit=off",
    ),
    Refused(
        ("mixed_precision", ("float16",)),
        ("strategy", _SEVERAL),
        "its loss scaling looks at the gradients of the first device alone",
        "choose bfloat16",
    ),
    Refused(
        ("jit", ("on",)),
        ("strategy", _SEVERAL),
        "XLA cannot compile the exchange between devices",
        "choose jit=off",
    ),
    Refused(
        ("steps_per_execution", ("2 or more",)),
        ("strategy", _SEVERAL),
        "several devices exchange values in every step, which a loop inside the runtime cannot",
        "leave steps_per_execution out",
    ),
    Refused(
        ("neighbours", ("2 or more",)),
        ("strategy", ("multi_worker",)),
        "the order of the examples comes from one worker",
        "choose strategy=mirrored, or leave neighbours out",
    ),
    Refused(
        ("heads", ("supervised", "autoencoder")),
        ("strategy", ("multi_worker",)),
        "evaluation, and with it the training of baselines, is done by one worker",
        "train the baseline by itself, with --method",
    ),
)


def check_combinations(values: Mapping[str, Any]) -> None:
    """Check that the settings can be combined.

    Args:
        values: setting -> value; "heads" is the comma-separated list, "steps_per_execution" and
            "neighbours" are "2 or more" if they are.

    Raises:
        UserError: a combination of `REFUSED`.
    """
    for refused in REFUSED:
        settings = [_refused_setting(values, *side) for side in (refused.first, refused.second)]
        if None not in settings:
            raise UserError(
                f"{settings[0]} with {settings[1]} is not supported: {refused.because}; "
                f"{refused.instead}."
            )


def _refused_setting(
    values: Mapping[str, Any], setting: str, refused: tuple[str, ...]
) -> str | None:
    entries = str(values.get(setting, "")).split(",")
    value = next((value for value in entries if value.strip() in refused), None)
    return None if value is None else f"{setting}={value.strip()}"
