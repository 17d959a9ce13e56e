"""The story: one finished run with every evaluator, which tests read or copy."""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ssl_keras.config import Config
from ssl_keras.evaluators import EVALUATORS, Evaluator
from ssl_keras.run import train_and_evaluate

# The evaluators that any labelled images can have.
HEADS = [
    name
    for name, evaluator in EVALUATORS.items()
    if not evaluator.needs_targets and evaluator.check_data is Evaluator.check_data
]
STORY: dict[str, Any] = {
    "num_bits": 2,
    "loss": "uniform_prior",
    "distribution_weight": "linear:2:5",
    "views": "augment,dropout",
    "steps": 6,
    "batch_size": 64,
    "max_train_images": 1000,
    "width_multiplier": 0.25,
    "log_every": 2,
    "heads": ",".join(HEADS),
    "decoder_steps": 5,
    "linear_sgd_epochs": 3,
    "profile_steps": 2,
}


@dataclass(frozen=True)
class Story:
    """A finished run that nothing may change.

    Attributes:
        workdir: its directory.
        results: what `train_and_evaluate` has returned.
        output, errors: what was printed.
    """

    workdir: Path
    results: dict[str, Any] = field(repr=False)
    output: str = field(repr=False)
    errors: str = field(repr=False)

    def copy(self, directory: Path) -> Path:
        """A copy of the run's directory, to be changed."""
        return Path(shutil.copytree(self.workdir, directory))


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory, data_dir: str) -> Story:
    """The run `STORY`, trained once for all processes that share the tests."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent
    workdir, printed = root / "story", root / "story.json"
    with (root / "story.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not printed.exists():
            output, errors = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
                results = train_and_evaluate(Config.make(**STORY, workdir=str(workdir)))
            texts = {"output": output.getvalue(), "errors": errors.getvalue()}
            printed.write_text(json.dumps({"results": results, **texts}))
    return Story(workdir, **json.loads(printed.read_text()))
