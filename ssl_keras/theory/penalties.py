"""How the loss of a run divides its gradient among negatives, at several temperatures.

    python -m ssl_keras.theory.penalties --run=runs/mine --output=penalties.png

The relative penalty r_ij of a negative is the gradient on it, relative to that on the positive
(Wang and Liu 2021): a softmax over the similarities of the negatives. The picture shows,
for the projections of test images of the run, the penalty against the similarity, and which share
of the gradient the hardest negatives carry.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ssl_keras.cli import startup
from ssl_keras.cli.drawing import build_parser, png_path, save
from ssl_keras.errors import UserError
from ssl_keras.plots import CHANCE, SERIES, describe

BINS = 40


def read_temperatures(text: str) -> list[float]:
    """The temperatures of a comma-separated list."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise UserError(
            f"temperatures is {text!r}; numbers with commas are needed, such as 0.07,0.3,1."
        ) from None
    if not all(0 < value < float("inf") for value in values):
        raise UserError(f"temperatures is {text!r}; all must be above 0.")
    return sorted(values)


def draw(run: Path, output: Path, num_images: int, temperatures: list[float]) -> None:
    """Write the picture and print the table."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    from ssl_keras import metrics
    from ssl_keras.evaluators.extraction import extract_views
    from ssl_keras.run import restore_run

    restored = restore_run(run)
    layer = restored.model.layer_names[-1]
    model = restored.model
    views = extract_views(
        model.representations,
        restored.data,
        restored.model.layer_names,
        model.augmenter,
        num_images,
    )[layer]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6))
    edges = np.linspace(-1, 1, BINS + 1)
    centers = (edges[1:] + edges[:-1]) / 2
    print("temperature  entropy (nats)  of at most  hardest 1% carry")
    for index, temperature in enumerate(temperatures):
        similarities, penalties = (
            array.numpy()
            for array in metrics.relative_penalties(views.first, views.second, temperature)
        )
        count = penalties.shape[1]
        entropy, share = (
            float(value)
            for value in metrics.hardness_awareness(views.first, views.second, temperature)
        )
        print(f"{temperature:>11g}  {entropy:14.3f}  {np.log(count):10.3f}  {share:16.3f}")
        cell = np.clip(np.digitize(similarities.ravel(), edges) - 1, 0, BINS - 1)
        number = np.bincount(cell, minlength=BINS)
        total = np.bincount(cell, penalties.ravel(), minlength=BINS)
        there = number > 0
        style = SERIES[index % len(SERIES)].keywords()
        mean = count * total[there] / number[there]
        left.semilogy(centers[there], mean, markersize=3, label=f"{temperature:g}", **style)
        carried = np.cumsum(penalties.mean(axis=0))
        percent = 100 * np.arange(1, count + 1) / count
        right.plot(percent, carried, **{**style, "marker": ""})
    behind = left.twinx()
    behind.hist(similarities.ravel(), edges, color="0.85", zorder=0)
    behind.set_yticks([])
    left.set_zorder(behind.get_zorder() + 1)
    left.patch.set_visible(False)
    left.set_ylim(bottom=1e-6)
    left.axhline(1.0, **CHANCE)
    describe(
        left, "", "cosine with the anchor (grey: how many negatives)",
        "penalty (1: all negatives alike)",
    )  # fmt: skip
    left.legend(title="temperature", fontsize=8, title_fontsize=8, loc="upper left")
    right.plot(percent, percent / 100, label="all negatives alike", **CHANCE)
    right.legend(fontsize=8)
    right.set_xscale("log")
    describe(right, "", "hardest negatives (%)", "share of the gradient")
    config = restored.config
    figure.suptitle(
        f"Relative penalties on {layer} of a run with {config.objective.loss}, "
        f"{len(views.rows)} test images, {count} negatives each",
        fontsize=9,
    )
    save(figure, output)


def main(arguments: list[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    parser = build_parser("ssl_keras.theory.penalties", __doc__)
    parser.add_argument("--run", required=True, type=Path, help="directory of a finished run")
    parser.add_argument("--output", default="penalties.png", help="file of the picture")
    parser.add_argument("--images", type=int, default=500, help="how many test images")
    parser.add_argument("--temperatures", default="0.07,0.2,0.5,1", help="with commas between")
    options: Any = parser.parse_args(arguments)

    def body() -> None:
        temperatures, output = read_temperatures(options.temperatures), png_path(options.output)
        if options.images < 2:
            raise UserError(f"images is {options.images}; at least 2 are needed.")
        startup.start_tensorflow()
        draw(options.run, output, options.images, temperatures)

    return startup.guarded("ssl_keras.theory.penalties", body, lambda: False)


if __name__ == "__main__":
    sys.exit(main())
