"""Asks about the tasks of one account: one agenda, one gate, and a task only for each request in flight."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import anyio
import anyio.abc

from bridge.domain.cadence import Pacing, next_poll_in_s
from bridge.domain.change import AccountChange, AccountPaused, AccountState, Note, TaskChange
from bridge.domain.event import Topic
from bridge.domain.limits import Gate, Limits, Verdict
from bridge.domain.task import ABOUT_ACCOUNT, LIVE, Kind, Reading
from bridge.domain.watch import Pace, Rules, Step, WatchState, advance, give_up
from bridge.engine.agenda import Agenda, Entry
from bridge.engine.ledger import Ledger
from bridge.logs import get_logger
from bridge.ports import BatchKey, Clock, Provider

log = get_logger()

SWEEP_EVERY_S: Final = 30.0  # while the provider is in trouble, how often overdue watches are looked for
SWEEP_MOST: Final = 256  # of them in one go: they share a transaction
STUCK_S: Final = 1.0  # while the store cannot be written, how often to see whether it can again
CROWD: Final = 8  # where so many can be asked about together, one that is young need not hurry the others ...
CROWD_WAIT_S: Final = 5.0  # ... so each waits at least so long
ALONE_S: Final = 60.0  # after a batch failed as a whole, how long its tasks are asked about one by one
BUG_PAUSE_S: Final = 60.0  # how long a watch rests after an error of ours


MISSED: Final = Reading(kind=Kind.TRANSIENT, detail="the question about many tasks failed; asked alone next")
UNKNOWN: Final = Reading(kind=Kind.NOT_FOUND, detail="the answer about many tasks left this one out")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPlan:
    """How one account is to be polled, by today's settings."""

    provider: Provider
    provider_name: str
    limits: Limits
    pacing: Pacing
    rules: Rules
    live_topics: frozenset[Topic]  # those a route names; the others are not worth a transaction


