"""word2vec against gensim, on the same sentences."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np

from ssl_keras.config import Config
from ssl_keras.datasets.sources.text import load_text
from ssl_keras.datasets.words import Corpus
from ssl_keras.errors import UserError
from ssl_keras.evaluators import EVALUATORS, FrozenFeatures
from ssl_keras.evaluators.base import Inputs
from ssl_keras.inputs import Tokens
from ssl_keras.inputs.tokens import FIRST_WORD, UNKNOWN
from ssl_keras.reproduce.studies.base import flagfile_settings
from ssl_keras.run import setup
from tools.benchmark.measuring import Row, trainer

# Passes of each side over the text: those of our flagfile, and what gensim's users take.
OUR_PASSES, THEIR_PASSES = 5, 15


def words(repeats: int) -> list[Row]:
    """Words a second of one pass over the King James Bible, in turns, and what both vectors know.

    Both sides see the same words (those that occur five times or more), windows of up to 5 and 5
    noise words, 100 dimensions; gensim with two threads.
    """
    try:
        from gensim.models import Word2Vec
    except ImportError as error:
        raise UserError(
            "The benchmark words needs gensim, which is not installed: run pip install '.[text]'."
        ) from error
    settings: dict[str, Any] = {**flagfile_settings("word2vec"), "measure_images": 0}
    text = load_text("kjv")
    corpus = Corpus.read(text.sentences, 5, "kjv")
    names = np.array(["", "", *corpus.vocabulary], object)
    ends = np.cumsum(corpus.lengths)
    sentences = [
        [names[n] for n in numbers if n != UNKNOWN]
        for numbers in np.split(corpus.numbers, ends[:-1])
    ]
    total = int(corpus.lengths.sum())
    ours: Any = trainer(**settings)
    steps = ours.setup.steps_per_epoch
    options: dict[str, Any] = {"vector_size": 100, "window": 5, "negative": 5, "min_count": 5}
    model = Word2Vec(sg=1, sample=1e-3, workers=2, seed=0, **options)
    model.build_vocab(sentences)

    def theirs(passes: int) -> float:
        start = time.perf_counter()
        model.train(sentences, total_examples=len(sentences), epochs=passes)
        return time.perf_counter() - start

    theirs(1)
    times = [(ours(steps), theirs(1)) for _ in range(repeats)]
    row: Row = {
        "what": "skip-gram of the King James Bible, one pass / gensim",
        "words_per_second": statistics.median(total / t for t, _ in times),
        "their_words_per_second": statistics.median(total / t for _, t in times),
        "ratio": statistics.median(b / a for a, b in times),
    }
    model = Word2Vec(
        sentences, sg=1, sample=1e-3, workers=2, seed=0, epochs=THEIR_PASSES, **options
    )
    vectors = np.stack([model.wv[word] for word in corpus.vocabulary])
    trained = setup.build(Config.make(**{**settings, "epochs": OUR_PASSES}))
    batches = trained.train.training_batches(
        trained.config.optimization.batch_size, seed=0, num_steps=trained.total_steps
    )
    trained.model.fit(batches, verbose=0)
    table = trained.model.encoder.get_weights()[0][FIRST_WORD:]
    for prefix, features in (("", table), ("their_", vectors)):
        row |= {f"{prefix}{name}": value for name, value in _known(features, corpus).items()}
    return [row]


def _known(vectors: np.ndarray, corpus: Corpus) -> dict[str, float]:
    """Similarity and analogies of word vectors, in the order of the vocabulary."""

    def nothing(rows: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    inputs = Inputs(nothing, nothing, Tokens(corpus.vocabulary, 1))
    frozen = FrozenFeatures(vectors, vectors, {}, {}, {}, inputs=inputs)
    found: dict[str, float] = {}
    for name in ("similarity", "analogies"):
        found |= dict(EVALUATORS.get(name).evaluate(frozen, 0))
    kept = ("spearman", "family/accuracy", "all/accuracy")
    return {key.replace("/", "_"): value for key, value in found.items() if key.endswith(kept)}
