"""Options are typed, bounded and converted; a registry finds, refuses and suggests."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import numpy as np
import pytest

from ssl_keras.errors import UserError
from ssl_keras.options import Options, Registry, option


@dataclass(frozen=True)
class Sample(Options):
    count: int = option(3, minimum=1, maximum=9, help="how many")
    rate: float = option(0.5, above=0, below=1, help="how fast")
    mode: str = option("a", choices=("a", "b"), help="which")
    on: bool = option(False, help="whether")
    limit: int | None = option(None, minimum=0, help="at most")


@dataclass(frozen=True)
class Other(Options):
    rate: float = option(0.1, above=0, help="how fast")


REGISTRY: Registry[Options] = Registry("thing", {"sample": Sample, "other": Other})


def test_values_are_converted_to_the_declared_type() -> None:
    made = Sample(count=np.int64(4), rate=np.float32(0.25), limit=None)  # type: ignore[arg-type]
    assert type(made.count) is int
    assert type(made.rate) is float
    assert made.options() == {"count": 4, "rate": 0.25, "mode": "a", "on": False, "limit": None}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, "count must be at least 1 and at most 9, not 0."),
        ({"count": 2.5}, "count must be a whole number, not 2.5."),
        ({"count": "2"}, "count must be a whole number, not '2'."),
        ({"count": None}, "count must be a whole number, not None."),
        ({"count": True}, "count must be a whole number, not True."),
        ({"rate": 1}, "rate must be above 0 and below 1, not 1."),
        ({"rate": float("inf")}, "rate must be above 0 and below 1, not inf."),
        ({"mode": "c"}, "Unknown mode 'c'. Valid: a, b."),
        ({"mode": 1}, "mode must be a text, not 1."),
        ({"on": 1}, "on must be true or false, not 1."),
    ],
)
def test_bad_values_are_refused_in_one_sentence(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        Sample(**values)
    assert str(caught.value) == message


def test_options_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Sample().count = 4  # type: ignore[misc]


def test_registry_makes_entries_and_lists_their_fields() -> None:
    assert REGISTRY.get("other", rate=2) == Other(rate=2.0)
    assert list(REGISTRY) == ["sample", "other"]
    assert [name for name, _ in REGISTRY.fields()["rate"]] == ["sample", "other"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("smaple", {}, "Unknown thing 'smaple'. Did you mean 'sample'? Valid: other, sample."),
        ("zzz", {}, "Unknown thing 'zzz'. Valid: other, sample."),
        ("other", {"raet": 1}, "The thing 'other' has no raet: it has rate. Did you mean rate?"),
        ("other", {"rate": 0}, "thing 'other': rate must be above 0, not 0."),
    ],
)
def test_registry_errors(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        REGISTRY.get(name, **options)
    assert str(caught.value) == message
