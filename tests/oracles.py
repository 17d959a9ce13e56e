"""The formulas of the papers as plain loops over NumPy scalars: slow, and easy to check by eye."""

from __future__ import annotations

import math
from typing import Any

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
        points_sorted = sorted(float(point @ column) for point in points)
        samples_sorted = sorted(float(sample @ column) for sample in samples)
        for a, b in zip(points_sorted, samples_sorted, strict=True):
            total += (a - b) ** 2
            count += 1
    return total / count


def anchors(z1: np.ndarray, z2: np.ndarray, both_kinds: bool, direction: str = "both"):
    """(anchor, positive, negatives) of each anchor, from loops over images and kinds of views."""
    views = [np.asarray(z1, np.float64), np.asarray(z2, np.float64)]
    for kind in (0, 1) if direction == "both" else (0,):
        for i in range(len(z1)):
            negatives = []
            for other_kind in (0, 1):
                if other_kind == kind and not both_kinds:
                    continue
                negatives += [views[other_kind][k] for k in range(len(z1)) if k != i]
            yield views[kind][i], views[1 - kind][i], negatives


def nt_xent_variant(
    z1: np.ndarray, z2: np.ndarray, temperature: float, negatives: str, direction: str
) -> float:
    """Softmax over the positive and the negatives, for both or one kind of anchors."""
    losses = []
    for anchor, positive, others in anchors(unit(z1), unit(z2), negatives == "both", direction):
        numerator = math.exp(float(anchor @ positive) / temperature)
        rest = sum(math.exp(float(anchor @ other) / temperature) for other in others)
        losses.append(-math.log(numerator / (numerator + rest)))
    return float(np.mean(losses))


def debiased(
    z1: np.ndarray, z2: np.ndarray, temperature: float, tau_plus: float, beta: float = 0.0
) -> float:
    """Chuang et al. 2020, eq. 7 and 8; with beta Robinson et al. 2021, as in their code."""
    losses = []
    for anchor, positive, others in anchors(unit(z1), unit(z2), True):
        pos = math.exp(float(anchor @ positive) / temperature)
        neg = [math.exp(float(anchor @ other) / temperature) for other in others]
        count = len(neg)
        weighted = 0.0
        if count:
            importance = [value**beta for value in neg]
            products = [a * b for a, b in zip(importance, neg, strict=True)]
            weighted = sum(products) / (sum(importance) / count)
        estimate = (weighted - tau_plus * count * pos) / (1 - tau_plus)
        estimate = max(estimate, count * math.exp(-1 / temperature))
        losses.append(-math.log(pos / (pos + estimate)))
    return float(np.mean(losses))


