"""Linear evaluation by stochastic gradient descent, as papers report it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ssl_keras.evaluation.base import FrozenFeatures, Head, decisions, measured
from ssl_keras.evaluation.linear import cross_entropy, one_hot, predict
from ssl_keras.registry import option


@dataclass(frozen=True)
class LinearSGD(Head):
    """A linear classifier by SGD on features as they are: the protocol of the papers.

    Nesterov momentum 0.9, learning rate `linear_sgd_learning_rate` * batch / 256 with cosine decay,
    90 epochs, no penalty, no validation split, weights from 0 (rule, epochs and momentum as in Chen
    et al. 2020; the decay is ours). Nothing adapts to the scale of the features, and nothing
    guarantees convergence: it is here to be compared with papers; `linear` is the measurement.
    Every entry of a vector is a logistic regression of its own.
    """

    linear_sgd_learning_rate: float = option(
        0.1, above=0, help="learning rate of linear_sgd for 256 images"
    )
    linear_sgd_epochs: int = option(90, minimum=1, help="epochs of linear_sgd")
    linear_sgd_batch_size: int = option(256, minimum=1, help="batch of linear_sgd")

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        for name, feature in frozen.features.items():
            targets = one_hot(frozen.train_labels[name], feature.kind, feature.size)
            weights = self.fit(frozen.train, targets, feature.kind, seed)
            logits = predict(weights, np.asarray(frozen.test, np.float64))
            predictions = decisions(feature, logits)
            labels = frozen.test_labels[name]
            for key, value in measured(feature, labels, predictions, seed, logits).items():
                yield f"{name}/{key}", value

    def fit(self, features: np.ndarray, targets: np.ndarray, kind: str, seed: int) -> np.ndarray:
        """The weights (dim + 1, size), the last row the biases.

        Args:
            features: (examples, dim).
            targets: float64 (examples, size), see `linear.one_hot`.
            kind: "class", "bits" or "presence".
            seed: chooses the order of the examples.
        """
        features = np.asarray(features, np.float64)
        count = len(features)
        batch = min(self.linear_sgd_batch_size, count)
        steps = self.linear_sgd_epochs * (count // batch)
        rate = self.linear_sgd_learning_rate * batch / 256
        generator = np.random.default_rng(seed)
        weights = np.zeros((features.shape[1] + 1, targets.shape[1]))
        velocity = np.zeros_like(weights)
        order = generator.permutation(count)
        position = 0
        for step in range(steps):
            if position + batch > count:
                order, position = generator.permutation(count), 0
            rows = order[position : position + batch]
            position += batch
            own = features[rows]
            _, slope = cross_entropy(predict(weights, own), targets[rows], kind)
            gradient = np.vstack([own.T @ slope, slope.sum(axis=0, keepdims=True)])
            velocity = 0.9 * velocity + gradient
            decay = (1 + math.cos(math.pi * step / steps)) / 2
            weights -= rate * decay * (gradient + 0.9 * velocity)
        return weights
