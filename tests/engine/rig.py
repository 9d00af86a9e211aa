"""An engine on a store in memory, a clock moved by hand, a scripted provider and a recording sink."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import anyio

from bridge.domain.backoff import RetryPlan
from bridge.domain.cadence import Pacing
from bridge.domain.change import Note
from bridge.domain.durations.learned_durations import LearnedDurations
from bridge.domain.event import ENDPOINT_TOPICS, ON_REQUEST, Event, Parcel, Topic
from bridge.domain.rate_limiter import RateLimits
from bridge.domain.task import Reading, ReadingKind, Snapshot
from bridge.domain.watch import Rules, Wish
from bridge.engine.callback_hints import CallbackHints
from bridge.engine.dispatcher import Dispatcher
from bridge.engine.membership import Lease
from bridge.engine.plans import AccountPlan, EndpointPlan
from bridge.engine.poller import Poller
from bridge.engine.store_intake import StoreIntake
from bridge.engine.write_batcher import WriteBatcher
from bridge.errors import StoreError
from bridge.metrics import Metrics
from bridge.providers.callbacks import DescribedCallbacks
from bridge.providers.catalogue import BUILT_IN
from bridge.store import Store, open_store
from tests.fakes import DirectOffload, FakeClock, RecordingSink, ScriptedProvider

URL = "https://cdn.example.test/a.mp4"
SUCCEEDED = Reading(
    kind=ReadingKind.SUCCEEDED, snapshot=Snapshot(status="succeed", result={"videos": [{"url": URL}]}, urls=(URL,))
)
RUNNING = Reading(kind=ReadingKind.RUNNING)
NOT_FOUND = Reading(kind=ReadingKind.NOT_FOUND, detail="no such task")
REVOKED = Reading(kind=ReadingKind.AUTH_ERROR, detail="HTTP 401: code 1002")
BROKEN = Reading(kind=ReadingKind.TRANSIENT, detail="HTTP 500", server_trouble=True)


class TornCommits:
    """A store whose next commits fail, as on a full disk. Everything else passes through."""

    def __init__(self, store: Store) -> None:
        self.failures = 0
        self.store = store

    def commit(self, *args: Any) -> list[bool]:
        if self.failures:
            self.failures -= 1
            raise StoreError("disk full")
        return self.store.commit(*args)

    def note(self, notes: Sequence[Note]) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreError("disk full")
        self.store.note(notes)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    def accounts(self) -> Any:
        return self.store.accounts()


class Rig:
    """The parts of the engine, with short methods for tests."""

    def __init__(
        self,
        *,
        limits: RateLimits | None = None,
        rules: Rules | None = None,
        pacing: Pacing | None = None,
        retries: Sequence[float] = (5.0, 300.0),
        targets: Sequence[str] = ("",),
        concurrency: int = 4,
        requested_topics: frozenset[Topic] = frozenset(),
        answer_s: float = 0.0,
        in_order: bool = False,
        notes_every_s: float = 1.0,
        earlier: Rig | None = None,
    ) -> None:
        self.clock: FakeClock = earlier.clock if earlier else FakeClock()
        self.clock.luck = 0.0
        self.store: Store = earlier.store if earlier else open_store(":memory:", create=True, group_access=False)
        self.torn = TornCommits(self.store)
        self.provider: ScriptedProvider = (
            earlier.provider if earlier else ScriptedProvider(self.clock, answer_s=answer_s)
        )
        self.sink: RecordingSink = earlier.sink if earlier else RecordingSink("hook", self.clock, targets=targets)
        self.limits, self.rules, self.pacing = limits or RateLimits(), rules or Rules(), pacing or Pacing()
        self.retries, self.concurrency = RetryPlan(steps_s=tuple(retries)), concurrency
        self.requested_topics = requested_topics
        self.fingerprint = "as first set"
        self.elsewhere = ""  # an endpoint that is not served here and gets the events about other endpoints
        self.in_order: bool = earlier.in_order if earlier else in_order
        self.host = "api.example.com"
        self.callback_reader = DescribedCallbacks(BUILT_IN["kling"].callback)
        self._build(notes_every_s)

    def _build(self, notes_every_s: float) -> None:
        """Connect the parts, as `bridge.wiring.parts` does."""
        offload = DirectOffload()
        self.metrics = Metrics()
        self.writes = WriteBatcher(
            commits=self.torn,
            watches=self.torn,
            offload=offload,
            clock=self.clock,
            metrics=self.metrics,
            notes_every_s=notes_every_s,
        )
        self.writes.parcels_for = self.parcels_for
        self.knowledge = LearnedDurations()
        self.lease = Lease(self.clock)
        self.poller = Poller(
            watches=self.torn,
            offload=offload,
            writes=self.writes,
            clock=self.clock,
            lease=self.lease,
            knowledge=self.knowledge,
            metrics=self.metrics,
        )
        self.dispatcher = Dispatcher(
            outbox=self.store,
            writes=self.writes,
            lease=self.lease,
            offload=offload,
            clock=self.clock,
            metrics=self.metrics,
        )
        self.writes.wake = self.dispatcher.wake
        self.hints = CallbackHints(
            poller=self.poller, store=self.store, offload=offload, clock=self.clock, metrics=self.metrics
        )
        self.hints.open()
        self.intake = StoreIntake(watches=self.store, offload=offload, clock=self.clock, changed=self.fetch)

    def restarted(self) -> Rig:
        """A new engine with the store, clock, provider and sink of this one, which must be canceled before."""
        return Rig(limits=self.limits, rules=self.rules, pacing=self.pacing, earlier=self)

    def parcels_for(self, event: Event) -> Sequence[Parcel]:
        if event.topic in ON_REQUEST and event.topic not in self.requested_topics:
            return []
        if event.topic in ENDPOINT_TOPICS:
            return [Parcel(endpoint=self.elsewhere, target="", body=b"x")] if self.elsewhere else []
        return self.sink.parcels(event)

    async def fetch(self) -> None:
        await self.poller.fetch_changes()

    def plan(self, provider: ScriptedProvider) -> AccountPlan:
        return AccountPlan(
            provider=provider,
            provider_name="kling",
            host=self.host,
            limits=self.limits,
            pacing=self.pacing,
            rules=self.rules,
            requested_topics=self.requested_topics,
            callbacks=self.callback_reader,
        )

    async def configure(self, **others: ScriptedProvider) -> None:
        plans = {name: self.plan(provider) for name, provider in {"kling": self.provider, **others}.items()}
        self.poller.configure(plans, self.store.accounts())
        endpoint = EndpointPlan(
            sink=self.sink,
            concurrency=self.concurrency,
            retries=self.retries,
            fingerprint=self.fingerprint,
            in_order=self.in_order,
        )
        await self.dispatcher.configure({"hook": endpoint})
        await self.poller.load()

    @asynccontextmanager
    async def running(self, **others: ScriptedProvider) -> AsyncIterator[Rig]:
        async with anyio.create_task_group() as group:
            group.start_soon(self.writes.run)
            await group.start(self.poller.run)
            await group.start(self.dispatcher.run)
            await self.configure(**others)
            yield self
            group.cancel_scope.cancel()

    @asynccontextmanager
    async def beside(self, work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
        """Run this at the same time as the engine, to its end."""
        async with anyio.create_task_group() as group:
            group.start_soon(work)
            yield

    async def watch(self, *ids: str, account: str = "kling", **more: Any) -> None:
        wishes = [Wish(account=account, task_id=task_id, action="videos/text2video", **more) for task_id in ids]
        await self.intake.add(wishes, source="test")

    def script(self, task_id: str, *readings: Reading) -> None:
        self.provider.scripts[task_id] = list(readings)

    def topics(self) -> list[str]:
        return [delivery.topic for _, delivery in self.sink.handed]

    def phase(self, task_id: str) -> str:
        return self.store.find(task_id, None)[0].state.memory.phase

    def gaps(self, task_id: str) -> list[float]:
        asked = self.provider.polls_of(task_id)
        return [round(later - earlier, 3) for earlier, later in pairwise(asked)]
