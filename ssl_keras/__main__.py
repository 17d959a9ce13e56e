"""Every program of the package by its name: `ssl-keras NAME`, or `python -m ssl_keras NAME`."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path

from ssl_keras import commands
from ssl_keras.cli import startup
from ssl_keras.errors import UserError, nearest

# A module of this package, or a package with a __main__ -> its line in the list. Each has a `main`
# that reads sys.argv.
PROGRAMS = {
    "train": "train an encoder, measure what it learned, export it",
    "evaluate": "measure a finished run, or a SavedModel",
    "finetune": "train a finished run on few labels",
    "export": "write the SavedModel of a finished run again, or ONNX",
    "sweep": "many runs: all combinations of the values of flags",
    "runs": "the runs of a folder: a table, a page for the browser",
    "compare": "runs side by side, or over a setting: tables, figures",
    "show_views": "draw images as training sees them",
    "tour": "four short runs that show what this is about",
    "reproduce": "the studies of the papers: tables, figures",
    "launch": "train with several workers on this machine",
    "theory.limits": "three limits of NT-Xent, computed and drawn",
    "theory.penalties": "how a run's loss weighs its negatives, drawn",
    "theory.mean_classifier": "the bound of the mean classifier, on a run",
    "theory.downstream": "fine-tune an exported encoder in plain Keras",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Hand over to a program; the exit codes are its own, and those of `startup.guarded`.

    Args:
        arguments: the command line, the program first. Default: sys.argv.
    """
    called, *rest = sys.argv if arguments is None else arguments
    script = "python -m ssl_keras" if Path(called).name == "__main__.py" else "ssl-keras"
    name = rest[0] if rest else "--help"
    if name in ("--help", "-h", "-help", "help"):
        return startup.guarded(
            script, lambda: print(help_text(script)), lambda: False, only_prints=True
        )
    if name == "--version":
        print(f"ssl_keras {importlib.import_module('ssl_keras').__version__}")
        return startup.OK
    if name not in PROGRAMS:
        return startup.guarded(script, lambda: _refuse(script, rest), lambda: False)
    commands.use(f"{script} ")
    sys.argv = [f"{script} {name}", *rest[1:]]
    module = f"ssl_keras.{name}"
    spec = importlib.util.find_spec(module)
    if spec is not None and spec.submodule_search_locations:
        module += ".__main__"
    return int(importlib.import_module(module).main())


def help_text(script: str) -> str:
    """The list of programs."""
    width = max(map(len, PROGRAMS))
    return "\n".join(
        [
            f"Usage: {script} NAME ...",
            "",
            *(f"  {name:<{width}}  {line}" for name, line in PROGRAMS.items()),
            "",
            f"{script} NAME --help explains one; {script} --version prints the version.",
        ]
    )


def _refuse(script: str, arguments: Sequence[str]) -> None:
    name = arguments[0]
    if name.startswith("-"):
        line = " ".join(arguments)
        raise UserError(f"Which program? Give its name first, as in: {script} train {line}")
    guess = nearest(name, PROGRAMS)
    hint = f"did you mean {guess!r}? " if guess else ""
    raise UserError(f"There is no program {name!r}: {hint}{script} --help lists them.")


if __name__ == "__main__":
    sys.exit(main())