def supcon(z1: np.ndarray, z2: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    """Khosla et al. 2020, eq. 2: the mean over positives outside the logarithm."""
    views, classes = unit(np.concatenate([z1, z2])), [*labels, *labels]
    total = 0.0
    for i in range(len(views)):
        others = [k for k in range(len(views)) if k != i]
        denominator = sum(math.exp(float(views[i] @ views[k]) / temperature) for k in others)
        positives = [k for k in others if np.array_equal(classes[k], classes[i])]
        inner = 0.0
        for p in positives:
            inner += math.log(math.exp(float(views[i] @ views[p]) / temperature) / denominator)
        total += -inner / len(positives)
    return total / len(views)


def align_uniform(
    z1: np.ndarray, z2: np.ndarray, weights: tuple[float, float], alpha: float, t: float
) -> float:
    """Wang and Isola 2020: mean powered distance, and log mean potential over unordered pairs."""
    x, y = unit(z1), unit(z2)
    align = np.mean([np.linalg.norm(a - b) ** alpha for a, b in zip(x, y, strict=True)])

    def uniform(rows: np.ndarray) -> float:
        potentials = [
            math.exp(-t * float(np.sum((rows[i] - rows[j]) ** 2)))
            for i in range(len(rows))
            for j in range(i + 1, len(rows))
        ]
        return math.log(float(np.mean(potentials))) if potentials else 0.0

    return float(weights[0] * align + weights[1] * (uniform(x) + uniform(y)) / 2)


def ifm(z1: np.ndarray, z2: np.ndarray, temperature: float, epsilon: float) -> float:
    """Robinson et al. 2021: NT-Xent, and with every similarity moved against the anchor."""
    losses = []
    for anchor, positive, others in anchors(unit(z1), unit(z2), True):
        for moved in (0.0, epsilon):
            own = math.exp((float(anchor @ positive) - moved) / temperature)
            rest = sum(math.exp((float(anchor @ other) + moved) / temperature) for other in others)
            losses.append(-math.log(own / (own + rest)))
    return float(np.mean(losses))


def vicreg(z1: np.ndarray, z2: np.ndarray, weights: tuple[float, float, float]) -> float:
    """Bardes et al. 2022, as the authors' code averages its terms."""
    squares = [(a - b) ** 2 for x, y in zip(z1, z2, strict=True) for a, b in zip(x, y, strict=True)]
    variances, covariances = [], []
    for rows in (z1.astype(np.float64), z2.astype(np.float64)):
        dim, others = rows.shape[1], max(len(rows) - 1, 1)
        means = [sum(rows[:, j]) / len(rows) for j in range(dim)]

        def entry(i: int, j: int, rows: Any = rows, means: Any = means, n: int = others) -> float:
            return sum((row[i] - means[i]) * (row[j] - means[j]) for row in rows) / n

        gaps = [max(0.0, 1 - math.sqrt(entry(j, j) + 1e-4)) for j in range(dim)]
        variances.append(sum(gaps) / dim)
        pairs = [(i, j) for i in range(dim) for j in range(dim) if i != j]
        covariances.append(sum(entry(i, j) ** 2 for i, j in pairs) / dim)
    parts = (sum(squares) / len(squares), sum(variances) / 2, sum(covariances))
    return float(sum(weight * part for weight, part in zip(weights, parts, strict=True)))


def barlow_twins(z1: np.ndarray, z2: np.ndarray, weight: float) -> float:
    """Zbontar et al. 2021, eq. 1 and 2, with the 0.00001 of their batch norm."""
    dim, total = z1.shape[1], 0.0
    standard = []
    for rows in (z1.astype(np.float64), z2.astype(np.float64)):
        columns = [rows[:, j] - sum(rows[:, j]) / len(rows) for j in range(dim)]
        standard.append([c / math.sqrt(sum(c * c) / len(c) + 1e-5) for c in columns])
    for i, first in enumerate(standard[0]):
        for j, second in enumerate(standard[1]):
            correlation = float(sum(first * second)) / len(z1)
            total += (1 - correlation) ** 2 if i == j else weight * correlation**2
    return total


def simple(z1: np.ndarray, z2: np.ndarray, weight: float, number: int | None = None) -> float:
    """Wang and Liu 2021, eq. 5, with a mean over the (hardest) negatives."""
    losses = []
    for anchor, positive, others in anchors(unit(z1), unit(z2), True):
        hardest = sorted((float(anchor @ other) for other in others), reverse=True)[:number]
        mean = sum(hardest) / len(hardest) if hardest else 0.0
        losses.append(-float(anchor @ positive) + weight * mean)
    return float(np.mean(losses))


def hard_contrastive(z1: np.ndarray, z2: np.ndarray, temperature: float, number: int) -> float:
    """Wang and Liu 2021: only the hardest negatives in the denominator."""
    losses = []
    for anchor, positive, others in anchors(unit(z1), unit(z2), True):
        hardest = sorted((float(anchor @ other) for other in others), reverse=True)[:number]
        pos = math.exp(float(anchor @ positive) / temperature)
        rest = sum(math.exp(value / temperature) for value in hardest)
        losses.append(-math.log(pos / (pos + rest)))
    return float(np.mean(losses))


def dot_product_losses(z1: np.ndarray, z2: np.ndarray) -> dict[str, float]:
    """Sohn 2016 (n_pair), and Arora et al. 2019 (logistic, hinge), from v = f.f+ - f.f-."""
    n_pair, logistic, hinge = [], [], []
    for anchor, positive, others in anchors(z1, z2, False):
        v = [float(anchor @ (positive - other)) for other in others]
        n_pair.append(math.log(1 + sum(math.exp(-value) for value in v)))
        logistic.append(math.log2(1 + sum(math.exp(-value) for value in v)))
        hinge.append(max(0.0, 1 + max(-value for value in v)) if v else 0.0)
    means = {"n_pair": n_pair, "logistic": logistic, "hinge": hinge}
    return {name: float(np.mean(values)) for name, values in means.items()}


def triplet(z1: np.ndarray, z2: np.ndarray, margin: float, mining: str) -> float:
    """Schroff et al. 2015 on unit vectors."""
    losses = []
    for anchor, positive, others in anchors(unit(z1), unit(z2), True):
        near = float(np.sum((anchor - positive) ** 2))
        far = [float(np.sum((anchor - other) ** 2)) for other in others]
        if mining == "hard":
            far = [min(far)]
        elif mining == "semi_hard":
            outside = [value for value in far if value > near]
            far = [min(outside)] if outside else [max(far)]
        losses.append(np.mean([max(0.0, near - value + margin) for value in far]))
    return float(np.mean(losses))


def margin(z1: np.ndarray, z2: np.ndarray, distance: float) -> float:
    """Chopra et al. 2005: squared distances of positives, squared gaps of negatives."""
    same, different = [], []
    for anchor, positive, others in anchors(z1, z2, True):
        same.append(float(np.sum((anchor - positive) ** 2)))
        gaps = [max(0.0, distance - float(np.linalg.norm(anchor - o))) ** 2 for o in others]
        different.append(float(np.mean(gaps)))
    return float(np.mean(same) + np.mean(different))
