"""A loss inside groups of examples: an anchor is compared with its own group alone."""

from __future__ import annotations

import contextvars
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from ssl_keras.annotations import Labels, Tensor, TensorLike
from ssl_keras.lazy import tf
from ssl_keras.losses.wrapped import Wrapped, within

# Whether a loss sees its own rows alone, although other replicas have rows too.
_ALONE: contextvars.ContextVar[bool] = contextvars.ContextVar("alone", default=False)


def is_alone() -> bool:
    """Whether nothing is gathered from other replicas at the moment."""
    return _ALONE.get()


@dataclass(frozen=True)
class Grouped(Wrapped):
    """Any contrastive loss, inside groups of a batch: conditioned negatives.

        mean over groups of loss(projections_1 of the group, projections_2 of the group)

    A batch consists of whole groups: rows 0 to size - 1, and so on. The negatives of an anchor are
    the other views of its group. What is equal within a group tells nothing apart there, so the
    loss has to find something else. With one group the size of the batch it is `loss` itself.

    The idea is that of conditional contrastive learning (Tsai et al. 2022, arXiv 2202.05458) and
    of multi-stage contrastive learning (Zhang et al. 2024, arXiv 2402.11816), where groups are
    clusters of an earlier stage's features.

    Cost: batch * size similarities in place of batch * batch. Groups lie on one device, so nothing
    is gathered from other replicas.

    Args:
        loss: the loss.
        size: examples in a group.
        known: whether that is known; otherwise `size` is the least, for checks, and another object
            is trained.

    >>> from ssl_keras import losses
    >>> pair, other = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 1.0]]
    >>> whole = losses.get("nt_xent")
    >>> parts = [float(whole(pair, other)), float(whole(other, pair))]
    >>> grouped = float(Grouped(whole, 2)(pair + other, other + pair))
    >>> abs(grouped - sum(parts) / 2) < 1e-6
    True
    """

    size: int
    known: bool = True

    def check(self, num_images: int, targets: Collection[str]) -> None:
        """See `Loss.check`; the batch of the loss is a group."""
        self.loss.check(self.size, targets)

    def parts(
        self,
        projections_1: TensorLike,
        projections_2: TensorLike,
        labels: Labels | None = None,
        seed: TensorLike | None = None,
        progress: TensorLike = 0.0,
        implementation: str = "auto",
    ) -> dict[str, Tensor]:
        """See `Loss.parts`. Losses that draw make the same draws in every group."""

        def groups(rows: TensorLike) -> Tensor:
            rows = tf.convert_to_tensor(rows)
            count = rows.shape[0] // self.size if rows.shape[0] else -1
            return tf.reshape(rows, [count, self.size, *rows.shape[1:]])

        views = groups(projections_1), groups(projections_2)
        grouped = {} if labels is None else {"labels": tf.nest.map_structure(groups, labels)}

        def group(parts: Any) -> dict[str, Tensor]:
            (first, second), members = parts
            with within(_ALONE, True):
                return self.loss.parts(
                    first, second, members.get("labels"), seed, progress, "dense"
                )

        values = tf.vectorized_map(group, (views, grouped))
        return {name: tf.reduce_mean(value) for name, value in values.items()}

    def compared_rows(self, num_images: int) -> int:
        """See `Loss.compared_rows`: those of a group."""
        return self.size

    def compared_with(self, num_images: int) -> str:
        """See `Loss.compared_with`."""
        if not self.known:
            return "the others of a group, whose size the earlier stage decides"
        return f"{self.loss.compared_with(self.size)}, in groups of {self.size}"

    def collapse_value(self, num_images: int, dim: int) -> float:
        """See `Loss.collapse_value`."""
        return float(self.loss.collapse_value(self.size, dim))
