"""Encoders of tokens: a table of words, their mean, and a transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from ssl_keras.annotations import Tensor
from ssl_keras.errors import UserError
from ssl_keras.lazy import keras
from ssl_keras.networks.encoders import Encoder
from ssl_keras.options import option


@dataclass(frozen=True)
class TokenEncoder(Encoder):
    """Base class of encoders of tokens, see `inputs.Tokens`."""

    accepts: ClassVar[tuple[str, ...]] = ("texts",)

    embedding_dim: int = option(100, minimum=1, help="dimension of the vector of a word")

    def embedded(
        self, x: Tensor, *, num_tokens: int, mask_zero: bool = False
    ) -> tuple[Tensor, Tensor]:
        """(numbers of the words, int32 (batch, length); their vectors (batch, length, dim))."""
        numbers = keras.ops.cast(x, "int32")
        # As word2vec begins: uniform in +-1 / (2 dim).
        half = 0.5 / self.embedding_dim
        table = keras.layers.Embedding(
            num_tokens,
            self.embedding_dim,
            embeddings_initializer=keras.initializers.RandomUniform(-half, half),
            mask_zero=mask_zero,
        )
        return numbers, table(numbers)


@dataclass(frozen=True)
class WordTable(TokenEncoder):
    """A table of vectors, one for each word: for examples of one word, as in word2vec."""

    def network(self, x: Tensor, **arguments: Any) -> Tensor:
        if x.shape[1] != 1:
            raise UserError(
                f"encoder=embedding takes single words, but an example has {x.shape[1]}: choose "
                "--encoder=bag or transformer."
            )
        _, vectors = self.embedded(x, **arguments)
        return keras.layers.Reshape((self.embedding_dim,))(vectors)


@dataclass(frozen=True)
class Bag(TokenEncoder):
    """The mean of the vectors of the words."""

    def network(self, x: Tensor, **arguments: Any) -> Tensor:
        _, vectors = self.embedded(x, mask_zero=True, **arguments)
        mean = keras.layers.GlobalAveragePooling1D()(vectors)
        return keras.layers.Activation("linear")(mean)  # dropout views drop its outputs


@dataclass(frozen=True)
class Transformer(TokenEncoder):
    """A small transformer: the mean of its outputs over the words.

    Vectors of words and of places, then `transformer_layers` times [attention, two dense layers],
    each with layer norm before it and a shortcut around it. Attention skips padding. Dropout views
    drop the sum of both vectors, the outputs of attention, and the two dense layers'.
    """

    embedding_dim: int = option(128, minimum=1, help="dimension of the vector of a word")
    transformer_layers: int = option(2, minimum=1, maximum=24, help="layers of the transformer")
    transformer_heads: int = option(4, minimum=1, help="attention heads of the transformer")

    def network(self, x: Tensor, **arguments: Any) -> Tensor:
        layers, dim, heads = keras.layers, self.embedding_dim, self.transformer_heads
        if dim % heads:
            raise UserError(
                f"embedding_dim is {dim}, which {heads} attention heads (transformer_heads) cannot "
                f"share equally: give a multiple of {heads}."
            )
        numbers, words = self.embedded(x, mask_zero=True, **arguments)
        # Places are counted without padding: what a view leaves out leaves no gap.
        present = keras.ops.cast(keras.ops.not_equal(numbers, 0), "int32")
        places = keras.ops.multiply(keras.ops.cumsum(present, axis=1), present)
        table = layers.Embedding(x.shape[1] + 1, dim, mask_zero=True)
        x = layers.Activation("linear")(layers.Add()([words, table(places)]))
        for _ in range(self.transformer_layers):
            y = layers.LayerNormalization(epsilon=1e-6)(x)
            y = layers.MultiHeadAttention(heads, dim // heads)(y, y)
            x = layers.Add()([x, layers.Activation("linear")(y)])
            y = layers.LayerNormalization(epsilon=1e-6)(x)
            y = layers.Dense(dim)(layers.Dense(4 * dim, activation="gelu")(y))
            x = layers.Add()([x, layers.Activation("linear")(y)])
        return layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(x))
