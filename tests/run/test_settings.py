"""The settings of a run in its directory: every value in force, and what was set aside."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_keras import datasets
from ssl_keras.cli import flags
from ssl_keras.config import Config
from ssl_keras.datasets import DataSet, load
from ssl_keras.inputs import images
from ssl_keras.run import build, run_directory, train_and_evaluate
from ssl_keras.run import setup as run_setup


def replayed(workdir: Path, *more: str) -> Config:
    """The configuration that a run's flags.txt asks for."""
    arguments = ["program", f"--flagfile={workdir / 'flags.txt'}", *more]
    return flags.parse(arguments, flags.define(arguments=arguments))


def begun(config: Config, data: DataSet) -> tuple[Path, Config]:
    """The directory of a run that has begun, and its configuration with every value in force."""
    setup = build(config, data)
    claimed = run_directory.claim(setup.config, setup.requested)
    claimed.begin()
    claimed.release()
    return claimed.workdir, setup.config


@pytest.fixture(scope="module")
def default_data(data_dir: str) -> DataSet:
    return load("bit_concat")


def test_flags_txt_of_a_default_run_holds_every_value_in_force(
    default_data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    workdir, config = begun(Config.make(), default_data)
    assert workdir == Path("runs") / config.run_name()
    lines = (workdir / "flags.txt").read_text().splitlines()
    assert lines[0] == run_directory.MARK
    steps_per_epoch = 4000 // 250
    for line in (
        "--loss=uniform_prior",
        "--distribution_weight=5.0",
        "--projection_layers=2",
        "--projection_dim=64",
        "--projection_hidden_dim=256",
        "--learning_rate=0.001",
        "--source=mnist_5k",
        "--num_bits=2",
        "--encoder=convnet",
        "--crop_area_min=0.5",
        "--noflip",
        "--color_strength=0.0",
        "--grayscale=0.0",
        "--blur=0.0",
        f"--log_every={steps_per_epoch}",
        f"--measure_every={100 * steps_per_epoch // 25}",
        "--epochs=100",
        "--knn_k=20",
        "--seed=0",
    ):
        assert line in lines, line
    again = replayed(workdir)
    assert again == config
    assert again.digest() == config.digest()
    assert again.run_name() == config.run_name()
    # What follows from the data is the same when it is known already.
    assert build(again, default_data).config == config
    content = json.loads((workdir / "config.json").read_text())
    assert content.pop("format") == run_directory.FORMAT
    assert content.pop("data_digests") == datasets.digests(config.builder)
    assert content.pop("requested") == Config.make().replayable()
    assert Config.make(**content) == config


def test_other_presets_and_rules_in_a_later_version_change_no_replay(
    default_data: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir, config = begun(Config.make(workdir=str(tmp_path / "run")), default_data)
    monkeypatch.setitem(images.PRESETS, "digits", {"crop_area_min": 0.9, "flip": True, "blur": 0.5})
    monkeypatch.setattr(run_setup, "MEASUREMENTS", 7)
    method, loss = type(config.method), type(config.loss)
    defaults = (3, 16, 32, "all", *method.__init__.__defaults__[4:])
    monkeypatch.setattr(method.__init__, "__defaults__", defaults)
    monkeypatch.setattr(loss.__init__, "__defaults__", (1.0,) * len(loss.__init__.__defaults__))
    new = build(Config.make(), default_data)
    assert new.config.views.crop_area_min == 0.9
    assert (new.model.projection_dim, new.config.run.measure_every) == (16, 1600 // 7)
    again = build(replayed(workdir, f"--workdir={workdir}"), default_data)
    assert again.config == config
    assert again.model.projection_dim == 64
    assert again.model.augmenter.describe() == "crop to 0.5 of the area"


def test_what_is_set_aside_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    settings: dict[str, Any] = {"dataset": "plain", "batch_size": 10, "max_train_images": 20}
    settings |= {"heads": "", "measure_images": 0, "width_multiplier": 0.125, "steps": 1}
    contrastive = {"loss": "nt_xent", "temperature": 0.2, "projection_dim": 8}
    train_and_evaluate(
        Config.make(
            method="supervised",
            epochs=3,
            workdir=str(tmp_path / "run"),
            **settings,
            **contrastive,
        )
    )
    output = capfd.readouterr().out
    assert output.count("Note: steps=1 decides: epochs set aside.\n") == 1
    assert (
        "Note: method=supervised has no contrastive loss and no projection head: loss, "
        "temperature, projection_dim set aside.\n"
    ) in output
    text = (tmp_path / "run" / "flags.txt").read_text()
    for name in ("epochs", *contrastive):
        assert f"--{name}=" not in text
    assert replayed(tmp_path / "run").notices == ()


@pytest.mark.full
def test_a_run_on_a_table_holds_the_operations_of_vectors(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    np.savez(tmp_path / "table.npz", x=generator.normal(size=(40, 3)), y=np.arange(40) % 2)
    source = f"npz:{tmp_path / 'table.npz'}"
    data = load("table", source=source)
    config = Config.make(
        dataset="table", source=source, batch_size=8, workdir=str(tmp_path / "run"), heads="linear"
    )
    workdir, config = begun(config, data)
    lines = (workdir / "flags.txt").read_text().splitlines()
    assert {"--encoder=mlp", "--noise_deviation=0.1", "--corruption_rate=0.3"} <= set(lines)
    assert not [line for line in lines if "crop" in line or "image_size" in line]
    assert replayed(workdir, f"--workdir={workdir}") == config
