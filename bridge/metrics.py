"""Counters and histograms of one daemon: plain integers, without locks.

Only the event loop's thread counts. Any thread may read at any time, because the dictionaries never change their keys:
every outcome is there from the start, at 0.

prometheus-client has counters, too, but they take a lock for each increment. A daemon without `/metrics` also need not
import that library.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from bridge.domain.callback import CallbackOutcome
from bridge.domain.event import Topic
from bridge.domain.task import Reading, ReadingKind

INTERNAL_ERROR: Final = "internal_error"  # a bug in genbridge stopped the poll
POLL_OUTCOMES: Final[tuple[str, ...]] = (*ReadingKind, INTERNAL_ERROR)
CALLBACK_OUTCOMES: Final[tuple[str, ...]] = (*CallbackOutcome,)
ATTEMPT_OUTCOMES: Final = ("accepted", "deferred", "refused", "undeliverable")

KEPT_ANSWERS: Final = 100
_FINE: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_COARSE: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 3600.0)
_WIDE: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0, 21600.0)


class Histogram:
    """Counts seconds in fixed buckets. `counts` has one item more than `bounds`, for values above the last bound."""

    __slots__ = ("bounds", "counts", "total_s")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total_s = 0.0

    def observe(self, seconds: float) -> None:
        """Count one duration. A negative one, which only disagreeing clocks can cause, counts as 0."""
        seconds = max(0.0, seconds)
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total_s += seconds


@dataclass(slots=True, eq=False)
class AnswerTimes:
    """How long the last answers took, exactly: a histogram of the last minutes would mostly be empty."""

    _last_s: deque[float] = field(default_factory=partial(deque, maxlen=KEPT_ANSWERS))

    def add(self, seconds: float) -> None:
        self._last_s.append(seconds)

    def quantile(self, part: float) -> float | None:
        """The time within which this share of the answers came, if any. Only for the event loop's thread."""
        found = sorted(self._last_s)
        return found[min(len(found) - 1, int(part * len(found)))] if found else None


@dataclass(slots=True, eq=False)
class AccountMetrics:
    detection_s: Histogram  # shared by all accounts
    polls: dict[str, int] = field(default_factory=lambda: dict.fromkeys(POLL_OUTCOMES, 0))  # requests; a batch is one
    callbacks: dict[str, int] = field(default_factory=lambda: dict.fromkeys(CALLBACK_OUTCOMES, 0))
    other_rate_limited: int = 0  # answers to requests of other programs that asked for fewer requests
    answered_at: float | None = None  # time of the last answer to a poll, steady
    answers: AnswerTimes = field(default_factory=AnswerTimes)  # answers to polls
    failures: int = 0  # polls in a row without an answer, or with a 5xx
    failure: str = ""  # the reason of the last of them

    def count_poll(self, reading: Reading, *, asked_at: float, now: float) -> None:
        """Count the answer to a request that was sent at `asked_at` (steady)."""
        self.polls[reading.kind] += 1
        if reading.server_trouble:
            self.failures += 1
            self.failure = reading.detail
        else:
            self.failures = 0
            self.answered_at = now
            self.answers.add(now - asked_at)

    @property
    def rate_limited(self) -> int:
        """How many answers asked for fewer requests."""
        return self.polls[ReadingKind.RATE_LIMITED] + self.other_rate_limited


@dataclass(slots=True, eq=False)
class EndpointMetrics:
    attempts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ATTEMPT_OUTCOMES, 0))
    delivery_s: Histogram = field(default_factory=partial(Histogram, _WIDE))  # from seeing the finish to its acceptance
    answers: AnswerTimes = field(default_factory=AnswerTimes)  # answers to attempts


class Metrics:
    """The figures of one daemon, from its start to its end."""

    def __init__(self) -> None:
        self.events: Final = dict.fromkeys(Topic, 0)
        self.detection_s: Final = Histogram(_COARSE)
        self.commit_s: Final = Histogram(_FINE)
        self.loop_lag_s: Final = Histogram(_FINE)
        self.settings_invalid_since: float | None = None  # wall time; None: the settings file is valid and loaded
        self._accounts: dict[str, AccountMetrics] = {}
        self._endpoints: dict[str, EndpointMetrics] = {}
        self._shown: tuple[frozenset[str], frozenset[str]] = (frozenset(), frozenset())

    def account(self, name: str) -> AccountMetrics:
        """The account's counters. If an account comes back after a reload, its counters continue."""
        return self._accounts.setdefault(name, AccountMetrics(self.detection_s))

    def endpoint(self, name: str) -> EndpointMetrics:
        return self._endpoints.setdefault(name, EndpointMetrics())

    def show(self, *, accounts: Collection[str], endpoints: Collection[str]) -> None:
        """From now on, show only the figures of these accounts and endpoints."""
        for name in accounts:
            self.account(name)
        for name in endpoints:
            self.endpoint(name)
        self._shown = frozenset(accounts), frozenset(endpoints)

    @property
    def accounts(self) -> Mapping[str, AccountMetrics]:
        """The accounts in the settings, by name."""
        return {name: self._accounts[name] for name in sorted(self._shown[0])}

    @property
    def endpoints(self) -> Mapping[str, EndpointMetrics]:
        """The endpoints in the settings, by name."""
        return {name: self._endpoints[name] for name in sorted(self._shown[1])}
