"""Random flags are trained with, or refused in one sentence."""

from __future__ import annotations

import random

import pytest

from tools import fuzz


@pytest.mark.exhaustive
def test_random_flags_end_in_no_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    counts = fuzz.fuzz(combinations=300, trained=5, seed=2)
    told = capfd.readouterr().out
    assert counts["traceback"] + counts["training traceback"] == 0, told
    assert counts["accepted"] > 40
    assert counts["refused"] > 100
    assert counts["tried"] == 5


def test_a_traceback_is_told_from_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fuzz.outcome(["--loss=nt_xnet"])[0] == "refused"

    def fail(*_: object) -> int:
        raise KeyError("x")

    monkeypatch.setattr(fuzz.train, "main", fail)
    assert fuzz.outcome([])[0] == "traceback"


def test_the_draws_follow_the_seed() -> None:
    assert fuzz.flags(random.Random("0/3")) == fuzz.flags(random.Random("0/3"))
    lines = [fuzz.flags(random.Random(f"0/{k}")) for k in range(200)]
    names = {flag.split("=")[0] for line in lines for flag in line}
    assert len(names) > 80
