"""Pairs of near words: against loops over a small text, and the laws of windows and of frequent
words."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_keras import datasets
from ssl_keras.datasets import DataSet
from ssl_keras.datasets.words import Corpus
from ssl_keras.errors import UserError
from ssl_keras.inputs import Tokens
from ssl_keras.inputs.tokens import FIRST_WORD

TEXT = """the cat saw the dog
a dog saw a cat and the bird

bird
the the the cat !
"""


def write(folder: Path, text: str, name: str = "text.txt") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return f"text:{folder / name}"


def load(source: str, **options: Any) -> DataSet:
    return datasets.load(
        "skip_gram", source=source, **{"min_count": 1, "subsample": 1.0, **options}
    )


def pairs_of(data: DataSet) -> list[tuple[str, str]]:
    """Every pair as words."""
    modality = data.modality
    assert isinstance(modality, Tokens)
    words = data.train.example["ids"][:, 0] - FIRST_WORD
    contexts = data.train.partner["ids"][:, 0] - FIRST_WORD
    return [
        (modality.vocabulary[w], modality.vocabulary[c])
        for w, c in zip(words, contexts, strict=True)
    ]


def looped(sentences: list[list[str]], window: int) -> Counter[tuple[str, str]]:
    return Counter(
        (sentence[i], sentence[j])
        for sentence in sentences
        for i in range(len(sentence))
        for j in range(len(sentence))
        if i != j and abs(i - j) <= window
    )


def sentences_of(text: str) -> list[list[str]]:
    return [line.replace("!", "").lower().split() for line in text.splitlines()]


def test_neighbours_are_those_of_a_loop(tmp_path: Path) -> None:
    data = load(write(tmp_path, TEXT), window=1)
    assert Counter(pairs_of(data)) == looped(sentences_of(TEXT), 1)
    # Words of equal count in the order of their bytes.
    assert data.modality.vocabulary == ("the", "cat", "a", "bird", "dog", "saw", "and")
    assert data.targets == {}


def test_rare_words_are_left_out_before_windows(tmp_path: Path) -> None:
    data = load(write(tmp_path, TEXT), window=1, min_count=3)
    kept = {"the", "cat"}
    left = [[word for word in sentence if word in kept] for sentence in sentences_of(TEXT)]
    assert data.modality.vocabulary == ("the", "cat")
    assert Counter(pairs_of(data)) == looped(left, 1)
    assert pairs_of(data).count(("cat", "the")) == 4


def test_paragraphs_are_sentences_too(tmp_path: Path) -> None:
    text = "a b\nc d\n\ne f\n"
    source = write(tmp_path, text)
    assert Counter(pairs_of(load(source, window=1))) == looped(sentences_of(text), 1)
    joined = [["a", "b", "c", "d"], ["e", "f"]]
    found = pairs_of(load(source, window=1, text_unit="paragraphs"))
    assert Counter(found) == looped(joined, 1)


def numbered(sentences: int, words: int) -> str:
    """Sentences in which each word says its place."""
    return "\n".join([" ".join(f"w{place}" for place in range(words))] * sentences)


def places(data: DataSet) -> np.ndarray:
    """(pairs, 2): the places of the words of `numbered`."""
    return np.array([(int(word[1:]), int(context[1:])) for word, context in pairs_of(data)])


def test_distances_follow_the_law_of_windows(tmp_path: Path) -> None:
    window, count = 4, 400
    data = load(write(tmp_path, numbered(count, 30)), window=window)
    word, context = places(data).T
    inside = (word >= window) & (word < 30 - window)
    distances = (context - word)[inside]
    centres = count * (30 - 2 * window)
    assert set(np.abs(distances)) == set(range(1, window + 1))
    for distance in range(1, window + 1):
        # b ~ U{1, ..., window} reaches it with probability (window - distance + 1) / window.
        law = (window - distance + 1) / window
        for sign in (1, -1):
            share = np.sum(distances == sign * distance) / centres
            assert abs(share - law) < 5 * np.sqrt(law * (1 - law) / centres) + 1e-12
    # One b for both sides.
    assert np.sum(distances > 0) == np.sum(distances < 0)


def test_no_pair_crosses_sentences(tmp_path: Path) -> None:
    text = "\n".join(" ".join(f"s{row}x{k}" for k in range(row % 7)) for row in range(60))
    data = load(write(tmp_path, text), window=10, passes=5)
    for word, context in pairs_of(data):
        assert word.split("x")[0] == context.split("x")[0]


def test_frequent_words_are_kept_with_their_probability(tmp_path: Path) -> None:
    # Every word's neighbour is one that is always kept, in a sentence of two.
    counts = {"often": 3000, "medium": 600, "seldom": 40}
    lines = [f"{word} mark{k}" for word, count in counts.items() for k in range(count)]
    generator = np.random.default_rng(0)
    text = "\n".join(generator.permutation(lines))
    total = 2 * sum(counts.values())
    threshold = 0.01
    data = load(write(tmp_path, text), window=1, subsample=threshold)
    found = Counter(word for word, _ in pairs_of(data))
    for word, count in counts.items():
        law = min(1.0, np.sqrt(threshold * total / count))
        share = found[word] / count
        assert abs(share - law) < 5 * np.sqrt(law * (1 - law) / count) + 1e-12, word
    assert found["seldom"] == 40


def test_what_is_left_out_brings_others_nearer(tmp_path: Path) -> None:
    # Words are left out before windows are laid: others meet across them.
    lines = [f"a{k} the b{k}" for k in range(500)]
    data = load(write(tmp_path, "\n".join(lines)), window=1, subsample=0.01)
    found = Counter(pairs_of(data))
    together = sum(found[f"a{k}", f"b{k}"] for k in range(500))
    left_out = 1 - np.sqrt(0.01 / (1 / 3))
    assert abs(together / 500 - left_out) < 5 * np.sqrt(left_out * (1 - left_out) / 500)


def test_draws_follow_from_the_seed_and_differ_between_passes(tmp_path: Path) -> None:
    source = write(tmp_path, numbered(50, 9))
    first, again = (load(source, window=3, seed=4, passes=2) for _ in range(2))
    for name in ("example", "partner"):
        ids = getattr(first.train, name)["ids"]
        np.testing.assert_array_equal(ids, getattr(again.train, name)["ids"])
    assert pairs_of(load(source, window=3, seed=5, passes=2)) != pairs_of(first)
    once = load(source, window=3, seed=4)
    assert pairs_of(first)[: len(pairs_of(once))] == pairs_of(once)
    assert pairs_of(first)[len(pairs_of(once)) :] != pairs_of(once)


def test_labels_are_the_context_and_the_shares_in_the_text_and_the_pairs(tmp_path: Path) -> None:
    data = load(write(tmp_path, TEXT * 20), window=3, min_count=40)
    words = [word for sentence in sentences_of(TEXT * 20) for word in sentence]
    known = [word for word in words if word in data.modality.vocabulary]
    assert set(words) - set(known) == {"and"}
    text, pairs = Counter(known), pairs_of(data)
    contexts = Counter(context for _, context in pairs)
    labels = data.train.labels
    np.testing.assert_array_equal(labels["context"], data.train.partner["ids"][:, 0])
    np.testing.assert_allclose(
        labels["unigram"], [text[context] / len(known) for _, context in pairs], rtol=1e-6
    )
    np.testing.assert_allclose(
        labels["rate"], [contexts[context] / len(pairs) for _, context in pairs], rtol=1e-6
    )


def test_the_test_examples_are_the_words_beside_themselves(tmp_path: Path) -> None:
    data = load(write(tmp_path, TEXT))
    for split in (data.test, data.probing):
        np.testing.assert_array_equal(split.example["ids"][:, 0], np.arange(2, 9))
        np.testing.assert_array_equal(split.partner["ids"], split.example["ids"])
        np.testing.assert_array_equal(split.labels["context"], np.arange(2, 9))
        np.testing.assert_allclose(split.labels["unigram"].sum(), 1.0, rtol=1e-6)
        np.testing.assert_allclose(split.labels["rate"].sum(), 1.0, rtol=1e-6)
    assert str(data.modality) == "words"
    (notice,) = data.notices
    assert notice == "18 words, 7 different ones that occur 1 times or more"


def test_fewer_pairs_leave_the_words_whole(tmp_path: Path) -> None:
    data = load(write(tmp_path, TEXT), max_train_images=5)
    assert data.train.num_examples == 5
    assert data.test.num_examples == data.probing.num_examples == 7


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (
            "a b c\nd e\n",
            {"min_count": 2},
            "has 5 different words, of which 0 occur 2 times or more: two are needed; give a "
            "smaller --min_count, or more text.",
        ),
        ("a a a\na\n", {}, "has 1 different words, of which 1 occur 1 times or more: two"),
        ("!\n?\n", {}, "has 0 different words, of which 0 occur 1 times or more"),
        ("a\nb\nc\n", {}, "has 0 pairs of words: give more text, longer sentences, or a larger"),
    ],
)
def test_texts_that_are_too_small_are_refused(
    text: str, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        load(write(tmp_path, text), **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_numbers_of_words_are_cut_off_and_padded() -> None:
    corpus = Corpus.read(["b a a c", "", "a b"], 2, "text")
    assert corpus.vocabulary == ("a", "b")
    np.testing.assert_array_equal(corpus.counts, [3, 2])
    np.testing.assert_array_equal(corpus.numbers, [3, 2, 2, 1, 2, 3])
    np.testing.assert_array_equal(corpus.lengths, [4, 0, 2])
    np.testing.assert_array_equal(corpus.padded(3), [[3, 2, 2], [0, 0, 0], [2, 3, 0]])
    np.testing.assert_array_equal(corpus.padded(5)[0], [3, 2, 2, 1, 0])
