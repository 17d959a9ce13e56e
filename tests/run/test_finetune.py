"""Fine-tuning a finished run: the labelled images, the control, what is kept, refusals."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import average_precision_score

from ssl_keras import files, networks
from ssl_keras import finetune as program
from ssl_keras.config import Config, FinetuningConfig
from ssl_keras.datasets import DataSet, MemorySplit
from ssl_keras.datasets.splits import labelled_rows
from ssl_keras.methods.supervised import Supervised
from ssl_keras.run import (
    TrainingSetup,
    build,
    finetune,
    finetune_run,
    run_directory,
    train_and_evaluate,
)
from tests.run.conftest import Story

SMALL = {"width_multiplier": 0.25, "heads": "", "measure_images": 0}
OPTIONS = {"label_fraction": 0.08, "steps": 12, "seed": 5, "batch_size": 32}


@pytest.fixture(scope="module")
def run(story: Story, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on digits with two bits, dropout in its encoder."""
    return story.copy(tmp_path_factory.mktemp("finetune") / "run")


@pytest.fixture(scope="module")
def before(run: Path) -> dict[str, str]:
    return contents(run)


@pytest.fixture(scope="module")
def finetuned(run: Path, before: dict[str, str]) -> tuple[Path, dict[str, Any]]:
    """Two repetitions, and the file that they were written to."""
    record = finetune_run(run, FinetuningConfig(**OPTIONS, repeats=2))
    (path,) = (run / "finetuned").glob("class-0.08-features-*.json")
    return path, record


def contents(directory: Path) -> dict[str, str]:
    """The files of a run, but for what fine-tuning has written, and their digests."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file() and "finetuned" not in path.parts
    }


def test_the_labelled_images_are_stratified() -> None:
    labels = np.repeat([0, 1, 3], [50, 30, 2])
    labels = np.random.default_rng(0).permutation(labels)
    rows = labelled_rows(labels, 0.1, seed=0)
    assert np.bincount(labels[rows]).tolist() == [5, 3, 0, 1]
    assert rows.tolist() == sorted(set(rows.tolist()))
    np.testing.assert_array_equal(labelled_rows(labels, 1, seed=0), np.arange(82))
    np.testing.assert_array_equal(labelled_rows(labels, 0.1, seed=0), rows)
    assert labelled_rows(labels, 0.1, seed=1).tolist() != rows.tolist()


@pytest.mark.parametrize("size", [(), (3,)])
def test_fewer_labelled_images_are_among_more(size: tuple[int, ...]) -> None:
    labels = np.random.default_rng(0).integers(0, 2, (200, *size))
    found = [set(labelled_rows(labels, f, seed=7)) for f in (0.001, 0.03, 0.1, 0.5, 1)]
    for fewer, more in itertools.pairwise(found):
        assert fewer < more


def test_vectors_are_drawn_as_one_class() -> None:
    labels = np.random.default_rng(0).integers(0, 2, (200, 16))
    assert [len(labelled_rows(labels, f, seed=0)) for f in (0.001, 0.1, 1)] == [1, 20, 200]


def test_the_default_length() -> None:
    assert FinetuningConfig().total_steps(40, 40) == 500
    assert FinetuningConfig().total_steps(4000, 64) == 30 * 62
    assert FinetuningConfig(epochs=2).total_steps(4000, 64) == 124
    assert FinetuningConfig(epochs=2, steps=7).total_steps(4000, 64) == 7


@pytest.mark.full
def test_what_is_kept(
    run: Path, finetuned: tuple[Path, dict[str, Any]], before: dict[str, str]
) -> None:
    path, record = finetuned
    assert json.loads(path.read_text()) == record
    assert {entry.name for entry in path.parent.iterdir()} == {path.name, path.stem}
    assert record["labelled"]["images"] == sum(record["labelled"]["per_class"])
    assert 75 <= record["labelled"]["images"] <= 85
    assert record["labelled"]["of"] == 1000
    assert (record["seeds"], record["steps"], record["batch_size"]) == ([5, 6], 12, 32)
    for protocol in ("linear", "finetuned"):
        for start in ("pretrained", "scratch"):
            name = f"{start}/{protocol}/class/accuracy"
            values = [found[name] for found in record["repetitions"]]
            np.testing.assert_allclose(record["results"][name], np.mean(values))
            np.testing.assert_allclose(record["results"][f"{name}_sd"], np.std(values, ddof=1))
            low, high = (record["results"][f"{name}_{end}"] for end in ("low", "high"))
            assert low < record["results"][name] < high
        names = [
            f"{start}/{protocol}/class/accuracy" for start in ("gain", "pretrained", "scratch")
        ]
        for found in record["repetitions"]:
            gain, pretrained, scratch = (found[name] for name in names)
            assert gain == pretrained - scratch
    assert contents(run) == before


def test_the_saved_model_is_the_first_repetition(
    run: Path, finetuned: tuple[Path, dict[str, Any]]
) -> None:
    path, record = finetuned
    test = build(run_directory.read(run)[0]).data
    batch = next(iter(test.test.batches(1000)))
    loaded = tf.saved_model.load(str(path.with_suffix("")))
    found = loaded.signatures["serving_default"](inputs=test.inputs(batch))
    assert set(found) == {"logits"}
    right = np.argmax(found["logits"], axis=1) == batch["labels"]["class"].numpy()
    expected = record["repetitions"][0]["pretrained/finetuned/class/accuracy"]
    np.testing.assert_allclose(right.mean(), expected, atol=0.0011)


@pytest.mark.exhaustive
def test_a_repetition_is_the_command_with_the_next_seed(
    run: Path, finetuned: tuple[Path, dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    flags = [f"--{name}={value}" for name, value in {**OPTIONS, "seed": 6}.items()]
    assert program.main(["finetune", f"--run={run}", *flags]) == 0
    (path,) = set((run / "finetuned").glob("class-0.08-*.json")) - {finetuned[0]}
    assert json.loads(path.read_text())["results"] == finetuned[1]["repetitions"][1]
    output = capfd.readouterr().out
    images = finetuned[1]["labelled"]["images"]
    assert f"{images} labelled of 1000 training images" in output
    for title in ("the run ", "before training ", "gain ", "linear, frozen", "fine-tuned"):
        assert title in output
    shutil.rmtree(path.with_suffix(""))
    path.unlink()


@pytest.mark.exhaustive
def test_other_labels_are_never_used(
    run: Path, finetuned: tuple[Path, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every label but those of the labelled images is another one, with the same result."""
    options = FinetuningConfig(**OPTIONS)
    build = finetune.build

    def corrupted(config: Config, **options_of_build: Any) -> TrainingSetup:
        made = build(config, **options_of_build)
        train = made.data.train
        assert isinstance(train, MemorySplit)
        rows = labelled_rows(train.labels["class"], options.label_fraction, options.seed)
        labels = {name: np.array(values) for name, values in train.labels.items()}
        others = np.setdiff1d(np.arange(train.num_examples), rows)
        labels["class"][others] = (labels["class"][others] + 1) % 10
        monkeypatch.setattr(finetune, "labelled_rows", lambda *_: rows)
        split = MemorySplit(train.example, labels)
        return dataclasses.replace(made, data=dataclasses.replace(made.data, train=split))

    monkeypatch.setattr(finetune, "build", corrupted)
    record = finetune_run(run, options)
    assert record["results"] == finetuned[1]["repetitions"][0]


