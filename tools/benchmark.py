"""Measure what things cost, both sides of every ratio in one process, taking turns.

    python -m tools.benchmark checkpoint devices micro_batch --output=docs/results/benchmark.json

    step          a training step against forward, backward and update alone
    loss          the tiled NT-Xent against the dense one; its memory up to 131,072 views
    startup       from the command to the first step
    peers         training against PyTorch: lightly, and by hand (pip install .[peers], here or in
                  another environment whose interpreter is --peer_python)
    checkpoint    keeping the state of the training once a minute: share of the time
    devices       training on two logical devices of the CPU, against one
    logging       logs, TensorBoard and measurements while training: share of the time
    micro_batch   a batch in parts, against the whole batch: speed, and peak memory of each in a
                  process of its own

Medians over repetitions after a warm-up. The table goes to the screen, the numbers to --output.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ssl_keras import startup
from ssl_keras.errors import UserError, unknown_name
from tools.common import build_parser

Row = dict[str, Any]
# Crops of photographs with the whole recipe, as small as CIFAR's.
PHOTOS: Row = {"dataset": "plain", "source": "photos", "image_size": 32}


def trainer(**settings: Any) -> Callable[[int], float]:
    """A function that trains some steps and returns the seconds it took; it is warmed up."""
    from ssl_keras.config import Config
    from ssl_keras.experiment import build
    from ssl_keras.experiment.looping import batches

    base = {"heads": "", "steps": 10**6, "measure_images": 0, "loss": "nt_xent"}
    built = build(Config.make(**{**base, **settings}))
    built.model.make_train_function()
    iterator = iter(batches(built, 0))

    def train(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            logs = built.model.train_function(iterator)
        float(logs["loss"])  # waits for the device
        return time.perf_counter() - start

    train(3)
    train.built = built  # type: ignore[attr-defined]
    return train


def checkpoint(repeats: int) -> list[Row]:
    """Seconds of one checkpoint, and their share of a minute."""
    from ssl_keras.checkpoints import Checkpoints

    rows = []
    for encoder, batch in (("convnet", 250), ("resnet18", 16)):
        train = trainer(encoder=encoder, batch_size=batch, dataset="plain")
        model = train.built.model  # type: ignore[attr-defined]
        seconds = []
        with tempfile.TemporaryDirectory() as directory:
            kept = Checkpoints(Path(directory), model.state_groups)
            for step in range(repeats):
                train(2)
                start = time.perf_counter()
                kept.save(step, {})
                seconds.append(time.perf_counter() - start)
        median = statistics.median(seconds)
        rows.append(
            {
                "what": f"{encoder}, {model.count_params():,} parameters",
                "seconds": median,
                "share": median / (60 + median),
            }
        )
    return rows


def devices(repeats: int) -> list[Row]:
    """Training on two logical devices against one."""
    settings = {"dataset": "plain", "batch_size": 500}
    one = trainer(**settings)
    two = trainer(**settings, strategy="mirrored", devices=2)
    times = [(one(5), two(5)) for _ in range(repeats)]
    return [
        {
            "what": "convnet, batch 500: speed on two logical devices / on one",
            "images_per_second": statistics.median(5 * 500 / first for first, _ in times),
            "ratio": statistics.median(first / second for first, second in times),
        }
    ]


def logging(repeats: int) -> list[Row]:
    """The share of the default run's time that goes into logs, TensorBoard and geometry."""
    from ssl_keras import training
    from ssl_keras.callbacks import History, Listener, TensorBoardScalars
    from ssl_keras.experiment.fitting import build_geometry_log
    from ssl_keras.experiment.looping import batches

    class Timed(Listener):
        """Passes everything on, and adds up how long that takes."""

        def __init__(self, others: list[Any]):
            self.others, self.seconds = others, 0.0

        def on_start(self, first_step: int, total_steps: int) -> None:
            for other in self.others:
                other.on_start(first_step, total_steps)

        def on_log(self, step: int, values: Any) -> None:
            start = time.perf_counter()
            for other in self.others:
                other.on_log(step, values)
            self.seconds += time.perf_counter() - start

    built = trainer(loss="uniform_prior", epochs=100, steps=None, measure_images=128).built  # type: ignore[attr-defined]
    steps, shares = 12 * built.steps_per_epoch, []
    with tempfile.TemporaryDirectory() as directory:
        board = TensorBoardScalars(Path(directory), built.schedules, built.levels, 250)
        geometry = build_geometry_log(built, board)
        assert geometry is not None
        geometry.measure(0)  # compiles
        for _ in range(repeats):
            geometry.next = 0
            timed = Timed([History(), geometry, board])
            start = time.perf_counter()
            training.train(
                built.model,
                batches(built, 0),
                total_steps=steps,
                log_every=built.steps_per_epoch,
                listeners=[timed],
            )
            shares.append(timed.seconds / (time.perf_counter() - start))
    return [
        {
            "what": f"default run, {steps} steps: share of logs, TensorBoard and geometry",
            "share": statistics.median(shares),
            "lowest": min(shares),
            "highest": max(shares),
        }
    ]


