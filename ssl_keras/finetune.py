"""Fine-tune a finished run on few labels: `python -m ssl_keras.finetune --run=DIR`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ssl_keras.cli import flags, startup
from ssl_keras.config import FinetuningConfig
from ssl_keras.errors import UserError

PROGRAM = "python -m ssl_keras.finetune"
EXAMPLE = f"{PROGRAM} --run=runs/mine --label_fraction=0.01 --repeats=3"


def main(arguments: Sequence[str] | None = None) -> int:
    """Fine-tune one run; the exit codes are those of `startup.guarded`."""
    arguments = list(sys.argv if arguments is None else arguments)
    flag_values = flags.define(())
    flags.define_options(flag_values, FinetuningConfig)
    flags.define_extra(flag_values, "run", "", "directory of the finished run; needed")
    if flags.wants_help(arguments):
        print(flags.help_text(PROGRAM, EXAMPLE, flag_values))
        return startup.OK

    def body() -> None:
        options = flags.options(arguments, flag_values, FinetuningConfig)
        run = flag_values["run"].value
        if not run:
            raise UserError("Which run? Give its directory: --run=DIR.")
        if flag_values["only_check_args"].value:
            print("The flags are valid.")
            return
        startup.start_tensorflow()
        from ssl_keras.run import finetune_run

        finetune_run(Path(run), options)

    return startup.guarded("ssl_keras.finetune", body, lambda: flags.verbose(flag_values))


if __name__ == "__main__":
    sys.exit(main())
