"""What an experiment's numbers say about the claim behind it: rows of `Experiment.summary` ->
`Verdict`. The thresholds are ours; each reason tells the numbers that it rests on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Rows = Sequence[Any]

# Accuracies closer than this are called the same, where the spread over seeds is not larger.
POINTS = 0.03


@dataclass(frozen=True)
class Verdict:
    """Attributes:
    word: "reproduced", "partly reproduced" or "not reproduced".
    reason: what has been measured about each part of the claim, and whether it holds.
    """

    word: str
    reason: str

    @classmethod
    def of(cls, *findings: tuple[bool, str], beside: str = "") -> Verdict:
        """From the parts of a claim: whether each holds, and what has been measured.

        Args:
            *findings: the texts tell what was measured, and nothing that depends on the outcome.
            beside: what was measured too, without being part of the claim.
        """
        holds = [bool(found) for found, _ in findings]
        word = "reproduced" if all(holds) else "partly reproduced" if any(holds) else ""
        told = [f"{'Yes' if found else 'No'}: {text}." for found, text in findings]
        told += [f"Beside it: {beside}."] if beside else []
        return cls(word or "not reproduced", " ".join(told))


Judge = Callable[[Rows], Verdict]


def margin(*rows: Any, column: str = "accuracy") -> float:
    """What a difference must exceed: the largest spread over seeds; `POINTS` if none is known."""
    known = [row[f"{column}_sd"] for row in rows if f"{column}_sd" in row]
    return max(known) if known else POINTS


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
    means = [
        float(np.mean([row["accuracy"] for row in rows if row["projection_layers"] == depth]))
        for depth in depths
    ]
    return Verdict.of(
        (
            deep <= POINTS,
            f"with a head of {depths[-1]} layers the losses lie within {100 * deep:.1f} points of "
            "each other at the same batch size",
        ),
        (
            shallow - deep > POINTS,
            f"with a head of {depths[0]} layers they lie {100 * shallow:.1f} points apart",
        ),
        beside=f"mean over losses and batches by depth {arrow(means)}",
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
            correlation <= -0.8,
            f"best weight by temperature {pairs}; correlation of their logarithms "
            f"{correlation:+.2f}",
        ),
        beside="best weight / temperature "
        + ", ".join(f"{weight / t:.2g}" for t, weight in best.items())
        + "; where that is constant, raising the temperature does what lowering the weight does",
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
            f"over {', '.join(map(str, bits))} bits, by temperature: "
            + "; ".join(f"{t:g}: {arrow(curve)}" for t, curve in curves.items()),
        ),
        (ordered, f"from the lowest to the highest temperature: {by_bits}"),
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

    def left(setting: str) -> tuple[bool, str]:
        """Whether nothing beats the untrained encoder of its own kind, with all bits."""
        own = {
            value: next(row for row in kept if row["num_bits"] == last)
            for value, kept in varied(setting).items()
        }
        told = ", ".join(
            f"{value:g}: {row['accuracy']:.3f} (untrained {row['untrained']:.3f})"
            for value, row in own.items()
        )
        return all(row["accuracy"] <= row["untrained"] for row in own.values()), told

    drops = {loss: drop(own) for loss, own in varied("loss").items()}
    simclr, supervised, autoencoder = (
        drop(base, column) for column in ("accuracy", "supervised", "autoencoder")
    )
    loss_text = ", ".join(f"{name} {100 * value:.0f}" for name, value in drops.items())
    of_batches, batches = left("batch_size")
    of_widths, widths = left("width_multiplier")
    return Verdict.of(
        (min(drops.values()) > POINTS, f"points lost from 0 to {last} bits, by loss: {loss_text}"),
        (of_batches, f"class with {last} bits, by batch size: {batches}"),
        (of_widths, f"by width: {widths}"),
        (
            simclr > POINTS and max(supervised, autoencoder) < simclr / 2,
            f"from 0 to {last} bits SimCLR loses {100 * simclr:.1f} points, the supervised encoder "
            f"{100 * supervised:.1f}, the autoencoder {100 * autoencoder:.1f}",
        ),
    )


def overlay(rows: Rows) -> Verdict:
    """Claim (c) on images: more different digits, less of the object and more of the digit."""
    counts, photograph = _over(rows, "num_unique_digits", "simclr_class")
    _, digit = _over(rows, "num_unique_digits", "simclr_digit")
    _, supervised = _over(rows, "num_unique_digits", "supervised_class")
    _, autoencoder = _over(rows, "num_unique_digits", "autoencoder_class")
    simclr_loss, labels_loss, autoencoder_loss = (
        values[0] - values[-1] for values in (photograph, supervised, autoencoder)
    )
    numbers = ", ".join(map(str, counts))
    return Verdict.of(
        (
            simclr_loss > POINTS,
            f"with {numbers} different digits SimCLR's accuracy for the photograph is "
            f"{arrow(photograph)}",
        ),
        (
            digit[-1] - digit[0] > POINTS,
            f"for the digit it is {arrow(digit)}",
        ),
        (
            simclr_loss > POINTS and labels_loss < simclr_loss / 2,
            f"the supervised encoder's for the photograph is {arrow(supervised)}",
        ),
        (
            simclr_loss > POINTS and autoencoder_loss < simclr_loss / 2,
            f"the autoencoder's {arrow(autoencoder)}",
        ),
    )


def multi_digit(rows: Rows) -> Verdict:
    """Claim (e): the larger digit suppresses the smaller one; labels do not let it."""
    pairs = [{**row, "size": int(row["digit_sizes"].split(",")[1])}
             for row in rows if "digit_sizes" in row]  # fmt: skip
    # Of two digits of one size nobody can tell which is "the small one".
    pairs = [row for row in pairs if row["size"] > min(other["size"] for other in pairs)]
    sizes, small = _over(pairs, "size", "simclr_small_digit")
    _, large = _over(pairs, "size", "simclr_large_digit")
    _, supervised = _over(pairs, "size", "supervised_small_digit")
    several = [row for row in rows if "num_digits" in row]
    numbers, presence = _over(several, "num_digits", "simclr_presence")
    _, told = _over(several, "num_digits", "supervised_presence")
    _, chance = _over(several, "num_digits", "chance_presence")
    fall = small[0] - small[-1]
    return Verdict.of(
        (
            fall > POINTS,
            f"beside a digit of {', '.join(map(str, sizes))} pixels SimCLR's accuracy for the one "
            f"of 20 is {arrow(small)}",
        ),
        (
            large[-1] - small[-1] > POINTS and large[-1] >= large[0] - POINTS,
            f"for the larger one it is {arrow(large)}",
        ),
        (
            fall > POINTS and supervised[0] - supervised[-1] < fall / 2,
            f"the supervised encoder's for the one of 20 is {arrow(supervised)}",
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


def temperature(rows: Rows) -> Verdict:
    """Wang and Liu: the dilemma of uniformity and tolerance, and the hard loss that avoids it."""
    plain = [row for row in rows if row["loss"] == "nt_xent"]
    hard = [row for row in rows if row["loss"] == "hard_contrastive"]
    simple = next(row for row in rows if row["loss"] == "simple")
    temperatures, uniformity = _over(plain, "temperature", "uniformity")
    _, tolerance = _over(plain, "temperature", "tolerance")
    _, accuracy = _over(plain, "temperature", "accuracy")
    _, hard_uniformity = _over(hard, "temperature", "uniformity")
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
            f"accuracy is {arrow(accuracy)} (spread over seeds {_spread(*plain)})",
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


def _spread(*rows: Any) -> str:
    """The spread over seeds, for people."""
    known = any("accuracy_sd" in row for row in rows)
    return f"{margin(*rows):.3f}" if known else "not known: one seed"


def grids(rows: Rows) -> Verdict:
    """Chuang, Robinson, Wang and Isola: each correction is worth something."""

    def gain(loss: str, setting: str) -> tuple[bool, str]:
        own = [row for row in rows if row["loss"] == loss]
        values, accuracy = _over(own, setting, "accuracy")
        shown = ", ".join(f"{value:g}" for value in values)
        return (
            max(accuracy[1:]) - accuracy[0] > margin(*own),
            f"{loss} over {setting} {shown}: {arrow(accuracy)} (spread over seeds {_spread(*own)})",
        )

    own = [row for row in rows if row["loss"] == "align_uniform"]
    more, others = (
        max((row for row in own if (row["alignment_weight"] > 1) == above),
            key=lambda row: row["accuracy"])
        for above in (True, False)
    )  # fmt: skip
    return Verdict.of(
        gain("debiased", "tau_plus"),
        gain("hard_negative", "beta"),
        (
            more["accuracy"] - others["accuracy"] > margin(*own),
            f"align_uniform comes to {more['accuracy']:.3f} with an alignment weight above 1 "
            f"({more['alignment_weight']:g}, t {more['t']:g}), and to {others['accuracy']:.3f} "
            f"without (spread over seeds {_spread(*own)})",
        ),
    )


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
