"""Random bits as a rival."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tools.reproduce.verdicts.base import (
    AGREE,
    Rows,
    Verdict,
    arrow,
    exceeds,
    falls,
    judged,
    kept,
    margin,
    over,
    percent,
    points,
)

CHANCE = 0.1  # of ten classes
HALF = 0.5
SLIGHTLY = 0.1


def suppressed(curve: Sequence[float]) -> bool:
    """Whether at most half of what the class had above chance is left in the end."""
    return kept(curve[-1], curve[0], CHANCE) <= HALF


def randbit(rows: Rows) -> Verdict:
    """Claim (c) by the authors' protocol: level, decline with bits, order of temperatures."""
    temperatures = sorted({row["temperature"] for row in rows})
    bits = sorted({row["num_bits"] for row in rows})
    least = margin(*rows, column="online")
    curves = {
        t: over([row for row in rows if row["temperature"] == t], "num_bits", "online")[1]
        for t in temperatures
    }
    of_bits = {b: [curves[t][index] for t in temperatures] for index, b in enumerate(bits)}
    published = [row for row in rows if "online_published" in row]
    away = [row["online"] - row["online_published"] for row in published]
    untouched = [abs(x) for x, row in zip(away, published, strict=True) if not row["num_bits"]]
    farthest = published[int(np.argmax(np.abs(away)))]
    middle = [b for b in bits if 0 < b < bits[-1]][:2]
    shown = ", ".join(f"{t:g}" for t in temperatures)
    return judged(
        (
            "without bits the digit is read as well as published",
            max(untouched) <= AGREE,
            f"{', '.join(f'{value:.3f}' for value in of_bits[0])} at temperatures {shown}, at most "
            f"{points(max(untouched))} points away, {points(AGREE)} is the border",
        ),
        (
            "bits suppress it",
            all(falls(curve, least) and suppressed(curve) for curve in curves.values()),
            f"over {', '.join(map(str, bits))} bits, by temperature: "
            + "; ".join(f"{t:g}: {arrow(curve)}" for t, curve in curves.items()),
        ),
        (
            "a lower temperature helps",
            all(falls(of_bits[b], least) for b in middle),
            f"at temperatures {shown}: "
            + "; ".join(f"{b} bits {arrow(of_bits[b])}" for b in middle),
        ),
        beside=f"over all cells {points(float(np.mean(np.abs(away))))} points away from the "
        f"published on average ({100 * np.mean(away):+.1f} with their sign), at most "
        f"{points(float(np.max(np.abs(away))))}, at temperature {farthest['temperature']:g} with "
        f"{farthest['num_bits']} bits",
    )


def randbit_fashion(rows: Rows) -> Verdict:
    """The decline on 60,000 images of something else than digits."""
    bits, values = over(rows, "num_bits", "online")
    return judged(
        (
            "bits suppress the class",
            falls(values, margin(*rows, column="online")) and suppressed(values),
            f"with {', '.join(map(str, bits))} bits the online probe reads {arrow(values)}; at "
            f"most half of what is above chance may be left, it is "
            f"{percent(kept(values[-1], values[0], CHANCE))}",
        )
    )


def randbit_factors(rows: Rows) -> Verdict:
    """Claims (c) and (d): what helps against the bits. Batches and widths are compared at the
    number of bits before the last, where something is left to lose."""
    base = [row for row in rows if "supervised" in row]
    settings = ("loss", "batch_size", "width_multiplier")
    none, *_, some, last = sorted({row["num_bits"] for row in rows})

    def varied(setting: str, bits: int = some, column: str = "accuracy") -> dict[object, float]:
        others = [name for name in settings if name != setting]
        own = [row for row in rows if all(row[name] == base[0][name] for name in others)]
        own = [row for row in own if row["num_bits"] == bits]
        return dict(zip(*over(own, setting, column), strict=True))

    def told(values: dict[object, float]) -> str:
        return ", ".join(f"{name} {value:.3f}" for name, value in values.items())

    left = {
        kept(value, varied(setting, none)[name], CHANCE)
        for setting in settings
        for name, value in varied(setting, last).items()
    }
    least = margin(*(row for row in rows if row["num_bits"] == some))
    of_losses, of_batches, of_widths = map(varied, settings)
    others = {name: value for name, value in of_losses.items() if name != base[0]["loss"]}
    batches, widths = list(of_batches.values()), list(of_widths.values())
    middle = of_losses[base[0]["loss"]]
    keeps = {}
    for column in ("accuracy", "supervised", "autoencoder"):
        _, curve = over(base, "num_bits", column)
        keeps[column] = kept(curve[-1], curve[0], CHANCE)
    suffers = keeps["accuracy"] <= HALF
    return judged(
        (
            f"{last} bits suppress the class under every loss, batch size and width",
            max(left) <= HALF,
            f"at most {percent(max(left))} of what is above chance is left",
        ),
        (
            "other losses do not help",
            not exceeds(max(others.values()) - middle, least) if suffers else None,
            f"with {some} bits {told(of_losses)}; differences count from {points(least)} points",
        ),
        (
            "larger batches help slightly",
            exceeds(batches[-1] - batches[0], least) and batches[-1] - batches[0] < SLIGHTLY,
            f"with {some} bits {told(of_batches)}",
        ),
        (
            "wider encoders do not help",
            not exceeds(widths[-1] - middle, least) if suffers else None,
            f"with {some} bits {told(of_widths)}",
        ),
        (
            "a supervised encoder and an autoencoder suffer much less",
            suffers and min(keeps["supervised"], keeps["autoencoder"]) > HALF,
            f"with {last} bits SimCLR keeps {percent(keeps['accuracy'])} of what it has above "
            f"chance without, labels {percent(keeps['supervised'])}, the autoencoder "
            f"{percent(keeps['autoencoder'])}, if its loss weighs a plane of bits a tenth as "
            "much as a channel of the image",
        ),
        beside=f"untrained encoders of these widths, with {some} bits "
        f"{told(varied('width_multiplier', some, 'untrained'))}",
    )
