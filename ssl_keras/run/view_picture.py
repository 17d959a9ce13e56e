"""Pictures of training images: their views, bits and labels."""

from __future__ import annotations

from typing import Any

import numpy as np

from ssl_keras import pictures
from ssl_keras.lazy import tf
from ssl_keras.plots import word
from ssl_keras.run.setup import TrainingSetup


def draw_views(
    setup: TrainingSetup, num_images: int, num_pairs: int, source: np.ndarray | None = None
) -> np.ndarray:
    """Training images of the first batch, one in each column, above pairs of their views.

    Bits and other extra channels are stripes below each image, the least significant bit first.

    Args:
        setup: a setup whose examples are images.
        num_images: number of images, at most all.
        num_pairs: number of pairs of views of each image, one for each step.
        source: network inputs to show above the images, if they differ from them.

    Returns:
        (height, width, 3) in [0, 1].
    """
    data, modality = setup.data, setup.data.modality
    count = min(num_images, data.train.num_examples)
    batch = next(iter(data.train.training_batches(count, seed=setup.config.run.seed, num_steps=1)))
    rows = {"image": data.inputs(batch).numpy()}
    if source is not None and not np.array_equal(source, rows["image"][..., : source.shape[-1]]):
        rows = {"source": source, **rows}
    for step in range(num_pairs):
        views, _ = setup.model.augmenter.two_views(batch, tf.constant(step, tf.int64))
        for number, view in enumerate(np.split(modality.compose(views).numpy(), 2)):
            rows[f"step {step}, view {number + 1}"] = view
    titles = ["\n".join(_labels(setup, batch["labels"], k)) for k in range(count)]
    return pictures.labelled_rows(rows, modality.main_channels, titles=titles, pixels=96)


def _labels(setup: TrainingSetup, labels: Any, row: int) -> list[str]:
    """The labels of one example for the targets of classes and presence, as texts."""
    texts = []
    for name, target in setup.data.targets.items():
        label = labels[name][row].numpy()
        if target.kind == "class":
            texts.append(f"{word(name)}: {target.name_of(label)}")
        elif target.kind == "presence":
            texts.append("has " + ",".join(map(target.name_of, np.flatnonzero(label).tolist())))
    return texts
