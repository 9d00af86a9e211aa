"""What this daemon did in the last day, for the charts and figures of the status page.

It is kept in memory: it starts empty with the daemon, and does not include other daemons on the store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from bridge.domain.ring import EVERY_S, Ring, quantile
from bridge.metrics import AnswerTimes, EndpointMetrics, Histogram, Metrics
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
        now = clock.steady()
        self.began_at = now
        self._histograms = {name: Ring(len(one.counts), began_at=now) for name, one in self._observed().items()}
        self._lags = Ring(len(self._lag_bounds) + 1, began_at=now)
        self._polls: dict[str, Ring] = {}
        self._seen: dict[str, Sequence[float]] = {}
        self.sample()

    def sample(self) -> None:
        """Add what was counted since the last call."""
        now, metrics = self._clock.steady(), self._metrics
        for name, histogram in self._observed().items():
            self._histograms[name].add(self._grown(name, histogram.counts), at=now)
        for name, endpoint in metrics.endpoints.items():
            self._lags.add(self._grown(f"lag {name}", endpoint.delivery_s.counts), at=now)
        for name, account in metrics.accounts.items():
            ring = self._polls.setdefault(name, Ring(1, began_at=self.began_at))
            ring.add(self._grown(f"polls {name}", [sum(account.polls.values())]), at=now)

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
            for at, sums in self._lags.slots(self._now())
        ]

    def polls_now(self) -> Mapping[str, float]:
        """Polls per minute of each account in the last five to ten minutes."""
        now = self._now()
        lasted_s = min(now - self.began_at, now % EVERY_S + EVERY_S * (RECENT_SLOTS - 1))
        minutes = max(lasted_s, SAMPLE_EVERY_S) / 60
        return {name: ring.total(now, slots=RECENT_SLOTS)[0] / minutes for name, ring in self._polls.items()}

    def commits(self) -> Quantiles:
        """How long commits have taken in the last five to ten minutes."""
        return self._pace("commit", self._metrics.commit_s)

    def loop_lag(self) -> Quantiles:
        """How late the event loop was in the last five to ten minutes."""
        return self._pace("loop", self._metrics.loop_lag_s)

    def account_answers(self) -> Mapping[str, Quantiles]:
        """How long the last answers of each account's provider took."""
        return {name: _answers(one.answers) for name, one in self._metrics.accounts.items()}

    def endpoint_answers(self) -> Mapping[str, Quantiles]:
        """How long the last answers of each endpoint took, accepted or not."""
        return {name: _answers(one.answers) for name, one in self._metrics.endpoints.items()}

    def _pace(self, name: str, histogram: Histogram) -> Quantiles:
        counts = self._histograms[name].total(self._now(), slots=RECENT_SLOTS)
        return Quantiles(p50_s=quantile(histogram.bounds, counts, 0.5), p95_s=quantile(histogram.bounds, counts, 0.95))

    def _observed(self) -> dict[str, Histogram]:
        return {"commit": self._metrics.commit_s, "loop": self._metrics.loop_lag_s}

    def _grown(self, name: str, counts: Iterable[float]) -> list[float]:
        """How much each count has grown since the last call."""
        counts = list(counts)
        before = self._seen.get(name) or [0.0] * len(counts)
        self._seen[name] = counts
        return [new - old for new, old in zip(counts, before, strict=True)]

    def _now(self) -> float:
        self.sample()
        return self._clock.steady()


def _answers(times: AnswerTimes) -> Quantiles:
    return Quantiles(p50_s=times.quantile(0.5), p95_s=times.quantile(0.95))
