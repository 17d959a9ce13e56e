"""Methods: what an encoder learns from. `METHODS` is the dictionary behind `--method`.

`SimCLR`, `TwoTowers`, `Hybrid`, `BYOL`, `Supervised` and `Autoencoder` are the Keras models that a
run trains. They can be used alone, with `compile` and `fit`:

    model = SimCLR(encoder, num_classes=10)
    model.compile()
    model.fit(batches, epochs=10)
"""

from __future__ import annotations

from ssl_keras.lazy import attributes
from ssl_keras.methods import options
from ssl_keras.methods.options import Method, Parts
from ssl_keras.options import Registry

# Keras models, imported when they are used.
_MODELS = {
    "Learner": "learner",
    "SimCLR": "simclr",
    "TwoTowers": "simclr",
    "Hybrid": "hybrid",
    "BYOL": "byol",
    "Supervised": "supervised",
    "Autoencoder": "autoencoder",
}

__all__ = ["METHODS", "Method", "Parts", *_MODELS]
__getattr__ = attributes(__name__, _MODELS)

METHODS: Registry[Method] = Registry(
    "method",
    Method,
    {
        "simclr": options.SimCLR,
        "two_towers": options.TwoTowers,
        "hybrid": options.Hybrid,
        "byol": options.BYOL,
        "supervised": options.Supervised,
        "autoencoder": options.Autoencoder,
    },
)
