"""Polls the tasks of one account, by one schedule and one rate limiter, and carries out what follows from answers."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import anyio

from bridge.domain.account_state import AccountState
from bridge.domain.callback import CallbackHeard, CallbackOutcome
from bridge.domain.change import TaskChange
from bridge.domain.durations.learned_durations import LearnedDurations
from bridge.domain.host_limits import HostLimits
from bridge.domain.slots import Portion, slot_of
from bridge.domain.task import UNDER_WAY, Reading
from bridge.domain.watch import WatchState
from bridge.engine.account_callbacks import AccountCallbacks
from bridge.engine.account_health import AccountHealth
from bridge.engine.learned_cadence import LearnedCadence
from bridge.engine.membership import Lease
from bridge.engine.plans import AccountPlan
from bridge.engine.poll_queue import PollEntry
from bridge.engine.poll_workers import PollWorkers
from bridge.engine.step_planner import KnownRoutes, NextStep, StepPlanner
from bridge.engine.watch_schedule import SOUND, WatchSchedule, split_answer
from bridge.engine.write_batcher import WriteBatcher
from bridge.logs import get_logger, is_debugging
from bridge.metrics import AccountMetrics
from bridge.ports import BatchKey, Clock, ListPage, PageRequest

log = get_logger()

FIRST_SLOT: Final = 0  # the daemon that holds this slot requests the list
BLOCKED_WRITES_S: Final = 1.0  # while nothing can be stored, how often to check again
BUG_PAUSE_S: Final = 60.0  # how long a watch is not polled after a bug in genbridge
TICK_S: Final = 0.005  # the shortest sleep: all watches that become due during it share one wake-up


class AccountPoller:
    """Polls the watches of one account, while its `workers` run. Only this class changes the schedule; planner and
    callbacks return values. After a change of settings, requests in flight finish under the old plan.

    `health` decides whether requests may be sent, also those of other programs, and stores blocks and waits.
    """

    def __init__(
        self,
        name: str,
        *,
        plan: AccountPlan,
        stored: AccountState,
        host: HostLimits,
        knowledge: LearnedDurations,
        answered_actions: Callable[[], Awaitable[frozenset[str | None]]],
        host_recovered: Callable[[HostLimits], None],
        lease: Lease,
        writes: WriteBatcher,
        clock: Clock,
        metrics: AccountMetrics,
    ) -> None:
        self.name = name
        self.plan = plan
        self._lease = lease
        self._writes = writes
        self._clock = clock
        self._metrics = metrics
        self.workers = PollWorkers(wait_s=self._wait_s, room=self._room, next_request=self._next_request, clock=clock)
        self.health = AccountHealth(
            name,
            limits=plan.limits,
            stored=stored,
            host=host,
            wake=self.workers.wake,
            host_recovered=host_recovered,
            writes=writes,
            clock=clock,
            metrics=metrics,
        )
        self._limiter = self.health.limiter
        self._cadence = LearnedCadence(name, knowledge=knowledge, pacing=plan.pacing)
        self._schedule = WatchSchedule(plan, cadence=self._cadence, clock=clock)
        self._queue = self._schedule.queue
        self.listed_at: dict[str | None, float] = {}  # when the first page of each action's list was last requested
        self._callbacks = AccountCallbacks()
        self._routes = KnownRoutes(answered_actions)
        self._planner = StepPlanner(
            name,
            plan=plan,
            cadence=self._cadence,
            callbacks=self._callbacks,
            routes=self._routes,
            clock=clock,
            metrics=metrics,
        )
        self._in_flight: set[PollEntry] = set()  # watches that are being polled, until their answers are stored
        self._landed: anyio.Event | None = None  # for those who wait until a watch leaves `_in_flight`

    def apply(self, plan: AccountPlan, host: HostLimits) -> None:
        """Poll according to this plan from now on."""
        self.health.apply(plan.limits, host, is_new_key=plan.provider is not self.plan.provider)
        if plan.pacing != self.plan.pacing:
            self._cadence.apply(plan.pacing)
        self.plan = self._planner.plan = self._schedule.plan = plan
        self.workers.wake()

    def put(self, states: Sequence[WatchState]) -> None:
        """Apply changes of watches that were read from the store."""
        if self._schedule.put(states):
            self._limiter.probe_soon(now=self._clock.steady())
        self.workers.wake()

    def clear(self) -> None:
        """Poll nothing: the account was removed from the settings."""
        self._queue.clear()

    def set_shares(self, slots: frozenset[int], portion: Portion, *, daemons: int) -> None:
        """Poll only the watches of these slots, within this portion of the limits. Put new watches afterwards.
        `daemons` is the number of daemons that share the account."""
        self._schedule.set_slots(slots)
        self.health.set_portion(portion, daemons=daemons)
        self.workers.wake()

    async def quiet(self) -> None:
        """Return when no request is in flight for a slot that this daemon does not hold, and all answers are stored."""
        while any(slot_of(entry.task_id) not in self._schedule.slots for entry in self._in_flight):
            self._landed = self._landed or anyio.Event()  # another caller may be waiting, too
            await self._landed.wait()

    def submit(self, task_id: str, reading: Reading) -> None:
        """Process an answer to another program (see `Poller.submit`). A final one only causes another poll if a
        poll is in flight."""
        entry, now = self._queue.get(task_id), self._clock.steady()
        if entry is None or not self._can_store or self.workers.is_stopping:
            return
        if entry.due_at is not None and not reading.lacks_result:
            self._queue.take(entry)
            self._in_flight.add(entry)
            with self._guarded([entry]):
                self._answered(entry, reading, now)
        elif reading.kind not in UNDER_WAY:
            self._schedule.poll_by(entry, now, now)
            self.workers.wake()

    def hear(self, ids: Sequence[str], detail: str) -> tuple[CallbackOutcome, list[str]]:
        """Process a callback that names these tasks: poll the watched ones, as soon as the rate limit for hints allows.
        Also returns the ids that are not in memory here, but may be watched by another daemon."""
        heard, now = CallbackHeard(self._clock.now(), detail), self._clock.steady()
        outcome, elsewhere = CallbackOutcome.UNKNOWN, []
        for task_id in ids:
            entry = self._queue.get(task_id)
            if entry is None:
                if slot_of(task_id) not in self._schedule.slots:
                    elsewhere.append(task_id)
                else:
                    self._callbacks.heard_late(task_id, now)
            elif (poll_at := self._callbacks.heard(entry, heard, now)) is not None:
                self._schedule.poll_by(entry, poll_at, now)
                outcome = CallbackOutcome.POLLED
            elif outcome is CallbackOutcome.UNKNOWN:
                outcome = CallbackOutcome.COALESCED
        self.workers.wake()
        return outcome, elsewhere

    @property
    def can_list(self) -> bool:
        """Whether the provider's list may be requested. Not while the account is blocked or failing, because polls show
        when it works again; without a task to poll, the list is the probe."""
        return self.plan.lists is not None and self._can_store and not (self._limiter.probing and self._queue)

    async def list_page(self, page: PageRequest) -> ListPage | Reading | None:
        """Request a page of the provider's list between two polls, as soon as that is allowed, even if it takes long.
        None if another daemon requests the list."""
        if not await self.health.admit_list(lambda: FIRST_SLOT in self._schedule.slots, lambda: self.can_list):
            return None
        lists, asked_at = self.plan.lists, self._clock.steady()
        if page.number == 1:
            self.listed_at[page.action] = asked_at
        answer: ListPage | Reading | None = None
        try:
            assert lists is not None
            answer = await lists.list_page(page)
            return answer
        finally:
            reading = SOUND if isinstance(answer, ListPage) else answer
            self.health.listed(reading, page.action or "", asked_at=asked_at)

    def give_up_overdue(self) -> None:
        """Time out watches while the provider does not answer. Only single probes are sent then, so it would take hours
        to poll each watch. A watch that this process has not polled yet is still polled first."""
        if self._limiter.probing and not self._limiter.blocked:
            now = self._clock.steady()
            for entry in self._schedule.take_overdue(
                lambda each: self._planner.is_overdue(each, self.health.age_s(each, now))
            ):
                with self._guarded([entry]):
                    self._carry_out(entry, self._planner.give_up(entry), now)
        self.workers.wake()

    def _wait_s(self, now: float) -> float:
        """Seconds until the next request may be sent; infinity if only `workers.wake` can lead to one."""
        limiter_s = self.health.wait_s(now)
        if limiter_s == math.inf:
            return math.inf
        next_at = self._queue.next_at(now)
        if next_at == math.inf:
            return math.inf
        if not self._can_store:
            return BLOCKED_WRITES_S
        # For a blocked account the limiter decides when to probe. The probe polls the first watch in the queue.
        if self._limiter.blocked or next_at <= now:
            return limiter_s
        return max(next_at - now, TICK_S, limiter_s)

    @property
    def _can_store(self) -> bool:
        """Whether an answer could be stored now. If not, nothing is polled."""
        return not self._writes.is_blocked and self._lease.is_held

    def _room(self, now: float) -> int:
        """How many requests may be sent at once."""
        return min(max(self._queue.count_due(now), 1), self._limiter.room(now))

    def _next_request(self, now: float) -> Coroutine[Any, Any, None] | None:
        """Count the next poll and return what sends it, if one may be sent."""
        if self.health.wait_s(now) > 0 or not self._can_store:
            return None
        entry = self._pop(now)
        if entry is None:
            return None
        self._limiter.take(now)
        self._in_flight.add(entry)
        # A blocked account is probed with a request about one task, which every provider supports.
        key = None if self._limiter.probing else self._schedule.batch_key(entry)
        others = [] if key is None else self._schedule.pop_batch(key, now)
        if key is None or not others:
            return self._poll(entry, now)
        self._in_flight.update(others)
        return self._poll_batch(key, [entry, *others], now)

    def _pop(self, now: float) -> PollEntry | None:
        """The next watch on an open route. Watches on a paused route wait until it opens."""
        pop = self._queue.pop_early if self._limiter.blocked else self._queue.pop
        while (entry := pop(now)) is not None:
            if not self._limiter.delays_routes:
                return entry
            with self._guarded([entry]):
                opens_at = self._limiter.opens_at(self.plan.provider.route(entry.task_id, entry.action), now)
                if opens_at <= now:
                    return entry
                self._queue.schedule(entry, opens_at)
        return None

    async def _poll(self, entry: PollEntry, now: float) -> None:
        try:
            provider = self.plan.provider
            reading = await provider.poll(entry.task_id, entry.action)
            if reading.kind not in UNDER_WAY:
                reading = await self._routes.resolve(reading, entry.action, provider)
            route = provider.route(entry.task_id, entry.action) if self._limiter.is_changed_by(reading) else None
        except BaseException as error:
            self._request_failed([entry], error)
            return
        try:
            answered_at = self._clock.steady()
            self._update_health(reading, entry, route, asked_at=now, now=answered_at)
            self._answered(entry, reading, answered_at)
        except Exception as error:
            self._postpone([entry], error)

    async def _poll_batch(self, key: BatchKey, entries: Sequence[PollEntry], now: float) -> None:
        """Poll many watches with one request and process the answer for each."""
        first, provider = entries[0], self.plan.provider
        try:
            answer = await provider.poll_batch([entry.task_id for entry in entries], first.action)
            for_account, answers = split_answer(answer, entries)
            route = provider.route(first.task_id, first.action) if self._limiter.is_changed_by(for_account) else None
        except BaseException as error:
            self._request_failed(entries, error)
            return
        with self._guarded(entries):
            answered_at = self._clock.steady()
            self._update_health(for_account, first, route, asked_at=now, now=answered_at)
            shared = self._schedule.next_batch_poll(key, entries, answers, answered_at)
            for entry in entries:  # the changes of all these watches share a transaction
                with self._guarded([entry]):
                    self._answered(entry, answers[entry.task_id], answered_at, shared)

    def _update_health(
        self, reading: Reading, entry: PollEntry, route: str | None, *, asked_at: float, now: float
    ) -> None:
        """Apply what an answer means for the account and for others on its host. Without a route, it changes nothing
        there."""
        self._metrics.count_poll(reading, asked_at=asked_at, now=now)
        if route is None:
            self._limiter.count_answer()
            return
        tasks = len(self._queue) if self._limiter.daemons == 1 else None
        self.health.answered(reading, entry.task_id, route, asked_at=asked_at, now=now, tasks=tasks)

    def _request_failed(self, entries: Sequence[PollEntry], error: BaseException) -> None:
        """A request was canceled, or stopped by a bug in genbridge."""
        self.health.abandoned(is_bug=isinstance(error, Exception))
        if not isinstance(error, Exception):
            raise error
        self._postpone(entries, error)

    def _answered(
        self, entry: PollEntry, reading: Reading, now: float, shared: tuple[float, str] | None = None
    ) -> None:
        """Process the answer about a watch in flight. `shared`: when its batch is polled next, and why."""
        if is_debugging():
            log.debug("poll.answered", account=self.name, task_id=entry.task_id, kind=reading.kind)
        memory, age_s = self.health.memory(entry, now), self.health.age_s(entry, now)
        following = self._planner.next_step(entry, reading, memory=memory, age_s=age_s, now=now, shared=shared)
        self._carry_out(entry, following, now)

    def _carry_out(self, entry: PollEntry, following: NextStep, now: float) -> None:
        """Store the step and schedule the next poll. After a transition, the poll is scheduled only when the step is on
        disk, because the watch may have been removed by then."""
        if following.unreadable is not None:
            self._writes.submit(following.unreadable, then=following.log_unreadable)
        if isinstance(following.write, TaskChange):
            committed = partial(self._committed, entry, following, now)
            self._writes.submit(following.write, then=committed, failed=partial(self._postpone, [entry]))
        else:
            self._writes.note(following.write)
            self._schedule.schedule_next(entry, following.step.memory, polled_at=now, next_at=following.next_poll_at)
            self._release(entry)

    @contextmanager
    def _guarded(self, entries: Sequence[PollEntry]) -> Iterator[None]:
        """A context in which a bug in genbridge postpones these watches."""
        try:
            yield
        except Exception as error:
            self._postpone(entries, error)

    def _postpone(self, entries: Sequence[PollEntry], error: Exception) -> None:
        """Do not poll these watches for a minute: a bug with them must not stop other watches or the daemon."""
        ids = [entry.task_id for entry in entries]
        log.error("poll.bug", account=self.name, task_ids=ids, retry_in_s=BUG_PAUSE_S, exc_info=error)
        for entry in entries:
            self._schedule.postpone(entry, self._clock.steady() + BUG_PAUSE_S)
            self._release(entry)
        self.workers.wake()

    def _committed(self, entry: PollEntry, following: NextStep, now: float, applied: bool) -> None:
        """The step is on disk, if it applied: schedule the next poll, or remove the watch from memory."""
        if applied:
            following.log_transition(self.name, entry.task_id)
        if applied and not following.step.ends:
            self._schedule.schedule_next(entry, following.step.memory, polled_at=now, next_at=following.next_poll_at)
            self.workers.wake()
        elif self._queue.holds(entry):
            self._queue.forget(entry.task_id)
        self._release(entry)

    def _release(self, entry: PollEntry) -> None:
        self._in_flight.discard(entry)
        if self._landed is not None:
            self._landed.set()
            self._landed = None
