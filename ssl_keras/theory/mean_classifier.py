"""Arora et al.'s bound in practice: the loss of the mean classifier against the unsupervised one.

    python -m ssl_keras.train --flagfile=flags/logistic.flags --num_bits=0 --workdir=runs/logistic
    python -m ssl_keras.theory.mean_classifier --run=runs/logistic --output=mean_classifier.png

Arora et al. 2019 (theorem 4.1): L_sup^mu <= (L_un - c) / (1 - c). L_un is the logistic loss with
one negative, L_sup^mu that of the classifier that compares with the mean of each class, averaged
over all tasks of two classes; c is the probability that a negative is of the anchor's class. The
theorem takes two images of one class for the positive pair; here they are two views of one image,
so nothing guarantees the bound: the picture shows whether it holds. All are measured while
training, on the projections of the same training images.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ssl_keras.cli import startup
from ssl_keras.cli.drawing import build_parser, png_path, save
from ssl_keras.errors import UserError
from ssl_keras.metrics import mean_classifier_bound
from ssl_keras.plots import SERIES, chance, describe
from ssl_keras.run import run_directory

SUPERVISED, UNSUPERVISED = "projections/mean_classifier_loss/", "projections/pairwise_logistic_loss"


def curves(run: Path, target: str) -> tuple[list[int], list[float], list[float], list[float]]:
    """(steps, L_un, L_sup^mu, bound) of a finished run.

    Raises:
        UserError: the run did not measure them.
    """
    _, results = run_directory.read(run)
    records = [r for r in results.get("geometry_history", []) if SUPERVISED + target in r]
    if not records:
        raise UserError(
            f"The run {run} did not measure the mean classifier of the target {target!r}: it "
            "needs labels of a class, and --measure_images above 0."
        )
    # Classes of unequal size: the probability of a collision is at least that of equal ones.
    collision = 1 / results["data"]["targets"][target]["size"]
    unsupervised = [record[UNSUPERVISED] for record in records]
    return (
        [int(record["step"]) for record in records],
        unsupervised,
        [record[SUPERVISED + target] for record in records],
        [mean_classifier_bound(value, collision) for value in unsupervised],
    )


def draw(run: Path, target: str, output: Path) -> None:
    """Write the picture and print first and last values."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    steps, unsupervised, supervised, bound = curves(run, target)
    print("step    L_un   bound  L_sup^mu  holds")
    for index in sorted({0, len(steps) // 2, len(steps) - 1}):
        holds = "yes" if supervised[index] <= bound[index] else "no"
        print(
            f"{steps[index]:<6}  {unsupervised[index]:.3f}  {bound[index]:.3f}  "
            f"{supervised[index]:8.3f}  {holds}"
        )
    broken = sum(s > b for s, b in zip(supervised, bound, strict=True))
    print(f"The bound holds at {len(steps) - broken} of {len(steps)} measurements.")
    figure, axis = plt.subplots(figsize=(5.5, 3.4))
    for style, (label, values) in zip(
        SERIES,
        {
            "unsupervised, one negative": unsupervised,
            "(unsupervised − c) / (1 − c)": bound,
            "mean classifier, two classes": supervised,
        }.items(),
        strict=False,
    ):
        axis.plot(steps, values, label=label, **{**style.keywords(), "markersize": 4})
    chance(axis, 1.0)
    describe(axis, "", "step", "logistic loss, bits")
    axis.set_ylim(bottom=0)
    axis.legend(fontsize=8)
    save(figure, output)


def main(arguments: list[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    parser = build_parser("ssl_keras.theory.mean_classifier", __doc__)
    parser.add_argument("--run", required=True, type=Path, help="directory of a finished run")
    parser.add_argument("--target", default="class", help="target whose classes are compared")
    parser.add_argument("--output", default="mean_classifier.png", help="file of the picture")
    options: Any = parser.parse_args(arguments)

    def body() -> None:
        draw(options.run, options.target, png_path(options.output))

    return startup.guarded("ssl_keras.theory.mean_classifier", body, lambda: False)


if __name__ == "__main__":
    sys.exit(main())
