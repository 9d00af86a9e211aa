"""Hands committed events over: one queue per destination, so that none ever waits for another."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

import anyio
import anyio.abc

from bridge.domain.backoff import RetryPlan, growing_s
from bridge.domain.delivery import AttemptMade, Deferred, Delivery, DeliveryState, Refused, settle
from bridge.domain.event import LIVE_TOPICS
from bridge.engine.ledger import Lane, Ledger
from bridge.errors import StoreError
from bridge.logs import get_logger
from bridge.ports import Clock, Offload, Outbox, Sink

log = get_logger()

AHEAD: Final = 64  # deliveries fetched in one go, so that a burst costs one query for many
BUG_PAUSE_S: Final = 60.0  # how long a delivery rests after its outcome could not be written down


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPlan:
    """How one endpoint is to be served, by today's settings."""

    sink: Sink
    concurrency: int
    retries: RetryPlan
    fingerprint: str  # of its settings; a change enables an endpoint that answered 410


class LaneRunner:
    """Serves one destination until stopped. `plan` may be replaced at any time."""

    def __init__(
        self, lane: Lane, *, plan: EndpointPlan, outbox: Outbox, ledger: Ledger, offload: Offload, clock: Clock
    ) -> None:
        self.plan = plan
        self.enabled = True
        self._endpoint, self._target = lane
        self._outbox = outbox
        self._ledger = ledger
        self._offload = offload
        self._clock = clock
        self._ready: deque[Delivery] = deque()
        self._in_flight: set[int] = set()
        self._resting: dict[int, float] = {}  # until when: an error of ours must not spin
        self._next_at = -math.inf  # when the store is worth asking again
        self._wake = anyio.Event()
        self._stopping = False

    def wake(self) -> None:
        """The store may have something new for this lane."""
        self._next_at = -math.inf
        self._wake.set()

    def stop(self) -> None:
        """Begin nothing more; `run` returns when the attempts in flight are over and written down."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Attempt whatever is due, at most `concurrency` at once."""
        async with anyio.create_task_group() as attempts:
            while not self._stopping:
                self._wake = anyio.Event()
                if not self.enabled:
                    self._ready.clear()  # read anew when enabled: much may have happened to them by then
                    self._next_at = -math.inf
                    await self._clock.wait(self._wake, None)
                elif len(self._in_flight) >= self.plan.concurrency:
                    await self._clock.wait(self._wake, None)
                elif self._ready:
                    delivery = self._ready.popleft()
                    self._in_flight.add(delivery.delivery_id)
                    attempts.start_soon(self._attempt, delivery)
                elif self._next_at <= self._clock.steady():
                    await self._refill()
                else:
                    wait_s = self._next_at - self._clock.steady()
                    await self._clock.wait(self._wake, None if math.isinf(wait_s) else wait_s)

    async def _refill(self) -> None:
        now = self._clock.steady()
        self._resting = {each: until_at for each, until_at in self._resting.items() if until_at > now}
        self._next_at = min(self._resting.values(), default=math.inf)
        limit = AHEAD + len(self._in_flight) + len(self._resting)
        due = partial(self._outbox.due, self._endpoint, self._target, now=now, limit=limit)
        try:
            found, next_at = await self._offload(due)
        except StoreError as error:
            log.warning("store.failed", reason=str(error))
            self._next_at = now + growing_s(1, first_s=2.0, most_s=2.0, chance=self._clock.chance())
            return
        free = self.plan.concurrency - len(self._in_flight)
        held = self._in_flight | self._resting.keys()
        fresh = [one for one in found if one.delivery_id not in held]
        # What may be cancelled by its task's end is not kept waiting in memory, where the cancelling is not seen.
        self._ready.extend(one for place, one in enumerate(fresh) if place < free or one.topic not in LIVE_TOPICS)
        if len(found) >= limit or len(self._ready) < len(fresh):
            self._next_at = now
        elif next_at is not None:
            self._next_at = min(self._next_at, next_at)

    async def _attempt(self, delivery: Delivery) -> None:
        try:
            made = await self._tried(delivery)
            await self._ledger.write(made)
        except Exception:
            # The edge of one delivery: what cannot be written down must stop nothing else.
            log.exception("delivery.bug", endpoint=self._endpoint, event_id=delivery.event_id)
            self._resting[delivery.delivery_id] = self._clock.steady() + BUG_PAUSE_S
            self._next_at = -math.inf
        else:
            self._settled(delivery, made)
        self._in_flight.discard(delivery.delivery_id)
        self._wake.set()

    async def _tried(self, delivery: Delivery) -> AttemptMade:
        plan, started_at = self.plan, self._clock.steady()
        try:
            outcome = await plan.sink.deliver(delivery)
        except Exception as error:
            # The edge of one delivery: a fault of ours is one more reason to try again later.
            log.exception("delivery.bug", endpoint=self._endpoint, event_id=delivery.event_id)
            outcome = Deferred(reason=f"internal error: {type(error).__name__}")
        if isinstance(outcome, Refused) and plan.fingerprint != self.plan.fingerprint:
            outcome = Deferred(reason=outcome.reason)  # that was another address than today's
        now = self._clock.steady()
        return settle(
            delivery,
            outcome,
            plan=self.plan.retries,
            now=now,
            duration_s=now - started_at,
            chance=self._clock.chance(),
        )

    def _settled(self, delivery: Delivery, made: AttemptMade) -> None:
        if made.disables:
            self.enabled = False
        if made.state is DeliveryState.WAITING and made.next_attempt_at is not None:
            self._next_at = min(self._next_at, made.next_attempt_at)
        elif delivery.subject:
            self._next_at = -math.inf  # the same task's next delivery may have waited for this one
        self._report(delivery, made)

    def _report(self, delivery: Delivery, made: AttemptMade) -> None:
        keys = {
            "endpoint": delivery.endpoint,
            "topic": delivery.topic,
            "task_id": delivery.subject,
            "event_id": delivery.event_id,
            "attempts": made.attempts,
        }
        if made.state is DeliveryState.ACCEPTED:
            log.info("delivery.accepted", **keys)
        elif made.state is DeliveryState.DEAD:
            log.error("delivery.dead", reason=made.detail, **keys)
        elif made.disables:
            log.error("endpoint.disabled", reason=made.detail, **keys)
        else:
            log.warning("delivery.deferred", reason=made.detail, **keys)