@pytest.mark.full
def test_the_control_is_what_one_would_build_by_hand(
    run: Path, finetuned: tuple[Path, dict[str, Any]]
) -> None:
    made = build(run_directory.read(run)[0])
    target = made.data.targets["class"]
    encoder = made.model.encoder
    classifier = networks.build_linear_probe(
        32, {"class": 10}, keras.initializers.RandomNormal(stddev=0.01, seed=5)
    )
    made.model.augmenter.seed = 5
    model = Supervised(
        encoder,
        classifier,
        augmenter=made.model.augmenter,
        modality=made.data.modality,
        learned={"class": target},
        seed=5,
    )
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, 12)))
    train = made.data.train
    rows = labelled_rows(train.read_labels("class"), 0.08, 5)
    for batch in train.subset(rows).training_batches(32, seed=5, num_steps=12):
        model.train_step(batch)
    batch = next(iter(made.data.test.batches(1000)))
    logits = classifier(encoder(made.data.inputs(batch), training=False))["class"]
    right = np.argmax(logits, axis=1) == batch["labels"]["class"].numpy()
    expected = finetuned[1]["repetitions"][0]["scratch/finetuned/class/accuracy"]
    # Eager and compiled steps round differently.
    np.testing.assert_allclose(right.mean(), expected, atol=0.005)


def exported_logits(path: Path, data: DataSet, target: str) -> tuple[np.ndarray, np.ndarray]:
    """Logits of the SavedModel beside a record for all test images, and their labels."""
    batch = next(iter(data.test.batches(data.test.num_examples)))
    loaded = tf.saved_model.load(str(path.with_suffix("")))
    logits = loaded.signatures["serving_default"](inputs=data.inputs(batch))["logits"]
    return logits.numpy(), batch["labels"][target].numpy()


