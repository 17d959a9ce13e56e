"""Methods with an averaged network: their losses, the target, the queue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import metrics
from ssl_keras.config import Config
from ssl_keras.datasets import DataSet
from ssl_keras.methods.momentum import BYOL, MoCo
from ssl_keras.networks import in_order
from ssl_keras.run import build, train_and_evaluate
from ssl_keras.run.loop import batches
from ssl_keras.run.setup import TrainingSetup
from tests.distribution import parity
from tests.run.test_resume import stop_after
from tests.tiers import first_in_check

BATCH = 16


def setup(data: DataSet, **values: Any) -> TrainingSetup:
    settings: dict[str, Any] = {"method": "byol", "num_bits": 3, "batch_size": BATCH, "steps": 4}
    settings |= {"heads": "", "width_multiplier": 0.25, "target_decay": 0.9, "jit": "off"}
    return build(Config.make(**{**settings, **values}), data)


def test_the_loss_is_the_squared_distance_to_the_targets_of_the_other_view(
    bit_data: DataSet,
) -> None:
    training = setup(bit_data)
    model, batch = training.model, next(iter(batches(training, 0)))
    assert isinstance(model, BYOL)
    views, _ = model.augmenter.two_views(batch, 0)
    inputs = model.modality.compose(views)
    head = in_order(model.projection_head(model.encoder(inputs, training=True), training=True))
    predicted = model.predictor(head[-1], training=True).numpy()
    encoded = model.target_encoder(inputs, training=True)
    targets = in_order(model.target_head(encoded, training=True))[-1].numpy()
    # By the statistics of the batch: not what inference gives.
    averaged = model.target_encoder(inputs, training=False)
    assert np.abs(averaged - encoded).max() > 0.1
    total = 0.0
    for row in range(2 * BATCH):
        p, t = predicted[row], targets[(row + BATCH) % (2 * BATCH)]
        difference = p / np.linalg.norm(p) - t / np.linalg.norm(t)
        total += float(difference @ difference)
    loss = model.train_step(batch)["loss"]
    np.testing.assert_allclose(loss, total / (2 * BATCH), rtol=1e-4)


def test_the_target_follows_with_a_decay_that_grows_to_one(bit_data: DataSet) -> None:
    model = setup(bit_data).model
    for target, trained in ((model.target_encoder, model.encoder),
                            (model.target_head, model.projection_head)):  # fmt: skip
        for old, new in zip(target.get_weights(), trained.get_weights(), strict=True):
            np.testing.assert_array_equal(old, new)
    kernel, average = model.encoder.trainable_variables[0], model.target_encoder.variables[0]
    kernel.assign(kernel + 1.0)
    before = average.numpy()
    for step, decay in ((0, 0.9), (1, 1 - 0.1 * (1 + np.cos(np.pi / 4)) / 2), (4, 1.0)):
        old = average.numpy()
        model.after_update(tf.constant(step, tf.int64))
        np.testing.assert_allclose(average, decay * old + (1 - decay) * kernel.numpy(), atol=1e-6)
    assert np.abs(average.numpy() - before).max() > 0.05


def test_a_step_trains_encoder_head_and_predictor_alone(bit_data: DataSet) -> None:
    training = setup(bit_data, optimizer="sgd", learning_rate=0.1, target_decay=0.0)
    model, batch = training.model, next(iter(batches(training, 0)))
    learned = {id(variable) for variable in model.learned_variables}
    for network in (model.target_encoder, model.target_head):
        assert not learned & {id(variable) for variable in network.variables}
    before = [variable.numpy() for variable in model.learned_variables]
    model.train_step(batch)
    moved = [
        np.abs(variable.numpy() - old).max() > 0
        for variable, old in zip(model.learned_variables, before, strict=True)
    ]
    assert np.mean(moved) > 0.9
    # With a decay of 0 the target is the trained network.
    for old, new in zip(
        model.target_encoder.get_weights(), model.encoder.get_weights(), strict=True
    ):
        np.testing.assert_allclose(old, new, atol=1e-6)


@pytest.mark.full
def test_without_negatives_its_projections_do_not_collapse(bit_data: DataSet) -> None:
    training = setup(bit_data, steps=30, batch_size=64, learning_rate=3e-3)
    model = training.model
    model.make_train_function()
    iterator = iter(batches(training, 0))
    losses = [float(model.train_function(iterator)["loss"]) for _ in range(30)]
    assert np.mean(losses[-5:]) < 0.6 * np.mean(losses[:3])
    inputs = bit_data.inputs(next(iter(bit_data.test.batches(200))))
    assert metrics.effective_rank(model.representations(inputs)[-1]) > 3


@pytest.mark.parametrize("method", first_in_check(["byol", "moco"]))
def test_two_devices_equal_one(method: str, two_replicas: Any) -> None:
    def make() -> Any:
        keras.utils.set_random_seed(0)
        first, second = (parity.make("nt_xent") for _ in range(2))
        arguments: dict[str, Any] = {
            "target_encoder": second.encoder,
            "target_head": second.projection_head,
            "target_decay": 0.5,
            "augmenter": parity.Noise(),
            "modality": parity.MODALITY,
        }
        networks = first.encoder, first.projection_head
        if method == "byol":
            predictor = keras.Sequential([keras.Input((6,)), keras.layers.Dense(6)])
            model: Any = BYOL(*networks, predictor=predictor, **arguments)
        else:
            model = MoCo(*networks, queue_size=24, **arguments)
        model.compile(keras.optimizers.SGD(0.05), total_steps=parity.STEPS)
        return model

    alone = parity.trained(make(), None)
    with two_replicas.scope():
        model = make()
    parity.agree(parity.trained(model, two_replicas), alone, method)


def test_mocos_loss_is_that_of_a_loop_over_the_queue(bit_data: DataSet) -> None:
    training = setup(bit_data, method="moco", queue_size=40, queue_temperature=0.3)
    model, batch = training.model, next(iter(batches(training, 0)))
    assert isinstance(model, MoCo)
    queue = model.queue.numpy()
    np.testing.assert_allclose(np.linalg.norm(queue, axis=1), 1.0, rtol=1e-5)
    views, _ = model.augmenter.two_views(batch, 0)
    inputs = model.modality.compose(views)

    def projections(encoder: Any, head: Any) -> np.ndarray:
        rows = in_order(head(encoder(inputs, training=True), training=True))[-1].numpy()
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))

    queries = projections(model.encoder, model.projection_head)
    targets = projections(model.target_encoder, model.target_head)
    losses = []
    for row, query in enumerate(queries):
        positive = np.exp(query @ targets[(row + BATCH) % (2 * BATCH)] / 0.3)
        losses.append(-np.log(positive / (positive + np.exp(queue @ query / 0.3).sum())))
    np.testing.assert_allclose(model.train_step(batch)["loss"], np.mean(losses), rtol=1e-4)
    # First in, first out.
    np.testing.assert_allclose(model.queue[: 2 * BATCH], targets, atol=1e-5)
    np.testing.assert_array_equal(model.queue[2 * BATCH :], queue[: 40 - 2 * BATCH])
    assert not np.any([variable is model.queue for variable in model.learned_variables])


def test_mocos_target_keeps_its_decay(bit_data: DataSet) -> None:
    model = setup(bit_data, method="moco", queue_size=40).model
    kernel, average = model.encoder.trainable_variables[0], model.target_encoder.variables[0]
    kernel.assign(kernel + 1.0)
    for step in (0, 3):
        old = average.numpy()
        model.after_update(tf.constant(step, tf.int64))
        np.testing.assert_allclose(average, 0.9 * old + 0.1 * kernel.numpy(), atol=1e-6)


# The other two are in make check of tests/run/test_sharing.py.
@pytest.mark.exhaustive
@pytest.mark.parametrize("method", ["byol", "ltd", "moco", "hybrid"])
def test_a_stopped_run_resumes_to_the_bit(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values: dict[str, Any] = {"method": method, "num_bits": 2, "batch_size": 16, "steps": 6}
    values |= {"max_train_images": 60, "width_multiplier": 0.25, "heads": "", "measure_images": 0}
    values |= {"loss": "nt_xent"} if method in ("ltd", "hybrid") else {}
    whole, stopped = (
        Config.make(**values, workdir=str(tmp_path / name)) for name in ("whole", "stopped")
    )
    expected = train_and_evaluate(whole)["weights_sha256"]
    stop_after(3, stopped, monkeypatch)
    assert train_and_evaluate(stopped)["weights_sha256"] == expected
