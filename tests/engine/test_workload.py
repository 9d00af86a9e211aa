"""The workload follows what people pause and resume, and says so in the log."""

from __future__ import annotations

from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from bridge.domain.cadence import Pacing
from bridge.domain.change import AccountAskedToWait
from bridge.domain.delivery import Deferred, settle
from bridge.domain.ids import WatchKey
from bridge.domain.pause import PauseOf
from bridge.domain.task import Reading, ReadingKind
from bridge.engine.workload import Workload
from tests.engine.rig import REVOKED, RUNNING, SUCCEEDED, Rig
from tests.fakes import DirectOffload


def make_workload(rig: Rig) -> Workload:
    return Workload(
        store=rig.store,
        poller=rig.poller,
        dispatcher=rig.dispatcher,
        writes=rig.writes,
        offload=DirectOffload(),
        clock=rig.clock,
    )


async def test_a_pause_and_its_end_are_logged_once() -> None:
    rig = Rig()
    workload = make_workload(rig)
    now = rig.clock.now()
    rig.store.pause(PauseOf.ACCOUNT, "kling", now=now, until_at=None)
    with capture_logs() as logged:
        await workload.refresh()
        await workload.refresh()
    assert logged == [{"event": "pause.started", "log_level": "info", "account": "kling"}]

    rig.store.resume(PauseOf.ACCOUNT, "kling", now=now)
    rig.store.pause(PauseOf.ENDPOINT, "hook", now=now, until_at=now + 60)
    with capture_logs() as logged:
        await workload.refresh()
    assert logged == [
        {"event": "pause.ended", "log_level": "info", "account": "kling"},
        {"event": "pause.started", "log_level": "info", "endpoint": "hook", "seconds": 60.0},
    ]


async def test_a_pause_that_is_over_when_the_daemon_starts_is_not_logged() -> None:
    rig = Rig()
    now = rig.clock.now()
    rig.store.pause(PauseOf.ENDPOINT, "hook", now=now - 60, until_at=now - 1)
    workload = make_workload(rig)
    with capture_logs() as logged:
        await workload.refresh()
    assert logged == []


async def test_a_retry_taken_over_from_a_wrong_clock_is_due_at_once() -> None:
    rig = Rig(retries=(300, 300))
    rig.script("a", SUCCEEDED)
    rig.sink.script = [Deferred(reason="503")]
    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(1)
        [(at, delivery)] = rig.sink.handed
        again = replace(delivery, attempts=1)
        now = at + 2 * 86_400  # of another daemon
        made = settle(again, Deferred(reason="503"), plan=rig.retries, now=now, duration_s=0.1, chance=0.0)
        rig.store.commit([made], rig.parcels_for)
        await make_workload(rig).load()
        await rig.clock.advance(1)
        assert len(rig.sink.handed) == 2


@pytest.mark.parametrize("moved_s", [-86_400.0, 0.0, 86_400.0])
async def test_commands_take_effect_at_once_after_the_wall_clock_was_set(moved_s: float) -> None:
    rig = Rig(pacing=Pacing(min_interval_s=100.0, max_interval_s=100.0))
    rig.script("a", RUNNING)
    workload = make_workload(rig)

    async def polls_within(seconds: float) -> int:
        before = len(rig.provider.asked)
        await workload.refresh()
        await rig.clock.advance(seconds)
        return len(rig.provider.asked) - before

    async with rig.running():
        await rig.watch("a")
        await rig.clock.advance(5)
        rig.clock.wall_offset = moved_s
        rig.store.poll_now([WatchKey("kling", "a")], now=rig.clock.now())
        assert await polls_within(5) == 1
        rig.store.pause(PauseOf.ACCOUNT, "kling", now=rig.clock.now(), until_at=rig.clock.now() + 300)
        assert await polls_within(290) == 0
        assert await polls_within(20) == 1
        rig.store.pause(PauseOf.ACCOUNT, "kling", now=rig.clock.now(), until_at=None)
        assert await polls_within(300) == 0
        rig.store.resume(PauseOf.ACCOUNT, "kling", now=rig.clock.now())
        assert await polls_within(5) == 1


@pytest.mark.parametrize("moved_s", [-7200.0, 7200.0])
async def test_what_people_read_follows_the_corrected_clock(moved_s: float) -> None:
    rig = Rig(pacing=Pacing(min_interval_s=100.0, max_interval_s=100.0))
    wait = Reading(kind=ReadingKind.RATE_LIMITED, retry_after_s=50.0)
    rig.script("a", RUNNING, wait, REVOKED)
    async with rig.running():
        rig.clock.wall_offset = moved_s
        await rig.watch("a")
        await rig.clock.advance(0)
        assert 90 < (rig.store.find("a", None)[0].state.next_poll_at or 0.0) - rig.clock.now() < 130
        await rig.clock.advance(130)
        await make_workload(rig).refresh()
        assert 0 < (rig.store.accounts()["kling"].wait_until_at or 0.0) - rig.clock.now() < 60
        await rig.clock.advance(130)
        assert -130 < (rig.store.accounts()["kling"].blocked_at or 0.0) - rig.clock.now() <= 0
        known = rig.poller.now()["kling"]
        assert -130 < (known.answered_at or 0.0) - rig.clock.now() <= 0
        assert 0 < (known.probe_at or 0.0) - rig.clock.now() < 900


@pytest.mark.parametrize("moved_s", [-7200.0, 7200.0])
async def test_after_a_restart_with_a_corrected_clock_a_poll_keeps_its_time(moved_s: float) -> None:
    rig = Rig(pacing=Pacing(min_interval_s=100.0, max_interval_s=100.0))
    rig.script("a", RUNNING)
    async with rig.running():
        rig.clock.wall_offset = moved_s
        await rig.watch("a")
        await rig.clock.advance(1)
    rig.clock.rewind(-moved_s)  # the new process starts with the correct clock
    rig.clock.wall_offset = 0.0
    second = rig.restarted()
    async with second.running():
        await second.clock.advance(50)
        assert len(rig.provider.asked) == 1
        await second.clock.advance(80)
        assert len(rig.provider.asked) == 2


@pytest.mark.parametrize("by_another", [False, True])
async def test_a_past_wait_stays_past_after_the_clock_was_set_back(by_another: bool) -> None:
    rig = Rig(pacing=Pacing(min_interval_s=10.0, max_interval_s=10.0))
    wait = Reading(kind=ReadingKind.RATE_LIMITED, retry_after_s=50.0)
    rig.script("a", *([] if by_another else [wait]), RUNNING)
    async with rig.running():
        if by_another:
            asked = AccountAskedToWait(account="kling", until_at=rig.clock.now() + 50)
            rig.store.commit([asked], rig.parcels_for)
            await make_workload(rig).refresh()
        await rig.watch("a")
        await rig.clock.advance(100)
        polled = len(rig.provider.asked)
        rig.clock.wall_offset = -7200.0
        asked = AccountAskedToWait(account="kling", until_at=rig.clock.now() + 60, route="images")
        rig.store.commit([asked], rig.parcels_for)
        await make_workload(rig).refresh()
        await rig.clock.advance(100)
        assert len(rig.provider.asked) > polled + 5
