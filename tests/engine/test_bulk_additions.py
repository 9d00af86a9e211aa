"""Many watches that were added in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from structlog.testing import capture_logs

from bridge.domain.cadence import Pacing
from bridge.domain.ids import WatchKey
from bridge.domain.rate_limiter import RateLimits
from bridge.domain.watch import WatchState, Wish
from bridge.engine import poller
from tests.engine.rig import SUCCEEDED, Rig
from tests.fakes import DirectOffload

pytestmark = pytest.mark.usefixtures("unmeasured")

FAST = RateLimits(rate=100.0, burst=10, concurrency=16)
SELDOM = Pacing(min_interval_s=600.0, max_interval_s=600.0)
BULK = [f"bulk-{number:04}" for number in range(1000)]


async def test_every_bulk_task_is_polled_and_delivered_once() -> None:
    rig = Rig(limits=FAST, pacing=SELDOM)
    for task_id in BULK:
        rig.script(task_id, SUCCEEDED)
    async with rig.running():
        await rig.watch(*BULK)
        await rig.clock.advance(30)
    assert sorted(task_id for _, task_id in rig.provider.asked) == BULK
    assert sorted(delivery.subject for _, delivery in rig.sink.handed) == BULK


async def test_bulk_tasks_are_polled_again_only_after_all_were_polled() -> None:
    rig = Rig(limits=FAST, pacing=SELDOM)
    async with rig.running():
        await rig.watch(*BULK)
        await rig.clock.advance(30)
        assert sorted(task_id for _, task_id in rig.provider.asked) == BULK


async def test_a_single_task_is_polled_at_once_during_a_bulk_addition() -> None:
    rig = Rig(limits=FAST, pacing=SELDOM)
    async with rig.running():
        await rig.watch(*BULK)
        await rig.clock.advance(1)
        await rig.watch("alone")
        await rig.clock.advance(0.5)
        assert rig.provider.polls_of("alone")


async def test_a_list_that_changes_by_many_tasks_is_logged_in_one_line() -> None:
    rig = Rig(limits=FAST, pacing=SELDOM)
    wishes = [Wish(account="kling", task_id=task_id, action="videos/text2video") for task_id in BULK]
    async with rig.running():
        with capture_logs() as logged:
            await rig.intake.sync(wishes, source="watchlist")
            await rig.intake.sync(wishes[:2], source="watchlist")
            await rig.intake.sync(wishes[:1], source="watchlist")
    assert [{key: one[key] for key in one.keys() - {"source", "log_level"}} for one in logged if "source" in one] == [
        {"event": "watch.added", "count": 1000},
        {"event": "watch.withdrawn", "count": 998},
        {"event": "watch.withdrawn", "account": "kling", "task_id": BULK[1]},
    ]


async def test_after_a_restart_the_rest_of_a_bulk_addition_is_polled() -> None:
    rig = Rig(limits=FAST, pacing=SELDOM)
    async with rig.running():
        await rig.watch(*BULK)
        await rig.clock.advance(3)
    again = rig.restarted()
    async with again.running():
        await again.clock.advance(40)
    assert {task_id for _, task_id in rig.provider.asked} == set(BULK)


async def test_a_task_whose_first_addition_was_interrupted_is_polled_after_the_next() -> None:
    rig = Rig(limits=FAST, pacing=SELDOM)
    wish = Wish(account="kling", task_id="interrupted", action="videos/text2video")
    async with rig.running():
        rig.store.add([wish], source="http", now=rig.clock.now())  # and nothing fetched it
        await rig.clock.advance(60)
        assert not rig.provider.polls_of("interrupted")
        [added] = await rig.intake.add_once([wish], source="http")
        await rig.clock.advance(1)
    assert added.what == "known"
    assert rig.provider.polls_of("interrupted")


class WithdrawnMeanwhile:
    """A store in which a person withdraws the last bulk task right before the second reading of changes."""

    def __init__(self, rig: Rig) -> None:
        self._rig = rig
        self._readings = 0

    def changed(self, since: int) -> tuple[int, list[WatchState]]:
        self._readings += 1
        if self._readings == 2:
            self._rig.store.withdraw([WatchKey("kling", BULK[-1])], now=self._rig.clock.now())
        return self._rig.store.changed(since)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rig.store, name)


async def test_an_older_reading_of_changes_does_not_bring_a_withdrawn_task_back() -> None:
    rig = Rig(limits=RateLimits(rate=0.001, burst=1, concurrency=1))
    async with rig.running():
        await rig.watch("first")
        wishes = [Wish(account="kling", task_id=task_id) for task_id in (*(f"t{n}" for n in range(2000)), *BULK)]
        rig.store.add(wishes, source="cli", now=rig.clock.now())
        rig.poller._watches = WithdrawnMeanwhile(rig)
        async with anyio.create_task_group() as group:
            group.start_soon(rig.fetch)
            for _ in range(3):
                await anyio.lowlevel.checkpoint()
            group.start_soon(rig.fetch)
        watched = {entry.task_id for entry in rig.poller.accounts["kling"]._queue}
    assert watched >= set(BULK[:-1])
    assert BULK[-1] not in watched


class HeldReading(DirectOffload):
    """Returns the slice of this task only when `go` is set."""

    def __init__(self, task_id: str) -> None:
        self._task_id = task_id
        self.was_read, self.go = anyio.Event(), anyio.Event()

    async def __call__(self, call: Callable[..., Any], *args: object) -> Any:
        found = await super().__call__(call, *args)
        if call is next and found and found[0].task_id == self._task_id:
            self.was_read.set()
            await self.go.wait()
        return found


async def test_a_load_does_not_bring_back_what_was_withdrawn_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(poller, "SLICE", 1)
    others = [f"other-{number:02}" for number in range(20)]
    rig = Rig(limits=RateLimits(rate=0.001, burst=1, concurrency=1))
    async with rig.running():
        await rig.watch(*others, "withdrawn")
        held = rig.poller._offload = HeldReading("withdrawn")
        async with anyio.create_task_group() as group:
            group.start_soon(rig.poller.load)
            await held.was_read.wait()
            for task_id in ("withdrawn", *others):
                rig.store.withdraw([WatchKey("kling", task_id)], now=rig.clock.now())
            group.start_soon(rig.fetch)
            while rig.poller.accounts["kling"]._queue.get("withdrawn") is not None:
                await anyio.lowlevel.checkpoint()
            held.go.set()
    assert not list(rig.poller.accounts["kling"]._queue)