class AccountPoller:
    """Polls the watches of one account until cancelled or stopped.

    `plan` may be replaced at any time; requests in flight finish under the old one.
    """

    def __init__(self, name: str, *, plan: AccountPlan, past: AccountState, ledger: Ledger, clock: Clock) -> None:
        self.name = name
        self._ledger = ledger
        self._clock = clock
        self._plan = plan
        self._past = past
        now = clock.steady()
        self._gate = Gate(plan.limits, now=now)
        if past.blocked_at is not None:
            self._gate.block(now=now)
        if past.paused_until is not None:
            self._gate.paused_until = min(past.paused_until, now + 3600.0)
        self._agenda = Agenda()
        self._alone_until: dict[str, float] = {}  # batches that failed: their tasks are asked about one by one
        self._began_at = now
        self._wake = anyio.Event()
        self._stopping = False
        self._sweep_at = now

    @property
    def plan(self) -> AccountPlan:
        return self._plan

    @plan.setter
    def plan(self, plan: AccountPlan) -> None:
        if plan.provider is not self._plan.provider and self._gate.blocked:
            self._gate.block(now=self._clock.steady())  # perhaps a new key: worth a probe at once
        self._plan = plan
        self._gate.limits = plan.limits
        self._wake.set()

    def put(self, state: WatchState) -> None:
        """Take in what the store says of a watch: new, touched by somebody, ended or withdrawn."""
        if state.memory.phase not in LIVE:
            self._agenda.forget(state.task_id)
            return
        now = self._clock.steady()
        # A stored instant may come from a clock since set: never further off than one interval.
        due_at = min(state.next_poll_at or now, now + self._plan.pacing.max_interval_s)
        state = replace(state, added_at=self._added_at(state, now))
        entry = self._agenda.get(state.task_id)
        if entry is None or entry.state.generation != state.generation:
            entry = self._agenda.add(state)
        elif entry.state.revision == state.revision:
            return  # all are read again after a reload: what the store says of this one's next poll may be stale
        else:
            # The poller's own memory is fresher than the store's; only the wish to be asked is news.
            entry.state = replace(state, memory=entry.state.memory)
            if entry.due_at is None:
                entry.again = due_at <= now
                return
            due_at = min(due_at, entry.due_at)
        self._schedule(entry, due_at)

    def _added_at(self, state: WatchState, now: float) -> float:
        """When it was added, by the steady clock. Commands and sources read the wall clock, which may have been set
        since this poller began: taken as it is, a new watch could be over its time at once, or never age."""
        added_at = state.added_at + now - self._clock.now()
        return min(added_at if added_at >= self._began_at else state.added_at, now)

    def rest(self) -> None:
        """Ask about nothing until watches are put again; what the account is held to stays in force."""
        for entry in list(self._agenda):
            self._agenda.forget(entry.state.task_id)

    def stop(self) -> None:
        """Send nothing more; `run` returns when what is in flight has been answered and written down."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Poll whatever is due, as fast as the gate allows."""
        async with anyio.create_task_group() as requests:
            while not self._stopping:
                self._wake = anyio.Event()
                now = self._clock.steady()
                wait_s = self._wait_s(now)
                if wait_s <= 0:
                    self._gate.take(now)
                    self._send(now, requests)
                elif self._in_trouble(now):
                    self._sweep(now, requests)
                else:
                    limit_s = min(wait_s, SWEEP_EVERY_S) if self._agenda else wait_s
                    await self._clock.wait(self._wake, None if math.isinf(limit_s) else limit_s)

    def _wait_s(self, now: float) -> float:
        """Seconds until the next request may go out; infinity when only a wake-up can change that."""
        next_at = self._agenda.next_at()
        if math.isinf(next_at):
            return math.inf
        if self._ledger.is_stuck:
            return STUCK_S  # what cannot be written down need not be asked
        gate_s = self._gate.wait_s(now)
        # While the account is blocked the gate alone says when to try it again, by whichever watch comes first.
        return gate_s if self._gate.blocked else max(next_at - now, gate_s)

    def _schedule(self, entry: Entry, due_at: float) -> None:
        if self._agenda.schedule(entry, due_at, now=self._clock.steady()):
            self._wake.set()

    def _send(self, now: float, requests: anyio.abc.TaskGroup) -> None:
        """One request: about the next watch, and about its mates where the provider answers for many at once."""
        entry = self._agenda.pop()
        # What tries a held account is a question that every provider understands: about one task.
        key = None if self._gate.probing else self._batch_key(entry, now)
        mates: list[Entry] = []
        if key is not None:
            mates = self._agenda.pop_mates(lambda other: self._batch_key(other, now) == key, most=key.most - 1, now=now)
        if key is None or not mates:
            requests.start_soon(self._poll, entry)
        else:
            requests.start_soon(self._poll_together, key, [entry, *mates])

    def _batch_key(self, entry: Entry, now: float) -> BatchKey | None:
        key = self._plan.provider.batch_key(entry.state.task_id, entry.state.action)
        return None if key is None or self._alone_until.get(key.name, now) > now else key

    def _is_in_crowd(self, entry: Entry, now: float) -> bool:
        return len(self._agenda) >= CROWD and self._batch_key(entry, now) is not None

    async def _poll(self, entry: Entry) -> None:
        """One question about one watch, and everything that follows from its answer."""
        state = entry.state
        with self._guarded([entry]):
            with self._in_flight():
                reading = await self._plan.provider.ask(state.task_id, state.action)
            self._heed(reading, state.task_id)
            await self._follow(entry, state, reading)

    async def _poll_together(self, key: BatchKey, entries: Sequence[Entry]) -> None:
        """One question about many, and everything that follows for each of them."""
        states = {entry.state.task_id: entry.state for entry in entries}
        first = entries[0].state
        with self._guarded(entries):
            with self._in_flight():
                answer = await self._plan.provider.ask_together(list(states), first.action)
            if isinstance(answer, Reading):
                # A gateway may refuse this very route; whether it refuses the key, single polls tell at once.
                self._heed(MISSED if answer.kind in ABOUT_ACCOUNT else answer, first.task_id)
                is_slow = answer.kind is Kind.RATE_LIMITED
                if not is_slow:
                    self._alone_until[key.name] = self._clock.steady() + ALONE_S
                answers = dict.fromkeys(states, answer if is_slow else MISSED)
            else:
                self._heed(Reading(kind=Kind.RUNNING), first.task_id)
                answers = {task_id: answer.get(task_id, UNKNOWN) for task_id in states}
            async with anyio.create_task_group() as writing:  # their changes share a transaction
                for entry in entries:
                    state = states[entry.state.task_id]
                    writing.start_soon(self._follow, entry, state, answers[state.task_id])

    @contextmanager
    def _guarded(self, entries: Sequence[Entry]) -> Iterator[None]:
        """The edge of a poll: whatever is wrong with these watches must stop neither the others nor the daemon."""
        try:
            yield
        except Exception:
            ids = [entry.state.task_id for entry in entries]
            log.exception("poll.bug", account=self.name, task_ids=ids, retry_in_s=BUG_PAUSE_S)
            for entry in entries:
                if self._agenda.holds(entry) and entry.due_at is None:
                    self._schedule(entry, self._clock.steady() + BUG_PAUSE_S)

    def _heed(self, reading: Reading, task_id: str) -> None:
        """What the answer to a request means for the account."""
        now = self._clock.steady()
        was_troubled = self._gate.troubled
        verdict = self._gate.answered(reading, task_id=task_id, now=now, chance=self._clock.chance())
        self._wake.set()
        self._account_changed(verdict, reading, now)
        if self._gate.troubled and not was_troubled:
            log.warning("account.troubled", account=self.name, reason=reading.detail)
        elif was_troubled and not self._gate.troubled:
            log.info("account.recovered", account=self.name)

    async def _follow(self, entry: Entry, state: WatchState, reading: Reading) -> None:
        """What the reading means for the watch. Guarded by itself: of a batch, only this one may be poisonous."""
        with self._guarded([entry]):
            now = self._clock.steady()
            log.debug("poll.answered", account=self.name, task_id=state.task_id, kind=reading.kind)
            entry.asked = True
            age_s = self._age_s(state, now)
            step = advance(state.memory, reading, now=now, age_s=age_s, rules=self._rules(state))
            await self._take_step(entry, state, step, reading)

    @contextmanager
    def _in_flight(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._gate.abandoned(now=self._clock.steady())
            self._wake.set()
            raise

    async def _take_step(self, entry: Entry, state: WatchState, step: Step, reading: Reading) -> None:
        """Write the step down and, unless it is the end, decide when to ask again."""
        now = self._clock.steady()
        wait_s, why = math.inf, "never: it has ended"
        if not step.ends:
            wait_s, why = next_poll_in_s(
                step.memory,
                step.pace,
                now=now,
                age_s=self._age_s(state, now),
                pacing=self._plan.pacing,
                rules=self._rules(state),
                chance=self._clock.chance(),
            )
            if reading.retry_after_s and step.pace is not Pace.ACCOUNT:
                wait_s = max(wait_s, reading.retry_after_s)
            if step.pace is Pace.STEADY and wait_s < CROWD_WAIT_S and self._is_in_crowd(entry, now):
                wait_s, why = CROWD_WAIT_S, "asked about together with many others"
        note = Note(
            key=state.key,
            generation=state.generation,
            memory=step.memory,
            kind=reading.kind,
            detail=reading.detail,
            at=self._clock.now(),
            next_poll_at=None if step.ends else now + wait_s,
            next_poll_why=why,
        )
        applied = await self._write(state, step, note)
        if not self._agenda.holds(entry):
            return
        if step.ends or not applied:
            self._agenda.forget(state.task_id)
            return
        entry.state = replace(entry.state, memory=step.memory)
        if entry.again:
            entry.again, wait_s = False, 0.0
        self._schedule(entry, self._clock.steady() + wait_s)

    async def _write(self, state: WatchState, step: Step, note: Note) -> bool:
        """Commit a transition, or merely note a poll. Returns whether the watch is still ours to poll."""
        topic = step.topic if step.ends or step.topic in self._plan.live_topics else None
        if topic is None and step.memory.phase is state.memory.phase:
            self._ledger.note(note)
            return True
        change = TaskChange(
            note=note,
            ends=step.ends,
            topic=topic,
            topic_part=step.topic_part,
            reason=step.reason,
            snapshot=step.snapshot,
            provider=self._plan.provider_name,
            at=self._clock.now(),
        )
        applied = await self._ledger.write(change)
        if applied:
            event = "watch.ended" if step.ends else "watch.running"
            reason = {"reason": step.reason} if step.reason else {}
            log.info(event, account=self.name, task_id=state.task_id, phase=step.memory.phase, **reason)
        return applied

    def _account_changed(self, verdict: Verdict, reading: Reading, now: float) -> None:
        past = self._past
        match verdict:
            case Verdict.BLOCKED:
                past = replace(past, blocked_at=now, reason=reading.detail, count=past.count + 1)
                log.error("account.blocked", account=self.name, reason=reading.detail)
            case Verdict.RESTORED:
                blocked_s = past.blocked_s + max(0.0, now - (past.blocked_at or now))
                past = replace(past, blocked_at=None, blocked_s=blocked_s)
                log.info("account.restored", account=self.name)
            case Verdict.PAUSED:
                until_at = self._gate.paused_until
                log.warning("account.paused", account=self.name, seconds=round(until_at - now, 1))
                self._ledger.post(AccountPaused(account=self.name, until_at=until_at))
                return
            case _:
                return
        self._past = past
        self._ledger.post(
            AccountChange(
                account=self.name,
                blocked=verdict is Verdict.BLOCKED,
                reason=past.reason,
                count=past.count,
                blocked_s=past.blocked_s,
                at=now,
            )
        )

    def _age_s(self, state: WatchState, now: float) -> float:
        """Age of the watch without the time its account was blocked since it was added."""
        past = self._past
        blocked_s = past.blocked_s + (max(0.0, now - past.blocked_at) if past.blocked_at is not None else 0.0)
        return max(0.0, now - state.added_at - max(0.0, blocked_s - state.blocked_before_s))

    def _rules(self, state: WatchState) -> Rules:
        if state.give_up_after_s is None:
            return self._plan.rules
        return replace(self._plan.rules, give_up_after_s=state.give_up_after_s)

    def _in_trouble(self, now: float) -> bool:
        return self._gate.probing and not self._gate.blocked and now >= self._sweep_at

    def _sweep(self, now: float, requests: anyio.abc.TaskGroup) -> None:
        """End the watches whose time is over while the provider gives no answers: only single probes go out then, so
        waiting for each watch's own would take hours. One that this process has never asked about is asked first."""
        self._sweep_at = now + SWEEP_EVERY_S
        overdue = (
            entry
            for entry in self._agenda
            if entry.due_at is not None
            and entry.asked
            and self._age_s(entry.state, now) >= self._rules(entry.state).give_up_after_s
        )
        for entry in itertools.islice(overdue, SWEEP_MOST):
            entry.due_at = None
            requests.start_soon(self._give_up, entry)

    async def _give_up(self, entry: Entry) -> None:
        state = entry.state
        with self._guarded([entry]):
            reason = f"not ended after {self._rules(state).give_up_after_s:.0f} s (give_up_after); no answers of late"
            step = give_up(state.memory, reason=reason)
            await self._take_step(entry, state, step, Reading(kind=Kind.TRANSIENT, detail="given up"))
