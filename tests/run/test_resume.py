"""A training that was stopped, however it was stopped, goes on as if nothing had happened."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from ssl_keras import datasets, files
from ssl_keras.config import Config
from ssl_keras.datasets.sources import folder
from ssl_keras.errors import Interrupted, UserError
from ssl_keras.run import build, restore_run, run_directory, train_and_evaluate
from ssl_keras.run import run as run_module
from ssl_keras.run.checkpoints import Checkpoints, _record_digest
from tests import processes, quick
from tests.tiers import first_in_check

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
TINY: dict[str, Any] = {
    "dataset": "plain",
    "loss": "uniform_prior",
    "steps": 14,
    "batch_size": 16,
    "max_train_images": 100,
    "width_multiplier": 0.25,
    "measure_images": 8,
    "measure_every": 3,
    "log_every": 4,
    "ema_decay": 0.9,
    "heads": "knn",
}


def make(workdir: Path, **settings: Any) -> Config:
    return Config.make(**{**TINY, "workdir": str(workdir), **settings})


def comparable(workdir: Path) -> dict[str, Any]:
    results = json.loads((workdir / "results.json").read_text())
    results["setup"].pop("devices")
    return {key: value for key, value in results.items() if key not in ("times", "paths")}


class Stop:
    """Asks to stop after some steps, like Ctrl-C."""

    def __init__(self, after: int):
        self.after, self.calls = after, 0

    def __enter__(self) -> Stop:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def requested(self) -> bool:
        self.calls += 1
        return self.calls >= self.after


def stop_after(steps: int, config: Config, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run until it is stopped; returns what the user is told."""
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "Interruption", lambda: Stop(steps))
        with pytest.raises(Interrupted) as told:
            train_and_evaluate(config)
    return str(told.value)


def copy_before(name: str, workdir: Path, target: Path, patch: pytest.MonkeyPatch) -> None:
    """Copy a run's directory when a file is about to be written: what it would be, had the process
    been killed there."""
    write = files.whole_file

    def whole_file(path: Path, *arguments: Any) -> Any:
        if path.name == name:
            shutil.copytree(workdir, target)
        return write(path, *arguments)

    patch.setattr(files, "whole_file", whole_file)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, data_dir: str) -> Path:
    """Never stopped; beside it `stopped`."""
    workdir = tmp_path_factory.mktemp("resume") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        quick.without_exports(patch)
        copy_before("step-12.json", workdir, workdir.with_name("stopped"), patch)
        train_and_evaluate(make(workdir, checkpoint_every=4))
    return workdir


@pytest.fixture(scope="module")
def stopped(whole: Path) -> Path:
    """Killed after step 12, with checkpoints of steps 4 and 8."""
    return whole.with_name("stopped")


