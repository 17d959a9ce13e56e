"""Orders of the training examples in groups, for conditioned negatives (`losses.groups`)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ssl_keras.neighbours import nearest_others, unit_rows

# An epoch's order of examples: function(epoch) -> indices int64 (examples,), group by group. The
# examples that fill no group are left out.
Order = Callable[[int], np.ndarray]

# Nearest neighbours of an example that are looked at first. Where too few of them are free, the
# nearest of all free ones are searched for.
CANDIDATES = 64


def near_examples(vectors: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest other examples of each one, for groups of `size`: (indices, cosines), each
    (examples, `CANDIDATES` or more, but for few examples). The time grows with the square of the
    number of examples: 60,000 take ten seconds on two cores."""
    return nearest_others(vectors, min(max(CANDIDATES, 4 * size), len(vectors) - 1))


def neighbour_order(vectors: np.ndarray, candidates: np.ndarray, size: int, seed: int) -> Order:
    """Groups of nearest neighbours.

    In each epoch the examples are gone through in a random order: each one that is in no group yet
    forms one with its `size - 1` nearest examples that are in none. The groups are then shuffled.

    Args:
        vectors: (examples, dim); neighbours have the largest cosine.
        candidates: the indices of `near_examples`.
        size: examples in a group.
        seed: seed of the run. An epoch's order is a function of (vectors, seed, epoch).
    """
    vectors = unit_rows(vectors)
    total = len(vectors)

    def order(epoch: int) -> np.ndarray:
        generator = np.random.default_rng([seed, 4, epoch])
        free = np.ones(total, bool)
        groups = []
        for first in generator.permutation(total):
            if not free[first]:
                continue
            free[first] = False
            near = candidates[first]
            members = near[free[near]][: size - 1]
            if len(members) < size - 1:
                others = np.flatnonzero(free)
                nearness = vectors[others] @ vectors[first]
                members = others[np.argsort(-nearness, kind="stable")[: size - 1]]
            if len(members) < size - 1:
                break
            free[members] = False
            groups.append([first, *members])
        return _shuffled(np.array(groups, np.int64), generator)

    return order


def near_neighbours(cosines: np.ndarray) -> int | None:
    """How many neighbours of an example are much nearer than all others: the median over examples.

    An example's near neighbours end where the cosine drops most, if the distance 1 - cosine more
    than doubles there. None if that is so for less than half of the examples: they have more near
    neighbours than `cosines` show, or none.

    Where easy features make clusters, such as the codes of bits, it is about the number of others
    in a cluster. A group of neighbours should not be larger than that, or the easy features tell
    its members apart. It needs no labels.

    Args:
        cosines: those of `near_examples`, at least two an example.
    """
    drops = cosines[:, :-1] - cosines[:, 1:]
    last = np.argmax(drops, axis=1)
    rows = np.arange(len(cosines))
    clear = drops[rows, last] > (1 - cosines[rows, last + 1]) / 2
    return int(np.median(last[clear] + 1)) if np.mean(clear) >= 0.5 else None


def label_order(labels: np.ndarray, size: int, seed: int) -> Order:
    """Groups of examples with equal labels, at random.

    The examples of a label that fill no group form groups with those of other labels.

    Args:
        labels: int (examples,), or (examples, bits): equal if all entries are.
        size: examples in a group.
        seed: seed of the run.
    """
    codes = np.unique(np.asarray(labels), axis=0, return_inverse=True)[1].reshape(-1)
    counts = np.bincount(codes)

    def order(epoch: int) -> np.ndarray:
        generator = np.random.default_rng([seed, 4, epoch])
        rows = generator.permutation(len(codes))
        rows = rows[np.argsort(codes[rows], kind="stable")]
        first_of_code = np.cumsum(counts) - counts
        place = np.arange(len(rows)) - first_of_code[codes[rows]]
        whole = place < counts[codes[rows]] // size * size
        rest = rows[~whole]
        used = np.concatenate([rows[whole], rest[: len(rest) // size * size]])
        return _shuffled(used.reshape(-1, size), generator)

    return order


def cluster_labels(features: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    """K-means clusters of normalised features, by scikit-learn: int32 (examples,)."""
    from sklearn.cluster import KMeans

    means = KMeans(num_clusters, n_init=3, random_state=seed)
    return np.asarray(means.fit_predict(unit_rows(features)), np.int32)


def _shuffled(groups: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    return groups[generator.permutation(len(groups))].reshape(-1)
