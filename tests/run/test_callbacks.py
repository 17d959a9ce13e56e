"""Callbacks of Keras in a run: called as `fit` calls them, and without effect on the training."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import keras
import pytest

from ssl_keras.config import Config
from ssl_keras.datasets import DataSet
from ssl_keras.errors import UserError
from ssl_keras.run import build, train_and_evaluate
from ssl_keras.run.callbacks import KerasCallbacks
from ssl_keras.run.loop import batches, train

SMALL: dict[str, Any] = {
    "loss": "nt_xent",
    "num_bits": 3,
    "steps": 6,
    "log_every": 3,
    "batch_size": 32,
    "width_multiplier": 0.25,
    "measure_images": 0,
    "heads": "",
}


class Recorder(keras.callbacks.Callback):
    """Keeps every event with its number and logs."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[Any, ...]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        self.events.append(("train begins",))

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.events.append(("epoch begins", epoch))

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.events.append(("batch begins", batch))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.events.append(("batch ends", batch, dict(logs)))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.events.append(("epoch ends", epoch, dict(logs)))

    def on_train_end(self, logs: Any = None) -> None:
        self.events.append(("train ends", dict(logs)))


def without_rounding(events: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [
        tuple(
            {name: round(float(value), 4) for name, value in part.items()}
            if isinstance(part, dict)
            else part
            for part in event
        )
        for event in events
    ]


def trained(data: DataSet, callbacks: list[Any], first_step: int = 0, **values: Any) -> Any:
    setup = build(Config.make(**{**SMALL, **values}), data)
    train(
        setup.model,
        batches(setup, first_step),
        total_steps=setup.total_steps,
        first_step=first_step,
        log_every=3,
        listeners=[KerasCallbacks(setup.model, callbacks, 3)],
    )
    return setup.model


@pytest.mark.full
def test_a_run_calls_them_as_fit_does(bit_data: DataSet) -> None:
    ours, theirs = Recorder(), Recorder()
    trained(bit_data, [ours])
    setup = build(Config.make(**SMALL), bit_data)
    setup.model.fit(
        batches(setup, 0), epochs=2, steps_per_epoch=3, callbacks=[theirs], verbose=0, shuffle=False
    )
    assert without_rounding(ours.events) == without_rounding(theirs.events)
    assert {"loss", "linear_probe/class/accuracy"} <= set(ours.events[3][2])


@pytest.mark.exhaustive
def test_a_resumed_run_goes_on_counting(bit_data: DataSet) -> None:
    recorder = Recorder()
    trained(bit_data, [recorder], first_step=4)
    assert [event[:2] for event in recorder.events[:-1]] == [
        ("train begins",),
        ("epoch begins", 1),
        ("batch begins", 1),
        ("batch ends", 1),
        ("batch begins", 2),
        ("batch ends", 2),
        ("epoch ends", 1),
    ]


def test_the_device_waits_for_python_only_if_a_callback_reads_batches(bit_data: DataSet) -> None:
    quiet = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: None)
    loud = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    model = build(Config.make(**SMALL), bit_data).model
    assert not KerasCallbacks(model, [quiet, keras.callbacks.CSVLogger("a.csv")], 3).reads
    assert KerasCallbacks(model, [quiet, loud], 3).reads


@pytest.mark.full
def test_they_hear_the_history_and_change_nothing(tmp_path: Path) -> None:
    settings = {**SMALL, "max_train_images": 200}
    alone = train_and_evaluate(Config.make(**settings, workdir=tmp_path / "alone"))
    log = keras.callbacks.CSVLogger(str(tmp_path / "log.csv"))
    heard = train_and_evaluate(
        Config.make(**settings, workdir=tmp_path / "heard"), callbacks=[log, Recorder()]
    )
    assert heard["weights_sha256"] == alone["weights_sha256"]
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [int(row.pop("epoch")) for row in rows] == [0, 1]
    for row, record in zip(rows, heard["history"], strict=True):
        values = {name: float(row[name]) for name in record if name != "step"}
        assert values == pytest.approx({n: v for n, v in record.items() if n != "step"})


def test_what_is_no_callback_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    config = Config.make(**SMALL, workdir=tmp_path / "run")
    with pytest.raises(UserError, match="and function is none"):
        train_and_evaluate(config, callbacks=[lambda step: None])
    assert not (tmp_path / "run").exists()


@pytest.mark.exhaustive
def test_a_callback_cannot_stop_the_training(bit_data: DataSet) -> None:
    stop = keras.callbacks.EarlyStopping(monitor="loss", patience=0, mode="max", min_delta=1e9)
    with pytest.raises(UserError, match=r"has set model\.stop_training, but the length"):
        trained(bit_data, [stop])
