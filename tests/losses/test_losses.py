"""The ladder of every loss: oracle, closed forms, invariance, gradient, precision, replicas."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import losses, randomness
from ssl_keras.errors import UserError
from ssl_keras.losses import LOSSES, priors
from tests import oracles

NAMES = sorted(LOSSES)
PRIOR_LOSSES = ("uniform_prior", "hypersphere_prior", "gaussian_prior")
NORMALIZING = ("nt_xent", "decoupled_nt_xent", "hypersphere_prior")
TEMPERATURES = (0.05, 0.1, 1.0, 10.0)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def views(batch: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    return draw(batch, dim), draw(batch, dim, seed=1)


def prior_oracle(name: str, z1: np.ndarray, z2: np.ndarray, weight: float, seed: int) -> float:
    """Alignment + weight * SWD, with the draws that the loss makes from `seed`."""
    key = randomness.as_key(seed)
    dim = z1.shape[1]
    directions = priors.random_directions(randomness.fold(key, 0), dim).numpy()
    sampler = {
        "uniform_prior": priors.cube,
        "hypersphere_prior": priors.hypersphere,
        "gaussian_prior": priors.gaussian,
    }[name]
    samples = sampler(randomness.fold(key, 1), (2 * len(z1), dim)).numpy()
    if name == "hypersphere_prior":
        z1, z2 = oracles.unit(z1), oracles.unit(z2)
    distribution = oracles.sliced_wasserstein(np.concatenate([z1, z2]), samples, directions)
    return oracles.alignment(z1, z2) + weight * distribution


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("dim", [1, 3, 16])
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_decoupled_nt_xent_equals_the_loop(batch: int, dim: int, temperature: float) -> None:
    z1, z2 = views(batch, dim)
    loss = losses.get("decoupled_nt_xent", temperature=temperature, distribution_weight=0.7)
    u1, u2 = oracles.unit(z1), oracles.unit(z2)
    both = np.concatenate([u1, u2])
    expected = oracles.alignment(u1, u2) + 0.7 * oracles.logsumexp_uniformity(both, temperature)
    np.testing.assert_allclose(loss(z1, z2), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("dim", [1, 3, 16])
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_nt_xent_equals_the_loop(batch: int, dim: int, temperature: float) -> None:
    z1, z2 = views(batch, dim)
    value = losses.get("nt_xent", temperature=temperature)(z1, z2)
    np.testing.assert_allclose(value, oracles.nt_xent(z1, z2, temperature), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", PRIOR_LOSSES)
@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("dim", [1, 3, 16])
@pytest.mark.parametrize("weight", [0.0, 1.0, 5.0])
def test_prior_losses_equal_the_loop(name: str, batch: int, dim: int, weight: float) -> None:
    z1, z2 = views(batch, dim)
    value = losses.get(name, distribution_weight=weight)(z1, z2, seed=7)
    np.testing.assert_allclose(value, prior_oracle(name, z1, z2, weight, 7), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["nt_xent", "decoupled_nt_xent"])
@pytest.mark.parametrize("num_images", [2, 16])
def test_collapse_value_is_the_loss_of_equal_projections(name: str, num_images: int) -> None:
    loss = losses.get(name)
    same = np.tile(draw(1, 8), (num_images, 1))
    np.testing.assert_allclose(loss(same, same), loss.collapse_value(num_images, 8), rtol=1e-5)


@pytest.mark.parametrize("name", PRIOR_LOSSES)
def test_distance_of_a_sample_from_the_prior_itself(name: str) -> None:
    # What two independent samples of the prior differ by, simulated in NumPy (N = 128, dim 64).
    generator = np.random.default_rng(0)

    def sample() -> np.ndarray:
        normal = generator.normal(size=(256, 64))
        if name == "uniform_prior":
            return generator.uniform(-1, 1, size=(256, 64))
        return oracles.unit(normal) if name == "hypersphere_prior" else normal

    expected, found = [], []
    loss = losses.get(name, distribution_weight=1.0)
    for seed in range(8):
        rotation = np.linalg.qr(generator.normal(size=(64, 64)))[0]
        ours, theirs = np.sort(sample() @ rotation, axis=0), np.sort(sample() @ rotation, axis=0)
        expected.append(np.mean((ours - theirs) ** 2))
        z = sample()
        found.append(loss.parts(z[:128], z[128:], seed=seed)["distribution"])
    np.testing.assert_allclose(np.mean(found), np.mean(expected), rtol=0.1)


@pytest.mark.parametrize(
    ("name", "second_moment"),
    [("hypersphere_prior", 1 / 64), ("gaussian_prior", 1.0), ("uniform_prior", 1 / 3)],
)
def test_distance_at_collapse(name: str, second_moment: float) -> None:
    # All projections equal to z: the mean square of z plus that of the prior, per dimension.
    z = np.ones((128, 64), np.float32)
    loss = losses.get(name, distribution_weight=1.0)
    found = [loss.parts(z, z, seed=seed)["distribution"] for seed in range(8)]
    mean_square = 1 / 64 if name == "hypersphere_prior" else 1.0
    np.testing.assert_allclose(np.mean(found), mean_square + second_moment, rtol=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_parts_add_up_with_the_weight(name: str) -> None:
    loss = losses.get(name)
    parts = loss.parts(*views(6, 4), seed=3)
    weight = getattr(loss, "distribution_weight", 1.0)
    np.testing.assert_allclose(
        parts["loss"], parts["alignment"] + weight * parts["distribution"], rtol=1e-6
    )


@pytest.mark.parametrize("name", NAMES)
def test_swapping_the_views_changes_nothing(name: str) -> None:
    z1, z2 = views(6, 4)
    loss = losses.get(name)
    np.testing.assert_allclose(loss(z1, z2, seed=3), loss(z2, z1, seed=3), rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_the_batch_changes_nothing(name: str) -> None:
    z1, z2 = views(6, 4)
    order = np.array([3, 1, 5, 0, 2, 4])
    loss = losses.get(name)
    np.testing.assert_allclose(loss(z1, z2, seed=3), loss(z1[order], z2[order], seed=3), rtol=1e-5)


@pytest.mark.parametrize("name", ["nt_xent", "decoupled_nt_xent"])
def test_rotating_both_views_changes_nothing(name: str) -> None:
    z1, z2 = views(6, 4)
    rotation = priors.random_directions(randomness.as_key(1), 4).numpy()
    loss = losses.get(name)
    np.testing.assert_allclose(loss(z1, z2), loss(z1 @ rotation, z2 @ rotation), rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_scaling_matters_only_without_normalization(name: str) -> None:
    z1, z2 = views(6, 4)
    loss = losses.get(name)
    plain, scaled = float(loss(z1, z2, seed=3)), float(loss(7 * z1, 0.2 * z2, seed=3))
    assert math.isclose(plain, scaled, rel_tol=1e-5) == (name in NORMALIZING)


@pytest.mark.parametrize("name", PRIOR_LOSSES)
def test_draws_depend_on_the_seed_alone(name: str) -> None:
    z1, z2 = views(6, 4)
    loss = losses.get(name)
    assert float(loss(z1, z2, seed=3)) == float(loss(z1, z2, seed=3))
    assert float(loss(z1, z2, seed=3)) != float(loss(z1, z2, seed=4))
    assert float(loss(z1, z2, seed=(0, 3))) != float(loss(z1, z2, seed=(1, 3)))


@pytest.mark.parametrize("name", NAMES)
def test_gradient_equals_finite_differences(name: str) -> None:
    z1, z2 = views(4, 3)
    loss = losses.get(name, **({"temperature": 0.5} if "nt_xent" in name else {}))
    # One direction in the space of all projections, so that rounding stays small.
    d1, d2 = draw(4, 3, seed=2), draw(4, 3, seed=3)
    length = math.sqrt(float(np.sum(d1**2) + np.sum(d2**2)))
    d1, d2 = d1 / length, d2 / length
    t1, t2 = tf.constant(z1), tf.constant(z2)
    with tf.GradientTape() as tape:
        tape.watch([t1, t2])
        value = loss(t1, t2, seed=3)
    g1, g2 = tape.gradient(value, [t1, t2])
    step = 3e-3
    up = float(loss(z1 + step * d1, z2 + step * d2, seed=3))
    down = float(loss(z1 - step * d1, z2 - step * d2, seed=3))
    slope = float(np.sum(g1 * d1) + np.sum(g2 * d2))
    np.testing.assert_allclose(slope, (up - down) / (2 * step), rtol=1e-2, atol=2e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", ["identical views", "zero vectors", "ties", "two images"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_gradients_are_finite(name: str, case: str, dtype: str) -> None:
    z = {
        "identical views": draw(5, 4),
        "zero vectors": np.zeros((5, 4), np.float32),
        "ties": np.tile(draw(1, 4), (5, 1)),
        "two images": draw(2, 4),
    }[case]
    options = {"temperature": 0.01} if "nt_xent" in name else {}
    projections = tf.Variable(tf.cast(z, dtype))
    with tf.GradientTape() as tape:
        value = losses.get(name, **options)(projections, projections, seed=0)
    assert value.dtype == tf.float32
    assert np.isfinite(value)
    assert np.all(np.isfinite(tf.cast(tape.gradient(value, projections), tf.float32)))


@pytest.mark.parametrize("name", NAMES)
def test_low_precision_input_is_computed_in_float32(name: str) -> None:
    z1, z2 = (tf.cast(z, tf.bfloat16) for z in views(6, 4))
    loss = losses.get(name)
    exact = loss(tf.cast(z1, tf.float32), tf.cast(z2, tf.float32), seed=3)
    np.testing.assert_array_equal(loss(z1, z2, seed=3), exact)


@pytest.mark.parametrize("name", NAMES)
def test_graph_with_unknown_batch_size_equals_eager(name: str) -> None:
    loss = losses.get(name)
    spec = tf.TensorSpec((None, 4), tf.float32)

    @tf.function(input_signature=[spec, spec, tf.TensorSpec((), tf.int32)])
    def in_graph(z1: tf.Tensor, z2: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return loss(z1, z2, seed=seed)

    for batch in (2, 5):
        z1, z2 = views(batch, 4)
        np.testing.assert_allclose(
            in_graph(z1, z2, tf.constant(3)), loss(z1, z2, seed=3), rtol=1e-5
        )


@pytest.mark.parametrize("name", NAMES)
def test_compiled_by_xla_equals_eager(name: str) -> None:
    loss = losses.get(name)
    z1, z2 = views(6, 4)
    compiled = tf.function(lambda a, b: loss(a, b, seed=3), jit_compile=True)
    np.testing.assert_allclose(compiled(z1, z2), loss(z1, z2, seed=3), rtol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_replicas_give_the_loss_and_gradient_of_the_global_batch(
    name: str, two_replicas: Any
) -> None:
    strategy, replicas = two_replicas, 2
    z1, z2 = views(8, 4)
    loss = losses.get(name)
    t1, t2 = tf.constant(z1), tf.constant(z2)
    with tf.GradientTape() as tape:
        tape.watch([t1, t2])
        expected = loss(t1, t2, seed=3)
    expected_gradients = np.concatenate(tape.gradient(expected, [t1, t2]), axis=1)

    share = 8 // replicas

    @tf.function
    def on_replicas(rows: Any) -> Any:
        def on_one(own: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            own_1, own_2 = own[:, :4], own[:, 4:]
            with tf.GradientTape() as tape:
                tape.watch([own_1, own_2])
                value = loss(own_1, own_2, seed=3)
                # What the training step does: sums over replicas become averages.
                objective = value / replicas
            return value, tf.concat(tape.gradient(objective, [own_1, own_2]), axis=1)

        return strategy.run(on_one, args=(rows,))

    rows = np.concatenate([z1, z2], axis=1)
    distributed = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(rows[context.replica_id_in_sync_group * share :][:share])
    )
    values, gradients = on_replicas(distributed)
    values = [float(value) for value in strategy.experimental_local_results(values)]
    gradients = np.concatenate(strategy.experimental_local_results(gradients))
    np.testing.assert_allclose(np.mean(values), expected, rtol=1e-5)
    np.testing.assert_allclose(gradients, expected_gradients, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shapes", [((1, 4), (5, 4)), ((5, 4), (5, 3)), ((5,), (5,))])
def test_views_of_different_shapes_are_refused(name: str, shapes: tuple[Any, Any]) -> None:
    with pytest.raises(UserError, match=r"must have one shape \(batch, dim\)"):
        losses.get(name)(draw(*shapes[0]), draw(*shapes[1]))


@pytest.mark.parametrize("name", NAMES)
def test_options_round_trip(name: str) -> None:
    loss = losses.get(name)
    options = loss.options()
    assert losses.get(name, **options) == loss
    assert set(options) == {field.name for field in dataclasses.fields(loss)}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nt_xnet", {}, "Unknown loss 'nt_xnet'. Did you mean 'nt_xent'?"),
        ("nt_xent", {"temperature": 0}, "temperature must be above 0, not 0"),
        ("nt_xent", {"temperature": float("nan")}, "temperature must be above 0, not nan"),
        ("nt_xent", {"temperature": "hot"}, "temperature must be a number, not 'hot'"),
        ("nt_xent", {"temprature": 1.0}, "has no temprature: it has temperature. Did you mean"),
        ("uniform_prior", {"temperature": 1.0}, "has no temperature: it has distribution_weight"),
        ("gaussian_prior", {"distribution_weight": -1}, "distribution_weight must be at least 0"),
    ],
)
def test_errors_say_what_is_valid(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        losses.get(name, **options)
    assert message in str(caught.value)
