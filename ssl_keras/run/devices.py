"""The engine of a training: precision, compilation, and the devices that share each batch."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl_keras.errors import UserError, one_line, printable
from ssl_keras.lazy import keras, tf
from ssl_keras.run import meeting

POLICIES = {"off": "float32", "float16": "mixed_float16", "bfloat16": "mixed_bfloat16"}

# The lowest compute capabilities with full speed in these types.
_BFLOAT16_SINCE, _FLOAT16_SINCE = (8, 0), (7, 0)

# Seconds that a worker may pause, as in a full memory or a moved virtual machine.
_PAUSE_SECONDS = 90

_EXAMPLE = (
    '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
)


@dataclass(frozen=True)
class Engine:
    """Precision, compilation and devices of a training.

    Attributes:
        precision: "off" (float32), "float16" or "bfloat16", of the networks' layers.
        jit: whether the training step is compiled with XLA.
        kind: "none", "mirrored" or "multi_worker".
        strategy: the `tf.distribute.Strategy`, or None.
        replicas: number of devices that share each batch.
        offer: an unused capability of this machine, for the banner.
    """

    precision: str = "off"
    jit: bool = False
    kind: str = "none"
    strategy: Any = None
    replicas: int = 1
    offer: str = ""

    @property
    def policy(self) -> str:
        """Keras' name of the precision."""
        return POLICIES[self.precision]

    @property
    def is_chief(self) -> bool:
        """Whether this process evaluates and writes the results."""
        return self.kind != "multi_worker" or worker()[1] == 0

    def scope(self) -> Any:
        """The context in which to create variables."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()

    def described(self) -> dict[str, Any]:
        """The properties that the last digits of the results depend on, as JSON."""
        return {"precision": self.precision, "jit": self.jit, "replicas": self.replicas}


def resolve(
    mixed_precision: str,
    jit: str,
    kind: str = "none",
    devices: int | None = None,
) -> Engine:
    """The engine for the settings of `config.EngineConfig` on this machine.

    Raises:
        UserError: the devices are missing, or `keras.distribution` is in use.
    """
    if keras.distribution.distribution() is not None:
        raise UserError(
            "keras.distribution does not work with Keras 3 on TensorFlow: unset it, and use "
            "--strategy."
        )
    strategy = _strategy(kind, devices)
    gpus = tf.config.list_physical_devices("GPU")
    replicas = 1 if strategy is None else strategy.num_replicas_in_sync
    capabilities = [
        tf.config.experimental.get_device_details(gpu).get("compute_capability", (0, 0))
        for gpu in gpus
    ]
    precision, offer = mixed_precision, ""
    if mixed_precision == "auto":
        precision = best_precision(capabilities, several=kind != "none", jit=jit == "on")
        if not gpus and _processor_has_bfloat16():
            offer = "this processor also has bfloat16: --mixed_precision=bfloat16"
    # XLA cannot compile the loss scaling of float16, nor the exchange between devices.
    compiled = jit == "on" or (
        jit == "auto" and bool(gpus) and kind == "none" and precision != "float16"
    )
    return Engine(precision, compiled, kind, strategy, replicas, offer)


def best_precision(capabilities: Sequence[tuple[int, int]], several: bool, jit: bool) -> str:
    """The precision of "auto".

    Args:
        capabilities: compute capabilities of the GPUs.
        several: whether several devices share a batch, which excludes float16.
        jit: whether the step must be compiled, which excludes float16.
    """
    if not capabilities:
        return "off"
    if min(capabilities) >= _BFLOAT16_SINCE:
        return "bfloat16"
    return "float16" if min(capabilities) >= _FLOAT16_SINCE and not (several or jit) else "off"


def open_devices(
    kind: str = "none", devices: int | None = None, wait_minutes: float = 10.0
) -> None:
    """Open TensorFlow's devices; possible once in a process.

    GPU memory grows on demand. Without a GPU the CPU is divided into `devices`.

    Raises:
        UserError: TF_CONFIG does not describe the workers.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for device in gpus:
        tf.config.experimental.set_memory_growth(device, True)
    if not gpus and devices is not None and devices > 1:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration()] * devices,
        )
    if kind == "multi_worker":
        _configure_workers(wait_minutes)
        _strategy(kind, devices)  # must precede any other operation
    tf.constant(0)


