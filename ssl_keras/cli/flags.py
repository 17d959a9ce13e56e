"""The command line: absl flags derived from the options of the configuration.

`define` makes the flags, `parse` reads an argument list into a `Config`, `help_text` is the text of
`--help`. Importing this module loads no TensorFlow.
"""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from absl import flags as absl_flags

from ssl_keras import config as configuration
from ssl_keras import plugins, schedules
from ssl_keras.cli import flagfiles
from ssl_keras.config import Config
from ssl_keras.errors import UserError, nearest, unknown_name
from ssl_keras.options import Options, Setting, plain, settings

OptionsType = TypeVar("OptionsType", bound=Options)


class _Parser(absl_flags.ArgumentParser):
    """Reads one value of a setting. Bounds that differ between parts are checked by `Config`."""

    def __init__(self, setting: Setting, check: bool):
        super().__init__()
        self.setting, self.check = setting, check
        self.syntactic_help = setting.kind_text

    def parse(self, argument: Any) -> Any:
        value, setting = argument, self.setting
        if isinstance(argument, str) and setting.kind in (int, float):
            try:
                value = setting.kind(argument)
            except ValueError:
                if not (setting.scheduled and schedules.parse(argument)):
                    raise ValueError(
                        f"{setting.name} must be {setting.kind_text}, not {argument!r}."
                    ) from None
        return setting.validated(value) if self.check else value

    def flag_type(self) -> str:
        return self.setting.kind_text


class _BooleanParser(absl_flags.BooleanParser):
    """The parser of absl with a clearer error message."""

    def parse(self, argument: Any) -> bool:
        try:
            return bool(super().parse(argument))
        except (ValueError, TypeError):
            raise ValueError(f"it must be true or false, not {argument!r}.") from None


