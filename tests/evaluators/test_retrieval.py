"""Retrieval: precision against a loop, chance in closed form, pictures of the neighbours."""

from __future__ import annotations

import numpy as np
import pytest

from ssl_keras.datasets import Target
from ssl_keras.errors import UserError
from ssl_keras.evaluators.base import FrozenFeatures, Inputs
from ssl_keras.evaluators.retrieval import Retrieval
from ssl_keras.inputs import Images

TARGETS = {
    "class": Target("class", "class", 3, 1 / 3, 1 / 3),
    "bits": Target("bits", "bits", 2, 0.5, 0.25),
}


def sample(inputs: Inputs | None = None) -> FrozenFeatures:
    generator = np.random.default_rng(0)
    train, test = (generator.normal(size=(n, 5)).astype(np.float32) for n in (40, 12))
    labels = [
        {"class": generator.integers(0, 3, n), "bits": generator.integers(0, 2, (n, 2))}
        for n in (40, 12)
    ]
    return FrozenFeatures(train, test, labels[0], labels[1], TARGETS, inputs=inputs)


@pytest.mark.parametrize("k", [1, 7, 40])
def test_precision_equals_a_loop(k: int) -> None:
    frozen = sample()
    values = dict(Retrieval(retrieval_k=k).evaluate(frozen, seed=0))
    shares: dict[str, list[float]] = {"class": [], "bits": []}
    for row, query in enumerate(frozen.test):
        cosines = [query @ t / np.linalg.norm(query) / np.linalg.norm(t) for t in frozen.train]
        for other in np.argsort(cosines)[::-1][:k]:
            for name, agreements in shares.items():
                same = frozen.train_labels[name][other] == frozen.test_labels[name][row]
                agreements.append(float(np.mean(same)))
    for name, agreements in shares.items():
        np.testing.assert_allclose(values[f"{name}/precision"], np.mean(agreements), atol=1e-12)


def test_all_neighbours_give_chance() -> None:
    values = dict(Retrieval(retrieval_k=40).evaluate(sample(), seed=0))
    for name in TARGETS:
        np.testing.assert_allclose(values[f"{name}/precision"], values[f"{name}/chance"])


def test_the_picture_shows_test_images_above_their_nearest_training_images() -> None:
    def images(offset: float) -> np.ndarray:
        values = offset + np.arange(40) / 100
        return np.broadcast_to(values[:, None, None, None], (40, 4, 4, 1)).astype(np.float32)

    modality = Images((4, 4, 1), 1)
    inputs = Inputs(lambda rows: images(0.0)[rows], lambda rows: images(0.5)[rows], modality)
    frozen = sample(inputs)
    head = Retrieval(retrieval_images=2)
    ((name, picture),) = head.draw({"features": frozen}, seed=0)
    assert name == "features"
    # Six rows of two images at the right of their labels: the first test image is the first one.
    height, width = picture.shape[0] // 6, picture.shape[0] // 6
    left = picture.shape[1] - 2 * width
    np.testing.assert_allclose(picture[height // 2, left + width // 2], 0.5, atol=1e-6)
    np.testing.assert_allclose(picture[height // 2, left + 3 * width // 2], 0.61, atol=1e-6)
    cosines = frozen.train @ frozen.test[0] / np.linalg.norm(frozen.train, axis=1)
    best = np.argmax(cosines) / 100
    np.testing.assert_allclose(picture[3 * height // 2, left + width // 2], best, atol=1e-6)
    assert not list(head.draw({"features": sample()}, seed=0))


def test_more_neighbours_than_images_is_refused() -> None:
    with pytest.raises(UserError, match="retrieval_k is 41, but there are 40 training images"):
        dict(Retrieval(retrieval_k=41).evaluate(sample(), seed=0))
