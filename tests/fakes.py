"""Fakes for the interfaces: small, typed, and tested by the same contract tests as the real ones."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeVar

import anyio
import anyio.lowlevel

from bridge.domain.delivery import Accepted, Deferred, Delivery, Outcome
from bridge.domain.event import Event, Parcel
from bridge.domain.ids import WatchKey
from bridge.domain.task import Reading, ReadingKind
from bridge.domain.watch import Wish
from bridge.ports import Added, BatchKey

T = TypeVar("T")
START = 1_762_000_000.0
MOST_TURNS = 40  # turns of the event loop after each instant: more than any chain of wake-ups in the engine needs


class FakeClock:
    """`ports.Clock` that a test moves by hand: `await clock.advance(60)`."""

    def __init__(self, start: float = START) -> None:
        self.wall_offset = 0.0  # how far somebody has moved the wall clock
        self.luck = 0.5
        self._steady = start
        self._order = itertools.count()
        self._sleepers: list[tuple[float, int, Callable[[], None]]] = []

    def now(self) -> float:
        return self._steady + self.wall_offset

    def steady(self) -> float:
        return self._steady

    def chance(self) -> float:
        return self.luck

    async def sleep(self, seconds: float) -> None:
        await self.wait(anyio.Event(), seconds)

    async def wait(self, wake: anyio.Event, timeout_s: float | None) -> bool:
        with anyio.CancelScope() as scope:
            if timeout_s is not None:
                heapq.heappush(self._sleepers, (self._steady + timeout_s, next(self._order), scope.cancel))
            await wake.wait()
        # CPython 3.11 does not trace the callers of a coroutine that a canceled scope has woken, so coverage would be
        # wrong.
        await anyio.lowlevel.checkpoint()
        return wake.is_set()

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass. Everything that becomes due in this time runs, in order."""
        until = self._steady + seconds
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= until:
            at, _, rouse = heapq.heappop(self._sleepers)
            self._steady = max(self._steady, at)
            rouse()
            await self._settle()
        self._steady = until
        await self._settle()

    def stand_still(self, seconds: float) -> None:
        """Let time pass without running any task, as in a stopped process."""
        self._steady += seconds

    def rewind(self, seconds: float) -> None:
        """Set the clock back, as if it was corrected before a restart. Nothing may be waiting."""
        self._steady -= seconds
        self._sleepers.clear()

    async def _settle(self) -> None:
        """Let all other tasks run until each of them waits."""
        try:
            loop: Any = asyncio.get_running_loop()
        except RuntimeError:  # trio has a function for this
            await anyio.wait_all_tasks_blocked()
            return
        for _ in range(MOST_TURNS):  # not forever: a canceled task group around a shielded wait is always ready
            await anyio.lowlevel.checkpoint()
            if not loop._ready:  # asyncio has no public way to see this
                return


class DirectOffload:
    """`ports.Offload` that calls at once, in the thread of the event loop."""

    async def __call__(self, call: Callable[..., T], *args: object) -> T:
        await anyio.lowlevel.checkpoint()
        return call(*args)


class ScriptedProvider:
    """`ports.Provider` that answers each task from its script. The last reading repeats. Records each poll."""

    def __init__(self, clock: FakeClock, *, answer_s: float = 0.0) -> None:
        self.scripts: dict[str, list[Reading]] = {}
        self.default = Reading(kind=ReadingKind.RUNNING)
        self.asked: list[tuple[float, str]] = []
        self.ends: dict[str, float] = {}  # without a script: runs until this time, then has succeeded
        self.has_routes = False  # each action is polled at its own address
        self.most_together = 0  # most tasks in one batch; 0 means no batches
        self.batch_failure: Reading | None = None
        self.batches: list[tuple[float, list[str]]] = []
        self.in_flight = 0
        self.most_in_flight = 0
        self._clock = clock
        self._answer_s = answer_s

    async def poll(self, task_id: str, action: str | None) -> Reading:
        self.asked.append((self._clock.steady(), task_id))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            if self._answer_s:
                await self._clock.sleep(self._answer_s)
            return self._next(task_id)
        finally:
            self.in_flight -= 1

    def batch_key(self, task_id: str, action: str | None) -> BatchKey | None:
        return BatchKey(name=str(action), most=self.most_together) if self.most_together else None

    def route(self, task_id: str, action: str | None) -> str:
        return (action or "") if self.has_routes else ""

    async def poll_batch(self, task_ids: Sequence[str], action: str | None) -> Mapping[str, Reading] | Reading:
        self.batches.append((self._clock.steady(), list(task_ids)))
        if self.batch_failure is not None:
            return self.batch_failure
        return {task_id: self._next(task_id) for task_id in task_ids}

    def _next(self, task_id: str) -> Reading:
        if task_id in self.ends:
            over = self._clock.steady() >= self.ends[task_id]
            return Reading(kind=ReadingKind.SUCCEEDED if over else ReadingKind.RUNNING)
        script = self.scripts.get(task_id)
        if not script:
            return self.default
        return script.pop(0) if len(script) > 1 else script[0]

    def polls_of(self, task_id: str) -> list[float]:
        return [at for at, asked in self.asked if asked == task_id]


