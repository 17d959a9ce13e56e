"""Factors of one image that compete by nature: which of them do the views leave to the loss?"""

from __future__ import annotations

from typing import Any

from ssl_keras.reproduce import figures
from ssl_keras.reproduce.studies.base import Study, size
from ssl_keras.reproduce.verdicts import papers

STRENGTHS = (0.0, 0.25, 0.5, 1.0)
TARGETS = figures.SHOWN_FACTORS
# Layers of the head; all are read.
DEPTHS = (1, 2, 3)


def _augmentation(scale: str) -> dict[str, dict[str, Any]]:
    """Colour jitter of growing strength beside crops; and views that share everything."""
    base: dict[str, Any] = {**size(scale, 30), "dataset": "factors", "heads": "linear"}
    base.pop("source", None)
    # Of a constant background the colour's difference from it would tell the colour, whatever the
    # jitter.
    base |= {"factors": "character,font,color,background"}
    base |= {"loss": "nt_xent", "temperature": 0.2, "crop_area_min": 0.5}
    if scale == "full":
        base |= {"num_train_images": 50_000, "num_test_images": 10_000, "image_size": 64}
    cells = {f"jitter-{s:g}": {**base, "color_strength": s} for s in STRENGTHS}
    return {**cells, "equal": {**base, "color_strength": 0.0, "crop_area_min": 1.0}}


def _depth(scale: str) -> dict[str, dict[str, Any]]:
    """A head of growing depth, where the views change colour, size and position."""
    base: dict[str, Any] = {**size(scale, 30), "dataset": "factors", "heads": "linear"}
    base.pop("source", None)
    base |= {"factors": "character,font,color,size,position", "loss": "nt_xent"}
    base |= {"temperature": 0.2, "color_strength": 1.0, "crop_area_min": 0.2}
    if scale == "full":
        base |= {"num_train_images": 50_000, "num_test_images": 10_000, "image_size": 64}
    return {
        f"{depth}-layers": {**base, "projection_layers": depth, "projection_dim": 64}
        for depth in DEPTHS
    }


STUDIES = {
    "depth": Study(
        answer=(
            "The last layer reads the character, which the views share, at "
            "{3-layers:character:projection_3} (features {3-layers:character:features}), and the "
            "colour, which they change, at {3-layers:color:projection_3} "
            "({3-layers:color:features})."
        ),
        question="What does each layer of the head keep of what the views change?",
        grid=_depth,
        measures={
            "features": "linear/features/{target}/accuracy",
            **{f"projection_{d}": f"linear/projection_{d}/{{target}}/accuracy" for d in DEPTHS},
            "untrained": "untrained/linear/features/{target}/accuracy",
        },
        figure=figures.depth,
        panels=2,
        claim="The projection head becomes blind to what the views change, such as colour or "
        "orientation, and the layer before it keeps more of that (Chen et al. 2020, SimCLR, "
        "section 4.2 and table 3).",
        differs="Characters in colours, sizes and positions that crops and jitter change, in place "
        "of ImageNet; what was changed is a factor of the image here, and the transformation "
        "itself there.",
        verdict=papers.depth,
    ),
    "augmentation": Study(
        answer=(
            "Without jitter the two colours satisfy the loss, and the projections read the "
            "character at {jitter-0:projections_character} (untrained "
            "{jitter-0:untrained_character}); with the strongest at "
            "{jitter-1:projections_character}. The colour stays readable "
            "({jitter-1:projections_color}), the font is hardly learnt "
            "({jitter-0:projections_font} and {jitter-1:projections_font})."
        ),
        question="Does the colour jitter decide whether colour, character or font is learnt?",
        grid=_augmentation,
        measures={
            f"{prefix}_{target}": key.format(target)
            for prefix, key in (
                ("features", "linear/features/{}/accuracy"),
                ("projections", "linear/projection_2/{}/accuracy"),
                ("untrained", "untrained/linear/features/{}/accuracy"),
                ("chance", "chance/{}"),
            )
            for target in TARGETS
        },
        figure=figures.augmentation,
        panels=2,
        claim="Views decide which factor is learnt: a network becomes blind to what the views "
        "change (Xiao et al. 2021, What Should Not Be Contrastive in Contrastive Learning), and "
        "without colour distortion the colours suffice, so that nothing else is learnt (Chen et "
        "al. 2020, SimCLR, section 3.1).",
        differs="20 characters in 12 fonts and 8 colours, on 8 background colours, at 32 pixels in "
        "place of photographs; 4,000 images, 30 epochs, a small convnet. With one background the "
        "jitter changes nothing (projections 1.000 at every strength, three seeds): the difference "
        "of two hues, which the jitter leaves, tells the colour then.",
        verdict=papers.augmentation,
    ),
}
