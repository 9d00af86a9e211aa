"""One destination's queue: fetches what is due a little ahead, attempts it, and has the outcomes written down."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import Final

import anyio
import anyio.abc

from bridge.domain.backoff import RetryPlan, growing_s
from bridge.domain.delivery import AttemptMade, Deferred, Delivery, DeliveryState, Refused, settle
from bridge.domain.event import LIVE_TOPICS
from bridge.domain.shares import ALL_SLOTS, WHOLE, Part, groups_for
from bridge.engine.ledger import Lane, Ledger
from bridge.engine.membership import Lease
from bridge.errors import StoreError
from bridge.logs import get_logger
from bridge.ports import MOST_BYTES, Clock, Offload, Outbox, Sink

log = get_logger()

AHEAD: Final = 512  # deliveries fetched in one go: with 128, a burst of 5,000 ends is told at two thirds of the speed
UNWRITTEN: Final = 256  # so many outcomes may be on their way to the disk: a crash repeats those attempts
STUCK_S: Final = 1.0  # without a lease, and while a hand-over lasts: how often to look again
BUG_PAUSE_S: Final = 60.0  # how long a delivery rests after its outcome could not be written down


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPlan:
    """How one endpoint is to be served, by today's settings."""

    sink: Sink
    concurrency: int
    retries: RetryPlan
    fingerprint: str  # of its settings; a change enables an endpoint that answered 410

    @property
    def groups(self) -> int:
        """Among how many daemons at most it can be divided."""
        return groups_for(self.concurrency)


