from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from bridge.domain.views import Counts
from bridge.errors import StoreError
from bridge.http.cached_reading import WAIT_S, CachedReading
from tests.fakes import FakeClock

NOTHING = Counts()


class SlowStore:
    """A store whose gauges are slow or cannot be read."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock, self.takes_s, self.fails, self.reads = clock, 0.0, False, 0

    async def read(self) -> Counts:
        self.reads += 1
        await self.clock.sleep(self.takes_s)
        if self.fails:
            raise StoreError("disk full")
        return NOTHING


class Scrapes:
    """Scrapes a store, one scrape after the other."""

    def __init__(self, gauges: CachedReading[Counts], store: SlowStore) -> None:
        self.store = store
        self.found: list[Counts | None] = []
        self._gauges = gauges

    async def scrape(self) -> None:
        self.found.append(await self._gauges.get())


@asynccontextmanager
async def scraped() -> AsyncIterator[tuple[Scrapes, anyio.abc.TaskGroup, FakeClock]]:
    clock = FakeClock()
    store = SlowStore(clock)
    gauges = CachedReading(store.read, clock)
    async with anyio.create_task_group() as group:
        group.start_soon(gauges.run)
        yield Scrapes(gauges, store), group, clock
        group.cancel_scope.cancel()


async def reads_in(seconds: int, *, takes_s: float) -> int:
    """How often scrapes every tenth of a second read the store."""
    async with scraped() as (scrapes, group, clock):
        scrapes.store.takes_s = takes_s
        for _ in range(seconds * 10):
            group.start_soon(scrapes.scrape)
            await clock.advance(0.1)
        await clock.advance(takes_s)
        assert scrapes.found == [NOTHING] * (seconds * 10)
        return scrapes.store.reads


async def test_scrapes_within_a_second_share_one_reading() -> None:
    assert 9 <= await reads_in(10, takes_s=0.0) <= 10


async def test_a_large_store_is_read_less_often() -> None:
    assert await reads_in(60, takes_s=1.0) == 3


async def test_a_store_that_cannot_be_read_has_no_gauges_until_it_can() -> None:
    async with scraped() as (scrapes, group, clock):
        for fails in (False, True, False):
            scrapes.store.fails = fails
            group.start_soon(scrapes.scrape)
            await clock.advance(2)
        assert scrapes.found == [NOTHING, None, NOTHING]


async def test_a_scrape_does_not_wait_for_a_store_that_hangs() -> None:
    async with scraped() as (scrapes, group, clock):
        scrapes.store.takes_s = 3600
        for _ in range(2):
            group.start_soon(scrapes.scrape)
            await clock.advance(WAIT_S)
        assert (scrapes.found, scrapes.store.reads) == ([None, None], 1)


async def test_a_caller_that_cannot_wait_gets_the_last_values() -> None:
    clock = FakeClock()
    store = SlowStore(clock)
    reading = CachedReading(store.read, clock)
    async with anyio.create_task_group() as group:
        group.start_soon(reading.run)
        assert await _soon(reading, clock) is NOTHING
        read_at = clock.steady()
        store.takes_s = 3600
        await clock.advance(60)
        assert await _soon(reading, clock) is None
        assert reading.last is NOTHING
        assert reading.last_at == pytest.approx(read_at, abs=0.1)
        reading.put(NOTHING)  # another scrape has read it
        assert await _soon(reading, clock) is NOTHING
        assert reading.last_at == clock.steady() - 0.05
        group.cancel_scope.cancel()


async def _soon(reading: CachedReading[Counts], clock: FakeClock) -> Counts | None:
    """The value that `get` returns within 50 ms."""
    found: list[Counts | None] = []

    async def get() -> None:
        found.append(await reading.get(0.05))

    async with anyio.create_task_group() as group:
        group.start_soon(get)
        await clock.advance(0.05)
    [value] = found
    return value
