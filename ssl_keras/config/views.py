"""The settings of the views."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ssl_keras.errors import unknown_name
from ssl_keras.inputs import PRESETS
from ssl_keras.options import Needs, Options, option
from ssl_keras.views import CROP_LAWS, MIXUP_KINDS

VIEWS = ("augment", "mixup", "dropout", "given")
_AUGMENT, _MIXUP = Needs("views", ("augment",)), Needs("views", ("mixup",))


@dataclass(frozen=True)
class ViewsConfig(Options):
    """Views"""

    views: str = option(
        "augment",
        help=f"how the views of an example are made, comma-separated: {', '.join(VIEWS)} (given: "
        "pairs that the data give)",
        is_list=True,
    )
    augmentation: str = option(
        "auto",
        choices=("auto", *PRESETS),
        help="preset of the operations below; auto: that of the source",
        needs=_AUGMENT,
    )
    crop_area_min: float | None = option(
        None,
        above=0,
        maximum=1,
        help="smallest area share of a crop; 1: no crop (by preset)",
        needs=_AUGMENT,
    )
    crop_law: str | None = option(
        None,
        choices=CROP_LAWS,
        help="which parts crops take: uniform in area, or like tf.image (official) or torchvision "
        "(uniform)",
        needs=_AUGMENT,
    )
    flip: bool | None = option(None, help="mirror half of the views (by preset)", needs=_AUGMENT)
    extra_channels_move: bool | None = option(
        None,
        help="crop and mirror the source's extra channels like the picture (true)",
        needs=_AUGMENT,
    )
    color_strength: float | None = option(
        None,
        minimum=0,
        maximum=1,
        help="strength s of the colour jitter; 0: none (by preset)",
        needs=_AUGMENT,
    )
    grayscale: float | None = option(
        None, minimum=0, maximum=1, help="probability of grey (by preset)", needs=_AUGMENT
    )
    blur: float | None = option(
        None, minimum=0, maximum=1, help="probability of blur (by preset)", needs=_AUGMENT
    )
    channel_dropout: float | None = option(
        None,
        minimum=0,
        below=1,
        help="probability that a channel of a view, or a bit, is 0 (by preset)",
        needs=_AUGMENT,
    )
    noise_deviation: float | None = option(
        None,
        minimum=0,
        help="standard deviation of Gaussian noise added to vectors (by preset)",
        needs=_AUGMENT,
    )
    corruption_rate: float | None = option(
        None,
        minimum=0,
        maximum=1,
        help="share of the entries of a vector that come from other examples (by preset)",
        needs=_AUGMENT,
    )
    deletion_rate: float | None = option(
        None,
        minimum=0,
        maximum=1,
        help="probability that a word of a text is left out (by preset)",
        needs=_AUGMENT,
    )
    mixup_kind: str = option("linear", choices=MIXUP_KINDS, help="how mixup mixes", needs=_MIXUP)
    mixup_alpha: float = option(
        0.9,
        minimum=0,
        maximum=1,
        help="smallest share of the example itself in mixup",
        needs=_MIXUP,
    )
    mixup_extra_channels: bool = option(
        False, help="mix bits and other extra channels too", needs=_MIXUP
    )
    dropout_rate: float = option(
        0.1,
        above=0,
        below=1,
        help="dropout rate of the encoder in training",
        needs=Needs("views", ("dropout",)),
    )
    dropout_masks: str = option(
        "independent",
        choices=("independent", "equal"),
        help="dropout masks of both views of an example; equal: a control",
        needs=Needs("views", ("dropout",)),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.kinds():
            if name not in VIEWS:
                raise unknown_name("kind of views", name, VIEWS)

    def kinds(self) -> list[str]:
        """The kinds of views, from the comma-separated list."""
        return [name.strip() for name in self.views.split(",") if name.strip()]

    def dropout(self) -> float:
        """The dropout rate of the encoder in training; 0 without dropout among `views`."""
        return self.dropout_rate if "dropout" in self.kinds() else 0.0

    def mixup(self) -> dict[str, Any] | None:
        """The arguments of `views.mixup.Mixup` but `mix`, or None without mixup."""
        if "mixup" not in self.kinds():
            return None
        return {
            "kind": self.mixup_kind,
            "alpha": self.mixup_alpha,
            "extra_channels": self.mixup_extra_channels,
        }

    def operations(self) -> dict[str, Any]:
        """The operations of `augment` that the user has set, for `Modality.operations`."""
        return {
            field.name: value
            for field in fields(self)
            if field.metadata["needs"] == (_AUGMENT,)
            and field.name != "augmentation"
            and (value := getattr(self, field.name)) is not None
        }
