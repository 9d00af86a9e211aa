"""An outage of the store is logged once at its start and once at its end, for all callers."""

from __future__ import annotations

from functools import partial

import pytest
from structlog.testing import capture_logs

from bridge.engine.janitor import Janitor, RetentionPeriods
from bridge.engine.store_outage import QUIET_S, StoreOutage
from bridge.errors import LeaseLost, StoreError
from bridge.ports import Offload
from tests.engine.rig import SUCCEEDED, Rig
from tests.fakes import DirectOffload, FakeClock


class Broken:
    """`ports.Offload` to a store that fails for a while."""

    def __init__(self) -> None:
        self.is_broken = False
        self._direct = DirectOffload()

    async def __call__(self, call, *args):  # type: ignore[no-untyped-def]  # as `DirectOffload`
        if self.is_broken:
            raise StoreError("disk full")
        return await self._direct(call, *args)


class OneStore(Rig):
    """A rig whose parts share one outage of the store."""

    def __init__(self, **more) -> None:  # type: ignore[no-untyped-def]  # as `Rig`
        super().__init__(**more)
        self.disk = Broken()
        self.outage = StoreOutage(self.clock)
        self.offload: Offload = self.outage.watching(self.disk)
        for part in (self.writes, self.dispatcher, self.intake):
            part._offload = self.offload


async def test_a_lasting_failure_is_logged_once_for_all_users_of_the_store() -> None:
    rig = OneStore(targets=[f"chat{number}" for number in range(13)])
    for number in range(5):
        rig.script(f"t{number}", SUCCEEDED)
    janitor = Janitor(store=rig.store, offload=rig.offload, clock=rig.clock, retention=RetentionPeriods())
    with capture_logs() as logged:
        async with rig.running(), rig.beside(lambda: rig.watch("t3", "t4")):
            await rig.watch("t0", "t1")
            rig.disk.is_broken = True
            rig.dispatcher.wake_all()
            for _ in range(30):
                await rig.clock.advance(10)
                rig.dispatcher.wake_all()
                await janitor.clean()
            assert str(rig.outage.failure()) == "disk full"
            rig.disk.is_broken = False
            await rig.clock.advance(60)
            rig.dispatcher.wake_all()
            await rig.clock.advance(5)
            assert rig.phase("t4") == "succeeded"
            assert rig.outage.failure() is None
    said = [line for line in logged if line["event"].startswith("store.")]
    assert [line["event"] for line in said] == ["store.failed", "store.recovered"]
    assert said[0]["reason"] == "disk full"
    assert said[1]["failures"] > 30
    assert 290 <= said[1]["seconds"] <= 310


def read() -> str:
    return "read"


def write() -> str:
    return "written"


async def called(offload: Offload, disk: Broken, call, *, fails: bool) -> None:  # type: ignore[no-untyped-def]
    disk.is_broken = fails
    if fails:
        with pytest.raises(StoreError):
            await offload(partial(call))
    else:
        await offload(call)


async def test_reads_that_succeed_do_not_end_an_outage_of_writes() -> None:
    disk, clock = Broken(), FakeClock()
    offload = StoreOutage(clock).watching(disk)
    with capture_logs() as logged:
        await called(offload, disk, read, fails=False)
        for _ in range(10):
            await called(offload, disk, write, fails=True)
            clock.stand_still(10)
            await called(offload, disk, read, fails=False)
        assert [line["event"] for line in logged] == ["store.failed"]
        await called(offload, disk, write, fails=False)
    assert [line["event"] for line in logged] == ["store.failed", "store.recovered"]
    assert logged[1]["failures"] == 10


async def test_a_call_that_fails_only_for_some_is_not_logged_repeatedly() -> None:
    disk, clock = Broken(), FakeClock()
    offload = StoreOutage(clock).watching(disk)
    with capture_logs() as logged:
        for _ in range(20):
            await called(offload, disk, read, fails=True)
            clock.stand_still(QUIET_S - 1)
            await called(offload, disk, read, fails=False)
        assert [line["event"] for line in logged] == ["store.failed"]


async def test_a_caller_that_stopped_trying_does_not_keep_an_outage_open() -> None:
    disk, clock = Broken(), FakeClock()
    offload = StoreOutage(clock).watching(disk)
    with capture_logs() as logged:
        await called(offload, disk, write, fails=True)
        clock.stand_still(31)
        await called(offload, disk, read, fails=False)
        await called(offload, disk, write, fails=True)
    assert [line["event"] for line in logged] == ["store.failed", "store.recovered", "store.failed"]


async def test_another_reason_of_an_outage_is_logged_after_half_a_minute() -> None:
    reasons = iter(["connection closed", "wrong password", "wrong password", "wrong password"])

    def read() -> None:
        raise StoreError(next(reasons))

    clock = FakeClock()
    offload = StoreOutage(clock).watching(DirectOffload())
    with capture_logs() as logged:
        for _ in range(4):
            with pytest.raises(StoreError):
                await offload(read)
            clock.stand_still(20)
    assert [line["reason"] for line in logged] == ["connection closed", "wrong password"]


async def test_a_lost_lease_is_not_a_failure_of_the_store() -> None:
    def renew() -> None:
        raise LeaseLost("over")

    with capture_logs() as logged, pytest.raises(LeaseLost):
        await StoreOutage(FakeClock()).watching(DirectOffload())(renew)
    assert logged == []
