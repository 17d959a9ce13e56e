"""Parts from outside the package, by the command line alone and from a folder of their own."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.processes import run

pytestmark = pytest.mark.long

LOSS = '''
from dataclasses import dataclass

from ssl_keras.lazy import tf
from ssl_keras.losses import LOSSES, functional
from ssl_keras.losses.base import Loss
from ssl_keras.options import option


@dataclass(frozen=True)
class Steep(Loss):
    """Distance of the views, times a slope."""

    slope: float = option(1.0, above=0, help="slope of the loss steep")

    def terms(self, projections_1, projections_2, labels, seed):
        views = [functional.normalize(z) for z in (projections_1, projections_2)]
        return self.slope * functional.alignment(*views), tf.constant(0.0)

    def collapse_value(self, num_images, dim):
        return 0.0


LOSSES.add("steep", Steep)
'''

ENCODER = '''
from dataclasses import dataclass

from ssl_keras.lazy import keras
from ssl_keras.networks import ENCODERS, Encoder
from ssl_keras.options import option


@dataclass(frozen=True)
class Tower(Encoder):
    """One layer."""

    accepts = ("vectors",)

    tower_units: int = option(4, minimum=1, help="units of the encoder tower")

    def network(self, x):
        return keras.layers.Dense(self.tower_units, activation="tanh")(x)


ENCODERS.add("tower", Tower)
'''

VECTORS = '''
from dataclasses import dataclass

import numpy as np

from ssl_keras.datasets import DATASETS, DataSet, DatasetBuilder, MemorySplit
from ssl_keras.datasets.base import class_target
from ssl_keras.inputs import Vectors
from ssl_keras.options import option


@dataclass(frozen=True)
class Blobs(DatasetBuilder):
    """Two clouds of points, far apart."""

    default_encoder = "tower"
    source_kind = "vectors"

    cloud_distance: float = option(20.0, above=0, help="distance of the clouds of blobs")

    def build(self, context):
        generator = np.random.default_rng(context.seed)

        def split(count):
            labels = np.arange(count, dtype=np.int32) % 2
            x = generator.normal(size=(count, 3)) + self.cloud_distance * labels[:, None]
            return MemorySplit({"x": x}, {"class": labels})

        train, test = split(64), split(32)
        targets = {"class": class_target("class", train.labels["class"], 2)}
        return DataSet("blobs", train, test, targets, Vectors.standardizing(train.example["x"]))


DATASETS.add("blobs", Blobs)
'''

PAIRS = '''
from dataclasses import dataclass

import numpy as np

from ssl_keras.datasets import DATASETS, DataSet, DatasetBuilder, MemorySplit
from ssl_keras.inputs import Vectors
from ssl_keras.options import option


@dataclass(frozen=True)
class Neighbours(DatasetBuilder):
    """Points, and beside each of them another one at some distance; there are no labels."""

    default_encoder = "mlp"
    source_kind = "vectors"

    partner_distance: float = option(1.0, minimum=0, help="distance of partners in neighbours")

    def build(self, context):
        def split(count):
            x = np.random.default_rng([context.seed, count]).normal(size=(count, 3))
            return MemorySplit({"x": x}, {}, partner={"x": x + self.partner_distance})

        train, test = split(64), split(32)
        modality = Vectors.standardizing(train.example["x"])
        return DataSet("neighbours", train, test, {}, modality)


DATASETS.add("neighbours", Neighbours)
'''

METHOD = '''
from dataclasses import dataclass

from ssl_keras.lazy import tf
from ssl_keras.methods import METHODS, Method
from ssl_keras.options import option


@dataclass(frozen=True)
class Agreement(Method):
    """The features of both views are to differ little."""

    exponent: float = option(2.0, above=0, help="exponent of the method agreement")

    def build(self, parts):
        from ssl_keras.methods.learner import Learner

        exponent = self.exponent

        class AgreementLearner(Learner):
            def outputs(self, features):
                return tf.cast(features, tf.float32)

            def objective(self, outputs, views):
                first, second = tf.split(outputs, 2)
                return {"loss": tf.reduce_mean(tf.abs(first - second) ** exponent)}

        return AgreementLearner(parts.encoder, parts.build_probe(), **parts.arguments)


METHODS.add("agreement", Agreement)
'''

MODULES = {
    "my_loss": LOSS,
    "my_encoder": ENCODER,
    "my_vectors": VECTORS,
    "my_pairs": PAIRS,
    "my_method": METHOD,
}
TINY = ("--steps=2", "--batch_size=16", "--log_every=1", "--measure_images=0")


def program(name: str, *flags: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m ssl_keras.NAME` in a folder."""
    return run(["-m", f"ssl_keras.{name}", *flags], cwd)


