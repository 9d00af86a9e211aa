"""Source counts are stored soon and in few writes, even if the store fails in between."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import anyio
import anyio.abc

from bridge.domain.source import SETTINGS, SourceFacts, SourceTally
from bridge.engine.source_runner import READ_AT_EVERY_S, SourceRunner
from bridge.errors import StoreError
from tests.fakes import DirectOffload, FakeClock

T = TypeVar("T")


class Records:
    """Remembers what was recorded. `fails` makes the next call raise."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str, str], SourceFacts] = {}
        self.writes = 0
        self.fails = False

    def sources(self) -> list[SourceFacts]:
        return list(self.kept.values())

    def record_sources(self, facts: Sequence[SourceFacts]) -> None:
        if self.fails:
            raise StoreError("the disk is full")
        self.writes += 1
        self.kept.update({one.key: one for one in facts})


def made(records: Records) -> SourceRunner:
    return SourceRunner(records=records, offload=DirectOffload(), clock=FakeClock())


async def test_changes_of_many_files_are_one_write() -> None:
    records, tally = Records(), SourceTally(source="queue", path="/q")
    runner = made(records)
    await runner.record([tally], daemon="")
    tally.looked(10.0)
    for _ in range(1000):
        tally.taken += 1
    await runner.save()
    await runner.save()
    assert records.writes == 1
    assert records.kept["", "queue", "/q"].taken == 1000


async def test_an_idle_source_is_stored_once_a_minute() -> None:
    records, tally = Records(), SourceTally(source="queue", path="/q")
    runner = made(records)
    await runner.record([tally], daemon="")
    for second in range(121):
        tally.looked(1000.0 + second)
        await runner.save()
    assert records.writes == 1 + 120 // READ_AT_EVERY_S


async def test_each_reading_of_the_settings_is_stored_at_once() -> None:
    records, tally = Records(), SourceTally(source=SETTINGS, path="", is_listing=True)
    runner = made(records)
    await runner.record([tally], daemon="")
    for second in (1000.0, 1003.0, 1001.0):
        tally.looked(second)
        await runner.save()
        await runner.save()
        assert records.kept["", SETTINGS, ""].read_at == second
    assert records.writes == 3


async def test_counts_continue_after_a_restart_and_a_watchlist_counts_its_entries() -> None:
    records = Records()
    for _ in range(2):
        queue, watchlist = (
            SourceTally(source="queue", path="/q"),
            SourceTally(source="watchlist", path="/w", is_listing=True),
        )
        runner = made(records)
        await runner.record([queue, watchlist], daemon="node1")
        queue.taken, watchlist.taken = 5, 7
        queue.refused(1, "bad.txt: no task", 20.0)
        await runner.save()
    assert records.kept["node1", "queue", "/q"].taken == 10
    assert records.kept["node1", "queue", "/q"].rejected == 2
    assert records.kept["node1", "watchlist", "/w"].taken == 7


async def test_rejected_writes_are_stored_when_the_store_works_again() -> None:
    records, tally = Records(), SourceTally(source="lines", path="/l")
    runner = made(records)
    await runner.record([tally], daemon="")
    records.fails = True
    tally.taken = 3
    await runner.save()
    records.fails = False
    await runner.save()
    assert records.kept["", "lines", "/l"].taken == 3


class Ending(DirectOffload):
    """The group ends while the store is asked, as when the daemon loses its lease."""

    def __init__(self) -> None:
        self.group: anyio.abc.TaskGroup | None = None
        self.has_ended = anyio.Event()

    async def __call__(self, call: Callable[..., T], *args: object) -> T:
        if self.group is not None:
            self.group.cancel_scope.cancel()
            await self.has_ended.wait()
        return await super().__call__(call, *args)


class Unread:
    """A source that must not run."""

    def __init__(self) -> None:
        self.tally = SourceTally(source="queue", path="/q")
        self.is_started = False

    async def run(self, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        self.is_started = True
        task_status.started()

    def is_idle(self) -> bool:
        return True


async def test_sources_of_new_settings_do_not_start_after_the_daemon_has_ended() -> None:
    offload, source = Ending(), Unread()
    runner = SourceRunner(records=Records(), offload=offload, clock=FakeClock())
    await runner.record([SourceTally(source="lines", path="/l")], daemon="")  # stored when others replace it
    async with anyio.create_task_group() as reload:
        async with anyio.create_task_group() as daemon:
            offload.group = daemon
            reload.start_soon(partial(runner.replace, [source], daemon="", group=daemon))
            await anyio.sleep_forever()
        offload.has_ended.set()
    assert not source.is_started
