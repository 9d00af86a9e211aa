"""A provider with a list of tasks, and an engine that discovers them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio

from bridge.domain.list_mark import ListedTask
from bridge.domain.rate_limiter import RateLimits
from bridge.domain.task import Reading, ReadingKind
from bridge.engine.discovery import Discovery
from bridge.engine.plans import AccountPlan
from bridge.ports import ListPage, PageRequest
from tests.engine.rig import BROKEN, Rig
from tests.fakes import FakeClock, ScriptedProvider

MINUTE = 60.0


class ListedProvider(ScriptedProvider):
    """A provider with a list of tasks, newest first, in pages."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.listed: list[ListedTask] = []
        self.page_size = 10
        self.refusals: list[Reading] = []  # the next answers are these instead of pages
        self.requests: list[tuple[float, str | None, int]] = []  # time, action and page number
        self.actions: Sequence[str | None] = (None,)
        self.is_cut = False
        self.is_oldest_first = False
        self.broken_page = 0  # the number of a page that always fails
        self.repeats = False  # every page is the first page, and a next page always exists
        self.failing: set[str | None] = set()  # actions whose list does not exist
        self.skew_ms = 0  # how far its clock is ahead of ours
        self.clock = clock

    def create(self, *task_ids: str, ago_s: float = 0.0) -> None:
        created_ms = round((self.clock.now() - ago_s) * 1000) + self.skew_ms
        self.listed = [*(ListedTask(each, created_ms) for each in reversed(task_ids)), *self.listed]

    def first_pages(self, action: str | None) -> Sequence[PageRequest]:
        return [PageRequest(action=each, is_cut=self.is_cut) for each in self.actions]

    async def list_page(self, page: PageRequest) -> ListPage | Reading:
        self.requests.append((self.clock.steady(), page.action, page.number))
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        await self.clock.sleep(self._answer_s)
        self.in_flight -= 1
        if self.refusals:
            return self.refusals.pop(0)
        if page.number == self.broken_page:
            return BROKEN
        if page.action in self.failing:
            return Reading(kind=ReadingKind.NO_ROUTE, detail="HTTP 404: no such route")
        listed = [one for one in self.listed if not page.is_cut or (one.created_ms or 0) >= page.since_ms]
        listed = listed[::-1] if self.is_oldest_first else listed
        begin = 0 if self.repeats else page.offset
        tasks = listed[begin : begin + self.page_size]
        following = replace(page, number=page.number + 1, offset=page.offset + len(tasks))
        has_more = self.repeats or following.offset < len(listed)
        return ListPage(tasks=tasks, following=following if has_more else None)

    @property
    def looks(self) -> list[float]:
        """When the first page was requested."""
        return [at for at, _, number in self.requests if number == 1]


class ListRig(Rig):
    """An engine whose account has a list."""

    def __init__(self, *, limits: RateLimits | None = None, earlier: ListRig | None = None) -> None:
        super().__init__(limits=limits, earlier=earlier)
        self.lists: ListedProvider = earlier.lists if earlier else ListedProvider(self.clock)
        self.provider = self.lists

    def plan(self, provider: ScriptedProvider) -> AccountPlan:
        return replace(super().plan(provider), lists=self.lists)

    @asynccontextmanager
    async def discovering(self, every_s: float = MINUTE) -> AsyncIterator[Discovery]:
        async with self.running():
            async with self.source(every_s) as discovery:
                yield discovery

    @asynccontextmanager
    async def source(self, every_s: float = MINUTE) -> AsyncIterator[Discovery]:
        discovery = Discovery(
            self.poller.accounts["kling"],
            every_s=every_s,
            action="videos/text2video",
            intake=self.intake,
            clock=self.clock,
        )
        async with anyio.create_task_group() as group:
            await group.start(discovery.run)
            yield discovery
            group.cancel_scope.cancel()

    @property
    def watched(self) -> set[str]:
        return {view.task_id for view in self.store.list_watches()}
