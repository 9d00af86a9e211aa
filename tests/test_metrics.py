from __future__ import annotations

import pytest

from bridge.domain.task import ReadingKind
from bridge.metrics import KEPT_ANSWERS, AnswerTimes, Histogram, Metrics


def test_accounts_and_endpoints_of_the_settings_count_from_0() -> None:
    metrics = Metrics()
    metrics.show(accounts=["kling"], endpoints=["hook"])
    assert set(ReadingKind) < metrics.accounts["kling"].polls.keys()
    assert not any(metrics.accounts["kling"].polls.values())
    assert set(metrics.endpoints["hook"].attempts.values()) == {0}


def test_removed_accounts_and_endpoints_are_hidden_and_keep_their_counts() -> None:
    metrics = Metrics()
    metrics.show(accounts=["kling", "luma"], endpoints=["hook"])
    metrics.account("kling").polls["running"] += 3
    metrics.show(accounts=["luma"], endpoints=[])
    assert (list(metrics.accounts), list(metrics.endpoints)) == (["luma"], [])
    metrics.show(accounts=["kling"], endpoints=["hook"])
    assert metrics.accounts["kling"].polls["running"] == 3


@pytest.mark.parametrize(("seconds", "place"), [(-5.0, 0), (0.0, 0), (1.0, 0), (1.5, 1), (2.0, 1), (2.1, 2)])
def test_a_duration_counts_in_the_bucket_whose_bound_it_does_not_exceed(seconds: float, place: int) -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.observe(seconds)
    assert histogram.counts == [int(each == place) for each in range(3)]
    assert histogram.total_s == max(0.0, seconds)


def test_answer_times_are_those_of_the_last_answers() -> None:
    times = AnswerTimes()
    assert times.quantile(0.5) is None
    times.add(3.0)
    assert (times.quantile(0.5), times.quantile(0.95)) == (3.0, 3.0)
    for number in range(2 * KEPT_ANSWERS):
        times.add(number / 1000)
    assert times.quantile(0.5) == pytest.approx(0.150)
    assert times.quantile(0.95) == pytest.approx(0.195)
    assert times.quantile(1.0) == pytest.approx(0.199)
