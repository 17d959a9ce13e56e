"""The generalized losses: do they agree, and what do temperature and weight do?"""

from __future__ import annotations

import numpy as np

from tools.reproduce.verdicts.base import CORRELATED, Rows, Verdict, arrow, margin


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
