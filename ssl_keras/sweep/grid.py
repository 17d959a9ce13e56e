"""A command line whose flags have several values, as a grid of runs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from ssl_keras.cli import flags
from ssl_keras.config import Config, all_settings
from ssl_keras.errors import UserError
from ssl_keras.options import Setting, plain

# How values are separated, for people.
RULE = (
    "Commas separate the values of a flag: --seed=0,1. Semicolons separate lists, and values with\n"
    "commas: --heads='linear;linear,knn'. A flag that is repeated has all of its values."
)

# Characters in the name of a directory.
_LONGEST = 200

# Settings without a place in a sweep -> why.
_WITHOUT_PLACE = {
    "workdir": "each run has its own directory in --folder",
    "plugins": "plug-ins are loaded once, for all runs",
}


@dataclass(frozen=True)
class Cell:
    """One run of a grid.

    Attributes:
        name: its values and its seed, such as "temperature=0.1,seed=0"; the name of its directory.
        config: its configuration, without a directory.
    """

    name: str
    config: Config

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that were given and have an effect, see `Config.make`."""
        given = self.config.given - {"overwrite"}
        return {name: value for name, value in self.config.flat().items() if name in given}


@dataclass(frozen=True)
class Grid:
    """All combinations of the values on a command line.

    Attributes:
        axes: setting -> its values, for settings with more than one.
        cells: the runs, in the order of the values; the last setting changes fastest.
    """

    axes: Mapping[str, Sequence[Any]]
    cells: Sequence[Cell]

    def __str__(self) -> str:
        sizes = " x ".join(f"{len(values)} {name}" for name, values in self.axes.items())
        count = len(self.cells)
        return f"{count} run{'s' * (count != 1)}" + (f" ({sizes})" if sizes else "")


def read(arguments: Sequence[str], flag_values: Any) -> Grid:
    """The grid of a command line.

    A value holds for all runs, unless its flag has several, see `RULE`. Several values are typed; a
    flagfile has one value of a flag, which they replace.

    Args:
        arguments: like sys.argv, the program first.
        flag_values: the flags, see `flags.define`.

    Raises:
        UserError: the arguments are wrong, a combination is, or two runs would be the same.
    """
    texts, rest = _typed(arguments, flag_values)
    axes = {name: _values(flag_values[name], given) for name, given in texts.items()}
    for name, reason in _WITHOUT_PLACE.items():
        if name in axes:
            raise UserError(f"{name} cannot have several values: {reason}.")
    # The same run has the same name, whatever the order of the flags and the number of seeds.
    order = [name for name in all_settings() if name in axes and name != "seed"]
    # What is wrong with the line itself is no matter of a combination.
    flags.values([arguments[0], *rest], flag_values)
    cells: list[Cell] = []
    digests: dict[str, str] = {}
    for values in product(*axes.values()):
        chosen = dict(zip(axes, values, strict=True))
        line = [arguments[0], *rest, *(f"--{name}={value}" for name, value in chosen.items())]
        try:
            config = flags.parse(line, flag_values)
        except UserError as error:
            where = f"{_joined(chosen)}: " if chosen else ""
            raise UserError(f"{where}{error}") from error
        _check(config)
        name = _joined({**{name: chosen[name] for name in order}, "seed": config.run.seed})
        if config.digest() in digests:
            raise UserError(
                f"{digests[config.digest()]} and {name} would be the same run, because what "
                "differs has no effect there: leave one of them out."
            )
        digests[config.digest()] = name
        cells.append(Cell(name, config))
    return Grid(axes, _with_own_names(cells))


def _with_own_names(cells: Sequence[Cell]) -> list[Cell]:
    """The cells with digests in names that are too long, or that several have."""
    count = Counter(cell.name for cell in cells)
    return [
        Cell(f"{cell.name[:_LONGEST]},{cell.config.digest()}", cell.config)
        if count[cell.name] > 1 or len(cell.name) > _LONGEST
        else cell
        for cell in cells
    ]


def _check(config: Config) -> None:
    """Refuse settings that a sweep cannot follow."""
    if config.run.workdir is not None:
        raise UserError(f"A sweep takes no --workdir: {_WITHOUT_PLACE['workdir']}.")
    if config.engine.strategy == "multi_worker":
        raise UserError(
            "A sweep makes its runs on this machine: leave --strategy=multi_worker out."
        )


def _typed(arguments: Sequence[str], flag_values: Any) -> tuple[dict[str, list[str]], list[str]]:
    """(setting -> values as typed, for settings with several; the other arguments)."""
    settings = {n: setting for n, (_, setting) in all_settings().items() if n in flag_values}
    switches = {name for name, setting in settings.items() if setting.kind is bool}
    texts: dict[str, list[str]] = {}
    rest: list[tuple[str, str]] = []
    remaining = iter(arguments[1:])
    for argument in remaining:
        name, equals, text = argument.lstrip("-").partition("=")
        if not equals and name in switches:
            text = "true"
        elif not equals and name.removeprefix("no") in switches:
            name, text = name.removeprefix("no"), "false"
        elif not equals and name in settings and argument.startswith("-"):
            text = next(remaining, "")
            argument = f"--{name}={text}"
        if not argument.startswith("-"):
            name = ""
        if name in settings:
            texts.setdefault(name, []).extend(_split(settings[name], text))
        rest.append((name, argument))
    several = {name: values for name, values in texts.items() if len(values) > 1}
    return several, [argument for name, argument in rest if name not in several]


def _split(setting: Setting, text: str) -> Iterator[str]:
    """The values in the text of a flag."""
    separator = ";" if ";" in text or setting.is_list else ","
    parts = [part.strip() for part in text.split(separator)]
    if len(parts) > 1 and "" in parts:
        raise UserError(
            f"--{setting.name}={text} has an empty value beside others: leave the separator "
            f"{separator!r} out, or repeat the flag for an empty value."
        )
    yield from parts


def _values(flag: Any, texts: Sequence[str]) -> list[Any]:
    """The values of a flag, each once."""
    values: list[Any] = []
    for text in texts:
        try:
            value = flag.parser.parse(text)
        except ValueError as error:
            raise UserError(f"flag --{flag.name}={text}: {error}") from None
        if value in values:
            raise UserError(f"--{flag.name} has the value {text} twice: give each value once.")
        values.append(value)
    return values


def _joined(values: Mapping[str, Any]) -> str:
    """The name of a run: "temperature=0.1,seed=0"; of a path only the end."""
    parts = []
    for name, value in values.items():
        text = plain(value).lower() if isinstance(value, bool) else plain(value)
        text = text.rstrip("/").rsplit("/", 1)[-1].replace(",", "+")
        parts.append(f"{name}={re.sub(r'[^A-Za-z0-9_.+:-]+', '_', text)[-40:]}")
    return ",".join(parts)
