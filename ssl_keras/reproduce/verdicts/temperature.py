"""Wang and Liu, and the losses that correct for negatives."""

from __future__ import annotations

import numpy as np

from ssl_keras.reproduce.verdicts.base import (
    Rows,
    Verdict,
    arrow,
    every,
    exceeds,
    judged,
    margin,
    over,
    points,
    rises,
)


def decided(difference: float, least: float) -> bool | None:
    """Whether something is gained, or lost; None if the difference does not count."""
    return difference > 0 if exceeds(abs(difference), least) else None


def temperature(rows: Rows) -> Verdict:
    """Wang and Liu: the dilemma of uniformity and tolerance, and the hard loss that avoids it."""
    plain = [row for row in rows if row["loss"] == "nt_xent"]
    hard = [row for row in rows if row["loss"] == "hard_contrastive"]
    simple = next(row for row in rows if row["loss"] == "simple")
    temperatures, uniformity = over(plain, "temperature", "uniformity")
    _, tolerance = over(plain, "temperature", "tolerance")
    _, accuracy = over(plain, "temperature", "accuracy")
    _, hard_uniformity = over(hard, "temperature", "uniformity")
    shown = ", ".join(f"{t:g}" for t in temperatures)
    inside, ends = max(accuracy[1:-1]), max(accuracy[0], accuracy[-1])
    ranges = float(np.ptp(hard_uniformity)), float(np.ptp(uniformity))
    least = margin(*plain)
    rise = every(
        *(
            rises(curve, margin(*plain, column=column))
            for column, curve in (("uniformity", uniformity), ("tolerance", tolerance))
        )
    )
    worse = min(accuracy) - simple["accuracy"]
    return judged(
        (
            "the higher the temperature, the less uniform and the more tolerant",
            rise,
            f"NT-Xent over {shown}: uniformity of the projections {arrow(uniformity, 2)} (lower is "
            f"more uniform), tolerance {arrow(tolerance, 2)}",
        ),
        (
            "accuracy is best in between",
            decided(inside - ends, least),
            f"{arrow(accuracy)}; differences count from {points(least)} points",
        ),
        (
            "a loss of hard negatives stays uniform",
            ranges[0] < ranges[1] / 2,
            f"{arrow(hard_uniformity, 2)}: it varies by {ranges[0]:.2f}, NT-Xent by "
            f"{ranges[1]:.2f}",
        ),
        (
            "one that treats all negatives alike is neither uniform nor as accurate",
            exceeds(simple["uniformity"] - max(uniformity), 0) and exceeds(worse, least),
            f"uniformity {simple['uniformity']:.2f}, accuracy {simple['accuracy']:.3f}",
        ),
        beside=f"the loss that treats all negatives alike has a tolerance of "
        f"{simple['tolerance']:.2f}, where Wang and Liu have the largest of all, 0.61",
    )


def grids(rows: Rows) -> Verdict:
    """Chuang, Robinson, Wang and Isola: each correction is worth something."""
    least = margin(*rows)

    def gain(claim: str, loss: str, setting: str) -> tuple[str, bool | None, str]:
        own = [row for row in rows if row["loss"] == loss]
        values, accuracy = over(own, setting, "accuracy")
        shown = ", ".join(f"{value:g}" for value in values)
        return (
            claim,
            decided(max(accuracy[1:]) - accuracy[0], least),
            f"{setting} {shown}: {arrow(accuracy)}; differences count from {points(least)} points",
        )

    own = [row for row in rows if row["loss"] == "align_uniform"]
    nt_xent = next(row for row in rows if row["loss"] == "debiased" and row["tau_plus"] == 0)
    theirs = next(row for row in own if row["alignment_weight"] == 3 and row["t"] == 3)
    best = max(own, key=lambda row: row["accuracy"])
    return judged(
        gain("correcting for negatives of the same class helps", "debiased", "tau_plus"),
        gain("weighing hard negatives helps", "hard_negative", "beta"),
        (
            "align_uniform with weight 3 and t = 3 is better than NT-Xent",
            decided(theirs["accuracy"] - nt_xent["accuracy"], least),
            f"{theirs['accuracy']:.3f} against {nt_xent['accuracy']:.3f}; the best of its grid is "
            f"{best['accuracy']:.3f}, with weight {best['alignment_weight']:g} and t = "
            f"{best['t']:g}",
        ),
    )
