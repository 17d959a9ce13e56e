"""Three training steps for each of some losses, as arrays; a process of its own for the CPU.

python -m tests.gpu.steps OUTPUT.npz LOSS ...
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from ssl_keras.cli import startup
from ssl_keras.lazy import tf

# Pairs, sorting, triplets, and two terms: what differs most between kernels.
LOSSES = ("nt_xent", "uniform_prior", "triplet", "align_uniform")
# Small steps of gradient descent: Adam makes a whole step of the rounding of a gradient near zero.
SETTINGS = {
    "batch_size": 64,
    "max_train_images": 256,
    "optimizer": "sgd",
    "learning_rate": 0.01,
    "width_multiplier": 0.5,
    "mixed_precision": "off",
    "jit": "off",
}


def train(steps: int = 3, **settings: Any) -> tuple[np.ndarray, np.ndarray]:
    """(loss of each step, all trained weights in one vector)."""
    from ssl_keras.config import Config
    from ssl_keras.run import build
    from ssl_keras.run.loop import batches

    setup = build(Config.make(**{**SETTINGS, "heads": "", "steps": steps, **settings}))
    setup.model.make_train_function()
    iterator, losses = iter(batches(setup, 0)), []
    for _ in range(steps):
        losses.append(float(setup.model.train_function(iterator)["loss"]))
        setup.model.reset_metrics()
    weights = [np.ravel(variable) for variable in setup.model.trainable_variables]
    return np.array(losses), np.concatenate(weights)


def three_steps_of_each(losses: Sequence[str] = LOSSES) -> dict[str, np.ndarray]:
    """Arrays by "LOSS/losses" and "LOSS/weights", in full float32."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        arrays = {}
        for loss in losses:
            arrays[f"{loss}/losses"], arrays[f"{loss}/weights"] = train(loss=loss)
        return arrays
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


if __name__ == "__main__":
    startup.start_tensorflow()
    np.savez(sys.argv[1], **three_steps_of_each(sys.argv[2:]))
