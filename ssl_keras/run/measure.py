"""Evaluation of frozen encoders: features by layer, controls, values and pictures."""

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

# Maximum number of training examples of the control with shuffled labels.
SHUFFLED_EXAMPLES = 2000


@dataclass(frozen=True)
class EncoderFeatures:
    """Features of one encoder, for the evaluators.

    Attributes:
        layers: name of the layer -> features.
        values: values from other sources than evaluators: "name/layer/measure" -> value.
        local: name of the block -> features of its locations, if an evaluator needs them.
    """

    layers: Mapping[str, FrozenFeatures]
    values: Mapping[str, float] = dataclasses.field(default_factory=dict)
    local: Mapping[str, FrozenLocations] = dataclasses.field(default_factory=dict)

    def layers_for(self, evaluator: Evaluator) -> Mapping[str, FrozenFeatures]:
        """The features that an evaluator reads."""
        return self.local if evaluator.num_local_images else self.layers


def encoder_features(
    frozen: FrozenEncoder,
    evaluators: Mapping[str, Evaluator],
    num_layers: int | None = None,
    pixels: bool = False,
) -> EncoderFeatures:
    """The features of an encoder at its layers, of views and locations as the evaluators need.

    Args:
        frozen: the encoder.
        evaluators: the evaluators, by name.
        num_layers: number of layers, the first ones. Default: all.
        pixels: whether to add the pixels at the locations, a control.
    """

    def largest(attribute: str) -> int:
        return max((getattr(evaluator, attribute) for evaluator in evaluators.values()), default=0)

    features = extract(
        frozen.representations,
        frozen.data,
        frozen.layers[:num_layers],
        augmenter=frozen.augmenter,
        traced=frozen.traced,
        num_views=largest("num_views"),
        num_train_views=largest("num_train_views"),
        partner_representations=frozen.partner_representations,
    )
    local: dict[str, FrozenLocations] = {}
    if num_images := largest("num_local_images"):
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
    """The features of a trained model, and the values of its probe and its decoder.

    The online probe was trained on augmented views; the decoder is that of an autoencoder.
    `pixels`: see `encoder_features`.
    """
    setup = in_float32(setup)
    model, data = setup.model, setup.data
    layers = encoder_features(FrozenEncoder.from_setup(setup), evaluators, pixels=pixels)
    features = layers.layers[model.probed_layer]
    values: dict[str, float] = {}
    if model.linear_probe is not None:
        logits = model.linear_probe(features.test, training=False)
        for name, target in data.targets.items():
            scores = measured(target, features.test_labels[name], logits[name].numpy(), seed)
            values |= {
                f"{tables.ONLINE}/{model.probed_layer}/{name}/{k}": v for k, v in scores.items()
            }
    if model.reconstruct is not None:
        counts = (data.train.num_examples, data.test.num_examples)
        errors = reconstruction_errors(model.reconstruct, build_inputs(data), *counts)
        values |= {f"reconstruction/features/{name}": value for name, value in errors.items()}
    return dataclasses.replace(layers, values=values)


def untrained_features(
    setup: TrainingSetup, evaluators: Mapping[str, Evaluator]
) -> EncoderFeatures:
    """The features of the untrained encoder of a setup, the control."""
    return encoder_features(FrozenEncoder.from_setup(in_float32(setup)), evaluators, num_layers=1)


def measure(
    evaluators: Mapping[str, Evaluator], seed: int, encoders: Mapping[str, EncoderFeatures]
) -> dict[str, float]:
    """The values of all evaluators on all encoders.

    Args:
        evaluators: the evaluators, by name.
        seed: seed of the evaluators.
        encoders: name -> features; "" is the trained model, others are controls and baselines.

    Returns:
        "evaluator/layer/measure" -> value for the trained model; "NAME/evaluator/layer/measure" for
        other encoders, such as "untrained"; and "shuffled_labels/evaluator/layer/measure" for the
        trained model's first layer with shuffled classes of training examples, where accuracy above
        chance reveals a leak.
    """
    frozen = encoders[""].layers
    first = next(iter(frozen), None)
    learning = {name: evaluator for name, evaluator in evaluators.items() if evaluator.needs_labels}
    subjects = [(name, encoder, evaluators) for name, encoder in encoders.items()]
    if first is not None and learning:
        count = max(SHUFFLED_EXAMPLES, *(evaluator.least_train for evaluator in learning.values()))
        shuffled = EncoderFeatures({first: with_shuffled_labels(frozen[first], count, seed)})
        subjects.append((tables.SHUFFLED, shuffled, learning))
    values: dict[str, float] = {}
    for encoder_name, encoder, used in subjects:
        prefix = encoder_name and f"{encoder_name}/"
        values |= {f"{prefix}{name}": value for name, value in encoder.values.items()}
        values |= {
            f"{prefix}{name}/{layer}/{key}": float(value)
            for layer in (*encoder.layers, *encoder.local)
            for name, evaluator in used.items()
            if (features := encoder.layers_for(evaluator).get(layer))
            and (features.targets or not evaluator.needs_labels)
            and not (evaluator.reads_data and (prefix or layer != first))
            for key, value in evaluator.evaluate(features, seed)
        }
    return values


def draw(
    evaluators: Mapping[str, Evaluator], seed: int, encoders: Mapping[str, EncoderFeatures]
) -> Iterator[tuple[str, np.ndarray]]:
    """("evaluator/name", picture) for encoders that `measure` has measured before."""
    titles = {"": "", tables.CONTROL: "untrained "}
    for name, evaluator in evaluators.items():
        shown = {
            f"{titles.get(encoder_name, f'{encoder_name} ')}{layer}": features
            for encoder_name, encoder in encoders.items()
            for layer, features in encoder.layers_for(evaluator).items()
        }
        for title, picture in evaluator.draw(shown, seed):
            yield f"{name}/{title}", picture


def with_shuffled_labels(frozen: FrozenFeatures, count: int, seed: int) -> FrozenFeatures:
    """The features of `count` training examples with shuffled classes, and all test features.

    Targets that are vectors are left out: if features form few clusters, as with a few bits, one
    decision is right or wrong for a whole cluster, and one shuffle does not give chance level.
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
    """The docstring of each evaluator, by name."""
    return {
        name: " ".join(str(type(evaluator).__doc__).split())
        for name, evaluator in evaluators.items()
    }


def write_pictures(
    directory: Path, drawn: Iterator[tuple[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """Write pictures as PNG; return them by name."""
    by_name = dict(drawn)
    for name, picture in by_name.items():
        directory.mkdir(exist_ok=True)
        pictures.write_png(directory / f"{name.replace('/', '-').replace(' ', '_')}.png", picture)
    return by_name


def averaged(repetitions: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The means over repetitions; with more than one, the standard deviations too, as "NAME_sd"."""
    columns = {name: [values[name] for values in repetitions] for name in repetitions[0]}
    values = {name: float(np.mean(column)) for name, column in columns.items()}
    if len(repetitions) > 1:
        values |= {f"{name}_sd": float(np.std(c, ddof=1)) for name, c in columns.items()}
    return values
