"""What an experiment's numbers say about the claim behind it: rows of `Experiment.summary` ->
`Verdict`. The thresholds are ours; each reason tells the numbers that it rests on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Rows = Sequence[Any]

# Accuracies closer than this are called the same, and changes smaller than this no change.
POINTS = 0.03


@dataclass(frozen=True)
class Verdict:
    """Attributes:
    word: "reproduced", "partly reproduced" or "not reproduced".
    reason: a sentence for each part of the claim, with the numbers.
    """

    word: str
    reason: str

    @classmethod
    def of(cls, *findings: tuple[bool, str]) -> Verdict:
        """From the parts of a claim: whether each holds, and what has been measured."""
        holds = [bool(found) for found, _ in findings]
        word = "reproduced" if all(holds) else "partly reproduced" if any(holds) else ""
        told = [f"{'Yes' if found else 'No'}: {text}." for found, text in findings]
        return cls(word or "not reproduced", " ".join(told))


Judge = Callable[[Rows], Verdict]


def falls(values: Sequence[float], tolerance: float = POINTS) -> bool:
    """Whether values never rise by more than the tolerance, and end lower than they begin by
    more than that."""
    steps = np.diff(values)
    return bool((steps <= tolerance).all() and values[0] - values[-1] > tolerance)


def arrow(values: Sequence[float], digits: int = 3) -> str:
    """Values in their order, as a text."""
    return " → ".join(f"{value:.{digits}f}" for value in values)


def _over(rows: Rows, setting: str, column: str) -> tuple[list[Any], list[float]]:
    """A setting's values in order, and the column over them."""
    own = sorted((row for row in rows if column in row), key=lambda row: row[setting])
    return [row[setting] for row in own], [row[column] for row in own]


def losses(rows: Rows) -> Verdict:
    """Claim (a): a deep head makes the losses agree, a shallow one does not."""
    depths = sorted({row["projection_layers"] for row in rows})
    gaps = {}
    for depth in depths:
        of_depth = [row for row in rows if row["projection_layers"] == depth]
        gaps[depth] = max(
            np.ptp([row["accuracy"] for row in of_depth if row["batch_size"] == batch])
            for batch in {row["batch_size"] for row in of_depth}
        )
    deep, shallow = gaps[depths[-1]], gaps[depths[0]]
    best = {
        depth: np.mean([row["accuracy"] for row in rows if row["projection_layers"] == depth])
        for depth in depths
    }
    return Verdict.of(
        (
            deep <= POINTS,
            f"under {depths[-1]} layers the losses lie within {100 * deep:.1f} points of each "
            "other at the same batch size",
        ),
        (
            shallow >= 2 * deep,
            f"under {depths[0]} layers the gap is {100 * shallow:.1f} points",
        ),
        (
            best[depths[-1]] - best[depths[0]] > 0,
            "the mean over losses by depth is " + arrow(list(best.values())),
        ),
    )


def lambda_temperature(rows: Rows) -> Verdict:
    """Claim (b): the best weight of the distribution term falls as the temperature rises."""
    best = {}
    for temperature in sorted({row["temperature"] for row in rows}):
        own = [row for row in rows if row["temperature"] == temperature]
        best[temperature] = max(own, key=lambda row: row["accuracy"])["distribution_weight"]
    logs = np.log([list(best), list(best.values())])
    flat = np.ptp(logs[1]) == 0
    correlation = 0.0 if flat else float(np.corrcoef(logs)[0, 1])
    pairs = ", ".join(f"{t:g}: {weight:g}" for t, weight in best.items())
    return Verdict.of(
        (
            correlation < -0.5,
            f"best weight by temperature {pairs}; correlation of their logarithms "
            f"{correlation:+.2f}",
        )
    )


