"""A run is used with the data that it was trained on, or a sentence says that they have changed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ssl_keras.config import Config, FinetuningConfig
from ssl_keras.errors import UserError
from ssl_keras.evaluators import EVALUATORS
from ssl_keras.run import run_directory, train_and_evaluate
from ssl_keras.run.evaluate import evaluate_run
from ssl_keras.run.export import export_run
from ssl_keras.run.finetune import finetune_run

CHANGED = "The data of --source have changed since the run .* was trained on them"


def write(root: Path, name: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(name)).integers(0, 256, (16, 16)).astype(np.uint8)
    Image.fromarray(pixels).save(path)


def settings(folder: Path, workdir: Path | None = None, **values: Any) -> Config:
    fixed = {
        "dataset": "plain",
        "batch_size": 4,
        "steps": 1,
        "heads": "",
        "width_multiplier": 0.125,
    }
    return Config.make(
        source=f"folder:{folder}",
        measure_images=0,
        workdir=None if workdir is None else str(workdir),
        **fixed | values,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the images `data` and a finished run on them, `run`."""
    place = tmp_path_factory.mktemp("changed")
    for kind in ("cat", "dog"):
        for number in range(12):
            write(place / "data", f"{kind}/{number}.png")
    train_and_evaluate(settings(place / "data", place / "run"))
    return place


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> Path:
    """The same, with one more image, at the same path as before."""
    shutil.copytree(trained / "run", tmp_path / "run")
    write(trained / "data", "cat/new.png")
    yield tmp_path / "run"  # type: ignore[misc]
    (trained / "data" / "cat" / "new.png").unlink()


@pytest.mark.full
@pytest.mark.parametrize(
    "use",
    [
        lambda run: evaluate_run(run, {"linear": EVALUATORS.get("linear")}, 0),
        lambda run: finetune_run(run, FinetuningConfig()),
        lambda run: export_run(run, run.parent / "export"),
        lambda run: evaluate_run(run / "saved_model", {"linear": EVALUATORS.get("linear")}, 0),
    ],
    ids=["evaluate", "finetune", "export", "SavedModel"],
)
def test_a_finished_run_is_not_used_with_other_data(
    copy: Path, use: Callable[[Path], object]
) -> None:
    with pytest.raises(UserError, match=CHANGED):
        use(copy)


@pytest.mark.full
def test_an_unfinished_run_is_not_resumed_on_other_data(copy: Path, trained: Path) -> None:
    in_force = run_directory.read(copy)[0]
    (copy / "results.json").unlink()
    with pytest.raises(
        UserError, match="unfinished run, and the data of --source have changed since it was begun"
    ):
        run_directory.check(in_force.in_directory(copy))
    run_directory.check(settings(trained / "data", copy, overwrite=True))


@pytest.mark.full
def test_a_sweep_and_a_longer_training_do_not_take_it(copy: Path, trained: Path) -> None:
    config, longer = settings(trained / "data"), settings(trained / "data", steps=2)
    assert not run_directory.holds(copy, config)
    assert not run_directory.extensible(copy, longer)
    assert run_directory.other_run(copy, config) == "a finished run of other data"
    (trained / "data" / "cat" / "new.png").rename(copy.parent / "new.png")
    try:
        assert run_directory.holds(copy, config)
        assert run_directory.extensible(copy, longer)
        assert run_directory.other_run(copy, config) is None
        (copy / "results.json").unlink()
        assert run_directory.resumable(copy, config)
    finally:
        (copy.parent / "new.png").rename(trained / "data" / "cat" / "new.png")
    assert not run_directory.resumable(copy, config)


@pytest.mark.full
def test_results_and_card_name_the_data_and_the_classes(trained: Path) -> None:
    data = json.loads((trained / "run" / "results.json").read_text())["data"]
    assert data["targets"]["class"]["names"] == ["cat", "dog"]
    assert len(data["digests"]["source"]) == 16
    settings_there = json.loads((trained / "run" / "config.json").read_text())
    assert settings_there["data_digests"] == data["digests"]
    card = json.loads((trained / "run" / "saved_model" / "card.json").read_text())
    assert card["data"]["targets"] == data["targets"]
    assert card["data"]["digests"] == data["digests"]
