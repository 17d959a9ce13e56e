"""Runs on texts: word2vec and SimCSE on a small text, with their evaluators."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ssl_keras.config import Config
from ssl_keras.run import train_and_evaluate

TINY: dict[str, Any] = {
    "min_count": 1,
    "steps": 4,
    "batch_size": 16,
    "log_every": 2,
    "measure_images": 16,
    "jit": "off",
}
KINDS = ("animal", "tool")


def save_texts(folder: Path) -> Path:
    generator = np.random.default_rng(0)
    (folder / "texts").mkdir()
    for kind in KINDS:
        drawn = generator.integers(0, 6, (150, 5))
        text = "\n".join(" ".join(f"{kind}{k}" for k in row) for row in drawn)
        (folder / "texts" / f"{kind}.txt").write_text(text)
    return folder / "texts"


@pytest.mark.full
def test_words_of_a_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = "\n".join(
        f"animal{k} {kind}{j} {k + j}" for kind in KINDS for k in (0, 1) for j in (2, 3)
    )
    (tmp_path / "pairs.txt").write_text(pairs)
    (tmp_path / "questions.txt").write_text(": kinds\nanimal1 animal2 tool1 tool2\n")
    sets = {
        "first_target": {"name": "Animals", "words": ["animal1", "animal2"]},
        "second_target": {"name": "Tools", "words": ["tool1", "tool2"]},
        "first_attribute": {"name": "Alive", "words": ["animal3"]},
        "second_attribute": {"name": "Dead", "words": ["tool3"]},
    }
    (tmp_path / "bias.json").write_text(json.dumps([sets]))
    config = Config.make(
        dataset="skip_gram",
        source=f"text:{save_texts(tmp_path)}",
        views="given",
        method="two_towers",
        loss="sgns",
        projection_layers=0,
        embedding_dim=8,
        heads="similarity,analogies,bias",
        similarity_files=str(tmp_path / "pairs.txt"),
        analogy_files=str(tmp_path / "questions.txt"),
        bias_files=str(tmp_path / "bias.json"),
        workdir=str(tmp_path / "run"),
        **TINY,
    )
    assert config.network.encoder == "embedding"
    results = train_and_evaluate(config)
    values = results["results"]
    assert values["similarity/features/pairs/pairs"] == 8
    assert -1 <= values["similarity/features/pairs/spearman"] <= 1
    assert values["analogies/features/questions/kinds/questions"] == 1
    assert values["bias/features/animals_tools_alive/words"] == 4
    assert 0 < values["bias/features/animals_tools_alive/p"] <= 1
    output = capsys.readouterr().out
    assert "sgns (noise_views=5, noise_power=0.75)" in output
    assert "each first view with 5 noise views" in output
    assert "1500 words, 12 different ones that occur 1 times or more" in output
    assert "animals tools alive: effect size" in output
    # Eleven words more than the noise that is skipped: near the value at zero.
    assert results["history"][-1]["loss"] == pytest.approx(6 * np.log(2), abs=1.0)


@pytest.mark.exhaustive
def test_sentences_of_a_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = Config.make(
        dataset="sentences",
        source=f"text:{save_texts(tmp_path)}",
        views="dropout",
        loss="nt_xent",
        max_words=6,
        embedding_dim=16,
        transformer_layers=1,
        cancel_negatives="class",
        heads="linear,tf_idf",
        workdir=str(tmp_path / "run"),
        **TINY,
    )
    assert config.network.encoder == "transformer"
    results = train_and_evaluate(config)["results"]
    assert results["tf_idf/features/class/accuracy"] == 1.0
    assert results["linear/features/class/accuracy"] > 0.9
    output = capsys.readouterr().out
    assert "less those of equal class" in output
    assert "dropout" in output
    assert "texts" in output
    assert " images" not in output
