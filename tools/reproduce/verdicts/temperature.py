"""Wang and Liu, and the losses that correct for negatives."""

from __future__ import annotations

import numpy as np

from tools.reproduce.verdicts.base import Rows, Verdict, arrow, margin, over, spread


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
    best = int(np.argmax(accuracy))
    ends = max(accuracy[0], accuracy[-1])
    ranges = np.ptp(hard_uniformity), np.ptp(uniformity)
    return Verdict.of(
        (
            bool((np.diff(uniformity) > 0).all() and (np.diff(tolerance) > 0).all()),
            f"over the temperatures {shown} the uniformity of NT-Xent's projections (lower is more "
            f"uniform) is {arrow(uniformity, 2)}, their tolerance {arrow(tolerance, 2)}",
        ),
        (
            accuracy[best] - ends > margin(*plain),
            f"accuracy is {arrow(accuracy)} (spread over seeds {spread(*plain)})",
        ),
        (
            ranges[0] < ranges[1] / 2,
            f"the uniformity of the hard loss is {arrow(hard_uniformity, 2)}: it varies by "
            f"{ranges[0]:.2f}, that of NT-Xent by {ranges[1]:.2f}",
        ),
        (
            simple["uniformity"] > max(uniformity)
            and min(accuracy) - simple["accuracy"] > margin(*plain, simple),
            f"the simple loss has a uniformity of {simple['uniformity']:.2f} and an accuracy of "
            f"{simple['accuracy']:.3f}",
        ),
    )


def grids(rows: Rows) -> Verdict:
    """Chuang, Robinson, Wang and Isola: each correction is worth something."""

    def gain(loss: str, setting: str) -> tuple[bool, str]:
        own = [row for row in rows if row["loss"] == loss]
        values, accuracy = over(own, setting, "accuracy")
        shown = ", ".join(f"{value:g}" for value in values)
        return (
            max(accuracy[1:]) - accuracy[0] > margin(*own),
            f"{loss} over {setting} {shown}: {arrow(accuracy)} (spread over seeds {spread(*own)})",
        )

    own = [row for row in rows if row["loss"] == "align_uniform"]
    best, three, less = (
        max(
            (row for row in own if chosen(row["alignment_weight"])),
            key=lambda row: row["accuracy"],
        )
        for chosen in (lambda _: True, lambda weight: weight == 3, lambda weight: weight <= 1)
    )
    return Verdict.of(
        gain("debiased", "tau_plus"),
        gain("hard_negative", "beta"),
        (
            best is three and three["accuracy"] - less["accuracy"] > margin(*own),
            f"align_uniform comes to {three['accuracy']:.3f} with an alignment weight of 3 "
            f"(t {three['t']:g}), to {less['accuracy']:.3f} with at most 1, and to "
            f"{best['accuracy']:.3f} at best (weight {best['alignment_weight']:g}, t "
            f"{best['t']:g}; spread over seeds {spread(*own)})",
        ),
    )
