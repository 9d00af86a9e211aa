"""How many tasks have finished, and how quickly people were notified, for the status page."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import median
from typing import Final, NamedTuple

from bridge.domain.task import NOT_SUCCEEDED
from bridge.store import ReadStore

QUARTER_S: Final = 900.0
KEPT_QUARTERS: Final = 101  # a day of 25 hours, and the current quarter
SETTLED_QUARTERS: Final = 2  # quarters that are read again, because rows of a shared store may become visible late
FRESH_S: Final = 1.0
HOUR_S: Final = 3600.0
DAY_S: Final = 86_400.0


class FinishedSince(NamedTuple):
    """The number of tasks that finished from `at` on. `failed`: those that did not succeed."""

    at: float
    finished: int
    failed: int


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

    def today(self, store: ReadStore, *, now: float, midnight_at: float) -> FinishedSince:
        """The tasks that have finished since this midnight, at most 25 hours ago."""
        self._refresh(store, now)
        return self._between(midnight_at, math.inf)

    def hours(self, store: ReadStore, *, now: float) -> list[FinishedSince]:
        """The last 24 hours, the oldest first. The last one ends with the current quarter."""
        self._refresh(store, now)
        end_at = (math.floor(now / QUARTER_S) + 1) * QUARTER_S
        return [self._between(end_at - back * HOUR_S, end_at - (back - 1) * HOUR_S) for back in range(24, 0, -1)]

    def _between(self, at: float, end_at: float) -> FinishedSince:
        phases = [counts for quarter, counts in self._quarters.items() if at <= quarter * QUARTER_S < end_at]
        failed = sum(number for counts in phases for phase, number in counts.items() if phase in NOT_SUCCEEDED)
        return FinishedSince(at, sum(sum(counts.values()) for counts in phases), failed)

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


def median_lag_s(store: ReadStore, now: float) -> float | None:
    """The time from a finish's commit to its acceptance, in the last 24 h; None without deliveries."""
    lags = store.delivery_lags(now - DAY_S)
    return median(lags) if lags else None
