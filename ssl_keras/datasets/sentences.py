"""Sentences of a text, with their class and their length as targets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ssl_keras.datasets.base import BuildContext, DataSet, Target, class_target
from ssl_keras.datasets.sources.splitting import keyed_split
from ssl_keras.datasets.sources.text import load_text
from ssl_keras.datasets.splits import MemorySplit
from ssl_keras.datasets.words import Corpus, TextBuilder
from ssl_keras.errors import UserError
from ssl_keras.inputs import Tokens
from ssl_keras.options import option

LENGTHS = ("short", "rather short", "rather long", "long")


@dataclass(frozen=True)
class Sentences(TextBuilder):
    """The sentences of a text as numbers of words.

    For SimCSE: `--views=dropout --encoder=transformer` encodes each sentence twice, with
    independent dropout masks (Gao et al. 2021, arXiv 2104.08821). Targets: `class`, the file or the
    book of a sentence, if there are several; and `length`, the quarter of all sentences to which
    its number of words belongs, an easy competing feature. About a fifth of the sentences is for
    testing, see `sources.splitting.keyed_split`. Passages that the text has twice are in neither
    part: the evaluator `parallel` looks for their twins.
    """

    default_encoder: ClassVar[str] = "transformer"

    min_count: int = option(5, minimum=1, help="words that occur less often are unknown")
    max_words: int = option(
        48, minimum=2, maximum=1024, help="longest sentence; longer ones are cut off"
    )

    def build(self, context: BuildContext) -> DataSet:
        text = load_text(self.source, self.text_unit)
        corpus = Corpus.read(text.sentences, self.min_count, self.source)
        ids, lengths = corpus.padded(self.max_words), corpus.lengths
        # Sentences without letters are no examples.
        some = ids[:, 0] > 0
        classes = np.zeros(len(ids), np.int32) if text.labels is None else text.labels
        twins = np.zeros(len(ids), bool)
        twins[text.passages.ravel()] = True
        rows = np.flatnonzero(some & ~twins)
        keys = (text.sentences[int(row)].encode() for row in rows)
        train, test = (rows[part] for part in keyed_split(keys, classes[rows], context.seed))
        if not len(train) or not len(test):
            raise UserError(
                f"The source {self.source!r} has {len(rows)} sentences with words, too few for "
                "training and testing."
            )
        borders = np.quantile(lengths[train], (0.25, 0.5, 0.75))
        labels = {"length": np.searchsorted(borders, lengths, side="left").astype(np.int32)}
        if text.labels is not None:
            labels["class"] = text.labels

        def split(rows: np.ndarray, **further: np.ndarray) -> MemorySplit:
            return MemorySplit(
                {"ids": ids[rows]}, {n: v[rows] for n, v in labels.items()} | further
            )

        targets = {"length": class_target("length", labels["length"][test], 4, LENGTHS)}
        if text.labels is not None:
            size = len(text.class_names)
            target = class_target("class", text.labels[test], size, text.class_names)
            targets = {"class": target, **targets}
        unseen: dict[str, Any] = {}
        if count := len(text.passages):
            pairs = np.repeat(np.arange(count, dtype=np.int32), 2)
            chance = 1.0 / count
            unseen["unseen"] = split(text.passages.ravel(), passage=pairs)
            unseen["unseen_target"] = Target("passage", "class", count, chance, chance)
        return DataSet(
            name=f"sentences of {self.source}",
            train=split(train),
            test=split(test),
            targets=targets,
            modality=Tokens(corpus.vocabulary, self.max_words),
            **unseen,
        )
