"""The configuration of a run: frozen dataclasses, validated on construction. No TensorFlow.

Every setting has one definition: a field of a group here, or of a part (a loss, a data set, ...).
`cli.flags` derives the command line from the same fields.
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
