"""The formulas of the papers as plain loops over NumPy scalars: slow, and easy to check by eye."""

from __future__ import annotations

import math

import numpy as np


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows of unit length, in float64."""
    rows = np.asarray(rows, np.float64)
    return np.stack([row / max(math.sqrt(sum(x * x for x in row)), 1e-6) for row in rows])


def nt_xent(z1: np.ndarray, z2: np.ndarray, temperature: float) -> float:
    """Chen et al. 2020, equation 1 and algorithm 1, averaged over the 2N anchors."""
    n = len(z1)
    views = unit(np.concatenate([z1, z2]))
    total = 0.0
    for i in range(2 * n):
        positive = (i + n) % (2 * n)
        denominator = 0.0
        for k in range(2 * n):
            if k != i:
                denominator += math.exp(float(views[i] @ views[k]) / temperature)
        numerator = math.exp(float(views[i] @ views[positive]) / temperature)
        total += -math.log(numerator / denominator)
    return total / (2 * n)


def alignment(z1: np.ndarray, z2: np.ndarray) -> float:
    """Mean over all entries of the squared difference, halved."""
    total, count = 0.0, 0
    for row_1, row_2 in zip(np.asarray(z1, np.float64), np.asarray(z2, np.float64), strict=True):
        for a, b in zip(row_1, row_2, strict=True):
            total += (a - b) ** 2
            count += 1
    return total / count / 2


def logsumexp_uniformity(views: np.ndarray, temperature: float) -> float:
    """Mean over rows of logsumexp over all rows, minus the log of the dimension."""
    views = np.asarray(views, np.float64)
    total = 0.0
    for row in views:
        total += math.log(sum(math.exp(float(row @ other) / temperature) for other in views))
        total -= math.log(views.shape[1])
    return total / len(views)


def sliced_wasserstein(points: np.ndarray, samples: np.ndarray, directions: np.ndarray) -> float:
    """Mean over directions and ranks of the squared difference of sorted projections."""
    points, samples = np.asarray(points, np.float64), np.asarray(samples, np.float64)
    total, count = 0.0, 0
    for column in np.asarray(directions, np.float64).T:
        ours = sorted(float(point @ column) for point in points)
        theirs = sorted(float(sample @ column) for sample in samples)
        for a, b in zip(ours, theirs, strict=True):
            total += (a - b) ** 2
            count += 1
    return total / count
