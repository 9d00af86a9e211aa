"""Hands committed events over: one queue per destination, so that none ever waits for another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final

import anyio
import anyio.abc

from bridge.domain.shares import Part, Share, endpoint_scope, part_held, slots_held
from bridge.engine.lane import EndpointPlan, LaneRunner
from bridge.engine.ledger import Lane, Ledger
from bridge.engine.membership import Lease
from bridge.ports import Clock, Offload, Outbox

NOTHING: Final = frozenset[int](), Part(0, 1)


class Dispatcher:
    """All destinations' runners, fed from the store's outbox."""

    def __init__(self, *, outbox: Outbox, ledger: Ledger, lease: Lease, offload: Offload, clock: Clock) -> None:
        self._outbox = outbox
        self._lease = lease
        self._ledger = ledger
        self._offload = offload
        self._clock = clock
        self._plans: Mapping[str, EndpointPlan] = {}
        self._lanes: dict[Lane, LaneRunner] = {}
        self._holds: dict[str, tuple[frozenset[int], Part]] = {}  # by endpoint, where several daemons share the work
        self._group: anyio.abc.TaskGroup | None = None
        self._stopped = anyio.Event()
        self.finished = anyio.Event()  # set when no attempt is in flight any more

    async def run(self, *, task_status: anyio.abc.TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Hold the lanes' tasks; returns after `stop` when no attempt is in flight any more. Cancelled, it is over."""
        try:
            async with anyio.create_task_group() as self._group:
                task_status.started()
                await self._stopped.wait()
                for runner in self._lanes.values():
                    runner.stop()
        finally:
            self._stopped.set()
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
        self.wake_all()

    def hold(self, held: frozenset[Share]) -> None:
        """Deliver what these shares hold, within their part of each endpoint's concurrency."""
        for name, plan in self._plans.items():
            scope = endpoint_scope(name)
            self._holds[name] = slots_held(scope, held), part_held(scope, plan.groups, held)
        for (name, _), runner in self._lanes.items():
            # Of an endpoint that is gone nothing is held, so that its last attempts are waited for.
            runner.hold(*(self._holds[name] if name in self._plans else NOTHING))

    async def quiet(self) -> None:
        """Return when no attempt is under way at a delivery that this daemon does not hold."""
        for runner in list(self._lanes.values()):
            await runner.quiet()

    def wake_all(self) -> None:
        """Any lane may have something new."""
        self.wake(list(self._lanes))

    def wake(self, lanes: Iterable[Lane]) -> None:
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
                lane,
                plan=plan,
                lease=self._lease,
                outbox=self._outbox,
                ledger=self._ledger,
                offload=self._offload,
                clock=self._clock,
            )
            if lane[0] in self._holds:
                runner.hold(*self._holds[lane[0]])
            self._group.start_soon(runner.run)
        runner.plan = plan
        if disabled is not None:
            runner.enabled = lane[0] not in disabled
