"""ssl_keras: an instrument for studying what contrastive losses learn.

    import ssl_keras

    config = ssl_keras.Config.make(loss="nt_xent", num_bits=5, steps=200)
    results = ssl_keras.train_and_evaluate(config)
    encoder = ssl_keras.load_encoder(results["paths"]["workdir"])

`losses`, `metrics`, `datasets`, `networks` and `views` are usable alone, and so are the Keras
models of the methods, such as `SimCLR(encoder)`. The names below are imported when they are used.
"""

from __future__ import annotations

import os

from ssl_keras.lazy import attributes

# Keras chooses its backend when it is first imported; this package is written for TensorFlow.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# TensorFlow tells of warnings and errors; what it says at every start is left out by `lazy.start`.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1")

__version__ = "0.1.0"

# Public name -> the module that defines it.
_NAMES = {
    "Config": "config",
    "train_and_evaluate": "run",
    "evaluate_run": "run",
    "finetune_run": "run",
    "export_run": "run",
    "load_encoder": "run.saved_models",
    "read_runs": "run.collection",
    "run_table": "run.collection",
    "SimCLR": "methods",
    "TwoTowers": "methods",
    "Supervised": "methods",
    "Autoencoder": "methods",
}

__all__ = list(_NAMES)
__getattr__ = attributes(__name__, _NAMES)
