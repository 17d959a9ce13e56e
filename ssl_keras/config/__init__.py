"""The configuration of a run: frozen dataclasses, validated when they are made. No TensorFlow.

Every value has one definition: a field here, or a field of an entry of a dictionary (a loss, a
data set, ...). `flags` derives the command line from the same fields.
"""

from ssl_keras.config.configuration import (
    REGISTRIES,
    Config,
    all_settings,
    baselines,
    groups,
    make_evaluators,
)
from ssl_keras.config.finetuning import FinetuningConfig

__all__ = [
    "REGISTRIES",
    "Config",
    "FinetuningConfig",
    "all_settings",
    "baselines",
    "groups",
    "make_evaluators",
]
