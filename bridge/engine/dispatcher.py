"""Delivers committed events. Each target has its own queue, so that none waits for another."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import anyio
import anyio.abc

from bridge.domain.change import EndpointChecked
from bridge.domain.event import Event, Parcel
from bridge.domain.ids import ARCHIVE
from bridge.domain.routes import RoutingRule, endpoints_for
from bridge.domain.slots import NOTHING, Portion, Share, endpoint_scope, portion_held, slots_held
from bridge.engine.endpoint_queue import EndpointQueue
from bridge.engine.membership import Lease
from bridge.engine.plans import EndpointPlan
from bridge.engine.write_batcher import QueueKey, WriteBatcher
from bridge.logs import get_logger
from bridge.metrics import Metrics
from bridge.ports import Clock, Offload, Outbox, ParcelsFor, Sink

log = get_logger()

MOST_HELD_S: Final = 3600.0  # the longest `archive.patience`; only a wrong clock makes a first attempt wait longer
CHECK_EVERY_S: Final = 60.0  # how often to check whether an endpoint has failed for too long


class Dispatcher:
    """Runs a queue for each target, fed from the store's outbox."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        writes: WriteBatcher,
        lease: Lease,
        offload: Offload,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._metrics = metrics
        self._outbox = outbox
        self._lease = lease
        self._writes = writes
        self._offload = offload
        self._clock = clock
        self._plans: Mapping[str, EndpointPlan] = {}
        self._queues: dict[QueueKey, EndpointQueue] = {}
        self._paused: Mapping[str, float] = {}  # endpoints that a person has paused, and until when
        self._parts: dict[str, tuple[frozenset[int], Portion]] = {}  # this daemon's part of each endpoint
        self._waits_for_copies = True  # whether a daemon makes copies; deliveries may wait for them
        self._failing: set[str] = set()  # endpoints that may be failing
        self._group: anyio.abc.TaskGroup | None = None
        self._stopped = anyio.Event()
        self.finished = anyio.Event()  # set when no attempt is in flight

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Run the queues; return after `stop` when no attempt is in flight."""
        try:
            async with anyio.create_task_group() as self._group:
                task_status.started()
                self._group.start_soon(self._check_health)
                await self._stopped.wait()
                for queue in self._queues.values():
                    queue.stop()
        finally:
            self._stopped.set()
            self.finished.set()

    async def configure(self, plans: Mapping[str, EndpointPlan]) -> None:
        """Serve these endpoints from now on. Deliveries to a removed endpoint stay in the store and are not
        attempted."""
        self._plans = plans
        for (endpoint, _), queue in self._queues.items():
            if endpoint in plans:
                queue.plan = plans[endpoint]
            else:
                queue.enabled = False  # kept: if it comes back, no attempt in flight is repeated
        self._failing |= await self._offload(self._outbox.failing)
        await self.load()

    async def load(self) -> None:
        """Like `refresh`, for deliveries that another daemon may have scheduled. StoreError passes through."""
        if self._plans:
            now = self._clock.steady()
            latest_at = now + max(plan.retries.longest_s for plan in self._plans.values())
            may_wait = ARCHIVE not in self._plans or self._plans[ARCHIVE].is_waited_for
            first_at = now + MOST_HELD_S if may_wait else now
            await self._offload(partial(self._outbox.make_due, latest_at=latest_at, first_at=first_at))
        await self.refresh()

    async def refresh(self) -> None:
        """Read what other processes changed in the store: new deliveries, redeliveries, enabled endpoints. StoreError
        passes through."""
        fingerprints = {name: plan.fingerprint for name, plan in self._plans.items()}
        stored = await self._offload(self._outbox.queues)
        before = {key: queue.stored_wait_until_at for key, queue in self._queues.items()}
        held = await self._offload(self._outbox.queue_wait_ends, fingerprints)
        # Read last, so that no outcome is committed between reading this and using it.
        disabled = await self._offload(self._outbox.disabled, fingerprints)
        today = [(name, target) for name, plan in self._plans.items() for target in plan.sink.targets()]
        for key in dict.fromkeys([*today, *stored]):
            if (queue := self._queue_of(key)) is not None:
                queue.enabled = key[0] not in disabled
                queue.apply_stored_wait(held.get(key), before=before.get(key, -math.inf))
        self.wake_all()

    def pause(self, until: Mapping[str, float]) -> None:
        """Start no attempt at these endpoints before these times."""
        self._paused = until
        for (endpoint, _), queue in self._queues.items():
            queue.pause(until.get(endpoint, -math.inf))

    def set_shares(self, held: frozenset[Share]) -> None:
        """Deliver only for these shares, within their portion of each endpoint's concurrency."""
        for name, plan in self._plans.items():
            scope = endpoint_scope(name)
            self._parts[name] = slots_held(scope, held), portion_held(scope, plan.groups, held)
        for (name, _), queue in self._queues.items():
            # No slot of a removed endpoint, so that `quiet` waits for its last attempts.
            queue.set_shares(*(self._parts[name] if name in self._plans else (frozenset(), NOTHING)))

    async def quiet(self, scope: str) -> None:
        """Return when no attempt is in flight for a delivery of this scope that this daemon does not hold."""
        for (endpoint, _), queue in list(self._queues.items()):
            if scope == endpoint_scope(endpoint):
                await queue.quiet()

    async def notice_served(self, scopes: Collection[str]) -> None:
        """Once no daemon makes copies, send what waits for them. `scopes` are those that any daemon serves."""
        makes_copies = endpoint_scope(ARCHIVE) in scopes
        if self._waits_for_copies and not makes_copies:
            first_at = self._clock.steady()
            await self._offload(partial(self._outbox.make_due, latest_at=math.inf, first_at=first_at))
            self.wake_all()
        self._waits_for_copies = makes_copies

    def wake_all(self) -> None:
        """Any queue may have new deliveries."""
        self.wake(list(self._queues))

    def wake(self, keys: Iterable[QueueKey]) -> None:
        """These queues have new deliveries."""
        for key in keys:
            if (queue := self._queue_of(key)) is not None:
                queue.wake()

    def stop(self) -> None:
        """Start no more attempts; `run` returns when all attempts in flight are answered."""
        self._stopped.set()

    async def _check_health(self) -> None:
        """Check every minute which endpoints have failed for too long. This needs a timer because retries may be hours
        apart."""
        while not await self._clock.wait(self._stopped, CHECK_EVERY_S):
            for endpoint in sorted(self._failing):
                self._failing.discard(endpoint)
                if self._is_attempted(endpoint):
                    now = self._clock.steady()
                    checked = EndpointChecked(endpoint=endpoint, at=now, ahead_s=self._clock.now() - now)
                    self._writes.submit(checked, then=partial(self._checked, endpoint))

    def _checked(self, endpoint: str, is_failing: bool) -> None:
        if is_failing:
            self._failing.add(endpoint)

    def _is_attempted(self, endpoint: str) -> bool:
        """Whether attempts are made: a disabled or paused endpoint is never reported as failing."""
        if self._paused.get(endpoint, -math.inf) > self._clock.steady():
            return False
        return any(queue.enabled for (name, _), queue in self._queues.items() if name == endpoint)

    def _queue_of(self, key: QueueKey) -> EndpointQueue | None:
        """The queue of this target, started if there is none yet. None if the target is not served."""
        plan = self._plans.get(key[0])
        if plan is None or self._group is None or self._stopped.is_set():
            return None
        if key not in self._queues:
            queue = self._queues[key] = EndpointQueue(
                key,
                plan=plan,
                lease=self._lease,
                outbox=self._outbox,
                writes=self._writes,
                offload=self._offload,
                clock=self._clock,
                metrics=self._metrics.endpoint(key[0]),
                failed=self._failing.add,
            )
            queue.pause(self._paused.get(key[0], -math.inf))
            if key[0] in self._parts:
                queue.set_shares(*self._parts[key[0]])
            self._group.start_soon(queue.run)
        return self._queues[key]


