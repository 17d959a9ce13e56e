"""Runs side by side: which settings differ, what they measured, how training went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from ssl_keras.cli.drawing import save
from ssl_keras.options import plain
from ssl_keras.plots import CHANCE, SERIES, describe
from ssl_keras.run.collection import FoundRun, differing, write_csv
from ssl_keras.run.tables import CONTROL, SHUFFLED, aligned, with_interval


def accuracy_keys(results: Sequence[Mapping[str, float]]) -> list[str]:
    """The keys of accuracies that any run has; untrained encoders come last."""
    keys = dict.fromkeys(
        key
        for values in results
        for key in values
        if key.rsplit("/", 1)[-1] in ("accuracy", "all_right")
    )
    return sorted(keys, key=lambda key: key.startswith((CONTROL, SHUFFLED)))


def draw(runs: Sequence[FoundRun], keys: Sequence[str], output: Path) -> None:
    """Write the picture: accuracies as bars, the online probes as curves, both with chance."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    height = max(3.4, 0.17 * len(keys) * len(runs) + 1.2)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, height), gridspec_kw={"width_ratios": (3, 2)}
    )
    places = np.arange(len(keys))
    size = 0.8 / len(runs)
    lines = ("-", "--", "-.", ":")
    probes = list(dict.fromkeys(key for run in runs for key in _probes(run)))
    for index, run in enumerate(runs):
        values = run.results
        accuracies = [values.get(key, np.nan) for key in keys]
        ends = [
            [
                abs(values.get(f"{key}_{end}", v) - v)
                for key, v in zip(keys, accuracies, strict=True)
            ]
            for end in ("low", "high")
        ]
        color = SERIES[index % len(SERIES)].color
        left.barh(
            places + (index - (len(runs) - 1) / 2) * size,
            accuracies,
            size,
            xerr=ends,
            color=color,
            edgecolor="white",
            linewidth=0.4,
            error_kw={"linewidth": 0.8},
            label=run.name,
        )
        for key in _probes(run):
            right.plot(
                [record["step"] for record in run.history],
                [record.get(key, np.nan) for record in run.history],
                color=color,
                linestyle=lines[probes.index(key) % len(lines)],
                linewidth=1.2,
            )
    for place, key in zip(places, keys, strict=True):
        left.vlines(_chance(runs, key), place - 0.45, place + 0.45, **CHANCE)
    for key in probes:
        right.plot([], [], color="0.2", linestyle=lines[probes.index(key) % len(lines)],
                   label=key.split("/")[1])  # fmt: skip
        for level in _chance(runs, key):
            right.axhline(level, **CHANCE)
    right.plot([], [], label="chance", **CHANCE)
    describe(left, "", "test accuracy (lines: 95% interval over test images)")
    describe(right, "", "step", "accuracy of the online probe, training views")
    left.set_yticks(places, keys, fontsize=7)
    left.invert_yaxis()
    left.set_xlim(0, 1.02)
    right.set_ylim(0, 1.02)
    above = {"loc": "lower left", "bbox_to_anchor": (0, 1), "frameon": False, "fontsize": 7}
    left.legend(ncols=3, **above)
    right.legend(ncols=4, **above)
    save(figure, output, dpi=120)


def _probes(run: FoundRun) -> list[str]:
    """The metrics of the online probes of a run."""
    return [key for key in run.record["training"] if key.startswith("linear_probe/")]


def _chance(runs: Sequence[FoundRun], key: str) -> list[float]:
    """The chance levels of a measure in the runs, each once."""
    measure = "/".join(key.split("/")[-2:])
    return sorted({run.chances[measure] for run in runs if measure in run.chances})


def compare(runs: Sequence[FoundRun], output: Path | None) -> None:
    """Print both tables; write the picture to `output`, if that is a path, and a CSV beside it."""
    names = [run.name for run in runs]
    settings = differing([run.settings for run in runs])
    print("Settings that differ" if settings else "All settings are the same.")
    if settings:
        rows = [
            [key, *("" if value is None else plain(value) for value in values)]
            for key, values in settings.items()
        ]
        print(aligned([["", *names], *rows], left=1) + "\n")
    keys = accuracy_keys([run.results for run in runs])
    if keys:
        print("Test accuracy, half the width of the 95% interval")
        rows = [[key, *(with_interval(run.results, key) for run in runs)] for key in keys]
        print(aligned([["", *names], *rows], left=1))
    if output is not None:
        trained = [key for key in keys if not key.startswith((CONTROL, SHUFFLED))]
        linear = [key for key in trained if key.startswith("linear/")]
        draw(runs, linear or trained, output)
        table = output.with_suffix(".csv")
        write_csv([run.row() for run in runs], table)
        print(f"Written: {table}")