@functools.cache
def _strategy(kind: str, devices: int | None) -> Any:
    """The strategy, created once: a process can form its collective group only once."""
    if kind == "none":
        return None
    if kind == "multi_worker":
        worker()
        try:
            return tf.distribute.MultiWorkerMirroredStrategy()
        except (RuntimeError, ValueError, tf.errors.OpError) as error:
            raise UserError(
                f"The workers of TF_CONFIG cannot find each other ({one_line(error)}): check its "
                "addresses and ports."
            ) from error
    available = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    count = len(available) if devices is None else devices
    if count > len(available) or count < 2:
        raise UserError(
            f"strategy=mirrored needs at least two devices, and {count} of {len(available)} "
            f"{available[0].device_type}s were asked for: "
            + (
                "give a smaller --devices, or --strategy=none."
                if available[0].device_type == "GPU"
                else "without GPUs, --devices=2 divides the CPU."
            )
        )
    return tf.distribute.MirroredStrategy([device.name for device in available[:count]])


def _configure_workers(wait_minutes: float) -> None:
    """Bound TensorFlow's waiting for workers, and let one pause for a minute.

    There is no public call for that; without the private one its defaults hold: waiting without an
    end, and a pause of ten seconds.
    """
    addresses, _ = worker()
    try:
        from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
        from tensorflow.python.eager import context

        context.context().configure_coordination_service(
            service_type="standalone",
            service_leader="/job:worker/replica:0/task:0",
            cluster_register_timeout_in_ms=int(60_000 * wait_minutes),
            heartbeat_timeout_in_ms=_PAUSE_SECONDS * 1000,
            coordinated_jobs=[
                coordination_config_pb2.CoordinatedJob(name="worker", num_tasks=len(addresses))
            ],
        )
    except (ImportError, AttributeError, TypeError):
        return


def worker() -> tuple[list[str], int]:
    """(addresses of the workers, index of this one) from the environment variable TF_CONFIG.

    Raises:
        UserError: it is missing, or does not describe workers.
    """
    text = os.environ.get("TF_CONFIG", "")
    try:
        settings = json.loads(text)
        workers, task = settings["cluster"]["worker"], settings["task"]
        kind, index = task["type"], task["index"]
        index = int(index) if isinstance(index, str) else index
        if not isinstance(workers, list) or type(index) is not int:
            raise TypeError
    except (ValueError, KeyError, TypeError, RecursionError):
        state = f"is {text[:120]!r}" if text else "is not set"
        raise UserError(
            f"strategy=multi_worker needs the environment variable TF_CONFIG, which {state}: it "
            f"must be like {_EXAMPLE}, with the same cluster and another index on each machine; "
            "python -m ssl_keras.launch sets it for several workers on one machine."
        ) from None
    if kind != "worker" or set(settings["cluster"]) != {"worker"}:
        raise UserError(
            f"TF_CONFIG describes a task of type {kind!r} in a cluster of "
            f"{', '.join(settings['cluster'])}: only workers are supported (no parameter servers, "
            "no chief, no evaluator; worker 0 is the chief)."
        )
    if not 0 <= index < len(workers):
        raise UserError(
            f"TF_CONFIG gives this task the index {index}, but there are {len(workers)} workers: "
            f"give an index from 0 to {len(workers) - 1}."
        )
    for number, address in enumerate(workers):
        try:
            meeting.split(address)
        except (ValueError, AttributeError):
            raise UserError(
                f"TF_CONFIG gives worker {number} the address {printable(str(address))[:120]!r}, "
                "which is not HOST:PORT with a port from 1 to 65535."
            ) from None
        if address in workers[:number]:
            raise UserError(
                f"TF_CONFIG gives the address {address} to two workers: each needs its own."
            )
    return workers, index


def check_alone() -> None:
    """Check that TF_CONFIG does not describe several tasks: each would train the same model alone.

    Raises:
        UserError: it does.
    """
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG", "{}")).get("cluster", {})
        tasks = sum(len(addresses) for addresses in cluster.values())
    except (ValueError, TypeError, AttributeError):
        return
    if tasks > 1:
        raise UserError(
            f"TF_CONFIG describes {tasks} tasks ({', '.join(cluster)}), but without "
            "--strategy=multi_worker each of them would train alone: give it, or unset TF_CONFIG."
        )


def _processor_has_bfloat16() -> bool:
    info = Path("/proc/cpuinfo")
    return info.exists() and any(
        flag in info.read_text() for flag in ("avx512_bf16", "amx_bf16", "avx_ne_convert")
    )
