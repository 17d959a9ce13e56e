"""Batches that other processes make are those that the training would have made."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssl_keras import datasets
from ssl_keras.config import Config
from ssl_keras.datasets.sources import folder
from ssl_keras.errors import UserError
from ssl_keras.launch import free_ports, start_services
from ssl_keras.run import build
from ssl_keras.run.looping import batches
from tools.data_service import main

SETTINGS: dict[str, Any] = {
    "dataset": "overlay",
    "batch_size": 6,
    "steps": 9,
    "max_train_images": 20,
    "width_multiplier": 0.25,
    "heads": "",
}


@pytest.fixture(scope="module")
def addresses() -> Iterator[list[str]]:
    services: list[subprocess.Popen[str]] = []
    yield start_services(2, services)
    for service in services:
        service.kill()
        service.wait()


def contents(dataset: Any) -> list[Any]:
    return [tf.nest.map_structure(lambda tensor: tensor.numpy(), batch) for batch in dataset]


@pytest.mark.parametrize("number", [1, 2])
def test_services_give_the_batches_of_the_steps(
    number: int, addresses: list[str], data_dir: str
) -> None:
    here = build(Config.make(**SETTINGS, data_dir=data_dir))
    there = build(
        Config.make(**SETTINGS, data_dir=data_dir, data_service=",".join(addresses[:number]))
    )
    expected, found = contents(batches(here, 2)), contents(batches(there, 2))
    assert len(found) == len(expected) == 7
    for ours, theirs in zip(found, expected, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, ours, theirs)
    # Where batches come from is no part of what the results depend on.
    assert here.config.digest() == there.config.digest()
    assert here.config.differences(there.config.replayable()) == {}


def test_several_devices_get_their_shares(
    addresses: list[str], data_dir: str, two_replicas: Any
) -> None:
    config = {**SETTINGS, "strategy": "mirrored", "devices": 2, "data_dir": data_dir}
    here = iter(batches(build(Config.make(**config)), 3))
    there = iter(batches(build(Config.make(**config, data_service=",".join(addresses))), 3))
    for _ in range(3):
        shares = [two_replicas.experimental_local_results(next(i)["image"]) for i in (here, there)]
        np.testing.assert_array_equal(np.concatenate(shares[0]), np.concatenate(shares[1]))


@pytest.mark.parametrize("address", ["nowhere", "host:port", ":5050"])
def test_what_is_no_address_is_refused(address: str, data_dir: str) -> None:
    built = build(Config.make(**SETTINGS, data_dir=data_dir, data_service=address))
    with pytest.raises(UserError, match="give HOST:PORT"):
        batches(built, 0)


def test_a_service_that_is_not_there_is_named(data_dir: str) -> None:
    (port,) = free_ports(1)
    built = build(Config.make(**SETTINGS, data_dir=data_dir, data_service=f"127.0.0.1:{port}"))
    with pytest.raises(UserError, match=f"No data service answers at 127.0.0.1:{port}"):
        batches(built, 0)


def test_images_that_python_decodes_are_refused(
    addresses: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (folder, datasets):
        monkeypatch.setattr(module, "IN_MEMORY_BYTES", 0)
    for part in ("train", "test"):
        for name in "ab":
            (tmp_path / part / name).mkdir(parents=True)
            for number in range(4):
                Image.new("RGB", (32, 32)).save(tmp_path / part / name / f"{number}.png")
    settings = {**SETTINGS, "dataset": "plain", "source": f"folder:{tmp_path}"}
    built = build(Config.make(**settings, data_service=addresses[0]))
    with pytest.raises(UserError, match="whose images are decoded by Python: leave it out"):
        batches(built, 0)


def test_a_port_that_is_taken_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["--port=0"]) == 2
    assert "give a number from 1 to 65535" in capfd.readouterr().err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main([f"--port={taken.getsockname()[1]}"]) == 2
    assert "cannot be had: choose another" in capfd.readouterr().err
