"""Text as numbers: the vocabulary of a text, and its words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ssl_keras.datasets.base import DatasetBuilder, absolute_source
from ssl_keras.errors import UserError
from ssl_keras.inputs.tokens import FIRST_WORD, UNKNOWN, split_words
from ssl_keras.options import option


@dataclass(frozen=True)
class TextBuilder(DatasetBuilder):
    """Base class of builders that take sentences from a source."""

    source_kind: ClassVar[str] = "text"

    source: str = option("kjv", help="source of the text", convert=absolute_source)
    text_unit: str = option(
        "lines", choices=("lines", "paragraphs"), help="what a sentence of a text file is"
    )


@dataclass(frozen=True)
class Corpus:
    """Sentences as numbers of words, one after the other.

    Attributes:
        vocabulary: the words, the most frequent first.
        counts: int64 (words,), how often each occurs.
        numbers: int32 (all words,), see `inputs.Tokens`; rare words are 1.
        lengths: int64 (sentences,), words of each sentence.
    """

    vocabulary: tuple[str, ...]
    counts: np.ndarray
    numbers: np.ndarray
    lengths: np.ndarray

    @classmethod
    def read(cls, sentences: Sequence[str], min_count: int, name: str) -> Corpus:
        """The corpus of sentences.

        Args:
            sentences: texts.
            min_count: rarer words are unknown.
            name: of the source, for messages.

        Raises:
            UserError: fewer than two words occur so often.
        """
        words = split_words(list(sentences))
        flat = words.flat_values.numpy().tolist()
        counted = Counter(flat)
        # Words of equal count by their bytes: the order does not depend on the text's.
        kept = sorted(
            (word for word, count in counted.items() if count >= min_count),
            key=lambda word: (-counted[word], word),
        )
        if len(kept) < 2:
            raise UserError(
                f"The source {name!r} has {len(counted)} different words, of which {len(kept)} "
                f"occur {min_count} times or more: two are needed; give a smaller --min_count, or "
                "more text."
            )
        number = {word: FIRST_WORD + k for k, word in enumerate(kept)}
        return cls(
            tuple(word.decode() for word in kept),
            np.array([counted[word] for word in kept], np.int64),
            np.array([number.get(word, UNKNOWN) for word in flat], np.int32),
            words.row_lengths().numpy(),
        )

    def padded(self, length: int) -> np.ndarray:
        """int32 (sentences, length): each sentence, cut off or padded with 0."""
        starts = np.cumsum(self.lengths) - self.lengths
        places = np.arange(length)[None, :]
        rows = np.minimum(starts[:, None] + places, max(0, len(self.numbers) - 1))
        return np.where(places < self.lengths[:, None], self.numbers[rows], 0).astype(np.int32)
