"""Filters in queries and forms."""

from __future__ import annotations

from datetime import datetime

import pytest

from bridge.http.problem_details import HttpProblem
from bridge.http.request_filters import since_at

NOW = 1_762_000_000.0


@pytest.mark.parametrize("offset", [" 01:00", " 0100", "+01:00"])
def test_an_offset_may_have_a_space_for_its_plus(offset: str) -> None:
    assert since_at(f"2025-11-01T10:00:00{offset}", NOW) == datetime.fromisoformat("2025-11-01T09:00:00Z").timestamp()


@pytest.mark.timeout(10)  # it took more than half a minute
def test_a_long_text_is_refused_as_a_time_at_once() -> None:
    with pytest.raises(HttpProblem):
        since_at("T" * 100_000, NOW)
