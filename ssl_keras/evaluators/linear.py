"""Logistic regression on frozen features, to convergence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ssl_keras.evaluators.base import Evaluator, FrozenFeatures, measured
from ssl_keras.options import option

# Weights of the penalty that are tried, strongest first: each fit starts from the one before.
L2_GRID = tuple(10.0**exponent for exponent in range(0, -6, -1))
_VALIDATION_SHARE = 0.2
# Most training examples that the search for l2 uses.
SEARCH_EXAMPLES = 10_000


@dataclass(frozen=True)
class Linear(Evaluator):
    """Linear evaluation: multinomial logistic regression for a class, one logistic regression a
    bit for bits.

        minimise  mean cross-entropy + l2 / 2 * ||weights||^2     (biases are not penalised)

    on features standardised by the mean and deviation of the training split, by L-BFGS until it
    converges. l2 is the one of `L2_GRID` with the lowest cross-entropy on a seeded fifth of the
    *training* split (per declared target; of a large split, 10,000 examples drawn by the seed
    serve for this choice); then the whole training split is fitted. The test split is used once,
    for the accuracy. Where a data set has images of its own to fit evaluators on, they are the
    training split here.
    """

    linear_max_iterations: int = option(
        1000, minimum=1, help="most iterations of L-BFGS for each fit of the linear head"
    )

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        for name, target in frozen.targets.items():
            found = probe(frozen, name, seed, self.linear_max_iterations)
            accuracies = measured(target, frozen.test_labels[name], found.logits, seed)
            for key, value in accuracies.items():
                yield f"{name}/{key}", value
            yield f"{name}/l2", found.l2


@dataclass(frozen=True)
class Probe:
    """A fitted regression.

    Attributes:
        logits: (test examples, size).
        l2: the weight of the penalty that was chosen.
    """

    logits: np.ndarray
    l2: float


def probe(frozen: FrozenFeatures, name: str, seed: int, max_iterations: int = 1000) -> Probe:
    """The regression of the target `name`, its l2 chosen on a part of the training split.

    Kept in the cache of `frozen`: evaluators that need the same regression fit it once.
    """
    key = f"linear/{name}/{seed}/{max_iterations}"
    if key in frozen.cache:
        return frozen.cache[key]
    target = frozen.targets[name]
    if "standardized" not in frozen.cache:
        frozen.cache["standardized"] = standardize(frozen.train, frozen.test)
    train, test = frozen.cache["standardized"]
    order = np.random.default_rng(seed).permutation(len(train))[:SEARCH_EXAMPLES]
    held_out = max(1, round(_VALIDATION_SHARE * len(order)))
    validation, fitting = np.sort(order[:held_out]), np.sort(order[held_out:])
    one_hot_labels = one_hot(frozen.train_labels[name], target.kind, target.size)
    scores: list[float] = []
    tried: list[np.ndarray] = []
    for l2 in L2_GRID:
        start = tried[-1] if tried else None
        weights = fit(
            train[fitting],
            one_hot_labels[fitting],
            target.kind,
            l2,
            start=start,
            max_iterations=max_iterations,
        )
        tried.append(weights)
        logits = predict(weights, train[validation])
        scores.append(cross_entropy(logits, one_hot_labels[validation], target.kind)[0])
        # Weaker penalties only overfit more once the score has risen twice in a row.
        if len(scores) > 2 and scores[-1] > scores[-2] > scores[-3]:
            break
    chosen = int(np.argmin(scores))
    weights = fit(
        train,
        one_hot_labels,
        target.kind,
        L2_GRID[chosen],
        start=tried[chosen],
        max_iterations=max_iterations,
    )
    frozen.cache[key] = Probe(predict(weights, test), L2_GRID[chosen])
    return frozen.cache[key]


def standardize(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both splits minus the training mean, over the training deviation (1 where it is 0)."""
    train, test = np.asarray(train, np.float64), np.asarray(test, np.float64)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    # A dead unit has a deviation of float32 rounding errors, relative to its own mean; dividing by
    # it would invent a feature.
    deviation = np.where(deviation > 1e-6 * np.abs(mean), deviation, 1.0)
    return (train - mean) / deviation, (test - mean) / deviation


def one_hot(labels: np.ndarray, kind: str, size: int) -> np.ndarray:
    """Labels as float64 one_hot_labels (examples, size)."""
    return np.eye(size)[labels] if kind == "class" else labels.astype(np.float64)


def predict(weights: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Logits (examples, size) of `weights` (dim + 1, size), whose last row are the biases."""
    return features @ weights[:-1] + weights[-1]


def cross_entropy(
    logits: np.ndarray, one_hot_labels: np.ndarray, kind: str
) -> tuple[float, np.ndarray]:
    """The mean cross-entropy and its gradient for the logits.

    For bits the mean runs over examples and the sum over bits, so the regressions of the bits do
    not influence each other.
    """
    if kind == "class":
        shifted = logits - logits.max(axis=1, keepdims=True)
        exponentials = np.exp(shifted)
        totals = exponentials.sum(axis=1, keepdims=True)
        loss = np.sum(np.log(totals)) - np.sum(one_hot_labels * shifted)
        probabilities = exponentials / totals
    else:
        loss = np.sum(np.logaddexp(0.0, logits) - one_hot_labels * logits)
        probabilities = 0.5 * (1.0 + np.tanh(0.5 * logits))
    return float(loss) / len(logits), (probabilities - one_hot_labels) / len(logits)


def objective(
    weights: np.ndarray, features: np.ndarray, one_hot_labels: np.ndarray, kind: str, l2: float
) -> tuple[float, np.ndarray]:
    """What `fit` minimises, and its gradient; `weights` (dim + 1, size)."""
    loss, gradient = cross_entropy(predict(weights, features), one_hot_labels, kind)
    penalty = np.vstack([weights[:-1], np.zeros((1, weights.shape[1]))])
    gradient = np.vstack([features.T @ gradient, gradient.sum(axis=0, keepdims=True)])
    return loss + 0.5 * l2 * float(np.sum(penalty**2)), gradient + l2 * penalty


def fit(
    features: np.ndarray,
    one_hot_labels: np.ndarray,
    kind: str,
    l2: float,
    *,
    start: np.ndarray | None = None,
    max_iterations: int = 1000,
) -> np.ndarray:
    """The weights (dim + 1, size) of the penalised regression; the last row are the biases.

    Args:
        features: float64 (examples, dim), standardised.
        one_hot_labels: float64 (examples, size), see `one_hot`.
        kind: "class" or "bits".
        l2: weight of the penalty.
        start: weights to start from. Default: zeros.
        max_iterations: most iterations of L-BFGS.
    """
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    shape = (features.shape[1] + 1, one_hot_labels.shape[1])

    def flat(vector: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = objective(vector.reshape(shape), features, one_hot_labels, kind, l2)
        return value, gradient.ravel()

    initial = np.zeros(shape) if start is None else start
    options = {"maxiter": max_iterations, "maxfun": 2 * max_iterations, "gtol": 1e-5, "ftol": 1e-10}
    # The small products in between make the thread pools of NumPy and SciPy wait for each other:
    # one thread is several times faster, on all sizes that were tried.
    with threadpool_limits(1, user_api="blas"):
        result = minimize(flat, initial.ravel(), jac=True, method="L-BFGS-B", options=options)
    return result.x.reshape(shape)
