"""Programs of the guides: the tour, the downstream example, completion of flags."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ssl_keras import tour
from ssl_keras.__main__ import PROGRAMS
from ssl_keras.config import Config
from ssl_keras.run import train_and_evaluate
from ssl_keras.theory import downstream
from tools import completion

pytestmark = pytest.mark.long


@pytest.mark.usefixtures("eagerly")
@pytest.mark.exhaustive
@pytest.mark.exports
def test_the_tour_trains_draws_and_tells(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = [f"--runs={tmp_path}", "--steps=2"]
    assert tour.main(arguments) == 0
    told = capfd.readouterr().out
    assert re.findall(r"(?m)^\d\. ", told) == ["1. ", "2. ", "3. ", "4. ", "5. "]
    assert told.count("The digit is read at") == 4
    with Image.open(tmp_path / "tour.png") as picture:
        assert np.asarray(picture.convert("L")).std() > 20
    # Every run is an ordinary one, and is not trained twice.
    tour.visit(tmp_path, {"steps": 2, **tour.BRIEF})
    assert capfd.readouterr().out.count("It has been trained before.") == 4
    assert tour.main([f"--runs={tmp_path}", "--steps=0"]) == 2


@pytest.mark.exhaustive
@pytest.mark.exports
def test_an_exported_encoder_beats_training_from_scratch(
    tmp_path: Path, data_dir: str, capfd: pytest.CaptureFixture[str]
) -> None:
    workdir = tmp_path / "digits"
    train_and_evaluate(
        Config.make(
            dataset="plain", loss="nt_xent", steps=100, heads="", measure_images=0,
            workdir=str(workdir),
        )
    )  # fmt: skip
    capfd.readouterr()
    arguments = [f"--encoder={workdir}/saved_model", "--label_fraction=0.01", "--repeats=1"]
    assert downstream.main([*arguments, "--steps=80"]) == 0
    told = capfd.readouterr().out
    pairs = re.findall(r"exported encoder (0\.\d+), from scratch (0\.\d+)", told)
    assert pairs
    for exported, scratch in pairs:
        assert float(exported) > float(scratch) + 0.03
    assert float(pairs[-1][0]) > 0.6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--encoder=/nowhere"], "/nowhere holds no exported encoder"),
        (["--encoder=/nowhere", "--label_fraction=2"], "label_fraction is 2.0: give a share"),
        (["--encoder=/nowhere", "--repeats=0"], "steps and repeats must be at least 1"),
    ],
)
def test_downstream_refuses_in_a_sentence(
    arguments: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert downstream.main(arguments) == 2
    assert message in capfd.readouterr().err


@pytest.mark.full
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("ssl-keras train --temp", {"--temperature="}),
        ("ssl-keras train --loss=hyper", {"hypersphere_prior"}),
        ("ssl-keras train --noquie", {"--noquiet"}),
        ("ssl-keras train --steps=1 --strategy=m", {"mirrored", "multi_worker"}),
        ("ssl-keras finetune --label_f", {"--label_fraction="}),
        ("ssl-keras export --onn", {"--onnx"}),
        ("ssl-keras t", {name for name in PROGRAMS if name[0] == "t"}),
        ("ssl-keras theory.d", {"theory.downstream"}),
        ("ssl-keras compare --out", {"--output="}),
        ("ssl-keras sweep --temp", {"--temperature="}),
        ("ssl-keras sweep --loss=hyper", {"hypersphere_prior"}),
        ("ssl-keras sweep --fold", {"--folder="}),
        ("ssl-keras reproduce --esti", {"--estimate"}),
        ("ssl-keras theory.limits --se", {"--seed="}),
        ("ssl-keras show_views --show_p", {"--show_pairs="}),
        ("ssl-keras show_views --num_bi", {"--num_bits="}),
        ("ssl-keras nothing --out", set()),
    ],
)
def test_bash_completes_flags_and_choices(line: str, offered: set[str], tmp_path: Path) -> None:
    (tmp_path / "completion").write_text(completion.script())
    shell = (
        f'source {tmp_path}/completion; COMP_LINE="{line}"; COMP_POINT=${{#COMP_LINE}}; '
        f'_ssl_keras; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == offered
    assert not done.stderr
