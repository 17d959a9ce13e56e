"""The generalized losses: do they agree, and what do temperature and weight do?"""

from __future__ import annotations

import numpy as np

from ssl_keras.reproduce.verdicts.base import (
    AGREE,
    Rows,
    Verdict,
    exceeds,
    judged,
    margin,
    over,
    points,
    rises,
)


def losses(rows: Rows) -> Verdict:
    """Claim (a): a deep head makes the losses agree, a shallow one does not. No head at all is told
    beside it. Losses that all learn little agree without meaning it: what is gained bounds what
    counts as agreement."""
    depths = sorted({row["projection_layers"] for row in rows})
    batches = sorted({row["batch_size"] for row in rows})
    cells = {
        (d, b): [row for row in rows if (row["projection_layers"], row["batch_size"]) == (d, b)]
        for d in depths
        for b in batches
    }
    gaps = {key: float(np.ptp([row["accuracy"] for row in own])) for key, own in cells.items()}
    gains = {
        key: float(np.mean([row["accuracy"] - row["untrained"] for row in own]))
        for key, own in cells.items()
    }
    borders = {key: min(AGREE, max(gain, 0.0) / 2) for key, gain in gains.items()}
    shallow, deep = min(depth for depth in depths if depth), depths[-1]

    def agree(depth: int) -> bool | None:
        own = [row for row in rows if row["projection_layers"] == depth]
        if any(exceeds(gaps[depth, batch], AGREE) for batch in batches):
            return False
        if any(exceeds(gaps[depth, batch], borders[depth, batch]) for batch in batches):
            return None
        least = margin(*own)
        return all(exceeds(row["accuracy"] - row["untrained"], least) for row in own) or None

    def told(depth: int) -> str:
        return f"{depth} layer{'s' * (depth > 1)}: " + ", ".join(
            f"batches of {batch}: within {points(gaps[depth, batch])} points, "
            f"{points(gains[depth, batch])} above the untrained encoder"
            for batch in batches
        )

    worst = min(rows, key=lambda row: row["accuracy"])
    apart = {depth: max(gaps[depth, batch] for batch in batches) for depth in depths}
    agreed = agree(shallow)
    return judged(
        (
            "under a deep head the losses agree",
            agree(deep),
            f"{told(deep)}; they agree within {points(AGREE)} points and half of what is gained",
        ),
        (
            "under a shallow one they differ",
            None if agreed is None else not agreed,
            told(shallow),
        ),
        beside="points apart by number of layers "
        + ", ".join(f"{depth}: {points(gap)}" for depth, gap in apart.items())
        + f"; the lowest of all is {worst['loss']} with {worst['projection_layers']} layers and "
        f"batches of {worst['batch_size']}, {worst['accuracy']:.3f}",
    )


def lambda_temperature(rows: Rows) -> Verdict:
    """Claim (b), which can be read in two ways that exclude each other, so that it is reproduced in
    part at best. As one about effects: a rise of the temperature acts as a fall of the weight, so
    that a high weight is worth the more the higher the temperature. As one about the best values:
    the higher the one, the lower the other."""
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
    coldest, *_, hottest = equal.values()
    apart = hottest[-1] < coldest[0] or hottest[0] > coldest[-1]
    against = hottest[-1] < coldest[0] if apart else None
    ranges = "; ".join(
        f"{t:g}: {best[t]:g}, as good {w[0]:g} to {w[-1]:g}" for t, w in equal.items()
    )
    edges = [f"{t:g}" for t, weight in best.items() if weight in (weights[0], weights[-1])]
    edge = f"; at {', '.join(edges)} the best lies at the edge of what was tried" if edges else ""
    return judged(
        (
            "one reading: raising the temperature acts as lowering the weight",
            rises(worth, margin(*rows)),
            f"raising the weight from {weights[0]:g} to {weights[-1]:g} is worth "
            f"{' → '.join(map(points, worth))} points at temperatures "
            f"{', '.join(f'{t:g}' for t in best)}",
        ),
        (
            "the other reading: the higher the temperature, the lower the best weight",
            against,
            f"the best weights, by temperature {ranges}{edge}",
        ),
    )
