"""The training step: what moves what, determinism, replicas, and what the probe may not do."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import losses, networks
from ssl_keras.datasets import Target
from ssl_keras.inputs import Images
from ssl_keras.methods.simclr import SimCLR
from ssl_keras.views.augmenter import Augmenter

TARGETS = {
    "class": Target("class", "class", 3, 1 / 3, 1 / 3),
    "bits": Target("bits", "bits", 2, 0.5, 0.25),
}

MODALITY = Images((16, 16, 1), 1, num_bits=2)


def build_augmenter(preset: str = "digits", **values: Any) -> Augmenter:
    operations = MODALITY.operations(preset, values)
    return Augmenter(MODALITY.prepare, MODALITY.transform(operations, True))


def batch(count: int = 8, seed: int = 0) -> dict[str, Any]:
    generator = np.random.default_rng(seed)
    bits = generator.integers(0, 2, (count, 2))
    return {
        "example": {
            "image": tf.constant(generator.integers(0, 256, (count, 16, 16, 1)), tf.uint8),
            "bits": tf.constant(bits, tf.float32),
        },
        "labels": {
            "class": tf.constant(generator.integers(0, 3, count), tf.int32),
            "bits": tf.constant(bits, tf.int32),
        },
    }


def build(
    loss: str = "uniform_prior", *, probe: bool = True, kernel_l2: float = 0.0, **compiling: Any
) -> SimCLR:
    keras.utils.set_random_seed(0)
    encoder = networks.ENCODERS.get("convnet", width_multiplier=0.25).build((16, 16, 3))
    model = SimCLR(
        encoder,
        networks.build_projection_head(32, num_layers=2, hidden_dim=16, dim=8),
        networks.build_linear_probe(32, {n: f.size for n, f in TARGETS.items()}) if probe else None,
        modality=MODALITY,
        augmenter=build_augmenter(flip=True),
        targets=TARGETS,
        kernel_l2=kernel_l2,
    )
    model.compile(keras.optimizers.SGD(0.1), losses.get(loss), **compiling)
    return model


def values(variables: list[Any]) -> list[np.ndarray]:
    return [variable.numpy() for variable in variables]


def equal(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_step_moves_encoder_head_and_probe_and_counts() -> None:
    model = build()
    parts = (model.encoder, model.projection_head, model.linear_probe)
    before = [values(part.trainable_variables) for part in parts]
    model.train_step(batch())
    after = [values(part.trainable_variables) for part in parts]
    for old, new in zip(before, after, strict=True):
        assert not equal(old, new)
    assert int(model.step) == 1


def test_the_probe_never_moves_the_encoder() -> None:
    # With and without a probe, encoder and head end the same after several steps.
    with_probe, without = build(), build(probe=False)
    for seed in range(3):
        with_probe.train_step(batch(seed=seed))
        without.train_step(batch(seed=seed))
    assert equal(values(with_probe.encoder.variables), values(without.encoder.variables))
    assert equal(
        values(with_probe.projection_head.variables), values(without.projection_head.variables)
    )


def test_labels_never_reach_the_encoder() -> None:
    first, second = build(), build()
    data = batch()
    changed = {
        **data,
        "labels": {"class": 2 - data["labels"]["class"], "bits": 1 - data["labels"]["bits"]},
    }
    first.train_step(data)
    second.train_step(changed)
    assert equal(values(first.encoder.variables), values(second.encoder.variables))
    assert not equal(values(first.linear_probe.variables), values(second.linear_probe.variables))


def test_reported_values_are_those_of_the_loss() -> None:
    model = build("nt_xent")
    data = batch()
    views, _ = model.augmenter.two_views(data, tf.constant(0))
    inputs = MODALITY.compose(views)
    twin = build("nt_xent")
    projections = networks.in_order(
        twin.projection_head(twin.encoder(inputs, training=True), training=True)
    )[-1]
    z1, z2 = tf.split(projections, 2)
    expected = losses.get("nt_xent").parts(z1, z2)
    logs = model.train_step(data)
    for name in ("loss", "alignment", "distribution"):
        np.testing.assert_allclose(logs[name], expected[name], rtol=1e-5)


def test_bits_are_the_same_in_both_views_and_not_augmented() -> None:
    seen = []
    model = build()
    inner = model.encoder

    class Spy:
        trainable_variables, variables = inner.trainable_variables, inner.variables

        def __call__(self, images: Any, training: bool) -> Any:
            seen.append(images.numpy())
            return inner(images, training=training)

    data = batch()
    model.encode = MODALITY.encoding(Spy())
    model.train_step(data)
    (inputs,) = seen
    assert inputs.shape == (16, 16, 16, 3)
    for view in (inputs[:8], inputs[8:]):
        for bit in range(2):
            plane = view[..., 1 + bit]
            np.testing.assert_array_equal(
                plane,
                np.broadcast_to(data["example"]["bits"].numpy()[:, bit, None, None], plane.shape),
            )
    assert np.abs(inputs[:8, ..., 0] - inputs[8:, ..., 0]).max() > 0.01


def test_same_seed_same_weights_other_steps_other_views() -> None:
    first, second = build(), build()
    for _ in range(2):
        first.train_step(batch())
        second.train_step(batch())
    assert equal(values(first.variables), values(second.variables))
    third = build()
    third.step.assign(5)
    for _ in range(2):
        third.train_step(batch())
    assert not equal(values(first.encoder.variables), values(third.encoder.variables))


@pytest.mark.full
@pytest.mark.parametrize("loss", ["uniform_prior", "hypersphere_prior", "gaussian_prior"])
def test_directions_and_samples_are_fresh_at_each_step(loss: str) -> None:
    # Frozen weights, no augmentation, one batch: only the draws of the loss can differ.
    model = build(loss)
    model.augmenter = build_augmenter("none")
    model.optimizer.learning_rate = 0.0

    def distribution(step: int) -> float:
        model.step.assign(step)
        model.reset_metrics()
        return float(model.train_step(batch())["distribution"])

    values_by_step = [distribution(step) for step in (0, 1, 2, 0)]
    assert len(set(values_by_step)) == 3
    assert values_by_step[0] == values_by_step[3]


def test_call_gives_features_in_inference_mode_by_default() -> None:
    model = build()
    images = tf.random.stateless_uniform((4, 16, 16, 3), (0, 0))
    before = values(model.variables)
    features = model(images)
    assert features.shape == (4, 32)
    assert equal(before, values(model.variables))
    layers = model.representations(images)
    np.testing.assert_array_equal(layers[0], features)
    assert [layer.shape[1] for layer in layers] == [32, 16, 8]


def test_kernel_penalty_shrinks_kernels_only() -> None:
    plain, penalised = build(kernel_l2=0.0), build(kernel_l2=0.05)
    start = values(plain.learned_variables)
    plain.train_step(batch())
    penalised.train_step(batch())
    for old, a, b in zip(
        start, values(plain.learned_variables), values(penalised.learned_variables), strict=True
    ):
        decay = 0.1 * 2 * 0.05 * old if old.ndim > 1 else 0.0 * old
        np.testing.assert_allclose(a - b, decay, atol=2e-6)


def test_fit_works_as_with_any_keras_model() -> None:
    model = build("nt_xent")
    history = model.fit(tf.data.Dataset.from_tensors(batch()).repeat(2), epochs=2, verbose=0)
    assert set(history.history) == {metric.name for metric in model.metrics}
    assert int(model.step) == 4


@pytest.mark.full
@pytest.mark.parametrize(
    "policy", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.full)]
)
def test_mixed_precision_trains_with_a_float32_loss(policy: str) -> None:
    keras.utils.set_random_seed(0)
    model = SimCLR(
        networks.ENCODERS.get("convnet", width_multiplier=0.25).build((16, 16, 3), policy),
        networks.build_projection_head(32, num_layers=2, hidden_dim=16, dim=8, dtype=policy),
        networks.build_linear_probe(32, {n: f.size for n, f in TARGETS.items()}),
        modality=MODALITY,
        augmenter=build_augmenter(),
        targets=TARGETS,
        dtype=keras.DTypePolicy(policy),
    )
    model.compile(keras.optimizers.Adam(1e-2), losses.get("nt_xent", temperature=0.05))
    scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")
    before = values(model.learned_variables)
    first = float(model.train_step(batch())["loss"])
    for _ in range(15):
        model.reset_metrics()
        logs = model.train_step(batch())
    assert np.isfinite(float(logs["loss"]))
    assert float(logs["loss"]) < first
    assert not equal(before, values(model.learned_variables))


@pytest.mark.exhaustive
def test_compiled_step_takes_the_step_of_the_plain_graph() -> None:
    results = []
    for jit in (False, True):
        model = build("uniform_prior", jit_compile=jit)
        model.fit(tf.data.Dataset.from_tensors(batch()).repeat(2), verbose=0)
        results.append(values(model.learned_variables))
    for plain, compiled in zip(*results, strict=True):
        np.testing.assert_allclose(plain, compiled, rtol=1e-3, atol=1e-4)
