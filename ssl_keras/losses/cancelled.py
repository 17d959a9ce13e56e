"""A loss without the negatives that are known to be equal to the anchor."""

from __future__ import annotations

import contextvars
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ssl_keras.annotations import Labels, Tensor, TensorLike
from ssl_keras.errors import UserError
from ssl_keras.losses.wrapped import Wrapped, within

# Labels of this replica's examples; those with equal labels are no negatives of each other.
_LABELS: contextvars.ContextVar[Any] = contextvars.ContextVar("labels", default=None)


def cancelled_labels() -> Any:
    """The labels (batch,) or (batch, size) that cancel negatives at the moment, or None."""
    return _LABELS.get()


@dataclass(frozen=True)
class Cancelled(Wrapped):
    """A contrastive loss without false negatives: other examples with the anchor's label are left
    out of its negatives, and are no positives either.

    With the number of the context word as label, equal words of a batch do not repel each other.
    With the class it is what "false negative cancellation" would do if it knew all false negatives
    (Huynh et al. 2022, arXiv 2011.11765). Labels that are all different change nothing. The
    similarity matrix is made whole, never in tiles.

    Args:
        loss: a loss with negatives, see `Loss.has_negatives`.
        target: name of the labels.

    >>> from ssl_keras import losses
    >>> rows, equal = [[1.0, 0.0], [0.8, 0.6]], {"class": [1, 1]}
    >>> float(Cancelled(losses.get("nt_xent"), "class")(rows, rows, equal))  # no negative is left
    0.0
    """

    target: str

    streams: ClassVar[bool] = False

    def parts(
        self,
        projections_1: TensorLike,
        projections_2: TensorLike,
        labels: Labels | None = None,
        seed: TensorLike | None = None,
        progress: TensorLike = 0.0,
        implementation: str = "auto",
    ) -> dict[str, Tensor]:
        """See `Loss.parts`.

        Raises:
            UserError: see `Loss.parts`; or there are no labels of the target.
        """
        if not isinstance(labels, Mapping) or self.target not in labels:
            raise UserError(
                f"Negatives of equal {self.target} are to be left out, but there are no labels "
                f"{self.target!r}: give them."
            )
        with within(_LABELS, labels[self.target]):
            return self.loss.parts(projections_1, projections_2, labels, seed, progress, "dense")

    def compared_with(self, num_images: int) -> str:
        """See `Loss.compared_with`."""
        return f"{self.loss.compared_with(num_images)}, less those of equal {self.target}"
