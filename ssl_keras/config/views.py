"""The settings of the views: presets, and one setting for each operation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ssl_keras.errors import UserError, unknown_name
from ssl_keras.options import Options, option

# What each preset of views means; `auto` takes the one that the source declares.
VIEW_PRESETS: dict[str, dict[str, Any]] = {
    "digits": {"crop_area_min": 0.5, "flip": False, "color_strength": 0.0},
    "small_rgb": {"crop_area_min": 0.08, "flip": True, "color_strength": 0.5, "grayscale": 0.2},
    "large_rgb": {
        "crop_area_min": 0.08,
        "flip": True,
        "color_strength": 1.0,
        "grayscale": 0.2,
        "blur": 0.5,
    },
    "none": {"crop_area_min": 1.0},
}
# Below this height, a tenth of it is less than the three pixels of the smallest kernel.
BLUR_MINIMUM_HEIGHT = 20
VIEWS = ("augment", "mixup", "dropout")
_VIEW_OPTIONS = {
    "augment": (
        "augmentation",
        "crop_area_min",
        "flip",
        "extra_channels_move",
        "color_strength",
        "grayscale",
        "blur",
    ),
    "mixup": ("mixup_kind", "mixup_alpha", "mixup_extra_channels"),
    "dropout": ("dropout_rate",),
}
_VIEW_DEFAULTS = {"flip": False, "color_strength": 0.0, "grayscale": 0.0, "blur": 0.0}


@dataclass(frozen=True)
class ViewsConfig(Options):
    """Views"""

    views: str = option(
        "augment",
        help=f"how views differ, comma-separated: {', '.join(VIEWS)}",
    )
    augmentation: str = option(
        "auto", choices=("auto", *VIEW_PRESETS), help="preset of the views; auto: by source"
    )
    view_size: int | None = option(
        None,
        minimum=4,
        maximum=1024,
        help="side of the views, cut out of images of --image_size (that of the images)",
    )
    extra_channels_move: bool | None = option(
        None, help="crop and mirror extra channels of the source like the picture (true)"
    )
    crop_area_min: float | None = option(
        None, above=0, maximum=1, help="smallest area share of a crop; 1: no crop"
    )
    flip: bool | None = option(None, help="mirror half of the views")
    color_strength: float | None = option(
        None, minimum=0, maximum=1, help="strength s of the colour jitter; 0: none"
    )
    grayscale: float | None = option(None, minimum=0, maximum=1, help="probability of grey")
    blur: float | None = option(None, minimum=0, maximum=1, help="probability of blur")
    mixup_kind: str | None = option(
        None, choices=("linear", "geometric", "binary"), help="how mixup mixes (linear)"
    )
    mixup_alpha: float | None = option(
        None, minimum=0, maximum=1, help="smallest share of the image itself in mixup (0.9)"
    )
    mixup_extra_channels: bool | None = option(None, help="mix the random bits as well (false)")
    dropout_rate: float | None = option(
        None, above=0, below=1, help="dropout in the encoder for views=dropout (0.1)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.kinds():
            if name not in VIEWS:
                raise unknown_name("kind of views", name, VIEWS)
        for kind, names in _VIEW_OPTIONS.items():
            for name in names:
                value = getattr(self, name)
                given = value is not None and not (name == "augmentation" and value == "auto")
                if given and kind not in self.kinds():
                    raise UserError(
                        f"{name} has no effect without {kind!r} among the views: add it to "
                        "--views, or leave the option out."
                    )

    def kinds(self) -> list[str]:
        """The kinds of views, from the comma-separated list."""
        return [name.strip() for name in self.views.split(",") if name.strip()]

    def dropout(self) -> float:
        """The dropout rate of the encoder in training: 0 unless views differ by dropout."""
        if "dropout" not in self.kinds():
            return 0.0
        return 0.1 if self.dropout_rate is None else self.dropout_rate

    def mixup(self) -> dict[str, Any] | None:
        """The arguments of `augmentations.Mixup`, or None."""
        if "mixup" not in self.kinds():
            return None
        return {
            "kind": self.mixup_kind or "linear",
            "alpha": 0.9 if self.mixup_alpha is None else self.mixup_alpha,
            "bits": bool(self.mixup_extra_channels),
        }

    def resolve(
        self, preset: str, view_shape: tuple[int, int], image_channels: int
    ) -> dict[str, Any]:
        """The arguments of `augmentations.build_augmenter`: the preset, and what was given.

        What a preset has but these images cannot undergo is left out.

        Args:
            preset: the one that the data set declares.
            view_shape: (height, width) of the views.
            image_channels: 1 or 3 channels of the picture.

        Raises:
            UserError: an operation was asked for that these images cannot undergo.
        """
        name = preset if self.augmentation == "auto" else self.augmentation
        if "augment" not in self.kinds():
            name = "none"
        values = {name: getattr(self, name) for name in (*_VIEW_DEFAULTS, "crop_area_min")}
        given = {name: value for name, value in values.items() if value is not None}
        views = {**_VIEW_DEFAULTS, **VIEW_PRESETS[name], **given}
        height, channels = view_shape[0], image_channels
        impossible = {}
        if channels != 3:
            reason = f"needs images with 3 channels; these have {channels}"
            impossible = {"color_strength": reason, "grayscale": reason}
        if height < BLUR_MINIMUM_HEIGHT:
            impossible["blur"] = (
                f"has a kernel of a tenth of the image height, so it needs images of at least "
                f"{BLUR_MINIMUM_HEIGHT} pixels; these have {height}"
            )
        for operation, reason in impossible.items():
            if given.get(operation):
                raise UserError(f"{operation} {reason}: leave --{operation} out.")
            views[operation] = 0.0
        return views
