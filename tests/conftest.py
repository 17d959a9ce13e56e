"""Shared fixtures. Two logical CPU devices are opened, so that replicas can be tested."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest
import tensorflow as tf

from ssl_keras import datasets
from ssl_keras.cli import startup
from ssl_keras.datasets import DataSet
from ssl_keras.run import devices

startup.start_tensorflow(num_devices=2)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of long tests first, so that processes that share the tests end at about one time."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="session", autouse=True)
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Prepared data sets of the tests: nothing is written to the home directory."""
    directory = str(tmp_path_factory.mktemp("tensorflow_datasets"))
    os.environ["TFDS_DATA_DIR"] = directory
    return directory


@pytest.fixture(scope="session")
def two_replicas() -> tf.distribute.Strategy:
    """Two replicas on logical CPU devices. One for all tests: TensorFlow's collectives cannot be
    grouped anew in one process."""
    return devices.resolve("off", "off", "mirrored", 2).strategy


@pytest.fixture(scope="session")
def bit_data(data_dir: str) -> DataSet:
    """mnist_5k with three bits."""
    return datasets.load("bit_concat", data_dir=data_dir, num_bits=3)
