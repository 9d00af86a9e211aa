"""What an answer does to a watch: the step is written down, told where it matters, and the next poll decided."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from bridge.domain.cadence import Pacing, next_poll_in_s
from bridge.domain.change import Note, TaskChange
from bridge.domain.event import Topic
from bridge.domain.ids import WatchKey
from bridge.domain.limits import Limits
from bridge.domain.shares import groups_for
from bridge.domain.task import UNDER_WAY, Kind, Reading
from bridge.domain.watch import Pace, Rules, Step, advance, give_up
from bridge.engine.agenda import NEVER, Agenda, Entry, one_of
from bridge.engine.cadence import ENDED, Cadence
from bridge.engine.ledger import Ledger
from bridge.engine.standing import Standing
from bridge.logs import get_logger, is_debugging
from bridge.ports import Clock, Provider

log = get_logger()

BUG_PAUSE_S: Final = 60.0  # how long a watch rests after an error of ours

NEVER_AGAIN: Final = (math.inf, "never: it has ended")
GIVEN_UP: Final = Reading(kind=Kind.TRANSIENT, detail="given up")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPlan:
    """How one account is to be polled, by today's settings."""

    provider: Provider
    provider_name: str
    host: str  # accounts of equal ones share what is the host's
    limits: Limits
    pacing: Pacing
    rules: Rules
    live_topics: frozenset[Topic]  # those a route names; the others are not worth a transaction
    is_batched: bool = False  # many tasks are asked about at once: then they had better be together

    @property
    def groups(self) -> int:
        """Among how many daemons at most it can be divided."""
        return 1 if self.is_batched else groups_for(self.limits.burst, self.limits.concurrency)


