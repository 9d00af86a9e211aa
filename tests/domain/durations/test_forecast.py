from __future__ import annotations

import re

import pytest

from bridge.domain.durations.fit import Fit, fit
from bridge.domain.durations.forecast import expectation, expected
from bridge.domain.durations.table import Table


def known(*durations: float) -> Fit:
    table = Table()
    for duration_s in durations:
        table.seen(0.0, duration_s)
        table.ended([duration_s], succeeded=True)
    return fit(table)


def test_a_new_kind_of_task_uses_the_durations_of_similar_tasks() -> None:
    similar = Table()
    for _ in range(20):
        similar.ended([60.0], succeeded=True)
    assert expectation(fit(Table(), similar)).endswith(" (estimated from other models or accounts)")


def test_a_finish_is_expected_after_three_observed_tasks() -> None:
    assert expected(known(60.0, 60.0), began_at=1000.0, now=1010.0) is None
    found = expected(known(*[60.0] * 20), began_at=1000.0, now=1010.0)
    assert found is not None
    assert 1030 < found.low_at < found.at < found.high_at < 1120


def test_a_task_older_than_all_others_is_expected_to_finish_later() -> None:
    found = expected(known(*[60.0] * 20), began_at=1000.0, now=1500.0)
    assert found is not None
    assert 1500 < found.low_at < found.at < found.high_at
    assert expected(known(*[60.0] * 20), began_at=9000.0, now=1500.0) is not None  # a clock that was set back


@pytest.mark.parametrize(
    ("duration_s", "units"),
    [(60.0, r"\d+ s to \d+ s"), (900.0, r"\d+ min to \d+ min"), (20_000.0, r"\d+ min to [\d.]+ h")],
)
def test_a_forecast_is_written_in_words(duration_s: float, units: str) -> None:
    words = expectation(known(*[duration_s] * 20))
    assert re.fullmatch(rf"similar tasks usually take {units} \(20 tasks seen\)", words)
    assert expectation(known(duration_s)) == "the duration of similar tasks is not known yet (1 task seen)"
