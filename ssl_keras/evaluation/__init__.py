"""Evaluation heads: frozen features in, (name, value) pairs out. Selected by name.

`HEADS` is the dictionary behind `--heads`. A head knows nothing of models or trainers; a `Baseline`
names a method that is trained beside the run, to which the other heads are applied too.
"""

from __future__ import annotations

from ssl_keras.evaluation.base import FrozenFeatures, Head
from ssl_keras.evaluation.baselines import AutoencoderBaseline, Baseline, SupervisedBaseline
from ssl_keras.evaluation.bits import Bits
from ssl_keras.evaluation.decoder import Decoder
from ssl_keras.evaluation.geometry import Geometry
from ssl_keras.evaluation.knn import KNN
from ssl_keras.evaluation.linear import Linear
from ssl_keras.evaluation.linear_sgd import LinearSGD
from ssl_keras.evaluation.local_features import LocalFeatures
from ssl_keras.evaluation.mean_classifier import MeanClassifier
from ssl_keras.evaluation.retrieval import Retrieval
from ssl_keras.registry import Registry

__all__ = ["HEADS", "Baseline", "FrozenFeatures", "Head"]

HEADS: Registry[Head] = Registry(
    "head",
    {
        "linear": Linear,
        "knn": KNN,
        "geometry": Geometry,
        "linear_sgd": LinearSGD,
        "mean_classifier": MeanClassifier,
        "bits": Bits,
        "retrieval": Retrieval,
        "decoder": Decoder,
        "local_features": LocalFeatures,
        "supervised": SupervisedBaseline,
        "autoencoder": AutoencoderBaseline,
    },
)
