"""Export the encoder of a finished run again: `python -m ssl_keras.export --run=DIR`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ssl_keras.cli import flags, startup
from ssl_keras.cli.program import Action, needed_run, run_program
from ssl_keras.paths import tensorflow_path

EXAMPLE = "--run=runs/mine --output=encoders/mine"


def _define(arguments: Sequence[str]) -> Any:
    flag_values = flags.define((), arguments)
    flags.define_extra(flag_values, "run", "", "directory of the finished run; required")
    flags.define_extra(flag_values, "output", "", "new directory (RUN/saved_model)")
    flags.define_extra(flag_values, "overwrite", False, "replace an existing export")
    flags.define_extra(flag_values, "onnx", False, "also write encoder.onnx (pip install .[onnx])")
    return flag_values


def _prepare(arguments: Sequence[str], flag_values: Any) -> Action:
    flags.values(arguments, flag_values)
    run, output = Path(needed_run(flag_values)), tensorflow_path(flag_values["output"].value)
    overwrite, onnx = (bool(flag_values[name].value) for name in ("overwrite", "onnx"))

    def export() -> None:
        startup.start_tensorflow()
        from ssl_keras.run import export_run

        export_run(run, Path(output) if output else run / "saved_model", overwrite, onnx)

    return export


def main(arguments: Sequence[str] | None = None) -> int:
    """Export one run; the exit codes are those of `startup.guarded`."""
    return run_program("export", EXAMPLE, _define, _prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
