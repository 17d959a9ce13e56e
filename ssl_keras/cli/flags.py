"""The command line: absl flags derived from the fields of the configuration.

The one place that defines flags. `define` makes them, `parse` reads an argument list into a
`Config`, `help_text` is what `--help` prints. Importing this module loads no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Collection, Iterable, Sequence
from typing import Any, TypeVar

from absl import flags as absl_flags

from ssl_keras import config as configuration
from ssl_keras import schedules
from ssl_keras.config import Config
from ssl_keras.errors import UserError, nearest
from ssl_keras.options import Options, is_scheduled, plain, python_type, validated, wanted

Chosen = TypeVar("Chosen", bound=Options)


class _Parser(absl_flags.ArgumentParser):
    """Reads one value of a field. Bounds that differ between entries are checked later."""

    def __init__(self, field: dataclasses.Field, check: bool):
        super().__init__()
        self.field, self.check = field, check
        self.syntactic_help = wanted(field)

    def parse(self, argument: Any) -> Any:
        value = argument
        kind = python_type(self.field)
        if isinstance(argument, str) and kind in (int, float):
            try:
                value = float(argument) if kind is float else int(argument)
            except ValueError:
                if not (is_scheduled(self.field) and schedules.parse(argument)):
                    raise ValueError(
                        f"{self.field.name} must be {wanted(self.field)}, not {argument!r}."
                    ) from None
        return validated(self.field, value) if self.check else value

    def flag_type(self) -> str:
        return wanted(self.field)


class _BooleanParser(absl_flags.BooleanParser):
    """absl's, with an error that is a sentence."""

    def parse(self, argument: Any) -> bool:
        try:
            return bool(super().parse(argument))
        except (ValueError, TypeError):
            raise ValueError(f"it must be true or false, not {argument!r}.") from None


def define(keys: Collection[str] | None = None) -> absl_flags.FlagValues:
    """One flag for every setting, in the groups of the configuration.

    Args:
        keys: the groups whose settings are wanted. Default: all.

    They live in a set of their own, not in `absl.flags.FLAGS`, so that a program (or a test) can
    parse as often as it likes and libraries' flags do not mix with ours.
    """
    flag_values = absl_flags.FlagValues()
    for key, title, fields in configuration.groups():
        if keys is not None and key not in keys:
            continue
        for field in fields:
            _define_one(flag_values, title, field, field.default, _help(field), check=True)
        if key in configuration.REGISTRIES:
            _, registry = configuration.REGISTRIES[key]
            for name, uses in registry.fields().items():
                if name in flag_values:
                    continue
                text = _help(uses[0][1])
                # An option without a default of its own tells in its help what leaving it out does.
                if any(use.default is not None for _, use in uses):
                    defaults = ", ".join(f"{entry}: {plain(use.default)}" for entry, use in uses)
                    text += f" ({_shortened(defaults, uses)})"
                _define_one(flag_values, title, uses[0][1], None, text, check=len(uses) == 1)
    flags: list[absl_flags.Flag] = [
        absl_flags.BooleanFlag("only_check_args", False, "check the flags, say so, and stop"),
        absl_flags.Flag(
            absl_flags.IntegerParser(-3, 3),
            absl_flags.ArgumentSerializer(),
            "verbosity",
            0,
            "1 or more: show the traceback behind an error",
        ),
    ]
    for flag in flags:
        absl_flags.DEFINE_flag(flag, flag_values, module_name="Other")
    return flag_values


def _shortened(defaults: str, uses: list[tuple[str, dataclasses.Field]]) -> str:
    same = {plain(use.default) for _, use in uses}
    return f"default {same.pop()}" if len(same) == 1 and len(uses) > 1 else defaults


def _help(field: dataclasses.Field) -> str:
    choices = field.metadata["choices"]
    if is_scheduled(field):
        return f"{field.metadata['help']}; a number, {schedules.SYNTAX}"
    return field.metadata["help"] + (f": {', '.join(choices)}" if choices else "")


def _define_one(
    flag_values: absl_flags.FlagValues,
    title: str,
    field: dataclasses.Field,
    default: Any,
    text: str,
    check: bool,
) -> None:
    if python_type(field) is bool:
        flag: absl_flags.Flag = absl_flags.BooleanFlag(field.name, default, text)
        flag.parser = _BooleanParser()
    else:
        flag = absl_flags.Flag(
            _Parser(field, check), absl_flags.ArgumentSerializer(), field.name, default, text
        )
    absl_flags.DEFINE_flag(flag, flag_values, module_name=title)


