"""The four figures at the top of the page, and how many tasks finished today."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from bridge.control.overview import Overview
from bridge.domain.task import Phase
from bridge.store import ReadStore

QUARTER_S: Final = 900.0
KEPT_QUARTERS: Final = 101  # a day of 25 hours, and the current quarter
SETTLED_QUARTERS: Final = 2  # quarters that are read again, because rows of a shared store may become visible late
FRESH_S: Final = 1.0
DAY_S: Final = 86_400.0

FAILURES: Final = frozenset({Phase.FAILED, Phase.CANCELED, Phase.NOT_FOUND, Phase.TIMED_OUT})


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedToday:
    """The number of tasks that have finished since midnight. `failed`: those that did not succeed."""

    finished: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedHour:
    """The number of tasks that finished in the hour from `at` on. `failed`: those that did not succeed."""

    at: float
    finished: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NowFigures:
    running: int
    today: FinishedToday
    waiting: int  # waiting deliveries
    oldest_waiting_at: float | None
    median_lag_s: float | None  # from a finish's commit to its acceptance, in the last 24 h; None: no deliveries


class FinishedCounts:
    """How many tasks have finished in each quarter of an hour of the last day, according to the store.

    The unit is a quarter because in every current time zone the day begins at a quarter in UTC. So "today" can be
    summed exactly for every reader. The first call reads a whole day by an index. Later calls read the last half hour,
    at most once a second. So a restart loses nothing, and other daemons on the store are included. `Services.read`
    makes one call at a time.
    """

    def __init__(self, steady: Callable[[], float]) -> None:
        self._steady = steady
        self._quarters: dict[int, dict[str, int]] = {}
        self._known_to: int | None = None  # quarters before this one are not read again
        self._stale_at = -math.inf

    def today(self, store: ReadStore, *, now: float, midnight_at: float) -> FinishedToday:
        """The tasks that have finished since this midnight, at most 25 hours ago."""
        self._refresh(store, now)
        first = math.floor(midnight_at / QUARTER_S)
        phases = [counts for quarter, counts in self._quarters.items() if quarter >= first]
        return FinishedToday(finished=_finished(phases), failed=_failed(phases))

    def hours(self, store: ReadStore, *, now: float) -> list[FinishedHour]:
        """The last 24 hours, the oldest first. The last one ends with the current quarter."""
        self._refresh(store, now)
        last = math.floor(now / QUARTER_S)
        return [self._hour(last - 4 * back - 3) for back in range(23, -1, -1)]

    def _hour(self, first: int) -> FinishedHour:
        phases = [self._quarters.get(quarter, {}) for quarter in range(first, first + 4)]
        return FinishedHour(at=first * QUARTER_S, finished=_finished(phases), failed=_failed(phases))

    def _refresh(self, store: ReadStore, now: float) -> None:
        if self._steady() < self._stale_at:
            return
        this = math.floor(now / QUARTER_S)
        oldest = this - KEPT_QUARTERS + 1
        known_to = oldest if self._known_to is None or self._known_to > this else max(oldest, self._known_to)
        found = store.finished_in(known_to * QUARTER_S)
        self._quarters = {one: counts for one, counts in self._quarters.items() if oldest <= one < known_to}
        for quarter, phase, tasks in found:
            self._quarters.setdefault(quarter, {})[phase] = tasks
        self._known_to = this - SETTLED_QUARTERS + 1
        self._stale_at = self._steady() + FRESH_S


def _finished(phases: Sequence[Mapping[str, int]]) -> int:
    return sum(sum(counts.values()) for counts in phases)


def _failed(phases: Sequence[Mapping[str, int]]) -> int:
    return sum(number for counts in phases for phase, number in counts.items() if phase in FAILURES)


def now_figures(
    store: ReadStore, finished: FinishedCounts, found: Overview, *, now: float, midnight_at: float
) -> NowFigures:
    """The figures at this instant. `midnight_at`: when the reader's day began."""
    lags = store.delivery_lags(now - DAY_S)
    return NowFigures(
        running=found.counts.live,
        today=finished.today(store, now=now, midnight_at=midnight_at),
        waiting=found.counts.waiting,
        oldest_waiting_at=found.counts.oldest_waiting_at,
        median_lag_s=median(lags) if lags else None,
    )
