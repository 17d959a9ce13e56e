"""Random flags: each combination trains, or is refused in one sentence.

    python -m tools.fuzz --combinations=300 --trained=40

Flags and values are drawn from what the program says about itself: valid values, bounds, values
just outside of them, absurd ones and wrong types. All combinations are checked with
--only_check_args; those that are accepted are trained for a step on a few examples, until
`--trained` have been.
"""

from __future__ import annotations

import collections
import contextlib
import io
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ssl_keras import train
from ssl_keras.cli import startup
from ssl_keras.cli.drawing import build_parser
from ssl_keras.config import all_settings
from ssl_keras.datasets import DATASETS
from ssl_keras.evaluators import EVALUATORS
from ssl_keras.losses import LOSSES
from ssl_keras.methods import METHODS
from ssl_keras.networks import ENCODERS
from ssl_keras.optimizers import OPTIMIZERS

ABSURD = (
    "-1", "0", "1e300", "-1e300", "1e-300", "nan", "inf", "1e9", "99999999999999999999", "", " ",
    "x", "1,2", "cosine:1:0.1", "linear:0:0", "true", "\x1b[31m", "𝛼", "[1]", "1_000", "0x10",
)  # fmt: skip
PARTS = {
    "dataset": DATASETS, "loss": LOSSES, "method": METHODS, "encoder": ENCODERS,
    "optimizer": OPTIMIZERS,
}  # fmt: skip
SOURCES = ("mnist_5k", "photos", "wine", "breast_cancer", "npz:nowhere.npz", "folder:/dev/null")
# What reaches beyond a folder of the test, or takes minutes.
LEFT_OUT = (
    "workdir", "data_dir", "plugins", "download", "overwrite", "seed", "quiet", "log_json",
    "profile_steps", "wait_minutes", "encoder_file",
)  # fmt: skip
SMALL = (
    "--steps=1", "--batch_size=8", "--max_train_images=40", "--measure_images=0", "--noexport",
    "--quiet", "--checkpoint_minutes=5",
)  # fmt: skip
# Seconds after which a training counts as hanging.
HANGS = 180


def flags(generator: random.Random) -> list[str]:
    """A random command line."""
    chosen: dict[str, str] = {}
    for name, registry in PARTS.items():
        if generator.random() < 0.5:
            chosen[name] = generator.choice(sorted(registry))
    known = {n: s for n, (_, s) in all_settings().items() if n not in (*LEFT_OUT, *PARTS)}
    for name in generator.sample(sorted(known), generator.randint(0, 5)):
        chosen[name] = value(name, known[name], generator)
    return [f"--{name}={text}" for name, text in chosen.items()]


def value(name: str, setting: Any, generator: random.Random) -> str:
    """A text for a setting: valid, at a bound, or absurd."""
    if generator.random() < 0.15:
        return generator.choice(ABSURD)
    if name == "source":
        return generator.choice(SOURCES)
    if name == "strategy":
        return generator.choice(("none", "mirrored"))
    if name == "heads":
        return ",".join(generator.sample(sorted(EVALUATORS), generator.randint(0, 3)))
    if setting.kind is bool:
        return generator.choice(("true", "false"))
    if setting.choices:
        return generator.choice(sorted(setting.choices))
    if setting.kind is str:
        return str(setting.default)
    bounds = [b for b in (setting.minimum, setting.maximum, setting.above) if b is not None]
    numbers = [*bounds, *(b + d for b in bounds for d in (1, 0.25)), 0.5, 1, 2, 7]
    number = generator.choice(numbers)
    return str(int(number) if setting.kind is int else number)


def outcome(line: Sequence[str]) -> tuple[str, str]:
    """("accepted", "refused" or "traceback", what was printed) of a command line."""
    with contextlib.redirect_stderr(io.StringIO()) as errors, contextlib.redirect_stdout(errors):
        try:
            code = train.main(["train", *line])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 2
        except Exception:
            return "traceback", traceback.format_exc()
    told = errors.getvalue()
    if code == 0:
        return "accepted", told
    sentences = [text for text in told.splitlines() if text.startswith("ssl_keras.train: ")]
    good = code == 2 and len(sentences) == 1 and "Traceback" not in told and "\x1b" not in told
    return ("refused" if good else "traceback"), told


def is_small(line: Sequence[str]) -> bool:
    """Whether a training takes seconds."""
    sizes = ("image_size", "width", "dim", "layers", "crops", "digit", "epochs", "num_", "images")
    for flag in line:
        name, _, text = flag.partition("=")
        if any(size in name for size in sizes) and text.isdigit() and int(text) > 64:
            return False
    return not any("resnet" in flag or "vit" in flag for flag in line)


@contextlib.contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Context that ends with a `TimeoutError` after some seconds."""

    def end(*_: Any) -> None:
        raise TimeoutError(f"it has not ended in {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fuzz(combinations: int, trained: int, seed: int) -> collections.Counter[str]:
    """Try combinations; returns how many had each outcome, and prints what went wrong."""
    counts: collections.Counter[str] = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(combinations):
            line = flags(random.Random(f"{seed}/{number}"))
            kind, told = outcome([*line, "--only_check_args"])
            counts[kind] += 1
            if kind == "traceback":
                print(f"{' '.join(line)!r}\n{told}", flush=True)
            if kind != "accepted" or not is_small(line) or counts["tried"] >= trained:
                continue
            workdir = Path(folder) / "run"
            own = [flag for flag in SMALL if not _names(flag) & set(map(_name, line))]
            started = time.monotonic()
            with limited(HANGS):
                kind, told = outcome([*line, *own, f"--workdir={workdir}"])
            shutil.rmtree(workdir, ignore_errors=True)
            counts["tried"] += 1
            counts[f"training {kind}"] += 1
            if kind == "traceback":
                print(f"{' '.join([*line, *own])!r}\n{told}", flush=True)
            elif time.monotonic() - started > HANGS / 2:
                print(f"{time.monotonic() - started:.0f} s: {' '.join(line)!r}", flush=True)
    return counts


def _name(flag: str) -> str:
    return flag.removeprefix("--").partition("=")[0]


def _names(flag: str) -> set[str]:
    """The names of flags that `flag` replaces."""
    name = _name(flag)
    return {name, "epochs"} if name == "steps" else {name, name.removeprefix("no")}


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; the exit code is 1 if something went wrong."""
    parser = build_parser("tools.fuzz", __doc__)
    parser.add_argument("--combinations", type=int, default=300)
    parser.add_argument("--trained", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    startup.start_tensorflow(num_devices=2)
    counts = fuzz(options.combinations, options.trained, options.seed)
    for kind, count in sorted(counts.items()):
        print(f"{kind}: {count}")
    return 1 if counts["traceback"] + counts["training traceback"] else 0


if __name__ == "__main__":
    sys.exit(main())
