"""Losses without the negatives that have the anchor's label: every loss that has negatives."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import losses
from ssl_keras.config import Config
from ssl_keras.datasets import DataSet
from ssl_keras.errors import UserError
from ssl_keras.losses import LOSSES
from ssl_keras.losses.cancelled import Cancelled, cancelled_labels
from ssl_keras.run import build
from tests import oracles
from tests.losses.test_losses import GRID, draw, expected_value
from tests.tiers import first_in_test

WITH_NEGATIVES = sorted(name for name, loss in LOSSES.items() if loss.has_negatives)
CANCELLED = [(name, options) for name, options in GRID if LOSSES[name].has_negatives]
LABELS = {
    "class": np.array([0, 1, 0, 2, 1, 0, 2, 1], np.int32),
    "bits": np.array([[0, 1], [1, 1], [0, 1], [0, 0], [1, 1], [1, 0], [0, 0], [1, 1]], np.int32),
}
DIFFERENT = {"class": np.arange(8, dtype=np.int32)}
VIEWS = draw(8, 3), draw(8, 3, seed=1)


def anchors_without_equals(labels: np.ndarray) -> Any:
    """`oracles.anchors` without the negatives of the anchor's label."""

    def anchors(
        z1: np.ndarray, z2: np.ndarray, both_kinds: bool, direction: str = "both"
    ) -> Iterator[tuple[np.ndarray, np.ndarray, list[np.ndarray]]]:
        views = [np.asarray(z1, np.float64), np.asarray(z2, np.float64)]
        for kind in (0, 1) if direction == "both" else (0,):
            for row in range(len(z1)):
                kinds = (0, 1) if both_kinds else (1 - kind,)
                different = [
                    k for k in range(len(z1)) if not np.array_equal(labels[k], labels[row])
                ]
                negatives = [views[other][k] for other in kinds for k in different]
                yield views[kind][row], views[1 - kind][row], negatives

    return anchors


def test_the_losses_with_negatives_are_those_of_the_batch() -> None:
    assert WITH_NEGATIVES == [
        "debiased", "hard_negative", "hinge", "ifm", "logistic", "margin", "n_pair", "nt_xent",
        "triplet",
    ]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), CANCELLED, ids=str)