class Steps:
    """The steps of one account's watches. `plan` may be replaced at any time; `done` is told of each watch when what
    an answer brought has been written down or noted, and `rouse` called when a next poll was scheduled after that."""

    def __init__(
        self,
        account: str,
        *,
        plan: AccountPlan,
        agenda: Agenda,
        standing: Standing,
        ledger: Ledger,
        clock: Clock,
        cadence: Cadence,
        done: Callable[[Entry], None],
        rouse: Callable[[], None],
    ) -> None:
        self.plan = plan
        self._account = account
        self._agenda = agenda
        self._standing = standing
        self._ledger = ledger
        self._clock = clock
        self._cadence = cadence
        self._done = done
        self._rouse = rouse

    def follow(self, entry: Entry, reading: Reading, now: float, shared: tuple[float, str] | None = None) -> None:
        """Do what the reading, of `now`, means for the watch. Guarded by itself: of a batch, only this one may be
        poisonous. `shared` is when it is asked about next, and why, if that is for a batch to say."""
        try:
            if is_debugging():
                log.debug("poll.answered", account=self._account, task_id=entry.task_id, kind=reading.kind)
            rules, age_s = self.rules(entry), self._standing.age_s(entry, now)
            step = advance(entry.memory, reading, now=now, age_s=age_s, rules=rules)
            if reading.kind in UNDER_WAY:
                self._cadence.under_way(entry, reading.snapshot, now)
            elif reading.kind in ENDED:
                succeeded = reading.kind is Kind.SUCCEEDED
                self._cadence.ended(entry, reading.snapshot, now, succeeded=succeeded)
            wait_s, why = self._next_poll(entry, step, reading, now=now, age_s=age_s, rules=rules, shared=shared)
            self._take(entry, step, reading, now, wait_s, why)
        except Exception as error:
            self.failed([entry], error)

    def give_up(self, entry: Entry) -> None:
        """End a watch whose time is over."""
        try:
            reason = f"not ended after {self.rules(entry).give_up_after_s:.0f} s (give_up_after); no answers of late"
            step = give_up(entry.memory, reason=reason)
            self._take(entry, step, GIVEN_UP, self._clock.steady(), *NEVER_AGAIN)
        except Exception as error:
            self.failed([entry], error)

    def failed(self, entries: Sequence[Entry], error: Exception) -> None:
        """The edge of a poll: whatever is wrong with these watches must stop neither the others nor the daemon."""
        ids = [entry.task_id for entry in entries]
        log.error("poll.bug", account=self._account, task_ids=ids, retry_in_s=BUG_PAUSE_S, exc_info=error)
        for entry in entries:
            entry.seen_at = NEVER  # so that nobody asks about it early
            if self._agenda.holds(entry) and entry.due_at is None:
                self._agenda.schedule(entry, self._clock.steady() + BUG_PAUSE_S)
            self._done(entry)
        self._rouse()

    def is_overdue(self, entry: Entry, now: float) -> bool:
        """Whether the watch's time is over."""
        return self._standing.age_s(entry, now) >= self.rules(entry).give_up_after_s

    def rules(self, entry: Entry) -> Rules:
        """The account's rules, but for what the task itself brought."""
        if entry.give_up_after_s is None:
            return self.plan.rules
        return replace(self.plan.rules, give_up_after_s=entry.give_up_after_s)

    def _next_poll(
        self,
        entry: Entry,
        step: Step,
        reading: Reading,
        *,
        now: float,
        age_s: float,
        rules: Rules,
        shared: tuple[float, str] | None,
    ) -> tuple[float, str]:
        """Seconds until the watch is asked about again, and why, in words for `explain`. `entry.polled_at` is still
        the instant of the answer before this one."""
        if step.pace is Pace.OVER:
            return NEVER_AGAIN
        pacing, learned = self.plan.pacing, None
        if pacing.learned and step.pace is Pace.STEADY:
            learned = shared or self._cadence.next_in_s(entry, now)
        wait_s, why = next_poll_in_s(
            step.memory,
            step.pace,
            now=now,
            age_s=age_s,
            pacing=pacing,
            rules=rules,
            chance=self._clock.chance(),
            learned=learned,
        )
        if reading.retry_after_s and step.pace is not Pace.ACCOUNT:
            wait_s = max(wait_s, reading.retry_after_s)
        return wait_s, why

    def _take(self, entry: Entry, step: Step, reading: Reading, now: float, wait_s: float, why: str) -> None:
        """Have the step written down and, unless it is the end, schedule the next poll: after a transition only once
        that is on disk, for it may turn out that the watch is wanted no longer."""
        ends, topic = step.ends, step.topic
        if topic is not None and not ends and topic not in self.plan.live_topics:
            topic = None
        note = Note(
            WatchKey(self._account, entry.task_id),
            entry.generation,
            step.memory,
            reading.kind,
            reading.detail,
            at=self._clock.now(),
            next_poll_at=None if ends else now + wait_s,
            next_poll_why=why,
        )
        if topic is None and step.memory.phase is entry.memory.phase:
            self._ledger.note(note)
            self._schedule(entry, step, now, wait_s)
            self._done(entry)
            return
        change = TaskChange(
            note=note,
            ends=ends,
            topic=topic,
            topic_part=step.topic_part,
            reason=step.reason,
            snapshot=step.snapshot,
            provider=self.plan.provider_name,
            at=note.at,
        )
        self._ledger.post(change, then=partial(self._committed, entry, step, now, wait_s))

    def _committed(
        self, entry: Entry, step: Step, now: float, wait_s: float, applied: bool, failure: Exception | None
    ) -> None:
        if failure is not None:
            self.failed([entry], failure)
            return
        if applied:
            event = "watch.ended" if step.ends else "watch.running"
            reason = {"reason": step.reason} if step.reason else {}
            log.info(event, account=self._account, task_id=entry.task_id, phase=step.memory.phase, **reason)
        if applied and not step.ends:
            self._schedule(entry, step, now, wait_s)
            self._rouse()
        elif self._agenda.holds(entry):
            self._agenda.forget(entry.task_id)
        self._done(entry)

    def _schedule(self, entry: Entry, step: Step, now: float, wait_s: float) -> None:
        if not self._agenda.holds(entry):
            return
        entry.memory, entry.polled_at = one_of(step.memory), now
        if entry.again:
            entry.again = False
            self._agenda.hurry(entry, now)
        else:
            self._agenda.schedule(entry, now + wait_s)
