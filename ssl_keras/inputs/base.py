"""What an example is made of: the contract between data, views, encoders and export.

An example is a nest of tensors, such as {"image", "bits"} or {"x"}; a batch of examples has one
more leading axis. A batch of a data set is {"example": ..., "labels": {target: ...}}, plus
"partner", a nest like "example", if the data give pairs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ssl_keras.annotations import Model, Tensor
from ssl_keras.errors import UserError

Example = Mapping[str, Any]


@dataclass(frozen=True)
class Modality(ABC):
    """One kind of example and its operations.

    An example has three forms: *stored* (as in the data, of any dtype), *prepared* (floats, the
    form that views work on) and *network input* (one tensor).
    """

    # Plural noun, for messages and `Encoder.accepts`: "images", "vectors", "texts".
    name: ClassVar[str]
    # Preset -> operation of `--views=augment` -> value.
    presets: ClassVar[Mapping[str, Mapping[str, Any]]]
    # The main column of an example.
    column: ClassVar[str] = "x"
    # Why `--views=mixup` cannot mix examples, as the sentence of an error; or empty.
    unmixable: ClassVar[str] = ""
    # Whether an example can be shown as a picture.
    has_pictures: ClassVar[bool] = False

    @property
    @abstractmethod
    def network_shape(self) -> tuple[int, ...]:
        """Shape of the network input, without batch axis."""

    @property
    def main_channels(self) -> int:
        """Number of leading entries of the last axis that are no extra channels."""
        return self.network_shape[-1]

    @property
    def encoder_arguments(self) -> dict[str, Any]:
        """Further arguments of `Encoder.network`, such as the size of a vocabulary."""
        return {}

    @property
    def resources(self) -> list[Any]:
        """What an export has to keep beside the networks, such as a table of words."""
        return []

    @property
    @abstractmethod
    def preset(self) -> str:
        """The preset of `--augmentation=auto`."""

    @abstractmethod
    def prepare(self, example: Example) -> Example:
        """Stored examples -> prepared examples."""

    @abstractmethod
    def compose(self, example: Example) -> Tensor:
        """Prepared examples -> network inputs, float32 (batch, *network_shape)."""

    def inputs(self, example: Example) -> Tensor:
        """Stored examples -> network inputs, without augmentation."""
        return self.compose(self.prepare(example))

    def encoding(self, encoder: Model) -> Callable[..., Any]:
        """function(prepared examples, *, training=False) -> features."""

        def encode(example: Example, *, training: bool = False) -> Any:
            return encoder(self.compose(example), training=training)

        return encode

    @property
    @abstractmethod
    def defaults(self) -> Mapping[str, Any]:
        """Operation of `augment` -> its value if neither the preset nor the user sets it."""

    def operations(self, preset: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Every operation of `augment` with its value in force.

        Args:
            preset: "auto", or one of `presets`.
            values: the operations that the user has set.

        Raises:
            UserError: a preset or an operation of another modality.
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
        """The transform that draws one view: function(prepared examples, draws) -> the same form.

        It has `num_draws`, the number of columns of uniform draws, and `describe()`.

        Args:
            operations: see `operations`.
            compiled: whether XLA may compile it.
        """

    def check_extra_channels(self) -> None:
        """Check that there are extra channels, which mixup may mix.

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
            example: prepared examples.
            blend: mixes values (batch, ..., channels) with those of other examples, all channels of
                a location alike.
            extra_channels: whether to mix bits and other extra channels too.
        """

    @abstractmethod
    def signatures(self) -> dict[str, list[Any]]:
        """Suffix of an exported signature -> `tf.TensorSpec`s of its arguments."""

    @abstractmethod
    def serve(self, *arguments: Any) -> Tensor:
        """Arguments of a signature -> network inputs."""

    @abstractmethod
    def arguments(self, example: Example) -> dict[str, np.ndarray]:
        """Stored examples -> arguments of the first signature, by name."""

    def pictures(self, inputs: np.ndarray) -> np.ndarray:
        """Network inputs -> pictures (count, height, width, 1 or 3) in [0, 1].

        Raises:
            TypeError: `has_pictures` is false.
        """
        raise TypeError(f"{self.name} have no pictures")

    def __str__(self) -> str:
        return f"{self.name} of {'x'.join(map(str, self.network_shape))}"
