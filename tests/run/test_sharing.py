"""Runs of one process share traced graphs, and their numbers are those of fresh processes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ssl_keras.config import Config
from ssl_keras.methods.learner import Learner
from ssl_keras.run import build, sharing, train_and_evaluate
from ssl_keras.run.setup import build_engine, load_data

SETTINGS: dict[str, Any] = {
    "loss": "uniform_prior",
    "num_bits": 3,
    "steps": 5,
    "log_every": 2,
    "batch_size": 16,
    "max_train_images": 64,
    "width_multiplier": 0.25,
    "measure_images": 8,
    "ema_decay": 0.9,
    "views": "augment,mixup,dropout",
    "heads": "knn,geometry",
}


def make(workdir: Path, **settings: Any) -> Config:
    return Config.make(**{**SETTINGS, "workdir": str(workdir), **settings})


def made(workdir: Path) -> dict[str, Any]:
    results = json.loads((workdir / "results.json").read_text())
    return {key: value for key, value in results.items() if key not in ("times", "paths")}


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    sharing.forget()
    yield
    sharing.forget()


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds for which a training step was traced."""
    seeds: list[int] = []
    step = Learner.train_step

    def train_step(self: Learner, data: Any) -> Any:
        seeds.append(self.seed)
        return step(self, data)

    monkeypatch.setattr(Learner, "train_step", train_step)
    return seeds


@pytest.mark.exhaustive
def test_another_seed_has_the_numbers_of_a_fresh_process(tmp_path: Path, traced: list[int]) -> None:
    train_and_evaluate(make(tmp_path / "first", heads=""))
    train_and_evaluate(make(tmp_path / "second", seed=1, heads="mean_classifier,knn,geometry"))
    train_and_evaluate(make(tmp_path / "third", seed=1, measure_every=1, log_every=3))
    assert traced == [0]
    sharing.forget()
    train_and_evaluate(make(tmp_path / "alone", seed=1))
    assert traced == [0, 1]
    first, second, third, alone = (
        made(tmp_path / name) for name in ("first", "second", "third", "alone")
    )
    assert first["weights_sha256"] != alone["weights_sha256"]
    assert second["weights_sha256"] == third["weights_sha256"] == alone["weights_sha256"]
    assert {n: second["results"][n] for n in alone["results"]} == alone["results"]
    assert second["history"] == alone["history"]
    assert second["geometry_history"] == alone["geometry_history"]
    assert third["results"] == alone["results"]


@pytest.mark.exhaustive
def test_other_constants_of_the_loss_have_the_numbers_of_a_fresh_process(
    tmp_path: Path, traced: list[int]
) -> None:
    values: dict[str, Any] = {"loss": "decoupled_nt_xent", "heads": ""}
    values |= {"views": "augment", "ema_decay": None}
    changed = {"temperature": 0.1, "distribution_weight": 0.5}
    train_and_evaluate(make(tmp_path / "first", **values))
    train_and_evaluate(make(tmp_path / "second", **values, **changed))
    assert traced == [0]
    sharing.forget()
    train_and_evaluate(make(tmp_path / "alone", **values, **changed))
    first, second, alone = (made(tmp_path / name) for name in ("first", "second", "alone"))
    assert second["weights_sha256"] == alone["weights_sha256"] != first["weights_sha256"]
    assert second["history"] == alone["history"]
    assert second["geometry_history"] == alone["geometry_history"]


@pytest.mark.full
@pytest.mark.parametrize(
    "changed",
    [
        {"loss": "nt_xent"},
        {"distribution_weight": "linear:1:5"},
        {"learning_rate": 0.01},
        {"num_bits": 2},
        {"steps": 6},
        {"crop_area_min": 0.3},
        {"projection_layers": 1},
        {"jit": "off"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_what_changes_a_graph_is_not_shared(tmp_path: Path, changed: dict[str, Any]) -> None:
    keys = set()
    for settings in ({}, {"seed": 3}, {"heads": "knn", "log_every": 1}, changed):
        config = make(tmp_path / "run", **settings)
        engine = build_engine(config)
        keys.add(sharing.key(config, load_data(config), engine, config.optimization.steps or 0))
    assert len(keys) == 2
    assert None not in keys


def test_vectors_are_standardised_by_their_own_data(tmp_path: Path) -> None:
    settings = {"dataset": "table", "num_bits": None, "max_train_images": 50}
    settings |= {"views": "augment", "width_multiplier": None}
    keys = {build(make(tmp_path / "run", **settings, seed=seed)).graph for seed in (0, 1)}
    assert len(keys) == 2


@pytest.mark.exhaustive
def test_a_model_that_others_hold_is_not_kept(tmp_path: Path, traced: list[int]) -> None:
    import keras

    class Holder(keras.callbacks.Callback):
        pass

    holder = Holder()
    train_and_evaluate(make(tmp_path / "first", heads=""), callbacks=[holder])
    train_and_evaluate(make(tmp_path / "second", heads=""))
    assert len(traced) == 2
    assert build(make(tmp_path / "third", heads="")).model is not holder.model


@pytest.mark.exhaustive
def test_a_model_is_used_once_at_a_time(tmp_path: Path) -> None:
    train_and_evaluate(make(tmp_path / "first", heads=""))
    setups = [build(make(tmp_path / "run", heads="")) for _ in range(2)]
    assert setups[0].model is not setups[1].model
    for number in range(sharing.KEPT + 2):
        sharing.keep(setups[0].model, f"graph {number}")
    assert len(sharing._kept) == sharing.KEPT


def test_an_encoder_of_the_user_is_not_shared(tmp_path: Path) -> None:
    import keras

    layers = [keras.Input((28, 28, 4)), keras.layers.Flatten(), keras.layers.Dense(8, "relu")]
    settings = {"encoder": keras.Sequential(layers), "width_multiplier": None, "views": "augment"}
    setup = build(make(tmp_path / "run", **settings))
    assert setup.graph is None


@pytest.mark.exhaustive
@pytest.mark.parametrize("method", ["moco", "hybrid", "ltd", "byol"])
def test_what_a_method_holds_beside_its_networks_is_that_of_the_run(
    tmp_path: Path, traced: list[int], method: str
) -> None:
    values: dict[str, Any] = {"method": method, "heads": "", "measure_images": 0}
    values |= {"views": "augment", "ema_decay": None}
    if method in ("byol", "moco"):
        values["loss"] = None
    for seed, name in ((0, "first"), (1, "second")):
        train_and_evaluate(make(tmp_path / name, seed=seed, **values))
    assert traced == [0]
    sharing.forget()
    train_and_evaluate(make(tmp_path / "alone", seed=1, **values))
    second, alone = (made(tmp_path / name)["weights_sha256"] for name in ("second", "alone"))
    assert second == alone
