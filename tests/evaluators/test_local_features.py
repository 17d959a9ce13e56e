"""Local features: exact on made ones, at chance on others; maps, patches and whole runs."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
import tensorflow as tf

from ssl_keras import evaluate, pictures
from ssl_keras.config import Config, make_evaluators
from ssl_keras.datasets import MemorySplit
from ssl_keras.datasets.base import DataSet, LocalTarget
from ssl_keras.errors import UserError
from ssl_keras.evaluators.base import FrozenLocations
from ssl_keras.evaluators.extraction import extract_local, extract_pixels, patches
from ssl_keras.evaluators.local_features import LocalFeatures, balanced, by_position, clusters
from ssl_keras.inputs import Images
from ssl_keras.networks import Grid
from ssl_keras.run import evaluate_run, train_and_evaluate

LOCAL = {
    "region": LocalTarget("region", ("nothing", "digit")),
    "digit": LocalTarget("digit", ("nothing", "0", "1", "2")),
}
GRID = Grid((8, 8), 1, (0, 0))


def marked_data(count: int = 24) -> DataSet:
    """Images of 8 x 8 pixels that are their own map of digits, in steps of 60."""

    def split(seed: int) -> MemorySplit:
        maps = np.random.default_rng(seed).integers(0, 4, (count, 8, 8)).astype(np.int16)
        maps[:, :2] = 0

        def locate(rows: np.ndarray) -> dict[str, np.ndarray]:
            return {"region": (maps[rows] > 0).astype(np.int16), "digit": maps[rows]}

        return MemorySplit({"image": (60 * maps[..., None]).astype(np.uint8)}, {}, locate)

    modality = Images((8, 8, 1), 1)
    return DataSet("marked", split(0), split(1), {}, modality, local_targets=LOCAL)


def one_hot_blocks(images: Any) -> list[Any]:
    marks = tf.cast(tf.round(images[..., 0] * 255.0 / 60.0), tf.int32)
    return [tf.one_hot(marks, 4)]


def measured(frozen: FrozenLocations) -> dict[str, float]:
    return dict(LocalFeatures().evaluate(frozen, 0))


def test_features_that_are_the_labels_tell_everything() -> None:
    found = extract_local(one_hot_blocks, marked_data(), {"block_1": GRID}, 20)["block_1"]
    assert found.test.shape == (20 * 64, 4)
    assert found.test_rows[0] == 0
    assert found.test_rows[-1] == 23
    values = measured(found)
    for name in ("region", "digit"):
        assert values[f"{name}/accuracy"] == values[f"{name}/balanced_accuracy"] == 1.0
    labels = found.test_labels["digit"]
    assert values["digit/chance"] == np.mean(labels == 0)
    assert values["region/balanced_chance"] == 1 / 2
    assert values["digit/accuracy_at_digit"] == values["digit/accuracy_at_nothing"] == 1.0
    # Nothing lies in the two rows at the top, so the first of four rows of cells is left out.
    positions = {key for key in values if "/position" in key}
    assert positions == {f"digit/position_{y}_{x}" for y in (1, 2, 3) for x in range(4)}


def test_features_that_say_nothing_are_at_chance() -> None:
    def random_blocks(images: Any) -> list[Any]:
        return [tf.random.normal((*images.shape[:3], 4), seed=1)]

    frozen = extract_local(random_blocks, marked_data(), {"block_1": GRID}, 24)["block_1"]
    values = measured(frozen)
    assert abs(values["digit/accuracy"] - values["digit/chance"]) < 0.05
    assert abs(values["digit/balanced_accuracy"] - 1 / 4) < 0.06
    assert abs(values["region/balanced_accuracy"] - 1 / 2) < 0.06


def test_few_training_locations_are_those_of_their_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ssl_keras.evaluators.extraction.TRAIN_LOCATIONS", 100)
    found = extract_local(one_hot_blocks, marked_data(), {"block_1": GRID}, 20, batch_size=7)
    train = found["block_1"]
    assert train.train.shape == (100, 4)
    np.testing.assert_array_equal(train.train.argmax(axis=1), train.train_labels["digit"])
    np.testing.assert_array_equal(train.test.argmax(axis=1), train.test_labels["digit"])


def test_labels_are_those_at_the_centres() -> None:
    data, grid = marked_data(), Grid((2, 3), 2, (1, 2))
    found = extract_pixels(data, {"block_1": grid}, 24)["pixels_1"]
    maps = data.test.locations(np.arange(24))["digit"]
    np.testing.assert_array_equal(found.maps(found.test_labels["digit"]), maps[:, 1:4:2, 2:8:2])
    # The patch of a stride of 2 is the centre, and what is above and left of it.
    patch = found.maps(found.test)[3, 1, 2].reshape(2, 2) * 255
    np.testing.assert_allclose(patch, data.test.example["image"][3, 2:4, 5:7, 0], atol=1e-4)


def test_data_without_local_features_gives_clusters_alone() -> None:
    data = dataclasses.replace(
        marked_data(),
        local_targets={},
        test=MemorySplit({"image": np.zeros((5, 8, 8, 1), np.uint8)}, {}),
    )
    found = extract_local(one_hot_blocks, data, {"block_1": GRID}, 5)
    assert not measured(found["block_1"])
    assert [name for name, _ in LocalFeatures().draw(found, 0)] == ["clusters"]


def test_patches_of_a_hand_made_image() -> None:
    image = tf.constant(np.arange(12, dtype=np.float32).reshape(1, 3, 4, 1))
    found = patches(image, Grid((2, 2), 2, (0, 1))).numpy()
    np.testing.assert_array_equal(found[0, 0, 0], [0, 1, 0, 1])  # the row above is the edge
    np.testing.assert_array_equal(found[0, 1, 1], [6, 7, 10, 11])
    odd = patches(image, Grid((1, 1), 3, (1, 3))).numpy()[0, 0, 0]
    np.testing.assert_array_equal(odd, [2, 3, 3, 6, 7, 7, 10, 11, 11])


def test_balanced_decisions_are_those_of_equal_shares() -> None:
    # Bayes: p(value | x) = share * p(x | value) / p(x); dividing by the share leaves p(x | value).
    shares, likelihoods = np.array([0.9, 0.1, 0.0]), np.array([[0.2, 0.5, 0.9]])
    logits = np.log(np.maximum(shares, 1e-9) * likelihoods)
    assert logits.argmax() == 0
    found = balanced(logits, shares)
    assert found.argmax() == 1
    np.testing.assert_allclose(found[0, :2], np.log(likelihoods[0, :2]))


def test_positions() -> None:
    right, there = np.zeros((2, 8, 3), bool), np.zeros((2, 8, 3), bool)
    there[0, 0, 0] = there[1, 1, 0] = right[0, 0, 0] = True
    there[:, 7, 2] = right[:, 7, 2] = True
    right[:, 4, 1] = True  # nothing is there: not counted
    found = by_position(right, there)
    assert found.shape == (4, 3)
    assert found[0, 0] == 0.5
    assert found[3, 2] == 1.0
    assert np.isfinite(found).sum() == 2
    assert np.argwhere(np.isfinite(by_position(right, there, minimum=3))).size == 0


def test_clusters_are_found_again_and_ordered_by_size() -> None:
    generator = np.random.default_rng(0)
    kinds = generator.choice(3, (2, 6, 6), p=(0.2, 0.5, 0.3))
    features = np.eye(3)[kinds] + 0.01 * generator.normal(size=(2, 6, 6, 3))
    found = clusters(features, 3, seed=0)
    order = np.argsort(-np.bincount(kinds.ravel()))
    np.testing.assert_array_equal(order[found], kinds)
    np.testing.assert_array_equal(found, clusters(features, 3, seed=0))
    assert clusters(np.zeros((1, 2, 2, 3)), 5, seed=0).max() == 0


def test_paint_lies_around_the_centres() -> None:
    images = np.full((1, 6, 6, 1), 0.5)
    centres = Grid((2, 1), 2, (1, 3)).centres()
    found = pictures.paint_clusters(images, np.array([[[0], [1]]]), centres, 2, opacity=1.0)
    np.testing.assert_allclose(found[0, 0:2, 2:4], np.broadcast_to(pictures.COLORS[0], (2, 2, 3)))
    np.testing.assert_allclose(found[0, 2:4, 2:4], np.broadcast_to(pictures.COLORS[1], (2, 2, 3)))
    assert np.all(found[0, 4:] == 0.5)
    assert np.all(found[0, :, :2] == 0.5)
    assert np.all(found[0, :, 4:] == 0.5)


def test_heat_maps_have_the_colours_of_their_values() -> None:
    maps = {"block_1": np.array([[0.5, np.nan]]), "pixels_1": np.array([[0.0, 0.0]])}
    picture = pictures.heat_maps([maps, {"block_2": np.array([[1.0]])}], "title")
    assert picture.shape[2] == 3
    # The ends and the middle of the scale, and white for the empty cell.
    colors = [matplotlib.colormaps["viridis"](value)[:3] for value in (0.0, 0.5, 1.0)]
    for color in [*colors, (1.0, 1.0, 1.0)]:
        assert np.abs(picture - color).max(axis=2).min() < 0.01, color


TINY = {
    "loss": "nt_xent",
    "steps": 2,
    "batch_size": 32,
    "width_multiplier": 0.25,
    "heads": "local_features",
    "measure_images": 0,
    "local_features_images": 6,
    "local_features_shown": 2,
}
RUNS = {
    "overlay": {
        "dataset": "overlay",
        "image_size": 48,
        "digit_size": 12,
        "max_train_images": 64,
    },
    "multi_digit": {
        "dataset": "multi_digit",
        "image_size": 32,
        "digit_sizes": "8,20",
        "num_train_images": 64,
        "num_test_images": 16,
    },
}


@pytest.mark.usefixtures("eagerly")
@pytest.mark.exports
@pytest.mark.exhaustive
@pytest.mark.parametrize("name", RUNS)
def test_whole_runs(
    name: str, tmp_path: Path, data_dir: str, capfd: pytest.CaptureFixture[str]
) -> None:
    workdir = tmp_path / "run"
    results = train_and_evaluate(Config.make(**TINY, **RUNS[name], workdir=str(workdir)))
    values = results["results"]
    drawn = {path.name for path in (workdir / "pictures").iterdir()}
    output = capfd.readouterr().out
    assert "local_features-clusters.png" in drawn
    local = {key for key in values if "local_features" in key}
    assert "local_features-digit_by_position.png" in drawn
    table = output[output.index("Local targets at each location, linear probe") :]
    assert "untrained" in table
    region, num_regions = {"overlay": ("digit", 2), "multi_digit": ("small", 3)}[name]
    for block in (1, 2, 3):
        # The same locations, whatever their features.
        controls = (f"local_features/pixels_{block}", f"untrained/local_features/block_{block}")
        for prefix in (f"local_features/block_{block}", *controls):
            for target in ("region", "digit"):
                chance = values[f"local_features/block_{block}/{target}/chance"]
                assert values[f"{prefix}/{target}/chance"] == chance
            assert values[f"{prefix}/region/balanced_chance"] == 1 / num_regions
    if name == "overlay":  # nothing lies outside of a digit of 12 x 12 of the 48 x 48 pixels
        chance = values["local_features/block_1/region/chance"]
        np.testing.assert_allclose(chance, 1 - (12 / 48) ** 2, atol=0.02)
    assert f"local_features/block_1/digit/accuracy_at_{region}" in values
    assert "local_features/pixels_3/digit/balanced_accuracy" in values
    assert not any(key.startswith("untrained/local_features/pixels") for key in local)
    assert not any(key.startswith("local_features/features") for key in local)
    if name == "multi_digit":
        head = {k: v for k, v in TINY.items() if k.startswith("local") or k == "heads"}
        again = evaluate_run(workdir, make_evaluators(head))["results"]
        assert {key: values[key] for key in local} == {key: again[key] for key in local}
        arguments = ["evaluate", f"--run={workdir / 'saved_model'}", "--heads=local_features"]
        assert evaluate.main(arguments) == 2
        assert "which a SavedModel does not show: leave it out" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"local_features_images": 1}, "local_features_images must be at least 2"),
        ({"local_features_clusters": 11}, "local_features_clusters must be at least 2 and at most"),
        ({"local_features_shown": 0}, "local_features_shown must be at least 1"),
    ],
)
def test_bad_options_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(UserError) as caught:
        make_evaluators({"heads": "local_features", **options})
    assert message in str(caught.value)


def test_other_heads_never_see_locations() -> None:
    for name, head in make_evaluators(
        {"heads": "linear,knn,geometry,bits,decoder,retrieval"}
    ).items():
        assert head.num_local_images == 0, name