@pytest.mark.parametrize("target", ["class", "bits"])
def test_it_equals_the_loop_without_equal_labels(
    name: str, options: dict[str, Any], target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = losses.get(name, **options)
    plain = float(loss(*VIEWS))
    monkeypatch.setattr(oracles, "anchors", anchors_without_equals(LABELS[target]))
    expected = expected_value(name, *VIEWS, options, LABELS[target])
    for implementation in ("auto", "tiled"):
        value = float(Cancelled(loss, target)(*VIEWS, LABELS, implementation=implementation))
        np.testing.assert_allclose(value, expected, rtol=2e-5, atol=2e-5)
    assert plain != expected or expected == 0
    assert cancelled_labels() is None


@pytest.mark.parametrize("name", WITH_NEGATIVES)
def test_labels_that_are_all_different_change_nothing(name: str) -> None:
    loss = losses.get(name)
    for part, value in Cancelled(loss, "class").parts(*VIEWS, DIFFERENT).items():
        expected = loss.parts(*VIEWS, implementation="dense")[part] if loss.streams else None
        expected = loss.parts(*VIEWS)[part] if expected is None else expected
        np.testing.assert_allclose(value, expected, rtol=1e-6, atol=1e-7, err_msg=part)


@pytest.mark.parametrize("name", WITH_NEGATIVES)
def test_labels_that_are_all_equal_leave_each_image_alone(name: str) -> None:
    loss = losses.get(name)
    equal = {"class": np.zeros(8, np.int32)}
    variables = [tf.Variable(rows) for rows in VIEWS]
    with tf.GradientTape() as tape:
        value = Cancelled(loss, "class")(*variables, equal)
    alone = [float(loss(first[None], second[None])) for first, second in zip(*VIEWS, strict=True)]
    np.testing.assert_allclose(value, np.mean(alone), rtol=1e-5, atol=1e-6)
    for gradient in tape.gradient(value, variables):
        assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("name", WITH_NEGATIVES)
def test_images_of_one_label_have_no_influence_on_each_other(name: str) -> None:
    options = {"mining": "all", "margin": 5.0} if name == "triplet" else {}
    options = {"margin": 10.0} if name == "margin" else options
    loss = losses.get(name, **options)
    # Two images alone: what they have in common is only that they are negatives of each other.
    both = [tf.constant(rows[:2]) for rows in VIEWS]

    def influence(labels: list[int]) -> float:
        """Of the second image on the gradient of the first."""
        found = []
        for moved in (0.0, 0.5):
            first, second = (rows + moved * tf.constant([[0.0], [1.0]]) for rows in both)
            with tf.GradientTape() as tape:
                tape.watch(first)
                value = Cancelled(loss, "class")(first, second, {"class": np.array(labels)})
            found.append(tape.gradient(value, first)[0])
        return float(tf.reduce_max(tf.abs(found[0] - found[1])))

    assert influence([4, 4]) == 0
    assert influence([4, 5]) > 1e-3


@pytest.mark.full
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", first_in_test(WITH_NEGATIVES, 2))
def test_graph_and_xla_equal_eager(name: str, compiled: bool) -> None:
    loss = Cancelled(losses.get(name), "class")
    graph = tf.function(lambda a, b, c: loss(a, b, {"class": c}), jit_compile=compiled)
    np.testing.assert_allclose(
        graph(*VIEWS, tf.constant(LABELS["class"])), loss(*VIEWS, LABELS), rtol=1e-4, atol=1e-6
    )


@pytest.mark.full
@pytest.mark.parametrize("name", first_in_test(WITH_NEGATIVES, 2))
def test_two_replicas_equal_one(name: str, two_replicas: tf.distribute.Strategy) -> None:
    loss = Cancelled(losses.get(name), "class")
    z1, z2 = map(tf.constant, VIEWS)
    with tf.GradientTape() as tape:
        tape.watch([z1, z2])
        expected = loss(z1, z2, LABELS)
    gradients = tape.gradient(expected, [z1, z2])

    def replica() -> Any:
        context = tf.distribute.get_replica_context()
        rows = tf.range(4) + 4 * context.replica_id_in_sync_group
        first, second = tf.gather(z1, rows), tf.gather(z2, rows)
        labels = {"class": tf.gather(LABELS["class"], rows)}
        with tf.GradientTape() as tape:
            tape.watch([first, second])
            value = loss(first, second, labels)
            objective = value / 2
        return value, *tape.gradient(objective, [first, second])

    found = two_replicas.run(tf.function(replica, autograph=False))
    values, *parts = (two_replicas.experimental_local_results(each) for each in found)
    np.testing.assert_allclose(np.mean([float(value) for value in values]), expected, rtol=1e-5)
    for part, gradient in zip(parts, gradients, strict=True):
        np.testing.assert_allclose(np.concatenate(part), gradient, rtol=1e-4, atol=1e-6)


def test_it_hands_on_options_and_schedules() -> None:
    loss = losses.get("nt_xent", temperature="linear:0.5:2")
    cancelled = Cancelled(loss, "class")
    assert cancelled.options() == loss.options()
    assert float(cancelled.at(1.0).temperature) == 2.0
    assert cancelled.at(1.0).target == "class"
    np.testing.assert_allclose(
        cancelled(*VIEWS, LABELS, progress=1.0),
        Cancelled(losses.get("nt_xent", temperature=2.0), "class")(*VIEWS, LABELS),
        rtol=1e-6,
    )
    assert not cancelled.streams
    assert cancelled.compared_with(8) == "each view with 14 negatives, less those of equal class"


@pytest.mark.parametrize("name", sorted(set(LOSSES) - set(WITH_NEGATIVES)))
def test_losses_without_negatives_of_the_batch_are_refused(name: str) -> None:
    with pytest.raises(UserError) as caught:
        Config.make(loss=name, cancel_negatives="class")
    assert str(caught.value) == (
        "cancel_negatives leaves negatives of the batch out, and this loss takes none, or ranks "
        "them: leave it out, or choose one of nt_xent, debiased, hard_negative, ifm, n_pair, "
        "triplet, margin, logistic, hinge for --loss."
    )


def test_labels_that_the_data_do_not_have_are_refused(bit_data: DataSet) -> None:
    with pytest.raises(UserError) as caught:
        build(Config.make(loss="nt_xent", cancel_negatives="context", heads=""), bit_data)
    assert str(caught.value) == (
        f"cancel_negatives is 'context', but {bit_data.name} has the labels class, bits: choose "
        "one of these."
    )


def test_it_is_never_made_in_tiles() -> None:
    with pytest.raises(UserError) as caught:
        Config.make(loss="nt_xent", cancel_negatives="class", loss_impl="tiled")
    assert str(caught.value).startswith(
        "loss_impl=tiled has no effect on nt_xent with cancel_negatives: leave it out; only nt_xent"
    )
