"""The schedules that are compared: when each of them polls a task of a given age again."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import Protocol

from benchmarks.cadence.tasks import GIVEN_UP_S, ReadingKind, Task
from bridge.domain.durations.fit import Fit
from bridge.domain.durations.learned_durations import LearnedDurations
from bridge.domain.durations.poll_rate import Bounds, PollRate, poll_rate
from bridge.domain.durations.progress import ProgressTrend, next_by_progress_in_s, trend_after
from bridge.domain.durations.table import DurationKey

BOUNDS = Bounds(min_s=2.0, max_s=300.0)


class Schedule(Protocol):
    """Says when a task is polled next."""

    def next_in_s(self, task: Task, age_s: float) -> float:
        """Seconds until this task is polled again. A poll has just found it running at this age."""

    def ended(self, task: Task, age_s: float) -> None:
        """A poll has found that this task has ended."""


class Blind:
    """A schedule that learns nothing."""

    def ended(self, task: Task, age_s: float) -> None:
        """Ignore it."""


@dataclass(frozen=True)
class Fixed(Blind):
    """Always wait the same time."""

    interval_s: float

    def next_in_s(self, task: Task, age_s: float) -> float:
        return self.interval_s


@dataclass(frozen=True)
class Backoff(Blind):
    """Wait 1, 2, 4 ... seconds, up to a cap."""

    cap_s: float

    def next_in_s(self, task: Task, age_s: float) -> float:
        return min(2.0 ** min(task.polls, 20), self.cap_s)


@dataclass(frozen=True)
class ShareOfAge(Blind):
    """Wait a tenth of the age, as `polling.cadence: fixed` does."""

    def next_in_s(self, task: Task, age_s: float) -> float:
        return BOUNDS.wait_s(age_s * 0.1)


class Walk(Blind):
    """Follows a poll rate for each second of age, by kind."""

    def __init__(self, rates: Mapping[str, list[float]]) -> None:
        self._walks = {kind: (each, [0.0, *accumulate(each)]) for kind, each in rates.items()}

    def next_in_s(self, task: Task, age_s: float) -> float:
        rates, sums = self._walks[task.kind]
        place = int(age_s)
        if place >= len(rates):
            return BOUNDS.max_s
        total = sums[place] + (age_s - place) * rates[place] + 1.0
        there = bisect_right(sums, total) - 1
        if there >= len(rates):
            return BOUNDS.max_s
        return BOUNDS.wait_s(there + (total - sums[there]) / rates[there] - age_s)


def knowing(kinds: list[ReadingKind], *, exponent: float, worth: float) -> Walk:
    """A schedule that knows the true distributions: rate = worth x hazard^exponent."""
    rates = {}
    for kind in kinds:
        grid = [kind.alive(age) for age in range(int(GIVEN_UP_S) + 1)]
        hazards = [math.log(now / later) for now, later in pairwise(grid)]
        rates[kind.name] = [BOUNDS.rate(worth * each**exponent) for each in hazards]
    return Walk(rates)


class Planned(Blind):
    """Polls at the instants that dynamic programming has found, by kind."""

    def __init__(self, plans: Mapping[str, list[float]]) -> None:
        self._plans = plans

    def next_in_s(self, task: Task, age_s: float) -> float:
        plan = self._plans[task.kind]
        place = bisect_right(plan, age_s + 1e-6)
        return plan[place] - age_s if place < len(plan) else BOUNDS.max_s


@dataclass
class Learned:
    """The daemon's own arithmetic, without previous knowledge. With `by_progress`, it also uses the provider's
    progress."""

    worth: float
    by_progress: bool = False
    is_one_kind: bool = False  # all kinds of tasks share one distribution
    knowledge: LearnedDurations = field(default_factory=LearnedDurations)
    _rhythms: dict[DurationKey, tuple[Fit, PollRate]] = field(default_factory=dict)

    def key(self, task: Task) -> DurationKey:
        return DurationKey("account", "" if self.is_one_kind else task.kind)

    def next_in_s(self, task: Task, age_s: float) -> float:
        key = self.key(task)
        self.knowledge.seen(key, task.polled_s, age_s)
        fit = self.knowledge.fit(key)
        if self.by_progress:
            trend = task.trend if isinstance(task.trend, ProgressTrend) else None
            task.trend = trend_after(trend, task.progress(age_s), polled_s=task.polled_s, age_s=age_s)
            rest_s = None if task.trend is None else task.trend.rest_s(age_s)
            if rest_s is not None:
                return next_by_progress_in_s(fit, age_s=age_s, rest_s=rest_s, worth=self.worth, bounds=BOUNDS)
        known = self._rhythms.get(key)
        if known is None or known[0] is not fit:
            known = self._rhythms[key] = (fit, poll_rate(fit, worth=self.worth, bounds=BOUNDS))
        return known[1].next_in_s(age_s)

    def ended(self, task: Task, age_s: float) -> None:
        rest_s = task.trend.rest_s(task.polled_s) if isinstance(task.trend, ProgressTrend) else None
        self.knowledge.ended(self.key(task), task.polled_s, age_s, at_s=None, succeeded=task.succeeds, rest_s=rest_s)
