"""The baselines beside SimCLR."""

from __future__ import annotations

from typing import Any

from ssl_keras.reproduce import figures
from ssl_keras.reproduce.studies.base import (
    ACCURACY,
    INFORMATION,
    UNTRAINED,
    Study,
    size,
)


def _autoencoder_cells(scale: str) -> dict[str, dict[str, Any]]:
    """The autoencoder beside bits, by the weight of the bits in its loss."""
    base = {**size(scale, 60), "method": "autoencoder", "heads": "linear,knn,bits"}
    cells = {"0-bits": {**base, "num_bits": 0}}
    for weight in (10.0, 1.0, 0.1):
        cells[f"10-bits-{weight:g}"] = {**base, "num_bits": 10, "extra_channels_weight": weight}
    return cells


def _baseline_cells(scale: str) -> dict[str, dict[str, Any]]:
    """Data beside bits, each run with both baselines."""
    heads = "linear,knn,bits,supervised,autoencoder"
    base = {**size(scale, 60), "loss": "nt_xent", "heads": heads}
    # With every channel alike, ten bit channels would be nearly all that the autoencoder is
    # asked for; see the study "autoencoder".
    fair = {"baseline_extra_channels_weight": 0.1}
    return {"0-bits": {**base, "num_bits": 0}, "10-bits": {**base, "num_bits": 10, **fair}}


STUDIES = {
    "autoencoder": Study(
        question="What does an autoencoder keep of a digit beside ten bits, by the weight of the "
        "bits in its loss?",
        grid=_autoencoder_cells,
        measures={
            "accuracy": ACCURACY,
            "knn": "knn/features/class/accuracy",
            "information": INFORMATION,
            "image_explained": "reconstruction/features/example_explained",
            "train_image_explained": "reconstruction/features/train_example_explained",
            "bits_explained": "reconstruction/features/extra_channels_explained",
            "untrained": UNTRAINED,
        },
        figure=figures.autoencoder,
        panels=2,
    ),
    "baselines": Study(
        question="Do a supervised encoder and an autoencoder suffer from easy bits as SimCLR does?",
        grid=_baseline_cells,
        measures={
            **{
                subject: f"{prefix}linear/features/class/accuracy"
                for subject, prefix in figures.SUBJECTS.items()
            },
            **{
                f"{subject}_knn": f"{prefix}knn/features/class/accuracy"
                for subject, prefix in figures.SUBJECTS.items()
            },
            **{
                f"{subject}_information": f"{prefix}bits/features/bits/information"
                for subject, prefix in figures.SUBJECTS.items()
            },
            "image_explained": "autoencoder/reconstruction/features/example_explained",
            "train_image_explained": "autoencoder/reconstruction/features/train_example_explained",
            "bits_explained": "autoencoder/reconstruction/features/extra_channels_explained",
        },
        figure=figures.baselines,
        panels=2,
    ),
}
