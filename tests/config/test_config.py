"""Configuration: every setting has a home, values are checked, contradictions are refused."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from ssl_keras.config import Config, all_fields
from ssl_keras.errors import UserError


def test_defaults_are_valid_and_complete() -> None:
    config = Config.make()
    assert config.objective.loss == "uniform_prior"
    assert config.loss.options() == {"distribution_weight": config.flat()["distribution_weight"]}
    assert "temperature" not in config.flat()
    assert set(config.evaluators) == {"linear", "knn", "geometry", "bits"}


def test_options_reach_their_entries() -> None:
    config = Config.make(
        loss="nt_xent", temperature=0.5, num_bits=7, optimizer="sgd", momentum=0.8, knn_k=5
    )
    assert config.loss.options()["temperature"] == 0.5
    assert config.builder.options()["num_bits"] == 7
    assert config.optimizer.options()["momentum"] == 0.8
    assert config.evaluators["knn"].options()["knn_k"] == 5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"los": "nt_xent"}, "Unknown setting 'los'. Did you mean 'loss'?"),
        ({"loss": "nt_xnet"}, "Unknown loss 'nt_xnet'. Did you mean 'nt_xent'?"),
        ({"temperature": 0.1}, "The loss 'uniform_prior' has no temperature"),
        ({"dataset": "plain", "num_bits": 3}, "The data set 'plain' has no num_bits"),
        ({"optimizer": "adam", "momentum": 0.9}, "The optimizer 'adam' has no momentum"),
        ({"encoder": "convnet", "stem": "small"}, "The encoder 'convnet' has no stem"),
        ({"heads": "linear,knnn"}, "Unknown head 'knnn'. Did you mean 'knn'?"),
        ({"heads": "linear", "knn_k": 3}, "knn_k belongs to the head 'knn'"),
        ({"batch_size": 1}, "batch_size must be at least 2, not 1."),
        ({"projection_layers": 0, "projection_dim": 8}, "projection_dim has no effect"),
        (
            {"projection_layers": 1, "projection_hidden_dim": 8},
            "projection_hidden_dim has no effect",
        ),
        ({"epochs": 3, "warmup_epochs": 3}, "warmup_epochs is 3, but there are only 3 epochs"),
        ({"mixed_precision": "float16", "jit": "on"}, "loss scaling that float16 needs; choose"),
        ({"quiet": True, "log_json": True}, "quiet and log_json say what is to be printed"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"views": "augment,mixpu"}, "Unknown kind of views 'mixpu'. Did you mean 'mixup'?"),
        ({"mixup_alpha": 0.5}, "mixup_alpha has no effect without 'mixup' among the views"),
        ({"views": "mixup", "flip": True}, "flip has no effect without 'augment' among the views"),
        ({"views": "augment", "dropout_rate": 0.1}, "dropout_rate has no effect without 'dropout'"),
        ({"batch_size": float("inf")}, "batch_size must be a whole number, not inf."),
        (
            {"projection_layers": 0, "projection_batch_norm": "all"},
            "projection_batch_norm has no effect",
        ),
        ({"dataset": "multi_digit", "source": "mnist_5k"}, "leave --source out"),
    ],
)
def test_mistakes_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        Config.make(**values)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_schedules_are_settings_like_any_other() -> None:
    config = Config.make(loss="nt_xent", temperature="cosine:1:.1")
    assert config.flat()["temperature"] == "cosine:1.0:0.1"
    assert "--temperature=cosine:1.0:0.1\n" in config.flagfile_text()
    assert Config.make(**config.flat()).digest() == config.digest()
    assert config.digest() != Config.make(loss="nt_xent").digest()


def test_digest_follows_what_determines_the_run() -> None:
    config = Config.make()
    assert Config.make(workdir="/tmp/x", overwrite=True).digest() == config.digest()
    assert Config.make(seed=1).digest() != config.digest()
    assert Config.make(num_bits=1).digest() != config.digest()
    assert Config.make(data_dir="/tmp/d", download=True).digest() == config.digest()
    assert Config.make(source="a/b:1.*").run_name().replace(".", "").replace("-", "").isidentifier()


def test_flagfile_text_replays_the_configuration() -> None:
    config = Config.make(loss="nt_xent", temperature=0.07, flip=False, num_bits=1)
    from ssl_keras.cli import flags

    values = flags.define()
    arguments = ["program", *config.flagfile_text().splitlines()]
    assert flags.parse(arguments, values) == config


def test_views_come_from_the_preset_and_what_is_given() -> None:
    assert Config.make().views.resolve("digits", (28, 28), 1) == {
        "crop_area_min": 0.5,
        "flip": False,
        "color_strength": 0.0,
        "grayscale": 0.0,
        "blur": 0.0,
    }
    mixed = Config.make(augmentation="small_rgb", crop_area_min=0.3, flip=False).views
    resolved = mixed.resolve("digits", (32, 32), 3)
    assert resolved["crop_area_min"] == 0.3
    assert resolved["flip"] is False
    assert resolved["color_strength"] == 0.5


def test_what_images_cannot_undergo_is_left_out_of_presets_and_refused_on_request() -> None:
    preset = Config.make(augmentation="large_rgb").views
    gray = preset.resolve("digits", (16, 16), 1)
    assert (gray["color_strength"], gray["grayscale"], gray["blur"]) == (0.0, 0.0, 0.0)
    assert preset.resolve("digits", (96, 96), 3)["blur"] == 0.5
    with pytest.raises(UserError, match="grayscale needs images with 3 channels; these have 1"):
        Config.make(grayscale=0.2).views.resolve("digits", (28, 28), 1)
    with pytest.raises(UserError, match="blur has a kernel of a tenth of the image height"):
        Config.make(blur=0.5).views.resolve("digits", (19, 28), 3)
    assert Config.make(blur=0.0).views.resolve("digits", (19, 28), 3)["blur"] == 0.0


def test_every_setting_is_documented() -> None:
    for name, (_, field) in all_fields().items():
        assert field.metadata["help"], name


def test_configuration_and_help_need_no_tensorflow() -> None:
    code = (
        "import sys; from ssl_keras import train; train.main(['train', '--help']);"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
