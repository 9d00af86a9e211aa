"""Asks about watched tasks: one heap and one gate per account, and a task only for each request in flight."""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import anyio
import anyio.abc

from bridge.domain.cadence import Pacing, next_poll_in_s
from bridge.domain.change import AccountChange, AccountPaused, AccountState, Note, TaskChange
from bridge.domain.event import Topic
from bridge.domain.limits import Gate, Limits, Verdict
from bridge.domain.task import LIVE, Kind, Reading
from bridge.domain.watch import Pace, Rules, Step, WatchState, advance, give_up
from bridge.engine.ledger import Ledger
from bridge.logs import get_logger
from bridge.ports import Clock, Provider

log = get_logger()

SWEEP_EVERY_S: Final = 30.0  # while the provider is in trouble, how often overdue watches are looked for
SWEEP_MOST: Final = 256  # of them in one go: they share a transaction
STUCK_S: Final = 1.0  # while the store cannot be written, how often to see whether it can again
BUG_PAUSE_S: Final = 60.0  # how long a watch rests after an error of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPlan:
    """How one account is to be polled, by today's settings."""

    provider: Provider
    provider_name: str
    limits: Limits
    pacing: Pacing
    rules: Rules
    live_topics: frozenset[Topic]  # those a route names; the others are not worth a transaction


@dataclass(slots=True, eq=False)
class _Entry:
    """One watch in memory. `due_at` is None while it is being polled."""

    state: WatchState
    due_at: float | None
    again: bool = False  # somebody asked for a poll while one was under way
    asked: bool = False  # polled at least once by this process

    def __lt__(self, other: _Entry) -> bool:
        return False  # ties in the heap are broken by its counter, never by this


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
        self._entries: dict[str, _Entry] = {}
        self._heap: list[tuple[float, int, _Entry]] = []
        self._order = itertools.count()
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
        entry = self._entries.get(state.task_id)
        if state.memory.phase not in LIVE:
            self._forget(state.task_id)
            return
        now = self._clock.steady()
        # A stored instant may come from a clock since set: never further off than one interval.
        due_at = min(state.next_poll_at or now, now + self._plan.pacing.max_interval_s)
        # So may the instant it was added at, by a command or a source that read the clock: a watch is never younger
        # than none, or its age would stand still for as long as the clock was set ahead.
        state = replace(state, added_at=min(state.added_at, now))
        if entry is None:
            entry = self._entries[state.task_id] = _Entry(state, None)
        elif entry.state.generation == state.generation:
            # The poller's own memory is fresher than the store's; only the wish to be asked is news.
            entry.state = replace(state, memory=entry.state.memory)
            if entry.due_at is None:
                entry.again = due_at <= now
                return
            due_at = min(due_at, entry.due_at)
        else:
            entry = self._entries[state.task_id] = _Entry(state, None)
        self._schedule(entry, due_at)

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
                    entry = self._pop()
                    self._gate.take(now)
                    requests.start_soon(self._poll, entry)
                elif self._in_trouble(now):
                    self._sweep(now, requests)
                else:
                    limit_s = min(wait_s, SWEEP_EVERY_S) if self._entries else wait_s
                    await self._clock.wait(self._wake, None if math.isinf(limit_s) else limit_s)

    def _wait_s(self, now: float) -> float:
        """Seconds until the next request may go out; infinity when only a wake-up can change that."""
        while self._heap and self._heap[0][2].due_at != self._heap[0][0]:
            heapq.heappop(self._heap)  # rescheduled or forgotten since it was pushed
        if not self._heap:
            return math.inf
        if self._ledger.is_stuck:
            return STUCK_S  # what cannot be written down need not be asked
        gate_s = self._gate.wait_s(now)
        # While the account is blocked the gate alone says when to try it again, by whichever watch comes first.
        return gate_s if self._gate.blocked else max(self._heap[0][0] - now, gate_s)

    def _pop(self) -> _Entry:
        _, _, entry = heapq.heappop(self._heap)
        entry.due_at = None
        return entry

    def _schedule(self, entry: _Entry, due_at: float) -> None:
        entry.due_at = due_at
        heapq.heappush(self._heap, (due_at, next(self._order), entry))
        if self._heap[0][2] is entry:
            self._wake.set()

    def _forget(self, task_id: str) -> None:
        entry = self._entries.pop(task_id, None)
        if entry is not None:
            entry.due_at = None

    async def _poll(self, entry: _Entry) -> None:
        """One question, and everything that follows from its answer."""
        state = entry.state
        try:
            with self._in_flight():
                reading = await self._plan.provider.ask(state.task_id, state.action)
            now = self._clock.steady()
            self._heed(reading, state.task_id, now)
            log.debug("poll.answered", account=self.name, task_id=state.task_id, kind=reading.kind)
            entry.asked = True
            age_s = self._age_s(state, now)
            step = advance(state.memory, reading, now=now, age_s=age_s, rules=self._rules(state))
            await self._take_step(entry, state, step, reading)
        except Exception:
            # The edge of one watch: whatever is wrong with it must stop neither the others nor the daemon.
            log.exception("poll.bug", account=self.name, task_id=state.task_id, retry_in_s=BUG_PAUSE_S)
            if self._entries.get(state.task_id) is entry and entry.due_at is None:
                self._schedule(entry, self._clock.steady() + BUG_PAUSE_S)

    @contextmanager
    def _in_flight(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._gate.abandoned()
            self._wake.set()
            raise

    async def _take_step(self, entry: _Entry, state: WatchState, step: Step, reading: Reading) -> None:
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
        if self._entries.get(state.task_id) is not entry:
            return
        if step.ends or not applied:
            self._forget(state.task_id)
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

    def _heed(self, reading: Reading, task_id: str, now: float) -> None:
        """What the answer to a request means for the account."""
        was_troubled = self._gate.troubled
        verdict = self._gate.answered(reading, task_id=task_id, now=now, chance=self._clock.chance())
        self._wake.set()
        self._account_changed(verdict, reading, now)
        if self._gate.troubled and not was_troubled:
            log.warning("account.troubled", account=self.name, reason=reading.detail)
        elif was_troubled and not self._gate.troubled:
            log.info("account.recovered", account=self.name)

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
            for entry in self._entries.values()
            if entry.due_at is not None
            and entry.asked
            and self._age_s(entry.state, now) >= self._rules(entry.state).give_up_after_s
        )
        for entry in itertools.islice(overdue, SWEEP_MOST):
            entry.due_at = None
            requests.start_soon(self._give_up, entry)

    async def _give_up(self, entry: _Entry) -> None:
        state = entry.state
        reason = f"not ended after {self._rules(state).give_up_after_s:.0f} s (give_up_after); no answers of late"
        step = give_up(state.memory, reason=reason)
        await self._take_step(entry, state, step, Reading(kind=Kind.TRANSIENT, detail="given up"))


