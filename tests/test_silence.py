"""From Python the package is as silent as its programs: nothing but what it has to say itself."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tiers import first_in_check

PACKAGE = Path(__file__).parent.parent / "ssl_keras"

USES = {
    "a loss": "from ssl_keras import losses; losses.get('nt_xent')([[1.0, 0.0]], [[1.0, 0.0]])",
    "a measure": "from ssl_keras import metrics; metrics.alignment([[1.0, 0.0]], [[1.0, 0.0]])",
    "views": "from ssl_keras.views.layers import RandomFlip; RandomFlip()",
    "data": "from ssl_keras import datasets; next(iter(datasets.load('plain').test.batches(2)))",
    "a run": """
import ssl_keras
config = ssl_keras.Config.make(
    loss="nt_xent", num_bits=2, steps=2, batch_size=32, max_train_images=100,
    width_multiplier=0.25, heads="knn", workdir="run",
)
ssl_keras.train_and_evaluate(config)
ssl_keras.load_encoder("run")
""",
    "an own encoder": """
import ssl_keras.lazy
ssl_keras.lazy.start()  # before what the user imports
import keras
encoder = keras.Sequential([keras.Input((28, 28, 3)), keras.layers.Flatten()])
ssl_keras.Config.make(encoder=encoder)
""",
}


@pytest.mark.parametrize("use", first_in_check(USES))
def test_nothing_is_written_to_the_standard_error(use: str, tmp_path: Path, data_dir: str) -> None:
    variables = {n: v for n, v in os.environ.items() if n != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", USES[use]],
        cwd=tmp_path,
        env={**variables, "PYTHONPATH": str(PACKAGE.parent)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0


def test_modules_import_tensorflow_in_one_place() -> None:
    direct = re.compile(r"(?m)^(import|from) (tensorflow|tensorflow_datasets|keras)\b")
    files = {str(path.relative_to(PACKAGE)): path.read_text() for path in PACKAGE.rglob("*.py")}
    assert [name for name, text in files.items() if direct.search(text)] == ["run/export.py"]
    # There it is the program of a user without this package.
    assert len(direct.findall(files["run/export.py"])) == 1
