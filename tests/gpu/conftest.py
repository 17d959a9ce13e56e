"""What is needed to run on a GPU. `make test-gpu` leaves out tests/conftest.py, which divides the
CPU."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import pytest

from ssl_keras.cli import startup
from ssl_keras.lazy import tf

startup.start_tensorflow()

NO_GPU = "TensorFlow sees no GPU here; these tests say what to run first on one."


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--pretend", action="store_true", help="run on the CPU, to try the tests themselves"
    )


@pytest.fixture(scope="session", autouse=True)
def on_gpu(request: pytest.FixtureRequest) -> bool:
    """Whether there is a GPU; without one every test is skipped, unless --pretend is given."""
    found = bool(tf.config.list_physical_devices("GPU"))
    if not found and not request.config.getoption("--pretend"):
        pytest.skip(NO_GPU)
    return found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if any(NO_GPU in str(report.longrepr) for report in terminalreporter.stats.get("skipped", ())):
        terminalreporter.write_line(NO_GPU)


@pytest.fixture(scope="session", autouse=True)
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prepared data sets of the tests: nothing is written to the home directory."""
    directory = tmp_path_factory.mktemp("tensorflow_datasets")
    os.environ["TFDS_DATA_DIR"] = str(directory)
    return directory
