"""Random bits as a rival."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ssl_keras.reproduce.verdicts.base import (
    AGREE,
    CHANCE,
    Rows,
    Verdict,
    arrow,
    every,
    exceeds,
    falls,
    judged,
    kept,
    margin,
    over,
    percent,
    points,
)

HALF = 0.5
SLIGHTLY = 0.1


def suppressed(curve: Sequence[float]) -> bool:
    """Whether at most half of what the class had above chance is left in the end."""
    return kept(curve[-1], curve[0], CHANCE) <= HALF


def trained_away(rows: Rows, column: str, untrained: str) -> bool:
    """Whether training has lowered an accuracy where there are most bits: bits in the input make
    the class hard to read without any training too."""
    most = max(row["num_bits"] for row in rows)
    return all(
        exceeds(row[untrained] - row[column], margin(row, column=column))
        for row in rows
        if row["num_bits"] == most
    )


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
    told = [
        abs(x)
        for x, row in zip(away, published, strict=True)
        if row["num_bits"] and row["online_published"] > CHANCE + AGREE
    ]
    middle = [b for b in bits if 0 < b < bits[-1]][:2]
    most = [row for row in rows if row["num_bits"] == bits[-1]]
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
            every(
                *(falls(curve, least) for curve in curves.values()),
                *(suppressed(curve) for curve in curves.values()),
                trained_away(rows, "linear", "untrained"),
            ),
            f"over {', '.join(map(str, bits))} bits, by temperature: "
            + "; ".join(f"{t:g}: {arrow(curve)}" for t, curve in curves.items())
            + f"; linear on the features with {bits[-1]} bits "
            + ", ".join(f"{row['linear']:.3f}" for row in most)
            + f", untrained {most[0]['untrained']:.3f}",
        ),
        (
            "a lower temperature helps",
            every(*(falls(of_bits[b], least) for b in middle)),
            f"at temperatures {shown}: "
            + "; ".join(f"{b} bits {arrow(of_bits[b])}" for b in middle),
        ),
        (
            "with bits, too, it is read as well as published",
            max(told) <= AGREE,
            f"where the published values are above chance, {points(float(np.mean(told)))} points "
            f"away on average; at most {points(float(np.max(np.abs(away))))}, at temperature "
            f"{farthest['temperature']:g} with {farthest['num_bits']} bits, "
            f"{farthest['online']:.3f} against {farthest['online_published']:.3f}",
        ),
    )


def randbit_fashion(rows: Rows) -> Verdict:
    """The decline on 60,000 images of something else than digits."""
    bits, values = over(rows, "num_bits", "online")
    return judged(
        (
            "bits suppress the class",
            every(
                falls(values, margin(*rows, column="online")),
                suppressed(values),
                trained_away(rows, "knn", "untrained_knn"),
            ),
            f"with {', '.join(map(str, bits))} bits the online probe reads {arrow(values)}; at "
            f"most half of what is above chance may be left, it is "
            f"{percent(kept(values[-1], values[0], CHANCE))}; nearest neighbours "
            f"{arrow(over(rows, 'num_bits', 'knn')[1])}, before training "
            f"{arrow(over(rows, 'num_bits', 'untrained_knn')[1])}",
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

    def middle_of(values: dict[object, float]) -> float:
        return values[base[0]["width_multiplier"]]

    least = margin(*(row for row in rows if row["num_bits"] == some))
    of_losses, of_batches, of_widths = map(varied, settings)
    others = {name: value for name, value in of_losses.items() if name != base[0]["loss"]}
    larger = list(of_batches.values())[-1] - next(iter(of_batches.values()))
    before = varied("width_multiplier", some, "untrained")
    wider = list(of_widths.values())[-1] - middle_of(of_widths)
    learnt = wider - (list(before.values())[-1] - middle_of(before))
    middle = of_losses[base[0]["loss"]]
    keeps = {}
    for column in ("accuracy", "supervised", "autoencoder"):
        _, curve = over(base, "num_bits", column)
        keeps[column] = kept(curve[-1], curve[0], CHANCE)
    suffers = keeps["accuracy"] <= HALF
    return judged(
        (
            f"{last} bits suppress the class under every loss, batch size and width",
            max(left) <= HALF and trained_away(rows, "accuracy", "untrained"),
            f"at most {percent(max(left))} of what is above chance is left; the best with {last} "
            f"bits is {max(row['accuracy'] for row in rows if row['num_bits'] == last):.3f}, "
            f"untrained {base[-1]['untrained']:.3f}",
        ),
        (
            "other losses do not help",
            not exceeds(max(others.values()) - middle, least) if suffers else None,
            f"with {some} bits {told(of_losses)}; differences count from {points(least)} points",
        ),
        (
            "larger batches help slightly",
            larger > 0 and larger < SLIGHTLY if exceeds(abs(larger), least) else None,
            f"with {some} bits {told(of_batches)}, with as many images in fewer steps",
        ),
        (
            "wider encoders do not help",
            (not exceeds(wider, least) or (False if exceeds(learnt, least) else None))
            if suffers
            else None,
            f"with {some} bits {told(of_widths)}; untrained encoders of these widths "
            f"{told(before)}",
        ),
        (
            "a supervised encoder and an autoencoder suffer much less",
            suffers and min(keeps["supervised"], keeps["autoencoder"]) > HALF,
            f"with {last} bits SimCLR keeps {percent(keeps['accuracy'])} of what it has above "
            f"chance without, labels {percent(keeps['supervised'])}, the autoencoder "
            f"{percent(keeps['autoencoder'])}, if its loss weighs a bit channel a tenth as "
            "much as a channel of the image",
        ),
    )
