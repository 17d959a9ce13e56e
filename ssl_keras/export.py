"""Export the encoder of a finished run again: `python -m ssl_keras.export --run=DIR`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from ssl_keras.cli import flags, startup
from ssl_keras.errors import UserError

PROGRAM = "python -m ssl_keras.export"
EXAMPLE = f"{PROGRAM} --run=runs/mine --output=encoders/mine"


def main(arguments: Sequence[str] | None = None) -> int:
    """Export one run; the exit codes are those of `startup.guarded`."""
    arguments = list(sys.argv if arguments is None else arguments)
    flag_values = flags.define(())
    flags.define_extra(flag_values, "run", "", "directory of a finished run; needed")
    flags.define_extra(flag_values, "output", "", "new directory (saved_model in that of the run)")
    flags.define_switch(flag_values, "overwrite", "replace an export that is there")
    flags.define_switch(flag_values, "onnx", "write encoder.onnx as well (pip install .[onnx])")
    if flags.wants_help(arguments):
        print(flags.help_text(PROGRAM, EXAMPLE, flag_values))
        return startup.OK

    def body() -> None:
        flags.values(arguments, flag_values)
        run, output = str(flag_values["run"].value), str(flag_values["output"].value)
        if not run:
            raise UserError("Which run? Give its directory: --run=DIR.")
        if flag_values["only_check_args"].value:
            print("The flags are valid.")
            return
        startup.start_tensorflow()
        from ssl_keras.run import export_run

        directory = Path(output) if output else Path(run) / "saved_model"
        overwrite, onnx = (bool(flag_values[name].value) for name in ("overwrite", "onnx"))
        export_run(Path(run), directory, overwrite, onnx)

    return startup.guarded("ssl_keras.export", body, lambda: flags.verbose(flag_values))


if __name__ == "__main__":
    sys.exit(main())