class RecordingSink:
    """`ports.Sink` that records deliveries. It answers from a script, and then with Accepted."""

    def __init__(self, name: str, clock: FakeClock, *, targets: Sequence[str] = ("",)) -> None:
        self.name = name
        self.script: list[Outcome] = []
        self.refuses: set[str] = set()  # tasks whose deliveries are always refused
        self.handed: list[tuple[float, Delivery]] = []
        self.hang_s: dict[str, float] = defaultdict(float)  # how long deliveries to a target hang
        self._clock = clock
        self._targets = targets

    def parcels(self, event: Event, *, plain: bool = False) -> Sequence[Parcel]:
        body = f"{event.topic} {event.subject}".encode()
        return [Parcel(endpoint=self.name, target=target, body=body) for target in self._targets]

    def targets(self) -> Sequence[str]:
        return self._targets

    async def deliver(self, delivery: Delivery) -> Outcome:
        self.handed.append((self._clock.steady(), delivery))
        if self.hang_s[delivery.target]:
            await self._clock.sleep(self.hang_s[delivery.target])
        await anyio.lowlevel.checkpoint()
        if delivery.subject in self.refuses:
            return Deferred(reason="400")
        return self.script.pop(0) if self.script else Accepted(detail="200")

    def ids(self) -> list[str]:
        return [delivery.event_id for _, delivery in self.handed]


class RecordingIntake:
    """`ports.Intake` in memory. Records what is watched, and the calls.

    `hold` makes commits wait, as they do while a store cannot be written. `refuse_with` makes them raise.
    """

    def __init__(self) -> None:
        self.wishes: dict[WatchKey, Wish] = {}
        self.named: dict[str, set[WatchKey]] = defaultdict(set)  # by source
        self.cursors: dict[str, str] = {}
        self.commits: list[int] = []  # number of wishes in each committed call
        self.syncs = 0
        self.waiting = 0
        self.refuse_with: Exception | None = None
        self._open = anyio.Event()
        self._open.set()

    def hold(self) -> None:
        self._open = anyio.Event()

    def release(self) -> None:
        self._open.set()

    def ids(self, source: str | None = None) -> set[str]:
        """The ids of all watched tasks, or of those that this source names."""
        keys = self.wishes.keys() if source is None else self.named[source]
        return {key.task_id for key in keys}

    async def add(
        self, wishes: Sequence[Wish], *, source: str, revive: bool = True, cursor: str | None = None
    ) -> list[Added]:
        await self._commit(wishes)
        if cursor is not None:
            self.cursors[source] = cursor
        return [self._added(wish, source) for wish in wishes]

    async def sync(self, wishes: Sequence[Wish], *, source: str, kept: Collection[WatchKey] | None = ()) -> None:
        await self._commit(wishes)
        self.syncs += 1
        named = self.named[source]
        vanished = named - {wish.key for wish in wishes} - (named if kept is None else set(kept))
        self.named[source] -= vanished
        for key in vanished:
            if not any(key in keys for keys in self.named.values()):
                del self.wishes[key]
        for wish in wishes:
            self._added(wish, source)

    async def cursor(self, source: str) -> str | None:
        await anyio.lowlevel.checkpoint()
        return self.cursors.get(source)

    def _added(self, wish: Wish, source: str) -> Added:
        what = "known" if wish.key in self.wishes else "added"
        self.wishes.setdefault(wish.key, wish)
        self.named[source].add(wish.key)
        return Added(wish.key, what, "submitted")

    async def _commit(self, wishes: Sequence[Wish]) -> None:
        self.waiting += 1
        try:
            await self._open.wait()
            await anyio.lowlevel.checkpoint()
        finally:
            self.waiting -= 1
        if self.refuse_with is not None:
            raise self.refuse_with
        self.commits.append(len(wishes))
