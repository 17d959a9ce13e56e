"""The main program: `python -m ssl_keras.train --loss=uniform_prior`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ssl_keras.cli import flags, startup
from ssl_keras.run import devices

PROGRAM = "python -m ssl_keras.train"
EXAMPLE = f"{PROGRAM} --loss=nt_xent --temperature=0.1 --num_bits=5"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, evaluate and export one run; the exit codes are those of `startup.guarded`."""
    arguments = list(sys.argv if arguments is None else arguments)
    flag_values = flags.define()
    if flags.wants_help(arguments):
        print(flags.help_text(PROGRAM, EXAMPLE, flag_values))
        return startup.OK

    def body() -> None:
        config = flags.parse(arguments, flag_values)
        if flag_values["only_check_args"].value:
            print("The flags are valid.")
            return
        if config.engine.strategy == "multi_worker":
            number, index = devices.worker()
            if not (config.run.quiet or config.run.log_json):
                print(f"Worker {index} of {number} is waiting for the others.", flush=True)
        else:
            devices.check_alone()
        startup.start_tensorflow(config.engine.strategy, config.engine.devices)
        from ssl_keras.run import train_and_evaluate

        train_and_evaluate(config)

    return startup.guarded("ssl_keras.train", body, lambda: flags.verbose(flag_values))


if __name__ == "__main__":
    sys.exit(main())
