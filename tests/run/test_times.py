"""The times of a run are those of all its processes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ssl_keras.config import Config
from ssl_keras.errors import Interrupted
from ssl_keras.run import run as run_module
from ssl_keras.run import train_and_evaluate


@pytest.mark.exhaustive
def test_times_add_up_over_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class StopAfterSecond:
        requested = True

        def __enter__(self) -> StopAfterSecond:
            time.sleep(3)  # counts as time of the first process, before its training
            return self

        def __exit__(self, *_: object) -> None:
            pass

    config = Config.make(
        dataset="plain", steps=4, batch_size=16, max_train_images=64, width_multiplier=0.25,
        heads="", measure_images=0, workdir=str(tmp_path / "run"),
    )  # fmt: skip
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "Interruption", StopAfterSecond)
        with pytest.raises(Interrupted):
            train_and_evaluate(config)
    begun = time.perf_counter()
    times = train_and_evaluate(config)["times"]
    second = time.perf_counter() - begun
    parts = sum(value for name, value in times.items() if name in ("build", "training", "export"))
    assert times["resumed_at"] == [1]
    assert times["total"] > 3
    assert times["total"] > parts
    # The second process alone is shorter than what both took.
    assert times["total"] > second + 2.5
