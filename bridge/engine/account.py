"""Asks about the tasks of one account: one agenda, one gate, and a worker only for each request in flight."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import anyio
import anyio.abc

from bridge.domain.change import AccountState
from bridge.domain.durations.knowledge import Knowledge
from bridge.domain.host import Host
from bridge.domain.shares import ALL_SLOTS, WHOLE, Part, slot_of
from bridge.domain.task import ABOUT_ACCOUNT, LIVE, UNDER_WAY, Kind, Reading
from bridge.domain.watch import WatchState
from bridge.engine.agenda import NEVER, Agenda, Entry
from bridge.engine.cadence import Cadence
from bridge.engine.ledger import Ledger
from bridge.engine.membership import Lease
from bridge.engine.standing import Standing
from bridge.engine.steps import AccountPlan, Steps
from bridge.ports import BatchKey, Clock

SWEEP_EVERY_S: Final = 30.0  # while the provider is in trouble, how often overdue watches are looked for
SWEEP_MOST: Final = 256  # of them in one go: they share a transaction
STUCK_S: Final = 1.0  # while the store cannot be written, how often to see whether it can again
TICK_S: Final = 0.005  # the loop sleeps no shorter than this: watches that fall due meanwhile share one wake-up
CROWD: Final = 8  # where so many share a request, a new one has none for itself alone, if it can soon join theirs
ALONE_S: Final = 60.0  # after a batch failed as a whole, how long its tasks are asked about one by one

MISSED: Final = Reading(kind=Kind.TRANSIENT, detail="the question about many tasks failed; asked alone next")
UNKNOWN: Final = Reading(kind=Kind.NOT_FOUND, detail="the answer about many tasks left this one out")
SOUND: Final = Reading(kind=Kind.RUNNING)  # what an answer about many means for the account


class AccountPoller:
    """Polls the watches of one account until cancelled or stopped.

    `run` sleeps until something may be asked, and then hires workers; each asks on and on for as long as there is
    something to ask and the gate lets it, so that a busy account neither wakes nor starts anything for a poll.
    `plan` may be replaced at any time; requests in flight finish under the old one. `recovered` is told when the
    account's host turns out to be well again, or may be tried by another.
    """

    def __init__(
        self,
        name: str,
        *,
        plan: AccountPlan,
        past: AccountState,
        host: Host,
        knowledge: Knowledge,
        recovered: Callable[[Host], None],
        lease: Lease,
        ledger: Ledger,
        clock: Clock,
    ) -> None:
        self.name = name
        self._lease = lease
        self._slots = ALL_SLOTS
        self._part = WHOLE
        self._ledger = ledger
        self._clock = clock
        self._recovered = recovered
        self._standing = Standing(name, limits=plan.limits, past=past, host=host, ledger=ledger, clock=clock)
        self._gate = self._standing.gate
        self._agenda = Agenda()
        self._together_at: dict[str, float] = {}  # when a crowd is asked about next
        self._alone_until: dict[str, float] = {}  # batches that failed: their tasks are asked about one by one
        self._cadence = Cadence(name, knowledge=knowledge, pacing=plan.pacing)
        self._steps = Steps(
            name,
            plan=plan,
            agenda=self._agenda,
            standing=self._standing,
            ledger=ledger,
            clock=clock,
            cadence=self._cadence,
            done=self._done,
            rouse=self.rouse,
        )
        self._began_at = self._sweep_at = clock.steady()
        self._workers: anyio.abc.TaskGroup | None = None
        self._hired = 0  # workers that have not begun yet
        self._asking: set[Entry] = set()
        self._asked = anyio.Event()
        self._wake = anyio.Event()
        self._sleeps_until = math.inf
        self._stopping = False

    @property
    def plan(self) -> AccountPlan:
        return self._steps.plan

    @property
    def host(self) -> Host:
        return self._gate.host

    def follow(self, plan: AccountPlan, host: Host) -> None:
        """Poll by this plan from now on."""
        if plan.provider is not self.plan.provider and self._gate.blocked:
            self._gate.block(now=self._clock.steady())  # perhaps a new key: worth a probe at once
        if plan.pacing != self.plan.pacing:
            self._cadence.follow(plan.pacing)
        self._steps.plan = plan
        self._gate.resize(plan.limits.part(self._part), now=self._clock.steady())
        if host is not self._gate.host:
            self._gate.move(host)
        self.rouse()

    def put(self, states: Iterable[WatchState]) -> None:
        """Take in what the store says of watches: new, touched by somebody, ended or withdrawn."""
        now, wall = self._clock.steady(), self._clock.now()
        # A stored instant may come from a clock since set: never further off than one interval.
        latest_at = now + self.plan.pacing.max_interval_s
        wall_at, added_at = math.nan, now
        for state in states:
            if state.memory.phase not in LIVE:
                self._agenda.forget(state.task_id)
                continue
            if self._slots is not ALL_SLOTS and slot_of(state.task_id) not in self._slots:
                continue
            due_at = min(state.next_poll_at or now, latest_at)
            if state.added_at != wall_at:  # what was added together shares one number
                wall_at, added_at = state.added_at, self._added_at(state.added_at, now=now, ahead_s=wall - now)
            entry = self._agenda.get(state.task_id)
            if entry is None or entry.generation != state.generation:
                entry = self._agenda.add(state, added_at=added_at)
                self._agenda.schedule(entry, due_at if due_at > now else self._first_at(entry, due_at, now))
            elif entry.revision != state.revision:  # else it is read again after a reload: its next poll may be stale
                # The poller's own memory is fresher than the store's; only the wish to be asked is news.
                entry.take(state, added_at=added_at)
                self._ask_by(entry, due_at, now)
        self.rouse()

    def _ask_by(self, entry: Entry, due_at: float, now: float) -> None:
        if entry.due_at is None:
            entry.again = due_at <= now
        elif due_at <= now:
            self._agenda.hurry(entry, now)
        elif due_at < entry.due_at:
            self._agenda.schedule(entry, due_at)

    def _first_at(self, entry: Entry, due_at: float, now: float) -> float:
        """When to ask about it for the first time in this process. Of those that are overdue after a restart the most
        probable ends come first; and one that can join a crowd within the least interval does."""
        if not self.plan.pacing.learned:
            return due_at
        if entry.memory.polls:
            return now - self._cadence.likelihood(entry, now)
        key = self._batch_key(entry) if self._together_at else None
        if key is not None and self._together_at.get(key.name, due_at) > now:
            return min(self._together_at[key.name], now + self.plan.pacing.min_interval_s)
        return due_at

    def _added_at(self, added_at: float, *, now: float, ahead_s: float) -> float:
        """When it was added, by the steady clock. Commands and sources read the wall clock, which may have been set
        since this poller began: taken as it is, a new watch could be over its time at once, or never age."""
        steady_at = added_at - ahead_s
        return min(steady_at if steady_at >= self._began_at else added_at, now)

    def learn(self, past: AccountState) -> None:
        """What the store says of the account: another daemon may have found it blocked, well again, or to be paused."""
        self._standing.learn(past)
        self.rouse()

    def hold(self, slots: frozenset[int], part: Part, *, daemons: int) -> None:
        """Ask about the watches of these slots alone, within this part of the limits; put those that are new. So many
        `daemons` share the account: each tries it so much the more rarely while it is blocked or in trouble.

        A part that grows brings no requests at once with it: whoever had them may just have sent them."""
        if not slots >= self._slots:
            for entry in [entry for entry in self._agenda if slot_of(entry.task_id) not in slots]:
                self._agenda.forget(entry.task_id)
        if daemons > 1 and self._part is WHOLE:
            self._gate.drain()
        self._slots, self._part = (ALL_SLOTS if slots == ALL_SLOTS else slots), part
        self._gate.resize(self.plan.limits.part(part), now=self._clock.steady())
        self._gate.daemons = daemons
        self.rouse()

    async def quiet(self) -> None:
        """Return when no request is under way about a watch of a slot that is not held. What it still brings is written
        down, and nothing follows it."""
        while any(slot_of(entry.task_id) not in self._slots for entry in self._asking):
            if self._asked.is_set():  # else others wait for this one
                self._asked = anyio.Event()
            await self._asked.wait()

    def rest(self) -> None:
        """Ask about nothing until watches are put again; what the account is held to stays in force."""
        self._agenda.clear()

    def stop(self) -> None:
        """Send nothing more; `run` returns when what is in flight has been answered and written down."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Poll whatever is due, as fast as the gate allows."""
        async with anyio.create_task_group() as self._workers:
            while not self._stopping:
                self._wake = anyio.Event()
                now = self._clock.steady()
                wait_s = self._wait_s(now)
                if wait_s <= 0:
                    self._hire(now)
                    wait_s = math.inf  # until the last that was hired has begun
                elif self._in_trouble(now):
                    self._sweep(now)
                    continue
                elif self._agenda:
                    wait_s = min(wait_s, SWEEP_EVERY_S)
                self._sleeps_until = now + wait_s
                await self._clock.wait(self._wake, None if math.isinf(wait_s) else wait_s)

    def rouse(self) -> None:
        """Something has changed: go on at once if that is possible, and sleep no longer than is right."""
        self._look(self._clock.steady())

    def _look(self, now: float) -> None:
        wait_s = self._wait_s(now)
        if wait_s <= 0 and self._workers is not None:
            self._hire(now)
        elif now + wait_s < self._sleeps_until:
            self._wake.set()

    def _wait_s(self, now: float) -> float:
        """Seconds until the next request may go out; infinity when only a wake-up can change that."""
        gate_s = math.inf if self._stopping else self._gate.wait_s(now)
        if gate_s == math.inf:
            return math.inf
        next_at = self._agenda.next_at(now)
        if next_at == math.inf:
            return math.inf
        if self._is_held_up:
            return STUCK_S
        # While the account is blocked the gate alone says when to try it again, by whichever watch comes first.
        if self._gate.blocked or next_at <= now:
            return gate_s
        return max(next_at - now, TICK_S, gate_s)

    @property
    def _is_held_up(self) -> bool:
        """What cannot be written down need not be asked."""
        return self._ledger.is_stuck or not self._lease.is_held

    def _hire(self, now: float) -> None:
        """As many workers as there are requests to be sent at once."""
        assert self._workers is not None
        for _ in range(min(max(self._agenda.due(now), 1), self._gate.room(now)) - self._hired):
            self._hired += 1
            self._workers.start_soon(self._work)

    async def _work(self) -> None:
        self._hired -= 1
        while True:
            now = self._clock.steady()
            entry = self._next(now)
            if entry is None:
                break
            if not self._hired:
                self._look(now)
            # What tries a held account is a question that every provider understands: about one task.
            key = None if self._gate.probing else self._batch_key(entry)
            mates = [] if key is None else self._mates(key, now)
            if key is None or not mates:
                await self._poll(entry, now)
            else:
                await self._poll_together(key, [entry, *mates], now)
        self.rouse()

    def _next(self, now: float) -> Entry | None:
        """What is to be asked about now, with leave to do so."""
        if self._stopping or self._gate.wait_s(now) > 0 or self._is_held_up:
            return None
        entry = self._agenda.pop_early(now) if self._gate.blocked else self._agenda.pop(now)
        if entry is not None:
            self._gate.take(now)
            self._asking.add(entry)
        return entry

    def _batch_key(self, entry: Entry) -> BatchKey | None:
        key = self.plan.provider.batch_key(entry.task_id, entry.action)
        if key is None or not self._alone_until:
            return key
        now = self._clock.steady()
        return None if self._alone_until.get(key.name, now) > now else key

    def _mates(self, key: BatchKey, now: float) -> list[Entry]:
        mates = self._agenda.pop_mates(lambda other: self._batch_key(other) == key, most=key.most - 1, now=now)
        self._asking.update(mates)
        return mates

    async def _poll(self, entry: Entry, now: float) -> None:
        """One question about one watch, and everything that follows from its answer."""
        try:
            reading = await self.plan.provider.ask(entry.task_id, entry.action)
        except BaseException as error:
            self._came_to_nothing([entry], error)
            return
        try:
            answered_at = self._clock.steady()
            self._heed(reading, entry.task_id, asked_at=now, now=answered_at)
        except Exception as error:
            self._steps.failed([entry], error)
        else:
            self._steps.follow(entry, reading, answered_at)

    async def _poll_together(self, key: BatchKey, entries: Sequence[Entry], now: float) -> None:
        """One question about many, and everything that follows for each of them."""
        first = entries[0]
        try:
            answer = await self.plan.provider.ask_together([entry.task_id for entry in entries], first.action)
        except BaseException as error:
            self._came_to_nothing(entries, error)
            return
        with self._guarded(entries):
            answered_at = self._clock.steady()
            if isinstance(answer, Reading):
                # A gateway may refuse this very route; whether it refuses the key, single polls tell at once.
                meant = MISSED if answer.kind in ABOUT_ACCOUNT else answer
                self._heed(meant, first.task_id, asked_at=now, now=answered_at)
                is_slow = answer.kind is Kind.RATE_LIMITED
                if not is_slow:
                    self._alone_until[key.name] = answered_at + ALONE_S
                missed = answer if is_slow else MISSED
                answers = {entry.task_id: missed for entry in entries}
            else:
                self._heed(SOUND, first.task_id, asked_at=now, now=answered_at)
                answers = {entry.task_id: answer.get(entry.task_id, UNKNOWN) for entry in entries}
            shared = self._shared(key, entries, answers, answered_at)
            for entry in entries:  # their changes share a transaction
                self._steps.follow(entry, answers[entry.task_id], answered_at, shared)

    def _shared(
        self, key: BatchKey, entries: Sequence[Entry], answers: Mapping[str, Reading], now: float
    ) -> tuple[float, str] | None:
        """When those that are still under way are asked about next: again together."""
        if not self.plan.pacing.learned:
            return None
        # What cannot be followed is for `follow` to say, of each by itself.
        going_on = [entry for entry in entries if getattr(answers[entry.task_id], "kind", None) in UNDER_WAY]
        if not going_on:
            return None
        wait_s, why = self._cadence.together_in_s(going_on, now)
        if len(going_on) >= CROWD:
            self._together_at[key.name] = now + wait_s
        return wait_s, why

    @contextmanager
    def _guarded(self, entries: Sequence[Entry]) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._steps.failed(entries, error)

    def _heed(self, reading: Reading, task_id: str, *, asked_at: float, now: float) -> None:
        """What the answer to a request means for the account, and for its neighbours."""
        if self._standing.heed(reading, task_id, asked_at=asked_at, now=now):
            self._recovered(self._gate.host)

    def _came_to_nothing(self, entries: Sequence[Entry], error: BaseException) -> None:
        """A request was cancelled, or a fault of ours broke it off."""
        self._gate.abandoned(now=self._clock.steady())
        if not isinstance(error, Exception):
            raise error
        self._recovered(self._gate.host)  # had it been a probe, another could try
        self._steps.failed(entries, error)

    def _done(self, entry: Entry) -> None:
        self._asking.discard(entry)
        self._asked.set()

    def _in_trouble(self, now: float) -> bool:
        return self._gate.probing and not self._gate.blocked and now >= self._sweep_at

    def _sweep(self, now: float) -> None:
        """End the watches whose time is over while the provider gives no answers: only single probes go out then, so
        waiting for each watch's own would take hours. One that this process has never asked about is asked first."""
        self._sweep_at = now + SWEEP_EVERY_S
        overdue = (
            entry
            for entry in self._agenda
            if entry.due_at is not None and entry.polled_at > NEVER and self._steps.is_overdue(entry, now)
        )
        for entry in list(itertools.islice(overdue, SWEEP_MOST)):
            entry.due_at = None
            self._steps.give_up(entry)