def micro_batch(repeats: int) -> list[Row]:
    """A batch in parts against the whole."""
    settings = {"dataset": "plain", "batch_size": 2000}
    whole, parts = trainer(**settings), trainer(**settings, micro_batch=250)
    times = [(whole(1), parts(1)) for _ in range(repeats)]
    peaks = [_peak({**settings, "micro_batch": size}) for size in (None, 250)]
    return [
        {
            "what": "convnet, batch 2000: in parts of 250 / whole",
            "images_per_second": statistics.median(2000 / first for first, _ in times),
            "ratio": statistics.median(first / second for first, second in times),
            "peak_mb": peaks[0],
            "peak_mb_in_parts": peaks[1],
        }
    ]


def step(repeats: int) -> list[Row]:
    """The program's own training step against forward, backward and update on a resident batch."""
    rows = []
    for what, steps, settings in (
        ("default run", 20, {"loss": "uniform_prior"}),
        ("RandBit protocol, 10 bits", 5, {"num_bits": 10, "batch_size": 1000}),
        ("ResNet-18 at 32 px", 1, {**PHOTOS, "encoder": "resnet18", "batch_size": 128}),
    ):
        for precision in ("off", "bfloat16"):
            own = {**settings, "mixed_precision": precision}
            train = trainer(**own)
            bare, batch = _bare(own), train.built.config.optimization.batch_size  # type: ignore[attr-defined]
            times = [(bare(steps), train(steps)) for _ in range(repeats)]
            rows.append(
                {
                    "what": f"{what}, {'float32' if precision == 'off' else precision}",
                    "images_per_second": statistics.median(steps * batch / t for _, t in times),
                    "bare_images_per_second": statistics.median(
                        steps * batch / b for b, _ in times
                    ),
                    "efficiency": statistics.median(b / t for b, t in times),
                }
            )
    return rows


def _bare(settings: Row) -> Callable[[int], float]:
    """A function that repeats forward, backward and update on one composed batch of views."""
    import tensorflow as tf

    from ssl_keras.datasets.composing import compose_images
    from ssl_keras.experiment.looping import batches

    built = trainer(**settings).built  # type: ignore[attr-defined]
    model = built.model
    batch = next(iter(batches(built, 0)))
    views, planes, _ = model.augmenter.two_views(
        batch["image"], tf.constant(0, tf.int64), batch.get("planes")
    )
    inputs, learned = compose_images(views, planes), model.learned_variables

    @tf.function(autograph=False)
    def update() -> Any:
        with tf.GradientTape() as tape:
            outputs = model.outputs(model.encoder(inputs, training=True))
            value = tf.reduce_mean(tf.square(outputs))
        model.optimizer.apply(tape.gradient(value, learned), learned)
        return value

    def run(steps: int) -> float:
        start = time.perf_counter()
        for _ in range(steps):
            value = update()
        float(value)
        return time.perf_counter() - start

    run(3)
    return run