class LaneRunner:
    """Serves one destination until stopped. `plan` may be replaced at any time.

    An attempt takes one of the endpoint's places until it has been answered; the outcome is written down together
    with others after that, and until then nothing else of its task is handed out.
    """

    def __init__(
        self,
        lane: Lane,
        *,
        plan: EndpointPlan,
        lease: Lease,
        outbox: Outbox,
        ledger: Ledger,
        offload: Offload,
        clock: Clock,
    ) -> None:
        self.plan = plan
        self.enabled = True
        self._lease = lease
        self._slots = ALL_SLOTS  # whose deliveries are ours to make
        self._part = WHOLE
        self._endpoint, self._target = lane
        self._outbox = outbox
        self._ledger = ledger
        self._offload = offload
        self._clock = clock
        self._ready: deque[Delivery] = deque()
        self._ready_bytes = 0  # of their bodies: some hold pictures
        self._under_way = 0
        self._held: dict[int, int] = {}  # ready, under way, or answered and not yet written down; each with its slot
        self._resting: dict[int, float] = {}  # until when: an error of ours must not spin
        self._next_at = -math.inf  # when the store is worth asking again
        self._left_some = False  # it has some that are not worth fetching before there is a place for them
        self._workers = 0
        self._over = anyio.Event()  # something that was held
        self._wake = anyio.Event()
        self._stopping = False

    def wake(self) -> None:
        """The store may have something new for this lane."""
        self._next_at = -math.inf
        self._wake.set()

    def hold(self, slots: frozenset[int], part: Part) -> None:
        """Make the deliveries of these slots alone, within this part of the concurrency."""
        self._slots, self._part = slots, part
        self._forget_ready()
        self._wake.set()

    async def quiet(self) -> None:
        """Return when every attempt at a delivery of a slot that is not held is over and written down."""
        while not self._slots.issuperset(self._held.values()):
            if self._over.is_set():  # else others wait for this one
                self._over = anyio.Event()
            await self._over.wait()

    @property
    def _concurrency(self) -> int:
        return self._part.of_count(self.plan.concurrency)

    def stop(self) -> None:
        """Begin nothing more; `run` returns when the attempts in flight have been answered."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Attempt whatever is due, at most `concurrency` at once."""
        async with anyio.create_task_group() as workers:
            while not self._stopping:
                self._wake = anyio.Event()
                if not self.enabled:
                    self._forget_ready()
                elif self._is_hungry():
                    await self._refill()
                for _ in range(self._room()):
                    self._workers += 1
                    workers.start_soon(self._work)
                if not self._lease.is_held:
                    await self._clock.wait(self._wake, STUCK_S)
                elif not self._is_hungry():
                    wait_s = self._next_at - self._clock.steady()
                    is_idle = self.enabled and 0 < wait_s < math.inf
                    await self._clock.wait(self._wake, wait_s if is_idle else None)

    def _room(self) -> int:
        """How many more workers there is work for."""
        return min(self._concurrency - self._workers, len(self._ready)) if self._may_begin() else 0

    def _may_begin(self) -> bool:
        """Whether another attempt may be begun. While the store cannot be written few go out, for a crash would repeat
        them; whoever waits for one of ours to be written is woken then."""
        unwritten = len(self._held) - len(self._ready) - self._under_way
        most = self._concurrency if self._ledger.is_stuck else UNWRITTEN
        return self.enabled and not self._stopping and unwritten < most and self._lease.is_held

    def _is_hungry(self) -> bool:
        """Whether to fetch more from the store now."""
        if self._next_at > self._clock.steady() or not self._may_begin():
            return False
        if self._left_some:
            return not self._ready and self._under_way < self._concurrency
        return self._has_few()

    def _has_few(self) -> bool:
        """Whether what is ready will soon be gone."""
        return len(self._ready) < AHEAD // 2 and self._ready_bytes < MOST_BYTES // 2

    def _forget_ready(self) -> None:
        """Let go of what is ready: it is read anew when enabled, for much may have happened to it by then."""
        for one in self._ready:
            del self._held[one.delivery_id]
        self._ready.clear()
        self._ready_bytes = 0
        self._next_at = -math.inf

    async def _refill(self) -> None:
        now = self._clock.steady()
        self._resting = {each: until_at for each, until_at in self._resting.items() if until_at > now}
        self._next_at = min(self._resting.values(), default=math.inf)
        held = self._held.keys() | self._resting.keys()
        due = partial(self._outbox.due, self._endpoint, self._target, now=now, limit=AHEAD, apart_from=held)
        try:
            found, next_at = await self._offload(due)
        except StoreError as error:
            log.warning("store.failed", reason=str(error))
            self._next_at = now + growing_s(1, first_s=2.0, most_s=2.0, chance=self._clock.chance())
            return
        # Those of other slots are about to be handed over.
        fresh = [one for one in found if one.slot in self._slots]
        # What may be cancelled by its task's end is not kept waiting in memory, where the cancelling is not seen.
        free = self._concurrency - self._under_way - len(self._ready)
        taken = [one for place, one in enumerate(fresh) if place < free or one.topic not in LIVE_TOPICS]
        self._ready.extend(taken)
        self._ready_bytes += sum(len(one.body) for one in taken)
        self._held.update((one.delivery_id, one.slot) for one in taken)
        self._left_some = len(taken) < len(fresh)
        if len(found) >= AHEAD and not fresh:
            self._next_at = now + STUCK_S
        elif len(found) >= AHEAD or self._left_some:
            self._next_at = now
        elif next_at is not None:
            self._next_at = min(self._next_at, next_at)

    async def _work(self) -> None:
        """Attempt one after the other, as long as some are ready."""
        while self._ready and self._may_begin() and self._workers <= self._concurrency:
            delivery = self._ready.popleft()
            self._ready_bytes -= len(delivery.body)
            self._under_way += 1
            if self._has_few():
                self._wake.set()
            try:
                made = await self._tried(delivery)
            finally:
                self._under_way -= 1
            if made.disables:
                self.enabled = False  # before it is written down: in a burst hundreds would be begun meanwhile
            self._ledger.post(made, then=partial(self._written, delivery, made))
        self._workers -= 1
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

    def _written(self, delivery: Delivery, made: AttemptMade, applied: bool, failure: Exception | None) -> None:
        self._held.pop(delivery.delivery_id, None)
        self._over.set()
        if failure is not None:
            # The edge of one delivery: what cannot be written down must stop nothing else.
            log.error("delivery.bug", endpoint=self._endpoint, event_id=delivery.event_id, exc_info=failure)
            self._resting[delivery.delivery_id] = self._clock.steady() + BUG_PAUSE_S
            self._next_at = -math.inf
            self.enabled = self.enabled or made.disables
        else:
            self._settled(delivery, made)
        self._wake.set()

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
