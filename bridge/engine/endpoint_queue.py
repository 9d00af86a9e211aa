"""The queue of one target: fetches deliveries shortly before they are due, attempts them, stores the outcomes."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import anyio
import anyio.abc

from bridge.domain.backoff import growing_s
from bridge.domain.delivery import AttemptMade, Deferred, Delivery, Refused, settle
from bridge.domain.delivery_state import DeliveryState
from bridge.domain.event import END_TOPICS, SUPERSEDED_BY_END, TASK_TOPICS
from bridge.domain.slots import ALL_SLOTS, WHOLE, Portion
from bridge.engine.membership import Lease
from bridge.engine.plans import EndpointPlan
from bridge.engine.write_batcher import QueueKey, WriteBatcher
from bridge.errors import StoreError
from bridge.logs import get_logger
from bridge.metrics import EndpointMetrics
from bridge.ports import MOST_BYTES, Clock, Offload, Outbox

log = get_logger()

MAX_UNSTORED: Final = 256  # maximum number of outcomes that are not on disk yet: a crash repeats their attempts
BLOCKED_S: Final = 1.0  # how often to check again without a lease, or during a hand-over
MAX_ORDER_S: Final = 60.0  # how long one message in retry may delay later ones
MOST_LOGGED: Final = 5  # failures in a row; of more, every doubling of their number is logged
BUG_PAUSE_S: Final = 60.0  # when to retry a delivery after its outcome could not be stored


class EndpointQueue:
    """Serves one target until stopped. Assign `plan` to change the settings. Calls `failed` with the endpoint
    after each attempt that was not accepted.

    An attempt occupies one of the endpoint's slots until it is answered. Its outcome is stored afterwards, together
    with others; until then no other delivery of the same task is attempted.
    """

    def __init__(
        self,
        key: QueueKey,
        *,
        plan: EndpointPlan,
        lease: Lease,
        outbox: Outbox,
        writes: WriteBatcher,
        offload: Offload,
        clock: Clock,
        metrics: EndpointMetrics,
        failed: Callable[[str], None],
    ) -> None:
        self.plan = plan
        self.enabled = True
        self._lease = lease
        self._slots = ALL_SLOTS  # the slots whose deliveries this daemon attempts
        self._portion = WHOLE
        self._endpoint, self._target = key
        self._outbox = outbox
        self._writes = writes
        self._offload = offload
        self._clock = clock
        self._failed = failed
        self._metrics = metrics
        self._ready: deque[Delivery] = deque()
        self._ready_bytes = 0  # size of their bodies, which may contain pictures
        self._in_flight = 0
        # The deliveries that are ready, in flight or not stored, with their slots.
        self._unfinished: dict[int, int] = {}
        self._postponed: dict[int, float] = {}  # deliveries that are postponed after a bug in genbridge, and until when
        self._fetch_at = -math.inf  # when the store may have something new
        self._wait_until_at = -math.inf  # requested by the receiver
        self.stored_wait_until_at = -math.inf  # the wait that is known to be in the store
        self._paused_until = -math.inf  # set by a person
        self._failing_since: float | None = None  # the first failure since the last success
        self._failures = 0  # since the last success
        self._unstored_retries: set[int] = set()  # until they are stored, later deliveries must not get ahead of them
        self._chance = clock.chance()  # one jitter for all retries of an ordered queue keeps their order
        self._left_some = False  # the store has more due deliveries, which need a free slot first
        self._workers = 0
        self._finished = anyio.Event()  # set when an unfinished delivery is stored or postponed
        self._changed = anyio.Event()
        self._stopping = False

    def wake(self) -> None:
        """The store may have something new for this queue."""
        self._fetch_at = -math.inf
        self._changed.set()

    def apply_stored_wait(self, until_at: float | None, *, before: float) -> None:
        """Let the queue wait as the store says (None: no wait). `before` is the value of `stored_wait_until_at` before
        the store was read: if a wait was stored since then, it stays."""
        if until_at is not None:
            if until_at != self.stored_wait_until_at:  # otherwise a wait from a wrong clock would begin again
                self.stored_wait_until_at = until_at
                self._wait_until(until_at)
        elif before == self.stored_wait_until_at >= self._wait_until_at:
            self.stored_wait_until_at = self._wait_until_at = -math.inf

    def _wait_until(self, until_at: float) -> None:
        latest_at = self._clock.steady() + self.plan.retries.most_wait_s  # a later time comes from a wrong clock
        if self._wait_until_at < min(until_at, latest_at):
            self._wait_until_at = min(until_at, latest_at)
            self._drop_ready()  # the wait may last long
            self._changed.set()

    def pause(self, until_at: float) -> None:
        """Start no attempt before this time: a person has paused the endpoint."""
        if until_at != self._paused_until:
            self._paused_until = until_at
            self._drop_ready()
            self._changed.set()

    def set_shares(self, slots: frozenset[int], portion: Portion) -> None:
        """Attempt only deliveries in these slots, within this portion of the concurrency."""
        self._slots, self._portion = slots, portion
        self._drop_ready()
        self._changed.set()

    async def quiet(self) -> None:
        """Return when all attempts in slots that this daemon does not hold are finished and stored."""
        while not self._slots.issuperset(self._unfinished.values()):
            if self._finished.is_set():  # otherwise another caller is waiting for this event
                self._finished = anyio.Event()
            await self._finished.wait()

    @property
    def _concurrency(self) -> int:
        return self._portion.of_count(self.plan.concurrency)

    def stop(self) -> None:
        """Start no more attempts; `run` returns when all attempts in flight are answered, or interrupted if
        they are resumable."""
        self._stopping = True
        self._changed.set()

    async def run(self) -> None:
        """Attempt everything that is due, at most `concurrency` at once."""
        async with anyio.create_task_group() as workers:
            while not self._stopping:
                self._changed = anyio.Event()
                if not self.enabled:
                    self._drop_ready()
                elif self._must_fetch():
                    await self._fetch()
                room = min(self._concurrency - self._workers, len(self._ready)) if self._may_start() else 0
                for _ in range(room):
                    self._workers += 1
                    workers.start_soon(self._work)
                if not self._lease.is_held:
                    await self._clock.wait(self._changed, BLOCKED_S)
                elif not self._must_fetch():
                    await self._clock.wait(self._changed, self._idle_s())
            if self.plan.is_resumable:
                workers.cancel_scope.cancel()

    def _idle_s(self) -> float | None:
        """How long to wait unless `wake` is called; None: without limit."""
        now, opens_at = self._clock.steady(), self._opens_at
        wait_s = (opens_at if opens_at > now else self._fetch_at) - now
        return wait_s if self.enabled and 0 < wait_s < math.inf else None

    @property
    def _opens_at(self) -> float:
        """When attempts may start, according to the receiver and to people."""
        return max(self._wait_until_at, self._paused_until)

    def _may_start(self) -> bool:
        """Whether another attempt may start. While the store cannot be written, only few may, because a crash would
        repeat them."""
        if not self.enabled or self._stopping or self._clock.steady() < self._opens_at or not self._lease.is_held:
            return False
        if self.plan.in_order and self._unstored_retries:
            return False
        unstored = len(self._unfinished) - len(self._ready) - self._in_flight
        return unstored < (self._concurrency if self._writes.is_blocked else MAX_UNSTORED)

    def _must_fetch(self) -> bool:
        if self._fetch_at > self._clock.steady() or not self._may_start():
            return False
        if self._left_some:
            return not self._ready and self._in_flight < self._concurrency
        return self._has_few()

    def _has_few(self) -> bool:
        """Whether the ready deliveries will soon be used up."""
        return len(self._ready) < (self.plan.ahead + 1) // 2 and self._ready_bytes < MOST_BYTES // 2

    def _drop_ready(self) -> None:
        """Drop the fetched deliveries. They may change before they can be attempted, so they are fetched again
        later."""
        for one in self._ready:
            del self._unfinished[one.delivery_id]
        self._ready.clear()
        self._ready_bytes = 0
        self._fetch_at = -math.inf

    async def _fetch(self) -> None:
        """Fetch due deliveries, and decide when to fetch again."""
        now = self._clock.steady()
        self._postponed = {each: until_at for each, until_at in self._postponed.items() if until_at > now}
        self._fetch_at = min(self._postponed.values(), default=math.inf)
        due = partial(
            self._outbox.due,
            self._endpoint,
            self._target,
            now=now,
            limit=self.plan.ahead,
            apart_from=self._unfinished.keys() | self._postponed.keys(),
            in_order=self.plan.in_order,
        )
        try:
            found, next_at = await self._offload(due)
        except StoreError:
            self._fetch_at = now + growing_s(1, first_s=2.0, most_s=2.0, chance=self._clock.chance())
            return
        except Exception:
            # A bug with one queue must not stop the others.
            log.exception("delivery.bug", endpoint=self._endpoint, target=self._target)
            self._fetch_at = now + BUG_PAUSE_S
            return
        if not self.enabled or self._clock.steady() < self._opens_at:
            self._fetch_at = -math.inf  # fetch again when attempts may start, because these may change until then
            return
        fresh = [one for one in found if one.slot in self._slots]  # other slots are about to be handed over
        self._take(fresh)
        is_full = len(found) >= self.plan.ahead
        if is_full and not fresh:
            self._fetch_at = now + BLOCKED_S
        elif is_full or self._left_some:
            self._fetch_at = now
        elif next_at is not None:
            self._fetch_at = min(self._fetch_at, next_at)

    def _take(self, fresh: Sequence[Delivery]) -> None:
        """Make fetched deliveries ready. When a task finishes, the store cancels its waiting `task_running`. It cannot
        cancel one in memory, so none is kept there unless it is attempted at once."""
        free = self._concurrency - self._in_flight - len(self._ready)
        taken = [one for place, one in enumerate(fresh) if place < free or one.topic not in SUPERSEDED_BY_END]
        self._left_some = len(taken) < len(fresh)
        self._ready.extend(taken)
        if self.plan.in_order:
            self._ready = deque(sorted(self._ready, key=lambda one: one.delivery_id))
        self._ready_bytes += sum(len(one.body) for one in taken)
        self._unfinished.update((one.delivery_id, one.slot) for one in taken)

    async def _work(self) -> None:
        """Attempt deliveries one after the other, until none is ready."""
        while self._ready and self._may_start() and self._workers <= self._concurrency:
            delivery = self._ready.popleft()
            self._ready_bytes -= len(delivery.body)
            self._in_flight += 1
            if self._has_few():
                self._changed.set()
            try:
                made = await self._attempt(delivery)
            except Exception as error:
                self._postpone(delivery, error)
                continue
            finally:
                self._in_flight -= 1
            self._metrics.attempts[made.outcome] += 1
            self._metrics.answers.add(made.duration_s)
            if made.disables:
                self.enabled = False  # now, because hundreds more could start before this is stored
            made = self._keep_order(made)
            if made.queue_until is not None:
                self._wait_until(made.queue_until)
            self._writes.submit(
                made, then=partial(self._stored, delivery, made), failed=partial(self._not_stored, delivery, made)
            )
        self._workers -= 1
        self._changed.set()

    def _postpone(self, delivery: Delivery, error: Exception) -> None:
        """Do not attempt this delivery for a minute: a bug while handling its outcome must not stop anything else."""
        log.error("delivery.bug", endpoint=self._endpoint, event_id=delivery.event_id, exc_info=error)
        self._postponed[delivery.delivery_id] = self._clock.steady() + BUG_PAUSE_S
        self._fetch_at = -math.inf
        self._finish(delivery)

    def _finish(self, delivery: Delivery) -> None:
        self._unfinished.pop(delivery.delivery_id, None)
        self._unstored_retries.discard(delivery.delivery_id)
        self._finished.set()

    async def _attempt(self, delivery: Delivery) -> AttemptMade:
        plan, started_at = self.plan, self._clock.steady()
        try:
            outcome = await plan.sink.deliver(delivery)
        except Exception as error:
            # A bug in genbridge counts as a failed attempt, which is retried.
            log.exception("delivery.bug", endpoint=self._endpoint, event_id=delivery.event_id)
            outcome = Deferred(reason=f"internal error: {type(error).__name__}")
        if isinstance(outcome, Refused) and plan.fingerprint != self.plan.fingerprint:
            outcome = Deferred(reason=outcome.reason)  # the settings of the endpoint have changed during the attempt
        now = self._clock.steady()
        return settle(
            delivery,
            outcome,
            plan=self.plan.retries,
            now=now,
            duration_s=now - started_at,
            chance=self._chance if self.plan.in_order else self._clock.chance(),
            ahead_s=self._clock.now() - now,
        )

    def _keep_order(self, made: AttemptMade) -> AttemptMade:
        """In an ordered queue, make later messages wait for a retry, but at most a minute in total. So neither a
        message that is never accepted nor a service that is down stops them for good."""
        if made.state is DeliveryState.ACCEPTED:
            self._failing_since = None
        elif self._failing_since is None:
            self._failing_since = made.at
        if not self.plan.in_order or made.disables or made.next_attempt_at is None or self._failing_since is None:
            return made
        self._unstored_retries.add(made.delivery_id)
        if made.next_attempt_at - self._failing_since > MAX_ORDER_S:
            return made
        return replace(made, queue_until=max(made.next_attempt_at, made.queue_until or made.next_attempt_at))

    def _not_stored(self, delivery: Delivery, made: AttemptMade, error: Exception) -> None:
        self._changed.set()
        self._postpone(delivery, error)
        self.enabled = self.enabled or made.disables

    def _stored(self, delivery: Delivery, made: AttemptMade, applied: bool) -> None:
        self._changed.set()  # first, so that the queue continues even if the rest fails
        self._finish(delivery)
        if made.queue_until is not None:
            self.stored_wait_until_at = max(self.stored_wait_until_at, made.queue_until)
        if made.disables:
            self.enabled = False
        if applied and made.state is DeliveryState.WAITING and made.next_attempt_at is not None:
            self._fetch_at = min(self._fetch_at, made.next_attempt_at)
        elif delivery.subject:
            self._fetch_at = -math.inf  # the task's next delivery may have waited for this one
        if made.state is not DeliveryState.ACCEPTED:
            self._failed(self._endpoint)
        elif delivery.topic in END_TOPICS:
            self._metrics.delivery_s.observe(self._clock.now() - delivery.created_at)
        self._log(delivery, made)

    def _log(self, delivery: Delivery, made: AttemptMade) -> None:
        keys = {
            "endpoint": delivery.endpoint,
            "topic": delivery.topic,
            "task_id": delivery.subject if delivery.topic in TASK_TOPICS else "",
            "event_id": delivery.event_id,
            "attempts": made.attempts,
        }
        self._failures = 0 if made.state is DeliveryState.ACCEPTED else self._failures + 1
        if made.state is DeliveryState.ACCEPTED:
            log.info("delivery.accepted", **keys)
        elif made.state is DeliveryState.DEAD:
            log.error("delivery.dead", reason=made.detail, **keys)
        elif made.disables:
            log.error("endpoint.disabled", reason=made.detail, **keys)
        elif self._failures <= MOST_LOGGED or self._failures.bit_count() == 1:
            log.warning("delivery.deferred", reason=made.detail, failures=self._failures, **keys)
        else:
            log.debug("delivery.deferred", reason=made.detail, failures=self._failures, **keys)
