"""Shared fixtures. Two logical CPU devices are opened, so that replicas can be tested."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Tests run in a process for each core: more threads would only wait for each other.
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import tensorflow as tf

from ssl_keras import datasets
from ssl_keras.cli import startup
from ssl_keras.datasets import DataSet
from ssl_keras.run import devices, sharing
from tests import quick

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


@pytest.fixture(scope="session", autouse=True)
def embedded_once(data_dir: str) -> Iterator[None]:
    """The digits and the photographs of the package are read once a process: half a second to two
    seconds in most tests. Tests of sources import `load_source` itself."""
    load = datasets.load_source
    kept = functools.lru_cache(maxsize=8)(load)

    @functools.wraps(load)
    def load_source(name: str, *arguments: Any, **options: Any) -> Any:
        return (kept if name in ("mnist_5k", "photos") else load)(name, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(datasets, "load_source", load_source)
        yield


@pytest.fixture(scope="session", autouse=True)
def shared_while_unpatched() -> Iterator[None]:
    """Runs share traced graphs, unless a test has replaced a part of what is traced in between."""
    key = sharing.key

    def key_with_code(*arguments: Any) -> str | None:
        found = key(*arguments)
        return found and f"{found} {_traced_code()}"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sharing, "key", key_with_code)
        yield


def _traced_code() -> int:
    """Differs when a function or a class attribute that a step is made of is another object."""
    names = ("inputs", "losses", "methods", "metrics", "networks", "randomness", "views")
    prefixes = tuple(f"ssl_keras.{name}" for name in names)
    modules = [module for name, module in sys.modules.items() if name.startswith(prefixes)]
    found = [value for module in modules for value in list(vars(module).values())]
    classes = [value for value in found if isinstance(value, type)]
    found += [value for each in classes for value in list(vars(each).values())]
    return hash(frozenset(map(id, found)))


@pytest.fixture(autouse=True)
def no_export(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs export nothing, except in tests marked `exports`."""
    if request.node.get_closest_marker("exports") is None:
        quick.without_exports(monkeypatch)


@pytest.fixture
def eagerly() -> Iterator[None]:
    """Nothing is traced: a trace takes longer than some small steps. For tests of what is around
    steps; the steps themselves, resumption, exports and the story are tested as they run."""
    with quick.untraced():
        yield


@pytest.fixture(scope="session")
def two_replicas() -> tf.distribute.Strategy:
    """Two replicas on logical CPU devices. One for all tests: TensorFlow's collectives cannot be
    grouped anew in one process."""
    return devices.resolve("off", "off", "mirrored", 2).strategy


@pytest.fixture(scope="session")
def bit_data(data_dir: str) -> DataSet:
    """mnist_5k with three bits."""
    return datasets.load("bit_concat", data_dir=data_dir, num_bits=3)
