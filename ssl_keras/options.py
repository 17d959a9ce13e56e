"""Named parts with typed, bounded options: the dictionaries behind `--loss`, `--dataset`, ...

Each entry of a `Registry` is a frozen dataclass derived from `Options`. Its fields, made with
`option`, are the hyperparameters: the command line, the validation and `--help` are derived from
them, so a new entry needs no code elsewhere.

    @dataclass(frozen=True)
    class NTXent(Loss):
        temperature: float = option(0.1, help="temperature", above=0)

    LOSSES = Registry("loss", Loss, {"nt_xent": NTXent})
    LOSSES.get("nt_xent", temperature=0.2)
"""

from __future__ import annotations

import dataclasses
import math
import operator
import os
import reprlib
import types
import typing
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, TypeVar

import numpy as np

from ssl_keras import schedules
from ssl_keras.errors import UserError, nearest, unknown_name

# The annotation of an option that is a number, or the text of a `schedules.Schedule`.
Scheduled = Annotated[Any, "scheduled"]


@dataclass(frozen=True)
class Needs:
    """The condition under which an option has an effect.

    Attributes:
        setting: name of the other setting.
        values: its values that meet the condition; of a comma-separated list one entry suffices.
            Empty: `minimum` decides, or, without one, that the setting is not set.
        minimum: its least value.
        set_aside: whether the option is set aside with a notice where the condition is not met, in
            place of being refused.
    """

    setting: str
    values: tuple[Any, ...] = ()
    minimum: float | None = None
    set_aside: bool = False

    def met(self, value: Any) -> bool:
        """Whether the other setting has a value that meets the condition."""
        if self.values:
            entries = value.split(",") if isinstance(value, str) else [value]
            return any(entry in self.values for entry in map(_stripped, entries))
        if self.minimum is not None:
            return value is not None and value >= self.minimum
        return value is None

    def __str__(self) -> str:
        if self.values:
            return f"{self.setting}={' or '.join(map(str, self.values))}"
        if self.minimum is not None:
            least = f" of at least {self.minimum:g}" if self.minimum else ""
            return self.setting + least
        return f"no {self.setting}"


