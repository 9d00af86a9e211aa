"""When to poll a running task next, based on how long similar tasks have taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from typing import Final

from bridge.domain.cadence import INTERVAL, Pacing
from bridge.domain.durations.bins import bin_of
from bridge.domain.durations.budget import Budget
from bridge.domain.durations.fit import Fit
from bridge.domain.durations.forecast import expectation
from bridge.domain.durations.learned_durations import LearnedDurations
from bridge.domain.durations.poll_rate import Bounds, PollRate, poll_rate, together_in_s
from bridge.domain.durations.progress import next_by_progress_in_s, trend_after
from bridge.domain.durations.table import DurationKey
from bridge.domain.task import ReadingKind, Snapshot
from bridge.engine.poll_queue import NEVER, PollEntry

# Not CANCELED: a canceled task says nothing about durations.
FINISHED: Final = frozenset({ReadingKind.SUCCEEDED, ReadingKind.FAILED})
MAX_APART_S: Final = 86_400.0  # a creation time further away from the time of adding is ignored
LATE_S: Final = 120.0  # longest time from a task's creation to its addition; a longer one means different clocks
CREEP: Final = 0.05  # how fast to adapt if a provider's clock was set back
MAX_KINDS: Final = 1000  # maximum number of kinds of task in memory
BUDGET_KINDS: Final = 8  # kinds of tasks used to compute the budget
MODELS: Final = ("model", "version")
MAX_NAME: Final = 120
MIN_CHANGE: Final = 0.02  # a smaller relative change of `worth` does not change the poll rates


@dataclass(slots=True)
class _Kind:
    """One kind of task, and values computed from its fit."""

    fit: Fit
    worth: float  # the budget's worth when the rate was computed
    rate: PollRate
    usual: str  # how long such a task takes, for people
    finished_by: tuple[float, ...]  # probability that a task has finished by the start of each bin


class LearnedCadence:
    """The learned cadence of one account. Each entry keeps when its task began, when it was last found running, and its
    progress so far; everything else is kept per kind of task.

    A poll without a usable answer adds no information. A task is assumed to run until the next good answer. If it
    finished during a long gap, the finish is placed where finishes are likely.
    """

    def __init__(self, account: str, *, knowledge: LearnedDurations, pacing: Pacing) -> None:
        self._account = account
        self._knowledge = knowledge
        self._kinds: dict[DurationKey, _Kind] = {}
        self._lag_s: float | None = None  # time from a task's creation, by the provider's clock, until it can be added
        self._shared = 1.0  # requests per answer about a watch: less than 1 if batches share requests
        self.apply(pacing)

    def apply(self, pacing: Pacing) -> None:
        """Use these limits and this budget from now on."""
        self._bounds = Bounds(min_s=pacing.min_interval_s, max_s=max(pacing.max_interval_s, pacing.min_interval_s))
        self._budget = Budget(pacing.budget, bounds=self._bounds)
        self._kinds.clear()

    def record_running(self, entry: PollEntry, snapshot: Snapshot | None, now: float) -> None:
        """The task was found running."""
        if snapshot is not None and snapshot.kept:
            entry.variant = _variant(snapshot)
        created_ms = snapshot.created_ms if snapshot is not None else None
        if created_ms is not None and entry.seen_at == NEVER:
            entry.began_at = self._began_at(entry.added_at, created_ms / 1000, now)
        age_s, seen_s = now - entry.began_at, self._seen_s(entry)
        if seen_s is not None:
            self._knowledge.seen(_key(self._account, entry.action, entry.variant), seen_s, age_s)
            if snapshot is not None and snapshot.progress is not None:
                entry.trend = trend_after(entry.trend, snapshot.progress, polled_s=seen_s, age_s=age_s)
        entry.seen_at = now

    def record_finish(self, entry: PollEntry, snapshot: Snapshot | None, now: float, *, succeeded: bool) -> None:
        """The provider reported that the task has finished."""
        if snapshot is not None and snapshot.kept:
            entry.variant = _variant(snapshot)
        age_s, seen_s, server_s = now - entry.began_at, self._seen_s(entry), _duration_s(snapshot)
        if seen_s is None:
            return  # last polled by another process, so it may have finished long ago
        if entry.memory.polls == 0:
            if server_s is None:
                return  # finished at the first poll, so its age says almost nothing about its duration
            age_s = max(age_s, server_s)
        rest_s = entry.trend.rest_s(seen_s) if entry.trend is not None else None
        key = _key(self._account, entry.action, entry.variant)
        self._knowledge.ended(key, seen_s, age_s, at_s=server_s, succeeded=succeeded, rest_s=rest_s)
        self._budget.spent((entry.memory.polls + 1) * self._shared)
        if self._budget.is_due:
            fits = sorted((kind.fit for kind in self._kinds.values()), key=lambda fit: fit.support)
            self._budget.recalculate([(fit, fit.support) for fit in fits[-BUDGET_KINDS:]])

    def next_in_s(self, entry: PollEntry, now: float) -> tuple[float, str]:
        """Seconds until the next poll of this task, and the reason."""
        kind, age_s = self._kind_of(entry), now - entry.began_at
        self._shared += (1.0 - self._shared) * 0.02
        rest_s = entry.trend.rest_s(age_s) if entry.trend is not None else None
        if rest_s is None:
            wait_s = kind.rate.next_in_s(age_s)
            return wait_s, _why(kind.usual, round(wait_s))
        wait_s = next_by_progress_in_s(
            kind.fit, age_s=age_s, rest_s=rest_s, worth=self._budget.worth, bounds=self._bounds
        )
        return wait_s, f"{kind.usual}, its progress suggests {rest_s:.0f} s more{INTERVAL}{wait_s:.0f} s"

    def together_in_s(self, entries: Sequence[PollEntry], now: float) -> tuple[float, str]:
        """Seconds until the next request about these watches together, and the reason."""
        members = [(self._kind_of(entry).fit, now - entry.began_at) for entry in entries]
        wait_s = together_in_s(members, worth=self._budget.worth, bounds=self._bounds)
        self._shared += (1.0 / len(entries) - self._shared) * 0.2
        why = _why(self._kind_of(entries[0]).usual, round(wait_s))
        return wait_s, f"{why}, with {len(entries) - 1} others"

    def _began_at(self, added_at: float, created_at: float, now: float) -> float:
        """When a task began, by genbridge's clock. The smallest observed lag between creation and addition is taken as
        the difference of the clocks; a task with a larger lag was added that much later.

        If a task was created after its addition, its id was added in advance, so it says nothing about the clocks.
        Only a creation time in the future shows that the provider's clock is ahead.
        """
        if abs(added_at - created_at) > MAX_APART_S:
            return added_at
        lag_s = min(max(added_at - created_at, 0.0), now - created_at)
        if self._lag_s is None:
            self._lag_s = lag_s if lag_s > LATE_S else min(lag_s, 0.0)
        self._lag_s = min(lag_s, self._lag_s + CREEP * (lag_s - self._lag_s))
        return min(created_at + self._lag_s, max(added_at, created_at), now)

    def likelihood(self, entry: PollEntry, now: float) -> float:
        """The probability that the task has finished by now."""
        return self._kind_of(entry).finished_by[bin_of(now - entry.began_at)]

    def _kind_of(self, entry: PollEntry) -> _Kind:
        key = _key(self._account, entry.action, entry.variant)
        kind, fit, worth = self._kinds.get(key), self._knowledge.fit(key), self._budget.worth
        if kind is not None and kind.fit is fit and kind.worth == worth:  # by far the most frequent case
            return kind
        if kind is None and self._budget.is_due:  # after a start: from the stored tables
            self._budget.recalculate([(fit, fit.support)])
        worth = self._budget.worth
        if kind is None or kind.fit is not fit or abs(worth - kind.worth) > MIN_CHANGE * worth:
            rate = poll_rate(fit, worth=worth, bounds=self._bounds)
            usual = expectation(self._knowledge.usual(key))
            finished_by = tuple(1.0 - math.exp(-each) for each in fit.sums)
            if kind is None and len(self._kinds) >= MAX_KINDS:
                self._kinds.clear()
            kind = self._kinds[key] = _Kind(fit, worth, rate, usual, finished_by)
        return kind

    @staticmethod
    def _seen_s(entry: PollEntry) -> float | None:
        """The age at which this process last found the task running; None if it never did."""
        if entry.seen_at > NEVER:
            return max(0.0, entry.seen_at - entry.began_at)
        return None if entry.memory.polls else 0.0


@lru_cache(4096)
def _key(account: str, action: str | None, variant: str) -> DurationKey:
    """The kind of a task. One object for all tasks of a kind, because every poll needs it."""
    return DurationKey(account, action or "", variant)


@lru_cache(4096)
def _why(usual: str, wait_s: int) -> str:
    """One string object for all notes with the same text, to save memory while they wait to be stored."""
    return f"{usual}{INTERVAL}{wait_s} s"


def _variant(snapshot: Snapshot) -> str:
    """The model or its version, from the fields that the provider's description keeps."""
    for name in MODELS:
        model = snapshot.kept.get(name)
        if isinstance(model, str) and model:
            return intern(model[:MAX_NAME])
    return ""


def _duration_s(snapshot: Snapshot | None) -> float | None:
    if snapshot is None or snapshot.created_ms is None or snapshot.updated_ms is None:
        return None
    duration_s = (snapshot.updated_ms - snapshot.created_ms) / 1000
    return duration_s if 0 < duration_s < MAX_APART_S else None
