"""What a step costs on many devices: a model that is fitted and checked here, and its counts there.

    python -m tools.scaling --measure        # five minutes: writes docs/results/scaling.json
    python -m tools.scaling                  # reads it; prints the tables of docs/scaling.md

A step is a sum of parts, each a count that follows from the design, times a cost:

    images     views, encoder, head, probe: forward, backward            N images
    synced     batch norm that spans devices (composed, not fused)       N images, if R > 1
    pairs      tiles of the contrastive loss                             (2N)^2 pairs
    gathered   projections to every device, and their gradients back     3 R (2N) d floats, if R > 1
    devices    starting the operations of each device                    R
    step       everything that happens once                              1

for N images on R devices, projections of dimension d. On logical devices of one processor the
costs add up; on real ones the first four are shared by R devices, and links carry what is
gathered. The costs are fitted to measured points (least squares of relative errors, none below
zero), and compared with points that were left out.
"""

from __future__ import annotations

import json
import math
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ssl_keras.cli import startup
from ssl_keras.cli.drawing import build_parser
from ssl_keras.errors import UserError
from ssl_keras.losses.streaming import BETTER_ON_GPU
from tools.benchmark.measuring import peak_so_far, trainer

DIM = 64
PARTS = ("images", "synced", "pairs", "gathered", "devices", "step")
UNITS = ("an image", "an image", "a pair", "a float", "a device", "a step")
# (devices, batch); the others are left out of the fit, and predicted.
FITTED = (
    (1, 256), (1, 1024), (1, 4096), (1, 16384), (2, 256), (2, 1024), (2, 4096),
    (4, 512), (4, 4096),
)  # fmt: skip
LEFT_OUT = ((1, 512), (1, 2048), (1, 8192), (1, 32768), (2, 512), (2, 2048), (4, 1024), (4, 8192))
DEFAULT = Path("docs/results/scaling.json")


def counts(devices: int, batch: int, dim: int = DIM) -> dict[str, float]:
    """How many of each part a step has, on all devices together."""
    several = devices > 1
    return {
        "images": batch,
        "synced": batch if several else 0,
        "pairs": (2 * batch) ** 2,
        "gathered": 3 * devices * 2 * batch * dim if several else 0,
        "devices": devices,
        "step": 1,
    }


