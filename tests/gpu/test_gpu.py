"""What to run first on a GPU: `make test-gpu`. Written without one: a test that fails here may be
wrong itself.

Devices and memory, three steps against those of the CPU, float16 and bfloat16, XLA, a whole run,
and images a second beside the expected order of magnitude (printed, with `-s`).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ssl_keras.config import Config
from ssl_keras.lazy import tf
from ssl_keras.reproduce.timing import trainer
from ssl_keras.run import devices, environment, train_and_evaluate
from tests.gpu.steps import LOSSES, three_steps_of_each, train

ROOT = Path(__file__).parents[2]


def test_the_gpus_are_seen_and_their_memory_grows(on_gpu: bool) -> None:
    gpus = tf.config.list_physical_devices("GPU")
    print(f"\nGPUs: {', '.join(environment.hardware()['gpus']) or 'none'}")
    assert len(environment.hardware()["gpus"]) == len(gpus) >= on_gpu
    assert all(tf.config.experimental.get_memory_growth(gpu) for gpu in gpus)
    train(loss="nt_xent")
    used = environment.memory()
    print(", ".join(f"{name} {value:.2f}" for name, value in used.items()))
    if on_gpu:
        # Without growth TensorFlow takes nearly all at once; these three steps need little.
        assert tf.config.experimental.get_memory_info("GPU:0")["peak"] < 2 * 2**30


def test_what_auto_chooses(on_gpu: bool) -> None:
    """One GPU: a half precision from compute capability 7.0 on, and XLA but with float16."""
    engine = devices.resolve("auto", "auto")
    print(f"\nauto: {engine.policy}, XLA {'on' if engine.jit else 'off'}")
    assert engine.jit == (on_gpu and engine.precision != "float16")
    assert on_gpu or engine.precision == "off"


@pytest.fixture(scope="module")
def losses(on_gpu: bool) -> tuple[str, ...]:
    """The losses to compare; two are enough to try the test itself."""
    return LOSSES if on_gpu else LOSSES[:2]


@pytest.fixture(scope="module")
def on_the_cpu(
    losses: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, np.ndarray]:
    """`three_steps_of_each` in a process that sees no GPU."""
    output = tmp_path_factory.mktemp("cpu") / "steps.npz"
    subprocess.run(
        [sys.executable, "-m", "tests.gpu.steps", str(output), *losses],
        cwd=ROOT,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1"},
        check=True,
    )
    return dict(np.load(output))


def test_three_steps_equal_those_of_the_cpu(
    losses: tuple[str, ...], on_the_cpu: dict[str, np.ndarray]
) -> None:
    """The same draws of views and weights; only kernels differ."""
    here = three_steps_of_each(losses)
    for loss in losses:
        values, weights = f"{loss}/losses", f"{loss}/weights"
        print(f"\n{loss}: loss here {here[values]}, on the CPU {on_the_cpu[values]}")
        np.testing.assert_allclose(here[values], on_the_cpu[values], rtol=2e-3, err_msg=loss)
        np.testing.assert_allclose(
            here[weights], on_the_cpu[weights], rtol=2e-3, atol=2e-4, err_msg=loss
        )


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_begins_alike_and_learns(precision: str) -> None:
    settings = {"loss": "nt_xent", "optimizer": "adam", "learning_rate": 1e-3, "steps": 20}
    full, _ = train(**settings)
    half, weights = train(**settings, mixed_precision=precision)
    print(f"\n{precision}: loss {half[0]:.4f} to {half[-1]:.4f}; float32 {full[0]:.4f} to ", end="")
    print(f"{full[-1]:.4f}")
    assert half[0] == pytest.approx(full[0], rel=0.02)
    assert half[-5:].mean() < 0.9 * half[:5].mean()
    assert np.all(np.isfinite(weights))


@pytest.mark.parametrize("precision", ["off", "bfloat16"])
def test_xla_computes_the_same_step(precision: str) -> None:
    tolerance = 2e-3 if precision == "off" else 2e-2
    plain, _ = train(loss="nt_xent", mixed_precision=precision)
    compiled, _ = train(loss="nt_xent", mixed_precision=precision, jit="on")
    print(f"\nXLA, {precision}: {compiled}, without {plain}")
    np.testing.assert_allclose(compiled, plain, rtol=tolerance)


def test_a_whole_run_trains_evaluates_and_exports(on_gpu: bool, tmp_path: Path) -> None:
    """With everything on auto; the export is computed on a CPU and a GPU alike."""
    settings = {"steps": 20, "batch_size": 128, "heads": "linear,knn"}
    if not on_gpu:
        settings |= {"steps": 2, "width_multiplier": 0.5, "measure_images": 0}
    config = Config.make(loss="uniform_prior", **settings, workdir=str(tmp_path / "run"))
    results = train_and_evaluate(config)
    assert results["results"]["linear/features/class/accuracy"] > 0.5
    assert results["saved_model_relative_difference"] < 1e-3


# Settings, and the expected order of magnitude in images/s. That of ResNet-18 is 17 ms a batch of
# docs/scaling.md, a GPU that sustains 100 TFLOP/s in bfloat16; the convnet is limited by the start
# of its kernels, some hundred of 10 µs a step and twice as much around them.
SPEEDS = {
    "ResNet-18, 28 px, batch 256": ({"encoder": "resnet18", "batch_size": 256}, 15_000),
    "convnet, RandBit protocol, batch 1000": ({"num_bits": 10, "batch_size": 1000}, 150_000),
}
# What two cores of a CPU do in float32, from docs/performance.md (ResNet-18 at batch 128).
CPU = {"ResNet-18, 28 px, batch 256": 41, "convnet, RandBit protocol, batch 1000": 8_400}


@pytest.mark.parametrize("name", SPEEDS)
def test_images_a_second_beside_what_is_expected(name: str, on_gpu: bool) -> None:
    settings, expected = SPEEDS[name]
    if not on_gpu:
        settings = {**settings, "batch_size": 32, "width_multiplier": 0.125}
    steps = 50 if on_gpu else 2
    run = trainer(**settings)
    speed = steps * run.setup.config.optimization.batch_size / run(steps)  # type: ignore[attr-defined]
    print(
        f"\n{name}: {speed:,.0f} images/s; expected some {expected:,}, two CPU cores {CPU[name]:,}"
    )
    if on_gpu:
        assert speed > 3 * CPU[name]
