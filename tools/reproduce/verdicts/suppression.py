"""Objects as rivals, local features, and views."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tools.reproduce.pairs import digit_and_rival, few_and_many
from tools.reproduce.verdicts.base import POINTS, Rows, Verdict, arrow, falls, margin, over


def overlay(rows: Rows) -> Verdict:
    """Claim (c) on images: more different digits, less of the object and more of the digit."""
    counts, photograph = over(rows, "num_unique_digits", "simclr_class")
    _, digit = over(rows, "num_unique_digits", "simclr_digit")
    _, untrained = over(rows, "num_unique_digits", "untrained_digit")
    _, supervised = over(rows, "num_unique_digits", "supervised_class")
    _, autoencoder = over(rows, "num_unique_digits", "autoencoder_class")
    numbers = ", ".join(map(str, counts))
    of_labels = margin(*rows, column="supervised_class")
    return Verdict.of(
        (
            falls(photograph, margin(*rows, column="simclr_class")),
            f"with {numbers} different digits SimCLR's accuracy for the photograph is "
            f"{arrow(photograph)}",
        ),
        (
            falls([-value for value in digit], margin(*rows, column="simclr_digit")),
            f"for the digit it is {arrow(digit)}",
        ),
        (
            falls(photograph, margin(*rows, column="simclr_class"))
            and float(np.ptp(supervised)) <= of_labels,
            f"the supervised encoder's for the photograph is {arrow(supervised)}",
        ),
        beside=f"the autoencoder's for the photograph {arrow(autoencoder)}, the untrained "
        f"encoder's for the digit {arrow(untrained)}",
    )


def overlay_causes(rows: Rows) -> Verdict:
    """Where the trade-off of `overlay` appears when one thing is changed."""
    fallen, risen, numbers = [], [], []
    for cell, few, many in few_and_many(rows):
        variant = cell.replace("-", " ")
        photograph, digit = (
            ([few[column], many[column]], margin(few, many, column=column))
            for column in ("simclr_class", "simclr_digit")
        )
        if falls(*photograph):
            fallen.append(variant)
        if falls([-value for value in digit[0]], digit[1]):
            risen.append(variant)
        numbers.append(f"{variant} {arrow(photograph[0])}, {arrow(digit[0])}")
    both = [variant for variant in fallen if variant in risen]
    counts = sorted({row["num_unique_digits"] for row in rows})
    told = f"from {counts[0]} to {counts[-1]} different digits"
    return Verdict.of(
        (bool(fallen), f"{told} the photograph falls with: {listed(fallen)}"),
        (bool(risen), f"the digit rises with: {listed(risen)}"),
        (bool(both), f"both happen with: {listed(both)}"),
        beside="photograph, digit: " + "; ".join(numbers),
    )


def listed(names: Sequence[str]) -> str:
    """Names as a text."""
    return ", ".join(names) or "none of the variants"


def multi_digit(rows: Rows) -> Verdict:
    """Claim (e): the larger digit suppresses the smaller one; labels do not let it."""
    side, pairs = digit_and_rival(rows)
    sides, digit = over(pairs, "rival", "simclr_digit")
    _, rival = over(pairs, "rival", "simclr_rival")
    _, untrained = over(pairs, "rival", "untrained_digit")
    _, supervised = over(pairs, "rival", "supervised_digit")
    spread = margin(*pairs, column="simclr_digit")
    several = [row for row in rows if "num_digits" in row]
    numbers, presence = over(several, "num_digits", "simclr_presence")
    _, told = over(several, "num_digits", "supervised_presence")
    _, chance = over(several, "num_digits", "chance_presence")
    learnt = digit[0] - untrained[0] > spread
    return Verdict.of(
        (
            learnt and falls(digit, spread),
            f"beside a digit of {', '.join(map(str, sides))} pixels SimCLR's "
            f"accuracy for the one of {side} is {arrow(digit)} (untrained {arrow(untrained)})",
        ),
        (
            falls([-value for value in rival], margin(*pairs, column="simclr_rival")),
            f"for that other digit it is {arrow(rival)}",
        ),
        (
            learnt and supervised[0] - supervised[-1] < (digit[0] - digit[-1]) / 2,
            f"the supervised encoder's for the one of {side} is {arrow(supervised)}",
        ),
        beside=f"with {', '.join(map(str, numbers))} equal digits SimCLR's accuracy for which are "
        f"there is {arrow(presence)}, the supervised encoder's {arrow(told)}, chance "
        f"{arrow(chance)}",
    )


def local_features(rows: Rows) -> Verdict:
    """Claim (e): a loss on whole images gives features that tell what lies where."""
    findings = []
    for row in rows:
        blocks = [block for block in (1, 2, 3) if f"trained_{block}" in row]
        trained = {block: row[f"trained_{block}"] for block in blocks}
        best = max(blocks, key=lambda block: trained[block])
        controls = [row[key] for key in row if key in _LOCAL_CONTROLS]
        findings.append(
            (
                trained[best] - max(controls) > POINTS,
                f"{row['cell'].replace('-', ' ')}: balanced accuracy of the digit at a location, "
                f"by block {arrow(list(trained.values()))}; best control, untrained or pixels, "
                f"{max(controls):.3f}; chance 0.091",
            )
        )
    return Verdict.of(*findings)


_LOCAL_CONTROLS = [f"{kind}_{block}" for kind in ("untrained", "pixels") for block in (1, 2, 3)]


def views(rows: Rows) -> Verdict:
    """Verma, Gao: views without knowledge of images. Whether they resist bits is told beside."""
    without, within = (
        {row["cell"].rsplit("-", 2)[0]: row for row in rows if (row["num_bits"] > 0) == bits}
        for bits in (False, True)
    )

    def learns(name: str) -> tuple[bool, str]:
        row = without[name]
        return (
            row["accuracy"] - row["untrained"] > margin(row),
            f"without bits {name} comes to {row['accuracy']:.3f} (untrained "
            f"{row['untrained']:.3f})",
        )

    kept = ", ".join(
        f"{name} {row['accuracy']:.3f}"
        for name, row in sorted(within.items(), key=lambda pair: -pair[1]["accuracy"])
    )
    untrained = next(iter(within.values()))["untrained"]
    return Verdict.of(
        learns("mixup"),
        learns("dropout"),
        beside=f"with ten bits {kept} (untrained {untrained:.3f})",
    )
