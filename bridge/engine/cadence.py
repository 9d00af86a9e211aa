"""When one account's watches are asked about next, all being well: by what has been learned of how long tasks take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from typing import Final

from bridge.domain.cadence import Pacing
from bridge.domain.durations.bins import bin_of
from bridge.domain.durations.budget import Budget
from bridge.domain.durations.fit import Fit
from bridge.domain.durations.group import together_in_s
from bridge.domain.durations.knowledge import Key, Knowledge
from bridge.domain.durations.progress import followed, sharpened_in_s
from bridge.domain.durations.rhythm import Bounds, Rhythm, rhythm
from bridge.domain.durations.words import expectation
from bridge.domain.task import Kind, Snapshot
from bridge.engine.agenda import NEVER, Entry

ENDED: Final = frozenset({Kind.SUCCEEDED, Kind.FAILED})  # a canceled one says nothing of how long such tasks take
APART_MOST_S: Final = 86_400.0  # a task that claims to have begun a day before or after it was added is not believed
LATE_S: Final = 120.0  # the first task of all was added at most so late; if it seems to be more, clocks disagree
CREEP: Final = 0.05  # how fast a provider's clock that has fallen back is followed
MOST_KINDS: Final = 1000  # kept at hand
RECKONED: Final = 8  # kinds that the budget is reckoned with
MODELS: Final = ("model", "version")
LONGEST_NAME: Final = 120
OUT_OF_STEP: Final = 0.02  # a worth that has moved by less is not worth new rhythms


@dataclass(slots=True)
class _Known:
    """What was made of one kind's fit."""

    fit: Fit
    worth: float
    rhythm: Rhythm
    words: str
    over: tuple[float, ...]  # how probable it is that a task has ended by the beginning of each bin


