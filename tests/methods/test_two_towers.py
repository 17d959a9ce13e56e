"""Pairs that the data give, and a separate encoder for the second of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_keras import datasets
from ssl_keras.config import Config
from ssl_keras.datasets import DataSet
from ssl_keras.errors import UserError
from ssl_keras.evaluators import EVALUATORS
from ssl_keras.methods.simclr import TwoTowers
from ssl_keras.networks import in_order
from ssl_keras.networks.dropout import dropout_keys
from ssl_keras.run import build
from ssl_keras.run.loop import batches
from ssl_keras.run.measure import encoder_features
from ssl_keras.run.restore import FrozenEncoder
from ssl_keras.run.setup import TrainingSetup
from tests import oracles

DIM, BATCH = 5, 16


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    file = tmp_path_factory.mktemp("pairs") / "pairs.npz"
    x = np.random.default_rng(0).normal(3.0, 2.0, (200, DIM))
    np.savez(file, x=x, y=np.arange(200) % 2, partner=x[:, ::-1] ** 2)
    return datasets.load("table", source=f"npz:{file}")


def setup(data: DataSet, **values: Any) -> TrainingSetup:
    settings: dict[str, Any] = {"dataset": "table", "loss": "nt_xent", "batch_size": BATCH}
    settings |= {"steps": 2, "heads": "", "jit": "off", "mlp_width": 16, "mlp_layers": 2}
    return build(Config.make(**{**settings, "views": "given", **values}), data)


def trainable(network: Any) -> list[np.ndarray]:
    return [variable.numpy() for variable in network.trainable_variables]


def test_a_step_takes_gradients_to_both_encoders(pairs: DataSet) -> None:
    training = setup(pairs, method="two_towers", optimizer="sgd", learning_rate=0.1)
    model = training.model
    assert isinstance(model, TwoTowers)
    first = (model.encoder, model.projection_head)
    second = (model.partner_encoder, model.partner_projection_head)
    assert {id(n) for n in model.networks} == {id(n) for n in (*first, *second)}
    # The towers do not share a variable, nor their initial weights.
    assert not {id(v) for n in first for v in n.variables} & {
        id(v) for n in second for v in n.variables
    }
    for network, partner in zip(first, second, strict=True):
        assert not np.array_equal(trainable(network)[0], trainable(partner)[0])
    batch = next(iter(batches(training, 0)))
    before = [trainable(network) for network in model.networks]
    model.train_step(batch)
    for network, values in zip(model.networks, before, strict=True):
        for variable, value in zip(network.trainable_variables, values, strict=True):
            assert np.abs(variable.numpy() - value).max() > 0, variable.path


def test_its_loss_is_that_of_each_tower_on_its_half(pairs: DataSet) -> None:
    training = setup(pairs, method="two_towers")
    model, batch = training.model, next(iter(batches(training, 0)))
    projections = []
    for part, encoder, head in (
        ("example", model.encoder, model.projection_head),
        ("partner", model.partner_encoder, model.partner_projection_head),
    ):
        inputs = model.modality.inputs(batch[part])
        features = encoder(inputs, training=True)
        projections.append(in_order(head(features, training=True))[-1].numpy())
    expected = oracles.nt_xent(*projections, temperature=training.config.loss.temperature)
    np.testing.assert_allclose(model.train_step(batch)["loss"], expected, rtol=1e-4)


def test_features_are_those_of_the_first_tower(pairs: DataSet) -> None:
    model = setup(pairs, method="two_towers").model
    inputs = model.modality.inputs(next(iter(pairs.test.batches(8)))["example"])
    features = model.encoder(inputs, training=False)
    np.testing.assert_array_equal(model(inputs), features)
    layers = model.representations(inputs)
    assert len(layers) == len(model.layer_names) == 3
    np.testing.assert_array_equal(layers[0], features)


@pytest.mark.parametrize("micro_batch", [None, pytest.param(4, marks=pytest.mark.full)])
def test_dropout_of_each_tower_takes_the_keys_of_its_half(
    pairs: DataSet, micro_batch: int | None
) -> None:
    training = setup(pairs, method="two_towers", views="given,dropout", micro_batch=micro_batch)
    model, batch = training.model, next(iter(batches(training, 0)))
    _, keys = model.augmenter.two_views(batch, 0)
    projections = []
    for part, rows, encoder, head in (
        ("example", slice(BATCH), model.encoder, model.projection_head),
        ("partner", slice(BATCH, None), model.partner_encoder, model.partner_projection_head),
    ):
        inputs, size = model.modality.inputs(batch[part]), micro_batch or BATCH
        parts = []
        # Batch norm takes the statistics of a micro-batch.
        for first in range(0, BATCH, size):
            with dropout_keys(keys[rows][first : first + size]):
                features = encoder(inputs[first : first + size], training=True)
            parts.append(in_order(head(features, training=True))[-1])
        projections.append(np.concatenate(parts))
    expected = oracles.nt_xent(*projections, temperature=training.config.loss.temperature)
    np.testing.assert_allclose(model.train_step(batch)["loss"], expected, rtol=1e-4)


@pytest.mark.full
def test_the_first_encoder_starts_as_that_of_simclr(pairs: DataSet) -> None:
    one, two = (setup(pairs, method=method).model for method in ("simclr", "two_towers"))
    for networks in ((one.encoder, two.encoder), (one.projection_head, two.projection_head)):
        for value, other in zip(*(n.get_weights() for n in networks), strict=True):
            np.testing.assert_array_equal(value, other)


def test_the_second_view_is_the_partner(pairs: DataSet) -> None:
    training = setup(pairs)
    batch = next(iter(batches(training, 0)))
    views, _ = training.model.augmenter.two_views(batch, 0)
    prepare = training.data.modality.prepare
    np.testing.assert_array_equal(views["x"][:BATCH], prepare(batch["example"])["x"])
    np.testing.assert_array_equal(views["x"][BATCH:], prepare(batch["partner"])["x"])
    assert "pairs that the data give" in training.model.augmenter.describe()


def test_both_of_a_pair_are_augmented_if_asked(pairs: DataSet) -> None:
    training = setup(pairs, views="given,augment", noise_deviation=0.01, corruption_rate=0.0)
    batch = next(iter(batches(training, 0)))
    views, _ = training.model.augmenter.two_views(batch, 0)
    prepare = training.data.modality.prepare
    for half, part in ((views["x"][:BATCH], "example"), (views["x"][BATCH:], "partner")):
        noise = half.numpy() - prepare(batch[part])["x"].numpy()
        assert 0.005 < noise.std() < 0.02


def test_other_views_leave_the_partner_aside(pairs: DataSet) -> None:
    training = setup(pairs, views="")
    batch = next(iter(batches(training, 0)))
    views, _ = training.model.augmenter.two_views(batch, 0)
    np.testing.assert_array_equal(views["x"][:BATCH], views["x"][BATCH:])


def test_pairs_are_refused_where_the_data_give_none(bit_data: DataSet, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        build(Config.make(views="given", heads="", batch_size=8), bit_data)
    assert str(caught.value) == (
        f"views=given takes pairs that the data give, but {bit_data.name} gives single examples: "
        "choose other --views."
    )
    np.savez(tmp_path / "single.npz", x=np.random.default_rng(0).normal(size=(40, DIM)))
    single = datasets.load("table", source=f"npz:{tmp_path / 'single.npz'}")
    with pytest.raises(UserError, match=r"^views=given takes pairs .* gives single examples"):
        setup(single)


def test_second_views_are_evaluated_by_the_second_tower(pairs: DataSet) -> None:
    training = setup(pairs, method="two_towers", views="given")
    model, data = training.model, training.data
    count = data.test.num_examples
    evaluators = {"geometry": EVALUATORS.get("geometry", geometry_images=count)}
    layers = encoder_features(FrozenEncoder.from_setup(training), evaluators).layers
    batch = next(iter(data.test.batches(count)))
    inputs = {part: model.modality.inputs(batch[part]) for part in ("example", "partner")}
    features = model.partner_encoder(inputs["partner"], training=False)
    expected = {
        "features": features,
        "projection_2": in_order(model.partner_projection_head(features, training=False))[-1],
    }
    for layer, second in expected.items():
        views = layers[layer].views
        assert views is not None
        np.testing.assert_allclose(views.second, second, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(views.first, layers[layer].test, rtol=1e-4, atol=1e-5)
