"""Twins among sentences, and the control that counts words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from ssl_keras.config import Config
from ssl_keras.datasets import DataSet, MemorySplit, Target
from ssl_keras.datasets.base import class_target
from ssl_keras.errors import UserError
from ssl_keras.evaluators import EVALUATORS
from ssl_keras.evaluators.base import FrozenFeatures, Inputs
from ssl_keras.evaluators.text import Parallel, TfIdf, _weighed, twin_recall
from ssl_keras.inputs import Tokens
from ssl_keras.neighbours import unit_rows
from ssl_keras.run import build

LENGTH, NUM_WORDS = 6, 40
TOKENS = Tokens(tuple(f"w{k}" for k in range(NUM_WORDS)), LENGTH)


@pytest.mark.parametrize("sparse", [False, True])
def test_twins_are_found_as_in_a_loop(sparse: bool) -> None:
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(20), 2)
    centres = np.repeat(generator.normal(size=(20, 8)), 2, axis=0)
    rows = np.concatenate(
        [centres + 0.6 * generator.normal(size=(40, 8)), generator.normal(size=(70, 8))]
    )
    rows = unit_rows(rows)
    found = 0
    for row in range(40):
        cosines = {other: rows[row] @ rows[other] for other in range(110) if other != row}
        nearest = max(cosines, key=lambda other: cosines[other])
        found += nearest < 40 and labels[nearest] == labels[row]
    assert 5 < found < 35
    assert twin_recall(csr_matrix(rows) if sparse else rows, labels) == found / 40


@pytest.mark.parametrize("sparse", [False, True])
def test_a_sentence_is_not_its_own_twin(sparse: bool) -> None:
    rows = np.eye(4, dtype=np.float32)
    rows[1] = rows[0]
    labels = np.array([0, 0, 1, 1])
    given = csr_matrix(rows) if sparse else rows
    assert twin_recall(given, labels) == 0.5
    # An equal sentence without a label is nearer than the twin.
    others = np.array([[0.8, 0.6], [0.6, 0.8], [0.8, 0.6]], np.float32)
    assert twin_recall(csr_matrix(others) if sparse else others, labels[:2]) == 0.5


def test_parallel_looks_among_test_sentences_too() -> None:
    generator = np.random.default_rng(0)
    unseen, test = generator.normal(size=(10, 4)), generator.normal(size=(50, 4))
    labels = np.repeat(np.arange(5), 2)
    frozen = FrozenFeatures(
        test[:3], test, {}, {}, {}, unseen=unseen, unseen_labels=labels,
        unseen_target=Target("passage", "class", 5, 0.2, 0.2),
    )  # fmt: skip
    values = dict(Parallel().evaluate(frozen, 0))
    expected = twin_recall(unit_rows(np.concatenate([unseen, test])), labels)
    assert values == {"passage/recall_at_1": expected}
    assert not dict(Parallel().evaluate(FrozenFeatures(test, test, {}, {}, {}), 0))


def telling(count: int, seed: int, classes: int, tells: bool) -> tuple[np.ndarray, np.ndarray]:
    """(sentences, classes): words by chance, and one word that tells the class, or none does."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % classes
    ids = generator.integers(2 + classes, TOKENS.num_tokens, (count, LENGTH))
    ids[:, generator.integers(2, LENGTH) :] = 0
    if tells:
        ids[np.arange(count), generator.integers(0, 2, count)] = 2 + labels
    return ids, labels


def frozen_of(classes: int, tells: bool) -> FrozenFeatures:
    train, train_labels = telling(300, 1, classes, tells)
    test, test_labels = telling(200, 2, classes, tells)
    unseen = np.repeat(telling(20, 3, classes, tells)[0], 2, axis=0)
    unseen[1::2, :2] = unseen[1::2, 1::-1]  # the twin in another order
    inputs = Inputs(
        lambda rows: train[rows].astype(np.float32),
        lambda rows: test[rows].astype(np.float32),
        TOKENS,
        lambda rows: unseen[rows].astype(np.float32),
    )
    nothing = np.zeros((300, 1), np.float32)  # features say nothing: they are not read
    return FrozenFeatures(
        nothing,
        nothing[:200],
        {"class": train_labels},
        {"class": test_labels},
        {"class": class_target("class", test_labels, classes)},
        inputs=inputs,
        unseen=nothing[:40],
        unseen_labels=np.repeat(np.arange(20), 2),
        unseen_target=Target("passage", "class", 20, 0.05, 0.05),
    )