def randbit(rows: Rows) -> Verdict:
    """Claim (c) by the authors' protocol: level, decline with bits, order of temperatures."""
    temperatures = sorted({row["temperature"] for row in rows})
    curves = {
        t: _over([row for row in rows if row["temperature"] == t], "num_bits", "online")[1]
        for t in temperatures
    }
    untouched = [row for row in rows if row["num_bits"] == 0]
    distances = [abs(row["online"] - row["online_published"]) for row in untouched]
    bits = sorted({row["num_bits"] for row in rows})
    middle = [index for index, count in enumerate(bits) if 0 < count < bits[-1]][:2]
    ordered = all(
        falls([curves[t][index] for t in temperatures], tolerance=0.02) for index in middle
    )
    all_distances = [
        abs(row["online"] - row["online_published"]) for row in rows if "online_published" in row
    ]
    by_bits = "; ".join(
        f"{bits[index]} bits {arrow([curves[t][index] for t in temperatures])}" for index in middle
    )
    return Verdict.of(
        (
            max(distances) <= POINTS,
            f"without bits the accuracy is {arrow([row['online'] for row in untouched])} at "
            f"temperatures {', '.join(f'{t:g}' for t in temperatures)}, at most "
            f"{100 * max(distances):.1f} points from the published (all cells: at most "
            f"{100 * max(all_distances):.1f}, {100 * np.mean(all_distances):.1f} on average)",
        ),
        (
            all(falls(curve) for curve in curves.values()),
            f"it declines with {', '.join(map(str, bits))} bits at every temperature: "
            + "; ".join(f"{t:g}: {arrow(curve)}" for t, curve in curves.items()),
        ),
        (ordered, f"the lower the temperature, the more is left: {by_bits}"),
    )


def randbit_fashion(rows: Rows) -> Verdict:
    """The decline on 60,000 images of something else than digits."""
    bits, values = _over(rows, "num_bits", "online")
    return Verdict.of(
        (
            falls(values),
            f"with {', '.join(map(str, bits))} bits the accuracy of the online probe is "
            f"{arrow(values)}",
        )
    )


def randbit_factors(rows: Rows) -> Verdict:
    """Claims (c) and (d): no loss, batch or width saves the digit; reconstruction does."""
    base = [row for row in rows if "supervised" in row]
    settings = ("loss", "batch_size", "width_multiplier")
    last = max(row["num_bits"] for row in rows)

    def drop(own: Rows, column: str = "accuracy") -> float:
        _, values = _over(own, "num_bits", column)
        return values[0] - values[-1]

    def varied(setting: str) -> dict[Any, Rows]:
        others = [name for name in settings if name != setting]
        own = [row for row in rows if all(row[name] == base[0][name] for name in others)]
        return {
            value: [row for row in own if row[setting] == value]
            for value in sorted({row[setting] for row in own})
        }

    def at_last(own: Rows) -> float:
        return float(next(row["accuracy"] for row in own if row["num_bits"] == last))

    drops = {loss: drop(own) for loss, own in varied("loss").items()}
    sizes = {
        setting: {value: at_last(own) for value, own in varied(setting).items()}
        for setting in settings[1:]
    }
    simclr, supervised, autoencoder = (
        drop(base, column) for column in ("accuracy", "supervised", "autoencoder")
    )
    untrained = next(row["untrained"] for row in base if row["num_bits"] == last)
    loss_text = ", ".join(f"{name} {100 * value:.0f}" for name, value in drops.items())
    batch, width = sizes["batch_size"], sizes["width_multiplier"]
    return Verdict.of(
        (
            min(drops.values()) > POINTS,
            f"every generalized loss loses points from 0 to {last} bits: {loss_text}",
        ),
        (
            max(batch.values()) <= untrained,
            f"with {last} bits no batch size ({', '.join(map(str, batch))}: "
            f"{arrow(list(batch.values()))}) gets above the untrained encoder's {untrained:.3f}",
        ),
        (
            max(width.values()) <= untrained,
            f"nor does a width ({', '.join(f'{w:g}' for w in width)}: "
            f"{arrow(list(width.values()))})",
        ),
        (
            max(supervised, autoencoder) < simclr / 2,
            f"labels lose {100 * supervised:.1f} points and the autoencoder "
            f"{100 * autoencoder:.1f} where SimCLR loses {100 * simclr:.1f}",
        ),
    )


