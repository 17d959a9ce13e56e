"""Make batches for trainings, here or on other machines: a tf.data service.

    python -m tools.data_service --port=5050
    python -m ssl_keras.train --data_service=THIS_MACHINE:5050,OTHER_MACHINE:5050

Which batch belongs to which step, and every byte of it, is what the training would have made by
itself. Several services take turns.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Sequence

from ssl_keras.cli import startup
from ssl_keras.errors import UserError
from tools.common import build_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    parser = build_parser("data_service", __doc__)
    parser.add_argument(
        "--host", default=socket.getfqdn(), help="name of this machine, for others (%(default)s)"
    )
    parser.add_argument("--port", type=int, required=True, help="where trainings find it")
    given = parser.parse_args(arguments)

    def body() -> None:
        if not 1 <= given.port <= 65535:
            raise UserError(f"port is {given.port}: give a number from 1 to 65535.")
        startup.start_tensorflow()
        import tensorflow as tf

        service = tf.data.experimental.service
        try:
            dispatcher = service.DispatchServer(service.DispatcherConfig(port=given.port))
        except (RuntimeError, tf.errors.OpError) as error:
            raise UserError(f"The port {given.port} cannot be had: choose another.") from error
        address = dispatcher.target.split("://")[1]
        # What trainings are told to fetch batches from; the default is "localhost" of each of them.
        reached = f"{given.host}:%port%"
        config = service.WorkerConfig(dispatcher_address=address, worker_address=reached)
        worker = service.WorkerServer(config)
        print(f"Serving batches at port {given.port}; Ctrl-C ends it.", flush=True)
        worker.join()

    return startup.guarded("tools.data_service", body, lambda: False)


if __name__ == "__main__":
    sys.exit(main())
