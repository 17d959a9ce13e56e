"""Measures against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ssl_keras import metrics
from ssl_keras.losses import streaming
from tests import oracles


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


def test_target_loss_at_chance_level_is_the_entropy() -> None:
    classes = np.array([0, 3, 2], np.int32)
    np.testing.assert_allclose(
        metrics.target_loss("class", classes, np.zeros((3, 4), np.float32)), math.log(4), rtol=1e-6
    )
    bits = np.array([[0, 1], [1, 1]], np.int32)
    np.testing.assert_allclose(
        metrics.target_loss("bits", bits, np.zeros((2, 2), np.float32)), math.log(2), rtol=1e-6
    )


def test_target_accuracy() -> None:
    logits = np.array([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]], np.float32)
    assert float(metrics.target_accuracy("class", np.array([0, 1]), logits)) == 0.5
    bits = np.array([[1, 0], [1, 1]], np.int32)
    logits = np.array([[3.0, -1.0], [-0.5, 2.0]], np.float32)
    assert float(metrics.target_accuracy("bits", bits, logits)) == 0.75


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


class TestAlignment:
    def test_between_equal_and_unrelated_views(self) -> None:
        x = draw(2000, 64)
        assert float(metrics.alignment(x, 3 * x)) < 1e-6
        np.testing.assert_allclose(metrics.alignment(x, draw(2000, 64, seed=1)), 2.0, atol=0.02)
        np.testing.assert_allclose(metrics.alignment([[1.0, 0.0]], [[0.0, 2.0]], alpha=1), 2**0.5)

    def test_squared_form_is_two_minus_twice_the_mean_cosine(self) -> None:
        x, y = draw(20, 5), draw(20, 5, seed=1)
        cosines = np.sum(oracles.unit(x) * oracles.unit(y), axis=1)
        np.testing.assert_allclose(metrics.alignment(x, y), 2 - 2 * cosines.mean(), rtol=1e-5)


class TestUniformity:
    def test_random_points_on_the_sphere_in_128_dimensions(self) -> None:
        np.testing.assert_allclose(metrics.uniformity(draw(2000, 128)), -3.94, atol=0.01)

    def test_closed_forms(self) -> None:
        same = np.tile(draw(1, 8), (5, 1))
        np.testing.assert_allclose(metrics.uniformity(same), 0.0, atol=1e-5)
        # Two antipodal points: squared distance 4.
        np.testing.assert_allclose(metrics.uniformity([[1.0], [-3.0]], t=0.5), -2.0, rtol=1e-6)
        # Three rows: one pair equal, two pairs at 4.
        three = [[1.0], [2.0], [-1.0]]
        expected = math.log((1 + 2 * math.exp(-8)) / 3)
        np.testing.assert_allclose(metrics.uniformity(three), expected, rtol=1e-5)


class TestTolerance:
    def test_mean_cosine_of_pairs_of_one_class(self) -> None:
        x, labels = draw(30, 4), np.arange(30) % 3
        unit = oracles.unit(x)
        pairs = [(i, j) for i in range(30) for j in range(30) if i != j]
        same = [float(unit[i] @ unit[j]) for i, j in pairs if labels[i] == labels[j]]
        np.testing.assert_allclose(metrics.tolerance(x, labels), np.mean(same), rtol=1e-4)
        printed = metrics.tolerance(x, labels, printed=True)
        np.testing.assert_allclose(printed, np.sum(same) / len(pairs), rtol=1e-4)

    def test_classes_in_one_point_are_tolerated_fully(self) -> None:
        labels = np.arange(12) % 4
        x = np.eye(4, dtype=np.float32)[labels]
        np.testing.assert_allclose(metrics.tolerance(x, labels), 1.0, rtol=1e-6)
        # Printed: each image has 2 others of its class among 11.
        np.testing.assert_allclose(metrics.tolerance(x, labels, printed=True), 2 / 11, rtol=1e-6)

    def test_labels_in_a_column_are_labels(self) -> None:
        x, labels = draw(6, 3), np.array([0, 1, 2, 3, 1, 2])
        column = metrics.tolerance(x, labels[:, None])
        np.testing.assert_allclose(column, metrics.tolerance(x, labels), rtol=1e-6)

    def test_vectors_and_labels_without_a_pair(self) -> None:
        x = draw(4, 3)
        bits = np.array([[0, 1], [0, 1], [1, 1], [0, 0]])
        unit = oracles.unit(x)
        np.testing.assert_allclose(metrics.tolerance(x, bits), unit[0] @ unit[1], rtol=1e-5)
        assert math.isnan(float(metrics.tolerance(x, np.arange(4))))


class TestEffectiveRank:
    def test_orthonormal_and_collapsed_rows(self) -> None:
        np.testing.assert_allclose(metrics.effective_rank(np.eye(6)), 6.0, rtol=1e-5)
        np.testing.assert_allclose(metrics.effective_rank(np.ones((9, 5))), 1.0, rtol=1e-5)
        assert float(metrics.effective_rank(np.zeros((9, 5)))) == 1.0

    def test_of_infinite_entries_is_nan(self) -> None:
        rows = draw(9, 5)
        rows[3, 2] = np.inf
        assert math.isnan(float(metrics.effective_rank(rows)))

    def test_equals_the_definition_for_both_shapes(self) -> None:
        for shape in ((40, 7), (7, 40)):
            x = draw(*shape)
            shares = np.linalg.svd(x, compute_uv=False)
            shares = shares / shares.sum()
            expected = math.exp(-np.sum(shares * np.log(shares)))
            np.testing.assert_allclose(metrics.effective_rank(x), expected, rtol=1e-5)


def test_mean_norm() -> None:
    np.testing.assert_allclose(metrics.mean_norm([[3.0, 4.0], [0.0, 1.0]]), 3.0)


def test_contrastive_entropy_of_certain_and_undecided_anchors() -> None:
    views = np.eye(4, dtype=np.float32)
    assert float(metrics.contrastive_entropy(views, views, 0.01)) < 1e-6
    same = np.ones((4, 3), np.float32)
    np.testing.assert_allclose(metrics.contrastive_entropy(same, same), math.log(4), rtol=1e-6)
    weights = np.array([math.e, 1, 1, 1]) / (math.e + 3)
    expected = -np.sum(weights * np.log(weights))
    np.testing.assert_allclose(metrics.contrastive_entropy(views, views), expected, rtol=1e-5)


class TestRelativePenalties:
    def test_equal_the_definition_and_are_the_gradients_of_nt_xent(self) -> None:
        import tensorflow as tf

        x, y = (oracles.unit(draw(5, 3, seed=seed)) for seed in (0, 1))
        temperature = 0.3
        similarities, penalties = metrics.relative_penalties(x, y, temperature)
        np.testing.assert_allclose(np.sum(penalties, axis=1), 1.0, rtol=1e-5)
        assert np.all(np.diff(similarities, axis=1) <= 0)
        for row, (anchor, positive, others) in enumerate(oracles.anchors(x, y, True)):
            logits = np.array(sorted((float(anchor @ o) for o in others), reverse=True))
            np.testing.assert_allclose(similarities[row], logits, atol=1e-6)
            expected = np.exp(logits / temperature) / np.sum(np.exp(logits / temperature))
            np.testing.assert_allclose(penalties[row], expected, rtol=1e-4)
            # The gradient on each negative's similarity, relative to that on the positive's.
            s = tf.constant([float(anchor @ positive), *logits], tf.float32)
            with tf.GradientTape() as tape:
                tape.watch(s)
                loss = -s[0] / temperature + tf.reduce_logsumexp(s / temperature)
            gradient = tape.gradient(loss, s).numpy()
            np.testing.assert_allclose(gradient[1:] / -gradient[0], expected, rtol=1e-4)

    def test_entropy_falls_and_the_hardest_gain_as_the_temperature_falls(self) -> None:
        x, y = draw(40, 8), draw(40, 8, seed=1)
        entropies, shares = [], []
        for temperature in (10.0, 1.0, 0.3, 0.07, 0.01):
            _, penalties = metrics.relative_penalties(x, y, temperature)
            penalties = penalties.numpy()
            entropy, share = metrics.hardness_awareness(x, y, temperature, 0.05)
            terms = np.where(penalties > 0, penalties * np.log(np.maximum(penalties, 1e-38)), 0)
            np.testing.assert_allclose(entropy, -terms.sum(axis=1).mean(), rtol=1e-4, atol=1e-6)
            np.testing.assert_allclose(share, penalties[:, :4].sum(axis=1).mean(), rtol=1e-5)
            entropies.append(float(entropy))
            shares.append(float(share))
        assert entropies == sorted(entropies, reverse=True)
        assert shares == sorted(shares)
        np.testing.assert_allclose(entropies[0], math.log(78), rtol=1e-2)
        np.testing.assert_allclose(shares[0], 4 / 78, rtol=0.1)
        assert shares[-1] > 0.9

    def test_the_hardest_share_takes_at_least_one(self) -> None:
        x, y = draw(5, 3), draw(5, 3, seed=1)
        _, penalties = metrics.relative_penalties(x, y, 0.5)
        for share, expected in ((0.01, penalties[:, :1]), (0.25, penalties[:, :2])):
            hardest = metrics.hardness_awareness(x, y, 0.5, share)[1]
            np.testing.assert_allclose(hardest, np.sum(expected, axis=1).mean(), rtol=1e-5)
        np.testing.assert_allclose(metrics.hardness_awareness(x, y, 0.5, 1.0)[1], 1.0, rtol=1e-6)

    @pytest.mark.parametrize("entries", [1, 37, 200])
    def test_blocks_of_anchors_change_nothing(
        self, entries: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        x, y = draw(19, 4), draw(19, 4, seed=1)
        whole = [*metrics.hardness_awareness(x, y, 0.2), metrics.pairwise_logistic_loss(x, y)]
        monkeypatch.setattr(streaming, "TILE_ENTRIES", entries)
        blocks = [*metrics.hardness_awareness(x, y, 0.2), metrics.pairwise_logistic_loss(x, y)]
        np.testing.assert_allclose(blocks, whole, rtol=1e-5)


def test_mutual_information_bound_is_the_ceiling_less_the_loss() -> None:
    x, y = draw(6, 4), draw(6, 4, seed=1)
    bound, ceiling = metrics.mutual_information_bound(x, y, 0.5)
    np.testing.assert_allclose(ceiling, math.log(6), rtol=1e-6)
    expected = math.log(6) - oracles.nt_xent_variant(x, y, 0.5, "cross", "both")
    np.testing.assert_allclose(bound, expected, rtol=1e-4)
    same = np.ones((6, 4), np.float32)
    np.testing.assert_allclose(metrics.mutual_information_bound(same, same, 0.5)[0], 0, atol=1e-5)
    views = np.eye(6, dtype=np.float32)
    np.testing.assert_allclose(
        metrics.mutual_information_bound(views, views, 0.01)[0], math.log(6), rtol=1e-6
    )


def test_a_sample_of_a_prior_is_nearest_to_that_prior() -> None:
    generator = np.random.default_rng(0)
    normal = generator.normal(size=(500, 16))
    samples = {
        "hypersphere": oracles.unit(normal),
        "cube": generator.uniform(-1, 1, (500, 16)),
        "gaussian": normal,
    }
    # The distance of two samples of 500 is about the sum of the variances of order statistics.
    limits = {"hypersphere": 0.001, "cube": 0.01, "gaussian": 0.03}
    for name, sample in samples.items():
        distances = {k: float(v) for k, v in metrics.prior_distances(sample, 3).items()}
        assert distances[name] < limits[name]
        again = {k: float(v) for k, v in metrics.prior_distances(sample, 3).items()}
        assert distances == again
    far = metrics.prior_distances(0 * normal, 3)
    np.testing.assert_allclose(far["gaussian"], 1.0, rtol=0.05)
    np.testing.assert_allclose(far["cube"], 1 / 3, rtol=0.05)


def test_mean_classifier_loss_equals_the_loop_over_tasks() -> None:
    x, labels = draw(20, 3), np.array([0, 1, 3, 3, 1] * 4)
    labels[7] = 2  # a class of one image has no mean without that image
    losses = []
    for own in (0, 1, 3):
        for other in (0, 1, 3):
            if own != other:
                image_losses = []
                for i in np.flatnonzero(labels == own):
                    others = [j for j in np.flatnonzero(labels == own) if j != i]
                    difference = x[others].mean(axis=0) - x[labels == other].mean(axis=0)
                    image_losses.append(np.log2(1 + np.exp(-float(x[i] @ difference))))
                losses.append(np.mean(image_losses))
    value = metrics.mean_classifier_loss(x, labels, 5)
    np.testing.assert_allclose(value, np.mean(losses), rtol=1e-5)
    assert math.isnan(float(metrics.mean_classifier_loss(x, np.zeros(20, int), 5)))


def test_mean_classifier_loss_of_noise_is_not_below_chance_level() -> None:
    labels = np.arange(128) % 10
    for norm in (0.3, 1.0, 2.0):
        losses = [
            float(metrics.mean_classifier_loss(norm * draw(128, 64, seed=seed), labels, 10))
            for seed in range(5)
        ]
        assert np.mean(losses) > 0.99


def test_pairwise_logistic_loss_equals_the_loop() -> None:
    x, y = draw(6, 3), draw(6, 3, seed=1)
    losses = [
        math.log2(1 + math.exp(-float(anchor @ (positive - other))))
        for anchor, positive, others in oracles.anchors(x, y, False)
        for other in others
    ]
    np.testing.assert_allclose(metrics.pairwise_logistic_loss(x, y), np.mean(losses), rtol=1e-5)
    np.testing.assert_allclose(metrics.pairwise_logistic_loss(0 * x, y), 1.0, rtol=1e-6)
