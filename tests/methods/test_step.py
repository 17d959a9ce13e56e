"""The compiled step: traced once, and without a way back to Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.config import Config
from ssl_keras.losses import LOSSES
from ssl_keras.run import build
from ssl_keras.run.loop import batches


@pytest.mark.parametrize(
    "loss",
    [
        "uniform_prior",
        pytest.param("nt_xent", marks=pytest.mark.full),
        pytest.param("supcon", marks=pytest.mark.full),
    ],
)
def test_the_step_is_traced_once_and_stays_on_the_device(
    loss: str, data_dir: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = build(
        Config.make(
            loss=loss, num_bits=2, steps=4, batch_size=32, width_multiplier=0.25,
            views="augment,mixup,dropout", max_train_images=100,
        )
    )  # fmt: skip
    model, original, graphs = built.model, type(built.model).train_step, []

    def traced(self: Any, batch: Any) -> Any:
        graphs.append(tf.compat.v1.get_default_graph())
        return original(self, batch)

    monkeypatch.setattr(type(model), "train_step", traced)
    model.make_train_function()
    iterator = iter(batches(built, 0))
    for _ in range(4):
        model.train_function(iterator)
    assert len(graphs) == 1
    kinds = {operation.type for operation in graphs[0].get_operations()}
    assert "Conv2D" in kinds
    assert not {kind for kind in kinds if "PyFunc" in kind}


def loss_of_a_step(**settings: Any) -> float:
    base = {"batch_size": 16, "width_multiplier": 0.25, "max_train_images": 100, "heads": ""}
    values = {**base, "steps": 1, "measure_images": 0, **settings}
    if values.get("dataset") in ("multi_digit", "factors"):
        values |= {"max_train_images": None, "num_train_images": 100}
    built = build(Config.make(**{n: value for n, value in values.items() if value is not None}))
    built.model.make_train_function()
    return float(built.model.train_function(iter(batches(built, 0)))["loss"])


# Every loss of projections, and beside them what has operations of its own: views, data, encoders,
# methods, remedies.
_BITS: dict[str, Any] = {"loss": "nt_xent", "num_bits": 2}
_COLOURS = {"color_strength": 1.0, "blur": 0.5, "grayscale": 0.2, "flip": True}
COMPILED: dict[str, dict[str, Any]] = {
    **{name: {**_BITS, "loss": name} for name in LOSSES},
    "views": {**_BITS, "views": "augment,mixup,dropout", "channel_dropout": 0.3},
    "colours": {
        "loss": "nt_xent",
        "dataset": "plain",
        "source": "photos",
        "image_size": 32,
        **_COLOURS,
    },
    "overlay": {"loss": "nt_xent", "dataset": "overlay", "image_size": 32},
    "multi_digit": {"loss": "nt_xent", "dataset": "multi_digit", "image_size": 32},
    "factors": {"loss": "nt_xent", "dataset": "factors"},
    "tiled": {**_BITS, "loss_impl": "tiled"},
    "micro_batch": {**_BITS, "micro_batch": 4},
    "average": {**_BITS, "ema_decay": 0.9},
    "resnet": {**_BITS, "encoder": "resnet18"},
    "bfloat16": {**_BITS, "mixed_precision": "bfloat16"},
    "schedule": {**_BITS, "temperature": "cosine:1:0.1:5"},
    "cancelled": {**_BITS, "cancel_negatives": "class"},
    "moco": {**_BITS, "method": "moco"},
    "hybrid": {**_BITS, "method": "hybrid"},
    "ltd": {**_BITS, "method": "ltd"},
    **{m: {"method": m, "num_bits": 2} for m in ("byol", "supervised", "autoencoder")},
}


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", COMPILED)
def test_xla_compiles_the_whole_step(name: str) -> None:
    plain, compiled = (loss_of_a_step(**COMPILED[name], jit=jit) for jit in ("off", "on"))
    tolerance = 1e-2 if name == "bfloat16" else 1e-4
    np.testing.assert_allclose(compiled, plain, rtol=tolerance, atol=tolerance)
