"""Measure costs; the two sides of a ratio take turns in one process.

    python -m tools.benchmark checkpoint devices micro_batch --output=docs/results/benchmark.json

    step          a training step against forward, backward and update alone
    loss          the tiled NT-Xent against the dense one; its memory up to 131,072 views
    input         batches alone, of each data set: in memory, composed, decoded from files
    startup       from the command to the first step
    peers         training against PyTorch: lightly, and by hand (pip install .[peers], here or in
                  another environment whose interpreter is --peer_python)
    words         word2vec against gensim: words a second, and what both vectors know
    checkpoint    a checkpoint a minute: share of the time
    devices       training on two logical devices of the CPU, against one
    logging       logs, TensorBoard and measurements while training: share of the time
    micro_batch   a batch in parts, against the whole batch: speed, and peak memory of each in a
                  fresh process

Prints medians over repetitions after a warm-up, and writes them to --output.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from ssl_keras.cli import startup
from ssl_keras.cli.drawing import build_parser
from ssl_keras.errors import UserError, unknown_name
from tools.benchmark.measuring import Row, peak_so_far, rows_in_process, trainer
from tools.benchmark.peers import peers
from tools.benchmark.running import checkpoint, devices, inputs, logging, micro_batch, start_up
from tools.benchmark.steps import loss, loss_memory, step
from tools.benchmark.words import words

BENCHMARKS: dict[str, Callable[..., list[Row]]] = {
    "step": step,
    "loss": loss,
    "input": inputs,
    "startup": start_up,
    "peers": peers,
    "words": words,
    "checkpoint": checkpoint,
    "devices": devices,
    "logging": logging,
    "micro_batch": micro_batch,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    parser = build_parser("tools.benchmark", __doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(BENCHMARKS)} (all)")
    parser.add_argument("--repeats", type=int, default=7, help="repetitions (7)")
    parser.add_argument("--output", type=Path, help="JSON file; what it holds of others is kept")
    parser.add_argument("--peer_python", default=sys.executable, help="interpreter with torch")
    parser.add_argument("--peak", help="internal: settings whose memory is measured")
    parser.add_argument("--rows_in_process", help="internal: a benchmark that needs devices")
    parser.add_argument("--loss_memory", type=int, help="internal: views of a loss")
    options = parser.parse_args(arguments)

    def body() -> None:
        for name in options.names:
            if name not in BENCHMARKS:
                raise unknown_name("benchmark", name, BENCHMARKS)
        if options.repeats < 1:
            raise UserError(f"repeats is {options.repeats}: give at least 1.")
        if options.peak is not None:
            startup.start_tensorflow()
            trainer(**{k: v for k, v in json.loads(options.peak).items() if v is not None})
            print(peak_so_far())
            return
        if options.loss_memory is not None:
            startup.start_tensorflow()
            print(*loss_memory(options.loss_memory))
            return
        if options.rows_in_process is not None:
            startup.start_tensorflow("mirrored", 2)
            print(json.dumps(BENCHMARKS[options.rows_in_process](options.repeats)))
            return
        if options.output is not None and not options.output.parent.is_dir():
            raise UserError(
                f"output is {options.output}, whose folder is not there: make it first."
            )
        startup.start_tensorflow()
        from ssl_keras.run import environment

        about = {"hardware": environment.hardware(), "versions": environment.versions()}
        for name in options.names or BENCHMARKS:
            if name == "devices":  # they must be opened before TensorFlow starts
                rows = rows_in_process(name, options.repeats)
            else:
                more = {"python": options.peer_python} if name == "peers" else {}
                rows = BENCHMARKS[name](options.repeats, **more)
            for row in rows:
                numbers = ", ".join(
                    f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
                    for key, value in row.items()
                    if key != "what"
                )
                print(f"{name}: {row['what']}: {numbers}")
            if options.output is not None:
                before = json.loads(options.output.read_text()) if options.output.exists() else {}
                before[name] = {"rows": rows, "repeats": options.repeats, **about}
                options.output.write_text(json.dumps(before, indent=2) + "\n")
        if options.output is not None:
            print(f"Written: {options.output}")

    return startup.guarded("tools.benchmark", body, lambda: False)


if __name__ == "__main__":
    sys.exit(main())
