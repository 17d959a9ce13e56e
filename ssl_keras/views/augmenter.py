"""The augmenter: draws both views of a batch, of any modality."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ssl_keras import randomness
from ssl_keras.annotations import Tensor
from ssl_keras.lazy import tf
from ssl_keras.views.mixup import Mixup


class Augmenter(tf.keras.layers.Layer):
    """Draws two views of each example; the draws are a function of seed and step.

    Args:
        prepare: stored examples -> prepared examples, see `inputs.Modality`.
        transform: draws one view, see `inputs.Modality.transform`.
        seed: the run's seed.
        mixup: the `Mixup` after the transform, or None.
        given_pairs: whether the second view is a view of "partner", which the data give.
        equal_masks: whether both views of an example have the same dropout masks, a control.
    """

    def __init__(
        self,
        prepare: Any,
        transform: Any,
        seed: int = 0,
        mixup: Mixup | None = None,
        given_pairs: bool = False,
        equal_masks: bool = False,
    ):
        super().__init__(dtype="float32", name="augmenter")
        self.prepare, self.transform, self.mixup = prepare, transform, mixup
        self.given_pairs, self.equal_masks = given_pairs, equal_masks
        self._seed = randomness.Seed(seed)
        self.built = True

    @property
    def seed(self) -> int:
        """The seed of the draws; it can be set at any time."""
        return self._seed.value

    @seed.setter
    def seed(self, seed: int) -> None:
        self._seed.value = seed

    def describe(self) -> str:
        """The operations, for the banner."""
        parts = [part.describe() for part in (self.transform, self.mixup) if part]
        pairs = ["pairs that the data give"] if self.given_pairs else []
        return ", ".join(part for part in [*pairs, *parts] if part)

    def draws(self, purpose: str, step: Tensor, global_batch: Tensor, columns: int) -> Tensor:
        """Draws for both views of a step: (2, global batch, columns), uniform in [0, 1).

        The purposes ("views", "mixup", "dropout") have independent draws.
        """
        key = randomness.fold(self._seed.key(purpose), step)
        return randomness.uniform(key, (2, global_batch, columns))

    def two_views(
        self,
        batch: Mapping[str, Any],
        step: Tensor,
        *,
        first_row: Tensor = 0,
        num_replicas: int = 1,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Both views of a batch, the first views above the second.

        Args:
            batch: {"example": stored examples (batch, ...)}, with "partner" for given pairs.
            step: number of the training step.
            first_row: position of the first example in the global batch.
            num_replicas: number of batches of this size in the global batch.

        Returns:
            (prepared examples (2 batch, ...), keys of the dropout masks, uint32 (2 batch,)).
        """
        example = batch["example"]
        count = tf.shape(tf.nest.flatten(example)[0])[0]

        def draws(purpose: str, columns: int) -> Any:
            drawn = self.draws(purpose, step, count * num_replicas, columns)
            return tf.reshape(drawn[:, first_row : first_row + count], [2 * count, columns])

        second = batch["partner"] if self.given_pairs else example
        both = tf.nest.map_structure(lambda x, y: tf.concat([x, y], axis=0), example, second)
        views = self.transform(self.prepare(both), draws("views", max(self.transform.num_draws, 1)))
        if self.mixup is not None:
            views = self.mixup(views, draws("mixup", self.mixup.num_draws))
        keys = randomness.row_keys(draws("dropout", 1)[:, 0])
        return views, tf.tile(keys[:count], [2]) if self.equal_masks else keys


def build_augmenter(
    modality: Any,
    augmentation: str | Mapping[str, Any] = "auto",
    seed: int = 0,
    given_pairs: bool = False,
) -> Augmenter:
    """An augmenter of examples.

    Args:
        modality: what an example is made of, see `inputs.Modality`.
        augmentation: a preset, or operations that change those of the preset "auto".
        seed: seed of the draws.
        given_pairs: see `Augmenter`.

    Raises:
        UserError: a preset or an operation that does not fit the examples.
    """
    is_preset = isinstance(augmentation, str)
    operations = modality.operations(
        augmentation if is_preset else "auto", {} if is_preset else augmentation
    )
    transform = modality.transform(operations, compiled=True)
    return Augmenter(modality.prepare, transform, seed, given_pairs=given_pairs)
