"""The contract of a loss, and the gathering of projections from all replicas."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from ssl_keras import schedules
from ssl_keras.annotations import Labels, Tensor, TensorLike
from ssl_keras.errors import UserError
from ssl_keras.lazy import tf
from ssl_keras.losses import functional, streaming
from ssl_keras.losses.cancelled import cancelled_labels
from ssl_keras.losses.groups import is_alone
from ssl_keras.losses.pairs import StreamedPairs, compare, equal_rows
from ssl_keras.options import Options, settings

IMPLEMENTATIONS = ("auto", "dense", "tiled")


def gather(tensor: Tensor) -> Tensor:
    """`tensor` of all replicas, concatenated along axis 0 in the order of replicas.

    Outside a replica context, with one replica, and inside groups it is `tensor` itself.
    Differentiable: the gradients of all replicas flow back to the replica of each row.
    """
    context = tf.distribute.get_replica_context()
    if is_alone() or context is None or context.num_replicas_in_sync == 1:
        return tensor
    gathered = context.all_gather(tensor, axis=0)
    rows = tensor.shape[0] and tensor.shape[0] * context.num_replicas_in_sync
    gathered.set_shape([rows, *tensor.shape[1:]])
    return gathered


def first_row(batch: Tensor) -> Tensor:
    """Position in the global batch of this replica's first image; each replica has `batch`."""
    context = tf.distribute.get_replica_context()
    if is_alone() or context is None or context.num_replicas_in_sync == 1:
        return 0
    return tf.cast(context.replica_id_in_sync_group, tf.int32) * batch


def build_pairs(
    views_1: Tensor,
    views_2: Tensor,
    both_kinds: bool = True,
    unit_rows: bool = True,
    implementation: str = "dense",
) -> Any:
    """The pairs of this replica's anchors with the views of all replicas.

    Args:
        views_1, views_2: float32 (batch, dim); float64 for a dense matrix of that type.
        both_kinds: whether anchors are compared with both kinds of views.
        unit_rows: whether no row is longer than 1.
        implementation: see `Loss.parts`; losses that need single products take "dense".

    Returns:
        `Pairs`, or `StreamedPairs` if they are computed in tiles.
    """
    keys_1, keys_2 = gather(views_1), gather(views_2)
    rows = views_1.shape[0] and 2 * views_1.shape[0]
    columns = keys_1.shape[0] and (2 if both_kinds else 1) * keys_1.shape[0]
    position = first_row(tf.shape(views_1)[0])
    if streaming.is_tiled(implementation, rows, columns):
        return StreamedPairs(views_1, views_2, keys_1, keys_2, position, both_kinds, unit_rows)
    labels, cancelled = cancelled_labels(), None
    if labels is not None:
        labels = tf.convert_to_tensor(labels)
        cancelled = equal_rows(labels, gather(labels))
    return compare(views_1, views_2, keys_1, keys_2, position, both_kinds, cancelled)


def normalized_pairs(
    projections_1: Tensor,
    projections_2: Tensor,
    both_kinds: bool = True,
    implementation: str = "dense",
) -> Any:
    """`build_pairs` of normalised projections."""
    views_1, views_2 = functional.normalize(projections_1), functional.normalize(projections_2)
    return build_pairs(views_1, views_2, both_kinds, implementation=implementation)


