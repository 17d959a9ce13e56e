"""Evaluation heads: frozen features in, (name, value) pairs out. Selected by name.

`HEADS` is the dictionary behind `--heads`. A head knows nothing of models or trainers.
"""

from __future__ import annotations

from ssl_keras.evaluation.base import FrozenFeatures, Head
from ssl_keras.evaluation.bits import Bits
from ssl_keras.evaluation.geometry import Geometry
from ssl_keras.evaluation.knn import KNN
from ssl_keras.evaluation.linear import Linear
from ssl_keras.evaluation.linear_sgd import LinearSGD
from ssl_keras.evaluation.mean_classifier import MeanClassifier
from ssl_keras.registry import Registry

__all__ = ["HEADS", "FrozenFeatures", "Head"]

HEADS: Registry[Head] = Registry(
    "head",
    {
        "linear": Linear,
        "knn": KNN,
        "geometry": Geometry,
        "linear_sgd": LinearSGD,
        "mean_classifier": MeanClassifier,
        "bits": Bits,
    },
)
