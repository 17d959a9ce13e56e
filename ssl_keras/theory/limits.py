"""Three limits of NT-Xent, computed and drawn on random points of the sphere.

    python -m ssl_keras.theory.limits --output=limits.png

1. Temperature to 0: temperature * NT-Xent is a triplet loss, the mean of
   max(hardest negative's similarity - positive's, 0) (Wang and Liu 2021).
2. Temperature to infinity: temperature * (NT-Xent - log(2N - 1)) is (2N - 2) / (2N - 1) times the
   simple loss (the same paper).
3. More and more negatives: NT-Xent - log(2N - 2) is alignment plus a uniformity
   (Wang and Isola 2020, theorem 1).
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

from ssl_keras.cli import startup
from ssl_keras.cli.drawing import build_parser, png_path, save
from ssl_keras.errors import UserError
from ssl_keras.plots import CHANCE, SERIES, describe

TEMPERATURES = (0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)
BATCHES = (8, 16, 32, 64, 128, 256, 512, 1024)


def draw(output: Path, num_images: int, dim: int, seed: int) -> None:
    """Write the picture and print the numbers."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    from ssl_keras import losses

    generator = np.random.default_rng(seed)

    def sphere(count: int) -> Any:
        points = generator.normal(size=(count, dim))
        return points / np.linalg.norm(points, axis=1, keepdims=True)

    def near(points: Any) -> Any:
        moved = points + 0.5 * sphere(len(points))
        return moved / np.linalg.norm(moved, axis=1, keepdims=True)

    x = sphere(num_images)
    y = near(x)
    anchors, positives = np.concatenate([x, y]), np.sum(x * y, axis=1)
    cosines = anchors @ anchors.T
    rows = np.arange(2 * num_images)
    for image in (rows, (rows + num_images) % (2 * num_images)):
        cosines[rows, image] = -np.inf  # the anchor itself, and its positive
    hardest = cosines.max(axis=1)
    triplet = np.mean(np.maximum(hardest - np.tile(positives, 2), 0))
    count = 2 * num_images - 2
    simple = float(losses.get("simple")(x, y)) * count / (count + 1)

    def nt_xent(temperature: float, first: Any = x, second: Any = y) -> float:
        return float(losses.get("nt_xent", temperature=temperature)(first, second))

    low = [t * nt_xent(t) for t in TEMPERATURES]
    high = [t * (nt_xent(t) - math.log(count + 1)) for t in TEMPERATURES]

    temperature = 0.5
    many = sphere(10_000)
    many = np.concatenate([many, near(many)]).astype(np.float32)
    differences, spreads = [], []
    for batch in BATCHES:
        samples = []
        for _ in range(5):
            first = sphere(batch)
            second = near(first)
            both = np.concatenate([first, second]).astype(np.float32)
            potential = np.mean(np.log(np.mean(np.exp(both @ many.T / temperature), axis=1)))
            limit = potential - np.mean(np.sum(first * second, axis=1)) / temperature
            loss = nt_xent(temperature, first, second)
            samples.append(loss - math.log(2 * batch - 2) - limit)
        differences.append(np.mean(samples))
        spreads.append(np.std(samples))

    print("temperature  t*NT-Xent  t*(NT-Xent - log(2N-1))")
    for t, below, above in zip(TEMPERATURES, low, high, strict=True):
        print(f"{t:>11g}  {below:9.5f}  {above:23.5f}")
    print(f"limits: {triplet:.5f} (triplet), {simple:.5f} (simple)")
    print("images  NT-Xent - log(2N - 2) - limit")
    for batch, difference, spread in zip(BATCHES, differences, spreads, strict=True):
        print(f"{batch:>6}  {difference:.5f} ± {spread:.5f}")

    figure, axes = plt.subplots(1, 3, figsize=(11.5, 3.3))
    line = {**SERIES[0].keywords(), "markersize": 3}
    for axis, shown, limit, label in (
        (axes[0], slice(0, 4), triplet, "t · NT-Xent → triplet form"),
        (axes[1], slice(3, None), simple, "t · (NT-Xent − log(2N−1)) → simple loss"),
    ):
        values = (low if axis is axes[0] else high)[shown]
        axis.semilogx(TEMPERATURES[shown], values, **line)
        axis.axhline(limit, label="limit", **CHANCE)
        describe(axis, label, "temperature t", "nats")
        axis.legend(fontsize=8)
    axes[0].set_ylim(bottom=0)
    axes[1].set_ylim(bottom=-1, top=0)
    axes[2].errorbar(BATCHES, differences, spreads, capsize=2, **line)
    axes[2].axhline(0, **CHANCE)
    axes[2].set_xscale("log", base=2)
    describe(axes[2], "NT-Xent − log(2N−2) − (alignment + uniformity)", "images N", "nats")
    figure.suptitle(f"{num_images} images, {dim} dimensions; right: temperature 0.5", fontsize=9)
    save(figure, output)


def main(arguments: list[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    parser = build_parser("ssl_keras.theory.limits", __doc__)
    parser.add_argument("--output", default="limits.png", help="file of the picture")
    parser.add_argument("--seed", type=int, default=0, help="seed of the points")
    options: Any = parser.parse_args(arguments)

    def body() -> None:
        output = png_path(options.output)
        if options.seed < 0:
            raise UserError(f"seed is {options.seed}; at least 0 is needed.")
        startup.start_tensorflow()
        draw(output, num_images=64, dim=8, seed=options.seed)

    return startup.guarded("ssl_keras.theory.limits", body, lambda: False)


if __name__ == "__main__":
    sys.exit(main())
