"""Words left out: how many, which, and that a text never becomes empty."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import randomness
from ssl_keras.inputs import Tokens
from ssl_keras.views.augmenter import Augmenter
from ssl_keras.views.tokens import TokenTransform

COUNT, LENGTH = 2000, 12
TOKENS = Tokens(tuple(f"w{k}" for k in range(100)), LENGTH)


def sentences(shortest: int = 1) -> np.ndarray:
    generator = np.random.default_rng(0)
    ids = generator.integers(1, TOKENS.num_tokens, (COUNT, LENGTH))
    ids[np.arange(LENGTH) >= generator.integers(shortest, LENGTH + 1, COUNT)[:, None]] = 0
    return ids


def left(ids: np.ndarray, rate: float, seed: int = 0) -> np.ndarray:
    transform = TokenTransform(LENGTH, rate)
    draws = randomness.uniform(
        randomness.key(seed, "test"), (len(ids), max(1, transform.num_draws))
    )
    example = {"ids": tf.constant(ids, tf.float32)}
    return np.asarray(transform(example, draws)["ids"])


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_words_are_left_out_at_the_rate_and_others_stay_in_place(rate: float) -> None:
    ids = sentences(shortest=2)
    views = left(ids, rate)
    assert np.all((views == ids) | (views == 0))
    # Of the first word: it stays where no other does.
    lengths = np.sum(ids > 0, axis=1)
    first_stays = 1 - rate + rate**lengths
    assert abs(np.mean(views[:, 0] > 0) - first_stays.mean()) < 5 * np.sqrt(0.25 / COUNT)
    others = ids[:, 1:] > 0
    share = np.mean(views[:, 1:][others] == 0)
    assert abs(share - rate) < 5 * np.sqrt(rate * (1 - rate) / others.sum())


def test_every_place_is_drawn_by_itself() -> None:
    kept = left(np.full((COUNT, LENGTH), 7), 0.5) > 0
    np.testing.assert_allclose(kept.mean(axis=0), 0.5, atol=5 * np.sqrt(0.25 / COUNT))
    assert np.abs(np.corrcoef(kept.T) - np.eye(LENGTH)).max() < 6 / np.sqrt(COUNT)


@pytest.mark.parametrize("rate", [0.5, 0.99, 1.0])
def test_no_text_becomes_empty_and_the_first_word_stays_alone(rate: float) -> None:
    ids = sentences()
    views = left(ids, rate)
    assert np.all(np.any(views > 0, axis=1))
    if rate == 1:
        np.testing.assert_array_equal(views[:, 0], ids[:, 0])
        assert not np.any(views[:, 1:])


def test_nothing_is_left_out_at_a_rate_of_0() -> None:
    transform = TokenTransform(LENGTH, 0.0)
    assert (transform.num_draws, transform.describe()) == (0, "")
    np.testing.assert_array_equal(left(sentences(), 0.0), sentences())
    assert TokenTransform(LENGTH, 0.25).describe() == "0.25 of the words left out"


def test_other_columns_are_handed_on() -> None:
    example = {"ids": tf.ones((2, LENGTH)), "more": tf.ones((2, 3))}
    views = TokenTransform(LENGTH, 0.5)(example, tf.zeros((2, LENGTH)))
    np.testing.assert_array_equal(views["more"], np.ones((2, 3)))


def batch(rows: slice = slice(8)) -> dict[str, Any]:
    return {"example": {"ids": tf.constant(sentences(8)[rows], tf.int32)}}


def test_views_are_a_function_of_the_step_and_of_the_place_in_the_global_batch() -> None:
    augmenter = Augmenter(TOKENS.prepare, TOKENS.transform({"deletion_rate": 0.5}, True), seed=3)
    views, _ = augmenter.two_views(batch(), 5)
    again, _ = tf.function(augmenter.two_views)(batch(), tf.constant(5, tf.int64))
    later, _ = augmenter.two_views(batch(), 6)
    np.testing.assert_array_equal(views["ids"], again["ids"])
    assert np.any(views["ids"] != later["ids"])
    first, second = np.split(views["ids"].numpy(), 2)
    assert np.all(np.any(first != second, axis=1))
    for start in (0, 4):
        part, _ = augmenter.two_views(
            batch(slice(start, start + 4)), 5, first_row=start, num_replicas=2
        )
        rows = [*range(start, start + 4), *range(8 + start, 12 + start)]
        np.testing.assert_array_equal(part["ids"], views["ids"].numpy()[rows])
