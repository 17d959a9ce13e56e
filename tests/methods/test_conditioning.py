"""Orders of examples in groups: whole, disjoint, near, and a function of seed and epoch."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import neighbours
from ssl_keras.methods import conditioning


def codes_as_vectors(count: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Random codes, and a vector for each code with a little noise."""
    generator = np.random.default_rng(0)
    codes = generator.integers(0, 2**bits, count)
    places = generator.normal(size=(2**bits, 16))
    return codes, places[codes] + 1e-3 * generator.normal(size=(count, 16))


def neighbour_order(vectors: np.ndarray, size: int, seed: int) -> conditioning.Order:
    candidates, _ = conditioning.near_examples(vectors, size)
    return conditioning.neighbour_order(vectors, candidates, size, seed)


def test_neighbours_are_those_of_a_full_sort() -> None:
    vectors = neighbours.unit_rows(np.random.default_rng(0).normal(size=(2100, 8)))
    similarities = vectors @ vectors.T
    np.fill_diagonal(similarities, -np.inf)
    expected = np.argsort(-similarities, axis=1, kind="stable")[:, :5]
    found, cosines = neighbours.nearest_others(vectors, 5)
    assert found.shape == (2100, 5)
    assert np.mean(found == expected) > 0.999  # but for products that differ by rounding
    rows = np.arange(2100)[:, None]
    np.testing.assert_allclose(similarities[rows, found], similarities[rows, expected], atol=1e-6)
    assert not np.any(found == rows)
    np.testing.assert_allclose(cosines, similarities[rows, found], atol=1e-6)


@pytest.mark.parametrize("columns", [895, 896, 1003])
def test_the_largest_of_many_columns_are_those_of_a_sort_ties_included(columns: int) -> None:
    # Few different values: nearly all are ties.
    rows = np.random.default_rng(1).integers(0, 6, (40, columns)).astype(np.float32)
    rows[0], rows[1] = 0.0, -np.inf
    values, places = neighbours._largest(tf.constant(rows), 7)
    expected = np.argsort(-rows, axis=1, kind="stable")[:, :7]
    np.testing.assert_array_equal(places, expected)
    np.testing.assert_array_equal(values, np.take_along_axis(rows, expected, axis=1))


def test_of_many_equal_rows_none_is_its_own_neighbour_twice() -> None:
    found, cosines = neighbours.nearest_others(np.ones((10, 3)), 4)
    assert found.shape == (10, 4)
    np.testing.assert_allclose(cosines, 1.0, rtol=1e-6)


@pytest.mark.parametrize("bits", [4, 6, 8])
def test_near_neighbours_are_those_of_the_same_code(bits: int) -> None:
    codes, vectors = codes_as_vectors(400, bits)
    others = np.median(np.bincount(codes)[codes] - 1)
    found = conditioning.near_neighbours(conditioning.near_examples(vectors, 4)[1])
    assert found is not None
    assert abs(found - others) <= 2


def test_where_all_or_none_are_alike_none_are_near() -> None:
    for vectors in (
        np.random.default_rng(0).normal(size=(400, 16)),  # nothing in common
        codes_as_vectors(400, 1)[1],  # 200 of a code, more than are looked at
        codes_as_vectors(400, 12)[1],  # most codes have one example
    ):
        assert conditioning.near_neighbours(conditioning.near_examples(vectors, 4)[1]) is None


@pytest.mark.parametrize("size", [2, 4, 7])
def test_an_epoch_has_every_example_once_in_groups_of_neighbours(size: int) -> None:
    codes, vectors = codes_as_vectors(400, 4)
    order = neighbour_order(vectors, size, 0)
    rows = order(0)
    assert rows.dtype == np.int64
    assert len(rows) == len(set(rows)) == 400 // size * size
    equal = codes[rows].reshape(-1, size)
    pure = np.mean((equal == equal[:, :1]).all(axis=1))
    # Each of the 16 codes leaves one group that it cannot fill.
    assert pure >= 1 - 16 / (400 // size)
    random = codes[np.random.default_rng(0).permutation(400)[: len(rows)]].reshape(-1, size)
    assert pure > 5 * np.mean((random == random[:, :1]).all(axis=1))


def test_members_are_the_nearest_free_examples_even_where_all_candidates_are_taken() -> None:
    codes, vectors = codes_as_vectors(300, 1)  # 150 examples of a code, more than candidates
    assert conditioning.CANDIDATES < 100
    groups = neighbour_order(vectors, 3, 1)(0).reshape(-1, 3)
    assert np.mean((codes[groups] == codes[groups][:, :1]).all(axis=1)) >= 98 / 100


def test_an_order_is_a_function_of_seed_and_epoch() -> None:
    _, vectors = codes_as_vectors(100, 3)
    first = neighbour_order(vectors, 4, 0)
    again = neighbour_order(vectors, 4, 0)
    np.testing.assert_array_equal(again(3), first(3))  # without the epochs before
    assert not np.array_equal(first(3), first(4))
    assert not np.array_equal(first(3), neighbour_order(vectors, 4, 1)(3))


@pytest.mark.parametrize("vectors", [False, True])
def test_groups_of_equal_labels(vectors: bool) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 2, (202, 3)) if vectors else generator.integers(0, 5, 202)
    codes = labels @ [1, 2, 4] if vectors else labels
    order = conditioning.label_order(labels, 4, seed=0)
    rows = order(0)
    assert len(rows) == len(set(rows)) == 200
    groups = codes[rows].reshape(-1, 4)
    mixed = (groups != groups[:, :1]).any(axis=1).sum()
    counts = np.bincount(codes)
    assert mixed <= -(-int((counts % 4).sum()) // 4)
    np.testing.assert_array_equal(conditioning.label_order(labels, 4, seed=0)(7), order(7))
    # Who stands beside whom is drawn anew.
    pairs = [{frozenset(group) for group in order(epoch).reshape(-1, 4)} for epoch in (0, 1)]
    assert len(pairs[0] & pairs[1]) < len(pairs[0]) / 4


def test_clusters_find_separate_codes() -> None:
    codes, vectors = codes_as_vectors(200, 2)
    clusters = conditioning.cluster_labels(vectors, 4, seed=0)
    assert len({(int(a), int(b)) for a, b in zip(codes, clusters, strict=True)}) == 4
