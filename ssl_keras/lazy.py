"""TensorFlow, Keras and TensorFlow Datasets, imported at first use.

Importing TensorFlow takes seconds. Names, hyperparameters and their validation need none of
it, so the modules behind `--help` and behind the checks of the command line take `tf` and
`keras` from here.
"""

from __future__ import annotations

import importlib
from typing import Any


class LazyModule:
    """Stands for the module `name`; the first attribute access imports it."""

    def __init__(self, name: str):
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        value = getattr(importlib.import_module(self._name), attribute)
        setattr(self, attribute, value)
        return value


tf: Any = LazyModule("tensorflow")
keras: Any = LazyModule("keras")
tfds: Any = LazyModule("tensorflow_datasets")
