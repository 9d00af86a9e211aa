"""The figures of the first view: what finished today, and how quickly people were notified."""

from __future__ import annotations

import pytest

from bridge.control.now_figures import FinishedCounts, FinishedSince, median_lag_s
from bridge.domain.ids import WatchKey
from bridge.domain.task import Phase
from bridge.store import Store
from tests.fakes import FakeClock
from tests.store.making import Teller, add, due, make_attempt, make_end, nobody

MIDNIGHT = 1_700_006_400.0  # UTC
HOUR = 3600.0
NOON = MIDNIGHT + 12 * HOUR


def end(store: Store, name: str, at: float, phase: Phase = Phase.SUCCEEDED) -> None:
    add(store, name, now=at - 60)
    store.commit([make_end(WatchKey("kling", name), at=at, phase=phase)], nobody)


async def test_today_begins_at_the_readers_midnight(store: Store) -> None:
    end(store, "late", MIDNIGHT - 1)
    end(store, "first", MIDNIGHT)
    end(store, "failed", MIDNIGHT + HOUR, Phase.TIMED_OUT)
    counts = FinishedCounts(FakeClock(NOON).steady)
    today = {
        hours: counts.today(store, now=NOON, midnight_at=MIDNIGHT - hours * HOUR)[1:]
        for hours in (-0.75, 0, 5.5, -5.75)
    }
    assert today == {
        -0.75: (1, 1),
        0: (2, 1),
        5.5: (3, 1),
        -5.75: (0, 0),
    }


async def test_today_survives_a_restart_and_grows(store: Store) -> None:
    end(store, "before", NOON - HOUR)
    clock = FakeClock(NOON)
    counts = FinishedCounts(clock.steady)
    assert counts.today(store, now=NOON, midnight_at=MIDNIGHT).finished == 1
    end(store, "next", NOON + 1)
    assert counts.today(store, now=NOON + 0.5, midnight_at=MIDNIGHT).finished == 1
    for number, at in enumerate((NOON + 2, NOON + 4 * HOUR, NOON + 11 * HOUR)):
        await clock.advance(at - clock.now())
        end(store, f"more-{number}", at)
        assert counts.today(store, now=at, midnight_at=MIDNIGHT).finished == 3 + number
    await clock.advance(2 * HOUR)
    tomorrow = MIDNIGHT + 24 * HOUR
    assert counts.today(store, now=tomorrow + HOUR, midnight_at=tomorrow).finished == 0
    assert FinishedCounts(clock.steady).today(store, now=tomorrow + HOUR, midnight_at=MIDNIGHT).finished == 5


async def test_a_withdrawn_task_has_not_finished(store: Store) -> None:
    add(store, "task-1", now=NOON)
    store.withdraw([WatchKey("kling", "task-1")], now=NOON)
    counts = FinishedCounts(FakeClock(NOON).steady)
    assert counts.today(store, now=NOON, midnight_at=MIDNIGHT) == FinishedSince(MIDNIGHT, 0, 0)


async def test_the_median_lag_is_that_of_accepted_deliveries(store: Store) -> None:
    assert median_lag_s(store, NOON) is None
    for name in ("a", "b", "c"):
        add(store, name, now=NOON)
        store.commit([make_end(WatchKey("kling", name), at=NOON + 1)], Teller())
    for delivery, lag in zip(due(store, now=NOON + HOUR), (0.5, 2.0), strict=False):
        store.commit([make_attempt(delivery, at=NOON + 1 + lag)], nobody)
    assert median_lag_s(store, NOON + 60) == pytest.approx(1.25)