def parcels_by(
    routes: Sequence[RoutingRule] | None,
    endpoints: Mapping[str, EndpointPlan],
    *,
    held_until: Callable[[], float] | None = None,
) -> ParcelsFor:
    """A function that renders each event for the endpoints that these routes name, and for the archive if the event has
    results to copy.

    With `held_until`, which returns a steady time, an event with results to copy is held for the other endpoints until
    that time.
    """
    names = [name for name in endpoints if name != ARCHIVE]
    people = frozenset(name for name, plan in endpoints.items() if plan.in_order)
    archive = endpoints.get(ARCHIVE)

    def parcels_for(event: Event) -> Sequence[Parcel]:
        found = endpoints_for(event, routes, names, people=people)
        parcels = [parcel for name in found for parcel in _rendered(name, endpoints[name].sink, event)]
        if archive is None or event.is_release:
            return parcels
        copies = _rendered(ARCHIVE, archive.sink, event)
        if copies and held_until is not None:
            until = held_until()
            parcels = [replace(parcel, due_at=until, is_documented=False) for parcel in parcels]
        return [*parcels, *copies]

    return parcels_for


def _rendered(name: str, sink: Sink, event: Event) -> Sequence[Parcel]:
    """One endpoint's parcels. After a bug in genbridge they are rendered in their simplest form, and other endpoints
    are not affected."""
    for plain in (False, True):
        try:
            return sink.parcels(event, plain=plain)
        except Exception:
            log.exception("parcel.bug", endpoint=name, event_id=event.event_id, topic=event.topic)
    return []
