"""What TensorBoard shows of a run, read back with TensorBoard's own readers."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ssl_keras.config import Config
from ssl_keras.datasets import DataSet, Target
from ssl_keras.run import build, tensorboard
from ssl_keras.run.callbacks import Profiler
from tests.run.conftest import Story

TARGETS = {
    "class": Target("class", "class", 10, 0.1, 0.1),
    "bits": Target("bits", "bits", 2, 0.5, 0.25),
}


@pytest.fixture(scope="module")
def finished(story: Story) -> Path:
    return story.workdir


def board(workdir: Path, run: str = ".") -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(workdir / "tensorboard" / run), {"tensors": 0})
    return found.Reload()


def scalars(found: Any) -> dict[str, list[tuple[int, float]]]:
    import tensorflow as tf

    tags = found.PluginTagToContent("scalars")
    return {
        tag: [(e.step, float(tf.make_ndarray(e.tensor_proto))) for e in found.Tensors(tag)]
        for tag in tags
    }


def test_curves_stand_beside_what_knows_nothing(finished: Path) -> None:
    values, chance = scalars(board(finished)), scalars(board(finished, "chance"))
    # The same tags, so that they are lines on the same charts.
    assert set(chance) <= set(values)
    # 115 of the thousand training images are of one class.
    expected = [(step, pytest.approx(0.115)) for step in (2, 4, 6)]
    assert chance["accuracy/class/linear_probe"] == expected
    assert chance["accuracy/bits/linear_probe"][0] == (2, pytest.approx(0.5))
    assert chance["train/contrastive_accuracy"][0] == (2, pytest.approx(1 / 64))
    # Equal projections miss the uniform prior on [-1, 1] by the mean square of a number in it, 1/3,
    # times the weight of the step.
    chances = [value for _, value in chance["train/loss"]]
    assert chances == pytest.approx([3 / 3, 4 / 3, 5 / 3], rel=1e-5)
    assert [step for step, _ in values["speed/images_per_second"]] == [2, 4, 6]
    assert 0.05 < values["speed/memory_gib"][0][1] < 60
    assert values["optimization/distribution_weight"][-1][1] == pytest.approx(5)


def test_the_chance_level_of_a_loss_is_that_of_equal_projections(bit_data: DataSet) -> None:
    settings = {"loss": "nt_xent", "temperature": "linear:1:0.1", "batch_size": 32, "steps": 6}
    levels = build(Config.make(**settings), bit_data).chance_levels
    # NT-Xent of equal projections is the log of their number at every temperature.
    assert [levels["loss"](step) for step in (0, 3, 6)] == pytest.approx([np.log(63)] * 3)
    assert levels["contrastive_accuracy"](0) == 1 / 32
    assert levels["bits"](0) == 0.5


def test_every_chart_of_the_layout_has_curves(finished: Path) -> None:
    from tensorboard.plugins.custom_scalar import layout_pb2

    found = board(finished)
    (event,) = found.Tensors("custom_scalars__config__")
    layout = layout_pb2.Layout.FromString(event.tensor_proto.string_val[0])
    tags = set(scalars(found))
    titles = {}
    for category in layout.category:
        titles[category.title] = [chart.title for chart in category.chart]
        for chart in category.chart:
            for pattern in chart.multiline.tag:
                assert any(re.search(pattern, tag) for tag in tags), pattern
    assert titles["Accuracy against chance"] == ["class", "bits"]
    assert "loss" in titles["Objective"]


def test_charts_follow_what_is_trained() -> None:
    assert "parts of the loss" not in tensorboard.charts(TARGETS, contrastive=False)["Objective"]
    assert "Accuracy against chance" not in tensorboard.charts({}, contrastive=True)


def test_the_card_says_what_the_run_is(finished: Path) -> None:
    events = board(finished).Tensors("run")
    assert [event.step for event in events] == [0, 6]
    first, text = (event.tensor_proto.string_val[0].decode() for event in events)
    assert text.startswith(first)
    assert f"--flagfile={finished / 'flags.txt'}" in text
    assert "| encoder | convnet" in text
    assert "| tensorflow " not in text
    # It ends with the results, as the terminal shows them.
    story = json.loads((finished / "results.json").read_text())["results"]
    shown = f"{story['linear/features/class/accuracy']:.3f}"
    (row,) = re.findall(r"(?m)^    class +linear .*$", text)
    assert shown in row
    assert "    Geometry of " in text[len(first) :]
    (event,) = board(finished).Tensors("results")
    assert text.endswith(event.tensor_proto.string_val[0].decode())
    assert "a&#124;b" in tensorboard.card("x", {"label": "a|b"})


def test_settings_stand_beside_results(finished: Path) -> None:
    from tensorboard.plugins.hparams import plugin_data_pb2

    found = board(finished)
    contents = found.PluginTagToContent("hparams")
    session = plugin_data_pb2.HParamsPluginData.FromString(
        contents["_hparams_/session_start_info"]
    ).session_start_info
    assert session.hparams["num_bits"].number_value == 2
    assert session.hparams["distribution_weight"].string_value == "linear:2.0:5.0"
    described = plugin_data_pb2.HParamsPluginData.FromString(
        contents["_hparams_/experiment"]
    ).experiment
    metrics = [metric.name.tag for metric in described.metric_infos]
    assert metrics[:3] == [
        "results/linear/features/class/accuracy",
        "results/linear/features/bits/accuracy",
        "results/untrained/linear/features/class/accuracy",
    ]
    assert [metric.display_name for metric in described.metric_infos][::2] == [
        "class, linear",
        "class, linear, untrained",
        "class, knn",
        "bits, information",
    ]
    # A handful of numbers, each of which is there, and none besides.
    assert [tag for tag in scalars(found) if tag.startswith("results/")] == metrics
    assert len(metrics) == 7


def test_the_embedding_has_thumbnails_and_all_labels(finished: Path) -> None:
    directory = finished / "tensorboard"
    described = (directory / "projector_config.pbtxt").read_text()
    from google.protobuf import text_format
    from tensorboard.plugins.projector import projector_config_pb2

    config = text_format.Parse(described, projector_config_pb2.ProjectorConfig())
    assert [e.tensor_name for e in config.embeddings] == ["features", "projection_2"]
    for embedding, dim in zip(config.embeddings, (32, 64), strict=True):
        values = np.loadtxt(directory / embedding.tensor_path, delimiter="\t")
        assert values.shape == (1000, dim)
        width, height = embedding.sprite.single_image_dim
        with Image.open(directory / embedding.sprite.image_path) as sheet:
            assert sheet.size == (32 * width, 32 * height)
        lines = (directory / embedding.metadata_path).read_text().splitlines()
        assert lines[0] == "class\tbits\tbits_0\tbits_1"
        assert len(lines) == 1001
    results = json.loads((finished / "results.json").read_text())
    assert results["data"]["test_images"] == 1000


@pytest.mark.parametrize("shape", [(5, 40, 20, 1), (5, 8, 8, 3), (1, 64, 64, 3)])
def test_thumbnails_lie_row_by_row(shape: tuple[int, ...], tmp_path: Path) -> None:
    images = np.zeros(shape, np.float32)
    images[-1] = 1
    tensorboard.write_embedding(tmp_path, {"x": np.ones((shape[0], 2))}, {}, {}, images)
    with Image.open(tmp_path / "projector" / "sprite.png") as picture:
        sheet = np.asarray(picture)
    side = int(np.ceil(np.sqrt(shape[0])))
    height, width = sheet.shape[0] // side, sheet.shape[1] // side
    assert max(height, width) <= tensorboard.MAX_PIXELS
    row, column = divmod(shape[0] - 1, side)
    last = sheet[row * height : (row + 1) * height, column * width : (column + 1) * width]
    assert last.min() == 255
    assert sheet.sum() == last.sum()
    assert not (tmp_path / "projector" / "labels.tsv").exists()


def test_vectors_are_labels_too() -> None:
    short, long = np.array([[0, 1], [1, 1]]), np.ones((2, 30), int)
    targets = {**TARGETS, "class": dataclasses.replace(TARGETS["class"], names=tuple("abcd\tefgh"))}
    labels = {"bits": short, "many": long, "class": np.array([3, 4])}
    found = tensorboard._columns(labels, targets)
    assert found == {
        "bits": ["01", "11"], "bits_0": ["0", "1"], "bits_1": ["1", "1"],
        "many": ["1" * 30] * 2, "class": ["d", "\\t"],
    }  # fmt: skip


def test_some_steps_are_profiled(finished: Path) -> None:
    traces = list((finished / "tensorboard" / "plugins" / "profile").glob("*/*.xplane.pb"))
    assert len(traces) == 1
    assert b"MatMul" in traces[0].read_bytes()
    # It says nothing about the numbers.
    assert "profile_steps" not in json.loads((finished / "results.json").read_text())["config"]


@pytest.mark.parametrize(
    ("first", "total", "expected"), [(0, 100, (10, 15)), (40, 100, (50, 55)), (0, 7, (2, 7))]
)
def test_the_steps_that_are_profiled(
    first: int, total: int, expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    seen: list[int] = []
    step = first
    monkeypatch.setattr(tf.profiler.experimental, "start", lambda _: seen.append(step))
    monkeypatch.setattr(tf.profiler.experimental, "stop", lambda: seen.append(step))
    profiler = Profiler(Path("nowhere"), steps=5)
    profiler.on_start(first, total)
    for step in range(first + 1, total + 1):
        profiler.on_steps(step)
    profiler.on_end()
    assert tuple(seen) == expected


def test_similarities_and_norms_are_shown_as_distributions(finished: Path) -> None:
    tags = set(board(finished).PluginTagToContent("histograms"))
    assert tags == {
        "similarities/positives",
        "similarities/negatives",
        "norms/features",
        "norms/projections",
    }
