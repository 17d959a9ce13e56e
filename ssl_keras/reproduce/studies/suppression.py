"""Images in which one thing competes with another: overlaid digits, digits of two sizes, views."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ssl_keras.reproduce import figures
from ssl_keras.reproduce.pairs import BLOCKS
from ssl_keras.reproduce.studies.base import (
    ACCURACY,
    FASHION_MNIST,
    INFORMATION,
    MIXUP,
    UNTRAINED,
    Study,
    size,
)
from ssl_keras.reproduce.verdicts import papers

UNIQUE = (2, 64, 4000)
# A small encoder with global average pooling: it finds a digit wherever that lies.
POOLED = {"encoder": "resnet18", "width_multiplier": 0.25, "stem": "large"}
# The side of a digit, and those of its rivals.
DIGIT = {"laptop": 28, "full": 20}
RIVALS = {"laptop": (12, 20, 40, 52), "full": (30, 40, 60, 80)}
NUMBERS = (2, 4, 9)


def _overlay_cells(scale: str) -> dict[str, dict[str, Any]]:
    """Digits over characters: how many different digit images there are."""
    base: dict[str, Any] = {**size(scale, 25), "dataset": "overlay", "loss": "nt_xent"}
    if scale == "full":
        base |= {"source": "tf_flowers", "image_size": 224, "digit_size": 28, "encoder": "resnet50"}
        base |= {"digit_source": "mnist", "temperature": 0.2}
    else:
        base |= {"source": "glyphs", "image_size": 56, "digit_size": 12, "max_train_images": 4000}
        base |= {"crop_area_min": 0.85, "temperature": 0.05, **POOLED}
    base |= {"heads": "linear,supervised"}
    return {f"{count}-digits": {**base, "num_unique_digits": count} for count in UNIQUE}


def _cause_cells(scale: str) -> dict[str, dict[str, Any]]:
    """Two and all digits, in other settings than those of `overlay`."""
    cells = _overlay_cells(scale)
    few, many = (cells[f"{count}-digits"] for count in (min(UNIQUE), max(UNIQUE)))
    large = {"overlay_copies": 1, "digit_size": few["image_size"] // 2}
    variants: dict[str, dict[str, Any]] = {
        "crops-from-half": {"crop_area_min": 0.5},
        "mixup": {"crop_area_min": None, "views": "mixup", "mixup_alpha": 0.7},
        "low-temperature": {"temperature": 0.05},
        "high-temperature": {"temperature": 1.0},
        "small-batches": {"batch_size": 64},
        "long": {"epochs": 3 * few["epochs"]},
        "one-large-digit": large,
        "clothes": {
            "source": FASHION_MNIST,
            "max_train_images": None,
            "epochs": few["epochs"] // 5,
        },
    }
    return {
        f"{variant}-{cell['num_unique_digits']}-digits": {
            name: value
            for name, value in {**cell, "temperature": 0.2, **changes, "heads": "linear"}.items()
            if value is not None
        }
        for variant, changes in variants.items()
        for cell in (few, many)
    }


def _canvas(scale: str) -> dict[str, Any]:
    base: dict[str, Any] = {**size(scale, 25), "dataset": "multi_digit", "loss": "nt_xent"}
    base |= {"heads": "linear,supervised"}
    if scale == "full":
        del base["source"]
        base |= {"image_size": 112, "num_train_images": 60000, "num_test_images": 10000}
        return base | {"digit_source": "mnist"}
    return base | {"image_size": 56, "temperature": 0.1, "crop_area_min": 0.5, **POOLED}


def _multi_digit_cells(scale: str) -> dict[str, dict[str, Any]]:
    """A digit alone, the control; beside one of growing size, on the laptop first smaller than
    itself, then larger; and several digits of one size."""
    base, own = _canvas(scale), DIGIT[scale]
    cells = {"alone": {**base, "digit_sizes": str(own)}}
    for side in RIVALS[scale]:
        digit = "small_digit" if side > own else "large_digit"
        cells[f"beside-{side}"] = {
            **base,
            "digit_sizes": f"{own},{side}",
            "baseline_target": digit,
        }
    # Fourteen pixels each, so that as many as sixteen fit.
    return cells | {f"{n}-digits": {**base, "num_digits": n} for n in NUMBERS}


def _local_cells(scale: str) -> dict[str, dict[str, Any]]:
    """Where in the encoder single locations tell what lies there."""
    heads = {"heads": "local_features,supervised"}
    over = f"{max(UNIQUE)}-digits"
    return {
        "four-digits": {**_canvas(scale), "num_digits": 4, **heads},
        "digits-over-images": {**_overlay_cells(scale)[over], **heads},
    }


_VIEWS: dict[str, dict[str, Any]] = {
    "crop": {"views": "augment"},
    "mixup": {"views": "mixup", "mixup_alpha": 0.7},
    "dropout": {"views": "dropout"},
    "crop-mixup": MIXUP,
    "crop-dropout": {"views": "augment,dropout"},
    "mixup-dropout": {"views": "mixup,dropout", "mixup_alpha": 0.7},
    "all": {"views": "augment,mixup,dropout", "mixup_alpha": 0.7},
    "crop-mixup-of-bits": {**MIXUP, "mixup_extra_channels": True},
}


def _view_cells(scale: str) -> dict[str, dict[str, Any]]:
    """Every combination of views, without bits and beside ten."""
    base = {**size(scale, 20), "loss": "nt_xent", "heads": "linear,bits"}
    # The control: both views are the image itself, so that nothing but spreading out is learnt.
    cells = {"equal-0-bits": {**base, "crop_area_min": 1.0, "num_bits": 0}}
    for name, views in _VIEWS.items():
        for bits in (0, 10):
            if bits or "mixup_extra_channels" not in views:
                cells[f"{name}-{bits}-bits"] = {**base, **views, "num_bits": bits}
    return cells


def _linear(subjects: Iterable[str], features: Sequence[str]) -> dict[str, str]:
    """Measures: each target by linear evaluation of each encoder."""
    return {
        f"{subject}_{target}": f"{figures.SUBJECTS[subject]}linear/features/{target}/accuracy"
        for subject in subjects
        for target in features
    }


STUDIES = {
    "overlay": Study(
        answer=(
            "The character is read at {2-digits:simclr_class} beside 2 different digits and at "
            "{4000-digits:simclr_class} beside 4,000, the digit at {2-digits:simclr_digit} and "
            "{4000-digits:simclr_digit} (untrained {4000-digits:untrained_class} and "
            "{4000-digits:untrained_digit})."
        ),
        question="As more different digits are drawn over images, what is kept of either?",
        grid=_overlay_cells,
        measures=_linear(("untrained", "simclr", "supervised"), ("class", "digit"))
        | {f"chance_{target}": f"chance/{target}" for target in ("class", "digit")},
        figure=figures.overlay,
        panels=2,
        claim="The more different digits are drawn over the images, the less a contrastive loss "
        "learns of the image and the more of the digit; supervised accuracy does not change (Chen, "
        "Luo and Li 2021).",
        differs="62 characters in fonts at 56 pixels with digits of twelve; 4,000 training images, "
        "25 epochs, a ResNet-18 with a quarter of its channels, crops from .85 of the area, and "
        "temperature 0.05, at which seed 0 of overlay_causes shows what the paper claims; flowers "
        "and ImageNet at 224 pixels with digits of 28, a ResNet-50 and crops from .08 there. "
        "Whatever the number of different digits in training, probes are fitted on images with "
        "4,000 of them.",
        verdict=papers.overlay,
    ),
    "overlay_causes": Study(
        answer=(
            "From 2 to 4,000 digits, at a low temperature: digit "
            "{low-temperature-2-digits:simclr_digit} to "
            "{low-temperature-4000-digits:simclr_digit}, character "
            "{low-temperature-2-digits:simclr_class} to "
            "{low-temperature-4000-digits:simclr_class}; with mixup {mixup-2-digits:simclr_digit} "
            "to {mixup-4000-digits:simclr_digit}, {mixup-2-digits:simclr_class} to "
            "{mixup-4000-digits:simclr_class}."
        ),
        question="What decides whether digits win over images?",
        grid=_cause_cells,
        measures=_linear(("untrained", "simclr"), ("class", "digit")),
        figure=figures.overlay_causes,
        panels=2,
        differs="As for overlay, but at temperature 0.2 (where the study overlay, three seeds, "
        "found .51 .53 .51 for the character and .28 .31 .31 for the digit beside 2, 64 and 4,000 "
        "digits), with one change each. The one large digit has 28 of 56 pixels; small batches "
        "have 64 images, long is three times as long; clothes are the 60,000 images of "
        "Fashion-MNIST, five epochs.",
        verdict=papers.overlay_causes,
    ),
    "multi_digit": Study(
        answer=(
            "A digit of 28 pixels is read at {alone:simclr_digit} alone, at "
            "{beside-12:simclr_large_digit} beside one of 12 and "
            "at {beside-52:simclr_small_digit} beside one of 52 (supervised: "
            "{alone:supervised_digit}, {beside-12:supervised_large_digit} and "
            "{beside-52:supervised_small_digit}). Which of nine equal digits are there: "
            "{9-digits:simclr_presence} (chance {9-digits:chance_presence})."
        ),
        question="Does a digit survive beside a larger one, and each of several equal ones?",
        grid=_multi_digit_cells,
        measures=_linear(
            ("untrained", "simclr", "supervised"),
            ("digit", "small_digit", "large_digit", "presence"),
        )
        | {"chance_presence": "chance/presence"},
        figure=figures.multi_digit,
        panels=2,
        smoke=("alone", "beside-12", "9-digits"),
        claim="The dominant object suppresses the smaller one: as the other digit grows, the small "
        "one is read less and less, while the dominant one is learnt well (Chen, Luo and Li 2021).",
        differs="Canvases of 56 pixels with a digit of 28 in place of 112 with 20; the digit alone "
        "is a control, and the rival begins smaller than the digit. 4,000 images, 25 epochs, a "
        "ResNet-18 with a quarter of its channels, crops from half of the area, temperature 0.1. "
        "The supervised encoder learns the labels of the digit alone.",
        verdict=papers.multi_digit,
    ),
    "local_features": Study(
        answer=(
            "Four digits at their locations are read at {four-digits:trained_3} by the third "
            "block (untrained {four-digits:untrained_3}, pixels {four-digits:pixels_4}), "
            "digits over characters at {digits-over-images:trained_3} (pixels "
            "{digits-over-images:pixels_3})."
        ),
        question="What do single locations of each block tell of what lies there?",
        grid=_local_cells,
        measures={
            f"{name}_{block}": f"{prefix}local_features/{place}_{block}/digit/balanced_accuracy"
            for name, prefix, place in (
                ("pixels", "", "pixels"),
                ("untrained", "untrained/", "block"),
                ("trained", "", "block"),
                ("supervised", "supervised/", "block"),
            )
            for block in BLOCKS
        },
        figure=figures.local_features,
        panels=2,
        smoke=("four-digits", "digits-over-images"),
        pictures=("pictures/local_features-clusters.png",),
        claim="A contrastive loss on whole images gives meaningful hierarchical local features "
        "(Chen, Luo and Li 2021, who show clusters in pictures).",
        differs="A probe in place of clusters in pictures: the class of the digit that lies at a "
        "location, from the features at that location alone, with the square of pixels around it "
        "as control: a strong one where digits lie at fixed places, as overlaid ones do. A "
        "ResNet-18 with a quarter of its channels and a pooled output. With the small convnet at "
        "temperature 0.2, four digits were read at .331 after 40 epochs (untrained .274, pixels "
        ".230), digits over clothes at .332 after 20 (.382, .356): half of the claim held. In the "
        "pictures: test images, and clusters of the locations of all of them, for pixels and each "
        "block of the encoders.",
        verdict=papers.local_features,
    ),
    "views": Study(
        answer=(
            "Equal views learn less ({equal-0-bits:accuracy}) than the untrained encoder has "
            "({equal-0-bits:untrained}); crops {crop-0-bits:accuracy}, dropout alone "
            "{dropout-0-bits:accuracy}. Beside ten bits all end near chance (mixup "
            "{mixup-10-bits:accuracy}, crops {crop-10-bits:accuracy})."
        ),
        question="Which views learn the digit, and which resist ten easy bits?",
        grid=_view_cells,
        measures={
            "accuracy": ACCURACY,
            "information": INFORMATION,
            "untrained": UNTRAINED,
        },
        figure=figures.views,
        panels=2,
        claim="Views that need no knowledge of images, mixup noise (Verma et al. 2021) and dropout "
        "(Gao et al. 2021), learn features too. Whether they resist easy bits is a question of "
        "our own, reported in a note.",
        differs="4,000 digits, 20 epochs. Gao et al. have sentences; that dropout makes views of "
        "images is our transfer. Mixup has an alpha of 0.7, Verma et al. 0.9. The control, equal "
        "views, are both the image itself: what is learnt then comes from spreading out alone.",
        verdict=papers.views,
    ),
}
