"""Reconstructions of the input from frozen features."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssl_keras import networks, pictures
from ssl_keras.evaluators.base import Evaluator, FrozenFeatures, Inputs, spread
from ssl_keras.evaluators.linear import standardize
from ssl_keras.lazy import keras, tf
from ssl_keras.options import option


@dataclass(frozen=True)
class Decoder(Evaluator):
    """A decoder from frozen features to the encoder's input.

    A smooth decoder (`networks.build_decoder`), trained on standardised features of at most
    `decoder_images` training images, by Adam at 0.001 with cosine decay on the mean squared error
    over all channels. On test images:

        example_error        mean squared error of the image (values in [0, 1]) or the vector
        example_explained    1 - example_error / that of the mean training image: 0 at chance level,
                             1 for perfect reconstructions

    and the same for extra channels. The picture shows the reconstructions from each representation
    below each other.
    """

    decoder_steps: int = option(400, minimum=1, help="training steps of the decoder head")
    decoder_batch_size: int = option(64, minimum=1, help="batch of the decoder head")
    decoder_images: int = option(20_000, minimum=1, help="most training images of the decoder head")
    decoder_shown: int = option(
        10, minimum=1, maximum=64, help="test images in the picture of the decoder head"
    )

    needs_labels = False
    needs_pictures = True

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        if frozen.inputs is None:
            return
        train, test = standardize(frozen.train, frozen.test)
        rows = np.random.default_rng(seed).permutation(len(train))[: self.decoder_images]
        images = frozen.inputs.train(rows)
        decoder = self.fit(train[rows], images, seed)
        errors = Errors(images.mean(axis=0), frozen.inputs.modality.main_channels)
        for part in blocks(len(test)):
            errors.add(frozen.inputs.test(part), decode(decoder, test[part]))
        shown = spread(len(test), self.decoder_shown)
        frozen.cache["decoder/shown"] = decode(decoder, test[shown])
        yield from errors.values().items()

    def fit(self, features: np.ndarray, images: np.ndarray, seed: int) -> Any:
        """A trained decoder, see the class.

        Args:
            features: (examples, dim), standardised.
            images: float32 (examples, height, width, channels).
            seed: of the initial weights and the order of the examples.
        """
        random.seed(seed)  # Keras' initialisers take their seeds from Python
        batch = min(self.decoder_batch_size, len(features))
        decoder, step = started(features.shape[1], images.shape[1:], batch, self.decoder_steps)
        inputs, outputs = tf.constant(features, tf.float32), tf.constant(images)
        generator = np.random.default_rng([seed, 1])
        order = np.zeros(0, np.int64)
        for _ in range(self.decoder_steps):
            if len(order) < batch:
                order = generator.permutation(len(features))
            rows, order = order[:batch], order[batch:]
            step(tf.constant(rows), inputs, outputs)
        return decoder

    def draw(
        self, subjects: Mapping[str, FrozenFeatures], seed: int
    ) -> Iterator[tuple[str, np.ndarray]]:
        decoded = {n: f for n, f in subjects.items() if "decoder/shown" in f.cache}
        first = next((f for f in decoded.values() if f.inputs is not None), None)
        if first is None or first.inputs is None:
            return
        rows = {"test image": first.inputs.test(spread(len(first.test), self.decoder_shown))}
        rows |= {f"from {name}": f.cache["decoder/shown"] for name, f in decoded.items()}
        yield "reconstructions", pictures.labelled_rows(rows, first.inputs.modality.main_channels)


def started(dim: int, shape: tuple[int, ...], batch: int, num_steps: int) -> tuple[Any, Any]:
    """(a decoder with new weights, its training step) for features of one dimension.

    The step is traced once: a run has several representations of the same dimension, which are
    decoded one after the other. So a decoder is good until the next one is started.
    """
    decoder = networks.build_decoder(dim, shape, smooth=True)
    kept, optimizer, step = _traced(dim, shape, batch, num_steps)
    kept.set_weights(decoder.get_weights())
    for variable in optimizer.variables:  # the count of steps and the moments
        variable.assign(tf.zeros(variable.shape, variable.dtype))
    return kept, step


@functools.lru_cache(maxsize=4)
def _traced(dim: int, shape: tuple[int, ...], batch: int, num_steps: int) -> tuple[Any, Any, Any]:
    """(decoder, optimizer, step): a function of the rows of a batch, all features, all images."""
    decoder = networks.build_decoder(dim, shape, smooth=True)
    rate = keras.optimizers.schedules.CosineDecay(1e-3, num_steps)
    optimizer = keras.optimizers.Adam(rate)
    optimizer.build(decoder.trainable_variables)

    def step(rows: Any, inputs: Any, outputs: Any) -> None:
        with tf.GradientTape() as tape:
            reconstructions = decoder(tf.gather(inputs, rows), training=True)
            loss = tf.reduce_mean(tf.square(reconstructions - tf.gather(outputs, rows)))
        variables = decoder.trainable_variables
        optimizer.apply(tape.gradient(loss, variables), variables)

    signature = [
        tf.TensorSpec((batch,), tf.int64),
        tf.TensorSpec((None, dim), tf.float32),
        tf.TensorSpec((None, *shape), tf.float32),
    ]
    return decoder, optimizer, tf.function(step, autograph=False, input_signature=signature)


def decode(decoder: Any, features: np.ndarray) -> np.ndarray:
    """The decoder's images, float32, in inference mode and in blocks of examples."""
    parts = [
        decoder(tf.constant(features[rows], tf.float32), training=False).numpy()
        for rows in blocks(len(features))
    ]
    return np.concatenate(parts)


