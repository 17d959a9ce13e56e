"""The compiled step: traced once, and without a way back to Python."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from ssl_keras.config import Config
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