def fit(points: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds that one of each part costs, from points with "devices", "batch" and "seconds"."""
    from scipy.optimize import nnls

    rows = np.array([list(counts(p["devices"], p["batch"]).values()) for p in points], float)
    rows /= np.array([point["seconds"] for point in points])[:, None]
    scales = rows.max(axis=0)
    scales[scales == 0] = 1
    costs, _ = nnls(rows / scales, np.ones(len(points)))
    return dict(zip(PARTS, (costs / scales).tolist(), strict=True))


def predicted(costs: Mapping[str, float], devices: int, batch: int) -> float:
    """Seconds of a step on logical devices of one processor."""
    return sum(costs[part] * count for part, count in counts(devices, batch).items())


@dataclass(frozen=True)
class Cluster:
    """Independent devices, in machines with a fast link inside and a slower one between. The
    defaults are an H100's data sheet and assumptions; nothing here was measured.

    Attributes:
        flops: operations a second that the encoder sustains. (A tenth of the peak in bfloat16: what
            published ResNet-50 trainings reach, to a factor of two.)
        pair_seconds: seconds of a pair, forward and backward: 10 d operations (a product forward;
            backward it is computed again for anchors and for keys, and each weighs the others) at
            200e12 a second, and six passes over a float at 2.5e12 bytes a second.
        sort_keys: keys sorted a second.
        inside, between: bytes a second of a device's links in the machine, and out of it.
        latency: seconds of one step of a collective operation.
        machine: number of devices in a machine.
        memory: bytes of a device.
    """

    flops: float = 100e12
    pair_seconds: float = 10 * 128 / 200e12 + 6 * 4 / 2.5e12
    sort_keys: float = 1.5e9
    inside: float = 450e9
    between: float = 50e9
    latency: float = 10e-6
    machine: int = 8
    memory: float = 80e9


@dataclass(frozen=True)
class Workload:
    """What is trained.

    Attributes:
        name: name of the encoder and the size of its images.
        multiplies: multiply-adds of the encoder on one image, forward.
        parameters: number of trained parameters.
        norms: number of batch norms, including those of the head.
        activations: bytes that one view keeps for the backward pass, in bfloat16.
        dim: dimension of the projections.
    """

    name: str
    multiplies: float
    parameters: float
    norms: int
    activations: float
    dim: int = 128


# He et al. 2016; ResNet-50 at 224 pixels keeps about 22 million activations twice (before and
# after batch norm), ResNet-18 at 32 pixels with the stem of CIFAR about 1.2 million.
WORKLOADS = (
    Workload("ResNet-50, 224 px", 4.1e9, 25.6e6, 55, 2 * 2 * 22e6),
    Workload("ResNet-18, 32 px", 0.56e9, 11.2e6, 22, 2 * 2 * 1.2e6),
)


def on_cluster(
    workload: Workload, devices: int, images: int, cluster: Cluster, sorted_prior: bool = False
) -> dict[str, float]:
    """Seconds of the parts of a step, and bytes, with `images` on each device.

    Args:
        workload: what is trained.
        devices: number of devices.
        images: number of images on a device.
        cluster: the devices.
        sorted_prior: a sliced Wasserstein loss in place of pairs; each device sorts the columns of
            all projections and of as many drawn ones.
    """
    views, rows = 2 * images * devices, 2 * images
    ring = (devices - 1) / devices
    link = cluster.inside if devices <= cluster.machine else cluster.between
    hops = math.log2(devices) if devices > 1 else 0.0
    gathered = 4.0 * views * workload.dim
    distribution = (
        2 * views * workload.dim / cluster.sort_keys
        if sorted_prior
        else rows * views * cluster.pair_seconds
    )
    # Forward: every projection to every device. Backward: TensorFlow sums the gradients of all
    # projections on all devices (two passes of the ring), and each device takes its own.
    parts = {
        "encoder": 3 * 2 * workload.multiplies * rows / cluster.flops,
        "distribution": distribution,
        "gather": 3 * ring * gathered / link + 2 * hops * cluster.latency,
        # Sum, sum of squares and count forward, two gradients backward, one after the other.
        "batch norm": 5 * workload.norms * hops * cluster.latency,
        "gradients": 2 * ring * 4 * workload.parameters / link + hops * cluster.latency,
    }
    memory = (
        workload.activations * rows
        # Gathered projections of both views, normalised, and the gradients of both.
        + 3 * gathered
        + 3 * 4 * workload.parameters
        # Drawn ones, and what sorting keeps: values and places of both.
        + (5 * gathered if sorted_prior else _memory_of_pairs(rows, views))
    )
    seconds = sum(parts.values())
    return {
        **parts,
        "seconds": seconds,
        "efficiency": parts["encoder"] / seconds,
        "memory": memory,
    }


def _memory_of_pairs(rows: int, views: int) -> float:
    """Bytes: whole matrices below the size at which a GPU changes to tiles (with that of the
    exponentials and one of gradients), three tiles above it."""
    return 3.0 * 4 * (rows * views if rows * views < BETTER_ON_GPU else 4e6)


def measure(repeats: int) -> list[dict[str, Any]]:
    """Seconds of a step and peak memory of every point, each in a fresh process."""
    points = []
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "noise.npz"
        generator = np.random.default_rng(0)
        images = generator.integers(0, 256, (32768, 28, 28, 1), np.uint8)
        labels = (np.arange(32768) % 10).astype(np.int64)
        np.savez(source, x_train=images, y_train=labels, x_test=images[:100], y_test=labels[:100])
        for devices, batch in (*FITTED, *LEFT_OUT):
            command = [sys.executable, "-m", "tools.scaling", f"--repeats={repeats}"]
            command += [f"--point={source},{devices},{batch}"]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise UserError(f"{devices} devices, batch {batch}: {done.stderr[-500:]}")
            point = json.loads(done.stdout.strip().splitlines()[-1])
            print(f"{devices} devices, batch {batch}: {point['seconds']:.4f} s", flush=True)
            points.append(point)
    return points


def _point(source: str, devices: int, batch: int, repeats: int) -> dict[str, Any]:
    """One point, in this process."""
    several = {"strategy": "mirrored", "devices": devices} if devices > 1 else {}
    before = peak_so_far()
    train = trainer(
        dataset="plain", source=f"npz:{source}", batch_size=batch, width_multiplier=0.25, **several
    )
    steps = max(1, 2048 // batch)
    seconds = [train(steps) / steps for _ in range(repeats)]
    return {
        "devices": devices,
        "batch": batch,
        "seconds": statistics.median(seconds),
        "lowest": min(seconds),
        "highest": max(seconds),
        "megabytes": peak_so_far() - before,
    }


def tables(measured: Mapping[str, Any]) -> str:
    """The tables of docs/scaling.md: costs, fit and prediction, and the clusters."""
    points = measured["points"]
    fitted = [point for point in points if (point["devices"], point["batch"]) in FITTED]
    costs = fit(fitted)
    lines = ["| a part | costs |", "|---|---|"]
    lines += [
        f"| {part} | {_scaled(costs[part])} {unit} |"
        for part, unit in zip(PARTS, UNITS, strict=True)
    ]
    lines += [
        "",
        "| devices | batch | measured, s | model, s | error | |",
        "|---|---|---|---|---|---|",
    ]
    for point in sorted(points, key=lambda point: (point["devices"], point["batch"])):
        seconds = predicted(costs, point["devices"], point["batch"])
        error = seconds / point["seconds"] - 1
        kind = "" if point in fitted else "left out"
        lines.append(
            f"| {point['devices']} | {point['batch']:,} | {point['seconds']:.3f} | {seconds:.3f} | "
            f"{100 * error:+.0f}% | {kind} |"
        )
    errors = [
        abs(predicted(costs, p["devices"], p["batch"]) / p["seconds"] - 1)
        for p in points
        if p not in fitted
    ]
    lines += ["", f"Points left out: median error {100 * statistics.median(errors):.0f}%, largest "
              f"{100 * max(errors):.0f}%."]  # fmt: skip
    for workload in WORKLOADS:
        lines += ["", *_cluster_table(workload, Cluster())]
    return "\n".join(lines) + "\n"


def _scaled(seconds: float) -> str:
    """A duration in the unit that shows it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)):
        if seconds >= size or not seconds:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-12:.3g} ps"


