"""Linear evaluation by stochastic gradient descent, the protocol of most papers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ssl_keras.evaluators.base import Evaluator, FrozenFeatures, measured
from ssl_keras.evaluators.linear import cross_entropy, one_hot, predict
from ssl_keras.optimizers import lars_velocity
from ssl_keras.options import option


@dataclass(frozen=True)
class LinearSGD(Evaluator):
    """A linear classifier by SGD on raw features: the protocol of the papers.

    Nesterov momentum 0.9, learning rate `linear_sgd_learning_rate` * batch / 256 with cosine decay,
    90 epochs, no penalty, no validation split, initial weights 0 (rule, epochs and momentum as in
    Chen et al. 2020; the decay is ours). It does not adapt to the scale of the features and need
    not converge: use it to compare with papers, and `linear` as the measurement. Each entry of a
    vector has a logistic regression.

    With `linear_sgd_optimizer` = lars: momentum 0.9 without Nesterov's correction, and steps of the
    weights (not of the biases) scaled by the trust ratio of `optimizers.Lars`. With
    `linear_sgd_views` above 0 the classifier is trained on features of that many augmented views of
    each training image, another one each epoch, where papers train on random crops; test images are
    un-augmented.
    """

    linear_sgd_optimizer: str = option(
        "sgd", choices=("sgd", "lars"), help="optimizer of linear_sgd"
    )
    linear_sgd_views: int = option(
        0,
        minimum=0,
        maximum=100,
        help="augmented views of each training image that linear_sgd is trained on; 0: the image",
    )

    linear_sgd_learning_rate: float = option(
        0.1, above=0, help="learning rate of linear_sgd for 256 images"
    )
    linear_sgd_epochs: int = option(90, minimum=1, help="epochs of linear_sgd")
    linear_sgd_batch_size: int = option(256, minimum=1, help="batch of linear_sgd")

    @property
    def num_train_views(self) -> int:
        return self.linear_sgd_views

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        for name, target in frozen.targets.items():
            one_hot_labels = one_hot(frozen.train_labels[name], target.kind, target.size)
            copies = [frozen.train]
            if self.linear_sgd_views and frozen.train_views is not None:
                copies = list(frozen.train_views[: self.linear_sgd_views])
            weights = self.fit(copies, one_hot_labels, target.kind, seed)
            logits = predict(weights, np.asarray(frozen.test, np.float64))
            for key, value in measured(target, frozen.test_labels[name], logits, seed).items():
                yield f"{name}/{key}", value

    def fit(
        self, copies: Sequence[np.ndarray], one_hot_labels: np.ndarray, kind: str, seed: int
    ) -> np.ndarray:
        """The weights (dim + 1, size); the last row holds the biases.

        Args:
            copies: features (examples, dim) of views of the same examples, one for each epoch in
                turn.
            one_hot_labels: float64 (examples, size), see `linear.one_hot`.
            kind: "class", "bits" or "presence".
            seed: of the order of the examples.
        """
        count, dim = copies[0].shape
        batch = min(self.linear_sgd_batch_size, count)
        steps = self.linear_sgd_epochs * (count // batch)
        rate = self.linear_sgd_learning_rate * batch / 256
        generator = np.random.default_rng(seed)
        weights = np.zeros((dim + 1, one_hot_labels.shape[1]))
        velocity = np.zeros_like(weights)
        order = generator.permutation(count)
        epoch, position = 0, 0
        for step in range(steps):
            if position + batch > count:
                epoch, order, position = epoch + 1, generator.permutation(count), 0
            rows = order[position : position + batch]
            position += batch
            features = np.asarray(copies[epoch % len(copies)][rows], np.float64)
            _, slope = cross_entropy(predict(weights, features), one_hot_labels[rows], kind)
            gradient = np.vstack([features.T @ slope, slope.sum(axis=0, keepdims=True)])
            current = rate * (1 + math.cos(math.pi * step / steps)) / 2
            if self.linear_sgd_optimizer == "lars":
                kernel = velocity[:-1], weights[:-1], gradient[:-1]
                velocity[-1] = 0.9 * velocity[-1] + current * gradient[-1]
                velocity[:-1] = lars_velocity(*kernel, current, 0.9)
                weights -= velocity
            else:
                velocity = 0.9 * velocity + gradient
                weights -= current * (gradient + 0.9 * velocity)
        return weights
