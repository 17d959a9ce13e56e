"""Many runs at once: `python -m ssl_keras.sweep --temperature=0.05,0.1,0.2 --seed=0,1,2`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_keras import commands, log, train
from ssl_keras.cli import flags
from ssl_keras.cli.program import Action, run_program
from ssl_keras.errors import Interrupted, UserError, printable
from ssl_keras.options import Options, option
from ssl_keras.run import collection, run_directory
from ssl_keras.sweep import grid, pool
from ssl_keras.sweep.grid import Grid

EXAMPLE = f"""--loss=nt_xent --temperature=0.05,0.1,0.2 --seed=0,1,2 --jobs=2

Every combination of the values is a run.
{grid.RULE}"""


@dataclass(frozen=True)
class SweepOptions(Options):
    """Sweep"""

    folder: str = option("runs/sweep", help="folder of the runs, each in a directory of its own")
    jobs: int = option(
        1, minimum=1, help="runs at a time, each on its share of the processor cores"
    )


def _define(arguments: Sequence[str]) -> Any:
    flag_values = flags.define(arguments=arguments)
    flags.define_options(flag_values, SweepOptions)
    return flag_values


def _prepare(arguments: Sequence[str], flag_values: Any) -> Action:
    chosen = grid.read(arguments, flag_values)
    # The flags are those of the last run; the options are the same for all.
    options = SweepOptions(**{name: flag_values[name].value for name in ("folder", "jobs")})
    folder = Path(options.folder)
    runs = [pool.Run(cell.name, cell.settings) for cell in chosen.cells]
    for run, cell in zip(runs, chosen.cells, strict=True):
        _check(run, folder, cell.config.run.overwrite)
    first = chosen.cells[0].config.run
    quiet = first.quiet or first.log_json

    def sweep() -> None:
        with log.warnings_only(quiet):
            _sweep(chosen, runs, folder, options.jobs, arguments)

    if flag_values["only_check_args"].value:
        _tell(chosen, folder)
    return sweep


def _tell(chosen: Grid, folder: Path) -> None:
    """Say what the sweep is."""
    log.info(f"{chosen}, in {folder}")
    notices = dict.fromkeys(notice for cell in chosen.cells for notice in cell.config.notices)
    for notice in notices:
        log.info(f"Note: {printable(notice)}.")


def _check(run: pool.Run, folder: Path, overwrite: bool) -> None:
    """Check a run before any is made.

    Raises:
        UserError: it cannot start, or its directory holds a run of other settings.
    """
    config = run.config(folder)
    try:
        train.check(config)
    except UserError as error:
        raise UserError(f"{run.name}: {error}") from error
    other = run_directory.other_run(folder / run.name, config)
    if other is not None and not overwrite:
        raise UserError(
            f"{folder / run.name} holds {other}: choose another --folder, or pass --overwrite to "
            "replace it."
        )


def _sweep(
    chosen: Grid, runs: Sequence[pool.Run], folder: Path, jobs: int, arguments: Sequence[str]
) -> None:
    """Make the runs, and write runs.csv.

    Raises:
        UserError: a run failed; the others have been made.
        Interrupted: the user has stopped the sweep.
    """
    _tell(chosen, folder)
    try:
        results = pool.finish(runs, folder, jobs)
    except KeyboardInterrupt:
        done = sum(run.results(folder) is not None for run in runs)
        again = commands.as_typed("python -m ssl_keras.sweep")
        raise Interrupted(
            f" after {done} of {len(runs)} runs; the same command continues: {again} "
            f"{shlex.join(arguments[1:])}"
        ) from None
    table = folder / "runs.csv"
    collection.write_csv(collection.read_runs(folder), table)
    log.info(f"Written: {table}")
    failed = [run.name for run, result in zip(runs, results, strict=True) if result is None]
    if failed:
        logs = shlex.quote(str(runs[0].log(folder).with_name(f"{failed[0]}.log")))
        raise UserError(
            f"{len(failed)} of {len(runs)} runs failed: {'; '.join(failed)}. What they said is in "
            f"files such as {logs}. The same command makes them again, and only them."
        )
    place = shlex.quote(str(folder))
    axis = next((name for name in chosen.axes if name != "seed"), None)
    log.info(
        "\nNext:\n"
        + (f"  python -m ssl_keras.compare {place} --x={axis}\n" if axis else "")
        + f"  python -m ssl_keras.runs {place} --html={place}/runs.html"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Make all runs of a grid; the exit codes are those of `startup.guarded`, and 2 if a run
    failed."""
    return run_program("sweep", EXAMPLE, _define, _prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
