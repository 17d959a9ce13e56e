"""Methods: what an encoder learns from. `METHODS` is the dictionary behind `--method`.

Their Keras models (`SimCLR`, `TwoTowers`, `Supervised`, ...) can be used alone, with `compile` and
`fit`:

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
    "LatentTargetDecoding": "hybrid",
    "BYOL": "momentum",
    "MoCo": "momentum",
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
        "ltd": options.LatentTargetDecoding,
        "byol": options.BYOL,
        "moco": options.MoCo,
        "supervised": options.Supervised,
        "autoencoder": options.Autoencoder,
    },
)
