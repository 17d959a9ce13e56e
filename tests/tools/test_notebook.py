"""The notebook of the guides runs from top to bottom, shortened, and says nothing unasked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "ssl_keras.ipynb"


def notebook() -> Any:
    return nbformat.read(NOTEBOOK, as_version=4)


def test_the_notebook_is_kept_without_outputs() -> None:
    nbformat.validate(notebook())
    code = [cell for cell in notebook().cells if cell.cell_type == "code"]
    assert len(code) == 4
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert max(len(cell.source.splitlines()) for cell in code) <= 20
    assert NOTEBOOK.stat().st_size < 10_000


@pytest.mark.full
def test_the_notebook_runs(tmp_path: Path, data_dir: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    executed = notebook()
    for cell in executed.cells:
        cell.source = cell.source.replace("STEPS = 300", "STEPS = 3")
    client = NotebookClient(executed, timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    client.execute()
    outputs = [output for cell in executed.cells for output in cell.get("outputs", [])]
    assert [o.text for o in outputs if o.output_type == "stream" and o.name == "stderr"] == []
    printed = "".join(o.text for o in outputs if o.output_type == "stream")
    assert "3 random bits concatenated to mnist_5k" in printed
    assert "8 bits: features 0." in printed
    assert "INFO" not in printed
    assert len([o for o in outputs if "image/png" in o.get("data", {})]) == 2
    assert (tmp_path / "runs" / "notebook" / "num_bits=8" / "results.json").is_file()
