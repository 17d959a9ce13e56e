"""The baselines: they learn what they should, from the same encoder, and say what they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras.config import Config
from ssl_keras.datasets import DataSet
from ssl_keras.errors import UserError
from ssl_keras.methods.autoencoder import Autoencoder
from ssl_keras.methods.supervised import Supervised
from ssl_keras.networks import build_decoder
from ssl_keras.run import build, restore_run, train_and_evaluate

SMALL: dict[str, Any] = {"num_bits": 3, "batch_size": 64, "steps": 30, "width_multiplier": 0.25}


def trained(data: DataSet, **values: Any) -> Any:
    built = build(Config.make(**{**SMALL, **values}), data)
    batches = data.train.training_batches(64, seed=0, num_steps=built.total_steps)
    built.model.fit(batches, epochs=1, verbose=0)
    return built


@pytest.mark.full
def test_all_methods_start_from_one_encoder(bit_data: DataSet) -> None:
    weights = [
        build(Config.make(**SMALL, method=method), bit_data).model.encoder.get_weights()
        for method in ("simclr", "supervised", "autoencoder", "two_towers")
    ]
    for other in weights[1:]:
        for ours, theirs in zip(weights[0], other, strict=True):
            np.testing.assert_array_equal(ours, theirs)


@pytest.mark.full
def test_supervision_learns_its_feature(bit_data: DataSet) -> None:
    built = trained(bit_data, method="supervised", learning_rate=0.01)
    assert isinstance(built.model, Supervised)
    names = [metric.name for metric in built.model.metrics]
    assert names[:2] == ["loss", "supervised/class/accuracy"]
    assert float(built.model.trackers["supervised/class/accuracy"].result()) > 0.3
    assert built.model.layer_names == ["features"]


@pytest.mark.exhaustive
def test_supervision_learns_another_target(bit_data: DataSet) -> None:
    bits = trained(bit_data, method="supervised", supervised_target="bits", learning_rate=0.01)
    assert float(bits.model.trackers["supervised/bits/accuracy"].result()) > 0.85


def test_the_supervised_loss_is_the_cross_entropy_of_both_views(bit_data: DataSet) -> None:
    model = build(Config.make(**SMALL, method="supervised"), bit_data).model
    batch = next(iter(bit_data.train.training_batches(8, seed=0, num_steps=1)))
    views, _ = model.augmenter.two_views(batch, 0)
    inputs = model.modality.compose(views)
    logits = model.classifier(model.encoder(inputs, training=True))["class"]
    shares = tf.nn.softmax(logits).numpy()
    labels = np.concatenate([batch["labels"]["class"]] * 2)
    expected = -np.mean(np.log(shares[np.arange(16), labels]))
    loss = model.train_step(batch)["loss"]
    np.testing.assert_allclose(loss, expected, rtol=1e-4)


@pytest.mark.exhaustive
def test_the_autoencoder_learns_to_reconstruct(bit_data: DataSet) -> None:
    settings = {"method": "autoencoder", "steps": 200, "learning_rate": 0.01, "views": ""}
    untrained = build(Config.make(**{**SMALL, **settings}), bit_data)
    built = trained(bit_data, **settings)
    model = built.model
    assert isinstance(model, Autoencoder)
    assert model.extra_channels_weight == 3.0  # three bits, one channel: each weighs alike
    images = built.data.inputs(next(iter(bit_data.test.batches(64))))
    before = untrained.model.errors(images, untrained.model.reconstruct(images))
    after = model.errors(images, model.reconstruct(images))
    assert model.reconstruct(images).shape == images.shape == (64, 28, 28, 4)
    for name in ("loss", "example_error", "extra_channels_error"):
        assert float(after[name]) < 0.9 * float(before[name])
    # Far better than the mean of the bits, which pays their variance.
    assert float(after["extra_channels_error"]) < 0.4 * float(
        tf.math.reduce_variance(images[..., 1:])
    )


def test_the_loss_weighs_the_parts(bit_data: DataSet) -> None:
    config = Config.make(**SMALL, method="autoencoder", extra_channels_weight=0.5)
    model = build(config, bit_data).model
    images = np.random.default_rng(0).random((4, 28, 28, 4)).astype(np.float32)
    values = model.errors(images, tf.zeros_like(images))
    np.testing.assert_allclose(values["example_error"], np.mean(images[..., :1] ** 2), rtol=1e-5)
    np.testing.assert_allclose(
        values["extra_channels_error"], np.mean(images[..., 1:] ** 2), rtol=1e-5
    )
    np.testing.assert_allclose(
        values["loss"], values["example_error"] + 0.5 * values["extra_channels_error"], rtol=1e-6
    )


def test_without_bits_there_is_no_error_of_extra_channels(data_dir: str) -> None:
    config = Config.make(**{**SMALL, "num_bits": 0}, method="autoencoder", data_dir=data_dir)
    model = build(config).model
    assert "extra_channels_error" not in model.trackers
    with pytest.raises(
        UserError, match=r"extra_channels_weight has no effect on .*, which has no extra channels"
    ):
        build(
            Config.make(
                **{**SMALL, "num_bits": 0},
                method="autoencoder",
                extra_channels_weight=1,
                data_dir=data_dir,
            )
        )


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("shape", [(28, 28, 1), (30, 17, 5), (4, 4, 3)])
def test_decoders_give_images_of_any_size(shape: tuple[int, int, int], smooth: bool) -> None:
    decoder = build_decoder(8, shape, smooth=smooth)
    assert decoder(np.zeros((2, 8), np.float32)).shape == (2, *shape)


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "baseline", [("supervised", "bfloat16"), ("autoencoder", "off")], ids="-".join
)
def test_a_whole_run(
    baseline: tuple[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    method, precision = baseline
    config = Config.make(
        **{**SMALL, "steps": 4},
        method=method,
        loss="nt_xent",
        temperature=0.5,
        heads="knn,geometry",
        mixed_precision=precision,
        workdir=str(tmp_path / "run"),
    )
    assert config.loss is None
    assert "loss" not in config.flat()
    results = train_and_evaluate(config)
    output = capfd.readouterr().out
    assert f"Note: method={method} has no contrastive loss and no projection head" in output
    assert "loss, temperature set aside" in output
    assert results["setup"]["method"].startswith(method)
    assert {key.split("/")[1] for key in results["results"] if key.startswith("knn")} == {
        "features"
    }
    assert all("projections" not in key for key in results["geometry_history"][-1])
    assert restore_run(tmp_path / "run").model.layer_names == ["features"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"method": "supervised", "supervised_target": "digit"},
            "method=supervised is to learn 'digit', but .* has class, bits",
        ),
        ({"method": "superwised"}, "Did you mean 'supervised'"),
        (
            {"method": "simclr", "extra_channels_weight": 1.0},
            "The method 'simclr' has no extra_channels_weight",
        ),
    ],
)
def test_mistakes_are_refused(values: dict[str, Any], message: str, bit_data: DataSet) -> None:
    with pytest.raises(UserError, match=message):
        build(Config.make(**SMALL, **values), bit_data)