def done(process: subprocess.CompletedProcess[str]) -> str:
    """What a program that has ended well has printed."""
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plug-ins, each in a short module."""
    folder = tmp_path_factory.mktemp("plugins")
    for name, text in MODULES.items():
        assert text.count("\n") < 40
        (folder / f"{name}.py").write_text(text)
    return folder


@pytest.fixture(scope="module")
def labelled(folder: Path) -> Path:
    """A run with a loss, an encoder and a data set of vectors from outside."""
    flags = ["--plugins=my_loss,my_encoder,my_vectors", "--dataset=blobs", "--loss=steep"]
    flags += ["--slope=3", "--tower_units=6", "--cloud_distance=30", "--heads=linear"]
    done(program("train", *flags, *TINY, "--workdir=labelled", cwd=folder))
    return folder / "labelled"


def test_a_loss_an_encoder_and_a_data_set_of_vectors(labelled: Path) -> None:
    results = json.loads((labelled / "results.json").read_text())
    config = results["config"]
    parts = {"dataset": "blobs", "loss": "steep", "encoder": "tower"}
    options = {"slope": 3.0, "tower_units": 6, "cloud_distance": 30.0}
    assert {**parts, **options}.items() <= config.items()
    lines = (labelled / "flags.txt").read_text().splitlines()
    assert "--plugins=my_loss,my_encoder,my_vectors" in lines
    for name, value in {**parts, **options}.items():
        assert f"--{name}={value}" in lines
    # The options are in force: a slope on the distance of views, six features of three entries.
    for record in results["history"]:
        assert record["loss"] == record["alignment"] > 0
    assert results["setup"]["encoder"].startswith(f"tower, {6 * 3 + 6} parameters")
    assert "steep (slope=3); 0 if all projections were equal" in results["setup"]["loss"]
    # Clouds that lie thirty deviations apart are told apart by a line.
    assert results["results"]["linear/features/class/accuracy"] == 1
    assert results["data"]["targets"]["class"]["chance"] == 0.5
    assert (labelled / "saved_model" / "saved_model.pb").is_file()
    assert not (labelled / "views.png").exists()


@pytest.mark.full
def test_the_slope_is_a_factor(folder: Path, labelled: Path) -> None:
    flags = [f"--flagfile={labelled / 'flags.txt'}", "--slope=1"]
    done(program("train", *flags, "--workdir=flat", cwd=folder))
    steep, flat = (
        json.loads((run / "results.json").read_text())["history"][0]["loss"]
        for run in (labelled, folder / "flat")
    )
    np.testing.assert_allclose(steep, 3 * flat, rtol=1e-5)


@pytest.mark.exhaustive
def test_such_a_run_is_evaluated_exported_and_fine_tuned_in_other_processes(
    labelled: Path, tmp_path: Path
) -> None:
    cwd = labelled.parent
    output = done(program("evaluate", "--run=labelled", "--heads=linear", cwd=cwd))
    assert "Test accuracy on 32 vectors" in output
    (path,) = (labelled / "evaluations").glob("linear-*.json")
    measured = json.loads(path.read_text())["results"]
    assert measured == json.loads((labelled / "results.json").read_text())["results"]

    output = done(program("export", "--run=labelled", f"--output={tmp_path / 'out'}", cwd=cwd))
    assert "in a fresh process: relative difference" in output
    loaded = tf.saved_model.load(str(tmp_path / "out"))
    features = loaded.signatures["serving_default"](x=tf.zeros((2, 3)))["features"]
    assert features.shape == (2, 6)

    flags = ["--run=labelled", "--label_fraction=0.5", "--steps=3"]
    done(program("finetune", *flags, cwd=cwd))
    (path,) = (labelled / "finetuned").glob("class-0.5-features-*.json")
    record = json.loads(path.read_text())
    assert record["labelled"] == {"images": 32, "of": 64, "per_class": [16, 16]}
    assert record["results"]["pretrained/linear/class/accuracy"] == 1

    # Where the module is not, that is one sentence.
    refused(program("evaluate", f"--run={labelled}", "--heads=linear", cwd=tmp_path), "my_loss")


@pytest.mark.full
def test_a_method_and_pairs_that_the_data_give(folder: Path) -> None:
    flags = ["--plugins=my_method,my_pairs", "--dataset=neighbours", "--views=given"]
    flags += ["--method=agreement", "--exponent=4", "--partner_distance=0", "--heads=geometry"]
    output = done(program("train", *flags, *TINY, "--workdir=pairs", cwd=folder))
    assert "pairs that the data give" in output
    results = json.loads((folder / "pairs" / "results.json").read_text())
    expected = {"method": "agreement", "exponent": 4.0, "partner_distance": 0.0, "views": "given"}
    assert expected.items() <= results["config"].items()
    assert "loss" not in results["config"]
    # Partners at no distance are equal, and so are their features.
    # (But for rounding: rows of a matrix product may be summed in another order.)
    assert [record["loss"] for record in results["history"]] == pytest.approx([0, 0], abs=1e-12)
    assert "--plugins=my_method,my_pairs\n" in (folder / "pairs" / "flags.txt").read_text()

    flags[-2] = "--partner_distance=1"
    done(program("train", *flags, *TINY, "--workdir=apart", cwd=folder))
    apart = json.loads((folder / "apart" / "results.json").read_text())
    assert all(record["loss"] > 0 for record in apart["history"])
    done(program("evaluate", "--run=apart", "--heads=geometry", cwd=folder))
    (path,) = (folder / "apart" / "evaluations").glob("geometry-*.json")
    assert json.loads(path.read_text())["results"] == apart["results"]
    done(program("export", "--run=apart", "--output=exported", cwd=folder))
    assert (folder / "exported" / "encoder.keras").is_file()
    message = "fine-tuning needs labels, but neighbours has none."
    refused(program("finetune", "--run=apart", cwd=folder), message)


def refused(process: subprocess.CompletedProcess[str], message: str) -> None:
    """A mistake is one sentence, and exit code 2."""
    assert process.returncode == 2, process.stderr
    assert message in process.stderr
    assert process.stderr.startswith("ssl_keras.")
    assert process.stderr.count("\n") == 1
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "The plug-in 'refused_part' cannot be imported (No module named 'refused_part')"),
        (
            LOSS.replace("slope", "steps"),
            "The plug-in 'refused_part' is refused: The option steps of a loss cannot be added: "
            "steps is an option of the group 'Optimization' of the settings already",
        ),
        (METHOD.replace("def build", "def make"), "The method 'agreement' does not define build."),
        (ENCODER.replace("def network", "def layer"), "'tower' does not define network."),
        (VECTORS.replace("def build", "def make"), "The data set 'blobs' does not define build."),
    ],
    ids=["missing", "taken_option", "method", "encoder", "data_set"],
)
def test_what_does_not_fit_is_refused_in_a_sentence(
    text: str | None, message: str, tmp_path: Path
) -> None:
    if text is not None:
        (tmp_path / "refused_part.py").write_text(text)
    refused(program("train", "--plugins=refused_part", cwd=tmp_path), message)
