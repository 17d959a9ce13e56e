"""Views of images: the operations of SimCLR, one after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from ssl_keras.annotations import Tensor
from ssl_keras.lazy import tf
from ssl_keras.views.layers import (
    ColorJitter,
    RandomBlur,
    RandomFlip,
    RandomGrayscale,
    RandomResizedCrop,
    StatelessLayer,
)


class Chain:
    """Stateless layers, one after the other; each takes its columns of the draws.

    Args:
        layers: the `StatelessLayer`s, in order. No layers: the images are unchanged.
        channels: number of leading channels that form the picture; the others are extra channels,
            whose values no layer changes. None: all.
        extra_channels_move: whether geometric layers move the extra channels too.
        compiled: whether XLA compiles the chain into one loop over the pixels. The values are equal
            up to rounding.
    """

    def __init__(
        self,
        layers: Sequence[StatelessLayer] = (),
        channels: int | None = None,
        extra_channels_move: bool = True,
        compiled: bool = False,
    ):
        self.layers = tuple(layers)
        self.channels, self.extra_channels_move = channels, extra_channels_move
        self.num_draws = sum(layer.num_draws for layer in layers)
        self._apply: Any = self._applied
        if compiled:
            self._apply = tf.function(self._applied, autograph=False, jit_compile=True)

    def __call__(self, images: Tensor, draws: Tensor) -> Tensor:
        """Augmented images, each a function of the image and its row of `draws` (batch,
        num_draws)."""
        return self._apply(images, draws)

    def _applied(self, images: Any, draws: Any) -> Any:
        first = 0
        for layer in self.layers:
            layer_draws = draws[:, first : first + layer.num_draws]
            if self.channels in (None, images.shape[-1]) or (
                layer.geometric and self.extra_channels_move
            ):
                images = layer(images, layer_draws)
            else:
                picture, extra = images[..., : self.channels], images[..., self.channels :]
                images = tf.concat([layer(picture, layer_draws), layer.still(extra)], axis=-1)
            first += layer.num_draws
        return images


class ImageTransform:
    """Draws one view of images by a `Chain`, and drops channels.

    Args:
        chain: the operations; bits pass them unchanged.
        channel_dropout: probability that a channel of the view is 0 everywhere, each one for
            itself: channels of the image, and bits. In dominoes, coloured digits and RandBit a
            channel can be the easy feature; dropping them at random need not know which.
        num_channels: channels of the image and bits, if channels are dropped.
    """

    def __init__(self, chain: Chain, channel_dropout: float = 0.0, num_channels: int = 0):
        self.chain, self.channel_dropout = chain, channel_dropout
        self.num_channels = num_channels if channel_dropout else 0
        self.num_draws = chain.num_draws + self.num_channels

    def describe(self) -> str:
        """The operations, for the banner."""
        parts = [layer.describe() for layer in self.chain.layers]
        if self.channel_dropout:
            parts.append(f"{self.channel_dropout:g} of the channels dropped")
        return ", ".join(parts)

    def __call__(self, example: Mapping[str, Any], draws: Tensor) -> dict[str, Tensor]:
        """Views, each a function of the example and its row of `draws` (batch, num_draws)."""
        view = {**example, "image": self.chain(example["image"], draws)}
        if self.channel_dropout:
            kept = tf.cast(draws[:, self.chain.num_draws :] >= self.channel_dropout, tf.float32)
            count = view["image"].shape[-1]
            view["image"] *= kept[:, None, None, :count]
            if "bits" in view:
                view["bits"] *= kept[:, count:]
        return view


@lru_cache(maxsize=32)
def build_chain(
    *,
    channels: int,
    crop_area_min: float,
    flip: bool,
    color_strength: float,
    grayscale: float,
    blur: float,
    crop_law: str = "uniform",
    size: tuple[int, int] | None = None,
    extra_channels_move: bool = True,
    compiled: bool = True,
) -> Chain:
    """The augmentations of SimCLR (Chen et al. 2020, appendix A).

    Args:
        channels: channels of the picture; further channels are extra. Colour operations need 3.
        crop_area_min: smallest share of the area of a crop; 1 crops nothing.
        crop_law: a key of `crops.LAWS`.
        flip: whether to mirror images at random.
        color_strength: s of `ColorJitter`; 0 for none.
        grayscale, blur: probabilities; 0 for none.
        size: (height, width) of the views; None for that of the images.
        extra_channels_move: whether crop and flip move extra channels.
        compiled: whether XLA may compile the operations. It does so with colour jitter only;
            crops and flips alone are not faster.

    Returns:
        The same chain for the same arguments. A run, its baselines and later runs of the process
        share it, because XLA takes seconds to compile it.
    """
    layers: list[StatelessLayer] = []
    if crop_area_min < 1 or size is not None:
        layers.append(RandomResizedCrop(crop_area_min, size=size, law=crop_law))
    if flip:
        layers.append(RandomFlip())
    if color_strength > 0 and channels == 3:
        layers.append(ColorJitter(color_strength))
    if grayscale > 0 and channels == 3:
        layers.append(RandomGrayscale(grayscale))
    if blur > 0:
        layers.append(RandomBlur(blur))
    jitters = any(isinstance(layer, ColorJitter) for layer in layers)
    return Chain(layers, channels, extra_channels_move, compiled and jitters)