@pytest.mark.exhaustive
def test_bits_from_a_layer_of_the_head(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    flags = ["--target=bits", "--finetune_from=projection_1", "--label_fraction=0.04"]
    assert program.main(["finetune", f"--run={run}", *flags, "--steps=4"]) == 0
    output = capfd.readouterr().out
    assert "Note: batch_size is 64, but only 40 images have labels: each batch" in output
    assert "bits (all right)" in output
    (path,) = (run / "finetuned").glob("bits-0.04-projection_1-*.json")
    record = json.loads(path.read_text())
    assert record["batch_size"] == 40
    assert record["labelled"]["per_class"] is None
    data = build(run_directory.read(run)[0]).data
    logits, labels = exported_logits(path, data, "bits")
    right = (logits > 0) == (labels == 1)
    for measure, value in (("accuracy", right.mean()), ("all_right", right.all(axis=1).mean())):
        measured = record["results"][f"pretrained/finetuned/bits/{measure}"]
        np.testing.assert_allclose(measured, value, atol=0.0011)


@pytest.mark.exhaustive
def test_presence_and_a_run_without_a_head_that_has_seen_all_labels(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = Config.make(
        method="supervised",
        dataset="multi_digit",
        image_size=32,
        num_train_images=60,
        num_test_images=40,
        steps=1,
        batch_size=10,
        workdir=str(tmp_path / "run"),
        **SMALL,
    )
    train_and_evaluate(config)
    record = finetune_run(
        tmp_path / "run", FinetuningConfig(label_fraction=0.5, steps=2, batch_size=8)
    )
    assert record["settings"]["target"] == "presence"
    assert record["labelled"]["images"] == 30
    (path,) = (tmp_path / "run" / "finetuned").glob("presence-*.json")
    logits, labels = exported_logits(path, build(config).data, "presence")
    shown = labels.any(axis=0)
    precision = average_precision_score(labels[:, shown], logits[:, shown])
    measured = record["results"]["pretrained/finetuned/presence/mean_average_precision"]
    np.testing.assert_allclose(measured, precision, rtol=1e-3)
    output = capfd.readouterr().out
    assert "Note: method=supervised has seen the labels of all training images" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Which run? Give its directory: --run=DIR."),
        (["--run=/no/run"], "The run /no/run does not exist"),
        (["--run=x", "--label_fraction=0"], "label_fraction must be above 0 and at most 1, not 0"),
        (["--run=x", "--label_fraction=10"], "label_fraction must be above 0 and at most 1"),
        (["--run=x", "--label_fraction=few"], "label_fraction must be a number, not 'few'"),
        (["--run=x", "--repeats=0"], "repeats must be at least 1"),
        (["--run=x", "--learning_rate=0"], "learning_rate must be above 0"),
        (["--run=x", "--labels=0.1"], "Unknown flag --labels: did you mean --label_fraction?"),
        (["--run=x", "--loss=nt_xent"], "Unknown flag --loss"),
    ],
)
def test_mistakes_are_one_sentence(
    arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["finetune", *arguments]) == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--finetune_from=projektion_1", "Unknown layer 'projektion_1'. Did you mean 'projection"),
        ("--finetune_from=projection_3", "Valid: features, projection_1, projection_2."),
        (
            "--target=klass",
            "fine-tuning is to learn 'klass', but 2 random bits concatenated to mnist_5k has "
            "class, bits; did you mean class?",
        ),
        (
            "--target=bits --label_fraction=0.001",
            "label_fraction is 0.001, which leaves 1 of 1000 images: choose a larger",
        ),
    ],
)
def test_what_does_not_fit_the_run_is_refused(
    run: Path, argument: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["finetune", f"--run={run}", *argument.split()]) == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_unfinished_damaged_and_unlabelled_runs_are_refused(
    run: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    damaged, unfinished = tmp_path / "damaged", tmp_path / "unfinished"
    for copy in (damaged, unfinished):
        shutil.copytree(
            run, copy, ignore=shutil.ignore_patterns("finetuned", "baselines", "tensorboard")
        )
    for file in (damaged / "checkpoints").glob("*.index"):
        file.write_bytes(file.read_bytes()[:50])
    (unfinished / "results.json").unlink()
    images = np.random.default_rng(0).integers(0, 256, (40, 16, 16), np.uint8)
    np.savez(tmp_path / "images.npz", images=images)
    claimed = run_directory.claim(
        Config.make(
            dataset="plain",
            source=f"npz:{tmp_path / 'images.npz'}",
            batch_size=8,
            workdir=str(tmp_path / "unlabelled"),
        )
    )
    claimed.begin()
    claimed.release()
    unlabelled = claimed.workdir
    record = json.loads((run / "results.json").read_text())
    files.write_json(unlabelled / "results.json", record | {"config": {}})
    for directory, message in (
        (damaged, "can be read (the checkpoint of step"),
        (unfinished, "is not finished: it has no results.json."),
        (unlabelled, "fine-tuning needs labels, but"),
    ):
        assert program.main(["finetune", f"--run={directory}"]) == 2
        error = capfd.readouterr().err
        assert message in error
        assert error.count("\n") == 1
        assert not (directory / "finetuned").exists()


def test_an_interruption_is_one_sentence(
    run: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(finetune.loop, "train", interrupted)
    assert program.main(["finetune", f"--run={run}", "--steps=3", "--label_fraction=0.5"]) == 130
    assert capfd.readouterr().err == "ssl_keras.finetune: interrupted.\n"
    assert not list((run / "finetuned").glob("class-0.5-*"))


def test_help_and_check(capfd: pytest.CaptureFixture[str]) -> None:
    assert program.main(["finetune", "--help"]) == 0
    text = capfd.readouterr().out
    for field in dataclasses.fields(FinetuningConfig):
        assert f"--{field.name}  " in text
    assert "--run " in text
    assert "--loss" not in text
    assert program.main(["finetune", "--run=x", "--only_check_args"]) == 0
    assert capfd.readouterr().out == "The flags are valid.\n"
