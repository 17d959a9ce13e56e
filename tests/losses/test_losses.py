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
from tests.distribution.parity import one_of_each_kind
from tests.tiers import first_in_check, first_in_test

NAMES = sorted(LOSSES)
# The first loss of each file: these alone are compiled, but for the exhaustive tests.
KINDS = one_of_each_kind()
BY_KIND = [*KINDS, *(name for name in NAMES if name not in KINDS)]
PRIOR_LOSSES = ("uniform_prior", "hypersphere_prior", "gaussian_prior")
FREE = (
    "uniform_prior", "gaussian_prior", "n_pair", "logistic", "hinge", "margin", "vicreg",
    "barlow_twins", "sgns",
)  # fmt: skip
NORMALIZING = tuple(name for name in NAMES if name not in FREE)
DRAWING = (*PRIOR_LOSSES, "sgns")
BY_ENTRY = ("vicreg", "barlow_twins")  # of entries, not of directions
# The views differ in kind, and noise is drawn by position.
ONE_SIDED = ("sgns",)
LABELS = {"class": np.array([0, 1, 0, 2, 1, 0, 2, 1], np.int32)}
TEMPERATURES = (0.05, 0.1, 1.0, 10.0)


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def views(batch: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    return draw(batch, dim), draw(batch, dim, seed=1)


def class_labels(batch: int) -> dict[str, np.ndarray]:
    """Labels with pairs of one class, for the losses that use them."""
    return {"class": LABELS["class"][:batch]}


# Options beside the defaults that the ladder runs too.
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in NAMES),
    ("nt_xent", {"negatives": "cross"}),
    ("decoupled_nt_xent", {"temperature": "linear:0.5:2"}),
    ("align_uniform", {"alpha": 1.0, "t": 3.0, "alignment_weight": 3.0}),
    ("hard_contrastive", {"num_negatives": 2}),
    ("hard_simple", {"quantile": 0.5}),
    ("triplet", {"mining": "all"}),
    ("triplet", {"mining": "hard"}),
]
SYMMETRIC = [variant for variant in VARIANTS if variant[0] not in ONE_SIDED]


def soft(name: str) -> dict[str, float]:
    """Options at which the loss is smooth enough for finite differences."""
    return {"temperature": 0.5} if hasattr(losses.get(name), "temperature") else {}


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


def expected_value(
    name: str, z1: np.ndarray, z2: np.ndarray, options: dict[str, Any], labels: np.ndarray
) -> float:
    """The oracle of a loss with its options."""
    if name in ("debiased", "hard_negative"):
        return oracles.debiased(z1, z2, **options)
    if name == "supcon":
        return oracles.supcon(z1, z2, labels, **options)
    if name == "align_uniform":
        weights = (options["alignment_weight"], options["uniformity_weight"])
        return oracles.align_uniform(z1, z2, weights, options["alpha"], options["t"])
    if name == "vicreg":
        return oracles.vicreg(z1, z2, tuple(options.values()))
    if name == "barlow_twins":
        return oracles.barlow_twins(z1, z2, options["redundancy_weight"])
    if name == "ifm":
        return oracles.ifm(z1, z2, **options)
    if name == "simple":
        return oracles.simple(z1, z2, options["distribution_weight"])
    if name == "hard_simple":
        return oracles.simple(z1, z2, options["distribution_weight"], options["num_negatives"])
    if name == "hard_contrastive":
        return oracles.hard_contrastive(z1, z2, options["temperature"], options["num_negatives"])
    if name == "triplet":
        return oracles.triplet(z1, z2, **options)
    if name == "margin":
        return oracles.margin(z1, z2, options["margin"])
    if name == "nt_xent":
        return oracles.nt_xent_variant(z1, z2, **options)
    return oracles.dot_product_losses(z1, z2)[name]