@dataclass(frozen=True)
class Loss(Options):
    """A loss of two batches of projections.

    `loss(projections_1, projections_2, labels=None, seed=None)` returns a float32 scalar;
    `loss.parts(...)` returns it with its terms. `projections_*` are (batch, dim), un-normalised,
    of any float dtype; everything is computed in float32. A loss is stateless. Random draws depend
    on `seed` alone (an integer or a pair of int32), so pass another one at each step; scheduled
    hyperparameters depend on `progress`, the share of the training that has been done.

    Under `tf.distribute` every replica passes its rows, and the average over replicas of the
    returned values is the loss of the global batch: negatives and priors span all replicas.
    """

    required: ClassVar[tuple[str, ...]] = ("terms", "collapse_value")

    # Whether the loss can be computed in tiles. `terms` then takes `implementation`, see `parts`.
    streams: ClassVar[bool] = False
    # Whether it has negatives of each anchor, made by `build_pairs`; some can then be left out, see
    # `cancelled.Cancelled`.
    has_negatives: ClassVar[bool] = False

    @property
    def weights(self) -> tuple[Tensor, Tensor]:
        """The factors of alignment and distribution in the loss."""
        return getattr(self, "alignment_weight", 1.0), getattr(self, "distribution_weight", 1.0)

    @property
    def schedules(self) -> dict[str, schedules.Schedule]:
        """The hyperparameters that change over the training: name -> schedule."""
        parsed = {
            name: schedules.parse(value)
            for name, setting in settings(type(self)).items()
            if setting.scheduled and isinstance(value := getattr(self, name), str)
        }
        return {name: schedule for name, schedule in parsed.items() if schedule is not None}

    def at(self, progress: TensorLike) -> Self:
        """This loss with its scheduled hyperparameters at a progress in [0, 1] of the training."""
        return self.with_values(
            {name: schedule.at(progress) for name, schedule in self.schedules.items()}
        )

    @property
    def constants(self) -> dict[str, float]:
        """The hyperparameters that could change over the training, and do not: name -> value."""
        return {
            name: float(value)
            for name, setting in settings(type(self)).items()
            if setting.scheduled and isinstance(value := getattr(self, name), (int, float))
        }

    def with_values(self, values: Mapping[str, TensorLike]) -> Self:
        """This loss with other values of some hyperparameters, which may be tensors and are not
        validated."""
        current = object.__new__(type(self))
        vars(current).update({**vars(self), **values})
        return current

    def check(self, num_images: int, targets: Collection[str]) -> None:
        """Refuse a global batch of `num_images`, or data with labels of these targets.

        Raises:
            UserError: they do not fit this loss.
        """

    def parts(
        self,
        projections_1: TensorLike,
        projections_2: TensorLike,
        labels: Labels | None = None,
        seed: TensorLike | None = None,
        progress: TensorLike = 0.0,
        implementation: str = "auto",
    ) -> dict[str, Tensor]:
        """The loss and its terms: {"loss", "alignment", "distribution"}, float32 scalars.

        loss = alignment_weight * alignment + distribution_weight * distribution, with weights of 1
        for losses that have none.

        Args:
            projections_1, projections_2: (batch, dim), the two views, any float dtype.
            labels: target name -> labels, for losses that use them.
            seed: an integer or a pair of int32, such as the step. Equal seeds give equal draws,
                **also when it is left out**; only the prior losses draw.
            progress: in [0, 1], for scheduled hyperparameters.
            implementation: of losses with `streams`: "dense" builds the similarity matrix, "tiled"
                needs memory proportional to the batch, "auto" decides by size. They differ by
                rounding.

        Raises:
            UserError: the two batches differ in shape, or are not matrices.
        """
        shapes = [tuple(tf.convert_to_tensor(z).shape) for z in (projections_1, projections_2)]
        known = [shape for shape in shapes if None not in shape]
        if any(len(shape) != 2 for shape in shapes) or len(set(known)) > 1:
            raise UserError(
                "projections_1 and projections_2 must have one shape (batch, dim), not "
                f"{shapes[0]} and {shapes[1]}."
            )
        current = self.at(progress)
        options = {"implementation": implementation} if self.streams else {}
        alignment, distribution = current.terms(
            projections_1, projections_2, labels, seed, **options
        )
        alignment_weight, distribution_weight = current.weights
        return {
            "loss": alignment_weight * alignment + distribution_weight * distribution,
            "alignment": alignment,
            "distribution": distribution,
        }

    def terms(
        self, projections_1: TensorLike, projections_2: TensorLike, labels: Labels, seed: TensorLike
    ) -> tuple[Tensor, Tensor]:
        """(alignment, distribution), each a float32 scalar. Every loss implements this.

        Called on `at(progress)`, so every hyperparameter is a number. Losses with `streams` take a
        further argument `implementation`.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define its terms")

    def __call__(
        self,
        projections_1: TensorLike,
        projections_2: TensorLike,
        labels: Labels | None = None,
        seed: TensorLike | None = None,
        progress: TensorLike = 0.0,
        implementation: str = "auto",
    ) -> Tensor:
        """The loss of two batches of projections, a float32 scalar: `parts(...)["loss"]`.

        Args:
            projections_1, projections_2, labels, seed, progress, implementation: see `parts`.
                `projections_*` are (batch, dim), one row for each example, the same in both.

        Raises:
            UserError: see `parts`.
        """
        parts = self.parts(projections_1, projections_2, labels, seed, progress, implementation)
        return parts["loss"]

    def compared_rows(self, num_images: int) -> int:
        """Number of images among which the other view of an anchor is looked for, in a batch of
        `num_images`."""
        return num_images

    def compared_with(self, num_images: int) -> str:
        """Views that each anchor is compared with in a global batch, for the banner."""
        return f"{2 * num_images - 2} negatives"

    def collapse_value(self, num_images: int, dim: int) -> float:
        """The loss when all projections are equal: its chance level.

        For losses that draw, the expectation; for those that do not normalise, the value where all
        projections are zero, the least among equal ones. Every loss implements this for numbers:
        call it on `at(progress)` if a hyperparameter is scheduled.

        Args:
            num_images: images in the global batch.
            dim: dimension of the projections.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define its collapse value")
