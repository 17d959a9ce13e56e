"""Logistic regression on frozen features, to convergence."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ssl_keras.evaluators.base import Evaluator, FrozenFeatures, measured
from ssl_keras.lazy import tf
from ssl_keras.options import option

# Candidate weights of the penalty, strongest first: each fit starts from those before.
L2_GRID = tuple(10.0**exponent for exponent in range(0, -10, -1))
# On separable data a weaker penalty always gains something. From this weight on the search ends
# where it gains less than this cross-entropy.
_WEAK, _GAIN = 1e-3, 1e-3
_VALIDATION_SHARE = 0.2
# Most training examples in the search for l2.
SEARCH_EXAMPLES = 10_000


@dataclass(frozen=True)
class Linear(Evaluator):
    """Linear evaluation: multinomial logistic regression for a class, one logistic regression a
    bit for bits.

        minimise  mean cross-entropy + l2 / 2 * ||weights||^2     (biases are not penalised)

    on features standardised by the mean and deviation of the training split, by L-BFGS and
    Newton's method until it converges, see `fit`. l2 is the value of `L2_GRID` with the lowest
    cross-entropy on a random fifth of the *training* split, for each target, or of 10,000 random
    examples of it, if it has more; then the whole training split is fitted. The search goes from
    strong to weak penalties, and ends when the cross-entropy rises, or gains less than 0.001. The
    test split is used once, for the accuracy. If a data set has further images to fit evaluators
    on, they are the training split here.
    """

    linear_max_iterations: int = option(
        1000, minimum=1, help="most iterations of L-BFGS for each fit of the linear head"
    )

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        for name, target in frozen.targets.items():
            regression = probe(frozen, name, seed, self.linear_max_iterations)
            accuracies = measured(target, frozen.test_labels[name], regression.logits, seed)
            for key, value in accuracies.items():
                yield f"{name}/{key}", value
            yield f"{name}/l2", regression.l2


@dataclass(frozen=True)
class Probe:
    """A fitted regression.

    Attributes:
        logits: (test examples, size).
        l2: the selected weight of the penalty.
    """

    logits: np.ndarray
    l2: float


def probe(frozen: FrozenFeatures, name: str, seed: int, max_iterations: int = 1000) -> Probe:
    """The regression of the target `name`, with its l2 selected on a part of the training split.

    Stored in the cache of `frozen`, so that evaluators share it.
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
    candidates: list[np.ndarray] = []
    fitted = _rotated(frozen, f"fitting/{seed}", train[fitting])
    start = None
    for l2 in L2_GRID:
        weights = fit(
            fitted,
            one_hot_labels[fitting],
            target.kind,
            l2,
            start=start,
            max_iterations=max_iterations,
        )
        # The next fit goes on where this one has gone.
        start = 2 * weights - candidates[-1] if candidates else weights
        candidates.append(weights)
        logits = predict(weights, train[validation])
        scores.append(cross_entropy(logits, one_hot_labels[validation], target.kind)[0])
        # Once the score has risen, weaker penalties only overfit more.
        if len(scores) > 1 and scores[-1] > scores[-2]:
            break
        if l2 < _WEAK and scores[-2] - scores[-1] < _GAIN * (
            1 if target.kind == "class" else target.size
        ):
            break
    best = int(np.argmin(scores))
    weights = fit(
        _rotated(frozen, "train", train),
        one_hot_labels,
        target.kind,
        L2_GRID[best],
        start=candidates[best],
        max_iterations=max_iterations,
        exact=True,
    )
    frozen.cache[key] = Probe(predict(weights, test), L2_GRID[best])
    return frozen.cache[key]


def _rotated(frozen: FrozenFeatures, part: str, features: np.ndarray) -> Rotated:
    """`rotate`, once for all targets."""
    key = f"rotated/{part}"
    if key not in frozen.cache:
        frozen.cache[key] = rotate(features)
    return frozen.cache[key]


