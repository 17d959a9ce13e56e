"""Fine-tune a finished run on few labels: `python -m ssl_keras.finetune --run=DIR`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_keras.cli import flags, startup
from ssl_keras.cli.program import Action, needed_run, run_program
from ssl_keras.config import FinetuningConfig

EXAMPLE = "--run=runs/mine --label_fraction=0.01 --repeats=3"


def _define(arguments: Sequence[str]) -> Any:
    flag_values = flags.define((), arguments)
    flags.define_options(flag_values, FinetuningConfig)
    flags.define_extra(flag_values, "run", "", "directory of the finished run; required")
    return flag_values


def _prepare(arguments: Sequence[str], flag_values: Any) -> Action:
    options = flags.options(arguments, flag_values, FinetuningConfig)
    run = Path(needed_run(flag_values))

    def finetune() -> None:
        startup.start_tensorflow()
        from ssl_keras.run import finetune_run

        finetune_run(run, options)

    return finetune


def main(arguments: Sequence[str] | None = None) -> int:
    """Fine-tune one run; the exit codes are those of `startup.guarded`."""
    return run_program("finetune", EXAMPLE, _define, _prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
