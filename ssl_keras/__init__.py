"""ssl_keras: an instrument for studying what contrastive losses learn."""

import os

# Keras chooses its backend when it is first imported; this package is written for TensorFlow.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

__version__ = "0.1.0"
