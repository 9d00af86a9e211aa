"""How callbacks change the polls of one account: a watch that a callback names is polled at once, and regular polls
become less frequent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.domain.callback import CallbackHeard, CallbackOutcome
from bridge.domain.callback_pace import TASK_EVERY_S, CallbackReliance, HintPace
from bridge.domain.slots import slot_of
from bridge.domain.task import Reading
from bridge.engine.learned_cadence import FINISHED
from bridge.engine.poll_queue import PollEntry
from bridge.engine.watch_schedule import WatchSchedule
from bridge.ports import Clock

MAX_HINTS: Final = 10_000  # hints that wait for their polls

POLLED_AFTER: Final = "; polled again after "


class AccountCallbacks:
    """The hints of one account. `is_active` is false until the first hint, so accounts without callbacks cost
    nothing."""

    def __init__(self, schedule: WatchSchedule, *, clock: Clock) -> None:
        self.is_active = False
        self._schedule = schedule
        self._clock = clock
        self._pace = HintPace()
        self._reliance = CallbackReliance()
        self._hints: dict[str, CallbackHeard] = {}  # by task id, until the answer to its next poll

    def hear(self, ids: Sequence[str], detail: str) -> tuple[CallbackOutcome, list[str]]:
        """Process a callback that names these tasks: poll the watched ones, as soon as the rate limit for hints allows.
        Also returns the ids that are not in memory here, but may be watched by another daemon."""
        schedule = self._schedule
        outcomes, elsewhere = set(), []
        for task_id in ids:
            entry = schedule.queue.get(task_id)
            if entry is not None:
                outcomes.add(self._hint(entry, detail))
            elif schedule.has_more_in_store or slot_of(task_id) not in schedule.slots:
                elsewhere.append(task_id)
            elif self.is_active:  # the callback may arrive just after a regular poll that found the task finished
                self._reliance.heard_late(task_id, self._clock.steady())
        found = (each for each in (CallbackOutcome.POLLED, CallbackOutcome.COALESCED) if each in outcomes)
        return next(found, CallbackOutcome.UNKNOWN), elsewhere

    def _hint(self, entry: PollEntry, detail: str) -> CallbackOutcome:
        now, heard = self._clock.steady(), CallbackHeard(self._clock.now(), detail)
        self.is_active = True
        self._reliance.heard(now)
        is_under_way = entry.due_at is None
        is_waiting = entry.poll_again if is_under_way else entry.task_id in self._hints
        if len(self._hints) >= MAX_HINTS:
            self._hints.clear()  # hints for watches that no longer exist; the others are polled in any case
        self._hints[entry.task_id] = heard
        if is_waiting:
            return CallbackOutcome.COALESCED
        at = self._pace.next_at(now, not_before=entry.polled_at + TASK_EVERY_S)
        if entry.due_at is not None and now < entry.due_at <= at:
            return CallbackOutcome.COALESCED
        self._pace.take(at)
        if is_under_way:  # the answer to the poll in flight may be older than the callback
            self._schedule.poll_again(entry, at)
        elif at <= now:
            self._schedule.queue.schedule_first(entry, now)
        else:
            self._schedule.queue.schedule(entry, at)
        return CallbackOutcome.POLLED

    def answered(self, task_id: str, reading: Reading, now: float) -> CallbackHeard | None:
        """Process an answer. Returns the callback that led to the poll."""
        heard = self._hints.pop(task_id, None)
        if reading.kind in FINISHED:
            self._reliance.ended(task_id, now, announced=heard is not None)
        return heard

    def thinned(self, wait_s: float, why: str, now: float, *, most_s: float) -> tuple[float, str]:
        """The wait until the next regular poll, and the reason. `most_s`: the time until the task times out."""
        thin_s = min(self._reliance.stretched_s(wait_s, now), max(wait_s, most_s))
        if thin_s <= wait_s:
            return wait_s, why
        return thin_s, f"{why.partition(POLLED_AFTER)[0]}; callbacks arrive{POLLED_AFTER}{thin_s:.0f} s"