class Cadence:
    """One account's. Keeps of each watch, in its entry, when its task began, when it was last found under way, and the
    trail of its progress; the rest is by kind of task.

    A poll that brought no usable answer teaches nothing: the time until the next good one was spent under way all the
    same, and an end somewhere in a long silence is put where ends are.
    """

    def __init__(self, account: str, *, knowledge: Knowledge, pacing: Pacing) -> None:
        self._account = account
        self._knowledge = knowledge
        self._known: dict[Key, _Known] = {}
        self._keys: dict[tuple[str | None, str], Key] = {}
        self._lag_s: float | None = None  # from a task's beginning, by the provider's clock, to when it can be added
        self._shared = 1.0  # requests for each answer about a watch: less than one where many share one
        self.follow(pacing)

    def follow(self, pacing: Pacing) -> None:
        """Keep to these bounds and this budget from now on."""
        self._bounds = Bounds(min_s=pacing.min_interval_s, max_s=max(pacing.max_interval_s, pacing.min_interval_s))
        self._budget = Budget(pacing.budget, bounds=self._bounds)
        self._known.clear()

    def under_way(self, entry: Entry, snapshot: Snapshot | None, now: float) -> None:
        """It was found under way."""
        if snapshot is not None and snapshot.kept:
            entry.variant = _variant(snapshot)
        created_ms = snapshot.created_ms if snapshot is not None else None
        if created_ms is not None and entry.seen_at == NEVER:
            entry.began_at = self._began_at(entry.added_at, created_ms / 1000, now)
        age_s, seen_s = now - entry.began_at, self._seen_s(entry)
        if seen_s is not None:
            self._knowledge.seen(self._key(entry), seen_s, age_s)
            if snapshot is not None and snapshot.progress is not None:
                entry.trail = followed(entry.trail, snapshot.progress, polled_s=seen_s, age_s=age_s)
        entry.seen_at = now

    def ended(self, entry: Entry, snapshot: Snapshot | None, now: float, *, succeeded: bool) -> None:
        """It was found ended, by the provider's own word."""
        if snapshot is not None and snapshot.kept:
            entry.variant = _variant(snapshot)
        server_s = _duration_s(snapshot)
        seen_s = self._seen_s(entry)
        if entry.memory.polls == 0:
            if server_s is None:
                return  # over when first asked about: that it took less than its age says next to nothing
            seen_s = 0.0
        if seen_s is None:
            return  # it was watched by another process, and there is no telling since when it may have been over
        age_s = max(now - entry.began_at, server_s or 0.0) if entry.memory.polls == 0 else now - entry.began_at
        rest_s = entry.trail.rest_s(seen_s) if entry.trail is not None else None
        key = self._key(entry)
        self._knowledge.ended(key, seen_s, age_s, at_s=server_s, succeeded=succeeded, rest_s=rest_s)
        self._budget.spent((entry.memory.polls + 1) * self._shared)
        if self._budget.is_due:
            fits = sorted((known.fit for known in self._known.values()), key=lambda fit: fit.support)
            self._budget.reckon([(fit, fit.support) for fit in fits[-RECKONED:]])

    def next_in_s(self, entry: Entry, now: float) -> tuple[float, str]:
        """Seconds until it is asked about again, and why."""
        known, age_s = self._of(entry), now - entry.began_at
        self._shared += (1.0 - self._shared) * 0.02
        rest_s = entry.trail.rest_s(age_s) if entry.trail is not None else None
        if rest_s is None:
            wait_s = known.rhythm.next_in_s(age_s)
            return wait_s, _why(known.words, round(wait_s))
        wait_s = sharpened_in_s(known.fit, age_s=age_s, rest_s=rest_s, worth=self._budget.worth, bounds=self._bounds)
        return wait_s, f"{known.words}, by its progress in some {rest_s:.0f} s; asked again after {wait_s:.0f} s"

    def together_in_s(self, entries: Sequence[Entry], now: float) -> tuple[float, str]:
        """The same for watches that share their requests."""
        members = [(self._of(entry).fit, now - entry.began_at) for entry in entries]
        wait_s = together_in_s(members, worth=self._budget.worth, bounds=self._bounds)
        self._shared += (1.0 / len(entries) - self._shared) * 0.2
        return wait_s, f"{self._of(entries[0]).words}; asked again after {wait_s:.0f} s, with {len(entries) - 1} others"

    def _began_at(self, added_at: float, created_at: float, now: float) -> float:
        """When a task began, by our clock. The least lag there was between beginning and adding is taken for what the
        clocks disagree by: what a task was added later than that, it is older.

        A beginning after the adding says nothing of clocks: such a task was added before there was one. Only what has
        begun in the future shows that the provider's clock is ahead.
        """
        if abs(added_at - created_at) > APART_MOST_S:
            return added_at
        lag_s = min(max(added_at - created_at, 0.0), now - created_at)
        if self._lag_s is None:
            self._lag_s = lag_s if lag_s > LATE_S else min(lag_s, 0.0)
        self._lag_s = min(lag_s, self._lag_s + CREEP * (lag_s - self._lag_s))
        return min(created_at + self._lag_s, max(added_at, created_at), now)

    def likelihood(self, entry: Entry, now: float) -> float:
        """How probable it is that a watch nobody has asked about for a while has ended, from 0 to 1."""
        return self._of(entry).over[bin_of(now - entry.began_at)]

    def _key(self, entry: Entry) -> Key:
        names = entry.action, entry.variant
        key = self._keys.get(names)
        if key is None:
            if len(self._keys) >= MOST_KINDS:
                self._keys.clear()
                self._known.clear()
            key = self._keys[names] = Key(self._account, entry.action or "", entry.variant)
        return key

    def _of(self, entry: Entry) -> _Known:
        key = self._key(entry)
        fit = self._knowledge.fit(key)
        known = self._known.get(key)
        if known is None and self._budget.is_due:  # after a start: by what the store holds
            self._budget.reckon([(fit, fit.support)])
        worth = self._budget.worth
        if known is None or known.fit is not fit or abs(worth - known.worth) > OUT_OF_STEP * worth:
            made = rhythm(fit, worth=worth, bounds=self._bounds)
            over = tuple(1.0 - math.exp(-each) for each in fit.sums)
            known = self._known[key] = _Known(fit, worth, made, expectation(fit), over)
        return known

    @staticmethod
    def _seen_s(entry: Entry) -> float | None:
        """The age at which it was last found under way; None when that was not by this process."""
        if entry.seen_at > NEVER:
            return max(0.0, entry.seen_at - entry.began_at)
        return None if entry.memory.polls else 0.0


@lru_cache(4096)
def _why(words: str, wait_s: int) -> str:
    """One text for all watches that wait for the same reason: many wait to be written down."""
    return f"{words}; asked again after {wait_s} s"


def _variant(snapshot: Snapshot) -> str:
    """The model, or what stands for it, among the fields that a description keeps."""
    for name in MODELS:
        model = snapshot.kept.get(name)
        if isinstance(model, str) and model:
            return intern(model[:LONGEST_NAME])
    return ""


def _duration_s(snapshot: Snapshot | None) -> float | None:
    if snapshot is None or snapshot.created_ms is None or snapshot.updated_ms is None:
        return None
    duration_s = (snapshot.updated_ms - snapshot.created_ms) / 1000
    return duration_s if 0 < duration_s < APART_MOST_S else None
