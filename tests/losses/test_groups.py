"""A loss inside groups: the mean of the losses of the groups, for every loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import losses, metrics
from ssl_keras.losses import LOSSES
from ssl_keras.losses.groups import Grouped
from tests.losses.test_losses import draw

BATCH, SIZE, DIM = 12, 4, 5
LABELS = {
    "class": np.tile([0, 1, 0, 2], 3).astype(np.int32),
    "bits": np.random.default_rng(2).integers(0, 2, (BATCH, 3)).astype(np.int32),
}
VIEWS = draw(BATCH, DIM), draw(BATCH, DIM, seed=1)


def group_values(loss: Any, views: Any, rows: slice) -> dict[str, Any]:
    labels = {name: values[rows] for name, values in LABELS.items()}
    return loss.parts(views[0][rows], views[1][rows], labels, seed=3, progress=0.5)


@pytest.mark.full
@pytest.mark.parametrize("name", sorted(LOSSES))
def test_it_is_the_mean_over_groups(name: str) -> None:
    loss = losses.get(name)
    values = Grouped(loss, SIZE).parts(*VIEWS, LABELS, seed=3, progress=0.5)
    groups = [
        group_values(loss, VIEWS, slice(first, first + SIZE)) for first in range(0, BATCH, SIZE)
    ]
    for part, value in values.items():
        expected = np.mean([float(group[part]) for group in groups])
        np.testing.assert_allclose(float(value), expected, rtol=1e-5, atol=1e-6, err_msg=part)


@pytest.mark.parametrize("name", ["nt_xent", "uniform_prior", "supcon", "triplet"])
def test_gradients_are_those_of_the_groups(name: str) -> None:
    loss = losses.get(name)
    variables = [tf.Variable(rows) for rows in VIEWS]
    with tf.GradientTape() as tape:
        value = Grouped(loss, SIZE)(*variables, LABELS, seed=3, progress=0.5)
    together = tape.gradient(value, variables)
    with tf.GradientTape() as tape:
        alone = [
            group_values(loss, variables, slice(first, first + SIZE))["loss"]
            for first in range(0, BATCH, SIZE)
        ]
        mean = tf.add_n(alone) / len(alone)
    for found, expected in zip(together, tape.gradient(mean, variables), strict=True):
        np.testing.assert_allclose(found, tf.convert_to_tensor(expected), rtol=1e-4, atol=1e-6)


@pytest.mark.full
def test_one_group_is_the_loss_itself_and_other_groups_have_no_influence() -> None:
    loss = losses.get("nt_xent", temperature=0.5)
    whole = float(loss(*VIEWS))
    assert float(Grouped(loss, BATCH)(*VIEWS)) == pytest.approx(whole, rel=1e-6)
    assert abs(float(Grouped(loss, SIZE)(*VIEWS)) - whole) > 0.1

    def gradient_of_first_group(others: float) -> np.ndarray:
        scale = np.where(np.arange(BATCH) < SIZE, 1.0, others)[:, None].astype(np.float32)
        rows = tf.Variable(VIEWS[0] + scale - 1.0)
        with tf.GradientTape() as tape:
            value = Grouped(loss, SIZE)(rows, VIEWS[1])
        return np.asarray(tf.convert_to_tensor(tape.gradient(value, rows)))[:SIZE]

    np.testing.assert_array_equal(gradient_of_first_group(1.0), gradient_of_first_group(3.0))


def test_it_describes_the_group_as_the_batch_and_hands_on_the_rest() -> None:
    loss = losses.get("decoupled_nt_xent", temperature="linear:0.5:2", distribution_weight=0.3)
    grouped = Grouped(loss, SIZE)
    assert grouped.options() == loss.options()
    assert list(grouped.schedules) == ["temperature"]
    assert float(grouped.at(1.0).temperature) == 2.0
    assert grouped.weights == (1.0, 0.3)
    assert grouped.at(0.0).collapse_value(BATCH, DIM) == loss.at(0.0).collapse_value(SIZE, DIM)
    assert grouped.compared_with(BATCH).endswith("in groups of 4")


def test_grouped_accuracy_counts_partners_inside_groups() -> None:
    views_1, views_2 = VIEWS
    expected = []
    for first in range(0, BATCH, SIZE):
        one, two = views_1[first : first + SIZE], views_2[first : first + SIZE]
        one, two = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (one, two))
        expected += list(np.argmax(one @ two.T, axis=1) == np.arange(SIZE))
    found = float(metrics.grouped_accuracy(views_1, views_2, SIZE))
    assert found == pytest.approx(np.mean(expected))
    assert float(metrics.grouped_accuracy(views_1, views_1, SIZE)) == 1.0


def test_on_two_replicas_nothing_is_gathered(two_replicas: tf.distribute.Strategy) -> None:
    grouped = Grouped(losses.get("nt_xent"), 2)
    views = [rows[:8] for rows in VIEWS]

    def replica() -> Any:
        context = tf.distribute.get_replica_context()
        first = context.replica_id_in_sync_group * 4
        return grouped(*(tf.constant(rows)[first : first + 4] for rows in views))

    values = two_replicas.experimental_local_results(
        two_replicas.run(tf.function(replica, autograph=False))
    )
    assert np.mean([float(value) for value in values]) == pytest.approx(
        float(grouped(*views)), rel=1e-6
    )
