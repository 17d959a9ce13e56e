"""Run studies, as many runs as it takes, and write their tables and figures.

    python -m ssl_keras.reproduce randbit --scale=laptop --seeds=3 --jobs=2
    python -m ssl_keras.reproduce all --scale=smoke --seeds=1 --jobs=2
    python -m ssl_keras.reproduce report
    python -m ssl_keras.reproduce losses --scale=full --estimate

Runs that are done are kept: the same command, repeated after an interruption, does the rest. It
writes NAME.csv, from the runs' directories and nothing else, and from NAME.csv the rest: NAME.md,
NAME.png and NAME.svg, all to --output. "all" takes every study. "report" runs nothing, and
writes what is done, with as many seeds as are done, and the page of all results beside the folder
--output; of a study whose runs are not here, or fewer of them than before, it keeps the
table NAME.csv that --output holds. --estimate runs nothing either: it measures a few small steps
of the first cell, and tells about how long it would take.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ssl_keras.cli import startup
from ssl_keras.cli.drawing import build_parser
from ssl_keras.errors import UserError, unknown_name
from ssl_keras.reproduce.measured import Measured
from ssl_keras.reproduce.report import write, write_report
from ssl_keras.reproduce.studies import SCALES, STUDIES
from ssl_keras.reproduce.sweep import Run, finish

ALL, REPORT = "all", "report"


def runs_of(name: str, scale: str, seeds: int) -> list[Run]:
    """The runs of a study, in directories below its name."""
    found = STUDIES[name].runs(scale, seeds)
    return [Run(f"{name}/{run.name}", run.settings) for run in found]


def done(name: str, given: Any) -> Measured | None:
    """What there is of a study: its runs, with as many seeds, up to the wanted number, as
    are done, or what was recorded of more seeds earlier; or None."""
    recorded = Measured.recorded(name, given.scale, given.output)
    least = recorded.seeds if recorded else 1
    for count in range(given.seeds, least - 1, -1):
        runs = runs_of(name, given.scale, count)
        results = [run.results(given.runs / given.scale) for run in runs]
        found = [result for result in results if result is not None]
        if len(found) == len(results):
            return Measured.of(name, given.scale, count, found)
    return recorded


def main(arguments: list[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    parser = build_parser("ssl_keras.reproduce", __doc__)
    names = ", ".join([*STUDIES, ALL, REPORT])
    parser.add_argument("names", nargs="+", metavar="name", help=f"one or more of {names}")
    parser.add_argument("--scale", choices=SCALES, default="laptop", help="size of the runs")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each cell")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--estimate", action="store_true", help="only tell how long it would take")
    parser.add_argument("--runs", type=Path, default=Path("runs/reproduce"), help="their folder")
    parser.add_argument(
        "--output",
        type=Path,
        help="of the results (RUNS/SCALE-results; of the report of the laptop docs/results)",
    )
    given: Any = parser.parse_args(arguments)

    def body() -> None:
        for name in given.names:
            if name not in (*STUDIES, ALL, REPORT):
                raise unknown_name("study", name, [*STUDIES, ALL, REPORT])
        if REPORT in given.names and given.estimate:
            raise UserError("report runs nothing: there is nothing to estimate.")
        if REPORT in given.names and len(given.names) > 1:
            raise UserError("report stands alone: it takes whatever is done.")
        for option in ("seeds", "jobs"):
            if getattr(given, option) < 1:
                raise UserError(f"{option} is {getattr(given, option)}; at least 1 is needed.")
        chosen = list(STUDIES if ALL in given.names else dict.fromkeys(given.names))
        if given.estimate:
            tell_hours(chosen, given)
            return
        if given.output is None:
            shipped = REPORT in given.names and given.scale == "laptop"
            own = given.runs / f"{given.scale}-results"
            given.output = Path("docs/results") if shipped else own
        if not given.output.name.strip("."):
            raise UserError(f"output is {given.output}: name a folder, such as docs/results.")
        try:
            given.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"output {given.output} cannot be made ({error.strerror}): choose another folder."
            ) from error
        try:
            report(given) if REPORT in given.names else reproduce(chosen, given)
        except PermissionError as error:
            raise UserError(
                f"{error.filename} cannot be written ({error.strerror}): the runs are kept; "
                "make it writable, or choose another --output."
            ) from error

    return startup.guarded("ssl_keras.reproduce", body, lambda: False)


def reproduce(names: list[str], given: Any) -> None:
    """Make the runs of the studies, and write their results."""
    runs = {name: runs_of(name, given.scale, given.seeds) for name in names}
    every = [run for own in runs.values() for run in own]
    results = iter(finish(every, given.runs / given.scale, given.jobs))
    failed = []
    for name, own in runs.items():
        found = [(run.name, next(results)) for run in own]
        failed += [run for run, result in found if result is None]
        complete = [result for _, result in found if result is not None]
        if len(complete) == len(own):
            write(Measured.of(name, given.scale, given.seeds, complete), given.output)
            print((given.output / f"{name}.md").read_text())
            print(f"Written: {given.output / name}.csv, .md, .png, .svg")
    if failed:
        raise UserError(
            f"{len(failed)} of {len(every)} runs failed: {', '.join(failed)}. Their last words are "
            "above; what is complete has been written. The same command tries them again."
        )


def tell_hours(names: list[str], given: Any) -> None:
    """Print about how long the training of the studies would take here."""
    startup.start_tensorflow()
    from ssl_keras.reproduce.estimate import estimate
    from ssl_keras.run import environment

    hardware = environment.hardware()
    print(f"On {', '.join(hardware['gpus']) or hardware['processor']}, one run after the other:")
    for name in names:
        found = estimate(name, given.scale, given.seeds)
        print(
            f"{name}: {found.runs} runs, {found.images:,} images, {1000 * found.seconds:.3g} ms "
            f"an image in small steps: about {found.hours:,.2f} hours of training"
        )


def report(given: Any) -> None:
    """Write what is done."""
    found = {name: done(name, given) for name in STUDIES}
    measured = {name: value for name, value in found.items() if value is not None}
    for name in STUDIES:
        seeds = measured[name].seeds if name in measured else 0
        source = ", recorded earlier" if name in measured and measured[name].is_record else ""
        if not seeds and (given.output / f"{name}.csv").is_file():
            source = f" ({name}.csv in {given.output} is of other settings, or an earlier version)"
        print(f"{name:20s} {seeds} of {given.seeds} seeds{source}")
    if not measured:
        raise UserError(
            f"No study of scale {given.scale} is done in {given.runs}, or recorded in "
            f"{given.output}: run one first, as in python -m ssl_keras.reproduce randbit."
        )
    print(f"Written: {write_report(measured, given.scale, given.output)}")


if __name__ == "__main__":
    sys.exit(main())