def overlay(rows: Rows) -> Verdict:
    """Claim (c) on images: more different digits, less of the object and more of the digit."""
    counts, clothes = _over(rows, "num_unique_digits", "simclr_class")
    _, digit = _over(rows, "num_unique_digits", "simclr_digit")
    _, supervised = _over(rows, "num_unique_digits", "supervised_class")
    _, autoencoder = _over(rows, "num_unique_digits", "autoencoder_class")
    numbers = ", ".join(map(str, counts))
    return Verdict.of(
        (
            clothes[0] - clothes[-1] > POINTS,
            f"with {numbers} different digits SimCLR's accuracy for the photograph is "
            f"{arrow(clothes)}",
        ),
        (
            digit[-1] - digit[0] > POINTS,
            f"and for the digit {arrow(digit)}",
        ),
        (
            abs(supervised[0] - supervised[-1]) <= POINTS,
            f"the supervised encoder keeps it: {arrow(supervised)}",
        ),
        (
            autoencoder[0] - autoencoder[-1] < max((clothes[0] - clothes[-1]) / 2, POINTS),
            f"the autoencoder suffers less: {arrow(autoencoder)}",
        ),
    )


def multi_digit(rows: Rows) -> Verdict:
    """Claim (e): the larger digit suppresses the smaller one; labels do not let it."""
    pairs = [{**row, "size": int(row["digit_sizes"].split(",")[1])}
             for row in rows if "digit_sizes" in row]  # fmt: skip
    sizes, small = _over(pairs, "size", "simclr_small_digit")
    _, large = _over(pairs, "size", "simclr_large_digit")
    _, supervised = _over(pairs, "size", "supervised_small_digit")
    several = [row for row in rows if "num_digits" in row]
    numbers, presence = _over(several, "num_digits", "simclr_presence")
    _, told = _over(several, "num_digits", "supervised_presence")
    told_drop = supervised[0] - supervised[-1]
    return Verdict.of(
        (
            small[0] - small[-1] > POINTS,
            f"beside a digit of {', '.join(map(str, sizes))} pixels SimCLR's accuracy for the one "
            f"of 20 is {arrow(small)}",
        ),
        (
            large[-1] >= large[0] - POINTS,
            f"the larger one's is {arrow(large)}",
        ),
        (
            told_drop < (small[0] - small[-1]) / 2,
            f"trained by labels the small one keeps {arrow(supervised)}",
        ),
        (
            presence[-1] < told[-1],
            f"with {', '.join(map(str, numbers))} equal digits SimCLR's accuracy for which are "
            f"there is {arrow(presence)}, the supervised encoder's {arrow(told)}",
        ),
    )


def local_features(rows: Rows) -> Verdict:
    """Claim (e): a loss on whole images gives features that tell what lies where."""
    findings = []
    for row in rows:
        blocks = [block for block in (1, 2, 3) if f"trained_{block}" in row]
        trained = {block: row[f"trained_{block}"] for block in blocks}
        best = max(blocks, key=lambda block: trained[block])
        untrained = max(row[f"untrained_{block}"] for block in blocks)
        pixels = max(row[f"pixels_{block}"] for block in blocks if f"pixels_{block}" in row)
        findings.append(
            (
                trained[best] - max(untrained, pixels) > POINTS,
                f"{row['cell']}: the digit at a location is read from block {best} with balanced "
                f"accuracy {trained[best]:.3f} (blocks: {arrow(list(trained.values()))}); "
                f"untrained at best {untrained:.3f}, pixels {pixels:.3f}, chance 0.091",
            )
        )
    return Verdict.of(*findings)