class Poller:
    """All accounts' pollers, fed from the store."""

    def __init__(self, *, ledger: Ledger, clock: Clock) -> None:
        self._ledger = ledger
        self._clock = clock
        self._accounts: dict[str, AccountPoller] = {}
        self._group: anyio.abc.TaskGroup | None = None
        self._stopped = anyio.Event()
        self.finished = anyio.Event()  # set when nothing is in flight any more

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Hold the accounts' tasks; returns after `stop` when nothing is in flight any more."""
        async with anyio.create_task_group() as self._group:
            task_status.started()
            await self._stopped.wait()
            for account in self._accounts.values():
                account.stop()
        self.finished.set()

    def configure(self, plans: Mapping[str, AccountPlan], past: Mapping[str, AccountState]) -> None:
        """Poll by these plans from now on. Watches of an account that is gone rest in the store."""
        if self._group is None:
            raise RuntimeError("configure() needs a running poller")
        for name in self._accounts.keys() - plans.keys():
            self._accounts.pop(name).stop()
        for name, plan in plans.items():
            if name in self._accounts:
                self._accounts[name].plan = plan
                continue
            poller = AccountPoller(
                name,
                plan=plan,
                past=past.get(name, AccountState(account=name)),
                ledger=self._ledger,
                clock=self._clock,
            )
            self._accounts[name] = poller
            self._group.start_soon(poller.run)

    def put(self, states: Iterable[WatchState]) -> None:
        """Take in what the store says of these watches."""
        for state in states:
            account = self._accounts.get(state.account)
            if account is not None:
                account.put(state)

    def stop(self) -> None:
        """Send nothing more; let `run` return when what is in flight has been answered."""
        self._stopped.set()
