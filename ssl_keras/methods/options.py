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
from ssl_keras.losses import LOSSES
from ssl_keras.losses.cancelled import Cancelled
from ssl_keras.losses.groups import Grouped
from ssl_keras.networks import (
    BATCH_NORM,
    build_decoder,
    build_linear_probe,
    build_projection_head,
    build_stage_head,
    build_stages,
)
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

    @property
    def grouped(self) -> SimCLR | None:
        """The method itself if it compares examples inside groups alone."""
        return None

    def trained_loss(self, loss: Any) -> Any:
        """The contrastive loss `loss` as the method trains it.

        Raises:
            UserError: it does not fit the method.
        """
        return loss

    def build_networks(
        self, build_encoder: Callable[[], Model], policy: str
    ) -> tuple[Model, Model | None]:
        """(encoder, projection head or None), as a run evaluates and exports them, with new weights
        that are all trainable."""
        return build_encoder(), None

    def build(self, parts: Parts) -> Model:
        """The model: a `learner.Learner`, or another `keras.Model` with its interface.

        Raises:
            UserError: the method does not fit the data.
        """
        raise NotImplementedError(f"{type(self).__name__} builds no model")


_HAS_GROUPS = Needs("neighbours", minimum=0)
# Groups that need an earlier stage.
EARLIER = ("neighbours", "clusters")

_HAS_LAYERS = Needs("projection_layers", minimum=1)


@dataclass(frozen=True)
class Projecting(Method):
    """Base of methods with a projection head."""

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

    def build_networks(
        self, build_encoder: Callable[[], Model], policy: str
    ) -> tuple[Model, Model | None]:
        encoder = build_encoder()
        return encoder, self.build_head(encoder.output_shape[-1], policy)


@dataclass(frozen=True)
class SimCLR(Projecting):
    """Two views of each example and a contrastive loss, see `methods.simclr`."""

    contrastive: ClassVar[bool] = True

    neighbours: int | None = option(
        None,
        minimum=0,
        help="examples in a group; the contrastive loss then compares an example with those of its "
        "group alone, in place of the batch; 0: as many as the earlier stage finds alike (the "
        "batch)",
    )
    condition_on: str = option(
        "neighbours",
        help="what the examples of a group have in common: neighbours (in an earlier stage), "
        "clusters (of the earlier stages), nothing, or equal labels of a target",
        needs=_HAS_GROUPS,
    )
    stages: int = option(
        1,
        minimum=1,
        maximum=8,
        help="encoders that are trained one after the other; their features are concatenated",
        needs=_HAS_GROUPS,
    )
    stage_epochs: int = option(
        6, minimum=1, help="epochs of each stage but the last", needs=Needs("stages", minimum=2)
    )
    cancel_negatives: str | None = option(
        None,
        help="label, such as a target or the context of skip_gram; examples with equal ones are no "
        "negatives of each other (none)",
        needs=Needs("neighbours"),
    )
    clusters: int = option(
        10,
        minimum=2,
        help="clusters of the features of each earlier stage, by K-means",
        needs=Needs("condition_on", ("clusters",)),
    )

    def trained_loss(self, loss: Any) -> Any:
        if self.neighbours is not None:
            return Grouped(loss, self.group_size, known=self.neighbours > 0)
        if self.cancel_negatives is None:
            return loss
        if not loss.has_negatives:
            fitting = ", ".join(name for name, each in LOSSES.items() if each.has_negatives)
            raise UserError(
                "cancel_negatives leaves negatives of the batch out, and this loss takes none, or "
                f"ranks them: leave it out, or choose one of {fitting} for --loss."
            )
        return Cancelled(loss, self.cancel_negatives)

    def check(self, data: DataSet) -> None:
        if self.cancel_negatives is not None:
            labels = list(data.train.batches(1).element_spec["labels"])
            if self.cancel_negatives not in labels:
                raise UserError(
                    f"cancel_negatives is {self.cancel_negatives!r}, but {data.name} has the "
                    f"labels {', '.join(labels) or 'none'}: choose one of these."
                )
        if self.neighbours is None:
            return
        if self.neighbours == 1 or (not self.neighbours and self.condition_on != "neighbours"):
            raise UserError(
                f"neighbours is {self.neighbours} with condition_on={self.condition_on}: give 2 or "
                "more; 0 takes the size of groups from the neighbours in an earlier stage."
            )
        if self.condition_on in EARLIER and self.stages < 2:
            raise UserError(
                f"condition_on={self.condition_on} takes the groups from an earlier stage: add "
                "--stages=2, or choose nothing or a target for --condition_on."
            )
        if self.condition_on not in (*EARLIER, "nothing"):
            target_name(self.condition_on, data, "condition_on")

    @property
    def grouped(self) -> SimCLR | None:
        return None if self.neighbours is None else self

    @property
    def group_size(self) -> int:
        """Examples that an example is compared with, itself included, in a method with groups;
        the least number if an earlier stage decides."""
        assert self.neighbours is not None
        return self.neighbours or 2

    def build_networks(
        self, build_encoder: Callable[[], Model], policy: str
    ) -> tuple[Model, Model | None]:
        if self.stages == 1:
            return super().build_networks(build_encoder, policy)
        encoders = [build_encoder() for _ in range(self.stages)]
        whole = build_stages(encoders)
        whole.trainable = True
        head = self.build_head(encoders[-1].output_shape[-1], policy)
        return whole, build_stage_head(whole, head)

    def build(self, parts: Parts) -> Model:
        from ssl_keras.methods import simclr

        head = self.build_head(parts.dim, parts.policy)
        probe = parts.build_probe()
        earlier = [parts.build_encoder() for _ in range(self.stages - 1)]
        return simclr.SimCLR(parts.encoder, head, probe, earlier=earlier, **parts.arguments)


