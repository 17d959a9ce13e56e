"""The main program: `python -m ssl_keras.train --loss=uniform_prior`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from ssl_keras import datasets, log
from ssl_keras.cli import flags, startup
from ssl_keras.cli.program import Action, run_program
from ssl_keras.config import Config
from ssl_keras.errors import printable
from ssl_keras.run import devices, meeting, run_directory

EXAMPLE = "--loss=nt_xent --temperature=0.1 --num_bits=5"


def check(config: Config) -> None:
    """Find the cheap mistakes of a run, without TensorFlow: its source, its batch, its directory.

    Raises:
        UserError: the run cannot start.
    """
    data = config.data
    count = datasets.check(config.builder, config.run.seed, data.data_dir, data.download)
    if count is not None:
        config.for_examples(min(count, data.max_train_images or count), config.flat()["source"])
    run_directory.check_place(config)


def _prepare(arguments: Sequence[str], flag_values: Any) -> Action:
    config = flags.parse(arguments, flag_values)
    check(config)
    if flag_values["only_check_args"].value:
        for notice in config.notices:
            log.info(f"Note: {printable(notice)}.")

    def train() -> None:
        if config.engine.strategy == "multi_worker":
            addresses, index = devices.worker()
            with log.warnings_only(config.run.quiet or config.run.log_json):
                log.info(f"Worker {index} of {len(addresses)} is waiting for the others.")
                told, minutes = meeting.greeting(config), config.engine.wait_minutes
                meeting.meet(addresses, index, told, minutes, log.info)
        else:
            devices.check_alone()
        startup.start_tensorflow(
            config.engine.strategy, config.engine.devices, config.engine.wait_minutes
        )
        from ssl_keras.run import train_and_evaluate

        train_and_evaluate(config)

    return train


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, evaluate and export one run; the exit codes are those of `startup.guarded`."""
    return run_program(
        "train", EXAMPLE, lambda line: flags.define(arguments=line), _prepare, arguments
    )


if __name__ == "__main__":
    sys.exit(main())
