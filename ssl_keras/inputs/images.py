"""Images, with random bits and other extra channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ssl_keras.annotations import Model, Tensor, TensorLike
from ssl_keras.errors import UserError
from ssl_keras.inputs.base import Example, Modality
from ssl_keras.lazy import tf

# Preset of `--augmentation` -> operation -> value.
PRESETS: dict[str, dict[str, Any]] = {
    "digits": {"crop_area_min": 0.5, "flip": False, "color_strength": 0.0},
    "small_rgb": {"crop_area_min": 0.08, "flip": True, "color_strength": 0.5, "grayscale": 0.2},
    "large_rgb": {
        "crop_area_min": 0.08,
        "flip": True,
        "color_strength": 1.0,
        "grayscale": 0.2,
        "blur": 0.5,
    },
    "none": {"crop_area_min": 1.0},
}
# Below this height a tenth of it is less than the smallest kernel, three pixels.
BLUR_MINIMUM_HEIGHT = 20


def to_float(images: TensorLike) -> Tensor:
    """uint8 images as float32 in [0, 1]; float images as they are."""
    images = tf.convert_to_tensor(images)
    return tf.cast(images, tf.float32) / 255.0 if images.dtype == tf.uint8 else images


def compose_images(
    images: TensorLike, bits: TensorLike = None, size: tuple[int, int] | None = None
) -> Tensor:
    """Images with one channel for each bit, constant over space.

    Args:
        images: (batch, height, width, channels), uint8 or float in [0, 1].
        bits: (batch, num_bits) values, or None.
        size: (height, width) to scale images to, bilinear with antialiasing; None: as they are.

    Returns:
        float32 (batch, height, width, channels + num_bits).
    """
    images = to_float(images)
    if size is not None and tuple(images.shape[1:3]) != tuple(size):
        images = tf.clip_by_value(tf.image.resize(images, size, antialias=True), 0.0, 1.0)
    if bits is None:
        return images
    shape = tf.shape(images)
    bits = tf.cast(bits, images.dtype)
    channels = tf.broadcast_to(
        bits[:, None, None, :], [shape[0], shape[1], shape[2], bits.shape[-1]]
    )
    return tf.concat([images, channels], axis=-1)


def nearest_pixels(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps (count, height, width) scaled to (height, width) by nearest neighbours."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip(size, maps.shape[1:], strict=True)
    )
    return maps[:, rows[:, None], columns]


def preset_for(image_shape: tuple[int, int, int]) -> str:
    """The preset of `--augmentation=auto` for images of this shape; grey ones count as digits."""
    height, width, channels = image_shape
    if channels < 3:
        return "digits"
    return "small_rgb" if max(height, width) <= 64 else "large_rgb"


@dataclass(frozen=True)
class Images(Modality):
    """{"image": uint8 (height, width, channels), "bits": float32 (num_bits,), if any}.

    The first `image_channels` channels are the picture. The others are *extra channels*: those of
    the source, such as masks or depth, then one channel for each bit, constant over space. Views
    change the picture and move the source's extra channels with it; they leave the bits unchanged.

    Attributes:
        image_shape: (height, width, channels), including the source's extra channels.
        image_channels: channels of the picture, 3 (RGB) or 1 (grey).
        num_bits: number of bit channels, appended to the channels of the image.
        view_size: (height, width) of the network input: crops are scaled to it, and so are whole
            images for evaluation. None: that of the images.
        augmentation: preset of `--augmentation=auto`.
    """

    image_shape: tuple[int, int, int]
    image_channels: int
    num_bits: int = 0
    view_size: tuple[int, int] | None = None
    augmentation: str = "digits"

    name: ClassVar[str] = "images"
    column: ClassVar[str] = "image"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    has_pictures: ClassVar[bool] = True

    @property
    def source_extra_channels(self) -> int:
        """Number of extra channels of the source, without the bits."""
        return self.image_shape[2] - self.image_channels

    @property
    def network_shape(self) -> tuple[int, ...]:
        height, width = self.view_size or self.image_shape[:2]
        return (height, width, self.image_shape[2] + self.num_bits)

    @property
    def main_channels(self) -> int:
        return self.image_channels

    @property
    def preset(self) -> str:
        return self.augmentation

    def prepare(self, example: Example) -> Example:
        return {**example, "image": to_float(example["image"])}

    def compose(self, example: Example) -> Tensor:
        return compose_images(example["image"], example.get("bits"), self.view_size)

    def encoding(self, encoder: Model) -> Callable[..., Any]:
        from ssl_keras.inputs.first_convolution import encoding

        encode = encoding(encoder)

        def encode_example(example: Example, *, training: bool = False) -> Any:
            return encode(example["image"], example.get("bits"), training=training)

        return encode_example

    @property
    def defaults(self) -> Mapping[str, Any]:
        defaults: dict[str, Any] = {
            "crop_law": "uniform",
            "crop_area_min": 1.0,
            "flip": False,
            "color_strength": 0.0,
            "grayscale": 0.0,
            "blur": 0.0,
            "channel_dropout": 0.0,
        }
        return defaults | ({"extra_channels_move": True} if self.source_extra_channels else {})

    def operations(self, preset: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """See `Modality.operations`. Operations of a preset that do not fit the images become 0.

        Raises:
            UserError: see `Modality.operations`; or the user has set an operation that does not fit
                the images.
        """
        operations = super().operations(preset, values)
        height, channels = self.network_shape[0], self.image_channels
        impossible = {}
        if channels != 3:
            reason = f"needs images with 3 channels; these have {channels}"
            impossible = {"color_strength": reason, "grayscale": reason}
        if height < BLUR_MINIMUM_HEIGHT:
            impossible["blur"] = (
                f"has a kernel of a tenth of the image height, so it needs images of at least "
                f"{BLUR_MINIMUM_HEIGHT} pixels; these have {height}"
            )
        for operation, reason in impossible.items():
            if values.get(operation):
                raise UserError(f"{operation} {reason}: leave --{operation} out.")
            operations[operation] = 0.0
        return operations

    def transform(self, operations: Mapping[str, Any], compiled: bool) -> Any:
        from ssl_keras.views.images import ImageTransform, build_chain

        settings = dict(operations)
        dropout = settings.pop("channel_dropout")
        chain = build_chain(
            channels=self.image_channels, size=self.view_size, compiled=compiled, **settings
        )
        return ImageTransform(chain, dropout, self.image_shape[2] + self.num_bits)

    def check_extra_channels(self) -> None:
        if not (self.num_bits or self.source_extra_channels):
            super().check_extra_channels()

    def mix(self, example: Example, blend: Callable[[Any], Any], extra_channels: bool) -> Example:
        image = example["image"]
        if extra_channels:
            mixed = {"image": blend(image)}
            if "bits" in example:
                mixed["bits"] = blend(example["bits"][:, None, None, :])[:, 0, 0, :]
            return {**example, **mixed}
        picture = blend(image[..., : self.image_channels])
        return {**example, "image": tf.concat([picture, image[..., self.image_channels :]], -1)}

    def signatures(self) -> dict[str, list[Any]]:
        bits = tf.TensorSpec((None, self.num_bits), tf.float32, name="bits")

        def specs(dtype: Any) -> list[Any]:
            shape = (None, None, None, self.image_shape[2])
            images = tf.TensorSpec(shape, dtype, name="images")
            return [images, bits] if self.num_bits else [images]

        return {"": specs(tf.float32), "_uint8": specs(tf.uint8)}

    def serve(self, *arguments: Any) -> Tensor:
        images, *bits = arguments
        height, width, channels = self.network_shape
        right = tf.debugging.assert_equal(
            tf.shape(images)[1:3],
            [height, width],
            message=f"This encoder takes images of {height}x{width} pixels: resize them.",
        )
        with tf.control_dependencies([right]):
            inputs = compose_images(tf.identity(images), *bits)
        inputs.set_shape([None, height, width, channels])  # without an operation: TFLite has none
        return inputs

    def arguments(self, example: Example) -> dict[str, np.ndarray]:
        images = compose_images(example["image"], size=self.view_size)
        arguments = {"images": np.asarray(images)}
        return arguments | ({"bits": np.asarray(example["bits"])} if self.num_bits else {})

    def pictures(self, inputs: np.ndarray) -> np.ndarray:
        return inputs[..., : self.image_channels]
