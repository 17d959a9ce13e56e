"""What an example is made of: the contract between data, views, encoders and export.

An example is a nest of tensors, such as {"image", "bits"} or {"x"}; a batch of examples has one
more axis in front. A batch of a data set is {"example": ..., "labels": {target: ...}}, and with
"partner", another nest, where the data give pairs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ssl_keras.errors import UserError

Example = Mapping[str, Any]


@dataclass(frozen=True)
class Modality(ABC):
    """One kind of example, and what can be done with it.

    An example passes through three forms: *stored* (as the data hold it, of any dtype), *prepared*
    (floats, on which views work) and the *network input*, one tensor.
    """

    # What encoders accept, and messages say: "images", "vectors".
    name: ClassVar[str]
    # Preset -> operation -> value: what `--views=augment` does.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]]
    # Whether people can look at an example.
    has_pictures: ClassVar[bool] = False

    @property
    @abstractmethod
    def network_shape(self) -> tuple[int, ...]:
        """Shape of the network input, without batch axis."""

    @property
    def main_channels(self) -> int:
        """How many of the last axis' first entries are the main content; the others are extra."""
        return self.network_shape[-1]

    @property
    @abstractmethod
    def preset(self) -> str:
        """The preset of `--augmentation=auto`."""

    @abstractmethod
    def prepare(self, example: Example) -> Example:
        """Stored examples -> prepared ones."""

    @abstractmethod
    def compose(self, example: Example) -> Any:
        """Prepared examples -> the network input, float32 (batch, *network_shape)."""

    def inputs(self, example: Example) -> Any:
        """Stored examples, un-augmented -> the network input."""
        return self.compose(self.prepare(example))

    def encoding(self, encoder: Any) -> Callable[..., Any]:
        """The features of prepared examples: function(example, *, training)."""

        def encode(example: Example, *, training: bool = False) -> Any:
            return encoder(self.compose(example), training=training)

        return encode

    @property
    @abstractmethod
    def defaults(self) -> Mapping[str, Any]:
        """Operation of `augment` -> its value where neither preset nor user says anything."""

    def operations(self, preset: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Every operation of `augment` with its value in force.

        Args:
            preset: "auto", or one of `presets`.
            values: what the user has set.

        Raises:
            UserError: a preset or an operation that is not for such examples.
        """
        if preset != "auto" and preset not in self.presets:
            raise UserError(
                f"augmentation={preset} is not for {self.name}: choose one of auto, "
                f"{', '.join(self.presets)}."
            )
        for name in values:
            if name not in self.defaults:
                raise UserError(
                    f"{name} has no effect on {self.name}, which have {', '.join(self.defaults)}: "
                    "leave it out."
                )
        name = self.preset if preset == "auto" else preset
        return {**self.defaults, **self.presets[name], **values}

    @abstractmethod
    def transform(self, operations: Mapping[str, Any], compiled: bool) -> Any:
        """What draws one view: function(prepared examples, draws) -> prepared examples.

        It has `num_draws`, the columns of uniform draws that it consumes, and `describe()`.

        Args:
            operations: see `operations`.
            compiled: whether XLA may compile it.
        """

    def check_extra_channels(self) -> None:
        """Refuse to mix extra channels where there are none.

        Raises:
            UserError: there are none.
        """
        raise UserError(
            f"mixup_extra_channels has no effect on {self.name} without extra channels: leave it "
            "out."
        )

    @abstractmethod
    def mix(self, example: Example, blend: Callable[[Any], Any], extra_channels: bool) -> Example:
        """Mixup of prepared examples.

        Args:
            example: prepared.
            blend: mixes values (batch, ..., channels) with those of other examples; the channels of
                a location alike.
            extra_channels: whether bits and other extra channels are mixed too.
        """

    @abstractmethod
    def signatures(self) -> dict[str, list[Any]]:
        """Suffix of a signature of the export -> `tf.TensorSpec`s of its arguments."""

    @abstractmethod
    def serve(self, *arguments: Any) -> Any:
        """The arguments of a signature -> the network input."""

    @abstractmethod
    def arguments(self, example: Example) -> dict[str, np.ndarray]:
        """Stored examples as the arguments of the first signature."""

    def pictures(self, inputs: np.ndarray) -> np.ndarray:
        """Network inputs as pictures (count, height, width, 1 or 3) in [0, 1].

        Raises:
            TypeError: there are none, see `has_pictures`.
        """
        raise TypeError(f"{self.name} have no pictures")

    def __str__(self) -> str:
        return f"{self.name} of {'x'.join(map(str, self.network_shape))}"
