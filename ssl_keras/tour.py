"""A tour of five minutes: what a contrastive loss learns beside easy features, in real runs.

    python -m ssl_keras.tour

Trains four small networks on digits (about half a minute each on two cores), says what to look at,
draws tour.png in --runs, and fine-tunes the first encoder on 40 labels. What is trained already is
not trained again.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ssl_keras import commands
from ssl_keras.cli import startup
from ssl_keras.cli.drawing import build_parser, save
from ssl_keras.config import Config
from ssl_keras.errors import UserError
from ssl_keras.plots import METHODS, chance, describe
from ssl_keras.reproduce.studies.base import ACCURACY, INFORMATION, UNTRAINED
from ssl_keras.run import run_directory
from ssl_keras.theory import downstream

# Chapter -> (title, settings of its run, what to look at).
CHAPTERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "alone": (
        "Digits, and nothing beside them",
        {"loss": "nt_xent", "num_bits": 0},
        "Two crops of one digit are a pair; NT-Xent finds them among those of other digits. No "
        "label was used, and yet a linear classifier reads the digit from the features (row "
        "class, linear) better than from the same encoder before training (untrained), which is "
        "no weak opponent.",
    ),
    "bits": (
        "The same, with ten random bits in extra channels",
        {"loss": "nt_xent", "num_bits": 10},
        "Both views of an image share its bits. Ten bits tell 1,024 groups of images apart, "
        "enough to find the pair in a batch of 250: the loss is satisfied, and the digit is gone, "
        "even below what the untrained encoder shows. Nothing was taken away from the images. "
        "This is the third property of Chen, Luo and Li: easy shared features suppress others.",
    ),
    "supervised": (
        "Labels instead of pairs, beside the same ten bits",
        {"method": "supervised", "num_bits": 10},
        "The same encoder, images, bits and steps, but it learns from the digit: now the bits are "
        "what is lost. What is suppressed is decided by the objective, not by the network or the "
        "images.",
    ),
    "prior": (
        "Another loss, beside the same ten bits",
        {"loss": "uniform_prior", "num_bits": 10},
        "uniform_prior has no negatives at all: it aligns the views and spreads the projections "
        "over a cube. It falls for the bits as NT-Xent does, as the paper says of the whole "
        "family.",
    ),
}


# A small network and few images, for `--steps`.
BRIEF = {"max_train_images": 300, "batch_size": 64, "width_multiplier": 0.25}


def say(text: str) -> None:
    """A paragraph."""
    print("\n" + textwrap.fill(text, width=96), flush=True)


def visit(directory: Path, changes: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Make the run of each chapter and say what to look at; chapter -> results of its run."""
    from ssl_keras.run import train_and_evaluate

    measured = {}
    for number, (name, (title, settings, lesson)) in enumerate(CHAPTERS.items(), start=1):
        print(f"\n{number}. {title}\n{'=' * (len(title) + 3)}", flush=True)
        workdir = directory / name
        base = {"epochs": 20, "heads": "linear,bits", **settings, **changes}
        config = Config.make(**base, workdir=str(workdir))
        command = " ".join(f"--{key}={value}" for key, value in base.items())
        train = commands.as_typed("python -m ssl_keras.train")
        print(f"{train} {command} --workdir={workdir}", flush=True)
        if run_directory.holds(workdir, config):
            print("It has been trained before.", flush=True)
        else:
            train_and_evaluate(config)
        measured[name] = run_directory.read(workdir)[1]["results"]
        values = measured[name]
        bits = (
            f", information on the bits {values[INFORMATION]:.1f}" if INFORMATION in values else ""
        )
        say(
            f"The digit is read at {values[ACCURACY]:.3f} "
            f"(untrained {values[UNTRAINED]:.3f}){bits}."
        )
        say(lesson)
    return measured


def draw(measured: Mapping[str, Mapping[str, Any]], output: Path) -> None:
    """The picture of the tour."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import numpy as np

    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 3.2))
    names = {
        "alone": "NT-Xent,\nno bits",
        "bits": "NT-Xent,\n10 bits",
        "prior": "uniform prior,\n10 bits",
        "supervised": "labels,\n10 bits",
    }
    methods = {name: "supervised" if name == "supervised" else "simclr" for name in names}
    for axis, shown, before, after in (
        (left, list(names), UNTRAINED, ACCURACY),
        (
            right,
            [name for name in names if name != "alone"],
            f"untrained/{INFORMATION}",
            INFORMATION,
        ),
    ):
        places = np.arange(len(shown))
        colors = [METHODS[methods[name]].color for name in shown]
        control = {"color": METHODS["untrained"].color, "label": "untrained"}
        axis.bar(places - 0.2, [measured[name][before] for name in shown], 0.4, **control)
        bars = axis.bar(places + 0.2, [measured[name][after] for name in shown], 0.4, color=colors)
        for bar, name in zip(bars, shown, strict=True):
            bar.set_label({"alone": "contrastive", "supervised": "supervised"}.get(name, ""))
        axis.set_xticks(places, [names[name] for name in shown])
    chance(left, 0.1)
    left.set_ylim(0, 1)
    right.axhline(10, color="0.2", linewidth=1)
    right.text(2.4, 10.1, "all there is", fontsize=7, ha="right", va="bottom")
    right.set_ylim(0, 11)
    describe(left, "which digit? linear, on frozen features", y="accuracy")
    describe(right, "what the features hold of the 10 bits", y="information, in bits")
    left.legend(fontsize=7)
    save(figure, output)


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    parser = build_parser("ssl_keras.tour", __doc__)
    parser.add_argument("--runs", type=Path, default=Path("runs/tour"), help="their folder")
    parser.add_argument(
        "--steps", type=int, help="so many steps of a small network on few images, to try it"
    )
    options: Any = parser.parse_args(arguments)

    def body() -> None:
        if options.steps is not None and options.steps < 1:
            raise UserError(f"steps is {options.steps}: give at least 1.")
        startup.start_tensorflow()
        brief = {"steps": options.steps, **BRIEF}
        measured = visit(options.runs, {} if options.steps is None else brief)
        draw(measured, options.runs / "tour.png")
        title = "5. Take it away"
        print(f"\n{title}\n{'=' * len(title)}", flush=True)
        say(
            "The first encoder lies in its directory as a SavedModel and as Keras files. Here it "
            "is trained on, with 40 labelled digits and plain Keras, beside the same network from "
            "scratch:"
        )
        program = commands.as_typed("python -m ssl_keras.theory.downstream")
        print(f"{program} --encoder={options.runs / 'alone'} --repeats=3")
        steps = 300 if options.steps is None else options.steps
        repeats = 3 if options.steps is None else 1
        downstream.compare(options.runs / "alone", "mnist_5k", 0.01, steps, 1e-3, repeats)
        look = (
            f"\nNow look around:\n"
            f"  tensorboard --logdir {options.runs}        # curves, pictures, projector\n"
            f"  python -m ssl_keras.compare {options.runs}/alone {options.runs}/bits"
            f" --output={options.runs}/compare.png\n"
            f"  python -m ssl_keras.train --num_bits=5   # how many bits does it take?"
        )
        print(commands.as_typed(look))

    return startup.guarded("ssl_keras.tour", body, lambda: False)


if __name__ == "__main__":
    sys.exit(main())
