"""Pairs of words that stand near each other in a text: word2vec's skip-gram."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ssl_keras.datasets.base import BuildContext, DataSet
from ssl_keras.datasets.sources.text import load_text
from ssl_keras.datasets.splits import MemorySplit
from ssl_keras.datasets.words import Corpus, TextBuilder
from ssl_keras.errors import UserError
from ssl_keras.inputs import Tokens
from ssl_keras.inputs.tokens import FIRST_WORD
from ssl_keras.options import option


@dataclass(frozen=True)
class SkipGram(TextBuilder):
    """Pairs (word, word of its context) from the sentences of a text.

        a frequent word is kept with probability sqrt(subsample / f), f its share of the text
        b ~ U{1, ..., window} for each word kept; its context: b words on each side, in its sentence

    Mikolov et al. 2013, "Distributed representations of words and phrases and their
    compositionality" (arXiv 1310.4546), section 2. Words that occur less than `min_count` times are
    left out before. Departure: the draws are made once for the run, `passes` times over the text,
    and not anew in every epoch, so that a resumed run sees the same pairs.

    With `--views=given --method=two_towers --encoder=embedding --projection_layers=0` the towers
    are the tables of words and of context words. Labels beside the pairs, for losses: `context`,
    the number of the context word, `unigram`, its share of the text, and `rate`, its share of the
    pairs. The test examples are the words of the vocabulary, each beside itself; evaluators of
    words read them. There are no targets.
    """

    default_encoder: ClassVar[str] = "embedding"

    min_count: int = option(5, minimum=1, help="words that occur less often are left out")
    window: int = option(5, minimum=1, maximum=100, help="largest distance of a context word")
    subsample: float = option(
        1e-3, above=0, maximum=1, help="share of the text from which on words are left out at times"
    )
    passes: int = option(1, minimum=1, maximum=100, help="draws of the pairs over the text")

    def build(self, context: BuildContext) -> DataSet:
        text = load_text(self.source, self.text_unit)
        corpus = Corpus.read(text.sentences, self.min_count, self.source)
        generator = np.random.default_rng([context.seed, 11])
        parts = [self._pairs(corpus, generator) for _ in range(self.passes)]
        words, contexts = (np.concatenate(column) for column in zip(*parts, strict=True))
        if len(words) < 2:
            raise UserError(
                f"The source {self.source!r} has {len(words)} pairs of words: give more text, "
                "longer sentences, or a larger --subsample."
            )
        shares = (corpus.counts / corpus.counts.sum()).astype(np.float32)
        rates = np.bincount(contexts - FIRST_WORD, minlength=len(shares)) / len(contexts)
        labels = {
            "context": contexts,
            "unigram": shares[contexts - FIRST_WORD],
            "rate": rates.astype(np.float32)[contexts - FIRST_WORD],
        }
        train = MemorySplit({"ids": words[:, None]}, labels, None, {"ids": contexts[:, None]})
        every = np.arange(FIRST_WORD, FIRST_WORD + len(shares), dtype=np.int32)
        shown = {"context": every, "unigram": shares, "rate": rates.astype(np.float32)}
        vocabulary = MemorySplit({"ids": every[:, None]}, shown, None, {"ids": every[:, None]})
        return DataSet(
            name=f"pairs of words of {self.source}",
            train=train,
            test=vocabulary,
            probing_split=vocabulary,
            targets={},
            modality=Tokens(corpus.vocabulary, 1),
            notices=(
                f"{len(corpus.numbers)} words, {len(shares)} different ones that occur "
                f"{self.min_count} times or more",
            ),
        )

    def _pairs(
        self, corpus: Corpus, generator: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """(words, context words) of one pass over the text."""
        sentence = np.repeat(np.arange(len(corpus.lengths)), corpus.lengths)
        share = corpus.counts / corpus.counts.sum()
        # Padding and unknown words are never kept.
        keep = np.concatenate([[0.0, 0.0], np.minimum(1.0, np.sqrt(self.subsample / share))])
        kept = generator.random(len(corpus.numbers)) < keep[corpus.numbers]
        numbers, sentence = corpus.numbers[kept], sentence[kept]
        reach = generator.integers(1, self.window + 1, len(numbers))
        words, contexts = [], []
        for distance in range(1, self.window + 1):
            first = np.arange(max(0, len(numbers) - distance))
            second = first + distance
            same = sentence[first] == sentence[second]
            for centre, other in ((first, second), (second, first)):
                near = same & (reach[centre] >= distance)
                words.append(numbers[centre[near]])
                contexts.append(numbers[other[near]])
        return np.concatenate(words), np.concatenate(contexts)
