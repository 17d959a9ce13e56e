"""Which cases of a test `make test` and `make check` run; the others are exhaustive."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def first_in_test(cases: Iterable[Any], count: int = 1, marks: Any = ()) -> list[Any]:
    """Cases of a test, of which `make test` runs the first `count`; the others are exhaustive."""
    return [
        pytest.param(case, marks=pytest.mark.exhaustive if place >= count else marks)
        for place, case in enumerate(cases)
    ]


def first_in_check(cases: Iterable[Any], count: int = 1) -> list[Any]:
    """The same for `make check`, with tests that `make test` leaves out."""
    return first_in_test(cases, count, pytest.mark.full)
