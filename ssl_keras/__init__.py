"""ssl_keras: an instrument for studying what contrastive losses learn."""

import os
from pathlib import Path
from typing import Any

# Keras chooses its backend when it is first imported; this package is written for TensorFlow.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

__version__ = "0.1.0"


def load_encoder(directory: Path | str, layer: str = "features") -> Any:
    """An exported encoder as a `keras.Model` that can be trained; see
    `saved_models.load_encoder`."""
    from ssl_keras.run import saved_models

    return saved_models.load_encoder(directory, layer)