def _stripped(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def option(
    default: Any,
    *,
    help: str,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    choices: Collection[str] | None = None,
    needs: Needs | tuple[Needs, ...] = (),
    convert: Callable[[Any], str] | None = None,
    is_list: bool = False,
) -> Any:
    """A field of an `Options` class.

    Args:
        default: value when none is given; None is allowed only where it is the default.
        help: one clause for `--help`: meaning, unit, origin of the default.
        minimum, maximum: inclusive bounds of a number.
        above, below: exclusive bounds of a number.
        choices: the valid strings.
        needs: the conditions under which the option has an effect.
        convert: applied to a text or a path, such as making it absolute.
        is_list: whether the text is a list whose entries are separated by commas.
    """
    bounds = {"minimum": minimum, "maximum": maximum, "above": above, "below": below}
    conditions = (needs,) if isinstance(needs, Needs) else needs
    metadata = {
        **bounds, "help": help, "choices": choices, "needs": conditions, "convert": convert,
        "is_list": is_list,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


# Kind of bound -> its words, and whether a number keeps it.
_BOUNDS = {
    "minimum": ("at least", operator.ge),
    "above": ("above", operator.gt),
    "maximum": ("at most", operator.le),
    "below": ("below", operator.lt),
}
# The largest number of an option without an upper bound, and the least of one that is above 0.
LARGEST = {int: 2e9, float: 1e30}
LEAST = 1e-30


@dataclass(frozen=True)
class Setting:
    """One option of a class: what its field and its annotation say.

    Attributes:
        name: of the field.
        kind: float, int, str or bool.
        scheduled: whether it may be a schedule.
        default: its default.
        help, minimum, maximum, above, below, choices, needs, convert, is_list: see `option`.
    """

    name: str
    kind: type
    scheduled: bool
    default: Any
    help: str
    minimum: float | None
    maximum: float | None
    above: float | None
    below: float | None
    choices: Collection[str] | None
    needs: tuple[Needs, ...]
    convert: Callable[[Any], str] | None
    is_list: bool

    @property
    def kind_text(self) -> str:
        """What kind of value the option takes, as error messages call it."""
        names = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}
        text = names[self.kind]
        return f"{text}, {schedules.SYNTAX}" if self.scheduled else text

    def validated(self, value: Any) -> Any:
        """`value` converted to the type of the option and checked against its bounds.

        Numbers may be of any type, such as NumPy's; whole numbers may be floats (3.0). A text may
        be a path, and an option that is a list may be a list or a tuple of texts. A schedule stays
        the text it is, in its canonical form.

        Raises:
            UserError: wrong type, outside the bounds, or not among the choices.
        """
        if value is None and self.default is None:
            return None
        if self.kind is bool:
            if not isinstance(value, bool | np.bool_):
                raise self._wrong_kind(value)
            return bool(value)
        if self.kind is str:
            text = self._text(value)
            if self.choices and text not in self.choices:
                raise unknown_name(self.name, text, self.choices)
            return text
        if self.scheduled and isinstance(value, str) and (schedule := schedules.parse(value)):
            for number in (schedule.start, schedule.end):
                self._check_bounds(number, value)
            return str(schedule)
        given = _number(value)
        whole = given is not None and math.isfinite(given) and given == int(given)
        if given is None or (self.kind is int and not whole):
            raise self._wrong_kind(value)
        number = self.kind(given)
        self._check_bounds(number, value)
        return number

    def _text(self, value: Any) -> str:
        """A text from a text, a path, or a list of them for an option that is a list.

        Raises:
            UserError: it is something else.
        """
        if self.is_list and isinstance(value, list | tuple):
            entries = [_entry(entry) for entry in value]
            if None in entries:
                kinds = "a text or a list of texts"
                raise UserError(f"{self.name} must be {kinds}, not {_shown(value)}.")
            return ",".join(map(str, entries))
        if not isinstance(value, str | os.PathLike):
            raise self._wrong_kind(value)
        return str(os.fspath(value) if self.convert is None else self.convert(value))

    def _wrong_kind(self, value: Any) -> UserError:
        return UserError(f"{self.name} must be {self.kind_text}, not {_shown(value)}.")

    def _check_bounds(self, number: float, value: Any) -> None:
        bounds = {"minimum": self.minimum, "above": self.above}
        bounds |= {"maximum": self.maximum, "below": self.below}
        # What 32 bits cannot hold, or not the reciprocal of.
        if number > LARGEST[self.kind] and self.maximum is self.below is None:
            bounds["maximum"] = LARGEST[self.kind]
        if self.above == 0 < number < LEAST:
            bounds |= {"above": None, "minimum": LEAST}
        given = {name: bound for name, bound in bounds.items() if bound is not None}
        inside = all(_BOUNDS[name][1](number, bound) for name, bound in given.items())
        if not (math.isfinite(number) and inside):
            texts = " and ".join(f"{_BOUNDS[name][0]} {bound:g}" for name, bound in given.items())
            raise UserError(f"{self.name} must be {texts or 'finite'}, not {_shown(value)}.")


def _shown(value: Any) -> str:
    """A value of any type in one line, shortened."""
    if isinstance(value, int) and abs(value) >= 2**1000:
        return "a number of more than 1000 bits"
    short = reprlib.Repr()
    short.maxstring = short.maxother = 80
    return " ".join(short.repr(value).split())


def _entry(value: Any) -> str | None:
    """An entry of a list, a text, a path or a number, as a text; None if it is something else."""
    if isinstance(value, str | os.PathLike):
        return str(os.fspath(value))
    number = _number(value)
    return None if number is None else plain(number)


def _number(value: Any) -> float | int | None:
    """A number of any type as Python's; None if it is none. What has a lower precision than
    Python's floats counts as its shortest decimal: 0.1, not 0.10000000149."""
    if isinstance(value, bool | np.bool_ | str) or not hasattr(value, "__float__"):
        return None
    if isinstance(value, int):
        return value if abs(value) < 2**1000 else math.inf
    if len(getattr(value, "shape", ())):  # an array or a tensor of several numbers
        return None
    if hasattr(value, "numpy"):
        value = value.numpy()
    if hasattr(value, "dtype"):
        value = np.asarray(value)[()]
        if not isinstance(value, np.integer | np.floating):
            return None
        return int(value) if isinstance(value, np.integer) else float(str(value))
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return None


def settings(options: type) -> dict[str, Setting]:
    """Name -> `Setting` of every option of an `Options` class, in the order of its fields.

    Raises:
        TypeError: an annotation is not float, int, str, bool, one of them or None, or `Scheduled`.
    """
    if options not in _SETTINGS:
        _SETTINGS[options] = _read_settings(options)
    return _SETTINGS[options]


_SETTINGS: dict[type, dict[str, Setting]] = {}


def _read_settings(options: type) -> dict[str, Setting]:
    hints = typing.get_type_hints(options, include_extras=True)
    result = {}
    for field in dataclasses.fields(options):
        hint = hints[field.name]
        scheduled = hint == Scheduled
        kinds = {float} if scheduled else {hint}
        if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
            kinds = set(typing.get_args(hint)) - {type(None)}
        if len(kinds) != 1 or not kinds <= {float, int, str, bool} or "help" not in field.metadata:
            raise TypeError(
                f"the option {field.name} of {options.__name__} must be made with option(...) and "
                f"annotated as float, int, str or bool, with or without None, not {hint}"
            )
        result[field.name] = Setting(
            field.name, kinds.pop(), scheduled, field.default, **field.metadata
        )
    return result


def plain(value: Any) -> str:
    """A value as text, short."""
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class Options:
    """Base of everything that has options: validates and converts each field when made."""

    # What a part must define to be of use: names of methods, see `Registry.add`.
    required: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for name, setting in settings(type(self)).items():
            object.__setattr__(self, name, setting.validated(getattr(self, name)))

    def options(self) -> dict[str, Any]:
        """The options as a dictionary of plain Python values."""
        return {name: getattr(self, name) for name in settings(type(self))}


Entry = TypeVar("Entry", bound=Options)

# Option name -> (what it belongs to, its kind), for everything that the command line knows.
_OWNERS: dict[str, tuple[str, type]] = {}


def claim_names(owner: str, claimed: Iterable[Setting]) -> None:
    """Note that options belong to `owner` (a group of settings, or a kind of parts).

    Raises:
        UserError: another owner, or an option of another type, has the name.
    """
    for setting in claimed:
        known, kind = _OWNERS.setdefault(setting.name, (owner, setting.kind))
        if (known, kind) != (owner, setting.kind):
            what = f"an option of the {known}" if known != owner else f"of type {kind.__name__}"
            raise UserError(
                f"The option {setting.name} of a {owner} cannot be added: {setting.name} is {what} "
                "already; choose another name."
            )


class Registry(Mapping[str, type[Entry]]):
    """A dictionary from name to `Options` class that makes instances and good errors.

    Args:
        kind: what the names stand for, in error messages ("loss", "data set", ...).
        base: the class that entries are derived from.
        entries: name -> class.
    """

    def __init__(self, kind: str, base: type[Entry], entries: Mapping[str, type[Entry]]):
        self.kind, self.base = kind, base
        self._entries: dict[str, type[Entry]] = {}
        for name, entry in entries.items():
            self.add(name, entry)

    def __getitem__(self, name: str) -> type[Entry]:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, name: str, entry: type[Entry]) -> None:
        """Make `entry` known by `name`, to flags and configurations too.

        Raises:
            UserError: the name is taken, the entry is not of this kind or lacks what is asked of
                it, or one of its options has a name that means something else.
        """
        if name in self._entries:
            raise UserError(f"There is a {self.kind} {name!r} already: choose another name.")
        if not (isinstance(entry, type) and issubclass(entry, self.base)):
            raise UserError(
                f"{name!r} is no {self.kind}: it must be a class derived from "
                f"{self.base.__module__}.{self.base.__name__}."
            )
        lacking = [n for n in self.base.required if getattr(entry, n) is getattr(self.base, n)]
        if lacking:
            raise UserError(f"The {self.kind} {name!r} does not define {', '.join(lacking)}.")
        if "__dataclass_params__" not in vars(entry) and entry.__annotations__:
            raise UserError(
                f"The {self.kind} {name!r} has options, but is no dataclass: put "
                "@dataclass(frozen=True) before it."
            )
        claim_names(self.kind, settings(entry).values())
        self._entries[name] = entry

    def get(self, name: str, /, **options: Any) -> Entry:  # type: ignore[override]
        """The entry called `name`, made with `options`.

        Raises:
            UserError: unknown name, an option that this entry does not have, or a bad value.
        """
        if name not in self._entries:
            raise unknown_name(self.kind, name, self._entries)
        entry = self._entries[name]
        valid = list(settings(entry))
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

    def settings(self) -> dict[str, dict[str, Setting]]:
        """Option name -> entry name -> `Setting`, of the entries that have it, in their order."""
        result: dict[str, dict[str, Setting]] = {}
        for name, entry in self._entries.items():
            for setting in settings(entry).values():
                result.setdefault(setting.name, {})[name] = setting
        return result