@pytest.mark.full
def test_stopped_and_gone_on_equals_never_stopped(
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    config = make(tmp_path / "run")
    done, steps = 0, [3, 7]
    for count in steps:
        message = stop_after(count, config, monkeypatch)
        done += count
        assert f"after step {done} of 14" in message
        assert f"--flagfile={tmp_path / 'run' / 'flags.txt'}" in message
        assert not (tmp_path / "run" / "results.json").exists()
    results = train_and_evaluate(config)
    assert f"Resuming after step {done} of 14." in capfd.readouterr().out
    assert results["times"]["resumed_at"] == list(np.cumsum(steps))
    assert comparable(tmp_path / "run") == comparable(whole)
    restored = restore_run(tmp_path / "run")
    assert int(restored.model.step.numpy()) == 14
    # What is evaluated is the average.
    average = restored.model.average
    for ours, theirs in zip(average.variables, average.averages, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.exhaustive
@pytest.mark.parametrize(
    "settings",
    first_in_check(
        [
            {"mixed_precision": "float16", "loss": "nt_xent", "micro_batch": 8},
            {"strategy": "mirrored", "devices": 2},
        ]
    ),
    ids=str,
)
def test_going_on_is_exact_on_several_devices_and_in_low_precision(
    settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorter = {"steps": 5, "heads": "", "measure_images": 0, "measure_every": None, **settings}
    copy_before("step-5.json", tmp_path / "whole", tmp_path / "run", monkeypatch)
    train_and_evaluate(make(tmp_path / "whole", **shorter, checkpoint_every=3))
    monkeypatch.undo()
    results = train_and_evaluate(make(tmp_path / "run", **shorter))
    assert results["times"]["resumed_at"] == [3]
    assert comparable(tmp_path / "run") == comparable(tmp_path / "whole")


@pytest.mark.full
def test_what_is_refused_late_harms_nothing(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A finished run that is to become longer, on a machine where its settings mean something else.
    shutil.copytree(whole, tmp_path / "run")
    for path in (tmp_path / "run" / "checkpoints").glob("step-*.json"):
        rewrite(path, lambda record: record["state"]["engine"].update(jit=True))
    before = (tmp_path / "run" / "results.json").read_bytes()
    with pytest.raises(UserError, match="begun with jit=True"):
        train_and_evaluate(make(tmp_path / "run", steps=20))
    assert (tmp_path / "run" / "results.json").read_bytes() == before
    assert (tmp_path / "run" / "saved_model").is_dir()


@pytest.mark.full
def test_going_on_where_the_settings_mean_something_else_is_refused(
    stopped: Path, tmp_path: Path
) -> None:
    shutil.copytree(stopped, tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "step-8.json"
    engine = json.loads(path.read_text())["state"]["engine"]
    assert engine == {"precision": "off", "jit": False, "replicas": 1}
    rewrite(path, lambda record: record["state"]["engine"].update(precision="bfloat16"))
    with pytest.raises(UserError, match="begun with precision=bfloat16, but on this machine"):
        train_and_evaluate(make(tmp_path / "run", checkpoint_every=3))


@pytest.mark.exhaustive
def test_a_full_disk_keeps_the_last_good_checkpoint_and_tensorboard_shows_every_step_once(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = make(tmp_path / "run", checkpoint_every=3)
    write = tf.train.Checkpoint.write

    def full(self: Any, prefix: str, *arguments: Any) -> Any:
        if prefix.endswith("step-9"):
            raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")
        return write(self, prefix, *arguments)

    def logged(workdir: Path) -> list[tuple[int, float]]:
        board = EventAccumulator(str(workdir / "tensorboard"), {"tensors": 0})
        board.Reload()
        events = board.Tensors("train/loss")
        return [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in events]

    with monkeypatch.context() as patch:
        patch.setattr(tf.train.Checkpoint, "write", full)
        with pytest.raises(UserError, match=r"step 9 cannot be .*No space.* is that of step 6"):
            train_and_evaluate(config)
    assert [step for step, _ in logged(tmp_path / "run")] == [4, 8]
    assert train_and_evaluate(config)["times"]["resumed_at"] == [6]
    assert comparable(tmp_path / "run") == comparable(whole)
    assert [step for step, _ in logged(whole)] == [4, 8, 12, 14]
    assert logged(tmp_path / "run") == logged(whole)


def photographs(root: Path) -> Path:
    generator = np.random.default_rng(0)
    for part, count in (("train", 12), ("test", 4)):
        for name in ("a", "b"):
            place = root / part / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 256, (20, 20), np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
    return root


# Kills itself when the variables of step 6 are written, and the record is not.
KILLED = """
import os, signal, sys
from ssl_keras import files, train
write = files.whole_file
def whole_file(path, *arguments):
    if path.name == "step-6.json":
        os.kill(os.getpid(), signal.SIGKILL)
    return write(path, *arguments)
files.whole_file = whole_file
sys.exit(train.main())
"""


def words(workdir: Path, **settings: Any) -> list[str]:
    """The flags of a training without an export."""
    flags = [f"--{name}={value}" for name, value in {**TINY, **settings}.items()]
    return [*flags, "--noexport", f"--workdir={workdir}"]


def test_killed_in_the_middle_of_an_epoch_and_gone_on_equals_never_killed(
    whole: Path, tmp_path: Path
) -> None:
    program = ["-c", KILLED, *words(tmp_path / "run", checkpoint_every=3)]
    done = processes.run(program, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not (tmp_path / "run" / "results.json").exists()
    results = train_and_evaluate(make(tmp_path / "run"))
    assert results["times"]["resumed_at"] == [3]
    assert comparable(tmp_path / "run") == comparable(whole)


@pytest.mark.exhaustive
def test_going_on_with_images_that_are_decoded_while_training_is_exact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datasets, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(folder, "IN_MEMORY_BYTES", 0)
    settings: dict[str, Any] = {"source": f"folder:{photographs(tmp_path / 'images')}"}
    settings |= {"batch_size": 7, "crop_area_min": 0.5, "heads": ""}
    copy_before("step-8.json", tmp_path / "whole", tmp_path / "run", monkeypatch)
    train_and_evaluate(make(tmp_path / "whole", checkpoint_every=2, **settings))
    results = train_and_evaluate(make(tmp_path / "run", **settings))
    assert results["times"]["resumed_at"] == [6]
    assert comparable(tmp_path / "run") == comparable(tmp_path / "whole")


@pytest.mark.exhaustive
def test_sigterm_keeps_the_state_and_says_how_to_go_on(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "ssl_keras.train", *words(tmp_path / "run", steps=400, log_every=1)],
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert any(line.strip().startswith("step ") for line in process.stdout)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 130
    assert "ssl_keras.train: interrupted after step" in errors
    assert "Traceback" not in errors
    assert len(list((tmp_path / "run" / "checkpoints").glob("step-*.json"))) == 1


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the record of a checkpoint, and the digest with it."""
    record = json.loads(path.read_text())
    del record["record_sha256"]
    change(record)
    path.write_text(json.dumps({"record_sha256": _record_digest(record), **record}))


def damage(directory: Path, step: int, kind: str) -> None:
    """Damage a checkpoint: cut its record or its data off, flip bits in the data, or let the record
    be about other values."""
    data = directory / f"step-{step}.data-00000-of-00001"
    record = directory / f"step-{step}.json"
    if kind == "record":
        record.write_text(f'{{"step": {step}')
    elif kind == "values":
        rewrite(record, lambda content: content.update(sha256="0" * 64))
    elif kind == "data":
        content = bytearray(data.read_bytes())
        content[len(content) // 2] ^= 255
        data.write_bytes(bytes(content))
    else:
        data.write_bytes(data.read_bytes()[:100])


@pytest.mark.parametrize("kind", ["record", "data", "torn", "values"])
def test_of_damaged_checkpoints_the_newest_good_one_is_restored(kind: str, tmp_path: Path) -> None:
    variables = [tf.Variable(tf.zeros((20, 30)), name="kernel"), tf.Variable(0.0, name="count")]
    kept = Checkpoints(tmp_path, {"weights": variables})
    for step in (6, 8):
        variables[0].assign(tf.fill((20, 30), float(step)))
        variables[1].assign(step + 1)
        kept.save(step, {"history": [step]})
    damage(tmp_path, 8, kind)
    notice = "the checkpoint of step 8 is damaged"
    assert kept.restore() == (6, {"history": [6]}, [notice])
    np.testing.assert_array_equal(variables[0], np.full((20, 30), 6))
    assert float(variables[1]) == 7
    damage(tmp_path, 6, kind)
    with pytest.raises(UserError, match=rf"No checkpoint in .* can be read \({notice}; .* step 6"):
        kept.restore()


def test_no_flipped_bit_changes_the_record_of_a_checkpoint_unseen(tmp_path: Path) -> None:
    variable = tf.Variable(tf.zeros((3,)), name="kernel")
    kept = Checkpoints(tmp_path, {"weights": [variable]})
    for step in (6, 8):
        variable.assign(tf.fill((3,), float(step)))
        kept.save(step, {"history": [{"loss": step / 7}], "times": {"total": 1.5}})
    path = tmp_path / "step-8.json"
    content = path.read_bytes()
    whole = kept.restore()
    assert whole == (8, {"history": [{"loss": 8 / 7}], "times": {"total": 1.5}}, [])
    outcomes = []
    for position in range(0, len(content), 3):
        flipped = bytearray(content)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(bytes(flipped))
        outcomes.append(kept.restore())
    # Only what JSON reads alike, such as another white space, may pass.
    assert sum(outcome == whole for outcome in outcomes) <= 3
    assert all(outcome == whole or outcome[0] == 6 for outcome in outcomes)


@pytest.mark.full
def test_a_run_with_a_damaged_checkpoint_resumes_from_the_one_before(
    whole: Path, stopped: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = make(tmp_path / "run", checkpoint_every=3)
    shutil.copytree(stopped, tmp_path / "run")
    directory = tmp_path / "run" / "checkpoints"
    assert sorted(path.name for path in directory.glob("*.json")) == ["step-4.json", "step-8.json"]
    damage(directory, 8, "data")
    results = train_and_evaluate(config)
    told = capfd.readouterr().err
    assert "the checkpoint of step 8 is damaged, so training resumes from the one before" in told
    assert results["times"]["resumed_at"] == [4]
    assert comparable(tmp_path / "run") == comparable(whole)
    for path in directory.glob("step-*.json"):
        path.write_text("{}")
    with pytest.raises(UserError, match=r"No checkpoint in .* can be read"):
        restore_run(tmp_path / "run")


@pytest.mark.exhaustive
def test_other_mathematics_is_refused_and_other_measuring_is_not(
    whole: Path, stopped: Path, tmp_path: Path
) -> None:
    shutil.copytree(stopped, tmp_path / "run")
    for settings, message in (
        ({"distribution_weight": 2.0}, "an unfinished run with distribution_weight=5.0, not 2.0"),
        ({"batch_size": 8}, "batch_size=16, not 8"),
        ({"steps": 13}, "steps=14, not 13"),
        ({"seed": 1, "num_bits": 2, "dataset": "bit_concat"}, "and 3 more differ"),
    ):
        with pytest.raises(UserError, match=message):
            train_and_evaluate(make(tmp_path / "run", **settings))
    other = make(tmp_path / "run", heads="knn,retrieval", knn_k=5, log_every=3, checkpoint_every=2)
    results = train_and_evaluate(other)
    expected = comparable(whole)
    assert results["weights_sha256"] == expected["weights_sha256"]
    assert "retrieval/features/class/precision" in results["results"]


@pytest.mark.exhaustive
def test_a_finished_run_can_become_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {"learning_rate_decay": "constant", "log_every": 5, "measure_every": 5, "heads": ""}
    train_and_evaluate(make(tmp_path / "a", steps=10, **settings))
    with pytest.raises(UserError, match="holds a finished run: choose another directory"):
        train_and_evaluate(make(tmp_path / "a", steps=10, **settings))

    # Until the longer run is finished the shorter one is there, and can be evaluated.
    finish = run_module.finish

    def copy_and_finish(*arguments: Any) -> Any:
        shutil.copytree(tmp_path / "a", tmp_path / "killed")
        return finish(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(run_module, "finish", copy_and_finish)
        longer = train_and_evaluate(make(tmp_path / "a", steps=20, **settings))
    assert longer["times"]["resumed_at"] == [10]
    shorter = tmp_path / "killed" / "shorter"
    assert not run_directory.finished(tmp_path / "killed")
    assert run_directory.read(shorter)[1]["steps"] == 10
    assert restore_run(shorter).total_steps == 10
    longer = train_and_evaluate(make(tmp_path / "killed", steps=20, **settings))
    assert longer["times"]["resumed_at"] == [10, 20]
    assert not shorter.exists()
    train_and_evaluate(make(tmp_path / "b", steps=20, **settings))
    assert comparable(tmp_path / "a") == comparable(tmp_path / "b")
    assert comparable(tmp_path / "killed") == comparable(tmp_path / "b")


@pytest.mark.full
def test_a_loss_that_is_not_finite_names_its_step_and_images(tmp_path: Path) -> None:
    config = make(tmp_path / "run", learning_rate=1e25, checkpoint_every=1, steps=40)
    with pytest.raises(UserError, match="not a finite number in step") as told:
        train_and_evaluate(config)
    found = json.loads((tmp_path / "run" / "non_finite.json").read_text())
    step = found["step"]
    assert f"in step {step}: training was stopped. The last good checkpoint" in str(told.value)
    assert "lower --learning_rate" in str(told.value)
    train = build(config).data.train
    batches = list(train.training_batches(16, seed=0, num_steps=step + 1))
    shown = train.example["image"][np.array(found["images"])]
    np.testing.assert_array_equal(batches[step]["example"]["image"], shown)
    kept = [
        int(path.stem.split("-")[1]) for path in (tmp_path / "run" / "checkpoints").glob("*.json")
    ]
    assert all(done <= step for done in kept)


def test_checkpoints_of_another_network_are_named(tmp_path: Path) -> None:
    first = tf.Variable
    kept = Checkpoints(tmp_path, {"weights": [first(tf.zeros((2, 3)), name="kernel")]})
    kept.save(4, {"a": 1})
    same = Checkpoints(tmp_path, {"weights": [first(tf.ones((2, 3)), name="kernel")]})
    assert same.restore() == (4, {"a": 1}, [])
    np.testing.assert_array_equal(same.variables[0], np.zeros((2, 3)))
    other = Checkpoints(tmp_path, {"weights": [first(tf.zeros((2, 4)), name="kernel")]})
    with pytest.raises(UserError, match=r"has the shape \(2, 4\) here, and .* \(2, 3\) there"):
        other.restore()
    more = Checkpoints(tmp_path, {"weights": [first(tf.zeros((2, 3))), first(0.0)]})
    with pytest.raises(UserError, match="weights are 2 variables here, and 1 there"):
        more.restore()
    assert Checkpoints(tmp_path / "none", {"weights": [first(0.0)]}).restore() is None


def test_only_as_many_checkpoints_as_wanted_are_kept(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, {"weights": [tf.Variable(0.0)]}, keep=2)
    for step in (1, 2, 10, 9):
        kept.save(step, {})
    assert kept.steps() == [9, 10]
    assert {path.name.split(".")[0] for path in tmp_path.iterdir()} == {"step-9", "step-10"}


def test_one_directory_has_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = make(tmp_path / "run")
    first = run_directory.claim(config)
    first.begin()
    with pytest.raises(UserError, match="which another process is using"):
        run_directory.claim(config)
    first.lock.close()
    again = run_directory.claim(config)
    assert again.resumes
    again.lock.close()
    # Without --workdir: an unfinished run of the same command goes on, unless somebody has it.
    monkeypatch.chdir(tmp_path)
    plain = Config.make(**TINY)
    one, two = run_directory.claim(plain), run_directory.claim(plain)
    one.begin()
    assert two.workdir.name == f"{one.workdir.name}-2"
    assert not one.resumes
    one.lock.close()
    three = run_directory.claim(plain)
    assert (three.workdir, three.resumes) == (one.workdir, True)
    (three.workdir / "results.json").write_text('{"finished": true}')
    three.lock.close()
    two.lock.close()
    assert run_directory.claim(plain).workdir == two.workdir
