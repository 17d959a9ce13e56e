"""Runs side by side: which settings differ, what they measured, how training went.

    python -m ssl_keras.compare runs/a runs/b runs/c --output=compare.png

Prints the settings that differ and a table of accuracies with 95% intervals; the picture shows
those of linear evaluation as bars, and the online probes over the training.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_keras.cli import startup
from ssl_keras.cli.drawing import build_parser, png_path, save
from ssl_keras.errors import UserError
from ssl_keras.options import plain
from ssl_keras.run import run_directory
from ssl_keras.run.tables import CONTROL, SHUFFLED, aligned, with_interval


def short_names(paths: Sequence[Path]) -> list[str]:
    """A short name for each run: the last parts of its path that tell it from the others.

    Raises:
        UserError: a run is listed twice.
    """
    resolved = [path.resolve() for path in paths]
    if len(set(resolved)) < len(resolved):
        raise UserError("The same run is listed twice: name each run once.")
    length = 1
    while len({path.parts[-length:] for path in resolved}) < len(resolved):
        length += 1
    return ["/".join(path.parts[-length:]) for path in resolved]


def differing(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Setting -> its value in each run, for settings that differ; None: the run lacks it."""
    keys = dict.fromkeys(key for config in configs for key in config)
    rows = {key: [config.get(key) for config in configs] for key in keys}
    return {key: values for key, values in rows.items() if len({repr(v) for v in values}) > 1}


def accuracy_keys(results: Sequence[Mapping[str, float]]) -> list[str]:
    """The keys of accuracies that any run has; untrained encoders come last."""
    keys = dict.fromkeys(
        key
        for values in results
        for key in values
        if key.rsplit("/", 1)[-1] in ("accuracy", "all_right")
    )
    return sorted(keys, key=lambda key: key.startswith((CONTROL, SHUFFLED)))


def draw(
    names: Sequence[str], results: Sequence[Mapping[str, Any]], keys: Sequence[str], output: Path
) -> None:
    """Write the picture."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    height = max(3.2, 0.17 * len(keys) * len(names) + 0.9)
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(11, height), gridspec_kw={"width_ratios": (3, 2)}
    )
    places = np.arange(len(keys))
    size = 0.8 / len(names)
    colors = plt.get_cmap("tab10").colors  # type: ignore[attr-defined]
    for index, (name, result) in enumerate(zip(names, results, strict=True)):
        values = result["results"]
        accuracies = [values.get(key, np.nan) for key in keys]
        ends = [
            [
                abs(values.get(f"{key}_{end}", v) - v)
                for key, v in zip(keys, accuracies, strict=True)
            ]
            for end in ("low", "high")
        ]
        color = colors[index % len(colors)]
        left.barh(
            places + (index - (len(names) - 1) / 2) * size,
            accuracies,
            size,
            xerr=ends,
            color=color,
            error_kw={"linewidth": 0.8},
            label=name,
        )
        styles = iter(("-", "--", ":", "-."))
        for key in result["training"]:
            if key.startswith("linear_probe/"):
                right.plot(
                    [record["step"] for record in result["history"]],
                    [record[key] for record in result["history"]],
                    color=color,
                    linestyle=next(styles, "-"),
                    linewidth=1,
                    label=f"{name}: {key.split('/')[1]}",
                )
    left.set_yticks(places, keys, fontsize=7)
    left.invert_yaxis()
    left.set_xlim(0, 1.02)
    left.set_xlabel("test accuracy, 95% interval over test images")
    left.legend(fontsize=7, loc="lower left", bbox_to_anchor=(0, 1), ncols=3, frameon=False)
    right.set_xlabel("step")
    right.set_ylabel("online probe, training images")
    right.set_ylim(0, 1.02)
    if right.lines:
        right.legend(fontsize=7, loc="lower right")
    save(figure, output, dpi=120)


def compare(paths: Sequence[Path], output: Path | None) -> None:
    """Print both tables, and write the picture to `output`, if that is a path."""
    names = short_names(paths)
    results = [run_directory.read(path)[1] for path in paths]
    settings = differing([result["config"] for result in results])
    print("Settings that differ" if settings else "All settings are the same.")
    if settings:
        rows = [
            [key, *("" if value is None else plain(value) for value in values)]
            for key, values in settings.items()
        ]
        print(aligned([["", *names], *rows], left=1) + "\n")
    versions = differing([result["versions"] for result in results])
    for key, values in versions.items():
        print(f"Note: {key} differs: {', '.join(map(str, values))}.")
    keys = accuracy_keys([result["results"] for result in results])
    if keys:
        print("Test accuracy, half the width of the 95% interval")
        rows = [[key, *(with_interval(r["results"], key) for r in results)] for key in keys]
        print(aligned([["", *names], *rows], left=1))
    if output is not None:
        trained = [key for key in keys if not key.startswith((CONTROL, SHUFFLED))]
        linear = [key for key in trained if key.startswith("linear/")]
        draw(names, results, linear or trained, output)


def main(arguments: list[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    parser = build_parser("ssl_keras.compare", __doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="finished runs")
    parser.add_argument("--output", help="file of the picture (none)")
    options: Any = parser.parse_args(arguments)

    def body() -> None:
        compare(options.runs, None if options.output is None else png_path(options.output))

    return startup.guarded("ssl_keras.compare", body, lambda: False)


if __name__ == "__main__":
    sys.exit(main())
