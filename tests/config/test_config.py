"""Configuration: every setting has a home, values are checked, contradictions are refused."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_keras.cli import flags
from ssl_keras.config import Config, all_settings, make_evaluators
from ssl_keras.errors import UserError
from ssl_keras.options import Setting, settings


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


def test_values_from_python_equal_those_of_the_command_line(tmp_path: Path) -> None:
    plain = Config.make(
        loss="nt_xent",
        temperature=0.1,
        batch_size=64,
        num_bits=3,
        heads="linear,knn",
        views="augment,mixup",
        knn_k=5,
        flip=True,
        workdir=str(tmp_path),
    )
    converted = Config.make(
        loss="nt_xent",
        temperature=np.float32(0.1),
        batch_size=64.0,
        num_bits=np.int8(3),
        heads=["linear", "knn"],
        views=("augment", "mixup"),
        knn_k=np.array(5),
        flip=np.bool_(True),
        workdir=tmp_path,
    )
    assert converted == plain
    assert converted.digest() == plain.digest()
    assert set(make_evaluators({"heads": ["knn"]})) == {"knn"}
    assert Config.make(converted.flat(), heads=["linear"]).evaluators.keys() == {"linear"}


def test_paths_of_sources_and_encoders_need_no_prefix(tmp_path: Path) -> None:
    for path, kind in (("a.npz", "npz"), ("a.CSV", "csv"), ("photos", "folder")):
        dataset = "table" if kind == "csv" else "plain"
        config = Config.make(dataset=dataset, source=tmp_path / path)
        assert config.flat()["source"] == f"{kind}:{tmp_path / path}"
    config = Config.make(encoder=tmp_path / "mine.keras")
    assert config.flat()["encoder"] == "keras"
    assert config.flat()["encoder_file"] == str(tmp_path / "mine.keras")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"encoder": 3}, "encoder must be a name, a keras.Model or the path of a .keras file"),
        ({"plugins": 3}, "plugins must be a text, not 3."),
        ({"heads": ["linear", None]}, "heads must be a text or a list of texts"),
        ({"loss": ["nt_xent"]}, "loss must be a text, not ['nt_xent']."),
        ({"dataset": "table", "image_size": 32}, "image_size is about images, and dataset=table"),
        ({"los": "nt_xent"}, "Unknown setting 'los'. Did you mean 'loss'?"),
        ({"loss": "nt_xnet"}, "Unknown loss 'nt_xnet'. Did you mean 'nt_xent'?"),
        ({"temperature": 0.1}, "The loss 'uniform_prior' has no temperature"),
        ({"dataset": "plain", "num_bits": 3}, "The data set 'plain' has no num_bits"),
        ({"optimizer": "adam", "momentum": 0.9}, "The optimizer 'adam' has no momentum"),
        ({"encoder": "convnet", "stem": "small"}, "The encoder 'convnet' has no stem"),
        ({"heads": "linear,knnn"}, "Unknown head 'knnn'. Did you mean 'knn'?"),
        ({"heads": "linear", "knn_k": 3}, "knn_k belongs to the evaluator 'knn'"),
        ({"batch_size": 1}, "batch_size must be at least 2, not 1."),
        ({"epochs": 3, "warmup_epochs": 3}, "warmup_epochs is 3, but there are only 3 epochs"),
        ({"mixed_precision": "float16", "jit": "on"}, "loss scaling that float16 needs; choose"),
        ({"quiet": True, "log_json": True}, "quiet and log_json contradict each other"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"views": "augment,mixpu"}, "Unknown kind of views 'mixpu'. Did you mean 'mixup'?"),
        ({"batch_size": float("inf")}, "batch_size must be a whole number, not inf."),
        (
            {"dataset": "multi_digit", "source": "mnist_5k"},
            "The data set 'multi_digit' has no source",
        ),
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


def test_the_file_of_an_encoder_counts_by_its_contents(tmp_path: Path) -> None:
    configs = []
    for name, weights, date in (("a", b"1", b"1"), ("b", b"1", b"2"), ("c", b"2", b"1")):
        with zipfile.ZipFile(tmp_path / f"{name}.keras", "w") as archive:
            archive.writestr("model.weights.h5", weights)
            archive.writestr("metadata.json", date)
        file = str(tmp_path / f"{name}.keras")
        configs.append(Config.make(encoder="keras", encoder_file=file))
    first, same, other = configs
    assert same.digest() == first.digest() != other.digest()
    assert same.differences(first.replayable()) == {}
    assert list(other.differences(first.replayable())) == ["encoder_file"]


def test_flagfile_text_replays_the_configuration() -> None:
    config = Config.make(loss="nt_xent", temperature=0.07, flip=False, num_bits=1)
    assert replayed(config.flagfile_text()) == config


# Settings, a value of another one with which the last of them has no effect, and what it needs.
UNMET: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    *(
        ({name: value}, {"views": "dropout"}, "views=augment")
        for name, value in {
            "augmentation": "none",
            "crop_area_min": 1.0,
            "crop_law": "official",
            "flip": False,
            "extra_channels_move": True,
            "color_strength": 0.0,
            "grayscale": 0.0,
            "blur": 0.0,
            "noise_deviation": 0.0,
            "corruption_rate": 0.0,
            "channel_dropout": 0.0,
            "deletion_rate": 0.0,
        }.items()
    ),
    # Values that equal the default are refused too: what counts is that they were set.
    ({"mixup_kind": "linear"}, {"views": "augment"}, "views=mixup"),
    ({"mixup_alpha": 0.9}, {"views": "augment"}, "views=mixup"),
    ({"mixup_extra_channels": False}, {"views": "augment"}, "views=mixup"),
    ({"dropout_rate": 0.1}, {"views": "augment,mixup"}, "views=dropout"),
    ({"dropout_masks": "equal"}, {"views": "augment"}, "views=dropout"),
    ({"devices": 2}, {"strategy": "none"}, "strategy=mirrored"),
    ({"measure_every": 3}, {"measure_images": 0}, "measure_images of at least 1"),
    ({"projection_dim": 64}, {"projection_layers": 0}, "projection_layers of at least 1"),
    (
        {"projection_batch_norm": "hidden"},
        {"projection_layers": 0},
        "projection_layers of at least 1",
    ),
    (
        {"projection_hidden_dim": 256},
        {"projection_layers": 1},
        "projection_layers of at least 2",
    ),
    *(
        (
            {"dataset": "overlay", name: value},
            {"overlay_content": "background"},
            "overlay_content=both or digits",
        )
        for name, value in {
            "num_unique_digits": 3,
            "overlay_copies": 9,
            "digit_size": 4,
        }.items()
    ),
    (
        {"dataset": "overlay", "blend": "max"},
        {"overlay_content": "digits"},
        "overlay_content=both",
    ),
    ({"held_out_target": "class"}, {"held_out_classes": None}, "held_out_classes of at least 1"),
    ({"stages": 2}, {"neighbours": None}, "neighbours"),
    ({"condition_on": "class"}, {"neighbours": None}, "neighbours"),
    ({"neighbours": 4, "stage_epochs": 6}, {"stages": 1}, "stages of at least 2"),
    (
        {"neighbours": 4, "stages": 2, "clusters": 10},
        {"condition_on": "neighbours"},
        "condition_on=clusters",
    ),
    ({"cancel_negatives": "class"}, {"neighbours": 4}, "no neighbours"),
    ({"wait_minutes": 5.0}, {"strategy": "none"}, "strategy=multi_worker"),
    ({"dataset": "overlay", "blend_alpha": 0.5}, {"blend": "max"}, "blend=alpha"),
    *(
        ({"dataset": "multi_digit", name: value}, {"digit_sizes": "20,30"}, "no digit_sizes")
        for name, value in {"num_digits": 2, "placement": "grid", "digit_repeats": True}.items()
    ),
]


@pytest.mark.parametrize(("values", "condition", "needed"), UNMET, ids=str)
def test_a_setting_without_its_condition_is_refused(
    values: dict[str, Any], condition: dict[str, Any], needed: str
) -> None:
    name = next(reversed(values))
    ((other, value),) = condition.items()
    with pytest.raises(UserError) as caught:
        Config.make(**values, **condition)
    assert str(caught.value) == (
        f"{name} has no effect with {other}={value}: it needs {needed}; leave one of the two out."
    )
    # Left out, it is not in force either.
    left_out = {key: value for key, value in values.items() if key != name}
    assert name not in Config.make(**left_out, **condition).flat()


def test_every_condition_is_tested() -> None:
    refusing = {
        name
        for name, (_, setting) in all_settings().items()
        if setting.needs and not any(needs.set_aside for needs in setting.needs)
    }
    assert refusing == {next(reversed(values)) for values, _, _ in UNMET}


def test_a_contrastive_command_can_become_a_supervised_one() -> None:
    contrastive = {
        "loss": "nt_xent",
        "temperature": 0.2,
        "projection_layers": 0,
        "projection_dim": 8,  # without layers, which is not asked any more
    }
    config = Config.make(method="supervised", num_bits=3, **contrastive)
    assert config.notices == (
        "method=supervised has no contrastive loss and no projection head: loss, temperature, "
        "projection_layers, projection_dim set aside",
    )
    assert config.loss is None
    assert not set(contrastive) & set(config.flat())
    plain = Config.make(method="supervised", num_bits=3)
    assert plain.notices == ()
    assert (config.digest(), config.run_name()) == (plain.digest(), plain.run_name())


def test_epochs_beside_steps_are_set_aside() -> None:
    config = Config.make(epochs=3, steps=9)
    assert config.notices == ("steps=9 decides: epochs set aside",)
    assert "epochs" not in config.flat()
    assert config.digest() == Config.make(steps=9).digest()
    assert Config.make(epochs=3).notices == ()


def test_none_is_absent() -> None:
    assert Config.make(loss=None, temperature=None, steps=None, flip=None) == Config.make()
    with pytest.raises(UserError, match="Unknown setting 'los'"):
        Config.make(los=None)


def replayed(text: str) -> Config:
    return flags.parse(["program", *text.splitlines()], flags.define())


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"loss": "nt_xent", "temperature": "linear:1:0.1", "views": "mixup,dropout", "steps": 9},
        {"dataset": "overlay", "encoder": "resnet18", "optimizer": "lars", "flip": True},
        {"dataset": "multi_digit", "method": "supervised", "supervised_target": "presence"},
        {"dataset": "table", "source": "wine", "method": "two_towers", "ema_decay": 0.9},
        {"method": "autoencoder", "heads": "", "strategy": "mirrored", "devices": 2},
    ],
    ids=str,
)
def test_no_default_is_left_to_the_next_version(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every default is another one when the flagfile is read again."""
    config = Config.make(**values)
    before = config.replayable()
    text = config.flagfile_text()
    parts = [type(part) for part in config._parts]
    changed = 0
    for part in parts:
        defaults = []
        for name, setting in settings(part).items():
            default = other_value(setting)
            changed += default != setting.default and name in before
            defaults.append(setting.default if name == "overwrite" else default)
        monkeypatch.setattr(part.__init__, "__defaults__", tuple(defaults))
    assert changed >= 15
    again = replayed(text)
    assert again.replayable() == before
    assert (again.digest(), again.run_name()) == (config.digest(), config.run_name())


def other_value(setting: Setting) -> Any:
    """A valid value that is not the default."""
    default = setting.default
    if default is None:
        return None
    if setting.kind is str:
        others = [choice for choice in setting.choices or () if choice != default]
        return others[0] if others else default
    candidates = (
        [not default] if setting.kind is bool else [default + 1, default / 2, default - 1, 0.6]
    )
    for value in candidates:
        with contextlib.suppress(UserError):
            return setting.validated(value)
    raise AssertionError(f"no other value of {setting.name}")


def test_every_setting_is_documented() -> None:
    for name, (_, setting) in all_settings().items():
        assert setting.help, name


def test_configuration_and_help_need_no_tensorflow() -> None:
    code = (
        "import sys; from ssl_keras import train; train.main(['train', '--help']);"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
