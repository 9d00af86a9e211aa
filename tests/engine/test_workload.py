"""The workload follows what people pause and resume, and says so in the log."""

from __future__ import annotations

from structlog.testing import capture_logs

from bridge.domain.pause import PauseOf
from bridge.engine.workload import Workload
from tests.engine.rig import Rig
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
