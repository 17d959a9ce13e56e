"""What an encoder can learn from: the methods behind `--method`, and their options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ssl_keras.options import Options, Registry, option


@dataclass(frozen=True)
class Method(Options):
    """Base of the methods."""

    # Whether it has a projection head and a contrastive loss.
    contrastive: ClassVar[bool] = False


@dataclass(frozen=True)
class Contrastive(Method):
    """Two views of each image and a contrastive loss, see `models.simclr`."""

    contrastive = True


@dataclass(frozen=True)
class Supervision(Method):
    """Labels, see `models.supervised`."""

    supervised_target: str | None = option(
        None, help="target that supervised learns (class if there is one, or the first)"
    )


@dataclass(frozen=True)
class Reconstruction(Method):
    """The image itself, see `models.autoencoder`."""

    extra_channels_weight: float | None = option(
        None,
        minimum=0,
        help="weight of the bits' error in the autoencoder (bits / image channels)",
    )


METHODS: Registry[Method] = Registry(
    "method",
    {"simclr": Contrastive, "supervised": Supervision, "autoencoder": Reconstruction},
)
