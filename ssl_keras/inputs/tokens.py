"""Tokens: words and sentences, as numbers of a vocabulary."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ssl_keras.annotations import Tensor
from ssl_keras.inputs.base import Example, Modality
from ssl_keras.lazy import tf

PADDING, UNKNOWN = 0, 1
# Number of the first word of a vocabulary.
FIRST_WORD = 2

PRESETS: dict[str, dict[str, Any]] = {"tokens": {"deletion_rate": 0.1}, "none": {}}


def split_words(text: Tensor) -> Any:
    """The words of texts: strings (batch,), UTF-8 -> a `tf.RaggedTensor` (batch, words).

    A word is a run of letters, digits and apostrophes, in lower case; each character of a script
    without spaces (Chinese, Japanese, Thai, Lao, Khmer, Burmese) is a word. Bytes that are not
    UTF-8 become the replacement character, which separates words.
    """
    text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
    text = tf.strings.lower(text, encoding="utf-8")
    text = tf.strings.regex_replace(text, "\u2019", "'")
    scripts = "".join(
        rf"\p{{{name}}}"
        for name in ("Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar")
    )
    text = tf.strings.regex_replace(text, rf"([{scripts}])", r" \1 ")
    text = tf.strings.regex_replace(text, r"[^\p{L}\p{M}\p{N}']+", " ")
    text = tf.strings.regex_replace(text, r"(^| )'+", r"\1")
    return tf.strings.split(tf.strings.regex_replace(text, r"'+( |$)", r"\1"))


@dataclass(frozen=True, eq=False)
class Tokens(Modality):
    """{"ids": int32 (length,)}, numbers of words, with padding at the end.

    0 is padding, 1 an unknown word, 2 and more are the words of the vocabulary. The network input
    is float32, like that of other examples, and exact up to 2^24; token encoders look the numbers
    up. The export takes text.

    Attributes:
        vocabulary: the words, in the order of their numbers.
        length: of an example; longer texts are cut off.
    """

    vocabulary: tuple[str, ...]
    length: int

    name: ClassVar[str] = "texts"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    column: ClassVar[str] = "ids"
    unmixable: ClassVar[str] = (
        "views=mixup blends numbers, and tokens are words: choose augment, dropout or given for "
        "--views."
    )

    @property
    def num_tokens(self) -> int:
        """Number of different numbers: the words, padding and the unknown word."""
        return FIRST_WORD + len(self.vocabulary)

    @property
    def network_shape(self) -> tuple[int, ...]:
        return (self.length,)

    @property
    def encoder_arguments(self) -> dict[str, Any]:
        return {"num_tokens": self.num_tokens}

    @property
    def preset(self) -> str:
        return "none" if self.length == 1 else "tokens"

    def prepare(self, example: Example) -> Example:
        return {"ids": tf.cast(example["ids"], tf.float32)}

    def compose(self, example: Example) -> Tensor:
        return example["ids"]

    @property
    def defaults(self) -> Mapping[str, Any]:
        return {"deletion_rate": 0.0}

    def transform(self, operations: Mapping[str, Any], compiled: bool) -> Any:
        from ssl_keras.views.tokens import TokenTransform

        return TokenTransform(self.length, **operations)

    def mix(self, example: Example, blend: Callable[[Any], Any], extra_channels: bool) -> Example:
        raise TypeError(self.unmixable)

    def __str__(self) -> str:
        return "words" if self.length == 1 else f"texts of up to {self.length} words"

    @functools.cached_property
    def table(self) -> Any:
        """The `tf.lookup.StaticHashTable` from words to their numbers."""
        with tf.init_scope():
            words = tf.constant(list(self.vocabulary) or [""], tf.string)
            numbers = tf.range(FIRST_WORD, FIRST_WORD + words.shape[0], dtype=tf.int64)
            start = tf.lookup.KeyValueTensorInitializer(words, numbers)
            return tf.lookup.StaticHashTable(start, UNKNOWN)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.vocabulary, self.length)  # without the table

    @property
    def resources(self) -> list[Any]:
        return [self.table]

    def ids(self, text: Tensor) -> Tensor:
        """The numbers of texts: strings (batch,) -> int32 (batch, length). A text without words is
        one unknown word."""
        words = split_words(text)
        numbers = words.with_flat_values(self.table.lookup(words.flat_values))
        dense = numbers.to_tensor(PADDING, shape=(None, self.length))
        empty = tf.reduce_all(dense == PADDING, axis=1, keepdims=True)
        first = tf.one_hot(0, self.length, UNKNOWN, PADDING, dtype=dense.dtype)
        return tf.cast(tf.where(empty, first, dense), tf.int32)

    def signatures(self) -> dict[str, list[Any]]:
        return {
            "": [tf.TensorSpec((None,), tf.string, name="text")],
            "_ids": [tf.TensorSpec((None, self.length), tf.int32, name="ids")],
        }

    def serve(self, *arguments: Any) -> Tensor:
        given = arguments[0]
        return self.inputs({"ids": self.ids(given) if given.dtype == tf.string else given})

    def arguments(self, example: Example) -> dict[str, np.ndarray]:
        return {"text": np.array(self.texts(np.asarray(example["ids"])))}

    def texts(self, ids: np.ndarray) -> list[str]:
        """Texts with the numbers `ids` (examples, length): words, separated by spaces."""
        unknown = "unknown"
        while unknown in self.vocabulary:
            unknown += "n"
        words = np.array(["", unknown, *self.vocabulary], object)
        return [" ".join(words[row[row != PADDING]]) for row in ids]
