"""The watches of one account in memory: when each is polled next, and which are polled in one request."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final

from bridge.domain.slots import ALL_SLOTS, slot_of
from bridge.domain.task import ABOUT_ACCOUNT, LIVE, UNDER_WAY, Reading, ReadingKind
from bridge.domain.watch import Memory, WatchState
from bridge.engine.learned_cadence import LearnedCadence
from bridge.engine.plans import AccountPlan
from bridge.engine.poll_queue import NEVER, PollEntry, PollQueue, shared_memory
from bridge.ports import BatchKey, Clock

JOINED_FROM: Final = 8  # a new task joins a batch of at least this many, if that batch is polled soon
ALONE_S: Final = 60.0  # after a request for a batch failed as a whole, its tasks are polled one by one for this long

MAX_OVERDUE: Final = 256  # maximum number in one transaction

MISSED: Final = Reading(kind=ReadingKind.TRANSIENT, detail="the request for many tasks failed; polled alone next")
UNKNOWN: Final = Reading(kind=ReadingKind.NOT_FOUND, detail="the answer about many tasks did not include this one")
SOUND: Final = Reading(kind=ReadingKind.RUNNING)  # what a successful answer about many tasks means for the account


def split_answer(
    answer: Mapping[str, Reading] | Reading, entries: Sequence[PollEntry]
) -> tuple[Reading, Mapping[str, Reading]]:
    """What the answer means for the account, and for each task by its id."""
    if not isinstance(answer, Reading):
        return SOUND, {entry.task_id: answer.get(entry.task_id, UNKNOWN) for entry in entries}
    missed = answer if answer.kind is ReadingKind.RATE_LIMITED else MISSED
    # A gateway may refuse only this route. If it refuses the key, the following single polls show that.
    return (MISSED if answer.kind in ABOUT_ACCOUNT else answer), {entry.task_id: missed for entry in entries}


class WatchSchedule:
    """When each watch of the account is polled. Assign `plan` to change the settings."""

    def __init__(self, plan: AccountPlan, *, cadence: LearnedCadence, clock: Clock) -> None:
        self.plan = plan
        self.queue = PollQueue()
        self.slots = ALL_SLOTS
        self._cadence = cadence
        self._batch_at: dict[str, float] = {}  # when a batch is polled next, by its name
        self._alone_until: dict[str, float] = {}  # batches that failed as a whole
        self._clock = clock
        self._started_at = clock.steady()

    def put(self, states: Sequence[WatchState]) -> bool:
        """Apply the stored state of watches: new, changed by a person, finished or withdrawn. Returns whether a person
        has requested a poll of one of them."""
        is_requested = False
        queue, now, wall = self.queue, self._clock.steady(), self._clock.now()
        # A stored time may come from a clock that was changed since: never wait longer than one interval.
        latest_at = now + self.plan.pacing.max_interval_s
        wall_at, added_at = math.nan, now
        queue.mark_bulk(states)
        for state in states:
            if state.memory.phase not in LIVE:
                queue.forget(state.task_id)
                continue
            if self.slots is not ALL_SLOTS and slot_of(state.task_id) not in self.slots:
                continue
            due_at = min(state.next_poll_at - wall + now if state.next_poll_at else now, latest_at)
            if state.added_at != wall_at:  # watches added together share one number
                wall_at, added_at = state.added_at, self._added_at(state.added_at, now=now, ahead_s=wall - now)
            entry = queue.get(state.task_id)
            if entry is None or entry.generation != state.generation:
                entry = queue.add(state, added_at=added_at)
                try:
                    first_at = due_at if due_at > now else self._first_at(entry, due_at, state.asked_at, now)
                except Exception:
                    first_at = due_at  # its poll will show the reason
                queue.schedule(entry, first_at)
            elif entry.revision != state.revision:  # equal after a reload, where the stored next poll may be old
                # The memory in this process is newer than the stored one. Only a request for an earlier poll is new.
                entry.update(state, added_at=added_at)
                is_requested |= due_at <= now
                if entry.due_at is not None or due_at <= now:
                    self.poll_by(entry, due_at, now)
        return is_requested

    def schedule_next(self, entry: PollEntry, memory: Memory, *, polled_at: float, next_at: float) -> None:
        """Record a poll and schedule the next one, if the watch still exists."""
        if not self.queue.holds(entry):
            return
        entry.memory, entry.polled_at = shared_memory(memory), polled_at
        self.queue.schedule(entry, next_at)
        if entry.again_at is not None:
            again_at, entry.again_at = entry.again_at, None
            self.poll_by(entry, again_at, self._clock.steady())

    def poll_by(self, entry: PollEntry, at: float, now: float) -> None:
        """Poll a watch at this time, unless it is polled earlier in any case. If it is being polled now, poll it once
        more, but not before `at`."""
        if entry.due_at is None:
            entry.again_at = at
        elif at <= now:
            self.queue.schedule_first(entry, now)
        elif at < entry.due_at:
            self.queue.schedule(entry, at)

    def postpone(self, entry: PollEntry, until: float) -> None:
        """Poll a watch that was taken out again at this time, and not earlier with others."""
        entry.seen_at = NEVER
        if entry.due_at is None and self.queue.holds(entry):
            self.queue.schedule(entry, until)

    def batch_key(self, entry: PollEntry) -> BatchKey | None:
        """The batch that can include the task; None if it must be polled alone. A list of answers may be cut short, so
        a doubt about a task is only confirmed by an answer about it alone."""
        if entry.memory.doubt is not None:
            return None
        try:
            key = self.plan.provider.batch_key(entry.task_id, entry.action)
        except Exception:
            return None  # a poll of this task alone will show the reason
        if key is None or self._alone_until.get(key.name, NEVER) > self._clock.steady():
            return None
        return key

    def pop_batch(self, key: BatchKey, now: float) -> list[PollEntry]:
        """Take more tasks of this batch, to poll them in the same request."""
        return self.queue.pop_batch(lambda other: self.batch_key(other) == key, most=key.most - 1, now=now)

    def next_batch_poll(
        self, key: BatchKey, entries: Sequence[PollEntry], answers: Mapping[str, Reading], now: float
    ) -> tuple[float, str] | None:
        """Seconds until the tasks that are still running share the next request, and why. If the request failed as a
        whole, they are polled alone for a while."""
        if answers[entries[0].task_id] is MISSED:
            self._alone_until[key.name] = now + ALONE_S
        running = [entry for entry in entries if _is_running(answers[entry.task_id])]
        if not running or not self.plan.pacing.learned:
            return None
        wait_s, why = self._cadence.together_in_s(running, now)
        if len(running) >= JOINED_FROM:
            self._batch_at[key.name] = now + wait_s
        return wait_s, why

    def take_overdue(self, is_overdue: Callable[[PollEntry], bool]) -> list[PollEntry]:
        """Take watches that are overdue and were polled by this process, at most `MAX_OVERDUE`, as if they were being
        polled."""
        waiting = (entry for entry in self.queue if entry.due_at is not None and entry.polled_at > NEVER)
        found = list(islice(filter(is_overdue, waiting), MAX_OVERDUE))
        for entry in found:
            self.queue.take(entry)
        return found

    def set_slots(self, slots: frozenset[int]) -> None:
        """Keep only the watches of these slots."""
        if not slots >= self.slots:
            for entry in [entry for entry in self.queue if slot_of(entry.task_id) not in slots]:
                self.queue.forget(entry.task_id)
        self.slots = ALL_SLOTS if slots == ALL_SLOTS else slots

    def _first_at(self, entry: PollEntry, due_at: float, asked_at: float | None, now: float) -> float:
        """When to poll a watch for the first time in this process. Among overdue watches, the one whose last poll is
        oldest comes first, and within one second the one that has most probably finished. A new watch may wait for its
        batch."""
        if entry.memory.polls:
            second = math.floor(entry.added_at if asked_at is None else asked_at)
            likelihood = self._cadence.likelihood(entry, now) if self.plan.pacing.learned else 0.0
            return min(second + 1.0 - likelihood, now)
        key = self.batch_key(entry) if self._batch_at and self.plan.pacing.learned else None
        if key is not None and self._batch_at.get(key.name, due_at) > now:
            return min(self._batch_at[key.name], now + self.plan.pacing.min_interval_s)
        return due_at

    def _added_at(self, added_at: float, *, now: float, ahead_s: float) -> float:
        """When a watch was added, by the steady clock. Commands and sources use the wall clock. If that was changed
        since this process started, a new watch could otherwise be overdue at once, or never age."""
        steady_at = added_at - ahead_s
        return min(steady_at if steady_at >= self._started_at else added_at, now)


def _is_running(answer: object) -> bool:
    """Whether the task is still running. If the answer is not a reading because of a bug, the planning of its step
    fails later."""
    return isinstance(answer, Reading) and answer.kind in UNDER_WAY
