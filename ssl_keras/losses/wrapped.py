"""A loss around another loss."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

from ssl_keras.annotations import Tensor, TensorLike

Value = TypeVar("Value")


@contextlib.contextmanager
def within(variable: contextvars.ContextVar[Value], value: Value) -> Iterator[None]:
    """A context in which `variable` has a value; losses inside it read it."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


@dataclass(frozen=True)
class Wrapped:
    """Base of losses that compute another loss in another way; they define `parts`.

    It has the interface of `losses.base.Loss`: options, weights and schedules are those of `loss`.

    Args:
        loss: the loss.
    """

    loss: Any

    def __getattr__(self, name: str) -> Any:
        """Options, weights and schedules of the loss."""
        if name.startswith("__") or name == "loss":
            raise AttributeError(name)
        return getattr(self.loss, name)

    def at(self, progress: TensorLike) -> Self:
        """See `Loss.at`."""
        return replace(self, loss=self.loss.at(progress))

    def with_values(self, values: Mapping[str, TensorLike]) -> Self:
        """See `Loss.with_values`."""
        return replace(self, loss=self.loss.with_values(values))

    def check(self, num_images: int, targets: Collection[str]) -> None:
        """See `Loss.check`."""
        self.loss.check(num_images, targets)

    def parts(self, *arguments: Any, **options: Any) -> dict[str, Tensor]:
        """See `Loss.parts`."""
        raise NotImplementedError(f"{type(self).__name__} does not define its parts")

    def __call__(self, *arguments: Any, **options: Any) -> Tensor:
        """See `Loss.__call__`."""
        return self.parts(*arguments, **options)["loss"]

    def compared_with(self, num_images: int) -> str:
        """See `Loss.compared_with`."""
        return str(self.loss.compared_with(num_images))

    def collapse_value(self, num_images: int, dim: int) -> float:
        """See `Loss.collapse_value`."""
        return float(self.loss.collapse_value(num_images, dim))
