"""Methods: `METHODS` is the dictionary behind `--method`."""

from __future__ import annotations

from ssl_keras.methods.options import Autoencoder, Method, Parts, SimCLR, Supervised, TwoTowers
from ssl_keras.options import Registry

__all__ = ["METHODS", "Method", "Parts"]

METHODS: Registry[Method] = Registry(
    "method",
    Method,
    {
        "simclr": SimCLR,
        "two_towers": TwoTowers,
        "supervised": Supervised,
        "autoencoder": Autoencoder,
    },
)
