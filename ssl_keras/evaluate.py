"""Evaluate a finished run or a SavedModel: `python -m ssl_keras.evaluate --run=DIR`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_keras import config as configuration
from ssl_keras.cli import flags, startup
from ssl_keras.errors import UserError
from ssl_keras.run import run_directory

PROGRAM = "python -m ssl_keras.evaluate"
EXAMPLE = f"{PROGRAM} --run=runs/mine --heads=linear,mean_classifier,bits"


# The groups of settings that say which data a SavedModel is evaluated on.
_DATA = ("data", "views")


def _data(
    flag_values: Any, values: Mapping[str, Any], directory: Path
) -> configuration.Config | None:
    """The configuration of the data, if any of its flags is given.

    Raises:
        UserError: they are given for a run, whose data are known, or contradict each other.
    """
    names = [n for n, (key, _) in configuration.all_fields().items() if key in _DATA]
    given = [name for name in names if flag_values[name].present]
    if not given:
        return None
    if not run_directory.is_saved_model(directory):
        raise UserError(
            f"{given[0]} is for a SavedModel; the data of a run are those it was trained on: leave "
            "it out."
        )
    chosen = {name: values[name] for name in names if name in values}
    return configuration.Config.make(**chosen, seed=flag_values["seed"].value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate one run; the exit codes are those of `startup.guarded`."""
    arguments = list(sys.argv if arguments is None else arguments)
    flag_values = flags.define(("evaluation", *_DATA))
    flags.define_extra(flag_values, "run", "", "directory of the run or SavedModel; needed")
    flags.define_extra(flag_values, "seed", 0, "seed of whatever is random in the heads")
    flags.define_extra(flag_values, "repeats", 1, "times everything is measured, with other seeds")
    if flags.wants_help(arguments):
        print(flags.help_text(PROGRAM, EXAMPLE, flag_values))
        return startup.OK

    def body() -> None:
        values = flags.values(arguments, flag_values)
        evaluators = configuration.make_evaluators(values)
        given: dict[str, Any] = {n: flag_values[n].value for n in ("run", "seed", "repeats")}
        run, seed, repeats = given["run"], given["seed"], given["repeats"]
        if not run:
            raise UserError("Which run? Give its directory: --run=DIR.")
        if not evaluators:
            raise UserError("heads is empty: name at least one evaluator.")
        if repeats < 1 or seed < 0:
            raise UserError("repeats must be at least 1, and seed at least 0.")
        data = _data(flag_values, values, Path(run))
        if flag_values["only_check_args"].value:
            print("The flags are valid.")
            return
        startup.start_tensorflow()
        from ssl_keras.run import evaluate_run

        evaluate_run(Path(run), evaluators, seed, repeats, data)

    return startup.guarded("ssl_keras.evaluate", body, lambda: flags.verbose(flag_values))


if __name__ == "__main__":
    sys.exit(main())