class Errors:
    """Squared errors of reconstructions, by part, gathered over batches.

    Args:
        mean: (height, width, channels), the mean training image: reconstruction at chance level.
        image_channels: number of image channels; the others are extra channels.
    """

    def __init__(self, mean: np.ndarray, image_channels: int):
        self.mean = mean
        self.parts = {
            "example": slice(0, image_channels),
            "extra_channels": slice(image_channels, None),
        }
        self.sums = {part: np.zeros(2) for part in self.parts}
        self.count = 0

    def add(self, images: np.ndarray, reconstructions: np.ndarray) -> None:
        """Count the errors of some images (batch, height, width, channels)."""
        self.count += len(images)
        for part, channels in self.parts.items():
            originals = np.asarray(images[..., channels], np.float64)
            for index, guess in enumerate((reconstructions, self.mean)):
                self.sums[part][index] += np.sum((originals - guess[..., channels]) ** 2)

    def values(self) -> dict[str, float]:
        """{"example_error", "example_explained"}, and those of extra channels if there are any."""
        values = {}
        for part, channels in self.parts.items():
            entries = self.count * self.mean[..., channels].size
            if not entries:
                continue
            error, total = self.sums[part]
            values[f"{part}_error"] = float(error / entries)
            values[f"{part}_explained"] = float(1 - error / total) if total else math.nan
        return values


def reconstruction_errors(
    reconstruct: Callable[[np.ndarray], Any], inputs: Inputs, num_train: int, num_test: int
) -> dict[str, float]:
    """The errors of an autoencoder, with the names of `Decoder`.

    Args:
        reconstruct: images -> images, in inference mode.
        inputs: the images of both splits.
        num_train, num_test: numbers of images.

    Returns:
        The values of test images, and those of training images with the prefix "train_": if they
        are much better, the autoencoder overfits.
    """
    total = sum(np.sum(inputs.train(rows), axis=0, dtype=np.float64) for rows in blocks(num_train))
    values: dict[str, float] = {}
    splits = (("", inputs.test, num_test), ("train_", inputs.train, num_train))
    for prefix, load, count in splits:
        errors = Errors(np.asarray(total) / num_train, inputs.modality.main_channels)
        for rows in blocks(count):
            images = load(rows)
            errors.add(images, np.asarray(reconstruct(images)))
        values |= {f"{prefix}{name}": value for name, value in errors.values().items()}
    return values


def blocks(count: int, size: int = 500) -> Iterator[np.ndarray]:
    """The indices below `count`, in blocks of `size`."""
    for first in range(0, count, size):
        yield np.arange(first, min(first + size, count))
