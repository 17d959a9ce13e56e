"""Encoders of tokens: padding, order, dropout, and what they refuse."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import datasets, randomness
from ssl_keras.config import Config
from ssl_keras.datasets import DataSet
from ssl_keras.errors import UserError
from ssl_keras.networks import ENCODERS, save_model
from ssl_keras.networks.dropout import dropout_keys
from ssl_keras.run import build

NUM_TOKENS = 20
SENTENCES = np.array(
    [[3, 4, 5, 0, 0, 0, 0, 0], [7, 0, 0, 0, 0, 0, 0, 0], [2, 9, 2, 1, 6, 8, 11, 5]], np.float32
)
SEQUENCES = pytest.mark.parametrize("name", ["bag", "transformer"])


def encoder_of(name: str, length: int = 8, dropout_rate: float = 0.0, **options: Any) -> Any:
    keras.utils.set_random_seed(0)
    small: dict[str, Any] = {"embedding_dim": 8}
    if name == "transformer":
        small |= {"transformer_layers": 2, "transformer_heads": 2}
    encoder = ENCODERS.get(name, **{**small, **options}).build(
        (length,), "float32", dropout_rate, num_tokens=NUM_TOKENS
    )
    # Larger than at the start, so that everything matters.
    generator = np.random.default_rng(1)
    for variable in encoder.trainable_variables:
        variable.assign(variable + generator.normal(0, 0.3, variable.shape))
    return encoder


def longer(encoder: Any, name: str, length: int) -> Any:
    """The same network for longer texts; further places have other vectors."""
    other = encoder_of(name, length)
    for variable, value in zip(other.variables, encoder.variables, strict=True):
        variable.assign(np.concatenate([value, 9.0 + variable[value.shape[0] :]]))
    return other


@SEQUENCES
def test_padding_changes_nothing(name: str) -> None:
    encoder = encoder_of(name)
    expected = encoder(SENTENCES).numpy()
    assert np.abs(expected).max() > 0.1
    padded = np.pad(SENTENCES, [(0, 0), (0, 8)])
    np.testing.assert_allclose(longer(encoder, name, 16)(padded), expected, rtol=1e-4, atol=1e-5)
    # The vector of padding is never seen.
    table = encoder.trainable_variables[0]
    assert table.shape == (NUM_TOKENS, 8)
    table.assign(np.concatenate([np.full((1, 8), 100.0, np.float32), table[1:]]))
    np.testing.assert_allclose(encoder(SENTENCES), expected, rtol=1e-4, atol=1e-5)


@SEQUENCES
def test_what_a_view_leaves_out_leaves_no_gap(name: str) -> None:
    encoder = encoder_of(name)
    with_gaps = np.array([[0, 3, 0, 4, 0, 0, 5, 0]], np.float32)
    np.testing.assert_allclose(encoder(with_gaps), encoder(SENTENCES)[:1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "matters"), [("bag", False), ("transformer", True)])
def test_the_order_of_words_matters_to_the_transformer_alone(name: str, matters: bool) -> None:
    encoder = encoder_of(name)
    turned = SENTENCES[2:, ::-1].copy()
    difference = np.abs(encoder(turned) - encoder(SENTENCES[2:])).max()
    assert (difference > 1e-2) == matters
    assert (difference < 1e-5) == (not matters)


def test_the_bag_is_the_mean_and_the_table_the_vector() -> None:
    bag = encoder_of("bag")
    (table,) = bag.get_weights()
    expected = [table[[3, 4, 5]].mean(0), table[7], table[[2, 9, 2, 1, 6, 8, 11, 5]].mean(0)]
    np.testing.assert_allclose(bag(SENTENCES), expected, rtol=1e-5, atol=1e-6)
    words = encoder_of("embedding", 1)
    (table,) = words.get_weights()
    np.testing.assert_array_equal(words(SENTENCES[:, :1]), table[[3, 7, 2]])


def test_tables_begin_as_in_word2vec() -> None:
    keras.utils.set_random_seed(0)
    encoder = ENCODERS.get("embedding", embedding_dim=50).build((1,), num_tokens=1000)
    (table,) = encoder.get_weights()
    assert np.abs(table).max() <= 0.01
    np.testing.assert_allclose(table.std(), 0.02 / np.sqrt(12), rtol=0.02)


def test_every_word_of_a_text_has_its_influence_on_the_transformer() -> None:
    encoder = encoder_of("transformer")
    features = encoder(SENTENCES).numpy()
    for row, length in enumerate((3, 1, 8)):
        for place in range(length):
            changed = SENTENCES.copy()
            changed[row, place] = 19
            moved = np.abs(encoder(changed).numpy() - features).max(axis=1)
            assert moved[row] > 1e-3
            np.testing.assert_allclose(np.delete(moved, row), 0, atol=1e-5)


def keys(count: int, seed: int = 0) -> tf.Tensor:
    return randomness.row_keys(randomness.uniform(randomness.key(seed, "test"), (count,)))


@SEQUENCES
def test_dropout_gives_two_views_of_one_text(name: str) -> None:
    encoder = encoder_of(name, dropout_rate=0.2)
    assert encoder.count_params() == encoder_of(name).count_params()
    texts = np.repeat(SENTENCES[2:], 6, axis=0)
    with dropout_keys(keys(6)):
        features = encoder(texts, training=True).numpy()
        again = encoder(texts, training=True).numpy()
        padded = encoder(np.repeat(SENTENCES[:1], 6, axis=0), training=True).numpy()
    np.testing.assert_array_equal(features, again)
    assert len(np.unique(features, axis=0)) == 6
    with dropout_keys(keys(6, seed=1)):
        assert np.all(np.any(encoder(texts, training=True).numpy() != features, axis=1))
    with dropout_keys(tf.repeat(keys(1), 6)):
        equal = encoder(texts, training=True).numpy()
    np.testing.assert_allclose(equal, np.repeat(equal[:1], 6, axis=0), atol=1e-6)
    still = encoder(texts, training=False).numpy()
    np.testing.assert_allclose(still, np.repeat(still[:1], 6, axis=0), atol=1e-6)
    # Without training and keys it is the network without dropout, and padding is skipped there too.
    np.testing.assert_allclose(still[0], encoder_of(name)(SENTENCES)[2], rtol=1e-4, atol=1e-5)
    assert np.all(np.isfinite(padded))


@pytest.mark.full
@SEQUENCES
@pytest.mark.parametrize("dropout_rate", [0.0, 0.2])
def test_masks_are_passed_on_without_a_warning(name: str, dropout_rate: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        encoder = encoder_of(name, dropout_rate=dropout_rate)
        with dropout_keys(keys(3)):
            eager = encoder(SENTENCES, training=True)
            graph = tf.function(lambda x: encoder(x, training=True))(SENTENCES)
    np.testing.assert_allclose(eager, graph, rtol=1e-4, atol=1e-5)


@SEQUENCES
def test_padding_changes_nothing_in_training_with_dropout(name: str) -> None:
    encoder = encoder_of(name, dropout_rate=0.2)
    with dropout_keys(keys(3)):
        expected = encoder(SENTENCES, training=True).numpy()
        table = encoder.trainable_variables[0]
        table.assign(np.concatenate([np.full((1, 8), 100.0, np.float32), table[1:]]))
        found = encoder(SENTENCES, training=True).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("name", ["embedding", "bag", "transformer"])
def test_they_can_be_saved_and_loaded(name: str, tmp_path: Any) -> None:
    length = 1 if name == "embedding" else 8
    encoder = encoder_of(name, length)
    save_model(encoder, tmp_path / "encoder.keras")
    loaded = keras.models.load_model(tmp_path / "encoder.keras")
    texts = SENTENCES[:, :length]
    np.testing.assert_allclose(loaded(texts), encoder(texts), rtol=1e-5, atol=1e-6)


@pytest.mark.full
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@SEQUENCES
def test_low_precision_is_close(name: str, policy: str) -> None:
    exact = encoder_of(name)
    rough = ENCODERS.get(name, **_options(name)).build((8,), policy, num_tokens=NUM_TOKENS)
    rough.set_weights(exact.get_weights())
    expected = exact(SENTENCES).numpy()
    found = tf.cast(rough(SENTENCES), tf.float32).numpy()
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def _options(name: str) -> dict[str, Any]:
    heads = {"transformer_heads": 2} if name == "transformer" else {}
    return {"embedding_dim": 8, **heads}


def test_a_table_takes_single_words_alone() -> None:
    with pytest.raises(UserError) as caught:
        encoder_of("embedding", 5)
    assert str(caught.value) == (
        "encoder=embedding takes single words, but an example has 5: choose --encoder=bag or "
        "transformer."
    )


def test_heads_share_the_dimension_equally() -> None:
    with pytest.raises(UserError) as caught:
        encoder_of("transformer", embedding_dim=10, transformer_heads=4)
    assert str(caught.value) == (
        "embedding_dim is 10, which 4 attention heads (transformer_heads) cannot share equally: "
        "give a multiple of 4."
    )


def test_encoders_of_texts_and_of_other_examples_refuse_each_other(bit_data: DataSet) -> None:
    with pytest.raises(UserError, match=r"The encoder bag accepts texts, but .* are images: "):
        build(Config.make(encoder="bag", heads=""), bit_data)
    assert Config.make(dataset="skip_gram").network.encoder == "embedding"
    assert Config.make(dataset="sentences").network.encoder == "transformer"
    with pytest.raises(UserError, match=r"The encoder mlp accepts vectors, but .* are texts: "):
        build(Config.make(dataset="sentences", encoder="mlp", heads=""), small_sentences())


def small_sentences() -> DataSet:
    from ssl_keras.datasets import MemorySplit
    from ssl_keras.inputs import Tokens

    split = MemorySplit({"ids": SENTENCES.astype(np.int32)}, {})
    return datasets.DataSet("three sentences", split, split, {}, Tokens(("a", "b"), 8))
