"""The methods behind `--method`, and their options.

Their models are in other files, because `--help` must not import TensorFlow.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from ssl_keras.annotations import Model
from ssl_keras.datasets import DataSet
from ssl_keras.errors import UserError, nearest
from ssl_keras.networks import BATCH_NORM, build_decoder, build_linear_probe, build_projection_head
from ssl_keras.options import Needs, Options, option


@dataclass(frozen=True)
class Parts:
    """The parts from which a method builds its model.

    Attributes:
        data: the data set.
        augmenter: draws the views.
        encoder: the encoder, with initial weights.
        build_encoder: builds another encoder.
        policy: precision policy of the networks' layers.
        arguments: arguments of `learner.Learner` that all methods have in common, the augmenter
            among them.
    """

    data: DataSet
    augmenter: Any
    encoder: Any
    build_encoder: Callable[[], Any]
    policy: str
    arguments: Mapping[str, Any]

    @property
    def dim(self) -> int:
        """Dimension of the features."""
        return int(self.encoder.output_shape[-1])

    def build_probe(self) -> Model:
        """An online linear probe of the data's targets; None without targets.

        Methods build it last, so that the initial weights of the other networks do not depend on
        the targets.
        """
        sizes = {name: target.size for name, target in self.data.targets.items()}
        return build_linear_probe(self.dim, sizes) if sizes else None


@dataclass(frozen=True)
class Method(Options):
    """Base class of methods."""

    required: ClassVar[tuple[str, ...]] = ("build",)
    # Whether it has a projection head and a contrastive loss.
    contrastive: ClassVar[bool] = False
    # Whether it learns from labels.
    uses_labels: ClassVar[bool] = False

    def check(self, data: DataSet) -> None:
        """Check that the data fit the method, before training starts.

        Raises:
            UserError: they do not fit.
        """

    def build(self, parts: Parts) -> Model:
        """The model: a `learner.Learner`, or another `keras.Model` with its interface.

        Raises:
            UserError: the method does not fit the data.
        """
        raise NotImplementedError(f"{type(self).__name__} builds no model")


_HAS_LAYERS = Needs("projection_layers", minimum=1)


@dataclass(frozen=True)
class SimCLR(Method):
    """Two views of each example and a contrastive loss, see `methods.simclr`."""

    contrastive: ClassVar[bool] = True

    projection_layers: int = option(
        2, minimum=0, maximum=10, help="number of layers of the projection head; 0: none"
    )
    projection_dim: int = option(64, minimum=1, help="dimension of projections", needs=_HAS_LAYERS)
    projection_hidden_dim: int = option(
        256,
        minimum=1,
        help="width of the hidden layers of the projection head",
        needs=Needs("projection_layers", minimum=2),
    )
    projection_batch_norm: str = option(
        "hidden",
        choices=BATCH_NORM,
        help="layers of the projection head with batch norm",
        needs=_HAS_LAYERS,
    )

    def build_head(self, input_dim: int, policy: str = "float32") -> Model:
        """A projection head on features of `input_dim`."""
        return build_projection_head(
            input_dim,
            num_layers=self.projection_layers,
            hidden_dim=self.projection_hidden_dim,
            dim=self.projection_dim,
            batch_norm=self.projection_batch_norm,
            dtype=policy,
        )

    def build(self, parts: Parts) -> Model:
        from ssl_keras.methods import simclr

        head = self.build_head(parts.dim, parts.policy)
        probe = parts.build_probe()
        return simclr.SimCLR(parts.encoder, head, probe, **parts.arguments)


@dataclass(frozen=True)
class TwoTowers(SimCLR):
    """SimCLR with a separate encoder for the second views, see `methods.simclr`."""

    def build(self, parts: Parts) -> Model:
        from ssl_keras.methods import simclr

        head = self.build_head(parts.dim, parts.policy)
        partner_encoder = parts.build_encoder()
        partner_head = self.build_head(parts.dim, parts.policy)
        return simclr.TwoTowers(
            parts.encoder,
            head,
            parts.build_probe(),
            partner_encoder=partner_encoder,
            partner_projection_head=partner_head,
            **parts.arguments,
        )


@dataclass(frozen=True)
class Supervised(Method):
    """Cross-entropy with labels, see `methods.supervised`."""

    uses_labels: ClassVar[bool] = True

    supervised_target: str | None = option(
        None, help="target that supervised learns (class if the data have it, or the first)"
    )

    def check(self, data: DataSet) -> None:
        target_name(self.supervised_target, data, "method=supervised")

    def build(self, parts: Parts) -> Model:
        from ssl_keras.methods import supervised

        data = parts.data
        name = target_name(self.supervised_target, data, "method=supervised")
        learned = {name: data.targets[name]}
        classifier = build_linear_probe(parts.dim, {name: data.targets[name].size})
        return supervised.Supervised(
            parts.encoder,
            classifier,
            parts.build_probe(),
            learned=learned,
            **parts.arguments,
        )


@dataclass(frozen=True)
class Autoencoder(Method):
    """Reconstruction of the network input, see `methods.autoencoder`."""

    extra_channels_weight: float | None = option(
        None,
        minimum=0,
        help="weight of the extra channels' error in the autoencoder (extra channels / channels of "
        "the picture)",
    )

    def build(self, parts: Parts) -> Model:
        from ssl_keras.methods import autoencoder

        data, shape, weight = parts.data, parts.data.input_shape, self.extra_channels_weight
        main = data.modality.main_channels
        extra = shape[-1] - main
        if weight is not None and not extra:
            raise UserError(
                f"extra_channels_weight has no effect on {data.name}, which has no extra "
                "channels: leave it out."
            )
        decoder = build_decoder(parts.dim, shape, parts.policy)
        return autoencoder.Autoencoder(
            parts.encoder,
            decoder,
            parts.build_probe(),
            extra_channels_weight=extra / main if weight is None else weight,
            **parts.arguments,
        )


def target_name(name: str | None, data: DataSet, learner: str) -> str:
    """The name of the target that a classifier learns: `name`, or "class", or the first.

    Args:
        name: the user's choice, or None.
        data: the data set.
        learner: the part that needs labels, for messages.

    Raises:
        UserError: there are no targets, or none of this name.
    """
    if not data.targets:
        raise UserError(f"{learner} needs labels, but {data.name} has none.")
    if name is None:
        return "class" if "class" in data.targets else next(iter(data.targets))
    if name not in data.targets:
        guess = nearest(name, list(data.targets))
        hint = f"; did you mean {guess}?" if guess else "."
        raise UserError(
            f"{learner} is to learn {name!r}, but {data.name} has {', '.join(data.targets)}{hint}"
        )
    return name
