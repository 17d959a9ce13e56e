"""Geometry of representations: the measures of `metrics`, on frozen features."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ssl_keras import metrics, randomness
from ssl_keras.datasets.base import Target
from ssl_keras.evaluators.base import Evaluator, FrozenFeatures
from ssl_keras.options import option

# Default temperature of the measures: that of `losses.NTXent`.
TEMPERATURE = 0.2


def describe(
    images: Any,
    views_1: Any,
    views_2: Any,
    labels: Mapping[str, Any],
    targets: Mapping[str, Target],
    *,
    temperature: Any = TEMPERATURE,
    seed: Any = 0,
) -> dict[str, Any]:
    """All measures of the representation of some images and their views, in TensorFlow.

    Args:
        images: (images, dim), the representation of un-augmented images.
        views_1, views_2: (images, dim), the representations of two views of them.
        labels: target name -> labels.
        targets: target name -> `Target`.
        temperature: of entropy, penalties and mutual information.
        seed: of the directions and samples of the distances to the priors.

    Returns:
        name -> float32 scalar. Tolerances are NaN where no two images have the same label.
    """
    entropy, hardest = metrics.hardness_awareness(views_1, views_2, temperature)
    bound, ceiling = metrics.mutual_information_bound(views_1, views_2, temperature)
    measures = {
        "alignment": metrics.alignment(views_1, views_2),
        "uniformity": metrics.uniformity(images),
        "effective_rank": metrics.effective_rank(images),
        "mean_norm": metrics.mean_norm(images),
        "contrastive_accuracy": metrics.contrastive_accuracy(views_1, views_2),
        "contrastive_entropy": metrics.contrastive_entropy(views_1, views_2, temperature),
        "penalty_entropy": entropy,
        "hardest_percent_share": hardest,
        "mutual_information_bound": bound,
        "mutual_information_ceiling": ceiling,
        "pairwise_logistic_loss": metrics.pairwise_logistic_loss(views_1, views_2),
    }
    distances = metrics.prior_distances(images, seed)
    measures |= {f"distance_to_{name}": value for name, value in distances.items()}
    for name, target in targets.items():
        measures[f"tolerance/{name}"] = metrics.tolerance(images, labels[name])
        if not target.is_vector:
            measures[f"mean_classifier_loss/{name}"] = metrics.mean_classifier_loss(
                images, labels[name], target.size
            )
    return measures


@dataclass(frozen=True)
class Geometry(Evaluator):
    """Alignment, uniformity, tolerance, effective rank and other measures of test images.

    Uniformity (t = 2), tolerance, rank, norm and distances to the priors are of un-augmented test
    images; alignment (alpha = 2), entropy, penalties and mutual information are of two views of
    them, in inference mode. The measures are defined in `metrics`.
    """

    geometry_images: int = option(1000, minimum=2, help="test images of the geometry head")
    geometry_temperature: float = option(
        TEMPERATURE, above=0, help="temperature of entropy, penalties and information in geometry"
    )

    needs_labels = False

    @property
    def num_views(self) -> int:
        return self.geometry_images

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        if frozen.views is None:
            return
        rows = frozen.views.rows
        measures = describe(
            frozen.test[rows],
            frozen.views.first,
            frozen.views.second,
            {name: labels[rows] for name, labels in frozen.test_labels.items()},
            frozen.targets,
            temperature=self.geometry_temperature,
            seed=randomness.key(seed, "geometry"),
        )
        for name, value in measures.items():
            if not math.isnan(number := float(value)):
                yield name, number
