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
from bridge.domain.durations.knowledge import Knowledge
from bridge.domain.event import LIVE_TOPICS, Event, Parcel, Topic
from bridge.domain.limits import Limits
from bridge.domain.task import Kind, Reading, Snapshot
from bridge.domain.watch import Rules, Wish
from bridge.engine.dispatcher import Dispatcher
from bridge.engine.intake import StoreIntake
from bridge.engine.lane import EndpointPlan
from bridge.engine.ledger import Ledger
from bridge.engine.membership import Lease
from bridge.engine.poller import Poller
from bridge.engine.steps import AccountPlan
from bridge.errors import StoreError
from bridge.store import SqliteStore, open_store
from tests.fakes import DirectOffload, FakeClock, RecordingSink, ScriptedProvider

URL = "https://cdn.example.test/a.mp4"
SUCCEEDED = Reading(
    kind=Kind.SUCCEEDED, snapshot=Snapshot(status="succeed", result={"videos": [{"url": URL}]}, urls=(URL,))
)
RUNNING = Reading(kind=Kind.RUNNING)
NOT_FOUND = Reading(kind=Kind.NOT_FOUND, detail="no such task")
REVOKED = Reading(kind=Kind.AUTH_ERROR, detail="HTTP 401: code 1002")
BROKEN = Reading(kind=Kind.TRANSIENT, detail="HTTP 500", server_trouble=True)


class TornCommits:
    """A store whose next commits fail, as a full disk does; everything else passes through."""

    def __init__(self, store: SqliteStore) -> None:
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
    """The parts, by name, and short words for what tests do with them."""

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        rules: Rules | None = None,
        pacing: Pacing | None = None,
        retries: Sequence[float] = (5.0, 300.0),
        targets: Sequence[str] = ("",),
        concurrency: int = 4,
        live_topics: frozenset[Topic] = frozenset(),
        answer_s: float = 0.0,
        notes_every_s: float = 1.0,
        earlier: Rig | None = None,
    ) -> None:
        self.clock: FakeClock = earlier.clock if earlier else FakeClock()
        self.clock.luck = 0.0
        self.store: SqliteStore = earlier.store if earlier else open_store(":memory:", create=True, group_access=False)
        self.torn = TornCommits(self.store)
        self.provider: ScriptedProvider = (
            earlier.provider if earlier else ScriptedProvider(self.clock, answer_s=answer_s)
        )
        self.sink: RecordingSink = earlier.sink if earlier else RecordingSink("hook", self.clock, targets=targets)
        self.limits, self.rules, self.pacing = limits or Limits(), rules or Rules(), pacing or Pacing()
        self.retries, self.concurrency, self.live_topics = RetryPlan(steps_s=tuple(retries)), concurrency, live_topics
        self.fingerprint = "as first set"
        self.host = "api.example.com"
        offload = DirectOffload()
        self.ledger = Ledger(
            commits=self.torn,
            watches=self.torn,
            offload=offload,
            clock=self.clock,
            tell=self.tell,
            notes_every_s=notes_every_s,
        )
        self.knowledge = Knowledge()
        self.lease = Lease(self.clock)
        self.poller = Poller(ledger=self.ledger, clock=self.clock, lease=self.lease, knowledge=self.knowledge)
        self.dispatcher = Dispatcher(
            outbox=self.store, ledger=self.ledger, lease=self.lease, offload=offload, clock=self.clock
        )
        self.ledger.told = self.dispatcher.wake
        self.intake = StoreIntake(watches=self.store, offload=offload, clock=self.clock, changed=self.fetch)
        self.revision = 0

    def restarted(self) -> Rig:
        """A new engine on the store, clock, provider and sink of this one, which has been cancelled."""
        return Rig(limits=self.limits, rules=self.rules, pacing=self.pacing, earlier=self)

    def tell(self, event: Event) -> Sequence[Parcel]:
        if event.topic in LIVE_TOPICS and event.topic not in self.live_topics:
            return []
        return [] if event.topic is Topic.ENDPOINT_DISABLED else self.sink.parcels(event)

    async def fetch(self) -> None:
        self.revision, states = self.store.changed(self.revision)
        self.poller.put(states)

    def plan(self, provider: ScriptedProvider) -> AccountPlan:
        return AccountPlan(
            provider=provider,
            provider_name="kling",
            host=self.host,
            limits=self.limits,
            pacing=self.pacing,
            rules=self.rules,
            live_topics=self.live_topics,
        )

    async def configure(self, **others: ScriptedProvider) -> None:
        plans = {name: self.plan(provider) for name, provider in {"kling": self.provider, **others}.items()}
        self.poller.configure(plans, self.store.accounts())
        endpoint = EndpointPlan(
            sink=self.sink, concurrency=self.concurrency, retries=self.retries, fingerprint=self.fingerprint
        )
        await self.dispatcher.configure({"hook": endpoint})
        self.revision = 0
        await self.fetch()

    @asynccontextmanager
    async def running(self, **others: ScriptedProvider) -> AsyncIterator[Rig]:
        async with anyio.create_task_group() as group:
            group.start_soon(self.ledger.run)
            await group.start(self.poller.run)
            await group.start(self.dispatcher.run)
            await self.configure(**others)
            yield self
            group.cancel_scope.cancel()

    @asynccontextmanager
    async def beside(self, work: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
        """Something else that goes on meanwhile, to its end."""
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
