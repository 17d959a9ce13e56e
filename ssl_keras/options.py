"""Named things with typed, bounded options: the dictionaries behind `--loss`, `--dataset`, ...

Each entry of a `Registry` is a frozen dataclass derived from `Options`. Its fields, made with
`option`, are the hyperparameters: the command line, the validation and `--help` are derived from
them, so a new entry needs no code elsewhere.

    @dataclass(frozen=True)
    class NTXent(Loss):
        temperature: float = option(0.1, help="temperature", above=0)

    LOSSES = Registry("loss", {"nt_xent": NTXent})
    LOSSES.get("nt_xent", temperature=0.2)
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ssl_keras import schedules
from ssl_keras.errors import UserError, nearest, unknown_name

# The annotation of an option that is a number, or the text of a `schedules.Schedule`.
Scheduled = Any

_PYTHON_TYPES = {"float": float, "int": int, "str": str, "bool": bool, "Scheduled": float}


def option(
    default: Any,
    *,
    help: str,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Collection[str] | None = None,
    flag: str | None = None,
) -> Any:
    """A field of an `Options` class.

    Args:
        default: value when none is given; None is allowed only where it is the default.
        help: one clause for `--help`: meaning, unit, origin of the default.
        minimum, maximum: inclusive bounds of a number.
        above, below: exclusive bounds of a number.
        choices: the valid strings.
        flag: name of the command-line flag when it differs from the field's.
    """
    metadata = {
        "help": help,
        "minimum": minimum,
        "maximum": maximum,
        "above": above,
        "below": below,
        "choices": choices,
        "flag": flag,
    }
    return dataclasses.field(default=default, metadata=metadata)


def python_type(field: dataclasses.Field) -> type:
    """The type of an option (`float`, `int`, `str` or `bool`), read from its annotation."""
    # Text where annotations are not evaluated, which is left to whoever writes the class.
    name = field.type.__name__ if isinstance(field.type, type) else str(field.type)
    return _PYTHON_TYPES[name.removesuffix(" | None")]


def is_scheduled(field: dataclasses.Field) -> bool:
    """Whether the option may be a schedule."""
    return str(field.type) == "Scheduled"


def plain(value: Any) -> str:
    """A value as text, short."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def wanted(field: dataclasses.Field) -> str:
    """What kind of value the option takes, as it is called in error messages."""
    name = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}
    text = name[python_type(field)]
    return f"{text}, {schedules.SYNTAX}" if is_scheduled(field) else text


def _bounds_text(metadata: Mapping[str, Any]) -> str:
    parts = []
    if metadata["minimum"] is not None:
        parts.append(f"at least {metadata['minimum']:g}")
    if metadata["above"] is not None:
        parts.append(f"above {metadata['above']:g}")
    if metadata["maximum"] is not None:
        parts.append(f"at most {metadata['maximum']:g}")
    if metadata["below"] is not None:
        parts.append(f"below {metadata['below']:g}")
    return " and ".join(parts)


def validated(field: dataclasses.Field, value: Any) -> Any:
    """`value` converted to the type of the option and checked against its bounds.

    A schedule stays the text it is, written in one way.

    Raises:
        UserError: wrong type, outside the bounds, or not among the choices.
    """
    metadata, expected = field.metadata, python_type(field)
    if value is None and field.default is None:
        return None
    if expected is bool:
        if not isinstance(value, bool):
            raise UserError(f"{field.name} must be {wanted(field)}, not {value!r}.")
        return value
    if expected is str:
        if not isinstance(value, str):
            raise UserError(f"{field.name} must be {wanted(field)}, not {value!r}.")
        if metadata["choices"] and value not in metadata["choices"]:
            raise unknown_name(field.name, value, metadata["choices"])
        return value
    if is_scheduled(field) and isinstance(value, str) and (found := schedules.parse(value)):
        for number in (found.start, found.end):
            _check_bounds(field, number, value)
        return str(found)
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise UserError(f"{field.name} must be {wanted(field)}, not {value!r}.")
    if expected is int and not (math.isfinite(value) and float(value) == int(value)):
        raise UserError(f"{field.name} must be {wanted(field)}, not {value!r}.")
    number = expected(value)
    _check_bounds(field, number, value)
    return number


def _check_bounds(field: dataclasses.Field, number: float, given: Any) -> None:
    metadata = field.metadata
    inside = (
        math.isfinite(number)
        and (metadata["minimum"] is None or number >= metadata["minimum"])
        and (metadata["maximum"] is None or number <= metadata["maximum"])
        and (metadata["above"] is None or number > metadata["above"])
        and (metadata["below"] is None or number < metadata["below"])
    )
    if not inside:
        bounds = _bounds_text(metadata) or "finite"
        raise UserError(f"{field.name} must be {bounds}, not {given!r}.")


@dataclass(frozen=True)
class Options:
    """Base of everything that has options: validates and converts each field when made."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, validated(field, getattr(self, field.name)))

    def options(self) -> dict[str, Any]:
        """The options as a dictionary of plain Python values."""
        return dataclasses.asdict(self)


Entry = TypeVar("Entry", bound=Options)


class Registry(Mapping[str, type[Entry]]):
    """A dictionary from name to `Options` class that makes instances and good errors.

    Args:
        kind: what the names stand for, in error messages ("loss", "data set", ...).
        entries: name -> class.
    """

    def __init__(self, kind: str, entries: Mapping[str, type[Entry]]):
        self.kind = kind
        self._entries = dict(entries)

    def __getitem__(self, name: str) -> type[Entry]:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, name: str, entry: type[Entry]) -> None:
        """Make `entry` known by `name`, to flags and configurations too.

        Raises:
            ValueError: the name is taken.
        """
        if name in self._entries:
            raise ValueError(f"there is a {self.kind} {name!r} already")
        self._entries[name] = entry

    def get(self, name: str, /, **options: Any) -> Entry:  # type: ignore[override]
        """The entry called `name`, made with `options`.

        Raises:
            UserError: unknown name, an option that this entry does not have, or a bad value.
        """
        if name not in self._entries:
            raise unknown_name(self.kind, name, self._entries)
        entry = self._entries[name]
        valid = [field.name for field in dataclasses.fields(entry)]
        for key in options:
            if key not in valid:
                guess = nearest(key, valid)
                hint = f" Did you mean {guess}?" if guess else ""
                have = f"it has {', '.join(valid)}" if valid else "it has no options"
                raise UserError(f"The {self.kind} {name!r} has no {key}: {have}.{hint}")
        try:
            return entry(**options)
        except UserError as error:
            raise UserError(f"{self.kind} {name!r}: {error}") from None

    def fields(self) -> dict[str, list[tuple[str, dataclasses.Field]]]:
        """Option name -> the (entry name, field) pairs that have it, in the order of entries."""
        found: dict[str, list[tuple[str, dataclasses.Field]]] = {}
        for name, entry in self._entries.items():
            for field in dataclasses.fields(entry):
                found.setdefault(field.name, []).append((name, field))
        return found
