"""Measures against closed forms."""

from __future__ import annotations

import math

import numpy as np

from ssl_keras import metrics


def test_contrastive_accuracy_of_matched_and_crossed_views() -> None:
    views = np.eye(4, dtype=np.float32)
    assert float(metrics.contrastive_accuracy(views, 5 * views)) == 1.0
    assert float(metrics.contrastive_accuracy(views, views[[1, 0, 2, 3]])) == 0.5
    assert float(metrics.contrastive_accuracy(views, -views)) == 0.0


def test_contrastive_accuracy_of_a_part_of_the_global_batch() -> None:
    views = np.eye(4, dtype=np.float32)
    part = metrics.contrastive_accuracy(views[2:], views[2:], keys_2=views, first_row=2)
    assert float(part) == 1.0
    assert float(metrics.contrastive_accuracy(views[2:], views[2:], keys_2=views)) == 0.0


def test_feature_loss_without_knowledge_is_the_entropy() -> None:
    classes = np.array([0, 3, 2], np.int32)
    np.testing.assert_allclose(
        metrics.feature_loss("class", classes, np.zeros((3, 4), np.float32)), math.log(4), rtol=1e-6
    )
    bits = np.array([[0, 1], [1, 1]], np.int32)
    np.testing.assert_allclose(
        metrics.feature_loss("bits", bits, np.zeros((2, 2), np.float32)), math.log(2), rtol=1e-6
    )


def test_feature_accuracy() -> None:
    logits = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]], np.float32)
    assert float(metrics.feature_accuracy("class", np.array([0, 1]), logits)) == 0.5
    bits = np.array([[1, 0], [1, 1]], np.int32)
    logits = np.array([[3.0, -1.0], [-0.5, 2.0]], np.float32)
    assert float(metrics.feature_accuracy("bits", bits, logits)) == 0.75
