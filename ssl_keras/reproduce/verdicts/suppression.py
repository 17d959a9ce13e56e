"""Objects as rivals, local features, and views."""

from __future__ import annotations

from typing import Any

import numpy as np

from ssl_keras.reproduce.pairs import digit_and_rival, few_and_many
from ssl_keras.reproduce.verdicts.base import (
    AGREE,
    CHANCE,
    Rows,
    Verdict,
    arrow,
    curves,
    every,
    exceeds,
    falls,
    judged,
    margin,
    percent,
    points,
    rises,
)


def overlay(rows: Rows) -> Verdict:
    """Claim (c) on images: more different digits, less of the object and more of the digit."""
    counts, found = curves(
        rows,
        "num_unique_digits",
        "simclr_class",
        "simclr_digit",
        "supervised_class",
        "autoencoder_class",
        "untrained_digit",
    )
    numbers = ", ".join(map(str, counts))
    suffers = falls(found["simclr_class"], margin(*rows, column="simclr_class"))
    digit = found["simclr_digit"]
    unchanged = float(np.ptp(found["supervised_class"])) <= AGREE
    return judged(
        (
            "the more different digits, the less SimCLR learns of the photograph",
            suffers,
            f"{arrow(found['simclr_class'])} with {numbers} of them",
        ),
        (
            "and the more of the digit",
            every(
                rises(digit, margin(*rows, column="simclr_digit")),
                exceeds(digit[-1] - found["untrained_digit"][-1], 0),
            ),
            f"{arrow(digit)}, untrained {arrow(found['untrained_digit'])}",
        ),
        (
            "a supervised encoder's accuracy for the photograph does not change, as SimCLR's does",
            unchanged if suffers else None,
            f"{arrow(found['supervised_class'])}",
        ),
        beside=f"the autoencoder's for the photograph {arrow(found['autoencoder_class'])}",
    )


def overlay_causes(rows: Rows) -> Verdict:
    """What happens to the trade-off of `overlay` in other settings: told, not judged, since of
    many settings one shows anything by chance."""
    told = []
    for variant, few, many in few_and_many(rows):
        values = [arrow([few[column], many[column]]) for column in ("simclr_class", "simclr_digit")]
        told.append(f"{variant.replace('-', ' ')} {values[0]} and {values[1]}")
    counts = sorted({row["num_unique_digits"] for row in rows})
    return judged(
        beside=f"what is read of the background and of the digit, from {counts[0]} to "
        f"{counts[-1]} different digits: {'; '.join(told)}"
    )


def multi_digit(rows: Rows) -> Verdict:
    """Claim (e): the larger digit suppresses the smaller one, and is learnt well."""
    side, pairs = digit_and_rival(rows)
    sides, found = curves(
        pairs,
        "rival",
        "simclr_digit",
        "untrained_digit",
        "supervised_digit",
        "simclr_rival",
        "untrained_rival",
    )
    digit = found["simclr_digit"]
    gains = [x - y for x, y in zip(digit, found["untrained_digit"], strict=True)]
    # The task itself becomes harder: SimCLR's must fall faster than that of who has the labels.
    shares = [
        (x - CHANCE) / (y - CHANCE) for x, y in zip(digit, found["supervised_digit"], strict=True)
    ]
    larger = ["digit" if rival < side else "rival" for rival in sides]
    learnt, untrained = (
        [found[f"{subject}_{who}"][index] for index, who in enumerate(larger)]
        for subject in ("simclr", "untrained")
    )
    several = [row for row in rows if "num_digits" in row]
    numbers, presence = curves(
        several,
        "num_digits",
        "simclr_presence",
        "untrained_presence",
        "supervised_presence",
        "chance_presence",
    )
    least = margin(*pairs, column="simclr_digit")
    return judged(
        (
            f"the larger its rival, the less is learnt of a digit of {side} pixels",
            every(
                exceeds(gains[0], least),
                falls(gains, least),
                falls(digit, least),
                shares[-1] < shares[0] / 2,
            ),
            f"beside one of {', '.join(map(str, sides))} pixels {arrow(digit)}, untrained "
            f"{arrow(found['untrained_digit'])}; of what a supervised encoder reads above chance "
            f"({arrow(found['supervised_digit'])}) that is {' → '.join(map(percent, shares))}",
        ),
        (
            "the larger of the two is learnt",
            all(
                exceeds(x - y, margin(*pairs, column=f"simclr_{who}"))
                for x, y, who in zip(learnt, untrained, larger, strict=True)
            ),
            f"{arrow(learnt)}, untrained {arrow(untrained)}",
        ),
        beside=f"with {', '.join(map(str, numbers))} equal digits SimCLR's accuracy for which are "
        f"there is {arrow(presence['simclr_presence'])}, untrained "
        f"{arrow(presence['untrained_presence'])}, the supervised encoder's "
        f"{arrow(presence['supervised_presence'])}, chance {arrow(presence['chance_presence'])}",
    )


def local_features(rows: Rows) -> Verdict:
    """Claim (e): a loss on whole images gives features that tell what lies where."""
    return judged(*(_local(row) for row in rows))


def _local(row: Any) -> tuple[str, bool, str]:
    blocks = [block for block in (1, 2, 3) if f"trained_{block}" in row]
    trained = [row[f"trained_{block}"] for block in blocks]
    controls = [max(row[f"untrained_{block}"], row[f"pixels_{block}"]) for block in blocks]
    best = blocks[int(np.argmax(trained))]
    return (
        f"{row['cell'].replace('-', ' ')}: the best block of the trained encoder tells which digit "
        "lies at a location, better than any field of pixels and any block before training",
        exceeds(max(trained) - max(controls), margin(row, column=f"trained_{best}")),
        f"balanced accuracy by block {arrow(trained)}, the better of both controls "
        f"{arrow(controls)}, chance 1/11",
    )


def views(rows: Rows) -> Verdict:
    """Verma, Gao: views without knowledge of images. Whether they resist bits is told beside."""
    without, within = (
        {row["cell"].rsplit("-", 2)[0]: row for row in rows if (row["num_bits"] > 0) == bits}
        for bits in (False, True)
    )

    def learns(name: str) -> tuple[str, bool, str]:
        row = without[name]
        equal, least = without["equal"]["accuracy"], margin(row, without["equal"])
        return (
            f"{name} alone teaches something of the digit",
            exceeds(row["accuracy"] - max(equal, row["untrained"]), least),
            f"{row['accuracy']:.3f}, untrained {row['untrained']:.3f}, trained on equal views "
            f"{equal:.3f}; differences count from {points(least)} points",
        )

    left = ", ".join(
        f"{name} {row['accuracy']:.3f}"
        for name, row in sorted(within.items(), key=lambda pair: -pair[1]["accuracy"])
    )
    untrained = next(iter(within.values()))["untrained"]
    return judged(
        learns("mixup"),
        learns("dropout"),
        beside=f"with ten bits {left} (untrained {untrained:.3f})",
    )