def define(
    keys: Collection[str] | None = None, arguments: Sequence[str] = ()
) -> absl_flags.FlagValues:
    """One flag for every setting, in the groups of the configuration.

    They are not in `absl.flags.FLAGS`, so that a program (or a test) can parse several times, and
    the flags of libraries are not accepted.

    Args:
        keys: the groups whose settings become flags. Default: all.
        arguments: the command line; its plug-ins are loaded first, so that their options become
            flags too.

    Raises:
        UserError: a plug-in cannot be loaded.
    """
    plugins.load(_named_plugins(arguments))
    flag_values = absl_flags.FlagValues()
    for key, title, group in configuration.groups():
        if keys is not None and key not in keys:
            continue
        for setting in group:
            _define_one(flag_values, title, setting, setting.default, _help(setting), check=True)
        if key in configuration.REGISTRIES:
            _, registry = configuration.REGISTRIES[key]
            for uses in registry.settings().values():
                first = next(iter(uses.values()))
                text = _help(first)
                # Without a default, the help text of an option describes its absence.
                if any(use.default is not None for use in uses.values()):
                    text += f" ({_defaults(uses)})"
                _define_one(flag_values, title, first, None, text, check=len(uses) == 1)
    if keys is not None and "plugins" not in flag_values:
        define_extra(flag_values, "plugins", "", "modules that add parts, comma-separated")
    flags: list[absl_flags.Flag] = [
        absl_flags.BooleanFlag("only_check_args", False, "check the flags and stop"),
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


def _named_plugins(arguments: Sequence[str]) -> str:
    """The value of --plugins on a command line and in its flagfiles; the last one is used."""
    names = ""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        flag, equals, value = argument.partition("=")
        name = flag.lstrip("-")
        if not argument.startswith("-") or name not in ("plugins", "flagfile"):
            continue
        value = value if equals else following
        if name == "plugins":
            names = value
        elif path := flagfiles.path_of(value):
            lines = path.read_text(errors="replace").splitlines()
            names = _named_plugins([line.strip() for line in lines]) or names
    return names


def _defaults(uses: Mapping[str, Setting]) -> str:
    """The defaults of an option in the parts that have it."""
    same = {plain(use.default) for use in uses.values()}
    if len(same) == 1 and len(uses) > 1:
        return f"default {same.pop()}"
    return ", ".join(f"{name}: {plain(use.default)}" for name, use in uses.items())


def _help(setting: Setting) -> str:
    if setting.scheduled:
        return f"{setting.help}; a number, {schedules.SYNTAX}"
    return setting.help + (f": {', '.join(setting.choices)}" if setting.choices else "")


def _define_one(
    flag_values: absl_flags.FlagValues,
    title: str,
    setting: Setting,
    default: Any,
    text: str,
    check: bool,
) -> None:
    if setting.kind is bool:
        flag: absl_flags.Flag = absl_flags.BooleanFlag(setting.name, default, text)
        flag.parser = _BooleanParser()
    else:
        flag = absl_flags.Flag(
            _Parser(setting, check), absl_flags.ArgumentSerializer(), setting.name, default, text
        )
    absl_flags.DEFINE_flag(flag, flag_values, module_name=title)


def define_options(flag_values: absl_flags.FlagValues, kind: type[Options]) -> None:
    """One flag for every option of a program; the docstring of `kind` is the group's title."""
    for setting in settings(kind).values():
        text = _help(setting)
        _define_one(flag_values, str(kind.__doc__), setting, setting.default, text, check=True)


def define_extra(
    flag_values: absl_flags.FlagValues, name: str, default: bool | int | str, text: str
) -> None:
    """A flag of one program that is no setting of a run; its type is that of the default."""
    if isinstance(default, bool):
        flag: absl_flags.Flag = absl_flags.BooleanFlag(name, default, text)
        flag.parser = _BooleanParser()
    else:
        is_number = isinstance(default, int)
        parser = absl_flags.IntegerParser() if is_number else absl_flags.ArgumentParser()
        flag = absl_flags.Flag(parser, absl_flags.ArgumentSerializer(), name, default, text)
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
    """The configuration of a command line.

    What a flagfile holds for a part that another flag replaces is set aside with a notice.

    Args:
        arguments: like sys.argv, the program first.
        flag_values: the flags of `define`.

    Raises:
        UserError: the arguments are wrong.
    """
    given = values(arguments, flag_values)
    typed = _typed(arguments, flag_values)
    from_flagfiles = {name: value for name, value in given.items() if name not in typed}
    return Config.make(from_flagfiles, **{n: v for n, v in given.items() if n in typed})


def _typed(arguments: Sequence[str], flag_values: absl_flags.FlagValues) -> set[str]:
    """The flags on a command line itself, without those in its flagfiles."""
    names = {a.lstrip("-").split("=")[0] for a in arguments if a.startswith("-")}
    return {name for name in flag_values if name in names or f"no{name}" in names}


def values(arguments: Sequence[str], flag_values: absl_flags.FlagValues) -> dict[str, Any]:
    """The settings on a command line, by name; the others are absent.

    Args:
        arguments, flag_values: see `parse`.

    Raises:
        UserError: the arguments are wrong.
    """
    _read(arguments, flag_values)
    return _present(flag_values, configuration.all_settings())


def options(
    arguments: Sequence[str], flag_values: absl_flags.FlagValues, kind: type[OptionsType]
) -> OptionsType:
    """The options of a program, from its command line.

    Args:
        arguments: see `parse`.
        flag_values: the flags of `define_options`.
        kind: the class of the options.

    Raises:
        UserError: the arguments are wrong.
    """
    _read(arguments, flag_values)
    return kind(**_present(flag_values, settings(kind)))


def _read(arguments: Sequence[str], flag_values: absl_flags.FlagValues) -> None:
    try:
        rest = flag_values(flagfiles.with_paths(arguments))[1:]
    except absl_flags.UnrecognizedFlagError as error:
        guess = nearest(error.flagname, list(flag_values))
        hint = f"did you mean --{guess}? " if guess else ""
        raise UserError(f"Unknown flag --{error.flagname}: {hint}--help lists all flags.") from None
    except absl_flags.Error as error:
        raise UserError(" ".join(str(error).split())) from None
    if rest:
        raise UserError(f"Unexpected argument {rest[0]!r}: every setting is a --flag=value.")


def _present(flag_values: absl_flags.FlagValues, names: Iterable[str]) -> dict[str, Any]:
    flags = {name: flag_values[name] for name in names if name in flag_values}
    return {name: f.value for name, f in flags.items() if f.present and f.value is not None}


def help_text(
    program: str, example: str, flag_values: absl_flags.FlagValues, arguments: Sequence[str] = ()
) -> str:
    """The text of `--help`: every flag with its meaning and default, in groups.

    Args:
        program: what the user types to call it.
        example: a command line.
        flag_values: the flags of `define`.
        arguments: the command line; --help=loss shows one group alone.

    Raises:
        UserError: there is no such group.
    """
    lines = [f"Usage: {program} [--flag=value ...]", f"Example: {example}", ""]
    by_module = flag_values.flags_by_module_dict()
    titles = sorted(by_module, key=lambda title: title == "Other")
    wanted = next((a.partition("=")[2] for a in arguments if a.startswith("--help=")), "")
    if wanted:
        names = {title: title for title in titles}
        names |= {key: title for key, title, _ in configuration.groups() if title in by_module}
        for key, (field, _) in configuration.REGISTRIES.items():
            names |= {field: names[key]} if key in names else {}
        if wanted not in names:
            short = [name for name in names if name not in titles]
            raise unknown_name("group of flags", wanted, [*short, "Other"])
        titles = [names[wanted]]
    for title in titles:
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
    if not wanted and len(titles) > 2:
        lines.append("--help=loss shows one of the groups: data, views, loss, encoder, heads, ...")
    lines += [
        "A flagfile has one flag a line: --flagfile=flags/NAME.flags; of two values of a flag the",
        "later one is used.",
    ]
    return "\n".join(lines)
