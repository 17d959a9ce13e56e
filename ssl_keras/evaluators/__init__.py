"""Evaluators: frozen features in, (name, value) pairs out. Selected by name.

`EVALUATORS` is the dictionary behind `--heads`. An evaluator knows nothing of models or
trainers; a `Baseline` names a method that is trained beside the run, and measured by the others.
"""

from __future__ import annotations

from ssl_keras.evaluators.base import Evaluator, FrozenFeatures
from ssl_keras.evaluators.baselines import AutoencoderBaseline, Baseline, SupervisedBaseline
from ssl_keras.evaluators.bits import Bits
from ssl_keras.evaluators.decoder import Decoder
from ssl_keras.evaluators.geometry import Geometry
from ssl_keras.evaluators.goal_reaching import GoalReaching
from ssl_keras.evaluators.knn import KNN
from ssl_keras.evaluators.linear import Linear
from ssl_keras.evaluators.linear_sgd import LinearSGD
from ssl_keras.evaluators.local_features import LocalFeatures
from ssl_keras.evaluators.mean_classifier import MeanClassifier
from ssl_keras.evaluators.open_world import FewShot, Verification
from ssl_keras.evaluators.retrieval import Retrieval
from ssl_keras.evaluators.text import Parallel, TfIdf
from ssl_keras.evaluators.words import Analogies, Bias, Similarity
from ssl_keras.options import Registry

__all__ = ["EVALUATORS", "Baseline", "Evaluator", "FrozenFeatures"]

EVALUATORS: Registry[Evaluator] = Registry(
    "head",
    Evaluator,
    {
        "linear": Linear,
        "knn": KNN,
        "geometry": Geometry,
        "linear_sgd": LinearSGD,
        "mean_classifier": MeanClassifier,
        "bits": Bits,
        "retrieval": Retrieval,
        "verification": Verification,
        "few_shot": FewShot,
        "goal_reaching": GoalReaching,
        "similarity": Similarity,
        "analogies": Analogies,
        "bias": Bias,
        "parallel": Parallel,
        "tf_idf": TfIdf,
        "decoder": Decoder,
        "local_features": LocalFeatures,
        "supervised": SupervisedBaseline,
        "autoencoder": AutoencoderBaseline,
    },
)