def _cluster_table(workload: Workload, cluster: Cluster) -> list[str]:
    lines = [
        f"| {workload.name}: GPUs | images each | batch | step, ms | encoder | pairs | gather | "
        "batch norm | gradients | efficiency | memory, GB | prior: sorting, ms | and efficiency |",
        "|---" * 13 + "|",
    ]
    for images in (256, 1024):
        for devices in (1, 8, 64, 256, 1024):
            pairs = on_cluster(workload, devices, images, cluster)
            prior = on_cluster(workload, devices, images, cluster, sorted_prior=True)
            shown = [
                f"{1000 * pairs[part]:.1f}"
                for part in ("encoder", "distribution", "gather", "batch norm", "gradients")
            ]
            lines.append(
                f"| {devices:,} | {images:,} | {images * devices:,} | "
                f"{1000 * pairs['seconds']:.0f} | "
                + " | ".join(shown)
                + f" | {pairs['efficiency']:.2f} | {pairs['memory'] / 1e9:.0f} | "
                f"{1000 * prior['distribution']:.0f} | {prior['efficiency']:.2f} |"
            )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """The program; the exit codes are those of `startup.guarded`."""
    parser = build_parser("tools.scaling", __doc__)
    parser.add_argument("--measure", action="store_true", help="measure the points again")
    parser.add_argument("--repeats", type=int, default=2, help="repetitions of a point (2)")
    parser.add_argument("--points", type=Path, default=DEFAULT, help=f"JSON file ({DEFAULT})")
    parser.add_argument("--point", help="internal: FILE,DEVICES,BATCH")
    options = parser.parse_args(arguments)

    def body() -> None:
        if options.repeats < 1:
            raise UserError(f"repeats is {options.repeats}: give at least 1.")
        if options.point:
            source, devices, batch = options.point.rsplit(",", 2)
            several = ("mirrored", int(devices)) if int(devices) > 1 else ()
            startup.start_tensorflow(*several)
            print(json.dumps(_point(source, int(devices), int(batch), options.repeats)))
            return
        if not options.points.parent.is_dir():
            raise UserError(
                f"points is {options.points}, whose folder is not there: make it first."
            )
        if options.measure:
            from ssl_keras.run import environment

            measured = {"points": measure(options.repeats), "repeats": options.repeats}
            measured |= {"hardware": environment.hardware(), "versions": environment.versions()}
            options.points.write_text(json.dumps(measured, indent=2) + "\n")
            print(f"Written: {options.points}")
        if not options.points.is_file():
            raise UserError(
                f"points is {options.points}, which is not there: make it by --measure."
            )
        try:
            print(tables(json.loads(options.points.read_text())))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"points is {options.points}, which does not hold all points ({error!r}): measure "
                "them by --measure."
            ) from error

    return startup.guarded("tools.scaling", body, lambda: False)


if __name__ == "__main__":
    sys.exit(main())
