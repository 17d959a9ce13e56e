"""The generalized losses: do they agree, and what do temperature and weight do?"""

from __future__ import annotations

import numpy as np

from tools.reproduce.verdicts.base import (
    AGREE,
    Rows,
    Verdict,
    arrow,
    exceeds,
    judged,
    margin,
    over,
    points,
    rises,
)


def losses(rows: Rows) -> Verdict:
    """Claim (a): a deep head makes the losses agree, a shallow one does not. No head at all is told
    beside it."""
    depths = sorted({row["projection_layers"] for row in rows})
    of_depth = {d: [row for row in rows if row["projection_layers"] == d] for d in depths}
    shallow, deep = min(depth for depth in depths if depth), depths[-1]
    gaps = {
        depth: max(
            float(np.ptp([row["accuracy"] for row in own if row["batch_size"] == batch]))
            for batch in {row["batch_size"] for row in own}
        )
        for depth, own in of_depth.items()
    }
    means = [float(np.mean([row["accuracy"] for row in own])) for own in of_depth.values()]
    untrained = float(np.mean([row["untrained"] for row in rows]))
    gain = means[-1] - untrained
    learnt = exceeds(gain, margin(*of_depth[deep]))
    worst = min(rows, key=lambda row: row["accuracy"])
    asked = f"{points(AGREE)} is the border"
    return judged(
        (
            "under a deep head the losses agree",
            gaps[deep] <= AGREE if learnt else None,
            f"{deep} layers: within {points(gaps[deep])} points at the same batch size, {asked}; "
            f"{points(gain)} above the untrained encoder",
        ),
        (
            "under a shallow one they differ",
            exceeds(gaps[shallow], AGREE) if learnt else None,
            f"{shallow} layer{'s' * (shallow > 1)}: {points(gaps[shallow])} points apart, {asked}",
        ),
        beside="points apart by number of layers "
        + ", ".join(f"{depth}: {points(gap)}" for depth, gap in gaps.items())
        + f"; mean accuracy {arrow(means)}, untrained {untrained:.3f}; the lowest of all is "
        f"{worst['loss']} with {worst['projection_layers']} layers and batches of "
        f"{worst['batch_size']}, {worst['accuracy']:.3f}",
    )


def lambda_temperature(rows: Rows) -> Verdict:
    """Claim (b): a rise of the temperature acts as a fall of the weight, so that a high weight is
    worth the more the higher the temperature. That the best values move against each other, the
    other reading, is told beside it."""
    best, equal, worth = {}, {}, []
    for temperature in sorted({row["temperature"] for row in rows}):
        own = [row for row in rows if row["temperature"] == temperature]
        first = max(own, key=lambda row: row["accuracy"])
        best[temperature] = first["distribution_weight"]
        equal[temperature] = sorted(
            row["distribution_weight"]
            for row in own
            if not exceeds(first["accuracy"] - row["accuracy"], margin(*own))
        )
        weights, accuracy = over(own, "distribution_weight", "accuracy")
        worth.append(accuracy[-1] - accuracy[0])
    logs = np.log([list(best), list(best.values())])
    correlation = 0.0 if np.ptp(logs[1]) == 0 else float(np.corrcoef(logs)[0, 1])
    ranges = "; ".join(
        f"{t:g}: {best[t]:g}, as good {w[0]:g} to {w[-1]:g}" for t, w in equal.items()
    )
    edges = [f"{t:g}" for t, weight in best.items() if weight in (weights[0], weights[-1])]
    edge = f"; at {', '.join(edges)} the best lies at the edge of what was tried" if edges else ""
    return judged(
        (
            "raising the temperature acts as lowering the weight",
            rises(worth, margin(*rows)),
            f"raising the weight from {weights[0]:g} to {weights[-1]:g} is worth "
            f"{' → '.join(map(points, worth))} points at temperatures "
            f"{', '.join(f'{t:g}' for t in best)}",
        ),
        beside=f"the best weights, by temperature {ranges}{edge}; the logarithms of temperature "
        f"and best weight correlate by {correlation:+.2f}, where best values that move against "
        "each other, the other reading of the claim, would give -1",
    )
