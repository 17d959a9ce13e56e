"""The skeleton of a main: help, flags, --only_check_args, TensorFlow, exit code."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from ssl_keras import commands, log
from ssl_keras.cli import flags, startup
from ssl_keras.errors import UserError
from ssl_keras.paths import tensorflow_path

# The body of a program, run after its flags have been checked.
Action = Callable[[], None]


def run_program(
    name: str,
    example: str,
    define: Callable[[Sequence[str]], Any],
    prepare: Callable[[Sequence[str], Any], Action],
    arguments: Sequence[str] | None = None,
) -> int:
    """Run the main `python -m ssl_keras.NAME`.

    Args:
        name: "train", ...
        example: flags of an example, for --help.
        define: command line -> the program's flags.
        prepare: (command line, flags) -> the action; it checks the flags, without TensorFlow.
        arguments: the command line, the program first. Default: sys.argv.

    Returns:
        The exit code, see `startup.guarded`.
    """
    arguments = list(sys.argv if arguments is None else arguments)
    program = commands.as_typed(f"python -m ssl_keras.{name}")
    flag_values: list[Any] = []

    def body() -> None:
        flag_values.append(define(arguments))
        if flags.wants_help(arguments):
            print(flags.help_text(program, f"{program} {example}", flag_values[0], arguments))
            return
        action = prepare(arguments, flag_values[0])
        if flag_values[0]["only_check_args"].value:
            log.info("The flags are valid.")
            return
        action()

    return startup.guarded(
        f"ssl_keras.{name}", body, lambda: bool(flag_values) and flags.verbose(flag_values[0])
    )


def needed_run(flag_values: Any) -> str:
    """The value of --run.

    Raises:
        UserError: it is missing, or see `paths.tensorflow_path`.
    """
    run = str(flag_values["run"].value)
    if not run:
        raise UserError("Which run? Give its directory: --run=DIR.")
    return tensorflow_path(run)
