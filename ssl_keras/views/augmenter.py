"""The augmenter: draws both views of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import tensorflow as tf

from ssl_keras import randomness
from ssl_keras.inputs.composing import to_float
from ssl_keras.views.layers import (
    ColorJitter,
    RandomBlur,
    RandomFlip,
    RandomGrayscale,
    RandomResizedCrop,
    StatelessLayer,
)
from ssl_keras.views.mixup import Mixup


class Chain:
    """Stateless layers, one after the other, with the bookkeeping of their draws.

    Args:
        layers: the `StatelessLayer`s, in order; none of them leaves images as they are.
        channels: how many of the first channels are the picture; the others are extra channels,
            whose values no layer changes. None: all.
        extra_channels_move: whether geometric layers move the extra channels too.
        compiled: whether XLA compiles the chain: one loop over the pixels in place of one for each
            operation. The values are the same but for rounding.
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

    def __call__(self, images: Any, draws: Any) -> Any:
        """The layers on each image, a function of its row of `draws` (batch, num_draws)."""
        return self._apply(to_float(images), draws)

    def _applied(self, images: Any, draws: Any) -> Any:
        first = 0
        for layer in self.layers:
            own = draws[:, first : first + layer.num_draws]
            if self.channels in (None, images.shape[-1]) or (
                layer.geometric and self.extra_channels_move
            ):
                images = layer(images, own)
            else:
                picture, extra = images[..., : self.channels], images[..., self.channels :]
                images = tf.concat([layer(picture, own), layer.still(extra)], axis=-1)
            first += layer.num_draws
        return images


class Augmenter(tf.keras.layers.Layer):
    """Draws views: a chain of stateless layers on draws that follow from the seed and the step.

    Args:
        chain: makes the views.
        seed: the run's seed.
        mixup: a `Mixup` that follows the chain, or None.
    """

    def __init__(self, chain: Chain, seed: int = 0, mixup: Mixup | None = None):
        super().__init__(dtype="float32", name="augmenter")
        self.chain, self.seed, self.mixup = chain, seed, mixup
        self.built = True

    def describe(self) -> str:
        """What it does, for the banner."""
        return ", ".join(layer.describe() for layer in [*self.chain.layers, self.mixup] if layer)

    def call(self, images: Any, draws: Any) -> Any:
        """See `Chain.__call__`."""
        return self.chain(images, draws)

    def draws(self, purpose: str, step: Any, global_batch: Any, columns: int) -> Any:
        """Draws for both views of a step: (2, global batch, columns), uniform in [0, 1).

        Every purpose ("views", "mixup", "dropout") has a stream of its own, so that what one of
        them does never changes the others.
        """
        key = randomness.fold(randomness.key(self.seed, purpose), step)
        return randomness.uniform(key, (2, global_batch, columns))

    def two_views(
        self,
        images: Any,
        step: Any,
        bits: Any = None,
        *,
        first_row: Any = 0,
        num_replicas: int = 1,
    ) -> tuple[Any, Any, Any]:
        """Both views of a batch, the first views above the second.

        Args:
            images: (batch, h, w, c), uint8 or float in [0, 1].
            step: number of the training step.
            bits: (batch, num_bits) or None; the same in both views, unless mixup mixes them.
            first_row: position of the first image in the global batch.
            num_replicas: batches of this size in the global batch.

        Returns:
            (views (2 batch, new h, new w, c), bits (2 batch, num_bits) or None, keys of the rows'
            dropout masks, uint32 (2 batch,)).
        """
        batch = tf.shape(images)[0]

        def draws(purpose: str, columns: int) -> Any:
            drawn = self.draws(purpose, step, batch * num_replicas, columns)
            return tf.reshape(drawn[:, first_row : first_row + batch], [2 * batch, columns])

        views = tf.concat([images, images], axis=0)
        views = self(views, draws("views", max(self.chain.num_draws, 1)))
        if bits is not None:
            bits = tf.concat([bits, bits], axis=0)
        if self.mixup is not None:
            views, bits = self.mixup(views, draws("mixup", self.mixup.num_draws), bits)
        return views, bits, randomness.row_keys(draws("dropout", 1)[:, 0])


def build_augmenter(*, seed: int = 0, mixup: Mixup | None = None, **recipe: Any) -> Augmenter:
    """Draws views by the SimCLR recipe.

    Args:
        seed: the run's seed.
        mixup: follows the other operations, or None.
        recipe: the arguments of `build_chain`.
    """
    return Augmenter(build_chain(**recipe), seed, mixup)


@lru_cache(maxsize=32)
def build_chain(
    *,
    channels: int,
    crop_area_min: float,
    flip: bool,
    color_strength: float,
    grayscale: float,
    blur: float,
    size: tuple[int, int] | None = None,
    extra_channels_move: bool = True,
    compiled: bool = True,
) -> Chain:
    """The SimCLR recipe (Chen et al. 2020, appendix A) with each operation's strength.

    Args:
        channels: channels of the picture, those after them are extra channels; colour operations
            need 3.
        crop_area_min: smallest share of the area of a crop; 1 crops nothing.
        flip: whether images may be mirrored.
        color_strength: s of `ColorJitter`; 0 leaves it out.
        grayscale, blur: probabilities; 0 leaves the operation out.
        size: (height, width) of the views; None for that of the images.
        extra_channels_move: whether crop and flip move extra channels.
        compiled: whether XLA may compile the operations. It does so where there are colours to
            change: crops and flips alone are no faster for it.

    Returns:
        The same chain for the same arguments: XLA takes seconds to compile it, and a run, its
        baselines and the runs after it in the same process share it.
    """
    layers: list[StatelessLayer] = []
    if crop_area_min < 1 or size is not None:
        layers.append(RandomResizedCrop(crop_area_min, size=size))
    if flip:
        layers.append(RandomFlip())
    if color_strength > 0 and channels == 3:
        layers.append(ColorJitter(color_strength))
    if grayscale > 0 and channels == 3:
        layers.append(RandomGrayscale(grayscale))
    if blur > 0:
        layers.append(RandomBlur(blur))
    many = any(isinstance(layer, ColorJitter) for layer in layers)
    return Chain(layers, channels, extra_channels_move, compiled and many)
