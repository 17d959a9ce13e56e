"""Which cases of a test `make check` runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def first_in_check(cases: Iterable[Any], count: int = 1) -> list[Any]:
    """Cases of a test, of which `make check` runs the first `count`; the others are exhaustive."""
    marks = pytest.mark.full, pytest.mark.exhaustive
    return [pytest.param(case, marks=marks[place >= count]) for place, case in enumerate(cases)]
