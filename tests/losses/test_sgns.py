"""word2vec's loss: its value and gradient against loops, and the law of its noise."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from ssl_keras import losses, randomness
from ssl_keras.methods.learner import _dense
from tests.losses.test_losses import draw

BATCH, DIM, NOISE = 12, 4, 3


def zipf(count: int) -> np.ndarray:
    shares = 1.0 / np.arange(1, count + 1)
    return shares / shares.sum()


def word_labels(batch: int = BATCH, words: int = 5, seed: int = 0) -> dict[str, np.ndarray]:
    """Labels of context words as skip_gram gives them: words of a text, their shares, and their
    rates among the pairs."""
    generator = np.random.default_rng(seed)
    unigram = zipf(words)
    rate = np.sqrt(unigram) / np.sqrt(unigram).sum()
    context = generator.choice(words, batch, p=rate)
    return {
        "context": (context + 2).astype(np.int32),
        "unigram": unigram[context].astype(np.float32),
        "rate": rate[context].astype(np.float32),
    }


def places(labels: dict[str, np.ndarray] | None, batch: int, seed: int, power: float) -> np.ndarray:
    """The noise views that the loss draws: cumulative weights in float64, searched one by one."""
    draws = randomness.uniform(randomness.as_key(seed), (batch, NOISE)).numpy().astype(np.float64)
    weights = [1.0] * batch
    if labels is not None:
        weights = [
            float(share) ** power / float(rate)
            for share, rate in zip(labels["unigram"], labels["rate"], strict=True)
        ]
    found = np.zeros((batch, NOISE), int)
    for row in range(batch):
        for k in range(NOISE):
            rest = draws[row, k] * sum(weights)
            while rest >= weights[found[row, k]] and found[row, k] < batch - 1:
                rest -= weights[found[row, k]]
                found[row, k] += 1
    return found


def loop(
    z1: np.ndarray, z2: np.ndarray, labels: dict[str, np.ndarray] | None, noise: np.ndarray
) -> float:
    """Mikolov et al. 2013, eq. 4, negated; noise that is the context itself is skipped."""
    total = 0.0
    for row, word in enumerate(z1.astype(np.float64)):
        total += math.log1p(math.exp(-float(word @ z2[row])))
        for other in noise[row]:
            same = other == row if labels is None else equal(labels["context"], other, row)
            if not same:
                total += math.log1p(math.exp(float(word @ z2[other])))
    return total / len(z1)


def equal(values: np.ndarray, first: int, second: int) -> bool:
    return bool(values[first] == values[second])


def views(batch: int = BATCH) -> tuple[np.ndarray, np.ndarray]:
    return draw(batch, DIM), draw(batch, DIM, seed=1)


def sgns(**options: Any) -> Any:
    return losses.get("sgns", noise_views=NOISE, **options)


LABELLED = pytest.mark.parametrize("labels", [None, word_labels()], ids=["without", "with labels"])


@LABELLED
@pytest.mark.parametrize("power", [0.0, 0.75, 1.0])
@pytest.mark.parametrize("seed", [0, 7])
def test_it_equals_the_loop(labels: dict[str, np.ndarray] | None, power: float, seed: int) -> None:
    z1, z2 = views()
    noise = places(labels, BATCH, seed, power)
    assert len(np.unique(noise)) > 4
    value = sgns(noise_power=power)(z1, z2, labels, seed=seed)
    np.testing.assert_allclose(value, loop(z1, z2, labels, noise), rtol=1e-5)


@LABELLED
def test_gradients_equal_those_of_the_loop(labels: dict[str, np.ndarray] | None) -> None:
    z1, z2 = views()
    noise = places(labels, BATCH, 3, 0.75)
    variables = [tf.Variable(z1), tf.Variable(z2)]
    with tf.GradientTape() as tape:
        value = sgns()(*variables, labels, seed=3)
    found = tape.gradient(value, variables)
    step = 1e-5
    for which, gradient in enumerate(found):
        numeric = np.zeros((BATCH, DIM))
        for place in np.ndindex(BATCH, DIM):
            values = []
            for sign in (1, -1):
                moved = [z1.astype(np.float64), z2.astype(np.float64)]
                moved[which][place] += sign * step
                values.append(loop(*moved, labels, noise))
            numeric[place] = (values[0] - values[1]) / (2 * step)
        np.testing.assert_allclose(gradient, numeric, rtol=1e-4, atol=1e-7)


def test_terms_are_attraction_and_noise() -> None:
    z1, z2 = views()
    parts = sgns().parts(z1, z2, seed=3)
    attraction = np.mean(np.log1p(np.exp(-np.sum(z1 * z2, axis=1))))
    np.testing.assert_allclose(parts["alignment"], attraction, rtol=1e-5)
    np.testing.assert_allclose(parts["loss"], parts["alignment"] + parts["distribution"])


@pytest.mark.parametrize("power", [0.0, 0.75, 1.0])
def test_noise_words_follow_the_power_of_their_share(power: float) -> None:
    words, batch = 20, 8192
    labels = word_labels(batch, words)
    # The weights undo the counts of the batch in expectation, so give them those that it has.
    counts = np.bincount(labels["context"] - 2, minlength=words)
    labels["rate"] = (counts / batch)[labels["context"] - 2].astype(np.float32)
    noise = np.concatenate(
        [sgns(noise_power=power)._noise(labels, batch, seed).numpy().ravel() for seed in range(3)]
    )
    drawn = np.bincount(labels["context"][noise] - 2, minlength=words)
    expected = zipf(words) ** power
    assert stats.chisquare(drawn, expected / expected.sum() * len(noise)).pvalue > 1e-3
    # Other powers do not fit.
    other = zipf(words) ** (power + 0.1)
    assert stats.chisquare(drawn, other / other.sum() * len(noise)).pvalue < 1e-6


def test_without_labels_every_view_is_equally_likely() -> None:
    noise = losses.get("sgns", noise_views=100)._noise({}, 50, 5).numpy()
    assert noise.shape == (50, 100)
    assert stats.chisquare(np.bincount(noise.ravel(), minlength=50)).pvalue > 1e-3


def test_noise_of_the_same_context_is_skipped() -> None:
    z1, z2 = views()
    labels = word_labels()
    alike = labels | {"context": np.full(BATCH, 7, np.int32)}
    parts = sgns().parts(z1, z2, alike, seed=3)
    assert float(parts["distribution"]) == 0
    different = labels | {"context": np.arange(BATCH)}
    noise = places(labels, BATCH, 3, 0.75)
    np.testing.assert_allclose(
        sgns()(z1, z2, different, seed=3), loop(z1, z2, different, noise), rtol=1e-5
    )


@pytest.mark.full
@LABELLED
@pytest.mark.parametrize("compiled", [False, True])
def test_graph_and_xla_equal_eager(labels: dict[str, np.ndarray] | None, compiled: bool) -> None:
    z1, z2 = map(tf.constant, views())

    def step(first: Any, second: Any, seed: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch([first, second])
            value = sgns()(first, second, labels, seed=seed)
        return [value, *tape.gradient(value, [first, second])]

    seed = tf.constant(3)
    graph = tf.function(step, jit_compile=compiled)
    for found, expected in zip(graph(z1, z2, seed), step(z1, z2, seed), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_two_replicas_equal_one_with_labels(two_replicas: tf.distribute.Strategy) -> None:
    z1, z2 = views()
    labels = word_labels()
    share = BATCH // 2
    t1, t2 = tf.constant(z1), tf.constant(z2)
    with tf.GradientTape() as tape:
        tape.watch([t1, t2])
        expected = sgns()(t1, t2, labels, seed=3)
    gradients = tape.gradient(expected, [t1, t2])

    def replica() -> Any:
        context = tf.distribute.get_replica_context()
        rows = tf.range(share) + share * context.replica_id_in_sync_group
        first, second = tf.gather(t1, rows), tf.gather(t2, rows)
        own = {name: tf.gather(values, rows) for name, values in labels.items()}
        with tf.GradientTape() as tape:
            tape.watch([first, second])
            value = sgns()(first, second, own, seed=3)
            objective = value / 2
        return value, *tape.gradient(objective, [first, second])

    found = two_replicas.run(tf.function(replica, autograph=False))
    values, *parts = (two_replicas.experimental_local_results(each) for each in found)
    np.testing.assert_allclose(np.mean(values), expected, rtol=1e-5)
    for part, gradient in zip(parts, gradients, strict=True):
        np.testing.assert_allclose(np.concatenate(part), gradient, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("in_graph", [False, True])
def test_the_gradient_of_a_table_of_words_is_that_of_a_dense_product(in_graph: bool) -> None:
    keras.utils.set_random_seed(0)
    table = keras.layers.Embedding(9, DIM)
    numbers = tf.constant([3, 1, 3, 8, 0, 3, 8])
    weight = tf.constant(draw(7, DIM))
    table(numbers)

    def sparse() -> Any:
        with tf.GradientTape() as tape:
            value = tf.reduce_sum(weight * tf.tanh(table(numbers)))
        gradient = tape.gradient(value, table.trainable_variables[0].value)
        assert isinstance(gradient, tf.IndexedSlices)
        return _dense(gradient)

    with tf.GradientTape() as tape:
        product = tf.one_hot(numbers, 9) @ table.trainable_variables[0].value
        value = tf.reduce_sum(weight * tf.tanh(product))
    expected = tape.gradient(value, table.trainable_variables[0].value)
    found = (tf.function(sparse) if in_graph else sparse)()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert _dense(expected) is expected


def test_the_other_view_is_looked_for_among_a_few_rows() -> None:
    loss = sgns()
    assert [loss.compared_rows(count) for count in (1, 8, 16, 24, 1024)] == [1, 8, 16, 8, 16]
    assert loss.compared_with(64) == "each first view with 3 noise views"
