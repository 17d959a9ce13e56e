"""What an experiment's numbers say about the claim behind it: rows of `Experiment.summary` ->
`Verdict`. The thresholds are ours; each reason tells the numbers that it rests on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tools.reproduce.pairs import digit_and_rival

Rows = Sequence[Any]

# Accuracies closer than the spread over seeds are called the same, or than a point if that is more;
# where the spread is not known, closer than three.
POINT, POINTS = 0.01, 0.03
# What a correlation must exceed.
CORRELATED = 0.8


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
    """What a difference must exceed: the largest spread over seeds and `POINT`, or `POINTS`."""
    known = [row[f"{column}_sd"] for row in rows if f"{column}_sd" in row]
    return max(POINT, *known) if known else POINTS


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
    """Claim (a): a deep head makes the losses agree, a shallow one does not. No head at all is told
    beside it."""
    depths = sorted({row["projection_layers"] for row in rows})
    shallow, deep = min(depth for depth in depths if depth), depths[-1]
    gaps = {}
    for depth in depths:
        of_depth = [row for row in rows if row["projection_layers"] == depth]
        gaps[depth] = max(
            np.ptp([row["accuracy"] for row in of_depth if row["batch_size"] == batch])
            for batch in {row["batch_size"] for row in of_depth}
        )
    means = [
        float(np.mean([row["accuracy"] for row in rows if row["projection_layers"] == depth]))
        for depth in depths
    ]
    worst = min(rows, key=lambda row: row["accuracy"])
    untrained = float(np.mean([row["untrained"] for row in rows]))
    return Verdict.of(
        (
            gaps[deep] <= margin(*rows),
            f"with a head of {deep} layers the losses lie within {100 * gaps[deep]:.1f} points of "
            "each other at the same batch size",
        ),
        (
            gaps[shallow] - gaps[deep] > margin(*rows),
            f"with a head of {shallow} layer{'s' * (shallow > 1)} they lie "
            f"{100 * gaps[shallow]:.1f} points apart",
        ),
        beside="points apart by number of layers "
        + ", ".join(f"{depth}: {100 * gap:.1f}" for depth, gap in gaps.items())
        + f"; mean accuracy {arrow(means)}, untrained {untrained:.3f}; the lowest of all is "
        f"{worst['loss']} with {worst['projection_layers']} layers and batches of "
        f"{worst['batch_size']}, {worst['accuracy']:.3f}",
    )


def lambda_temperature(rows: Rows) -> Verdict:
    """Claim (b), by both of its readings: a rise of the temperature acts as a fall of the weight,
    so that the best weight rises with it; or the best weight falls as the temperature rises."""
    best, equal = {}, {}
    for temperature in sorted({row["temperature"] for row in rows}):
        own = [row for row in rows if row["temperature"] == temperature]
        first = max(own, key=lambda row: row["accuracy"])
        best[temperature] = first["distribution_weight"]
        equal[temperature] = sorted(
            row["distribution_weight"]
            for row in own
            if first["accuracy"] - row["accuracy"] <= margin(*own)
        )
    logs = np.log([list(best), list(best.values())])
    flat = np.ptp(logs[1]) == 0
    correlation = 0.0 if flat else float(np.corrcoef(logs)[0, 1])
    pairs = ", ".join(f"{t:g}: {weight:g}" for t, weight in best.items())
    ranges = ", ".join(f"{t:g}: {w[0]:g} to {w[-1]:g}" for t, w in equal.items())
    weights = {row["distribution_weight"] for row in rows}
    edges = [f"{t:g}" for t, weight in best.items() if weight in (min(weights), max(weights))]
    edge = f"; at {', '.join(edges)} the best lies at the edge of what was tried" if edges else ""
    ratios = ", ".join(f"{weight / t:.2g}" for t, weight in best.items())
    return Verdict.of(
        (
            correlation >= CORRELATED,
            "in effect: the higher the temperature, the higher the best weight, "
            f"{pairs} (best weight / temperature {ratios}; correlation of the logarithms "
            f"{correlation:+.2f})",
        ),
        (
            correlation <= -CORRELATED,
            "in the best values: the higher the temperature, the lower the best weight",
        ),
        beside=f"weights as good as the best, by temperature {ranges}{edge}",
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
    """Claims (c) and (d): no loss, batch or width saves the digit; reconstruction does.

    An alternative prevents the suppression if it loses less than half of what the middle of the
    grid loses, at the number of bits before the last, where something is left to lose.
    """
    base = [row for row in rows if "supervised" in row]
    settings = ("loss", "batch_size", "width_multiplier")
    *_, some, last = sorted({row["num_bits"] for row in rows})

    def drop(own: Rows, bits: int, column: str = "accuracy") -> float:
        numbers, values = _over(own, "num_bits", column)
        return values[0] - values[numbers.index(bits)]

    whole = drop(base, some)

    def varied(setting: str) -> tuple[bool, str]:
        others = [name for name in settings if name != setting]
        own = [row for row in rows if all(row[name] == base[0][name] for name in others)]
        drops = {
            value: drop([row for row in own if row[setting] == value], some)
            for value in sorted({row[setting] for row in own})
        }
        told = ", ".join(f"{value} {100 * points:.1f}" for value, points in drops.items())
        return whole > margin(*base) and min(drops.values()) >= whole / 2, told

    (of_losses, loss_text), (of_batches, batches), (of_widths, widths) = map(varied, settings)
    simclr, supervised, autoencoder = (
        drop(base, last, column) for column in ("accuracy", "supervised", "autoencoder")
    )
    return Verdict.of(
        (of_losses, f"points of accuracy lost from 0 to {some} bits, by loss: {loss_text}"),
        (of_batches, f"by batch size: {batches}"),
        (of_widths, f"by width: {widths}"),
        (
            simclr > margin(*base) and max(supervised, autoencoder) < simclr / 2,
            f"from 0 to {last} bits SimCLR loses {100 * simclr:.1f} points, the supervised encoder "
            f"{100 * supervised:.1f}, the autoencoder {100 * autoencoder:.1f}",
        ),
    )


def overlay(rows: Rows) -> Verdict:
    """Claim (c) on images: more different digits, less of the object and more of the digit."""
    counts, photograph = _over(rows, "num_unique_digits", "simclr_class")
    _, digit = _over(rows, "num_unique_digits", "simclr_digit")
    _, untrained = _over(rows, "num_unique_digits", "untrained_digit")
    _, supervised = _over(rows, "num_unique_digits", "supervised_class")
    _, autoencoder = _over(rows, "num_unique_digits", "autoencoder_class")
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


def multi_digit(rows: Rows) -> Verdict:
    """Claim (e): the larger digit suppresses the smaller one; labels do not let it."""
    side, pairs = digit_and_rival(rows)
    sides, digit = _over(pairs, "rival", "simclr_digit")
    _, rival = _over(pairs, "rival", "simclr_rival")
    _, untrained = _over(pairs, "rival", "untrained_digit")
    _, supervised = _over(pairs, "rival", "supervised_digit")
    spread = margin(*pairs, column="simclr_digit")
    several = [row for row in rows if "num_digits" in row]
    numbers, presence = _over(several, "num_digits", "simclr_presence")
    _, told = _over(several, "num_digits", "supervised_presence")
    _, chance = _over(several, "num_digits", "chance_presence")
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
    known = [row["accuracy_sd"] for row in rows if "accuracy_sd" in row]
    return f"{max(known):.3f}" if known else "not known: one seed"


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
            f"{best['t']:g}; spread over seeds {_spread(*own)})",
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
