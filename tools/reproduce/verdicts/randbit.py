"""Random bits as a rival."""

from __future__ import annotations

import numpy as np

from tools.reproduce.verdicts.base import POINTS, Rows, Verdict, arrow, falls, margin, over


def randbit(rows: Rows) -> Verdict:
    """Claim (c) by the authors' protocol: level, decline with bits, order of temperatures."""
    temperatures = sorted({row["temperature"] for row in rows})
    curves = {
        t: over([row for row in rows if row["temperature"] == t], "num_bits", "online")[1]
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
    bits, values = over(rows, "num_bits", "online")
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
        numbers, values = over(own, "num_bits", column)
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
