"""Every combination of strategy, precision, compilation and parts of a batch either trains or is
refused, as the table of the guide says."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from ssl_keras.config import Config
from ssl_keras.config.combinations import REFUSED
from ssl_keras.errors import UserError
from tests.distribution.matrix import (
    CHECKED,
    COVERING,
    combinations,
    is_in,
    is_refused,
    outcome,
)

GUIDE = Path(__file__).parents[2] / "docs" / "machines.md"


def marks(values: dict[str, Any]) -> list[Any]:
    """What is refused takes no time."""
    if is_refused(values):
        return []
    return [pytest.mark.full if is_in(CHECKED, values) else pytest.mark.exhaustive]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(values, marks=marks(values))
        for values in (*combinations("none"), *combinations("mirrored"))
    ],
    ids=lambda v: "-".join(map(str, v.values())),
)
def test_it_trains_two_steps_or_is_refused(values: dict[str, Any], two_replicas: object) -> None:
    assert outcome(values) == ("refused" if is_refused(values) else "trained")


def test_what_is_trained_has_every_setting_and_every_pair_that_may_meet() -> None:
    def settings(values: dict[str, Any]) -> set[Any]:
        return set({**values, "micro_batch": values["micro_batch"] is not None}.items())

    def pairs(values: dict[str, Any]) -> set[Any]:
        return set(itertools.combinations(sorted(settings(values), key=str), 2))

    of_all = [values for strategy in COVERING for values in combinations(strategy)]
    allowed = [values for values in of_all if not is_refused(values)]
    trained = [values for values in allowed if is_in(COVERING, values)]
    assert len(trained) == sum(map(len, COVERING.values()))
    assert set().union(*map(pairs, trained)) == set().union(*map(pairs, allowed))
    checked = [values for values in trained if is_in(CHECKED, values)]
    assert len(checked) == sum(map(len, CHECKED.values()))
    assert set().union(*map(settings, checked)) == set().union(*map(settings, allowed))


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: "-".join([row.first[0], row.second[0]]))
def test_every_refusal_says_why_and_what_to_do(row: Any) -> None:
    for first in row.first[1]:
        for second in row.second[1]:
            with pytest.raises(UserError) as caught:
                Config.make(
                    **{row.first[0]: 2 if first == "2 or more" else first, row.second[0]: second}
                )
            message = str(caught.value)
            assert message.startswith(
                f"{row.first[0]}={first} with {row.second[0]}={second} is not"
            )
            assert row.because in message
            assert message.endswith(f"{row.instead}.")


def test_the_readme_has_the_table() -> None:
    text = " ".join(GUIDE.read_text().split())
    for row in REFUSED:
        sides = [
            f"`--{name}=" + " or ".join(values) + "`" for name, values in (row.first, row.second)
        ]
        assert f"| {sides[0]} | {sides[1]} | {row.because} | {row.instead} |" in text


def test_devices_without_a_strategy_are_refused() -> None:
    with pytest.raises(UserError, match="devices has no effect with strategy=none"):
        Config.make(devices=2)
