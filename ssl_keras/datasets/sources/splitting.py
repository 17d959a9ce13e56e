"""Splitting a source that has no test split of its own."""

from __future__ import annotations

import numpy as np

TEST_SHARE = 0.2


def seeded_split(
    labels: np.ndarray, seed: int, test_share: float = TEST_SHARE
) -> tuple[np.ndarray, np.ndarray]:
    """(train indices, test indices): `test_share` of each class, drawn by `seed`, is for testing.

    Both lists are sorted, so the order of examples is that of the source.

    Args:
        labels: integers (examples,), of any values; all equal without labels.
        seed: chooses the examples.
        test_share: share of each class, rounded.
    """
    generator = np.random.default_rng(seed)
    test = []
    for label in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == label))
        test.append(members[: round(test_share * len(members))])
    test_indices = np.sort(np.concatenate(test))
    train_indices = np.setdiff1d(np.arange(len(labels)), test_indices)
    return train_indices, test_indices