class Dispatcher:
    """All destinations' runners, fed from the store's outbox."""

    def __init__(self, *, outbox: Outbox, ledger: Ledger, offload: Offload, clock: Clock) -> None:
        self._outbox = outbox
        self._ledger = ledger
        self._offload = offload
        self._clock = clock
        self._plans: Mapping[str, EndpointPlan] = {}
        self._lanes: dict[Lane, LaneRunner] = {}
        self._group: anyio.abc.TaskGroup | None = None
        self._stopped = anyio.Event()
        self.finished = anyio.Event()  # set when no attempt is in flight any more

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Hold the lanes' tasks; returns after `stop` when no attempt is in flight any more."""
        async with anyio.create_task_group() as self._group:
            task_status.started()
            await self._stopped.wait()
            for runner in self._lanes.values():
                runner.stop()
        self.finished.set()

    async def configure(self, plans: Mapping[str, EndpointPlan]) -> None:
        """Serve these endpoints from now on. Deliveries of an endpoint that is gone wait unattempted."""
        self._plans = plans
        for (endpoint, _), runner in self._lanes.items():
            if endpoint not in plans:
                runner.enabled = False  # not gone: when it comes back, what is in flight is not begun twice
        longest_s = max((plan.retries.longest_s for plan in plans.values()), default=None)
        if longest_s is not None:
            await self._offload(partial(self._outbox.hasten, latest_at=self._clock.steady() + longest_s))
        await self.refresh()

    async def refresh(self) -> None:
        """See what others did to the store: new lanes, redeliveries, endpoints enabled. StoreError passes through."""
        prints = {name: plan.fingerprint for name, plan in self._plans.items()}
        stored = await self._offload(self._outbox.lanes)
        # Last, so that no outcome is committed between this reading and its use.
        disabled = await self._offload(self._outbox.disabled, prints)
        today = [(name, target) for name, plan in self._plans.items() for target in plan.sink.targets()]
        for lane in dict.fromkeys([*today, *stored]):
            self._serve(lane, disabled)
        self.wake(self._lanes)

    def wake(self, lanes: Collection[Lane] | Iterable[Lane]) -> None:
        """These lanes have something new."""
        for lane in lanes:
            self._serve(lane, None)
            if lane in self._lanes:
                self._lanes[lane].wake()

    def stop(self) -> None:
        """Begin no attempt; let `run` return when those in flight are over."""
        self._stopped.set()

    def _serve(self, lane: Lane, disabled: Mapping[str, str] | None) -> None:
        plan = self._plans.get(lane[0])
        if plan is None or self._group is None or self._stopped.is_set():
            return
        runner = self._lanes.get(lane)
        if runner is None:
            runner = self._lanes[lane] = LaneRunner(
                lane, plan=plan, outbox=self._outbox, ledger=self._ledger, offload=self._offload, clock=self._clock
            )
            self._group.start_soon(runner.run)
        runner.plan = plan
        if disabled is not None:
            runner.enabled = lane[0] not in disabled
