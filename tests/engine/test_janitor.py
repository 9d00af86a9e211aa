"""How often old data is deleted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import anyio

from bridge.engine.janitor import Janitor, RetentionPeriods
from tests.fakes import DirectOffload, FakeClock

MONTH_S = 30 * 86_400.0


class Sweeps:
    """A store with nothing to delete, which records when it was called and with what retention."""

    def __init__(self, clock: FakeClock) -> None:
        self.began_at = clock.steady()
        self.asked: list[tuple[float, float]] = []

    def prune(self, *, now: float, ended_s: float, delivered_s: float, dead_s: float, limit: int) -> int:
        assert (delivered_s, dead_s) == (MONTH_S, MONTH_S)
        assert limit > 0
        self.asked.append((now - self.began_at, ended_s))
        return 0

    @property
    def at(self) -> list[float]:
        return [at for at, _ in self.asked]


def keeping(ended_s: float) -> RetentionPeriods:
    return RetentionPeriods(ended_s=ended_s, delivered_s=MONTH_S, dead_s=MONTH_S)


@contextmanager
def swept(ended_s: float) -> Iterator[tuple[Janitor, FakeClock, Sweeps]]:
    clock = FakeClock()
    store = Sweeps(clock)
    yield Janitor(store=store, offload=DirectOffload(), clock=clock, retention=keeping(ended_s)), clock, store


async def test_with_long_retention_old_data_is_deleted_every_ten_minutes() -> None:
    with swept(MONTH_S) as (janitor, clock, store):
        async with anyio.create_task_group() as group:
            group.start_soon(janitor.run)
            await clock.advance(1300)
            assert store.at == [60, 660, 1260]
            group.cancel_scope.cancel()


async def test_no_data_is_kept_for_twice_its_retention_period() -> None:
    with swept(20) as (janitor, clock, store):
        async with anyio.create_task_group() as group:
            group.start_soon(janitor.run)
            await clock.advance(70)
            assert store.at == [20, 40, 60]
            group.cancel_scope.cancel()


async def test_shorter_retention_applies_at_once() -> None:
    with swept(MONTH_S) as (janitor, clock, store):
        async with anyio.create_task_group() as group:
            group.start_soon(janitor.run)
            await clock.advance(100)
            janitor.keep(keeping(MONTH_S))  # there is nothing to delete, as before
            await clock.advance(100)
            janitor.keep(keeping(300))
            await clock.advance(100)
            assert store.asked == [(60, MONTH_S), (200, 300)]
            await clock.advance(200)
            assert store.at == [60, 200, 500]
            group.cancel_scope.cancel()


async def test_zero_retention_does_not_keep_the_store_busy() -> None:
    with swept(0.001) as (janitor, clock, store):
        async with anyio.create_task_group() as group:
            group.start_soon(janitor.run)
            await clock.advance(10)
            assert store.at == [float(second) for second in range(1, 11)]
            group.cancel_scope.cancel()
