"""Functions that TensorFlow has traced, kept to be called again."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any


class TracedFunctions:
    """Functions of a model's features, by what they were made for: each is traced once."""

    def __init__(self) -> None:
        self._functions: dict[Any, Any] = {}

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The function that `make` has made for `key`."""
        if key not in self._functions:
            self._functions[key] = make()
        return self._functions[key]