@dataclass(frozen=True)
class TwoTowers(SimCLR):
    """SimCLR with a separate encoder for the second views, see `methods.simclr`."""

    def check(self, data: DataSet) -> None:
        super().check(data)
        if self.stages > 1:
            raise UserError(
                "method=two_towers has one stage: leave --stages out, or choose --method=simclr."
            )

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
class Hybrid(SimCLR):
    """SimCLR that also reconstructs the view, see `methods.hybrid`."""

    reconstruction_weight: float = option(
        300.0, minimum=0, help="weight of the reconstruction's error beside the contrastive loss"
    )
    channel_weights: str = option(
        "unexplained",
        choices=("equal", "unexplained"),
        help="how the errors of channels are weighed: all alike, or by 1 / the variance that the "
        "mean of the image explains, which need not know what a channel shows",
    )

    def build(self, parts: Parts) -> Model:
        from ssl_keras.methods import hybrid

        if self.grouped is not None:
            raise UserError("method=hybrid compares whole batches: leave --neighbours out.")
        data = parts.data
        weights = None if self.channel_weights == "equal" else hybrid.unexplained_weights(data)
        return hybrid.Hybrid(
            parts.encoder,
            self.build_head(parts.dim, parts.policy),
            parts.build_probe(),
            build_decoder(parts.dim, data.input_shape, parts.policy),
            reconstruction_weight=self.reconstruction_weight,
            channel_weights=weights,
            **parts.arguments,
        )


@dataclass(frozen=True)
class BYOL(Projecting):
    """A view predicts the averaged network's projection of the other, see `methods.momentum`."""

    target_decay: float = option(
        0.99, minimum=0, below=1, help="decay of the averaged network; byol lets it grow to 1"
    )

    def networks(self, parts: Parts) -> tuple[list[Any], dict[str, Any]]:
        """(encoder, projection head and probe, arguments of `methods.momentum.MomentumLearner`)."""
        head = self.build_head(parts.dim, parts.policy)
        probe = parts.build_probe()
        target = {
            "target_encoder": parts.build_encoder(),
            "target_head": self.build_head(parts.dim, parts.policy),
            "target_decay": self.target_decay,
        }
        return [parts.encoder, head, probe], {**parts.arguments, **target}

    def build(self, parts: Parts) -> Model:
        from ssl_keras.methods import momentum

        networks, arguments = self.networks(parts)
        predictor = momentum.build_predictor(networks[1], self.projection_hidden_dim, parts.policy)
        return momentum.BYOL(*networks, predictor=predictor, **arguments)


@dataclass(frozen=True)
class MoCo(BYOL):
    """The negatives are projections of earlier steps, see `methods.momentum`."""

    queue_size: int = option(
        4096, minimum=2, maximum=2**20, help="projections of earlier steps that are negatives"
    )
    queue_temperature: float = option(0.2, above=0, help="softmax temperature of moco")

    def build(self, parts: Parts) -> Model:
        from ssl_keras.methods import momentum

        networks, arguments = self.networks(parts)
        queue = {n: getattr(self, n) for n in ("queue_size", "queue_temperature")}
        return momentum.MoCo(*networks, **queue, **arguments)


@dataclass(frozen=True)
class LatentTargetDecoding(SimCLR):
    """SimCLR whose features also tell those of the untrained encoder, see `methods.hybrid`."""

    decoding_weight: float = option(
        1.0, minimum=0, help="weight of the error of the untrained encoder's features"
    )

    def build(self, parts: Parts) -> Model:
        from ssl_keras.methods import hybrid

        if self.grouped is not None:
            raise UserError("method=ltd compares whole batches: leave --neighbours out.")
        head = self.build_head(parts.dim, parts.policy)
        return hybrid.LatentTargetDecoding(
            parts.encoder,
            head,
            parts.build_probe(),
            target_encoder=parts.build_encoder(),
            decoder=build_decoder(parts.dim, (parts.dim,), parts.policy),
            decoding_weight=self.decoding_weight,
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
