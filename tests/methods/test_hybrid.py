"""A contrastive loss with a reconstruction: the sum, and the weights of channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ssl_keras import datasets
from ssl_keras.config import Config
from ssl_keras.datasets import DataSet
from ssl_keras.errors import UserError
from ssl_keras.methods.hybrid import Hybrid, unexplained_weights
from ssl_keras.networks import in_order
from ssl_keras.run import build
from ssl_keras.run.loop import batches
from ssl_keras.run.setup import TrainingSetup
from tests import oracles

BATCH = 16


def setup(data: DataSet, **values: Any) -> TrainingSetup:
    settings: dict[str, Any] = {"method": "hybrid", "loss": "nt_xent", "num_bits": 3}
    settings |= {"batch_size": BATCH, "steps": 4, "heads": "", "width_multiplier": 0.25}
    return build(Config.make(**{**settings, "jit": "off", **values}), data)


@pytest.mark.full
@pytest.mark.parametrize("weights", ["equal", "unexplained"])
def test_the_loss_is_the_sum_of_both(bit_data: DataSet, weights: str) -> None:
    training = setup(bit_data, reconstruction_weight=3.0, channel_weights=weights)
    model, batch = training.model, next(iter(batches(training, 0)))
    assert isinstance(model, Hybrid)
    views, _ = model.augmenter.two_views(batch, 0)
    inputs = model.modality.compose(views).numpy()
    features = model.encoder(inputs, training=True)
    projections = in_order(model.projection_head(features, training=True))[-1].numpy()
    reconstructed = model.decoder(features, training=True).numpy()
    expected = [1.0] * 4 if weights == "equal" else unexplained_weights(bit_data)
    error = sum(
        weight * np.mean((inputs[..., channel] - reconstructed[..., channel]) ** 2)
        for channel, weight in enumerate(expected)
    ) / len(expected)
    temperature = training.config.loss.temperature
    contrastive = oracles.nt_xent(*np.split(projections, 2), temperature=temperature)
    values = model.train_step(batch)
    np.testing.assert_allclose(values["reconstruction_error"], error, rtol=1e-4)
    np.testing.assert_allclose(values["loss"], contrastive + 3.0 * error, rtol=1e-4)


def test_channels_that_one_number_explains_weigh_little(bit_data: DataSet) -> None:
    weights = unexplained_weights(bit_data)
    assert weights.shape == (4,)
    assert np.mean(weights) == pytest.approx(1.0)
    assert weights[0] > 50 * weights[1:].max()  # the picture, against each bit
    means = np.concatenate(
        [bit_data.inputs(b).numpy().mean(axis=(1, 2))
         for b in bit_data.train.batches(500, np.arange(1000))]
    )  # fmt: skip
    ratio = (means[:, 0].var() + 1e-4) / (means[:, 1].var() + 1e-4)
    assert weights[1] / weights[0] == pytest.approx(ratio, rel=1e-4)


def test_entries_of_vectors_weigh_alike(tmp_path: Any) -> None:
    np.savez(tmp_path / "x.npz", x=np.random.default_rng(0).normal(size=(60, 4)) * [1, 9, 1, 1])
    data = datasets.load("table", source=f"npz:{tmp_path / 'x.npz'}")
    np.testing.assert_array_equal(unexplained_weights(data), np.ones(4))


def test_it_reconstructs_and_refuses_groups(bit_data: DataSet) -> None:
    model = setup(bit_data).model
    inputs = np.zeros((2, 28, 28, 4), np.float32)
    expected = model.decoder(model.encoder(inputs, training=False), training=False)
    np.testing.assert_array_equal(model.reconstruct(inputs), expected)
    with pytest.raises(UserError, match="compares whole batches"):
        setup(bit_data, neighbours=4, condition_on="class")


@pytest.mark.full
def test_latent_target_decoding_adds_the_cosine_to_the_untrained_features(
    bit_data: DataSet,
) -> None:
    training = setup(bit_data, method="ltd", decoding_weight=2.0, learning_rate=0.01)
    model = training.model
    steps = iter(batches(training, 0))
    model.train_step(next(steps))
    initial = setup(bit_data, method="ltd").model.encoder  # the same seed
    batch = next(steps)
    views, _ = model.augmenter.two_views(batch, 1)
    inputs = model.modality.compose(views).numpy()
    features = model.encoder(inputs, training=True)
    projections = in_order(model.projection_head(features, training=True))[-1].numpy()
    decoded = model.decoder(features, training=True).numpy()
    targets = initial(inputs, training=False).numpy()
    cosines = np.sum(decoded * targets, axis=1)
    cosines /= np.linalg.norm(decoded, axis=1) * np.linalg.norm(targets, axis=1)
    contrastive = oracles.nt_xent(
        *np.split(projections, 2), temperature=training.config.loss.temperature
    )
    before = [variable.numpy() for variable in model.target_encoder.variables]
    model.reset_metrics()
    values = model.train_step(batch)
    np.testing.assert_allclose(values["decoding_error"], 1 - np.mean(cosines), rtol=1e-3)
    expected = contrastive + 2.0 * (1 - np.mean(cosines))
    np.testing.assert_allclose(values["loss"], expected, rtol=1e-3)
    for variable, old in zip(model.target_encoder.variables, before, strict=True):
        np.testing.assert_array_equal(variable, old)
