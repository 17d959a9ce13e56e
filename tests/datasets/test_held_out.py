"""Classes that are held out: who is trained on, who is tested, and what is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ssl_keras import datasets
from ssl_keras.config import Config
from ssl_keras.datasets import DataSet
from ssl_keras.errors import UserError
from ssl_keras.run import train_and_evaluate


def load(name: str = "bit_concat", **options: Any) -> DataSet:
    return datasets.load(name, seed=0, **options)


@pytest.fixture(scope="module")
def whole() -> DataSet:
    return load(num_bits=3)


@pytest.fixture(scope="module")
def held() -> DataSet:
    return load(num_bits=3, held_out_classes=3)


def images_of(split: Any) -> np.ndarray:
    return np.concatenate([batch["example"]["image"] for batch in split.batches(500)])


def test_every_example_is_where_its_class_says(whole: DataSet, held: DataSet) -> None:
    assert held.unseen is not None
    assert held.unseen_target is not None
    out = sorted(map(int, held.unseen_target.names))
    kept = [label for label in range(10) if label not in out]
    assert len(out) == held.unseen_target.size == 3
    assert held.targets["class"].size == 7
    assert list(held.targets["class"].names) == list(map(str, kept))
    for split, part, classes in (
        (whole.train, held.train, kept),
        (whole.test, held.test, kept),
        (whole.test, held.unseen, out),
    ):
        labels = split.read_labels("class")
        rows = np.flatnonzero(np.isin(labels, classes))
        np.testing.assert_array_equal(np.take(classes, part.read_labels("class")), labels[rows])
        np.testing.assert_array_equal(images_of(part), images_of(split)[rows])
        # Bits stay those of the example.
        np.testing.assert_array_equal(part.read_labels("bits"), split.read_labels("bits")[rows])
    labels = held.test.read_labels("class")
    assert held.targets["class"].chance == np.bincount(labels).max() / len(labels)
    assert held.targets["bits"] == whole.targets["bits"]
    names = ", ".join(map(str, out))
    assert f"3 classes of class are not trained on: {names}" in held.notices


@pytest.mark.exhaustive
def test_the_seed_draws_the_classes(held: DataSet) -> None:
    def names(seed: int) -> tuple[str, ...]:
        data = datasets.load("plain", seed=seed, held_out_classes=3)
        assert data.unseen_target is not None
        return data.unseen_target.names

    assert held.unseen_target is not None
    assert names(0) == held.unseen_target.names
    assert len({names(seed) for seed in range(4)}) > 1


def test_another_target_can_be_held_out() -> None:
    data = load(
        "factors", factors="character,color", num_characters=4, num_colors=5,
        num_train_images=200, num_test_images=100, held_out_classes=2, held_out_target="color",
    )  # fmt: skip
    assert (data.targets["color"].size, data.targets["character"].size) == (3, 4)
    assert data.unseen is not None
    assert set(data.unseen.read_labels("color")) == {0, 1}
    assert set(data.train.read_labels("color")) == {0, 1, 2}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"held_out_classes": 9}, "hold out at most 8"),
        ({"held_out_classes": 2, "held_out_target": "clas"}, "did you mean class?"),
        ({"held_out_classes": 2, "held_out_target": "bits"}, "bit_data has class"),
    ],
)
def test_mistakes_are_told(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        load(num_bits=3, **values)
    assert sentence.replace("bit_data", "3 random bits concatenated to mnist_5k") in str(
        caught.value
    )


def test_data_without_classes_are_refused() -> None:
    with pytest.raises(UserError, match="needs classes"):
        load("multi_digit", num_digits=2, num_train_images=20, num_test_images=10,
             held_out_classes=2)  # fmt: skip


@pytest.mark.full
def test_a_run_measures_classes_that_it_has_not_trained_on(tmp_path: Any) -> None:
    config = Config.make(
        dataset="plain", loss="nt_xent", held_out_classes=4, steps=3, batch_size=32,
        max_train_images=200, heads="linear,verification,few_shot", width_multiplier=0.25,
        linear_max_iterations=5, few_shot_tasks=20, measure_images=0, workdir=str(tmp_path / "run"),
    )  # fmt: skip
    values = train_and_evaluate(config)["results"]
    for layer in ("features", "projection_2"):
        assert 0.4 < values[f"verification/{layer}/class/auc"] <= 1
        assert f"few_shot/{layer}/class/4_way_5_shot" in values
    # An untrained convnet tells digits apart far above chance.
    assert values["untrained/few_shot/features/class/4_way_5_shot"] > 0.4
    assert (tmp_path / "run" / "pictures" / "verification-class.png").exists()
