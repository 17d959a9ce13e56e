"""Programs of tests that train a step or two: nothing is traced, and digits are read once.

Two steps are cheaper than a trace of them. What is evaluated on a thousand digits is evaluated in
the same way on two hundred.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from ssl_keras import datasets
from ssl_keras.datasets.base import Source
from ssl_keras.datasets.examples import ArrayExamples
from ssl_keras.run import run as run_module
from ssl_keras.sweep import worker

ROOT = Path(__file__).parents[1]
TEST_IMAGES = 200
# In place of `pool.Worker.command`.
PROGRAM = f"import sys; sys.path.insert(0, {str(ROOT)!r})\nfrom tests import quick; quick.work()"
WORKER = [sys.executable, "-c", PROGRAM]


@contextlib.contextmanager
def untraced() -> Iterator[None]:
    """Nothing is traced."""
    tf.config.run_functions_eagerly(True)
    try:
        with warnings.catch_warnings():
            # Pipelines of data are traced all the same, which is said each time.
            warnings.filterwarnings("ignore", "Even though the .* option is set")
            yield
    finally:
        tf.config.run_functions_eagerly(False)


def without_exports(patch: pytest.MonkeyPatch) -> None:
    """Let runs leave an empty folder in place of their SavedModel, which takes longer than two
    steps of training."""

    def export(setup: Any, directory: Path, results: Any) -> float:
        directory.mkdir(exist_ok=True)
        return 0.0

    patch.setattr(run_module, "export_setup", export)


def prepare() -> None:
    """Let this process be quick."""
    tf.config.run_functions_eagerly(True)
    load = datasets.load_source

    @functools.lru_cache(maxsize=8)
    def load_source(name: str, *arguments: Any, **options: Any) -> Any:
        return with_few(load(name, *arguments, **options))

    datasets.load_source = load_source  # type: ignore[assignment]


def with_few(source: Source) -> Source:
    """A source in memory with the first of its test images alone."""
    test = source.test
    if type(test) is not ArrayExamples or set(test.columns) != {"image"} or test.labels is None:
        return source
    few = ArrayExamples({"image": test.columns["image"][:TEST_IMAGES]}, test.labels[:TEST_IMAGES])
    return dataclasses.replace(source, test=few)


def work() -> None:
    """`ssl_keras.sweep.worker`, quick."""
    prepare()
    sys.exit(worker.main())
