"""A run from configuration to results. No absl, no command line.

    config = Config.make(loss="uniform_prior", num_bits=3)
    results = run.train_and_evaluate(config)

The names below are imported on first use: `devices` and `run_directory` need no TensorFlow.
"""

from __future__ import annotations

from ssl_keras.lazy import attributes

_MODULES = {
    "TrainingSetup": "setup",
    "build": "setup",
    "train_and_evaluate": "run",
    "evaluate_run": "evaluate",
    "finetune_run": "finetune",
    "export_run": "export",
    "restore_run": "restore",
}

__all__ = list(_MODULES)
__getattr__ = attributes(__name__, _MODULES)