@pytest.mark.parametrize("classes", [2, 3])
def test_a_word_that_tells_the_class_is_read(classes: int) -> None:
    frozen = frozen_of(classes, tells=True)
    values = dict(TfIdf().evaluate(frozen, 0))
    assert values["class/accuracy"] == 1.0
    assert values["passage/recall_at_1"] == 1.0
    assert dict(TfIdf().evaluate(frozen, 0)) == values
    chance = dict(TfIdf().evaluate(frozen_of(classes, tells=False), 0))["class/accuracy"]
    assert abs(chance - 1 / classes) < 4 * np.sqrt(0.25 / 200)


def test_a_class_that_training_never_shows_is_never_found() -> None:
    frozen = frozen_of(2, tells=True)
    frozen.train_labels["class"][:] = 1
    values = dict(TfIdf().evaluate(frozen, 0))
    assert values["class/accuracy"] == 0.5


def test_weights_are_those_of_the_docstring() -> None:
    frozen = frozen_of(3, tells=True)
    assert frozen.inputs is not None
    train, test, unseen = _weighed(frozen)
    train_ids, test_ids = telling(300, 1, 3, True)[0], telling(200, 2, 3, True)[0]
    with_word = [np.any(train_ids == word, axis=1).sum() for word in range(TOKENS.num_tokens)]
    for matrix, ids in ((train, train_ids), (test, test_ids)):
        assert matrix.shape == (len(ids), TOKENS.num_tokens)
        for row in range(0, len(ids), 20):
            expected = np.zeros(TOKENS.num_tokens)
            for word in set(ids[row]) - {0}:
                count = np.sum(ids[row] == word)
                rarity = 1 + np.log((1 + 300) / (1 + with_word[word]))
                expected[word] = (1 + np.log(count)) * rarity
            expected /= np.linalg.norm(expected)
            np.testing.assert_allclose(matrix[row].toarray()[0], expected, rtol=1e-6, atol=1e-9)
    assert unseen.shape == (40, TOKENS.num_tokens)


def sentences_data(**further: Any) -> DataSet:
    ids, labels = telling(40, 0, 2, True)
    split = MemorySplit({"ids": ids.astype(np.int32)}, {"class": labels.astype(np.int32)})
    targets = {"class": class_target("class", labels, 2)}
    return DataSet("some sentences", split, split, targets, TOKENS, **further)


def test_data_that_do_not_fit_are_refused_before_training(bit_data: DataSet) -> None:
    with pytest.raises(UserError) as caught:
        build(Config.make(dataset="sentences", heads="parallel"), sentences_data())
    assert str(caught.value) == (
        "The evaluator parallel needs passages that occur twice, and some sentences has none: "
        "choose --dataset=sentences --source=kjv, or leave it out of --heads."
    )
    with pytest.raises(UserError) as caught:
        build(Config.make(heads="tf_idf"), bit_data)
    assert str(caught.value) == (
        f"The evaluator tf_idf counts words, and {bit_data.name} has {bit_data.modality}: leave it "
        "out of --heads."
    )
    for name in ("similarity", "analogies", "bias"):
        with pytest.raises(UserError) as caught:
            EVALUATORS.get(name).check_data(sentences_data())
        assert str(caught.value) == (
            "This evaluator reads the vectors of words, but some sentences has texts of up to 6 "
            "words: choose --dataset=skip_gram, or leave the evaluator out of --heads."
        )


def test_texts_cannot_be_mixed() -> None:
    with pytest.raises(UserError) as caught:
        build(Config.make(dataset="sentences", views="mixup", heads=""), sentences_data())
    assert str(caught.value) == (
        "views=mixup blends numbers, and tokens are words: choose augment, dropout or given for "
        "--views."
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"views": "given"}, "views=given"),
        ({"encoder": "embedding"}, "encoder=embedding takes single words, but an example has 6"),
        ({"encoder": "convnet"}, "The encoder convnet accepts images, but the examples of some"),
        ({"noise_deviation": 0.1}, "noise_deviation has no effect on texts"),
        ({"augmentation": "digits"}, "augmentation=digits is not for texts"),
        ({"embedding_dim": 30, "transformer_heads": 4}, "embedding_dim is 30, which 4 attention"),
        ({"cancel_negatives": "context"}, "cancel_negatives is 'context', but some sentences has"),
    ],
)
def test_settings_that_do_not_fit_sentences_are_one_sentence(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError) as caught:
        build(
            Config.make(dataset="sentences", loss="nt_xent", heads="", **settings), sentences_data()
        )
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings", [{"image_size": 8}, {"view_size": 8}, {"image_channels": 1}, {"num_bits": 2}]
)
def test_settings_of_images_are_refused_for_texts(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=next(iter(settings))):
        Config.make(dataset="sentences", **settings)
