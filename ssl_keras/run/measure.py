"""What evaluators say of frozen encoders: features by layer, controls, values and pictures."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ssl_keras import pictures
from ssl_keras.evaluators import Evaluator
from ssl_keras.evaluators.base import FrozenFeatures, FrozenLocations, measured
from ssl_keras.evaluators.decoder import reconstruction_errors
from ssl_keras.evaluators.extraction import (
    build_inputs,
    extract,
    extract_local,
    extract_pixels,
)
from ssl_keras.networks import block_outputs
from ssl_keras.run import tables
from ssl_keras.run.restore import FrozenEncoder
from ssl_keras.run.setup import TrainingSetup, in_float32

# Most training images of the control with shuffled labels.
SHUFFLED_EXAMPLES = 2000


@dataclass(frozen=True)
class EncoderFeatures:
    """What the evaluators measure of one encoder.

    Attributes:
        layers: name of the layer -> features.
        values: what is known of it without evaluators: "name/layer/measure" -> value.
        local: name of the block -> features of its locations, if a head wants them.
    """

    layers: Mapping[str, FrozenFeatures]
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)
    local: Mapping[str, FrozenLocations] = dataclasses.field(default_factory=dict)

    def seen_by(self, evaluator: Evaluator) -> Mapping[str, FrozenFeatures]:
        """What a head measures."""
        return self.local if evaluator.num_local_images else self.layers


def encoder_features(
    frozen: FrozenEncoder,
    evaluators: Mapping[str, Evaluator],
    num_layers: int | None = None,
    pixels: bool = False,
) -> EncoderFeatures:
    """The features of an encoder at its first layers, with those of views and locations where an
    evaluator needs them.

    Args:
        frozen: the encoder.
        evaluators: the evaluators, by name.
        num_layers: how many layers. Default: all.
        pixels: whether to add the pixels at the locations, a control.
    """
    features = extract(
        frozen.representations,
        frozen.data,
        frozen.layers[:num_layers],
        augmenter=frozen.augmenter,
        num_views=max((evaluator.num_views for evaluator in evaluators.values()), default=0),
        num_train_views=max(
            (evaluator.num_train_views for evaluator in evaluators.values()), default=0
        ),
    )
    local: dict[str, FrozenLocations] = {}
    if num_images := max(
        (evaluator.num_local_images for evaluator in evaluators.values()), default=0
    ):
        blocks = block_outputs(frozen.encoder)
        local = extract_local(
            lambda images: blocks(images, training=False), frozen.data, frozen.grids, num_images
        )
        if pixels:
            local |= extract_pixels(frozen.data, frozen.grids, num_images)
    return EncoderFeatures(features, local=local)


def trained_features(
    setup: TrainingSetup, evaluators: Mapping[str, Evaluator], seed: int, pixels: bool = True
) -> EncoderFeatures:
    """The features of a trained model, with what its own parts say on frozen features.

    These are the online probe, which has learnt from augmented views during the training, and
    the reconstructions of an autoencoder. `pixels`: see `encoder_features`.
    """
    setup = in_float32(setup)
    model, data = setup.model, setup.data
    layers = encoder_features(FrozenEncoder.of(setup), evaluators, pixels=pixels)
    features = layers.layers["features"]
    values: dict[str, float] = {}
    if model.linear_probe is not None:
        logits = model.linear_probe(features.test, training=False)
        for name, target in data.targets.items():
            scores = measured(target, features.test_labels[name], logits[name].numpy(), seed)
            values |= {f"{tables.ONLINE}/features/{name}/{k}": v for k, v in scores.items()}
    if model.reconstruct is not None:
        counts = (data.train.num_examples, data.test.num_examples)
        errors = reconstruction_errors(model.reconstruct, build_inputs(data), *counts)
        values |= {f"reconstruction/features/{name}": value for name, value in errors.items()}
    return dataclasses.replace(layers, values=values)


def untrained_features(
    setup: TrainingSetup, evaluators: Mapping[str, Evaluator]
) -> EncoderFeatures:
    """The features of the encoder of a setup that has not been trained: the control."""
    return encoder_features(FrozenEncoder.of(in_float32(setup)), evaluators, num_layers=1)


def measure(
    evaluators: Mapping[str, Evaluator], seed: int, subjects: Mapping[str, EncoderFeatures]
) -> dict[str, float]:
    """What every evaluator says of every encoder.

    Args:
        evaluators: the evaluators, by name.
        seed: chooses whatever is random in them.
        subjects: "" is the model that was trained; others are controls and baselines, by name.

    Returns:
        "head/layer/measure" -> value; the same below the names of the other encoders, as in
        "untrained/head/layer/measure"; and "shuffled_labels/head/layer/measure", of the model
        at its first layer with classes of training images that say nothing: what is above chance
        there, leaks.
    """
    frozen = subjects[""].layers
    first = next(iter(frozen), None)
    learning = {name: evaluator for name, evaluator in evaluators.items() if evaluator.needs_labels}
    compared = [(name, subject, evaluators) for name, subject in subjects.items()]
    if first is not None and learning:
        count = max(SHUFFLED_EXAMPLES, *(evaluator.least_train for evaluator in learning.values()))
        shuffled = EncoderFeatures({first: with_shuffled_labels(frozen[first], count, seed)})
        compared.append((tables.SHUFFLED, shuffled, learning))
    found: dict[str, float] = {}
    for subject_name, subject, chosen in compared:
        prefix = subject_name and f"{subject_name}/"
        found |= {f"{prefix}{name}": value for name, value in subject.values.items()}
        found |= {
            f"{prefix}{name}/{layer}/{key}": float(value)
            for layer in (*subject.layers, *subject.local)
            for name, evaluator in chosen.items()
            if (features := subject.seen_by(evaluator).get(layer))
            and (features.targets or not evaluator.needs_labels)
            for key, value in evaluator.evaluate(features, seed)
        }
    return found


def draw(
    evaluators: Mapping[str, Evaluator], seed: int, subjects: Mapping[str, EncoderFeatures]
) -> Iterator[tuple[str, np.ndarray]]:
    """("head/name", picture) of what `measure` has found before, of the same subjects."""
    spoken = {"": "", tables.CONTROL: "untrained "}
    for name, evaluator in evaluators.items():
        shown = {
            f"{spoken.get(subject_name, f'{subject_name} ')}{layer}": features
            for subject_name, subject in subjects.items()
            for layer, features in subject.seen_by(evaluator).items()
        }
        for title, picture in evaluator.draw(shown, seed):
            yield f"{name}/{title}", picture


def with_shuffled_labels(frozen: FrozenFeatures, count: int, seed: int) -> FrozenFeatures:
    """The same features, with the classes of `count` training images dealt out among them anew.

    Vectors are left out: where features form few clusters, as with a few bits, a decision that
    knows nothing is right or wrong for whole clusters at once, and one shuffle says nothing.
    """
    generator = np.random.default_rng([seed, 1])
    rows = generator.permutation(len(frozen.train))[:count]
    labels = {
        name: generator.permutation(values[rows], axis=0)
        for name, values in frozen.train_labels.items()
    }
    return dataclasses.replace(
        frozen,
        train=frozen.train[rows],
        train_labels=labels,
        targets={n: target for n, target in frozen.targets.items() if not target.is_vector},
        views=None,
        train_views=None,
        inputs=None,
        cache={},
    )


def protocols(evaluators: Mapping[str, Evaluator]) -> dict[str, str]:
    """What each evaluator does, in words."""
    return {
        name: " ".join(str(type(evaluator).__doc__).split())
        for name, evaluator in evaluators.items()
    }


def write_pictures(
    directory: Path, drawn: Iterator[tuple[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Write pictures as PNG; returns them by name."""
    found = dict(drawn)
    for name, picture in found.items():
        directory.mkdir(exist_ok=True)
        pictures.write_png(directory / f"{name.replace('/', '-').replace(' ', '_')}.png", picture)
    return found


def averaged(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The means of repeated measurements; of more than one also the standard deviations, as
    "NAME_sd"."""
    columns = {name: [each[name] for each in found] for name in found[0]}
    values = {name: float(np.mean(column)) for name, column in columns.items()}
    if len(found) > 1:
        values |= {f"{name}_sd": float(np.std(c, ddof=1)) for name, c in columns.items()}
    return values
