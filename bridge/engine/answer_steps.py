"""Processes answers about the watches of one account."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Final

import anyio

from bridge.domain.change import AnswerUnread, TaskChange
from bridge.domain.slots import slot_of
from bridge.domain.task import UNDER_WAY, Reading
from bridge.engine.account_health import AccountHealth
from bridge.engine.poll_queue import NEVER, PollEntry
from bridge.engine.step_planner import NextStep, StepPlanner
from bridge.engine.watch_schedule import WatchSchedule
from bridge.engine.write_batcher import WriteBatcher
from bridge.logs import get_logger, is_debugging
from bridge.ports import Clock

log = get_logger()

BUG_PAUSE_S: Final = 60.0  # how long a watch is not polled after a bug in genbridge


class AnswerSteps:
    """Stores each step, and schedules the next poll of its watch. Calls `wake` when the schedule has changed.

    `in_flight` holds the watches that are being polled, until their answers are stored.
    """

    def __init__(
        self,
        account: str,
        *,
        health: AccountHealth,
        planner: StepPlanner,
        schedule: WatchSchedule,
        writes: WriteBatcher,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        self.in_flight: set[PollEntry] = set()
        self._landed = anyio.Event()  # set when a watch leaves `in_flight`
        self._account = account
        self._health = health
        self._planner = planner
        self._schedule = schedule
        self._queue = schedule.queue
        self._writes = writes
        self._clock = clock
        self._wake = wake

    async def quiet(self) -> None:
        """Return when no request is in flight for a slot that this daemon does not hold, and all answers are stored."""
        while any(slot_of(entry.task_id) not in self._schedule.slots for entry in self.in_flight):
            if self._landed.is_set():  # otherwise another caller is waiting for this event
                self._landed = anyio.Event()
            await self._landed.wait()

    def submit(self, task_id: str, reading: Reading) -> None:
        """Process an answer that did not come from one of genbridge's own polls. Has no effect if the task is not
        watched here. A success without its results only causes a poll at once, and so does a final answer while a poll
        is in flight."""
        entry, now = self._queue.get(task_id), self._clock.steady()
        if entry is None:
            return
        if entry.due_at is None:
            entry.poll_again = entry.poll_again or reading.kind not in UNDER_WAY
        elif reading.lacks_result:
            self._queue.schedule_first(entry, now)
            self._wake()
        else:
            self._queue.take(entry)
            self.in_flight.add(entry)
            with self.guarded([entry]):
                self.answered(entry, reading, now)

    def answered(self, entry: PollEntry, reading: Reading, now: float, shared: tuple[float, str] | None = None) -> None:
        """Process the answer about a watch in flight. `shared`: when its batch is polled next, and why."""
        if is_debugging():
            log.debug("poll.answered", account=self._account, task_id=entry.task_id, kind=reading.kind)
        health = self._health
        memory, age_s = health.memory(entry, now), health.age_s(entry, now)
        following = self._planner.next_step(entry, reading, memory=memory, age_s=age_s, now=now, shared=shared)
        self.carry_out(entry, following, now)

    def carry_out(self, entry: PollEntry, following: NextStep, now: float) -> None:
        """Store the step and schedule the next poll. After a transition, the poll is scheduled only when the step is on
        disk, because the watch may have been removed by then."""
        if following.unreadable is not None:
            self._writes.submit(following.unreadable, then=partial(self._log_unreadable, following.unreadable))
        if isinstance(following.write, TaskChange):
            committed = partial(self._committed, entry, following, now)
            self._writes.submit(following.write, then=committed, failed=partial(self.postpone, [entry]))
        else:
            self._writes.note(following.write)
            memory, next_at = following.step.memory, following.next_poll_at
            self._schedule.schedule_next(entry, memory, polled_at=now, next_at=next_at)
            self._release(entry)

    @contextmanager
    def guarded(self, entries: Sequence[PollEntry]) -> Iterator[None]:
        """A context in which a bug in genbridge postpones these watches."""
        try:
            yield
        except Exception as error:
            self.postpone(entries, error)

    def postpone(self, entries: Sequence[PollEntry], error: Exception) -> None:
        """Do not poll these watches for a minute: a bug with them must not stop other watches or the daemon."""
        ids = [entry.task_id for entry in entries]
        log.error("poll.bug", account=self._account, task_ids=ids, retry_in_s=BUG_PAUSE_S, exc_info=error)
        for entry in entries:
            entry.seen_at = NEVER  # so that no batch includes it earlier
            if self._queue.holds(entry) and entry.due_at is None:
                self._queue.schedule(entry, self._clock.steady() + BUG_PAUSE_S)
            self._release(entry)
        self._wake()

    def _committed(self, entry: PollEntry, following: NextStep, now: float, applied: bool) -> None:
        """The step is on disk, if it applied: schedule the next poll, or remove the watch from memory."""
        step = following.step
        if applied:
            event = "watch.finished" if step.ends else "watch.running"
            reason = {"reason": step.reason} if step.reason else {}
            log.info(event, account=self._account, task_id=entry.task_id, phase=step.memory.phase, **reason)
            if step.snapshot is not None and step.snapshot.result_missing:
                log.warning("watch.result_missing", account=self._account, task_id=entry.task_id, **reason)
        if applied and not step.ends:
            self._schedule.schedule_next(entry, step.memory, polled_at=now, next_at=following.next_poll_at)
            self._wake()
        elif self._queue.holds(entry):
            self._queue.forget(entry.task_id)
        self._release(entry)

    def _log_unreadable(self, change: AnswerUnread, is_new: bool) -> None:
        if is_new:
            log.warning("answer.unreadable", account=self._account, word=change.word, reason=change.reason)

    def _release(self, entry: PollEntry) -> None:
        self.in_flight.discard(entry)
        self._landed.set()
