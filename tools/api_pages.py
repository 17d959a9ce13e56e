"""Pages of the public calls, made from their docstrings: `make docs` writes them to build/docs.

python -m tools.api_pages build/docs
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from pathlib import Path
from typing import Any

import pdoc

from ssl_keras import lazy

# What is documented, with everything in it; of the last three only the names that they offer.
PACKAGES = (
    "losses",
    "metrics",
    "datasets",
    "inputs",
    "views",
    "networks",
    "methods",
    "evaluators",
    "optimizers",
    "options",
    "schedules",
    "annotations",
    "errors",
    "config",
    "run",
)
CLOSED = ("config", "run")


def build(directory: Path) -> Path:
    """Write the pages.

    Returns:
        The first page.
    """
    lazy.start()
    modules = ["ssl_keras", *(f"ssl_keras.{name}" for name in PACKAGES)]
    for name in modules:
        module: Any = importlib.import_module(name)
        # Some names come when they are used, and pdoc shows what is in a module.
        for public in getattr(module, "__all__", ()):
            setattr(module, public, getattr(module, public))
        inner = [info.name for info in pkgutil.iter_modules(getattr(module, "__path__", ()))]
        if name == "ssl_keras":
            module.__all__ = [*PACKAGES, *module.__all__]
        elif name.removeprefix("ssl_keras.") not in CLOSED and hasattr(module, "__all__"):
            # pdoc leaves out the modules of a package that says what it offers.
            module.__all__ = [*module.__all__, *inner]
    pdoc.render.configure(docformat="google", show_source=False)
    pdoc.pdoc("ssl_keras", output_directory=directory)
    return directory / "ssl_keras.html"


if __name__ == "__main__":
    print(build(Path(sys.argv[1])))
