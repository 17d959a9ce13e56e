"""Tokens: how texts become words in any language, and words numbers, there and back."""

from __future__ import annotations

import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.errors import UserError
from ssl_keras.inputs import PRESETS, Tokens
from ssl_keras.inputs.tokens import FIRST_WORD, PADDING, UNKNOWN, split_words
from ssl_keras.networks import ENCODERS

TOKENS = Tokens(("the", "cat", "don't", "straße"), 4)


def words(text: str | bytes) -> list[str]:
    (found,) = split_words([text]).to_list()
    return [word.decode() for word in found]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat, the DOG.", ["the", "cat", "the", "dog"]),
        ("ÄRGER Éclair ΣΟΦΙΑ МОСКВА", ["ärger", "éclair", "σοφια", "москва"]),
        ("don't 'quoted' dogs' it\u2019s", ["don't", "quoted", "dogs", "it's"]),
        ("''' ' a", ["a"]),
        ("'tis o'clock '''em'''", ["tis", "o'clock", "em"]),
        ("我爱NLP吗", ["我", "爱", "nlp", "吗"]),
        ("カタcatかな", ["カ", "タ", "cat", "か", "な"]),
        ("안녕 하세요", ["안녕", "하세요"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("שלום, עולם", ["שלום", "עולם"]),
        ("well-known 3.14 x_y a/b", ["well", "known", "3", "14", "x", "y", "a", "b"]),
        ("tab\tline\nno\u00a0break\u2003wide", ["tab", "line", "no", "break", "wide"]),
        ("good 😀 bye", ["good", "bye"]),
        (b"caf\xe9 ok \xff\xfe fine", ["caf", "ok", "fine"]),
        ("e\u0301te\u0301", ["e\u0301te\u0301"]),
        ("", []),
        ("... !?", []),
    ],
)
def test_words_of_many_languages(text: str | bytes, expected: list[str]) -> None:
    assert words(text) == expected


def test_texts_are_split_one_by_one() -> None:
    found = split_words(["a b", "", "c"])
    assert found.to_list() == [[b"a", b"b"], [], [b"c"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the cat", [2, 3, PADDING, PADDING]),
        ("The dog DON\u2019T", [2, UNKNOWN, 4, PADDING]),
        ("STRASSE straße the cat cat the", [UNKNOWN, 5, 2, 3]),
        ("", [UNKNOWN, PADDING, PADDING, PADDING]),
        ("?!", [UNKNOWN, PADDING, PADDING, PADDING]),
        (b"\xff the", [2, PADDING, PADDING, PADDING]),
    ],
)
def test_words_become_numbers(text: str | bytes, expected: list[int]) -> None:
    ids = TOKENS.ids(tf.constant([text]))
    assert ids.dtype == tf.int32
    np.testing.assert_array_equal(ids, [expected])


def test_a_batch_has_the_numbers_of_each_text_also_in_a_graph() -> None:
    texts = tf.constant(["the", "", "the cat the cat the"])
    expected = [[2, 0, 0, 0], [1, 0, 0, 0], [2, 3, 2, 3]]
    np.testing.assert_array_equal(TOKENS.ids(texts), expected)
    spec = tf.TensorSpec((None,), tf.string)
    np.testing.assert_array_equal(
        tf.function(Tokens(TOKENS.vocabulary, 4).ids, input_signature=[spec])(texts), expected
    )


@pytest.mark.parametrize(
    "vocabulary", [("a", "b", "c"), ("unknown", "unknownn", "the"), tuple("去年不识字")]
)
def test_texts_of_numbers_have_these_numbers(vocabulary: tuple[str, ...]) -> None:
    tokens = Tokens(vocabulary, 6)
    generator = np.random.default_rng(0)
    ids = generator.integers(UNKNOWN, tokens.num_tokens, (50, 6))
    ids[np.arange(6)[None, :] >= generator.integers(1, 7, 50)[:, None]] = PADDING
    texts = tokens.texts(ids)
    np.testing.assert_array_equal(tokens.ids(tf.constant(texts)), ids)
    arguments = tokens.arguments({"ids": ids})
    assert list(arguments["text"]) == texts
    np.testing.assert_array_equal(tokens.serve(tf.constant(arguments["text"])), ids)
    np.testing.assert_array_equal(tokens.serve(tf.constant(ids, tf.int32)), ids)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_large_numbers_are_not_rounded(policy: str) -> None:
    count = 2**11 + 70
    tokens = Tokens(tuple(f"w{k}" for k in range(count)), 1)
    ids = np.arange(FIRST_WORD, tokens.num_tokens)[:, None]
    inputs = tokens.inputs({"ids": tf.constant(ids, tf.int32)})
    assert inputs.dtype == tf.float32
    np.testing.assert_array_equal(inputs, ids)
    encoder = ENCODERS.get("embedding", embedding_dim=3).build(
        (1,), policy, num_tokens=tokens.num_tokens
    )
    generator = np.random.default_rng(0)
    table = generator.normal(size=(tokens.num_tokens, 3)).astype(np.float32)
    encoder.set_weights([table])
    features = tf.cast(encoder(inputs), tf.float32)
    np.testing.assert_allclose(features, table[FIRST_WORD:], rtol=1e-2, atol=1e-3)
    # In a model of that policy around it, too.
    given = keras.Input((1,), dtype="float32")
    outer = keras.Model(given, encoder(given))
    np.testing.assert_array_equal(tf.cast(outer(inputs), tf.float32), features)


def test_pickled_it_is_the_same_whether_it_has_been_used_or_not() -> None:
    fresh, used = Tokens(("a", "b"), 3), Tokens(("a", "b"), 3)
    used.ids(tf.constant(["a"]))
    assert pickle.dumps(used) == pickle.dumps(fresh)
    copy = pickle.loads(pickle.dumps(used))
    np.testing.assert_array_equal(copy.ids(tf.constant(["b a c"])), [[3, 2, UNKNOWN]])


def test_it_says_what_it_is() -> None:
    words_alone = Tokens(("a", "b"), 1)
    assert (str(words_alone), str(TOKENS)) == ("words", "texts of up to 4 words")
    assert (words_alone.preset, TOKENS.preset) == ("none", "tokens")
    assert TOKENS.network_shape == (4,)
    assert TOKENS.encoder_arguments == {"num_tokens": 6}
    assert "tokens" in PRESETS
    specs = {name: [(s.name, s.dtype) for s in each] for name, each in TOKENS.signatures().items()}
    assert specs == {"": [("text", tf.string)], "_ids": [("ids", tf.int32)]}


def test_presets_and_operations_of_other_examples_are_refused() -> None:
    assert TOKENS.operations("auto", {}) == {"deletion_rate": 0.1}
    assert TOKENS.operations("none", {}) == {"deletion_rate": 0.0}
    assert TOKENS.operations("tokens", {"deletion_rate": 0.5}) == {"deletion_rate": 0.5}
    with pytest.raises(UserError) as caught:
        TOKENS.operations("auto", {"noise_deviation": 0.1})
    assert str(caught.value) == (
        "noise_deviation has no effect on texts, which have deletion_rate: leave it out."
    )
    with pytest.raises(UserError) as caught:
        TOKENS.operations("digits", {})
    assert str(caught.value) == (
        "augmentation=digits is not for texts: choose one of auto, tokens, none."
    )
    with pytest.raises(TypeError, match="views=mixup blends numbers, and tokens are words"):
        TOKENS.mix({}, lambda values: values, False)
    with pytest.raises(TypeError, match="texts have no pictures"):
        TOKENS.pictures(np.zeros((1, 4)))