VICREG_WEIGHTS = ("alignment_weight", "variance_weight", "covariance_weight")
GRID: list[tuple[str, dict[str, Any]]] = [
    *(
        ("nt_xent", {"temperature": t, "negatives": negatives, "direction": direction})
        for t in TEMPERATURES
        for negatives in ("both", "cross")
        for direction in ("both", "one")
    ),
    *(
        ("debiased", {"temperature": t, "tau_plus": tau_plus})
        for t in TEMPERATURES
        for tau_plus in (0.0, 0.1, 0.5)
    ),
    *(
        ("hard_negative", {"temperature": t, "tau_plus": 0.1, "beta": beta})
        for t in TEMPERATURES
        for beta in (0.0, 0.5, 2.0)
    ),
    *(("supcon", {"temperature": t}) for t in TEMPERATURES),
    *(
        (
            "align_uniform",
            {"alignment_weight": a, "uniformity_weight": u, "alpha": alpha, "t": t},
        )
        for a, u in ((1.0, 1.0), (3.0, 0.5))
        for alpha in (0.5, 1.0, 2.0, 3.0)
        for t in (0.5, 2.0, 8.0)
    ),
    *(
        ("vicreg", dict(zip(VICREG_WEIGHTS, weights, strict=True)))
        for weights in ((25.0, 25.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    ),
    *(("barlow_twins", {"redundancy_weight": weight}) for weight in (0.0, 0.0051, 1.0)),
    *(
        ("ifm", {"temperature": t, "epsilon": epsilon})
        for t in (0.1, 1.0)
        for epsilon in (0.0, 0.1, 0.5)
    ),
    *(("simple", {"distribution_weight": weight}) for weight in (0.0, 1.0, 3.0)),
    *(("hard_simple", {"distribution_weight": 2.0, "num_negatives": number}) for number in (1, 3)),
    *(
        ("hard_contrastive", {"temperature": t, "num_negatives": number})
        for t in TEMPERATURES
        for number in (1, 3)
    ),
    *(
        ("triplet", {"margin": margin, "mining": mining})
        for margin in (0.0, 0.2, 2.0)
        for mining in ("all", "semi_hard", "hard")
    ),
    *(("margin", {"margin": margin}) for margin in (0.5, 1.0, 5.0)),
    ("n_pair", {}),
    ("logistic", {}),
    ("hinge", {}),
]


@pytest.mark.parametrize(("name", "options"), GRID, ids=str)
def test_losses_equal_the_loop(name: str, options: dict[str, Any]) -> None:
    for batch in (2, 5, 8):
        for dim in (1, 3, 16):
            z1, z2 = draw(batch, dim, seed=batch), draw(batch, dim, seed=dim + 100)
            labels = LABELS["class"][:batch]
            value = losses.get(name, **options)(z1, z2, labels={"class": labels})
            expected = expected_value(name, z1, z2, options, labels)
            np.testing.assert_allclose(value, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    "name", [n for n in NAMES if n not in (*PRIOR_LOSSES, "decoupled_nt_xent")]
)
def test_one_image_has_no_negatives(name: str) -> None:
    # What is left is the attraction; softmax and hinge losses are 0.
    z1, z2 = draw(1, 4), draw(1, 4, seed=1)
    cosine = float(np.sum(oracles.unit(z1) * oracles.unit(z2)))
    attraction = {"simple": -cosine, "hard_simple": -cosine, "align_uniform": 2 - 2 * cosine}
    attraction["margin"] = float(np.sum((z1 - z2) ** 2))
    attraction["sgns"] = math.log1p(math.exp(-float(np.sum(z1 * z2))))
    # One image has no variance, and no correlations.
    attraction |= {"vicreg": 25 * float(np.mean((z1 - z2) ** 2)) + 24.75, "barlow_twins": 4.0}
    value = losses.get(name)(z1, z2, seed=0)
    np.testing.assert_allclose(value, attraction.get(name, 0.0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("beta", [0.0, 10.0, 49.0])
@pytest.mark.parametrize("tau_plus", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("temperature", [0.2, 1.0])
@pytest.mark.parametrize("spread", [0.1, 3.0])
def test_a_concentrated_correction_keeps_its_digits(
    beta: float, tau_plus: float, temperature: float, spread: float
) -> None:
    # The docstring of HardNegative promises 1e-4 up to (1 + beta) / t = 250.
    z1 = draw(1, 16, seed=5) + spread * draw(64, 16)
    z2 = z1 + 0.3 * spread * draw(64, 16, seed=1)
    loss = losses.get("hard_negative", temperature=temperature, beta=beta, tau_plus=tau_plus)
    expected = oracles.debiased(z1, z2, temperature, tau_plus, beta)
    for implementation in ("dense", "tiled"):
        value = float(loss(z1, z2, implementation=implementation))
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e7])
def test_distances_beside_a_far_row_and_far_from_the_origin_keep_their_digits(scale: float) -> None:
    z1, z2 = draw(6, 3), draw(6, 3, seed=1)
    far = z1.copy()
    far[0] = scale
    moved = (z1 + np.float32(scale), z2 + np.float32(scale))
    for first, second in ((far, z2), moved):
        expected = oracles.margin(first, second, 2.0)
        np.testing.assert_allclose(
            losses.get("margin", margin=2.0)(first, second), expected, rtol=1e-5
        )


@pytest.mark.parametrize(
    "kind",
    ["whole", "half", "boolean", "vectors of whole", "vectors of half", "vectors of booleans"],
)
def test_labels_of_any_type_are_equal_or_not(kind: str) -> None:
    generator = np.random.default_rng(3)
    labels: np.ndarray = generator.integers(0, 2, (8, 2) if "vectors" in kind else 8)
    classes = labels @ [1, 2] if "vectors" in kind else labels
    if "half" in kind:
        labels = labels * 0.3 + 0.1
    elif "boolean" in kind:
        labels = labels.astype(bool)
    z1, z2 = views(8, 4)
    expected = oracles.supcon(z1, z2, classes, 0.5)
    loss = losses.get("supcon", temperature=0.5)
    for implementation in ("dense", "tiled"):
        value = loss(z1, z2, labels=labels, implementation=implementation)
        np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("num_images", first_in_test([2, 1, 16]))
def test_collapse_value_is_the_loss_of_equal_projections(name: str, num_images: int) -> None:
    loss = losses.get(name)
    same = np.tile(draw(1, 8), (num_images, 1)) * (0.0 if name in FREE else 1.0)
    value = np.mean([loss(same, same, seed=seed) for seed in range(64 if name in DRAWING else 1)])
    tolerance = 0.05 if name in DRAWING else 1e-5
    np.testing.assert_allclose(value, loss.collapse_value(num_images, 8), rtol=tolerance, atol=1e-6)


@pytest.mark.parametrize("name", PRIOR_LOSSES)
def test_distance_of_a_sample_from_the_prior_itself(name: str) -> None:
    # The distance of two independent samples of the prior, simulated in NumPy (N = 128, dim 64).
    generator = np.random.default_rng(0)

    def sample() -> np.ndarray:
        normal = generator.normal(size=(256, 64))
        if name == "uniform_prior":
            return generator.uniform(-1, 1, size=(256, 64))
        return oracles.unit(normal) if name == "hypersphere_prior" else normal

    expected, distances = [], []
    loss = losses.get(name, distribution_weight=1.0)
    for seed in range(8):
        rotation = np.linalg.qr(generator.normal(size=(64, 64)))[0]
        first, second = np.sort(sample() @ rotation, axis=0), np.sort(sample() @ rotation, axis=0)
        expected.append(np.mean((first - second) ** 2))
        z = sample()
        distances.append(loss.parts(z[:128], z[128:], seed=seed)["distribution"])
    np.testing.assert_allclose(np.mean(distances), np.mean(expected), rtol=0.1)


@pytest.mark.parametrize(
    ("name", "second_moment"),
    [("hypersphere_prior", 1 / 64), ("gaussian_prior", 1.0), ("uniform_prior", 1 / 3)],
)
def test_distance_at_collapse(name: str, second_moment: float) -> None:
    # All projections equal to z: the mean square of z plus that of the prior, per dimension.
    z = np.ones((128, 64), np.float32)
    loss = losses.get(name, distribution_weight=1.0)
    distances = [loss.parts(z, z, seed=seed)["distribution"] for seed in range(8)]
    mean_square = 1 / 64 if name == "hypersphere_prior" else 1.0
    np.testing.assert_allclose(np.mean(distances), mean_square + second_moment, rtol=0.05)


@pytest.mark.parametrize("name", NAMES)
def test_parts_add_up_with_the_weight(name: str) -> None:
    loss = losses.get(name)
    parts = loss.parts(*views(6, 4), seed=3)
    names = ("distribution_weight", "uniformity_weight", "redundancy_weight")
    first = getattr(loss, "alignment_weight", 1.0)
    second = next((getattr(loss, name) for name in names if hasattr(loss, name)), 1.0)
    np.testing.assert_allclose(
        parts["loss"],
        first * parts["alignment"] + second * parts["distribution"],
        rtol=1e-6,
        atol=1e-6,
    )


@pytest.mark.parametrize(("name", "options"), SYMMETRIC, ids=str)
def test_swapping_the_views_changes_nothing(name: str, options: dict[str, Any]) -> None:
    z1, z2 = views(6, 4)
    loss, labels = losses.get(name, **options), class_labels(6)
    np.testing.assert_allclose(
        loss(z1, z2, labels, seed=3), loss(z2, z1, labels, seed=3), rtol=1e-5
    )


@pytest.mark.parametrize(("name", "options"), SYMMETRIC, ids=str)
def test_the_order_of_the_batch_changes_nothing(name: str, options: dict[str, Any]) -> None:
    z1, z2 = views(6, 4)
    order = np.array([3, 1, 5, 0, 2, 4])
    loss, labels = losses.get(name, **options), class_labels(6)
    ordered = {"class": labels["class"][order]}
    np.testing.assert_allclose(
        loss(z1, z2, labels, seed=3), loss(z1[order], z2[order], ordered, seed=3), rtol=1e-5
    )


def test_labels_matter_to_the_losses_that_use_them() -> None:
    z1, z2 = views(6, 4)
    for name in NAMES:
        loss = losses.get(name)
        plain, labelled = loss(z1, z2, seed=3), loss(z1, z2, class_labels(6), seed=3)
        assert (float(plain) != float(labelled)) == (name == "supcon")


@pytest.mark.parametrize("name", [name for name in NAMES if name not in (*PRIOR_LOSSES, *BY_ENTRY)])
def test_rotating_both_views_changes_nothing(name: str) -> None:
    z1, z2 = views(6, 4)
    rotation = priors.random_directions(randomness.as_key(1), 4).numpy()
    loss = losses.get(name)
    labels = class_labels(6)
    np.testing.assert_allclose(
        loss(z1, z2, labels), loss(z1 @ rotation, z2 @ rotation, labels), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize("name", NAMES)
def test_scaling_matters_only_without_normalization(name: str) -> None:
    z1, z2 = views(6, 4)
    loss = losses.get(name)
    labels = class_labels(6)
    plain = float(loss(z1, z2, labels, seed=3))
    scaled = float(loss(7 * z1, 0.2 * z2, labels, seed=3))
    assert math.isclose(plain, scaled, rel_tol=1e-5, abs_tol=1e-6) == (name in NORMALIZING)


@pytest.mark.parametrize("name", DRAWING)
def test_draws_depend_on_the_seed_alone(name: str) -> None:
    z1, z2 = views(6, 4)
    loss = losses.get(name)
    assert float(loss(z1, z2, seed=3)) == float(loss(z1, z2, seed=3))
    assert float(loss(z1, z2, seed=3)) != float(loss(z1, z2, seed=4))
    assert float(loss(z1, z2, seed=(0, 3))) != float(loss(z1, z2, seed=(1, 3)))


@pytest.mark.parametrize("name", NAMES)
def test_gradient_equals_finite_differences(name: str) -> None:
    z1, z2 = views(4, 3)
    loss = losses.get(name, **soft(name))
    # One direction in the space of all projections, so that rounding stays small.
    d1, d2 = draw(4, 3, seed=2), draw(4, 3, seed=3)
    length = math.sqrt(float(np.sum(d1**2) + np.sum(d2**2)))
    d1, d2 = d1 / length, d2 / length
    t1, t2 = tf.constant(z1), tf.constant(z2)
    with tf.GradientTape() as tape:
        tape.watch([t1, t2])
        value = loss(t1, t2, class_labels(4), seed=3)
    g1, g2 = tape.gradient(value, [t1, t2])
    step = 3e-3
    up = float(loss(z1 + step * d1, z2 + step * d2, class_labels(4), seed=3))
    down = float(loss(z1 - step * d1, z2 - step * d2, class_labels(4), seed=3))
    slope = float(np.sum(g1 * d1) + np.sum(g2 * d2))
    np.testing.assert_allclose(slope, (up - down) / (2 * step), rtol=1e-2, atol=2e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("case", ["identical views", "zero vectors", "ties", "two images", "long"])
@pytest.mark.parametrize("dtype", ["float32", *first_in_check(["bfloat16", "float16"], 1)])
def test_gradients_are_finite(name: str, case: str, dtype: str) -> None:
    z = {
        "identical views": draw(5, 4),
        "zero vectors": np.zeros((5, 4), np.float32),
        "ties": np.tile(draw(1, 4), (5, 1)),
        "two images": draw(2, 4),
        "long": 1e3 * draw(5, 4),
    }[case]
    if (name, case, dtype) == ("vicreg", "long", "float16"):
        pytest.skip("it grows as the third power of the length, beyond float16")
    options = {"temperature": 0.01} if hasattr(losses.get(name), "temperature") else {}
    labels = {"class": LABELS["class"][: len(z)]}
    projections = tf.Variable(tf.cast(z, dtype))
    others = tf.Variable(tf.cast(z[::-1] if case in ("two images", "long") else z, dtype))
    with tf.GradientTape() as tape:
        value = losses.get(name, **options)(projections, others, labels=labels, seed=0)
    assert value.dtype == tf.float32
    assert np.isfinite(value)
    for gradient in tape.gradient(value, [projections, others]):
        assert np.all(np.isfinite(tf.cast(gradient, tf.float32)))
        if case == "zero vectors" and name in NORMALIZING:  # they have no direction
            assert not np.any(tf.cast(gradient, tf.float32))


@pytest.mark.parametrize("name", NAMES)
def test_low_precision_input_is_computed_in_float32(name: str) -> None:
    z1, z2 = (tf.cast(z, tf.bfloat16) for z in views(6, 4))
    loss = losses.get(name)
    labels = class_labels(6)
    exact = loss(tf.cast(z1, tf.float32), tf.cast(z2, tf.float32), labels, seed=3)
    np.testing.assert_array_equal(loss(z1, z2, labels, seed=3), exact)


@pytest.mark.parametrize("name", first_in_test(BY_KIND, len(KINDS)))
def test_graph_with_unknown_batch_size_and_variables_equals_eager(name: str) -> None:
    plain = losses.get(name)
    variables = {n: tf.Variable(2 * value) for n, value in plain.constants.items()}
    spec = tf.TensorSpec((None, 4), tf.float32)

    numbers = [tf.TensorSpec((), tf.int32), tf.TensorSpec((None,), tf.int32)]

    @tf.function(input_signature=[spec, spec, *numbers])
    def in_graph(z1: tf.Tensor, z2: tf.Tensor, seed: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        values = {n: tf.identity(variable) for n, variable in variables.items()}
        return plain.with_values(values)(z1, z2, seed=seed, labels={"class": labels})

    loss = losses.get(name, **{n: 2 * value for n, value in plain.constants.items()})
    for batch in (2, 5, 8):
        z1, z2 = views(batch, 4)
        labels = LABELS["class"][:batch]
        np.testing.assert_allclose(
            in_graph(z1, z2, tf.constant(3), tf.constant(labels)),
            loss(z1, z2, seed=3, labels={"class": labels}),
            rtol=1e-5,
            atol=1e-6,
        )


@pytest.mark.full
@pytest.mark.parametrize(
    "case",
    first_in_test(
        [
            ("nt_xent", "dense"),
            ("nt_xent", "tiled"),
            ("uniform_prior", "dense"),
            ("vicreg", "dense"),
            *(
                (name, "dense")
                for name in NAMES
                if name not in ("nt_xent", "uniform_prior", "vicreg")
            ),
            *((name, "tiled") for name in NAMES if LOSSES[name].streams and name != "nt_xent"),
        ],
        4,
    ),
    ids="-".join,
)
def test_every_call_gives_the_same_bits(case: tuple[str, str]) -> None:
    name, implementation = case
    loss, labels = losses.get(name), {"class": tf.range(32) % 4}

    @tf.function
    def step(z1: tf.Tensor, z2: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([z1, z2])
            value = loss(z1, z2, labels, seed=3, implementation=implementation)
        return [value, *tape.gradient(value, [z1, z2])]

    projections = tf.constant(draw(32, 64)), tf.constant(draw(32, 64, seed=1))
    first = [part.numpy().tobytes() for part in step(*projections)]
    for call in range(100):
        # Allocations in between change which buffers are free.
        _ = [tf.zeros([number]) + 1.0 for number in (17 * call + 1, 3001 - 30 * call)]
        assert [part.numpy().tobytes() for part in step(*projections)] == first, call


@pytest.mark.parametrize("name", first_in_test(BY_KIND, len(KINDS)))
def test_compiled_by_xla_equals_eager(name: str) -> None:
    loss = losses.get(name)
    z1, z2 = views(6, 4)
    labels = class_labels(6)
    compiled = tf.function(lambda a, b: loss(a, b, labels, seed=3), jit_compile=True)
    np.testing.assert_allclose(compiled(z1, z2), loss(z1, z2, labels, seed=3), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        pytest.param(name, options, marks=() if name in KINDS else pytest.mark.full)
        for name, options in [*VARIANTS, ("nt_xent", {"direction": "one"})]
    ],
    ids=str,
)
def test_replicas_give_the_loss_and_gradient_of_the_global_batch(
    name: str, options: dict[str, Any], two_replicas: Any
) -> None:
    strategy, replicas = two_replicas, 2
    z1, z2 = views(8, 4)
    loss = losses.get(name, **options)
    t1, t2 = tf.constant(z1), tf.constant(z2)
    with tf.GradientTape() as tape:
        tape.watch([t1, t2])
        expected = loss(t1, t2, seed=3, labels=LABELS)
    expected_gradients = np.concatenate(tape.gradient(expected, [t1, t2]), axis=1)

    share = 8 // replicas

    # Not traced, which takes longer: whole steps on replicas are, in tests/distribution.
    def on_replicas(rows: Any) -> Any:
        def on_one(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            views_1, views_2 = batch[:, :4], batch[:, 4:8]
            labels = {"class": tf.cast(batch[:, 8], tf.int32)}
            with tf.GradientTape() as tape:
                tape.watch([views_1, views_2])
                value = loss(views_1, views_2, seed=3, labels=labels)
                # As in the training step: sums over replicas become averages.
                objective = value / replicas
            return value, tf.concat(tape.gradient(objective, [views_1, views_2]), axis=1)

        return strategy.run(on_one, args=(rows,))

    rows = np.concatenate([z1, z2, LABELS["class"][:, None]], axis=1).astype(np.float32)
    distributed = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(rows[context.replica_id_in_sync_group * share :][:share])
    )
    values, gradients = on_replicas(distributed)
    values = [float(value) for value in strategy.experimental_local_results(values)]
    gradients = np.concatenate(strategy.experimental_local_results(gradients))
    np.testing.assert_allclose(np.mean(values), expected, rtol=1e-5, atol=1e-6)
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
        (
            "nt_xent",
            {"temperature": "hot"},
            "temperature must be a number, linear:START:END or cosine:START:END[:PERIODS], not "
            "'hot'",
        ),
        (
            "nt_xent",
            {"temperature": "linear:1:0"},
            "temperature must be above 0, not 'linear:1:0'",
        ),
        ("debiased", {"tau_plus": 1.0}, "tau_plus must be at least 0 and below 1, not 1.0"),
        ("hard_simple", {"num_negatives": 3, "quantile": 0.1}, "both set the number of negatives"),
        ("triplet", {"mining": "semihard"}, "Did you mean 'semi_hard'?"),
        (
            "nt_xent",
            {"temprature": 1.0},
            "has no temprature: it has temperature, negatives, direction. Did",
        ),
        ("uniform_prior", {"temperature": 1.0}, "has no temperature: it has distribution_weight"),
        ("gaussian_prior", {"distribution_weight": -1}, "distribution_weight must be at least 0"),
    ],
)
def test_errors_say_what_is_valid(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        losses.get(name, **options)
    assert message in str(caught.value)


class TestIdentities:
    """The identities of the papers, over a grid of shapes and temperatures."""

    GRID = pytest.mark.parametrize(
        ("batch", "dim", "temperature"),
        [(b, d, t) for b in (2, 5, 16) for d in (2, 32) for t in (0.01, 0.07, 0.5, 5.0)],
    )

    @GRID
    def test_losses_that_are_nt_xent_at_a_limit(
        self, batch: int, dim: int, temperature: float
    ) -> None:
        z1, z2 = views(batch, dim)
        expected = losses.get("nt_xent", temperature=temperature)(z1, z2)
        all_negatives = {"num_negatives": 2 * batch - 2}
        for name, options in (
            ("supcon", {}),
            ("debiased", {"tau_plus": 0.0}),
            ("hard_negative", {"tau_plus": 0.0, "beta": 0.0}),
            ("hard_contrastive", all_negatives),
            ("hard_contrastive", {"quantile": 1.0}),
        ):
            value = losses.get(name, temperature=temperature, **options)(z1, z2)
            np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5, err_msg=name)
        singletons = losses.get("supcon", temperature=temperature)(z1, z2, np.arange(batch))
        np.testing.assert_allclose(singletons, expected, rtol=1e-4, atol=1e-5)

    @GRID
    def test_hard_negative_without_weighting_is_debiased(
        self, batch: int, dim: int, temperature: float
    ) -> None:
        z1, z2 = views(batch, dim)
        options = {"temperature": temperature, "tau_plus": 0.2}
        np.testing.assert_allclose(
            losses.get("hard_negative", beta=0.0, **options)(z1, z2),
            losses.get("debiased", **options)(z1, z2),
            rtol=1e-6,
        )

    def test_logistic_is_n_pair_in_bits_and_n_pair_is_nt_xent_of_unit_rows(self) -> None:
        z1, z2 = views(6, 5)
        n_pair = losses.get("n_pair")
        np.testing.assert_allclose(losses.get("logistic")(z1, z2), n_pair(z1, z2) / math.log(2))
        cross = losses.get("nt_xent", temperature=1.0, negatives="cross")
        np.testing.assert_allclose(
            n_pair(oracles.unit(z1), oracles.unit(z2)), cross(z1, z2), rtol=1e-5
        )

    def test_alignment_of_wang_and_isola_is_that_of_chen_times_twice_the_dimension(self) -> None:
        z1, z2 = views(6, 5)
        theirs = losses.get("align_uniform").parts(z1, z2)["alignment"]
        ours = losses.get("decoupled_nt_xent").parts(z1, z2)["alignment"]
        np.testing.assert_allclose(theirs, 2 * 5 * ours, rtol=1e-5)

    def test_high_temperature_gives_the_simple_loss(self) -> None:
        # NT-Xent = log(M + 1) + (M / (M + 1)) * simple / t + O(1 / t^2).
        z1, z2 = views(8, 5)
        count = 14
        simple = float(losses.get("simple")(z1, z2))
        for temperature in (30.0, 100.0):
            loss = float(losses.get("nt_xent", temperature=temperature)(z1, z2))
            scaled = temperature * (loss - math.log(count + 1))
            assert abs(scaled - count / (count + 1) * simple) < 2 / temperature

    def test_low_temperature_gives_the_triplet_form(self) -> None:
        # t * NT-Xent -> mean of max(largest negative similarity - positive similarity, 0).
        z1, z2 = views(8, 5)
        expected = np.mean(
            [
                max(max(float(anchor @ other) for other in others) - float(anchor @ positive), 0)
                for anchor, positive, others in oracles.anchors(
                    oracles.unit(z1), oracles.unit(z2), True
                )
            ]
        )
        for temperature in (0.01, 0.003):
            loss = float(losses.get("nt_xent", temperature=temperature)(z1, z2))
            assert abs(temperature * loss - expected) < temperature * math.log(15)

    def test_many_negatives_give_alignment_and_uniformity(self) -> None:
        # Wang and Isola 2020, theorem 1: NT-Xent - log M -> -E[x.y] / t + E log E exp(x.x' / t).
        dim, temperature = 4, 0.5
        differences = []
        for batch in (16, 128, 1024):
            x = oracles.unit(draw(batch, dim))
            y = oracles.unit(x + 0.3 * draw(batch, dim, seed=1))
            many = oracles.unit(draw(4_000, dim, seed=2))
            many = oracles.unit(np.concatenate([many, many + 0.3 * draw(4_000, dim, seed=3)]))
            loss = float(losses.get("nt_xent", temperature=temperature)(x, y))
            anchors = np.concatenate([x, y])
            potentials = np.log(np.mean(np.exp(anchors @ many.T / temperature), axis=1))
            limit = -np.mean(np.sum(x * y, axis=1)) / temperature + np.mean(potentials)
            differences.append(abs(loss - math.log(2 * batch - 2) - limit))
        assert differences[0] > differences[1] > differences[2]
        assert differences[2] < 0.01


class TestSupCon:
    def test_vectors_are_alike_when_all_entries_are(self) -> None:
        z1, z2 = views(5, 4)
        bits = np.array([[0, 1], [1, 1], [0, 1], [0, 0], [1, 1]], np.int32)
        loss = losses.get("supcon", temperature=0.5, positive_target="bits")
        value = loss(z1, z2, labels={"bits": bits, "class": np.zeros(5, np.int32)})
        np.testing.assert_allclose(value, oracles.supcon(z1, z2, bits, 0.5), rtol=1e-5)

    def test_labels_of_another_target_are_refused(self) -> None:
        loss = losses.get("supcon")
        with pytest.raises(
            UserError, match=r"needs labels of the target 'class'.*\(it has digit\)"
        ):
            loss(*views(5, 4), labels={"digit": np.zeros(5, np.int32)})
        with pytest.raises(UserError, match=r"it has none"):
            loss.check(8, [])


class TestSchedules:
    def test_values_at_each_progress(self) -> None:
        loss = losses.get("decoupled_nt_xent", temperature="linear:1:3", distribution_weight=0.5)
        z1, z2 = views(6, 4)
        for progress, temperature in ((0.0, 1.0), (0.25, 1.5), (1.0, 3.0), (2.0, 3.0)):
            expected = losses.get(
                "decoupled_nt_xent", temperature=temperature, distribution_weight=0.5
            )
            assert loss.at(progress) == expected
            for value in (progress, tf.constant(progress)):
                np.testing.assert_allclose(
                    loss(z1, z2, progress=value), expected(z1, z2), rtol=1e-6
                )
        assert loss.temperature == "linear:1.0:3.0"  # the loss itself does not change

    def test_cosine_is_slow_at_both_ends(self) -> None:
        loss = losses.get("simple", distribution_weight="cosine:0:2")
        values = [loss.at(progress).distribution_weight for progress in (0, 0.1, 0.5, 0.9, 1)]
        np.testing.assert_allclose(values, [0, 0.048943, 1, 1.951057, 2], rtol=1e-4)

    def test_weights_of_terms_follow_the_schedule(self) -> None:
        loss = losses.get("align_uniform", uniformity_weight="linear:0:1", alignment_weight=2.0)
        parts = loss.parts(*views(6, 4), progress=0.25)
        expected = 2.0 * parts["alignment"] + 0.25 * parts["distribution"]
        np.testing.assert_allclose(parts["loss"], expected, rtol=1e-6)

    def test_they_are_options_written_in_one_way(self) -> None:
        loss = losses.get("nt_xent", temperature="linear:.1:1")
        assert loss.options()["temperature"] == "linear:0.1:1.0"
        assert losses.get("nt_xent", **loss.options()) == loss
        assert list(loss.schedules) == ["temperature"]
        assert losses.get("nt_xent").schedules == {}

    def test_a_schedule_with_periods_goes_there_and_back(self) -> None:
        loss = losses.get("nt_xent", temperature="cosine:1:0.1:4")
        assert loss.options()["temperature"] == "cosine:1.0:0.1:4.0"
        for progress in (0.0, 0.25, 0.5, 1.0):
            assert loss.at(progress).temperature == pytest.approx(1.0)
        for progress in (0.125, 0.375, 0.875):
            assert loss.at(progress).temperature == pytest.approx(0.1)
        middle = loss.at(tf.constant(1 / 16)).temperature
        np.testing.assert_allclose(middle, 0.55, rtol=1e-5)
        for text in ("linear:1:0.1:4", "cosine:1:0.1:0", "cosine:1:0.1:4:2", "cosine:1:0.1:x"):
            with pytest.raises(UserError, match="linear:START:END or cosine:START:END"):
                losses.get("nt_xent", temperature=text)


@pytest.mark.parametrize("name", ["hard_contrastive", "hard_simple"])
def test_more_hard_negatives_than_there_are_is_refused(name: str) -> None:
    losses.get(name, num_negatives=14).check(8, [])
    with pytest.raises(UserError, match="in a batch of 8 images each view has 14 negatives"):
        losses.get(name, num_negatives=15).check(8, [])


def test_one_direction_has_its_own_anchors() -> None:
    z1, z2 = views(6, 4)
    loss = losses.get("nt_xent", negatives="cross", direction="one")
    other = losses.get("nt_xent", negatives="cross")
    np.testing.assert_allclose(
        (float(loss(z1, z2)) + float(loss(z2, z1))) / 2, other(z1, z2), rtol=1e-5
    )
    assert float(loss(z1, z2)) != float(loss(z2, z1))


def test_margin_keeps_its_digits_far_from_the_origin() -> None:
    z1, z2 = views(8, 4)
    loss = losses.get("margin")
    near = float(loss(0.3 * z1, 0.3 * z2))
    offset = 1000.0 * np.ones(4, np.float32)
    np.testing.assert_allclose(loss(0.3 * z1 + offset, 0.3 * z2 + offset), near, rtol=1e-3)


def test_hardest_share_is_counted_alike_in_graph_and_in_python() -> None:
    loss = losses.get("hard_contrastive", quantile=0.575)
    spec = tf.TensorSpec((None, 4), tf.float32)
    in_graph = tf.function(lambda a, b: loss(a, b), input_signature=[spec, spec])
    for batch in (2, 11, 26, 51):
        z1, z2 = views(batch, 4)
        np.testing.assert_allclose(in_graph(z1, z2), loss(z1, z2), rtol=1e-5)


def test_other_numbers_of_labels_than_images_are_refused() -> None:
    with pytest.raises(UserError, match="one label for each image, but there are 3 labels and 6"):
        losses.get("supcon")(*views(6, 4), labels=[0, 1, 0])


def test_labels_in_a_column_and_vectors_of_numbers() -> None:
    z1, z2 = views(6, 4)
    labels = np.array([0, 1, 2, 3, 1, 2])
    loss = losses.get("supcon")
    np.testing.assert_allclose(loss(z1, z2, labels[:, None]), loss(z1, z2, labels), rtol=1e-6)
    pairs = np.stack([labels, labels + 5], axis=1)
    np.testing.assert_allclose(loss(z1, z2, pairs), loss(z1, z2, labels), rtol=1e-6)
