"""TensorFlow, Keras and TensorFlow Datasets, imported at first use.

Importing TensorFlow takes seconds. `--help` and the validation of the command line do not need it,
so their modules import `tf` and `keras` from here.
"""

from __future__ import annotations

import importlib
from typing import Any


class LazyModule:
    """The module `name`, imported at the first access to an attribute."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(importlib.import_module(self._name), attribute)
        setattr(self, attribute, value)
        return value


tf: Any = LazyModule("tensorflow")
keras: Any = LazyModule("keras")
tfds: Any = LazyModule("tensorflow_datasets")
