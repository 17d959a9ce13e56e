"""Fine-tune an exported encoder on few labels, in plain Keras, against the same from scratch.

    python -m ssl_keras.theory.downstream --encoder=runs/digits --label_fraction=0.01

The example of the guide "Export and fine-tune": `fine_tuned` is what a user's program would do. The
encoder comes from `ssl_keras.load_encoder`, gets a linear classifier, and is trained with `compile`
and `fit` on a few labelled images, without augmentation; so is the same network with fresh weights.
Each repetition draws other labelled images.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import ssl_keras
from ssl_keras.cli import startup
from ssl_keras.cli.drawing import build_parser
from ssl_keras.errors import UserError


def fine_tuned(
    encoder: Any,
    classes: int,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    steps: int,
    learning_rate: float,
) -> float:
    """Test accuracy after training encoder and a new classifier on labelled images.

    Args:
        encoder: `keras.Model` from images to features; it is trained.
        classes: number of classes.
        train, test: images (count, height, width, channels) in [0, 1], and their classes.
        steps: training steps, of 64 images, or of all if there are fewer.
        learning_rate: at the start; it decays to 0 by a cosine.
    """
    import keras

    images = keras.Input(encoder.input_shape[1:])
    features = encoder(images, training=False)  # batch norm keeps the statistics of many images
    network = keras.Model(images, keras.layers.Dense(classes)(features))
    network.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    batch = min(64, len(train[0]))
    epochs = max(1, round(steps * batch / len(train[0])))
    network.fit(*train, batch_size=batch, epochs=epochs, verbose=0)
    return float(network.evaluate(*test, batch_size=500, verbose=0, return_dict=True)["accuracy"])


def compare(
    directory: Path, source: str, fraction: float, steps: int, learning_rate: float, repeats: int
) -> list[tuple[float, float]]:
    """Test accuracies (of the exported encoder, from scratch) of each repetition.

    Raises:
        UserError: there is no export, the source cannot be used, or its images do not fit.
    """
    import keras

    from ssl_keras import datasets
    from ssl_keras.datasets.splits import labelled_rows

    encoder = ssl_keras.load_encoder(directory)
    data = datasets.load("plain", source=source)
    if data.input_shape != encoder.input_shape[1:]:
        raise UserError(
            f"The encoder in {directory} takes images of {encoder.input_shape[1:]}, those of "
            f"{source} are {data.input_shape}: give its own data, or a run without bits."
        )
    if "class" not in data.targets:
        raise UserError(f"{source} has no labels to learn from.")

    def arrays(split: Any) -> tuple[np.ndarray, np.ndarray]:
        images = np.concatenate([data.inputs(batch).numpy() for batch in split.batches(500)])
        return images, split.read_labels("class")

    images, labels = arrays(data.train)
    test, classes = arrays(data.test), data.targets["class"].size
    accuracies = []
    for repeat in range(repeats):
        rows = labelled_rows(labels, fraction, repeat)
        pair = []
        for pretrained in (True, False):
            keras.utils.set_random_seed(repeat)
            network = keras.models.clone_model(encoder)  # with fresh weights
            if pretrained:
                network.set_weights(encoder.get_weights())
            train = (images[rows], labels[rows])
            pair.append(fine_tuned(network, classes, train, test, steps, learning_rate))
        accuracies.append((pair[0], pair[1]))
        print(
            f"{len(rows)} labelled images, draw {repeat}: exported encoder {pair[0]:.3f}, from "
            f"scratch {pair[1]:.3f}",
            flush=True,
        )
    return accuracies


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    parser = build_parser("ssl_keras.theory.downstream", __doc__)
    parser.add_argument("--encoder", type=Path, required=True, help="a run, or its SavedModel")
    parser.add_argument("--source", default="mnist_5k", help="images and labels, see --source")
    parser.add_argument("--label_fraction", type=float, default=0.01, help="share with labels")
    parser.add_argument("--steps", type=int, default=300, help="training steps")
    parser.add_argument("--learning_rate", type=float, default=1e-3, help="of Adam, at the start")
    parser.add_argument("--repeats", type=int, default=5, help="draws of labelled images")
    options: Any = parser.parse_args(arguments)

    def body() -> None:
        if not 0 < options.label_fraction <= 1:
            raise UserError(f"label_fraction is {options.label_fraction}: give a share in (0, 1].")
        if min(options.steps, options.repeats) < 1 or options.learning_rate <= 0:
            raise UserError("steps and repeats must be at least 1, learning_rate above 0.")
        startup.start_tensorflow()
        accuracies = compare(
            options.encoder,
            options.source,
            options.label_fraction,
            options.steps,
            options.learning_rate,
            options.repeats,
        )
        gains = np.subtract(*np.transpose(accuracies))
        exported, scratch = np.mean(accuracies, axis=0)
        spread = f" (sd {np.std(gains, ddof=1):.3f})" if len(gains) > 1 else ""
        print(
            f"Test accuracy: exported encoder {exported:.3f}, from scratch {scratch:.3f}, gain "
            f"{gains.mean():.3f}{spread}"
        )

    return startup.guarded("ssl_keras.theory.downstream", body, lambda: False)


if __name__ == "__main__":
    sys.exit(main())
