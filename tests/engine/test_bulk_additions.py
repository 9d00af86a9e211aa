"""Only some of many watches that were added in bulk are in memory; the rest are in the store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from bridge.domain.cadence import Pacing
from bridge.domain.ids import WatchKey
from bridge.domain.limits import RateLimits
from bridge.domain.watch import WatchState, Wish
from bridge.errors import StoreError
from tests.engine.rig import SUCCEEDED, Rig

pytestmark = pytest.mark.usefixtures("unmeasured")

FAST = RateLimits(rate=100.0, burst=10, concurrency=16)
SELDOM = Pacing(min_interval_s=600.0, max_interval_s=600.0)
BULK = [f"bulk-{number:04}" for number in range(1000)]
FEW = 300  # most watches in memory


class FailingOnce:
    """A store in which only the third reading of a slice of watches fails."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self.readings = 0

    def live(self, *, most: int) -> Iterator[list[WatchState]]:
        for states in self._rig.store.live(most=most):
            self.readings += 1
            if self.readings == 3:
                raise StoreError("disk full")
            yield states

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rig.store, name)


@asynccontextmanager
async def loading(rig: Rig) -> AsyncIterator[None]:
    """Run the engine, and load more of a bulk addition as needed."""
    async with rig.running(), anyio.create_task_group() as group:
        rig.poller._slice_size = 250
        group.start_soon(rig.poller.load_more)
        yield
        group.cancel_scope.cancel()


def in_memory(rig: Rig) -> int:
    return len(rig.poller.accounts["kling"]._queue)


async def test_every_bulk_task_is_polled_once_although_few_are_in_memory() -> None:
    rig = Rig(limits=FAST, pacing=SELDOM, max_unpolled=FEW)
    for task_id in BULK:
        rig.script(task_id, SUCCEEDED)
    async with loading(rig):
        await rig.watch(*BULK)
        most = in_memory(rig)
        for _ in range(30):
            await rig.clock.advance(1)
            most = max(most, in_memory(rig))
    assert most <= FEW
    assert sorted(task_id for _, task_id in rig.provider.asked) == BULK
    assert sorted(delivery.subject for _, delivery in rig.sink.handed) == BULK


async def test_bulk_tasks_are_polled_again_only_after_all_were_polled() -> None:
    rig = Rig(limits=FAST, pacing=SELDOM, max_unpolled=FEW)
    async with loading(rig):
        await rig.watch(*BULK)
        await rig.clock.advance(30)
        assert sorted(task_id for _, task_id in rig.provider.asked) == BULK
        assert in_memory(rig) == len(BULK)


async def test_a_single_task_is_polled_at_once_during_a_bulk_addition() -> None:
    rig = Rig(limits=FAST, pacing=SELDOM, max_unpolled=FEW)
    async with loading(rig):
        await rig.watch(*BULK)
        await rig.clock.advance(1)
        await rig.watch("alone")
        await rig.clock.advance(0.5)
        assert rig.provider.polls_of("alone")


async def test_the_rest_of_a_bulk_addition_is_polled_after_a_withdrawal() -> None:
    rig = Rig(limits=FAST, pacing=SELDOM, max_unpolled=FEW)
    async with loading(rig):
        await rig.watch(*BULK)
        held = [entry.task_id for entry in rig.poller.accounts["kling"]._queue]
        rig.store.withdraw([WatchKey("kling", task_id) for task_id in held], now=rig.clock.now())
        await rig.fetch()
        await rig.clock.advance(30)
        asked = {task_id for _, task_id in rig.provider.asked}
        assert asked >= set(BULK) - set(held)


async def test_a_task_left_in_the_store_is_polled_at_once_on_request() -> None:
    rig = Rig(limits=FAST, pacing=SELDOM, max_unpolled=FEW)
    async with loading(rig):
        await rig.watch(*BULK)
        held = {entry.task_id for entry in rig.poller.accounts["kling"]._queue}
        late = next(task_id for task_id in BULK if task_id not in held)
        rig.store.poll_now([WatchKey("kling", late)], now=rig.clock.now())
        await rig.fetch()
        await rig.clock.advance(0.5)
        assert rig.provider.polls_of(late)


async def test_a_list_that_changes_by_many_tasks_is_logged_in_one_line() -> None:
    rig = Rig(limits=FAST, pacing=SELDOM, max_unpolled=FEW)
    wishes = [Wish(account="kling", task_id=task_id, action="videos/text2video") for task_id in BULK]
    async with loading(rig):
        with capture_logs() as logged:
            await rig.intake.sync(wishes, source="watchlist")
            await rig.intake.sync(wishes[:2], source="watchlist")
            await rig.intake.sync(wishes[:1], source="watchlist")
    assert [{key: one[key] for key in one.keys() - {"source", "log_level"}} for one in logged if "source" in one] == [
        {"event": "watch.added", "count": 1000},
        {"event": "watch.withdrawn", "count": 998},
        {"event": "watch.withdrawn", "account": "kling", "task_id": BULK[1]},
    ]


async def test_a_failing_store_leaves_no_task_out() -> None:
    rig = Rig(limits=FAST, pacing=SELDOM, max_unpolled=FEW)
    async with loading(rig):
        await rig.watch(*BULK)
        watches = FailingOnce(rig)
        rig.poller._watches = watches
        await rig.clock.advance(60)
        assert watches.readings > 3
        assert sorted(task_id for _, task_id in rig.provider.asked) == BULK


async def test_after_a_restart_the_rest_of_a_bulk_addition_is_polled() -> None:
    rig = Rig(limits=FAST, pacing=SELDOM, max_unpolled=FEW)
    async with loading(rig):
        await rig.watch(*BULK)
        await rig.clock.advance(3)
    again = rig.restarted()
    async with loading(again):
        await again.clock.advance(40)
    assert {task_id for _, task_id in rig.provider.asked} == set(BULK)