def standardize(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both splits minus the training mean, over the training deviation (1 where it is 0)."""
    train, test = np.asarray(train, np.float64), np.asarray(test, np.float64)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    # The deviation of a dead unit is a rounding error relative to its mean; dividing by it would
    # turn noise into a feature.
    deviation = np.where(deviation > 1e-6 * np.abs(mean), deviation, 1.0)
    return (train - mean) / deviation, (test - mean) / deviation


def one_hot(labels: np.ndarray, kind: str, size: int) -> np.ndarray:
    """Labels as float64 (examples, size): one-hot classes, or vectors as they are."""
    return np.eye(size)[labels] if kind == "class" else labels.astype(np.float64)


def predict(weights: np.ndarray, features: np.ndarray) -> np.ndarray:
    """Logits (examples, size) of `weights` (dim + 1, size), whose last row holds the biases."""
    return features @ weights[:-1] + weights[-1]


def cross_entropy(
    logits: np.ndarray, one_hot_labels: np.ndarray, kind: str
) -> tuple[float, np.ndarray]:
    """The mean cross-entropy and its gradient with respect to the logits.

    For bits it is the mean over examples of the sum over bits, so the regressions of the bits are
    independent.
    """
    losses, slopes = _losses(tf.constant(logits), tf.constant(one_hot_labels), kind)
    return float(np.sum(losses, dtype=np.float64)) / len(logits), slopes.numpy() / len(logits)


def _losses(logits: Any, one_hot_labels: Any, kind: str) -> tuple[Any, Any]:
    """Cross-entropy (examples,), and probabilities minus labels (examples, size): its slopes; of
    tensors of one type."""
    if kind == "class" and not tf.config.list_physical_devices("GPU"):
        # One operation for both. On a GPU it is not deterministic.
        return tf.raw_ops.SoftmaxCrossEntropyWithLogits(features=logits, labels=one_hot_labels)
    if kind == "class":
        logs = tf.nn.log_softmax(logits)
        return -tf.reduce_sum(one_hot_labels * logs, axis=1), tf.exp(logs) - one_hot_labels
    losses = tf.nn.softplus(logits) - one_hot_labels * logits
    return tf.reduce_sum(losses, axis=1), tf.sigmoid(logits) - one_hot_labels


class Objective:
    """What `fit` minimises, its gradient, and products with its Hessian.

    Computed by TensorFlow on all cores, in float32 or float64; losses are summed in float64.

    Attributes:
        count: number of examples.
    """

    def __init__(
        self, features: np.ndarray, one_hot_labels: np.ndarray, kind: str, dtype: Any = np.float64
    ) -> None:
        self._kind, self._dtype, self.count = kind, dtype, len(features)
        # The last column is that of the biases.
        columns = np.ones((self.count, features.shape[1] + 1), dtype)
        columns[:, :-1] = features
        self._features = tf.constant(columns)
        self._labels = tf.constant(one_hot_labels, dtype)

    def __call__(self, weights: np.ndarray, l2: float) -> tuple[float, np.ndarray]:
        """The objective at `weights` (dim + 1, size), and its gradient, both float64."""
        losses, slopes = self._losses_at(weights)
        loss = float(np.sum(losses, dtype=np.float64)) / self.count
        gradient = self._transposed(slopes)
        gradient[:-1] += l2 * weights[:-1]
        return loss + 0.5 * l2 * float(np.sum(weights[:-1] ** 2)), gradient

    def curvature(self, weights: np.ndarray) -> np.ndarray:
        """(size,), the mean of p (1 - p) over the predictions p at `weights`."""
        p = self._predictions(weights)
        return np.asarray(tf.reduce_mean(p * (1 - p), axis=0), np.float64)

    def hessian(self, weights: np.ndarray, l2: float) -> Callable[[np.ndarray], np.ndarray]:
        """The function that multiplies (dim + 1, size) with the Hessian at `weights`."""
        p = self._predictions(weights)

        def product(step: np.ndarray) -> np.ndarray:
            moved = p * self._logits(step)
            if self._kind == "class":
                moved -= p * tf.reduce_sum(moved, axis=1, keepdims=True)
            else:
                moved *= 1 - p
            result = self._transposed(moved)
            result[:-1] += l2 * step[:-1]
            return result

        return product

    def _losses_at(self, weights: np.ndarray) -> tuple[Any, Any]:
        return _losses(self._logits(weights), self._labels, self._kind)

    def _predictions(self, weights: np.ndarray) -> Any:
        """Probabilities (examples, size)."""
        return self._losses_at(weights)[1] + self._labels

    def _logits(self, weights: np.ndarray) -> Any:
        return tf.matmul(self._features, weights.astype(self._dtype))

    def _transposed(self, slopes: Any) -> np.ndarray:
        """The gradient of the weights, float64, from that of the logits times `count`."""
        gradient = tf.matmul(self._features, slopes, transpose_a=True)
        return np.asarray(gradient, np.float64) / self.count


@dataclass(frozen=True)
class Rotated:
    """Features in the principal axes of their second moments, which `fit` needs for its speed.

    Attributes:
        features: (examples, rank), the features times `axes`.
        moments: (rank,), the mean square of each column of `features`.
        axes: (dim, rank), orthonormal. Directions without a moment are left out: the optimal
            weights are zero there.
    """

    features: np.ndarray
    moments: np.ndarray
    axes: np.ndarray


def rotate(features: np.ndarray) -> Rotated:
    """`Rotated` of float64 features (examples, dim), by the smaller of both Gram matrices."""
    count, dim = features.shape
    with _one_thread():
        few = features if dim <= count else features.T
        moments, vectors = np.linalg.eigh(few.T @ few / count)
        kept = moments > 1e-12 * max(moments[-1], np.finfo(np.float64).tiny)
        moments, axes = moments[kept], vectors[:, kept]
        if dim > count:
            axes = features.T @ axes / np.sqrt(count * moments)
        return Rotated(features @ axes, moments, axes)


def _one_thread() -> Any:
    """Context in which NumPy and SciPy compute with one thread.

    With small products their thread pools wait for each other: one thread is several times faster
    at all measured sizes.
    """
    return _thread_pools().limit(limits=1, user_api="blas")


@functools.cache
def _thread_pools() -> Any:
    import scipy.linalg  # noqa: F401  (its thread pool too)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def fit(
    features: np.ndarray | Rotated,
    one_hot_labels: np.ndarray,
    kind: str,
    l2: float,
    *,
    start: np.ndarray | None = None,
    max_iterations: int = 1000,
    exact: bool = False,
) -> np.ndarray:
    """The weights (dim + 1, size) of the penalised regression; the last row holds the biases.

    L-BFGS in float32, in coordinates in which the Hessian is near the identity: weight i along the
    principal axes is divided by 1 / sqrt(c m_i + l2), where m_i is the mean square of the features
    along the axis and c is the mean of p (1 - p) over the predictions p at the start. It needs a
    third of the time of L-BFGS on the weights as they are, and comes nearer to the minimum. It ends
    where a step gains less than 1e-5 of the objective, which suffices to choose a penalty.

    With small l2 the objective is so flat that some predictions still depend on the start there.
    `exact` goes on with Newton's method, whose steps are solved by conjugate gradients in float32,
    until the objective, in float64, is within about l2 / 10,000 of its minimum.

    Args:
        features: float64 (examples, dim), standardised; `rotate` them once for several fits.
        one_hot_labels: float64 (examples, size), see `one_hot`.
        kind: "class" or "bits".
        l2: weight of the penalty.
        start: weights to start from. Default: zeros.
        max_iterations: most iterations of L-BFGS.
        exact: whether to go on with Newton's method, unless L-BFGS used all its iterations.
    """
    from scipy.optimize import minimize

    rotated = rotate(features) if isinstance(features, np.ndarray) else features
    axes = rotated.axes
    shape = (axes.shape[1] + 1, one_hot_labels.shape[1])
    initial = np.zeros(shape)
    if start is not None:
        initial = np.vstack([axes.T @ start[:-1], start[-1:]])
    objective = Objective(rotated.features, one_hot_labels, kind, np.float32)
    curvature = max(float(np.mean(objective.curvature(initial))), 1e-6)
    hessian = np.append(curvature * rotated.moments + l2, curvature)  # the biases have no penalty
    scale = 1 / np.sqrt(hessian)[:, None]

    def flat(vector: np.ndarray) -> tuple[float, np.ndarray]:
        value, gradient = objective(scale * vector.reshape(shape), l2)
        return value, (scale * gradient).ravel()

    options = {"maxiter": max_iterations, "maxfun": 2 * max_iterations, "gtol": 1e-4, "ftol": 1e-5}
    with _one_thread():
        result = minimize(
            flat, (initial / scale).ravel(), jac=True, method="L-BFGS-B", options=options
        )
    weights = scale * result.x.reshape(shape)
    if exact and result.nit < max_iterations:
        finish = Objective(rotated.features, one_hot_labels, kind)
        weights = _newton(weights, finish, objective, rotated.moments, l2)
    return np.vstack([axes @ weights[:-1], weights[-1:]])


# Most steps of Newton's method, and most products with the Hessian in each.
_NEWTON_STEPS, _PRODUCTS = 50, 300


def _newton(
    weights: np.ndarray,
    objective: Objective,
    coarse: Objective,
    moments: np.ndarray,
    l2: float,
) -> np.ndarray:
    """Weights (rank + 1, size) near the minimum, after more steps, see `fit`.

    Args:
        weights: where it starts.
        objective: the objective in float64.
        coarse: the same in float32, for products with the Hessian.
        moments: (rank,), the mean square of the features along each axis.
        l2: weight of the penalty.
    """
    value, gradient = objective(weights, l2)
    for _ in range(_NEWTON_STEPS):
        curvatures = np.maximum(coarse.curvature(weights), 1e-12)
        # Preconditioner: the diagonal of the Hessian, if features and variances were independent.
        diagonal = np.vstack([np.outer(moments, curvatures) + l2, curvatures])
        gap = 0.5 * float(np.sum(gradient**2 / diagonal))
        if gap <= 1e-4 * l2:
            break
        curved = coarse.hessian(weights, l2)
        step = _conjugate_gradients(curved, -gradient, diagonal, tolerance=0.1)
        slope, size = float(np.sum(gradient * step)), 1.0
        while size > 1e-4:
            moved = weights + size * step
            found, at_moved = objective(moved, l2)
            if found <= value + 1e-4 * size * slope:
                break
            size /= 2
        else:  # as near as the numbers allow
            break
        weights, value, gradient = moved, found, at_moved
    return weights


def _conjugate_gradients(
    matrix: Callable[[np.ndarray], np.ndarray],
    right: np.ndarray,
    diagonal: np.ndarray,
    tolerance: float,
) -> np.ndarray:
    """x with matrix(x) near `right`, for a positive definite matrix with about that diagonal."""
    found, residual = np.zeros_like(right), right.copy()
    scaled = residual / diagonal
    direction, square = scaled, float(np.sum(residual * scaled))
    aim = tolerance**2 * square
    for _ in range(_PRODUCTS):
        product = matrix(direction)
        curvature = float(np.sum(direction * product))
        if curvature <= 0:
            break
        length = square / curvature
        found, residual = found + length * direction, residual - length * product
        scaled = residual / diagonal
        before, square = square, float(np.sum(residual * scaled))
        if square <= aim:
            break
        direction = scaled + square / before * direction
    return found