def loss(repeats: int) -> list[Row]:
    """The tiled NT-Xent against the dense one, forward and backward, and its memory."""
    import numpy as np
    import tensorflow as tf

    from ssl_keras import losses

    rows: list[Row] = []
    nt_xent = losses.get("nt_xent")
    for views, dim, steps in ((500, 64, 40), (2000, 64, 10), (8192, 128, 1)):
        drawn = [np.random.default_rng(s).normal(size=(views // 2, dim)) for s in (0, 1)]
        given = [tf.constant(z, tf.float32) for z in drawn]

        def timed(
            implementation: str, steps: int = steps, given: list[Any] = given
        ) -> Callable[[], float]:
            @tf.function(autograph=False)
            def function(a: Any, b: Any) -> Any:
                with tf.GradientTape() as tape:
                    tape.watch([a, b])
                    value = nt_xent(a, b, implementation=implementation)
                return tape.gradient(value, [a, b])

            def run() -> float:
                start = time.perf_counter()
                for _ in range(steps):
                    found = function(*given)
                found[0].numpy()
                return (time.perf_counter() - start) / steps

            run()
            return run

        dense, tiled = timed("dense"), timed("tiled")
        times = [(dense(), tiled()) for _ in range(repeats)]
        rows.append(
            {
                "what": f"{views} views of dimension {dim}: time in tiles / of whole matrices",
                "seconds": statistics.median(t for _, t in times),
                "ratio": statistics.median(t / d for d, t in times),
            }
        )
    for views in (8192, 32768, 131072):
        command = [sys.executable, "-m", "tools.benchmark", f"--loss_of={views}"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, megabytes = done.stdout.split()[-2:]
        rows.append(
            {
                "what": f"{views} views of dimension 128 in tiles",
                "seconds": float(seconds),
                "peak_mb_above_inputs": int(megabytes),
            }
        )
    return rows


def _loss_of(views: int) -> tuple[float, int]:
    """(seconds, megabytes above the inputs) of value and gradient, in this process."""
    import numpy as np
    import tensorflow as tf

    from ssl_keras import losses

    nt_xent = losses.get("nt_xent")

    @tf.function(autograph=False)
    def function(a: Any, b: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            value = nt_xent(a, b, implementation="tiled")
        return tape.gradient(value, [a, b])

    drawn = [np.random.default_rng(s).normal(size=(views // 2, 128)) for s in (0, 1)]
    given = [tf.constant(z, tf.float32) for z in drawn]
    function(given[0][:64], given[1][:64])
    before = peak_so_far(anew=True)
    start = time.perf_counter()
    function(*given)[0].numpy()
    seconds = time.perf_counter() - start
    return seconds, peak_so_far() - before


def peak_so_far(anew: bool = False) -> int:
    """Most megabytes that this process has held, or `anew`: what it holds now, as a beginning.

    (What `resource` tells is at least what the parent held when it started this process.)
    """
    if anew:
        Path("/proc/self/clear_refs").write_text("5")
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024


def start_up(repeats: int) -> list[Row]:
    """Seconds of --help, and from the command to the end of a single step without evaluation."""
    rows = []
    short = ["--steps=1", "--heads=", "--measure_images=0", "--quiet", "--overwrite"]
    with tempfile.TemporaryDirectory() as directory:
        for what, arguments in (
            ("--help", ["--help"]),
            ("a run of one step, export included", [*short, f"--workdir={directory}/run"]),
        ):
            seconds = []
            for _ in range(repeats):
                start = time.perf_counter()
                command = [sys.executable, "-m", "ssl_keras.train", *arguments]
                subprocess.run(command, capture_output=True, check=True)
                seconds.append(time.perf_counter() - start)
            rows.append({"what": what, "seconds": statistics.median(seconds)})
    return rows


class Peer:
    """A process of `tools.peers`.

    Args:
        python: an interpreter that has torch and lightly.
        arguments: of `tools.peers`.
    """

    def __init__(self, python: str, arguments: Sequence[str]):
        self.process = subprocess.Popen(
            [python, str(Path(__file__).with_name("peers.py")), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        if self._answer() != "ready":
            raise UserError(
                f"{python} cannot run the peers: install torch, torchvision and lightly in an "
                "environment (pip install '.[peers]'), and pass its interpreter as --peer_python."
            )
        os.killpg(self.process.pid, signal.SIGSTOP)

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def __call__(self, steps: int) -> float:
        """Seconds of so many steps; its loaders do nothing before and after."""
        assert self.process.stdin is not None
        os.killpg(self.process.pid, signal.SIGCONT)
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        seconds = float(self._answer())
        os.killpg(self.process.pid, signal.SIGSTOP)
        return seconds

    def end(self) -> None:
        """End it, and its loaders."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def peers(repeats: int, python: str = sys.executable) -> list[Row]:
    """Training against PyTorch, with lightly and by hand; both sides take turns."""
    rows = []
    photos = {**PHOTOS, "encoder": "convnet", "batch_size": 500}
    for what, steps, settings, arguments in (
        ("SimCLR recipe, convnet, 32 px, batch 500 / lightly", 4, photos,
         ["lightly", "convnet", "500", "32", "3"]),
        ("SimCLR recipe, ResNet-18, 32 px, batch 128 / lightly", 1,
         {**photos, "encoder": "resnet18", "batch_size": 128},
         ["lightly", "resnet18", "128", "32", "3"]),
        ("RandBit protocol, 10 bits, batch 1000 / PyTorch by hand", 5,
         {"num_bits": 10, "batch_size": 1000}, ["hand", "convnet", "1000", "28", "11"]),
    ):  # fmt: skip
        peer, batch = Peer(python, arguments), int(arguments[2])
        ours = {p: trainer(**settings, mixed_precision=p) for p in ("off", "bfloat16")}
        times = [(peer(steps), ours["off"](steps), ours["bfloat16"](steps)) for _ in range(repeats)]
        peer.end()
        rows.append(
            {
                "what": what,
                "their_images_per_second": statistics.median(
                    steps * batch / t for t, _, _ in times
                ),
                "float32": statistics.median(t / o for t, o, _ in times),
                "bfloat16": statistics.median(t / o for t, _, o in times),
            }
        )
    return rows


def _peak(settings: Row) -> int:
    """Peak memory in megabytes of a few steps, in a process of its own."""
    command = [sys.executable, "-m", "tools.benchmark", f"--peak_of={json.dumps(settings)}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.strip().splitlines()[-1])


BENCHMARKS: dict[str, Callable[..., list[Row]]] = {
    "step": step,
    "loss": loss,
    "startup": start_up,
    "peers": peers,
    "checkpoint": checkpoint,
    "devices": devices,
    "logging": logging,
    "micro_batch": micro_batch,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    parser = build_parser("benchmark", __doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(BENCHMARKS)}; all")
    parser.add_argument("--repeats", type=int, default=7, help="repetitions (7)")
    parser.add_argument("--output", type=Path, help="JSON file; what it holds of others is kept")
    parser.add_argument("--peer_python", default=sys.executable, help="interpreter with torch")
    parser.add_argument("--peak_of", help="used by itself, to measure memory")
    parser.add_argument("--loss_of", type=int, help="used by itself, to measure memory")
    given = parser.parse_args(arguments)

    def body() -> None:
        for name in given.names:
            if name not in BENCHMARKS:
                raise unknown_name("benchmark", name, BENCHMARKS)
        if given.repeats < 1:
            raise UserError(f"repeats is {given.repeats}: give at least 1.")
        if given.peak_of is not None:
            startup.start_tensorflow()
            trainer(**{k: v for k, v in json.loads(given.peak_of).items() if v is not None})
            print(peak_so_far())
            return
        if given.loss_of is not None:
            startup.start_tensorflow()
            print(*_loss_of(given.loss_of))
            return
        # Logical devices share the processor: only what is about them may have them.
        startup.start_tensorflow(*(("mirrored", 2) if "devices" in given.names else ()))
        from ssl_keras import environment

        found = {}
        for name in given.names or BENCHMARKS:
            more = {"python": given.peer_python} if name == "peers" else {}
            found[name] = BENCHMARKS[name](given.repeats, **more)
        for name, rows in found.items():
            for row in rows:
                numbers = ", ".join(
                    f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
                    for key, value in row.items()
                    if key != "what"
                )
                print(f"{name}: {row['what']}: {numbers}")
        if given.output is not None:
            about = {"hardware": environment.hardware(), "versions": environment.versions()}
            before = json.loads(given.output.read_text()) if given.output.exists() else {}
            for name, rows in found.items():
                before[name] = {"rows": rows, "repeats": given.repeats, **about}
            given.output.write_text(json.dumps(before, indent=2) + "\n")
            print(f"Written: {given.output}")

    return startup.guarded("tools.benchmark", body, lambda: False)


if __name__ == "__main__":
    sys.exit(main())
