"""What this daemon did in the last day, from the engine's counters."""

from __future__ import annotations

from bridge.control.rings import Quantiles, Rings
from bridge.domain.ids import ARCHIVE
from bridge.domain.ring import EVERY_S
from bridge.domain.task import ReadingKind
from bridge.metrics import Metrics
from tests.fakes import FakeClock

START = 1_700_000_100.0


def made() -> tuple[Metrics, FakeClock, Rings]:
    metrics, clock = Metrics(), FakeClock(START)
    metrics.show(accounts=["kling", "suno"], endpoints=["automation"])
    return metrics, clock, Rings(metrics, clock)


async def test_the_median_lag_is_that_of_all_endpoints() -> None:
    metrics, clock, rings = made()
    assert rings.lag(0.5)[-1].value is None
    for seconds in (0.3, 0.4, 0.4, 8.0):
        metrics.endpoint("automation").delivery_s.observe(seconds)
    value = rings.lag(0.5)[-1].value
    assert value is not None
    assert 0.25 < value < 0.5
    await clock.advance(EVERY_S)
    assert rings.lag(0.5)[-1].value is None


async def test_copies_are_no_part_of_the_median_lag() -> None:
    metrics, _clock, rings = made()
    metrics.show(accounts=["kling"], endpoints=["automation", ARCHIVE])
    metrics.endpoint(ARCHIVE).delivery_s.observe(0.1)
    assert rings.lag(0.5)[-1].value is None


async def test_polls_are_counted_by_account() -> None:
    metrics, clock, rings = made()
    metrics.account("kling").polls[ReadingKind.RUNNING] += 30
    metrics.account("suno").polls[ReadingKind.RATE_LIMITED] += 6
    await clock.advance(60)
    assert rings.polls_now() == {"kling": 30.0, "suno": 6.0}


async def test_the_pace_of_commits_is_that_of_the_last_minutes() -> None:
    metrics, clock, rings = made()
    assert rings.commits() == Quantiles(p50_s=None, p95_s=None)
    for seconds in [0.002] * 18 + [2.0] * 2:
        metrics.commit_s.observe(seconds)
    pace = rings.commits()
    assert pace.p50_s is not None
    assert pace.p95_s is not None
    assert pace.p50_s < 0.0025
    assert 1.0 < pace.p95_s <= 2.5
    await clock.advance(2 * EVERY_S)
    assert rings.commits().p95_s is None
    assert rings.loop_lag().p95_s is None