def temperature(rows: Rows) -> Verdict:
    """Wang and Liu: the dilemma of uniformity and tolerance, and the hard loss that avoids it."""
    plain = [row for row in rows if row["loss"] == "nt_xent"]
    hard = [row for row in rows if row["loss"] == "hard_contrastive"]
    simple = next(row for row in rows if row["loss"] == "simple")
    temperatures, uniformity = _over(plain, "temperature", "uniformity")
    _, tolerance = _over(plain, "temperature", "tolerance")
    _, accuracy = _over(plain, "temperature", "accuracy")
    _, hard_uniformity = _over(hard, "temperature", "uniformity")
    best = int(np.argmax(accuracy))
    shown = ", ".join(f"{t:g}" for t in temperatures)
    return Verdict.of(
        (
            bool((np.diff(uniformity) > 0).all() and (np.diff(tolerance) > 0).all()),
            f"over the temperatures {shown} NT-Xent's features become less uniform "
            f"({arrow(uniformity, 2)}; -4 would be perfect) and more tolerant "
            f"({arrow(tolerance, 2)})",
        ),
        (
            0 < best < len(accuracy) - 1,
            f"accuracy is best in between, at {temperatures[best]:g}: {arrow(accuracy)}",
        ),
        (
            np.ptp(hard_uniformity) < np.ptp(uniformity) * 2 / 3,
            "the hard loss stays uniform whatever the temperature: " + arrow(hard_uniformity, 2),
        ),
        (
            simple["uniformity"] > max(uniformity) and simple["accuracy"] < min(accuracy),
            f"the simple loss is least uniform ({simple['uniformity']:.2f}) and worst "
            f"({simple['accuracy']:.3f})",
        ),
    )


def grids(rows: Rows) -> Verdict:
    """Chuang, Robinson, Wang and Isola: each correction is worth something."""

    def gain(loss: str, setting: str) -> tuple[bool, str]:
        own = [row for row in rows if row["loss"] == loss]
        values, accuracy = _over(own, setting, "accuracy")
        others = max(accuracy[1:])
        spread = max(row.get("accuracy_sd", 0.0) for row in own)
        shown = ", ".join(f"{value:g}" for value in values)
        return (
            others - accuracy[0] > spread,
            f"{loss} over {setting} {shown}: {arrow(accuracy)} (spread over seeds {spread:.3f})",
        )

    own = [row for row in rows if row["loss"] == "align_uniform"]
    best = max(own, key=lambda row: row["accuracy"])
    worst = min(own, key=lambda row: row["accuracy"])
    return Verdict.of(
        gain("debiased", "tau_plus"),
        gain("hard_negative", "beta"),
        (
            best["alignment_weight"] > 1,
            f"align_uniform is best with more weight on alignment: {best['accuracy']:.3f} at "
            f"weight {best['alignment_weight']:g}, t {best['t']:g}, and worst with "
            f"{worst['accuracy']:.3f} at weight {worst['alignment_weight']:g}, t {worst['t']:g}",
        ),
    )


def views(rows: Rows) -> Verdict:
    """Our question: do views that need no knowledge of images resist easy bits?"""
    without = {row["cell"].rsplit("-", 2)[0]: row for row in rows if row["num_bits"] == 0}
    beside = {row["cell"].rsplit("-", 2)[0]: row for row in rows if row["num_bits"] > 0}
    learnt = [
        f"{name} {row['accuracy']:.3f}"
        for name, row in without.items()
        if row["accuracy"] - row["untrained"] > row.get("accuracy_sd", 0.0)
    ]
    left = max(beside, key=lambda name: beside[name]["accuracy"])
    survivor = beside[left]
    return Verdict.of(
        (
            bool(learnt),
            "without bits "
            + (", ".join(learnt) if learnt else "no views")
            + f" get above the untrained encoder ({next(iter(without.values()))['untrained']:.3f})",
        ),
        (
            survivor["accuracy"] > survivor["untrained"],
            f"beside ten bits most is left with {left}: {survivor['accuracy']:.3f} (untrained "
            f"{survivor['untrained']:.3f})",
        ),
    )
