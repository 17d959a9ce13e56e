"""Run studies, as many runs as it takes, and write their tables and figures.

    python -m ssl_keras.reproduce randbit --scale=laptop --seeds=3 --jobs=2
    python -m ssl_keras.reproduce all --scale=smoke --seeds=1 --jobs=2
    python -m ssl_keras.reproduce report
    python -m ssl_keras.reproduce losses --scale=full --estimate

Finished runs are kept: after an interruption the same command makes the rest. It writes to --output
the table NAME.csv, from the directories of the runs, and from the table NAME.md, NAME.png and
NAME.svg; and what each run has measured, runs/NAME.jsonl. "all" is every study.

--recorded=FOLDER takes what runs have measured from such files of an earlier --output, and makes
only the others: further seeds, for example.

"report" makes no runs. It writes the studies that are done, with as many seeds as are done or are
recorded in --output, and the page of all results beside that folder. If the runs of a study are
missing, or fewer than before, it keeps the table NAME.csv in --output.

--estimate makes no runs either. It measures a few small steps of the first cell, and prints about
how long the training would take.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from ssl_keras.cli import startup
from ssl_keras.cli.drawing import build_parser
from ssl_keras.errors import UserError, unknown_name
from ssl_keras.reproduce.measured import Measured
from ssl_keras.reproduce.records import Result, add_records, read_records, study_runs
from ssl_keras.reproduce.report import write, write_report
from ssl_keras.reproduce.studies import SCALES, STUDIES
from ssl_keras.sweep.pool import finish

ALL, REPORT = "all", "report"


def load(name: str, options: Any) -> Measured | None:
    """The results of a study with as many seeds as are done or recorded, up to --seeds; or its
    table, if that has more seeds; or None."""
    table = Measured.recorded(name, options.scale, options.output)
    done = read_records(name, options.scale, options.output) | present(name, options)
    for seeds in range(options.seeds, (table.seeds if table else 1) - 1, -1):
        names = [run.name for run in study_runs(name, options.scale, seeds)]
        if all(run in done for run in names):
            results = [done[run] for run in names]
            return Measured.from_results(name, options.scale, seeds, results)
    return table


def present(name: str, options: Any) -> dict[str, Result]:
    """Name of a run -> its results, of the finished runs that are here."""
    directory = options.runs / options.scale
    runs = study_runs(name, options.scale, options.seeds)
    return {run.name: result for run in runs if (result := run.results(directory)) is not None}


def main(arguments: list[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    parser = build_parser("ssl_keras.reproduce", __doc__)
    names = ", ".join([*STUDIES, ALL, REPORT])
    parser.add_argument("names", nargs="+", metavar="name", help=f"one or more of {names}")
    parser.add_argument("--scale", choices=SCALES, default="laptop", help="size of the runs")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each cell")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument("--estimate", action="store_true", help="only print how long it would take")
    parser.add_argument(
        "--runs", type=Path, default=Path("runs/reproduce"), help="folder of the runs"
    )
    parser.add_argument(
        "--recorded",
        type=Path,
        help="folder of results, such as docs/results: runs that are recorded there are not made",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="folder of the results (RUNS/SCALE-results; docs/results for the laptop's report)",
    )
    options: Any = parser.parse_args(arguments)

    def body() -> None:
        for name in options.names:
            if name not in (*STUDIES, ALL, REPORT):
                raise unknown_name("study", name, [*STUDIES, ALL, REPORT])
        if REPORT in options.names and options.estimate:
            raise UserError("report makes no runs: there is nothing to estimate.")
        if REPORT in options.names and len(options.names) > 1:
            raise UserError("report takes no other names: it writes every study that is done.")
        if options.recorded and (options.estimate or REPORT in options.names):
            other = "--estimate" if options.estimate else "report"
            raise UserError(f"{other} makes no runs: leave --recorded out.")
        for option in ("seeds", "jobs"):
            if getattr(options, option) < 1:
                raise UserError(f"{option} is {getattr(options, option)}; at least 1 is needed.")
        chosen = list(STUDIES if ALL in options.names else dict.fromkeys(options.names))
        if options.estimate:
            print_hours(chosen, options)
            return
        if options.output is None:
            shipped = REPORT in options.names and options.scale == "laptop"
            beside = options.runs / f"{options.scale}-results"
            options.output = Path("docs/results") if shipped else beside
        if not options.output.name.strip("."):
            raise UserError(f"output is {options.output}: name a folder, such as docs/results.")
        try:
            options.output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"output {options.output} cannot be made ({error.strerror}): choose another folder."
            ) from error
        try:
            report(options) if REPORT in options.names else reproduce(chosen, options)
        except PermissionError as error:
            raise UserError(
                f"{error.filename} cannot be written ({error.strerror}): the runs are kept; "
                "make it writable, or choose another --output."
            ) from error

    return startup.guarded("ssl_keras.reproduce", body, lambda: False)


def reproduce(names: list[str], options: Any) -> None:
    """Make the runs of the studies that are not recorded, and write their results."""
    size = options.scale, options.seeds
    runs = {name: study_runs(name, *size) for name in names}
    results: dict[str, Result | None] = {}
    for name in names if options.recorded else ():
        records = read_records(name, options.scale, options.recorded)
        known = {run.name: records[run.name] for run in runs[name] if run.name in records}
        print(f"{name}: {len(known)} of {len(runs[name])} runs are recorded.")
        results |= known
    if options.recorded and not results:
        raise UserError(
            f"No run of {', '.join(names)} with the settings of now is recorded in "
            f"{options.recorded}: name a folder with runs/NAME.jsonl, such as docs/results, or "
            "leave --recorded out."
        )
    every = [run for name in names for run in runs[name] if run.name not in results]
    made = finish(every, options.runs / options.scale, options.jobs)
    results |= dict(zip([run.name for run in every], made, strict=True))
    failed = [run for run, result in results.items() if result is None]
    for name in names:
        found = {run.name: results[run.name] for run in runs[name]}
        complete = {run: result for run, result in found.items() if result is not None}
        add_records(name, options.scale, complete, options.output)
        if len(complete) == len(found):
            write(Measured.from_results(name, *size, list(complete.values())), options.output)
            print((options.output / f"{name}.md").read_text())
            print(f"Written: {options.output / name}.csv, .md, .png, .svg")
    if failed:
        raise UserError(
            f"{len(failed)} of {len(every)} runs failed: {', '.join(failed)}. The end of their "
            "output is above; complete studies have been written. The same command tries again."
        )


def print_hours(names: list[str], options: Any) -> None:
    """Print about how long the training of the studies would take on this machine."""
    startup.start_tensorflow()
    from ssl_keras.reproduce.estimate import estimate
    from ssl_keras.run import environment

    hardware = environment.hardware()
    print(f"On {', '.join(hardware['gpus']) or hardware['processor']}, one run after the other:")
    for name in names:
        cost = estimate(name, options.scale, options.seeds)
        print(
            f"{name}: {cost.runs} runs, {cost.images:,} images, {1000 * cost.seconds:.3g} ms "
            f"an image in small steps: about {cost.hours:,.2f} hours of training"
        )


def report(options: Any) -> None:
    """Write the studies that are done, with the records of their runs, and the page of all
    results."""
    for name in STUDIES:
        add_records(name, options.scale, present(name, options), options.output)
    loaded = {name: load(name, options) for name in STUDIES}
    measured = {name: value for name, value in loaded.items() if value is not None}
    for name in STUDIES:
        seeds = measured[name].seeds if name in measured else 0
        source = ", recorded earlier" if name in measured and measured[name].is_record else ""
        if not seeds and (options.output / f"{name}.csv").is_file():
            source = (
                f" ({name}.csv in {options.output} is of other settings, or an earlier version)"
            )
        print(f"{name:20s} {seeds} of {options.seeds} seeds{source}")
    if not measured:
        raise UserError(
            f"No study of scale {options.scale} is done in {options.runs}, or recorded in "
            f"{options.output}: run one first, as in python -m ssl_keras.reproduce randbit."
        )
    print(f"Written: {write_report(measured, options.scale, options.output)}")


if __name__ == "__main__":
    sys.exit(main())
