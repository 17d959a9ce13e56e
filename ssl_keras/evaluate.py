"""Evaluate a finished run or a SavedModel: `python -m ssl_keras.evaluate --run=DIR`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_keras import config as configuration
from ssl_keras.cli import flags, startup
from ssl_keras.cli.program import Action, needed_run, run_program
from ssl_keras.errors import UserError
from ssl_keras.run import run_directory

EXAMPLE = "--run=runs/mine --heads=linear,mean_classifier,bits"

# The groups of settings for the data that a SavedModel is evaluated on.
_DATA = ("data", "images", "views")


def _data(values: Mapping[str, Any], directory: Path, seed: int) -> configuration.Config | None:
    """The configuration of a SavedModel's data, or None without flags for it.

    Raises:
        UserError: there are such flags for a run, or they contradict each other.
    """
    keys = {name: key for name, (key, _) in configuration.all_settings().items()}
    data_values = {name: value for name, value in values.items() if keys[name] in _DATA}
    if not data_values:
        return None
    if not run_directory.is_saved_model(directory):
        raise UserError(
            f"{next(iter(data_values))} is for a SavedModel; a run is evaluated on the data it was "
            "trained on: leave it out."
        )
    return configuration.Config.make(**data_values, seed=seed)


def _define(arguments: Sequence[str]) -> Any:
    flag_values = flags.define(("evaluation", *_DATA), arguments)
    flags.define_extra(flag_values, "run", "", "directory of the run or SavedModel; required")
    flags.define_extra(flag_values, "seed", 0, "seed of the evaluators")
    flags.define_extra(flag_values, "repeats", 1, "number of repetitions, with different seeds")
    return flag_values


def _prepare(arguments: Sequence[str], flag_values: Any) -> Action:
    values = flags.values(arguments, flag_values)
    evaluators = configuration.make_evaluators(values)
    run = Path(needed_run(flag_values))
    seed, repeats = (int(flag_values[name].value) for name in ("seed", "repeats"))
    if not evaluators:
        raise UserError("heads is empty: name at least one evaluator.")
    if repeats < 1 or seed < 0:
        raise UserError("repeats must be at least 1, and seed at least 0.")
    data = _data({n: v for n, v in values.items() if n not in ("seed", "plugins")}, run, seed)

    def evaluate() -> None:
        startup.start_tensorflow()
        from ssl_keras.run import evaluate_run

        evaluate_run(run, evaluators, seed, repeats, data)

    return evaluate


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluate one run; the exit codes are those of `startup.guarded`."""
    return run_program("evaluate", EXAMPLE, _define, _prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
