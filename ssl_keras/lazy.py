"""TensorFlow, Keras and TensorFlow Datasets, and names of this package, imported at first use.

Importing TensorFlow takes seconds. `--help` and the validation of the command line do not need it,
so their modules import `tf` and `keras` from here.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any


class LazyModule:
    """The module `name`, imported at the first access to an attribute."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(importlib.import_module(self._name), attribute)
        setattr(self, attribute, value)
        return value


def attributes(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package whose names are imported when they are used.

    Args:
        package: its name.
        modules: public name -> the module inside the package that defines it.
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(f"{package}.{modules[name]}"), name)

    return get


tf: Any = LazyModule("tensorflow")
keras: Any = LazyModule("keras")
tfds: Any = LazyModule("tensorflow_datasets")
