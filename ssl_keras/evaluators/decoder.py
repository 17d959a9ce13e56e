"""What can be seen of an image in a representation: reconstructions from frozen features."""

from __future__ import annotations

import math
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
    """A decoder from frozen features to the input that they are of.

    A smooth decoder (`networks.build_decoder`), trained on standardised
    features of at most `decoder_images` training images by Adam at 0.001 with cosine decay on the
    mean squared error, in which every channel weighs alike. On test images:

        image_error        mean squared error of the image, values in [0, 1]
        image_explained    1 - image_error / that of the mean training image: 0 if features tell
                           nothing, 1 if everything

    and the same for extra channels. The picture shows reconstructions of every representation below
    each other: what one of them lacks, it cannot show.
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
            errors.add(frozen.inputs.test(part), decoded(decoder, test[part]))
        shown = spread(len(test), self.decoder_shown)
        frozen.cache["decoder/shown"] = decoded(decoder, test[shown])
        yield from errors.values().items()

    def fit(self, features: np.ndarray, images: np.ndarray, seed: int) -> Any:
        """A trained decoder, see the class.

        Args:
            features: (examples, dim), standardised.
            images: float32 (examples, height, width, channels).
            seed: chooses initial weights and the order of the examples.
        """
        keras.utils.set_random_seed(seed)
        decoder = networks.build_decoder(features.shape[1], images.shape[1:], smooth=True)
        rate = keras.optimizers.schedules.CosineDecay(1e-3, self.decoder_steps)
        optimizer = keras.optimizers.Adam(rate)
        optimizer.build(decoder.trainable_variables)
        batch = min(self.decoder_batch_size, len(features))
        inputs, outputs = tf.constant(features, tf.float32), tf.constant(images)

        @tf.function
        def step(rows: Any) -> None:
            with tf.GradientTape() as tape:
                found = decoder(tf.gather(inputs, rows), training=True)
                loss = tf.reduce_mean(tf.square(found - tf.gather(outputs, rows)))
            variables = decoder.trainable_variables
            optimizer.apply(tape.gradient(loss, variables), variables)

        generator = np.random.default_rng([seed, 1])
        order = np.zeros(0, np.int64)
        for _ in range(self.decoder_steps):
            if len(order) < batch:
                order = generator.permutation(len(features))
            rows, order = order[:batch], order[batch:]
            step(tf.constant(rows))
        return decoder

    def draw(
        self, subjects: Mapping[str, FrozenFeatures], seed: int
    ) -> Iterator[tuple[str, np.ndarray]]:
        known = {n: f for n, f in subjects.items() if "decoder/shown" in f.cache}
        first = next((f for f in known.values() if f.inputs is not None), None)
        if first is None or first.inputs is None:
            return
        rows = {"test image": first.inputs.test(spread(len(first.test), self.decoder_shown))}
        rows |= {f"from {name}": f.cache["decoder/shown"] for name, f in known.items()}
        yield "reconstructions", pictures.labelled_rows(rows, first.inputs.modality.main_channels)


def decoded(decoder: Any, features: np.ndarray) -> np.ndarray:
    """What a decoder makes of features, in inference mode: float32 images."""
    parts = [
        decoder(tf.constant(features[rows], tf.float32), training=False).numpy()
        for rows in blocks(len(features))
    ]
    return np.concatenate(parts)


class Errors:
    """Squared errors of reconstructions, by part, gathered over batches.

    Args:
        mean: (height, width, channels), the best guess that knows nothing of an image.
        image_channels: how many of the first channels are the image; the others are bits.
    """

    def __init__(self, mean: np.ndarray, image_channels: int):
        self.mean = mean
        self.parts = {
            "image": slice(0, image_channels),
            "extra_channels": slice(image_channels, None),
        }
        self.sums = {part: np.zeros(2) for part in self.parts}
        self.count = 0

    def add(self, images: np.ndarray, reconstructions: np.ndarray) -> None:
        """Count the errors of some images (batch, height, width, channels)."""
        self.count += len(images)
        for part, channels in self.parts.items():
            own = np.asarray(images[..., channels], np.float64)
            for index, guess in enumerate((reconstructions, self.mean)):
                self.sums[part][index] += np.sum((own - guess[..., channels]) ** 2)

    def values(self) -> dict[str, float]:
        """{"image_error", "image_explained"}, and of bits if there are any."""
        found = {}
        for part, channels in self.parts.items():
            entries = self.count * self.mean[..., channels].size
            if not entries:
                continue
            error, total = self.sums[part]
            found[f"{part}_error"] = float(error / entries)
            found[f"{part}_explained"] = float(1 - error / total) if total else math.nan
        return found


def reconstruction_errors(
    reconstruct: Callable[[np.ndarray], Any], inputs: Inputs, num_train: int, num_test: int
) -> dict[str, float]:
    """How well an autoencoder reconstructs, with the names of `Decoder`.

    Args:
        reconstruct: images -> images, in inference mode.
        inputs: the images of both splits.
        num_train, num_test: how many there are.

    Returns:
        The values of test images, and those of training images with "train_" before the name: if
        they are much better, the autoencoder has learnt its training images by heart.
    """
    total = sum(np.sum(inputs.train(rows), axis=0, dtype=np.float64) for rows in blocks(num_train))
    found: dict[str, float] = {}
    for prefix, images_of, count in (
        ("", inputs.test, num_test),
        ("train_", inputs.train, num_train),
    ):
        errors = Errors(np.asarray(total) / num_train, inputs.modality.main_channels)
        for rows in blocks(count):
            images = images_of(rows)
            errors.add(images, np.asarray(reconstruct(images)))
        found |= {f"{prefix}{name}": value for name, value in errors.values().items()}
    return found


def blocks(count: int, size: int = 500) -> Iterator[np.ndarray]:
    """The numbers below `count`, `size` at a time."""
    for first in range(0, count, size):
        yield np.arange(first, min(first + size, count))
