"""Random bits as an easy rival: the authors' protocol, and what changes its outcome."""

from __future__ import annotations

from typing import Any

from ssl_keras.reproduce import figures
from ssl_keras.reproduce.studies.base import (
    ACCURACY,
    FASHION_MNIST,
    INFORMATION,
    UNTRAINED,
    Study,
    flagfile_settings,
    size,
)
from ssl_keras.reproduce.studies.generalized import LOSSES
from ssl_keras.reproduce.verdicts import papers

BITS = (0, 5, 10, 15, 20)
# Accuracy of the online probe on the test images of MNIST, stored in the authors' notebook
# (google-research/simclr, colabs/intriguing_properties/randbits_mnist.ipynb; one run a cell).
PUBLISHED = {
    0.05: (0.899, 0.706, 0.330, 0.143, 0.099),
    0.1: (0.892, 0.612, 0.187, 0.098, 0.103),
    0.2: (0.900, 0.330, 0.104, 0.100, 0.099),
}
ONLINE = "online_probe/features/class/accuracy"


def label(temperature: float, bits: int) -> str:
    """The name of a cell of the protocol."""
    return f"t{temperature:g}-{bits}-bits"


def _protocol(scale: str, **changes: Any) -> dict[str, dict[str, Any]]:
    base = {**flagfile_settings("randbit"), **changes}
    cells = [(t, bits) for t in PUBLISHED for bits in BITS]
    if scale == "full":
        base |= {"source": "mnist"}
    return {label(t, bits): {**base, "temperature": t, "num_bits": bits} for t, bits in cells}


def _fashion(scale: str) -> dict[str, dict[str, Any]]:
    """The protocol on all 60,000 images of Fashion-MNIST."""
    del scale  # the laptop has all of them
    return _protocol("laptop", source=FASHION_MNIST, heads="knn")


# What is varied, one at a time: setting -> its values; the first is that of the other cells.
FACTORS: dict[str, tuple[Any, ...]] = {
    "loss": LOSSES,
    "batch_size": (250, 50, 1000),
    "width_multiplier": (1.0, 0.25, 2.0),
}
FACTOR_BITS = (0, 4, 6, 10)
_HEADS = "linear,bits"


def _factors(scale: str) -> dict[str, dict[str, Any]]:
    """Bits x loss, x batch size (as many images), x width; in the middle also both baselines."""
    base = {**size(scale, 30), "dataset": "bit_concat", "heads": _HEADS}
    middle = {setting: values[0] for setting, values in FACTORS.items()}
    cells = {}
    for bits in FACTOR_BITS:
        beside: dict[str, Any] = {"heads": f"{_HEADS},supervised,autoencoder"}
        beside |= {"baseline_extra_channels_weight": 0.1} if bits else {}
        cells[f"{bits}-bits"] = {**base, **middle, **beside, "num_bits": bits}
        for setting, values in FACTORS.items():
            for value in values[1:]:
                varied = {**base, **middle, setting: value, "num_bits": bits}
                cells[f"{bits}-bits-{setting}-{value}"] = varied
    return cells


_PUBLISHED_CELLS = {
    label(t, bits): {"online": value}
    for t, values in PUBLISHED.items()
    for bits, value in zip(BITS, values, strict=True)
}

STUDIES = {
    "randbit": Study(
        answer=(
            "The digit is read at {t0.05-0-bits:online} without bits and at "
            "{t0.05-10-bits:online} beside ten, at temperature 0.05; at 0.2 at "
            "{t0.2-10-bits:online} beside ten. The untrained encoder reads it at "
            "{t0.05-10-bits:untrained} there. All cells but one are within 3 points of the "
            "published ones."
        ),
        question="How many random bits suppress the digit, at which temperature? The protocol of "
        "the authors' notebook.",
        grid=_protocol,
        measures={
            "online": ONLINE,
            "linear": ACCURACY,
            "bits_all_right": "linear/features/bits/all_right",
            "information": INFORMATION,
            "untrained": UNTRAINED,
        },
        published=_PUBLISHED_CELLS,
        published_on="60,000 MNIST digits, one run a cell",
        figure=figures.randbit,
        panels=3,
        claim="A few random bits, shared by both views, suppress the class; a lower temperature "
        "helps a little (Chen, Luo and Li 2021; numbers of their notebook randbits_mnist.ipynb).",
        differs="4,000 digits, seen 150 times in as many steps, in place of 60,000 seen ten times; "
        "1,000 test digits, so that two standard errors of an accuracy of 0.9 are 2 points. The "
        "crops follow the authors' law (--crop_law=official). With crops that are uniform in "
        "area, which are larger, the decline was milder, by up to 10 points (five bits: .761 .673 "
        ".427 at temperatures 0.05, 0.1, 0.2; three seeds).",
        verdict=papers.randbit,
    ),
    "randbit_fashion": Study(
        answer=(
            "The class is read at {t0.05-0-bits:online} without bits, beside ten at "
            "{t0.05-10-bits:online} (temperature 0.05) or {t0.2-10-bits:online} (0.2)."
        ),
        question="The same protocol on all 60,000 images of Fashion-MNIST.",
        grid=_fashion,
        measures={
            "online": ONLINE,
            "knn": "knn/features/class/accuracy",
            "untrained_knn": "untrained/knn/features/class/accuracy",
        },
        figure=figures.randbit_fashion,
        panels=2,
        claim="Bits suppress the class of something else than digits too, with as many images as "
        "the authors had (no paper claims it).",
        differs="Fashion-MNIST in place of MNIST. Earlier runs with another law of crops, three "
        "seeds at temperature 0.05, gave .692 .626 .473 .232 .130.",
        verdict=papers.randbit_fashion,
    ),
    "randbit_factors": Study(
        answer=(
            "Beside ten bits every loss, batch size and width ends at chance (NT-Xent "
            "{10-bits:accuracy}), far below the untrained encoder ({10-bits:untrained}). Labels "
            "({10-bits:supervised}) and reconstruction ({10-bits:autoencoder}) keep the digit."
        ),
        question="What helps against a few easy bits: batch size, width, another loss, another "
        "method?",
        grid=_factors,
        measures={
            "accuracy": ACCURACY,
            "information": INFORMATION,
            "untrained": UNTRAINED,
            "supervised": "supervised/linear/features/class/accuracy",
            "autoencoder": "autoencoder/linear/features/class/accuracy",
        },
        figure=figures.randbit_factors,
        panels=4,
        smoke=("4-bits",),
        claim="A few bits suppress the class under every generalized loss; larger batches help "
        "slightly, larger models do not; a supervised encoder and an autoencoder suffer much less "
        "(Chen, Luo and Li 2021).",
        differs="4,000 digits, 30 epochs. A batch of 1,000 sees as many images in fewer steps, "
        "with the same learning rate. With bits, the loss of the autoencoder weighs all bit "
        "channels together a tenth as much as the image; where it weighs every channel alike, it "
        "keeps the bits and loses the class ([baselines](../features.md#baselines)).",
        verdict=papers.randbit_factors,
    ),
}
