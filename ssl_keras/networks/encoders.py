"""Encoders: image of any number of channels in, feature vector out.

Layers receive an explicit `dtype` policy and every nested call an explicit `training`: Keras
would otherwise put batch normalisation of frozen features into training mode.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ssl_keras.errors import UserError
from ssl_keras.lazy import keras
from ssl_keras.networks.normalization import build_batch_norm
from ssl_keras.options import Options, option

# Up to this side, in pixels, ResNets use the stem for small images.
SMALL_IMAGE = 64


@dataclass(frozen=True)
class Grid:
    """Where the locations of a feature map lie in the image.

    The receptive field of location (i, j) has its centre at pixel
    (stride * i + offset[0], stride * j + offset[1]).

    Attributes:
        shape: (height, width), how many locations there are.
        stride: distance of neighbours, in pixels.
        offset: (row, column) of the centre of location (0, 0).
    """

    shape: tuple[int, int]
    stride: int
    offset: tuple[int, int]

    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """The rows and the columns of pixels at which centres lie: (height,), (width,)."""
        rows, columns = (
            self.stride * np.arange(count) + first
            for count, first in zip(self.shape, self.offset, strict=True)
        )
        return rows, columns


@dataclass(frozen=True)
class Encoder(Options):
    """Base of the encoders: `build(input_shape, dtype)` makes the network."""

    width_multiplier: float = option(1.0, above=0, help="factor on every layer's width")

    def build(
        self,
        input_shape: tuple[int, int, int],
        dtype: Any = "float32",
        dropout_rate: float = 0.0,
    ) -> Any:
        """A `keras.Model` from images (batch, *input_shape) to features (batch, dim).

        Args:
            input_shape: (height, width, channels).
            dtype: dtype or mixed-precision policy of the layers.
            dropout_rate: above 0, every ReLU is followed by `dropout.KeyedDropout` of this rate.

        Raises:
            UserError: an image too small for this network.
        """
        height, width, _ = input_shape
        if min(height, width) < self.minimum_size:
            raise UserError(
                f"Images of {height}x{width} are too small for this encoder: at least "
                f"{self.minimum_size}x{self.minimum_size} pixels are needed."
            )
        numbers = itertools.count()

        def relu(x: Any, block: int | None = None) -> Any:
            name = None if block is None else f"block_{block}"
            x = keras.layers.ReLU(dtype=dtype, name=None if dropout_rate > 0 else name)(x)
            if dropout_rate > 0:
                from ssl_keras.networks.dropout import KeyedDropout

                x = KeyedDropout(dropout_rate, next(numbers), dtype=dtype, name=name)(x)
            return x

        images = keras.Input(input_shape, name="images", dtype="float32")
        return keras.Model(images, self.features(images, dtype, relu), name="encoder")

    minimum_size: ClassVar[int] = 1

    def features(self, images: Any, dtype: Any, relu: Callable[..., Any]) -> Any:
        """The symbolic features of symbolic `images`.

        `relu` is the activation to use; `relu(x, k)` is the one at the end of the k-th group of
        layers, counted from 1, whose output is then found by the name "block_k".
        """
        raise NotImplementedError(f"{type(self).__name__} does not define its layers")

    def grids(self, input_shape: tuple[int, ...]) -> dict[str, Grid]:
        """Where the outputs of the groups of layers lie in the image.

        Args:
            input_shape: (height, width, channels), as for `build`.

        Returns:
            "block_1", "block_2", ... -> `Grid`.
        """
        grids = self._grids(input_shape[0], input_shape[1])
        return {f"block_{index + 1}": grid for index, grid in enumerate(grids)}

    def _grids(self, height: int, width: int) -> Iterator[Grid]:
        raise NotImplementedError(f"{type(self).__name__} does not tell where its blocks lie")

    def describe(self, input_shape: tuple[int, int, int]) -> str:
        """What was chosen for images of this shape, for the banner; may be empty."""
        return ""

    def _width(self, channels: int) -> int:
        return max(1, round(channels * self.width_multiplier))


@dataclass(frozen=True)
class Convnet(Encoder):
    """The encoder of the authors' RandBit experiment on MNIST.

    Three times [3x3 convolution, stride 2, no padding, no bias; batch norm; ReLU] with 32, 64 and
    64 filters, flatten, dense 128 without bias, batch norm, ReLU. 89,504 parameters for 28x28
    images of one channel, 288 more for each further channel.

    Source: google-research/simclr, colabs/intriguing_properties/randbits_mnist.ipynb. Departure:
    moving averages of batch norm have a momentum of 0.9 where the notebook has Keras' 0.99, with
    which they lag by hundreds of steps: features in inference mode would be useless after a short
    training. Training itself does not depend on it.
    """

    minimum_size: ClassVar[int] = 15

    def features(self, images: Any, dtype: Any, relu: Callable[..., Any]) -> Any:
        layers, x = keras.layers, images
        for block, filters in enumerate((32, 64, 64)):
            x = layers.Conv2D(
                self._width(filters), 3, strides=2, padding="valid", use_bias=False, dtype=dtype
            )(x)
            x = build_batch_norm(dtype=dtype)(x)
            x = relu(x, block + 1)
        x = layers.Flatten(dtype=dtype)(x)
        x = layers.Dense(self._width(128), use_bias=False, dtype=dtype)(x)
        x = build_batch_norm(dtype=dtype)(x)
        return relu(x)

    def _grids(self, height: int, width: int) -> Iterator[Grid]:
        for block in range(3):
            height, width = (height - 1) // 2, (width - 1) // 2
            stride = 2 ** (block + 1)
            yield Grid((height, width), stride, (stride - 1, stride - 1))


@dataclass(frozen=True)
class ResNet(Encoder):
    """Residual networks as SimCLR trains them: base of resnet18, resnet34 and resnet50.

    Batch norm with epsilon 1e-5 and momentum 0.9, the last gamma of each block starting at 0,
    projection shortcuts where the shape changes, global average pooling. The stem for large
    images is 7x7 stride 2 and a 3x3 max-pool stride 2; for small ones 3x3 stride 1 without pool.
    Strided convolutions are padded alike on both sides; kernels start from a truncated normal of
    variance 1 / fan-in.

    Source: He et al. 2015 (arXiv 1512.03385); google-research/simclr, tf2/resnet.py.
    """

    stem: str = option(
        "auto",
        choices=("auto", "small", "large"),
        help="ResNet stem; auto: small for images up to 64 pixels",
    )

    blocks: ClassVar[tuple[int, int, int, int]]
    bottleneck: ClassVar[bool] = False

    def _stem(self, input_shape: tuple[int, ...]) -> str:
        if self.stem != "auto":
            return self.stem
        return "small" if max(input_shape[:2]) <= SMALL_IMAGE else "large"

    def describe(self, input_shape: tuple[int, int, int]) -> str:
        return f"{self._stem(input_shape)}-image stem"

    def features(self, images: Any, dtype: Any, relu: Callable[..., Any]) -> Any:
        layers = keras.layers

        def conv_norm(x: Any, filters: int, size: int, stride: int, last: bool = False) -> Any:
            if stride > 1 and size > 1:
                x = layers.ZeroPadding2D((size - 1) // 2, dtype=dtype)(x)
            x = layers.Conv2D(
                filters,
                size,
                strides=stride,
                padding="same" if stride == 1 else "valid",
                use_bias=False,
                kernel_initializer=keras.initializers.VarianceScaling(),
                dtype=dtype,
            )(x)
            gamma = "zeros" if last else "ones"
            return build_batch_norm(epsilon=1e-5, gamma_initializer=gamma, dtype=dtype)(x)

        def block(x: Any, filters: int, stride: int, ends: int | None) -> Any:
            width = filters * (4 if self.bottleneck else 1)
            shortcut = x
            if stride > 1 or x.shape[-1] != width:
                shortcut = conv_norm(x, width, 1, stride)
            if self.bottleneck:
                x = relu(conv_norm(x, filters, 1, 1))
                x = relu(conv_norm(x, filters, 3, stride))
                x = conv_norm(x, width, 1, 1, last=True)
            else:
                x = relu(conv_norm(x, filters, 3, stride))
                x = conv_norm(x, width, 3, 1, last=True)
            return relu(layers.Add(dtype=dtype)([x, shortcut]), ends)

        if self._stem(images.shape[1:]) == "small":
            x = relu(conv_norm(images, self._width(64), 3, 1))
        else:
            x = relu(conv_norm(images, self._width(64), 7, 2))
            x = layers.MaxPooling2D(3, strides=2, padding="same", dtype=dtype)(x)
        for group, num_blocks in enumerate(self.blocks):
            for index in range(num_blocks):
                stride = 2 if group > 0 and index == 0 else 1
                ends = group + 1 if index == num_blocks - 1 else None
                x = block(x, self._width(64 * 2**group), stride, ends)
        return layers.GlobalAveragePooling2D(dtype=dtype)(x)

    def _grids(self, height: int, width: int) -> Iterator[Grid]:
        stride, offset, sizes = 1, (0, 0), (height, width)
        if self._stem((height, width)) == "large":
            sizes = halved(sizes)
            # "same" pads an even number of rows at its end only, an odd one on both sides.
            offset = (2 * (1 - sizes[0] % 2), 2 * (1 - sizes[1] % 2))
            stride, sizes = 4, halved(sizes)
        for group in range(len(self.blocks)):
            if group > 0:
                stride, sizes = 2 * stride, halved(sizes)
            yield Grid(sizes, stride, offset)


def halved(sizes: tuple[int, int]) -> tuple[int, int]:
    """(height, width) after padding on both sides and a stride of 2."""
    return -(-sizes[0] // 2), -(-sizes[1] // 2)


@dataclass(frozen=True)
class ResNet18(ResNet):
    """ResNet-18: basic blocks 2, 2, 2, 2; 512 features."""

    blocks = (2, 2, 2, 2)


@dataclass(frozen=True)
class ResNet34(ResNet):
    """ResNet-34: basic blocks 3, 4, 6, 3; 512 features."""

    blocks = (3, 4, 6, 3)


@dataclass(frozen=True)
class ResNet50(ResNet):
    """ResNet-50: bottleneck blocks 3, 4, 6, 3; 2,048 features."""

    blocks = (3, 4, 6, 3)
    bottleneck = True


def block_outputs(encoder: Any) -> Any:
    """A `keras.Model` from images to the outputs of the groups of layers of a built encoder.

    It shares the encoder's layers and gives a list of (batch, height, width, channels), in the
    order of `Encoder.grids`.
    """
    layers = [layer for layer in encoder.layers if layer.name.startswith("block_")]
    return keras.Model(encoder.input, [layer.output for layer in layers], name="blocks")
