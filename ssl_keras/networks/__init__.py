"""Networks, the parts of a model: encoders, decoders, projection heads, probes.

`ENCODERS` is the dictionary behind `--encoder`.
"""

from __future__ import annotations

from ssl_keras.networks.decoders import build_decoder
from ssl_keras.networks.encoders import (
    MLP,
    Convnet,
    Encoder,
    Grid,
    KerasFile,
    ResNet18,
    ResNet34,
    ResNet50,
    block_outputs,
    save_model,
    store_model,
)
from ssl_keras.networks.heads import (
    BATCH_NORM,
    build_backbone,
    build_linear_probe,
    build_projection_head,
    build_stage_head,
    build_stages,
    in_order,
)
from ssl_keras.networks.normalization import as_plain_keras
from ssl_keras.networks.sequences import Bag, Transformer, WordTable
from ssl_keras.options import Registry

__all__ = [
    "BATCH_NORM",
    "ENCODERS",
    "Encoder",
    "Grid",
    "as_plain_keras",
    "block_outputs",
    "build_backbone",
    "build_decoder",
    "build_linear_probe",
    "build_projection_head",
    "build_stage_head",
    "build_stages",
    "in_order",
    "save_model",
    "store_model",
]

ENCODERS: Registry[Encoder] = Registry(
    "encoder",
    Encoder,
    {
        "convnet": Convnet,
        "resnet18": ResNet18,
        "resnet34": ResNet34,
        "resnet50": ResNet50,
        "mlp": MLP,
        "embedding": WordTable,
        "bag": Bag,
        "transformer": Transformer,
        "keras": KerasFile,
    },
)
