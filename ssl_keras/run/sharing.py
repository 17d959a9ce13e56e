"""Models whose training is over, kept for later runs with the same graphs.

TensorFlow needs seconds to trace a training step. Runs that differ in their seed, in constants of
the loss such as a temperature, or in what is measured, have the same graphs: a later one takes the
model of an earlier one, sets its variables to those of a newly built model, and trains what is
traced already. Its numbers are the same.
"""

from __future__ import annotations

import json
import pickle
from collections import OrderedDict
from typing import Any

from ssl_keras.config import Config
from ssl_keras.config.groups import EvaluationConfig, RunConfig
from ssl_keras.datasets import DataSet
from ssl_keras.evaluators import EVALUATORS
from ssl_keras.options import settings
from ssl_keras.run.devices import Engine

# Models that are kept at once, and the largest number of their values.
KEPT = 4
LARGEST = 20_000_000

_kept: OrderedDict[str, Any] = OrderedDict()


def key(config: Config, data: DataSet, engine: Engine, total_steps: int) -> str | None:
    """A text that is equal for setups with equal graphs; None if that cannot be known.

    It is not known of parts from outside the package, and models on several devices are not kept.
    """
    if engine.strategy is not None or not all_ours(config, data):
        return None
    free = {*settings(RunConfig), *settings(EvaluationConfig), *EVALUATORS.settings()}
    free -= {name for part in _parts(config) for name in settings(type(part))}
    # Variables of the model, see `Learner.loss_with_variables`.
    free |= set() if config.loss is None else set(config.loss.constants)
    values = {name: value for name, value in config.determining().items() if name not in free}
    targets = [(name, target.kind, target.size) for name, target in data.targets.items()]
    modality = pickle.dumps(data.modality).hex()
    about = [values, targets, modality, data.train.num_examples, total_steps, engine.described()]
    return json.dumps(about, sort_keys=True)


def all_ours(config: Config, data: DataSet) -> bool:
    """Whether the package defines all parts of a setup."""
    parts = (*_parts(config), data.modality)
    ours = all(type(part).__module__.startswith("ssl_keras.") for part in parts)
    return ours and not config.encoder.own_layers


def _parts(config: Config) -> list[Any]:
    parts = (config.builder, config.method, config.loss, config.encoder, config.optimizer)
    return [part for part in parts if part is not None]


def traced_before(model: Any, key: str | None) -> Any:
    """A kept model for this key, in the state of `model`; `model` if there is none.

    Args:
        model: a `Learner`, newly built and compiled.
        key: see `key`.
    """
    kept = _kept.pop(key, None) if key is not None else None
    if kept is None:
        return model
    kept.take_state(model)
    return kept


def keep(model: Any, key: str | None) -> None:
    """Keep a model that nothing else refers to any more."""
    if key is None or model.count_params() > LARGEST:
        return
    _kept[key] = model
    while len(_kept) > KEPT:
        _kept.popitem(last=False)


def forget() -> None:
    """Keep no model any more."""
    _kept.clear()
