"""What this daemon did in the last day, for the charts and figures of the status page.

It is kept in memory: it starts empty with the daemon, and does not include other daemons on the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from bridge.domain.ids import ARCHIVE
from bridge.domain.ring import EVERY_S, Ring, quantile
from bridge.metrics import EndpointMetrics, Histogram, Metrics
from bridge.ports import Clock

SAMPLE_EVERY_S: Final = 15.0
RECENT_SLOTS: Final = 2  # the slot that is still running, and the one before


class Point(NamedTuple):
    """A point of a chart: five minutes from `at` on. None: nothing is known."""

    at: float
    value: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Current durations: 50 % and 95 % take no longer. None: nothing was measured recently."""

    p50_s: float | None
    p95_s: float | None


class Rings:
    """Reads the counters of the engine every few seconds, and records how much they have grown.

    Only for use in the thread of the event loop, which updates the counters. No method reads a store.
    """

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock
        self._lag_bounds = EndpointMetrics().delivery_s.bounds
        self.began_at = clock.steady()
        self._rings = {"lag": Ring(len(self._lag_bounds) + 1, began_at=self.began_at)}
        self._seen: dict[str, Sequence[float]] = {}
        self.sample()

    def sample(self) -> None:
        """Add what was counted since the last call."""
        now, metrics = self._clock.steady(), self._metrics
        self._count("commit", metrics.commit_s.counts, now)
        self._count("loop", metrics.loop_lag_s.counts, now)
        for name, endpoint in metrics.endpoints.items():
            if name != ARCHIVE:  # copies notify nobody
                self._count("lag", endpoint.delivery_s.counts, now, of=name)
        for name, account in metrics.accounts.items():
            self._count(f"polls {name}", [sum(account.polls.values())], now)

    async def run(self) -> None:
        """Sample until canceled."""
        while True:
            self.sample()
            await self._clock.sleep(SAMPLE_EVERY_S)

    def lag(self, part: float) -> list[Point]:
        """Seconds from the commit of a finish to its acceptance by a receiver: the quantile `part` of each five
        minutes, so 0.5 is the median. None where nothing was accepted."""
        return [
            Point(at, None if sums is None else quantile(self._lag_bounds, sums, part))
            for at, sums in self._rings["lag"].slots(self._now())
        ]

    def polls_now(self) -> Mapping[str, float]:
        """Polls per minute of each account in the last five to ten minutes."""
        now = self._now()
        lasted_s = min(now - self.began_at, now % EVERY_S + EVERY_S * (RECENT_SLOTS - 1))
        minutes = max(lasted_s, SAMPLE_EVERY_S) / 60
        return {
            name: self._rings[f"polls {name}"].total(now, slots=RECENT_SLOTS)[0] / minutes
            for name in self._metrics.accounts
        }

    def commits(self) -> Quantiles:
        """How long commits have taken in the last five to ten minutes."""
        return self._pace("commit", self._metrics.commit_s)

    def loop_lag(self) -> Quantiles:
        """How late the event loop was in the last five to ten minutes."""
        return self._pace("loop", self._metrics.loop_lag_s)

    def _pace(self, name: str, histogram: Histogram) -> Quantiles:
        counts = self._rings[name].total(self._now(), slots=RECENT_SLOTS)
        return Quantiles(p50_s=quantile(histogram.bounds, counts, 0.5), p95_s=quantile(histogram.bounds, counts, 0.95))

    def _count(self, name: str, counts: Sequence[float], now: float, *, of: str = "") -> None:
        """Add to this ring how much each count of the source `of` has grown since the last call."""
        before = self._seen.get(f"{name} {of}") or [0.0] * len(counts)
        self._seen[f"{name} {of}"] = list(counts)
        ring = self._rings.setdefault(name, Ring(len(counts), began_at=self.began_at))
        ring.add([new - old for new, old in zip(counts, before, strict=True)], at=now)

    def _now(self) -> float:
        self.sample()
        return self._clock.steady()