def define_options(flag_values: absl_flags.FlagValues, kind: type[Options]) -> None:
    """One flag for every option of one program, in a group that its docstring names."""
    for field in dataclasses.fields(kind):
        _define_one(flag_values, str(kind.__doc__), field, field.default, _help(field), check=True)


def define_extra(
    flag_values: absl_flags.FlagValues, name: str, default: int | str, text: str
) -> None:
    """A flag of one tool, beside the settings of a run."""
    parser: absl_flags.ArgumentParser = absl_flags.ArgumentParser()
    if isinstance(default, int):
        parser = absl_flags.IntegerParser()
    flag = absl_flags.Flag(parser, absl_flags.ArgumentSerializer(), name, default, text)
    absl_flags.DEFINE_flag(flag, flag_values, module_name="Other")


def define_switch(flag_values: absl_flags.FlagValues, name: str, text: str) -> None:
    """A flag of one tool that is true or false, false unless it is given."""
    flag = absl_flags.BooleanFlag(name, False, text)
    flag.parser = _BooleanParser()
    absl_flags.DEFINE_flag(flag, flag_values, module_name="Other")


def wants_help(arguments: Sequence[str]) -> bool:
    """Whether --help is among the arguments (the program is the first)."""
    return any(
        argument[:1] == "-" and argument.lstrip("-").split("=")[0] in ("help", "h")
        for argument in arguments[1:]
    )


def verbose(flag_values: absl_flags.FlagValues) -> bool:
    """Whether --verbosity asks for tracebacks."""
    return int(flag_values["verbosity"].value or 0) > 0


def parse(arguments: Sequence[str], flag_values: absl_flags.FlagValues) -> Config:
    """The configuration that the command line asks for.

    Args:
        arguments: like sys.argv, the program first.
        flag_values: where `define` has put the flags.

    Raises:
        UserError: one sentence on what is wrong with the arguments.
    """
    return Config.make(**values(arguments, flag_values))


def values(arguments: Sequence[str], flag_values: absl_flags.FlagValues) -> dict[str, Any]:
    """The settings that the command line gives, by name, defaults included.

    Args:
        arguments, flag_values: see `parse`.

    Raises:
        UserError: one sentence on what is wrong with the arguments.
    """
    _read(arguments, flag_values)
    return _given(flag_values, configuration.all_fields())


def options(
    arguments: Sequence[str], flag_values: absl_flags.FlagValues, kind: type[Chosen]
) -> Chosen:
    """The options of one program that the command line gives.

    Args:
        arguments: see `parse`.
        flag_values: where `define_options` has put the flags.
        kind: the class of the options.

    Raises:
        UserError: one sentence on what is wrong with the arguments.
    """
    _read(arguments, flag_values)
    return kind(**_given(flag_values, [field.name for field in dataclasses.fields(kind)]))


def _read(arguments: Sequence[str], flag_values: absl_flags.FlagValues) -> None:
    try:
        rest = flag_values(list(arguments))[1:]
    except absl_flags.UnrecognizedFlagError as error:
        guess = nearest(error.flagname, list(flag_values))
        hint = f"did you mean --{guess}? " if guess else ""
        raise UserError(f"Unknown flag --{error.flagname}: {hint}--help lists all flags.") from None
    except absl_flags.Error as error:
        raise UserError(_one_line(str(error))) from None
    if rest:
        raise UserError(f"Unexpected argument {rest[0]!r}: every setting is a --flag=value.")


def _given(flag_values: absl_flags.FlagValues, names: Iterable[str]) -> dict[str, Any]:
    found = {name: flag_values[name].value for name in names if name in flag_values}
    return {name: value for name, value in found.items() if value is not None}


def _one_line(text: str) -> str:
    return " ".join(text.split())


def help_text(program: str, example: str, flag_values: absl_flags.FlagValues) -> str:
    """What `--help` prints: every flag with its meaning and default, in groups."""
    lines = [f"Usage: {program} [--flag=value ...]", f"Example: {example}", ""]
    by_module = flag_values.flags_by_module_dict()
    for title in sorted(by_module, key=lambda title: title == "Other"):
        lines.append(f"{title}:")
        for flag in by_module[title]:
            default = "" if flag.default is None else f" [{plain(flag.default)}]"
            lines += textwrap.wrap(
                f"--{flag.name}  {flag.help}{default}",
                width=98,
                initial_indent="  ",
                subsequent_indent="      ",
            )
        lines.append("")
    lines += [
        "Any command line can be kept in a file of flags, one a line: --flagfile=flags/NAME.flags;",
        "later flags win.",
    ]
    return "\n".join(lines)
