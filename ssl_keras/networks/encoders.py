"""Encoders: from network inputs to feature vectors."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ssl_keras.annotations import Model, Tensor
from ssl_keras.errors import UserError, one_line
from ssl_keras.lazy import keras
from ssl_keras.networks.normalization import build_batch_norm
from ssl_keras.options import Options, option

# Largest side, in pixels, of images for the small stem of ResNets.
SMALL_IMAGE = 64


@dataclass(frozen=True)
class Grid:
    """Positions of the locations of a feature map in the image.

    The receptive field of location (i, j) has its centre at pixel
    (stride * i + offset[0], stride * j + offset[1]).

    Attributes:
        shape: (height, width) of the feature map.
        stride: distance of neighbours, in pixels.
        offset: (row, column) of the centre of location (0, 0).
    """

    shape: tuple[int, int]
    stride: int
    offset: tuple[int, int]

    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixel rows (height,) and pixel columns (width,) of the centres."""
        rows, columns = (
            self.stride * np.arange(count) + first
            for count, first in zip(self.shape, self.offset, strict=True)
        )
        return rows, columns


@dataclass(frozen=True)
class Encoder(Options):
    """Base class of encoders.

    A subclass defines `network` with Keras layers. `build` makes an ordinary Keras model of it, and
    sets precision and dropout.
    """

    required: ClassVar[tuple[str, ...]] = ("network",)
    # Names of the modalities that the encoder accepts, see `inputs.Modality`.
    accepts: ClassVar[tuple[str, ...]] = ("images",)
    # Whether its layers may be the user's own.
    own_layers: ClassVar[bool] = False

    def network(self, x: Tensor, *_: Any, **arguments: Any) -> Tensor:
        """Symbolic features (batch, dim) of the symbolic network input `x`.

        `arguments` are those of the examples, see `inputs.Modality.encoder_arguments`: images and
        vectors have none.

        Layers named "block_1", "block_2", ... end a group of layers. Evaluators of local features
        read their outputs if `grids` gives the positions of their locations.

        Raises:
            UserError: the input is too small for this network.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define its network")

    def build(
        self,
        input_shape: tuple[int, ...],
        dtype: Any = "float32",
        dropout_rate: float = 0.0,
        **arguments: Any,
    ) -> Model:
        """A `keras.Model` from network inputs (batch, *input_shape) to features (batch, dim).

        Args:
            input_shape: see `inputs.Modality.network_shape`.
            dtype: dtype or mixed-precision policy of the layers.
            dropout_rate: rate of `dropout.KeyedDropout` after every activation; 0 for none.
            **arguments: see `network`.

        Raises:
            UserError: see `network`.
        """
        policy = keras.config.dtype_policy()
        keras.config.set_dtype_policy(dtype)
        try:
            inputs = keras.Input(input_shape, name="inputs", dtype="float32")
            model = keras.Model(inputs, self.network(inputs, **arguments), name="encoder")
            shape = model.output_shape
            if not isinstance(shape, tuple) or len(shape) != 2:
                raise UserError(
                    f"This encoder gives outputs of the shape {shape}; features "
                    "(batch, dim) are needed: end it with a pooling or a flattening layer."
                )
            if dropout_rate > 0:
                from ssl_keras.networks.dropout import with_dropout

                model = with_dropout(model, dropout_rate)
        finally:
            keras.config.set_dtype_policy(policy)
        return model

    def grids(self, input_shape: tuple[int, ...]) -> dict[str, Grid]:
        """Positions of the locations of each group of layers; empty if there are none.

        Args:
            input_shape: (height, width, channels), as for `build`.

        Returns:
            "block_1", "block_2", ... -> `Grid`.
        """
        return {}

    def describe(self, input_shape: tuple[int, ...]) -> str:
        """Choices that depend on the input shape, for the banner; may be empty."""
        return ""


def relu(x: Tensor, block: int | None = None) -> Tensor:
    """ReLU; at the end of the k-th group of layers its name is "block_k"."""
    return keras.layers.ReLU(name=None if block is None else f"block_{block}")(x)


@dataclass(frozen=True)
class WideEncoder(Encoder):
    """Base class of encoders whose widths can be scaled."""

    width_multiplier: float = option(
        1.0, minimum=0.01, maximum=100, help="factor on every layer's width"
    )

    def width(self, channels: int) -> int:
        """The width of a layer whose width is `channels` at a multiplier of 1."""
        return max(1, round(channels * self.width_multiplier))


@dataclass(frozen=True)
class MLP(WideEncoder):
    """A multi-layer perceptron for vectors.

    `mlp_layers` times [dense without bias, batch norm, ReLU] of `mlp_width` units; the features are
    the last output.
    """

    accepts: ClassVar[tuple[str, ...]] = ("vectors",)

    mlp_layers: int = option(3, minimum=1, maximum=20, help="number of layers of the mlp")
    mlp_width: int = option(256, minimum=1, help="width of each layer of the mlp")

    def network(self, x: Tensor) -> Tensor:
        for _ in range(self.mlp_layers):
            x = keras.layers.Dense(self.width(self.mlp_width), use_bias=False)(x)
            x = relu(build_batch_norm()(x))
        return x


@dataclass(frozen=True)
class Convnet(WideEncoder):
    """The encoder of the authors' RandBit experiment on MNIST.

    Three times [3x3 convolution, stride 2, no padding, no bias; batch norm; ReLU] with 32, 64 and
    64 filters, flatten, dense 128 without bias, batch norm, ReLU. 89,504 parameters for 28x28
    images of one channel, 288 more for each further channel.

    Source: google-research/simclr, colabs/intriguing_properties/randbits_mnist.ipynb. Departure:
    moving averages of batch norm have a momentum of 0.9, not Keras' 0.99 as in the notebook. With
    0.99 they lag by hundreds of steps, and features in inference mode are useless after a short
    training. The momentum does not affect training itself.
    """

    def network(self, x: Tensor) -> Tensor:
        layers = keras.layers
        height, width = x.shape[1:3]
        if min(height, width) < 15:
            raise UserError(
                f"Images of {height}x{width} are too small for this encoder: at least 15x15 pixels "
                "are needed."
            )
        for block, filters in enumerate((32, 64, 64)):
            x = layers.Conv2D(self.width(filters), 3, strides=2, padding="valid", use_bias=False)(x)
            x = relu(build_batch_norm()(x), block + 1)
        x = layers.Flatten()(x)
        x = layers.Dense(self.width(128), use_bias=False)(x)
        return relu(build_batch_norm()(x))

    def grids(self, input_shape: tuple[int, ...]) -> dict[str, Grid]:
        grids, (height, width) = {}, input_shape[:2]
        for block in range(1, 4):
            height, width = (height - 1) // 2, (width - 1) // 2
            stride = 2**block
            grids[f"block_{block}"] = Grid((height, width), stride, (stride - 1, stride - 1))
        return grids


@dataclass(frozen=True)
class ResNet(WideEncoder):
    """Residual networks as in SimCLR: base class of resnet18, resnet34 and resnet50.

    Batch norm with epsilon 1e-5 and momentum 0.9; the last gamma of each block is initialised with
    0; projection shortcuts where the shape changes; global average pooling. The stem for large
    images is 7x7 stride 2 and a 3x3 max-pool stride 2; for small images 3x3 stride 1 without pool.
    Strided convolutions are padded equally on both sides; kernels are initialised with a truncated
    normal of variance 1 / fan-in.

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

    def describe(self, input_shape: tuple[int, ...]) -> str:
        return f"{self._stem(input_shape)}-image stem"

    def network(self, x: Tensor) -> Tensor:
        layers = keras.layers

        def conv_norm(x: Any, filters: int, size: int, stride: int, last: bool = False) -> Any:
            if stride > 1 and size > 1:
                x = layers.ZeroPadding2D((size - 1) // 2)(x)
            x = layers.Conv2D(
                filters,
                size,
                strides=stride,
                padding="same" if stride == 1 else "valid",
                use_bias=False,
                kernel_initializer=keras.initializers.VarianceScaling(),
            )(x)
            gamma = "zeros" if last else "ones"
            return build_batch_norm(epsilon=1e-5, gamma_initializer=gamma)(x)

        def block(x: Any, filters: int, stride: int, number: int | None) -> Any:
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
            return relu(layers.Add()([x, shortcut]), number)

        if self._stem(x.shape[1:]) == "small":
            x = relu(conv_norm(x, self.width(64), 3, 1))
        else:
            x = relu(conv_norm(x, self.width(64), 7, 2))
            x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
        for group, num_blocks in enumerate(self.blocks):
            for index in range(num_blocks):
                stride = 2 if group > 0 and index == 0 else 1
                number = group + 1 if index == num_blocks - 1 else None
                x = block(x, self.width(64 * 2**group), stride, number)
        return layers.GlobalAveragePooling2D()(x)

    def grids(self, input_shape: tuple[int, ...]) -> dict[str, Grid]:
        stride, offset, sizes = 1, (0, 0), (input_shape[0], input_shape[1])
        if self._stem(input_shape) == "large":
            sizes = halved(sizes)
            # "same" pads an even number of rows at the end only, an odd number on both sides.
            offset = (2 * (1 - sizes[0] % 2), 2 * (1 - sizes[1] % 2))
            stride, sizes = 4, halved(sizes)
        grids = {}
        for group in range(len(self.blocks)):
            if group > 0:
                stride, sizes = 2 * stride, halved(sizes)
            grids[f"block_{group + 1}"] = Grid(sizes, stride, offset)
        return grids


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


def save_model(model: Model, path: Path) -> None:
    """Write a Keras model to a .keras file."""
    with warnings.catch_warnings():  # Keras uses NumPy in a way that NumPy advises against
        warnings.simplefilter("ignore", DeprecationWarning)
        model.save(path)


def store_model(model: Model) -> str:
    """Write a Keras model to a temporary .keras file; a run copies it to its directory.

    Returns:
        The path, for `KerasFile`.
    """
    path = Path(tempfile.mkdtemp(prefix="ssl_keras-")) / "encoder.keras"
    save_model(model, path)
    return str(path)


@dataclass(frozen=True)
class KerasFile(Encoder):
    """A Keras model in a file: `--encoder=keras --encoder_file=PATH.keras`.

    The run starts from its architecture and its weights. Its input is a network input of the data,
    its output a feature vector. Its batch norm keeps its momentum.
    """

    accepts: ClassVar[tuple[str, ...]] = ("images", "vectors")
    own_layers: ClassVar[bool] = True

    encoder_file: str = option(
        "",
        help=".keras file of the encoder",
        convert=lambda path: path and str(Path(path).resolve()),
    )

    def network(self, x: Tensor) -> Tensor:
        if not self.encoder_file:
            raise UserError("encoder=keras reads an encoder from a file: give --encoder_file.")
        try:
            model = keras.models.load_model(self.encoder_file, compile=False)
        except (OSError, ValueError, TypeError) as error:
            raise UserError(
                f"encoder_file {self.encoder_file} cannot be read: {one_line(error)}"
            ) from error
        shape = getattr(model, "input_shape", None)  # None of a Sequential that is not built
        if not isinstance(shape, tuple) or not _fits(x.shape, shape):
            raise UserError(
                f"The encoder in {self.encoder_file} takes inputs of the shape {shape}, but the "
                f"data give {tuple(x.shape)}."
            )
        return model(x)


def _fits(shape: tuple[int | None, ...], expected: tuple[int | None, ...]) -> bool:
    """Whether a shape is the expected one, where None is any length."""
    return len(shape) == len(expected) and all(
        length in (None, side) for side, length in zip(shape, expected, strict=True)
    )


def block_outputs(encoder: Model) -> Model:
    """A `keras.Model` from images to the outputs of the groups of layers of a built encoder.

    It shares the encoder's layers. Its output is a list of (batch, height, width, channels), in the
    order of `Encoder.grids`.
    """
    layers = [layer for layer in encoder.layers if layer.name.startswith("block_")]
    return keras.Model(encoder.input, [layer.output for layer in layers], name="blocks")
